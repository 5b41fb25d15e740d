//! The commands that look, as their users see them.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, io::Write as _, process::Stdio};

use common::{Ran, Tree};
use expect_test::{Expect, expect};
use serde_json::Value;

const BAD: &str = "\
schedule:
  cron: \"61 * * * *\"
run:
  comand: [echo, hi]
policy:
  timeout: 5
";

#[expect(clippy::needless_pass_by_value, reason = "rows of a table read better so")]
#[track_caller]
fn check(ran: Ran, expected: Expect) {
    expected.assert_eq(&ran.shown());
}

#[test]
fn a_manifest_with_three_mistakes_is_told_all_of_them() {
    let tree = Tree::with(&[("jobs.d/report.yaml", BAD)]);
    check(
        tree.run(&["validate"]),
        expect![[r#"
            TIN030 (https://tintal.dev/docs/diagnostics#tin030)

              × in the minute field, `61` is not between 0 and 59
               ╭─[jobs.d/report.yaml:2:10]
             1 │ schedule:
             2 │   cron: "61 * * * *"
               ·          ─┬
               ·           ╰── cannot be read
             3 │ run:
               ╰────
              help: the last is 59; the next is 0

            TIN010 (https://tintal.dev/docs/diagnostics#tin010)

              × `run` has no field `comand`
               ╭─[jobs.d/report.yaml:4:3]
             3 │ run:
             4 │   comand: [echo, hi]
               ·   ───┬──
               ·      ╰── no such field
             5 │ policy:
               ╰────
              help: did you mean `command`?

            TIN011 (https://tintal.dev/docs/diagnostics#tin011)

              × `timeout` takes text, not the number 5
               ╭─[jobs.d/report.yaml:6:12]
             5 │ policy:
             6 │   timeout: 5
               ·            ┬
               ·            ╰── this is the number 5
               ╰────
              help: a duration has a unit, as in `5s` or `5m`

            --
            1 file checked, 0 jobs ready: 3 errors
            -- exit 1
        "#]],
    );
    check(
        tree.run(&["validate", "--format", "concise"]),
        expect![[r#"
            jobs.d/report.yaml:2:10: error TIN030: in the minute field, `61` is not between 0 and 59 (the last is 59; the next is 0)
            jobs.d/report.yaml:4:3: error TIN010: `run` has no field `comand` (did you mean `command`?)
            jobs.d/report.yaml:6:12: error TIN011: `timeout` takes text, not the number 5 (a duration has a unit, as in `5s` or `5m`)
            --
            1 file checked, 0 jobs ready: 3 errors
            -- exit 1
        "#]],
    );
    check(
        tree.run(&["validate", "--format", "github"]),
        expect![[r#"
            ::error file=jobs.d/report.yaml,line=2,endLine=2,col=10,endColumn=12,title=TIN030 the cron expression cannot be read::in the minute field, `61` is not between 0 and 59%0Athe last is 59; the next is 0
            ::error file=jobs.d/report.yaml,line=4,endLine=4,col=3,endColumn=9,title=TIN010 no such field::`run` has no field `comand`%0Adid you mean `command`?
            ::error file=jobs.d/report.yaml,line=6,endLine=6,col=12,endColumn=13,title=TIN011 the value has the wrong type::`timeout` takes text, not the number 5%0Aa duration has a unit, as in `5s` or `5m`
            --
            1 file checked, 0 jobs ready: 3 errors
            -- exit 1
        "#]],
    );
}

#[test]
fn text_is_right_without_unicode_and_without_colour() {
    let tree = Tree::with(&[("jobs.d/report.yaml", BAD)]);
    let ran = |locale: &str| {
        let output = tree.command(&["validate"]).env("LANG", locale).env("NO_COLOR", "1").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(ran("C").is_ascii(), "{}", ran("C"));
    assert!(!ran("de_DE.UTF-8").is_ascii());
    assert!(!ran("de_DE.UTF-8").contains('\u{1b}'));
}

#[test]
fn a_duplicate_name_shows_both_places() {
    let tree = Tree::with(&[
        ("jobs.d/a.yaml", "name: report\nrun: {command: [echo, a]}\n"),
        ("jobs.d/b.yaml", "name: report\nrun: {command: [echo, b]}\n"),
    ]);
    check(
        tree.run(&["validate"]),
        expect![[r#"
        TIN020 (https://tintal.dev/docs/diagnostics#tin020)

          × there is already a job `report`
           ╭─[jobs.d/b.yaml:1:7]
         1 │ name: report
           ·       ───┬──
           ·          ╰── given again
         2 │ run: {command: [echo, b]}
           ╰────
          help: give one of them another name; until then neither is changed

        Advice: 
          ☞ first given here
           ╭─[jobs.d/a.yaml:1:7]
         1 │ name: report
           ·       ───┬──
           ·          ╰── first given here
         2 │ run: {command: [echo, a]}
           ╰────

        --
        2 files checked, 0 jobs ready: 1 error
        -- exit 1
    "#]],
    );
}

/// The other place of a duplicate is told in every format.
#[test]
fn formats_of_one_place_tell_the_other_places_too() {
    let tree = Tree::with(&[
        ("jobs.d/a.yaml", "name: report\nrun: {command: [echo, a]}\n"),
        ("jobs.d/b.yaml", "name: report\nrun: {command: [echo, b]}\n"),
        ("jobs.d/c.yaml", "enabled: true\nrun: {command: [echo, c]}\nenabled: false\n"),
    ]);
    let report = |format: &str| tree.run(&["validate", "--format", format]).stdout;
    expect![[r#"
        jobs.d/b.yaml:1:7: error TIN020: there is already a job `report` (give one of them another name; until then neither is changed) (and at jobs.d/a.yaml:1:7: first given here)
        jobs.d/c.yaml:3:1: error TIN003: `enabled` is given twice (keep one of them) (and at jobs.d/c.yaml:1:1: first given here)
    "#]].assert_eq(&report("concise"));
    expect![[r#"
        ::error file=jobs.d/b.yaml,line=1,endLine=1,col=7,endColumn=13,title=TIN020 two jobs have one name::there is already a job `report`%0Agive one of them another name; until then neither is changed%0Aand at jobs.d/a.yaml:1:7: first given here
        ::error file=jobs.d/c.yaml,line=3,endLine=3,col=1,endColumn=8,title=TIN003 a key is given twice::`enabled` is given twice%0Akeep one of them%0Aand at jobs.d/c.yaml:1:1: first given here
    "#]].assert_eq(&report("github"));
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="tintal validate" tests="2" failures="2">
          <testsuite name="manifests" tests="2" failures="2">
            <testcase name="TIN020 jobs.d/b.yaml:1:7" classname="jobs.d/b.yaml">
              <failure message="there is already a job `report`" type="TIN020">jobs.d/b.yaml:1:7: error TIN020: there is already a job `report`&#10;give one of them another name; until then neither is changed&#10;and at jobs.d/a.yaml:1:7: first given here</failure>
            </testcase>
            <testcase name="TIN003 jobs.d/c.yaml:3:1" classname="jobs.d/c.yaml">
              <failure message="`enabled` is given twice" type="TIN003">jobs.d/c.yaml:3:1: error TIN003: `enabled` is given twice&#10;keep one of them&#10;and at jobs.d/c.yaml:1:1: first given here</failure>
            </testcase>
          </testsuite>
        </testsuites>
    "#]].assert_eq(&report("junit"));
    let gitlab = tree.json(&["validate", "--format", "gitlab"]);
    expect![[r#"
        {
          "description": "there is already a job `report` (give one of them another name; until then neither is changed) (and at jobs.d/a.yaml:1:7: first given here)",
          "check_name": "TIN020",
          "fingerprint": "772b3c17b650337d17be317f660f1aefeda0e1309ed4e2124496c5e13c343e0b",
          "severity": "major",
          "location": {
            "path": "jobs.d/b.yaml",
            "lines": {
              "begin": 1,
              "end": 1
            }
          },
          "other_locations": [
            {
              "path": "jobs.d/a.yaml",
              "lines": {
                "begin": 1,
                "end": 1
              }
            }
          ]
        }
    "#]].assert_eq(&format!("{:#}\n", gitlab[0]));
}

#[test]
fn formats_for_programs_hold_the_same_problems() {
    let tree = Tree::with(&[("jobs.d/report.yaml", BAD), ("jobs.d/ok.yaml", "run: {command: [echo, hi]}\n")]);
    let json = tree.json(&["validate", "--format", "json"]);
    assert_eq!(
        (json["v"].clone(), json["files"].clone(), json["jobs"].clone()),
        (1.into(), 2.into(), 1.into())
    );
    let problems = json["problems"].as_array().unwrap();
    let codes: Vec<&str> = problems.iter().map(|problem| problem["code"].as_str().unwrap()).collect();
    let place = |problem: &Value| (problem["line"].as_u64().unwrap(), problem["column"].as_u64().unwrap());

    let sarif = tree.json(&["validate", "--format", "sarif"]);
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.iter().map(|result| result["ruleId"].as_str().unwrap()).collect::<Vec<_>>(), codes);
    for (result, problem) in results.iter().zip(problems) {
        let region = &result["locations"][0]["physicalLocation"]["region"];
        let start = (region["startLine"].as_u64().unwrap(), region["startColumn"].as_u64().unwrap());
        assert_eq!(start, place(problem));
    }

    let gitlab = tree.json(&["validate", "--format", "gitlab"]);
    let issues = gitlab.as_array().unwrap();
    assert_eq!(issues.len(), codes.len());
    assert_eq!(issues[0]["location"]["path"], "jobs.d/report.yaml");

    let junit = tree.run(&["validate", "--format", "junit"]).stdout;
    assert_eq!(junit.matches("<failure ").count(), codes.len(), "{junit}");
    assert!(!junit.contains("`>") && junit.starts_with("<?xml"), "{junit}");
}

#[test]
fn auto_follows_the_environment() {
    let tree = Tree::with(&[("jobs.d/report.yaml", BAD)]);
    let output = tree.command(&["validate"]).env("GITHUB_ACTIONS", "true").output().unwrap();
    assert!(output.stdout.starts_with(b"::error file=jobs.d/report.yaml,line="));
}

#[test]
fn exit_codes_mean_one_thing() {
    let tree = Tree::with(&[("jobs.d/ok.yaml", "run: {command: [echo, hi]}\n")]);
    let code = |arguments: &[&str]| tree.run(arguments).code;
    assert_eq!(code(&["validate"]), Some(0));
    assert_eq!(code(&["validate", "--no-such-flag"]), Some(2));
    assert_eq!(code(&["validate", "nowhere.yaml"]), Some(2));
    assert_eq!(code(&["--jobs", "nowhere", "validate"]), Some(2));
    tree.write("jobs.d/warn.yaml", "schedule: {at: 2001-01-01T00:00:00Z}\nrun: {command: [echo, hi]}\n");
    assert_eq!(code(&["validate"]), Some(0));
    assert_eq!(code(&["validate", "--strict"]), Some(1));
    tree.write("jobs.d/bad.yaml", BAD);
    assert_eq!(code(&["validate"]), Some(1));
    assert_eq!(code(&["validate", "jobs.d/ok.yaml"]), Some(0));
    fs::create_dir(tree.path("empty")).unwrap();
    let empty = tree.run(&["validate", "empty"]);
    assert_eq!(empty.code, Some(2));
    assert!(empty.stderr.contains("there is no manifest in `empty`"), "{}", empty.stderr);
}

#[test]
fn stdin_is_checked_where_it_belongs() {
    let tree = Tree::with(&[
        ("jobs.d/_defaults.yaml", "kind: defaults\nschedule: {timezone: Europe/Berln}\n"),
        ("jobs.d/a.yaml", "run: {command: [echo, a]}\n"),
    ]);
    let validate = |name: &str, text: &str| {
        let mut child = tree
            .command(&["validate", "-", "--stdin-filename", name, "--format", "concise"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let inside = validate("jobs.d/b.yaml", "schedule: {cron: \"@daily\"}\nrun: {command: [echo, b]}\n");
    assert!(inside.starts_with("jobs.d/_defaults.yaml:2:") && inside.contains("TIN032"), "{inside}");
    assert!(validate("jobs.d/b.yaml", "name: a\nrun: {command: [echo, b]}\n").contains("TIN020"));
    assert_eq!(validate("elsewhere.yaml", "schedule: {cron: \"@daily\"}\nrun: {command: [echo, b]}\n"), "");
}

#[test]
fn files_that_are_no_text_get_their_diagnostic() {
    let tree = Tree::with(&[("jobs.d/ok.yaml", "run: {command: [echo, hi]}\n"), ("jobs.d/empty.yaml", "")]);
    fs::write(tree.path("jobs.d/binary.yaml"), [0, 159, 146, 150]).unwrap();
    fs::write(tree.path("jobs.d/bom.yaml"), "\u{feff}run: {command: [echo, hi]}\r\n").unwrap();
    fs::write(tree.path("jobs.d/huge.yaml"), vec![b'#'; 50 * 1024 * 1024]).unwrap();
    std::os::unix::fs::symlink("nowhere.yaml", tree.path("jobs.d/link.yaml")).unwrap();
    std::os::unix::fs::symlink("loop.yaml", tree.path("jobs.d/loop.yaml")).unwrap();
    fs::create_dir(tree.path("jobs.d/directory.yaml")).unwrap();
    assert!(
        std::process::Command::new("mkfifo").arg(tree.path("jobs.d/pipe.yaml")).status().unwrap().success()
    );
    check(
        tree.run(&["validate", "--format", "concise"]),
        expect![[r#"
            jobs.d/binary.yaml:1:1: error TIN006: byte 1 of the file is not UTF-8 (save it as UTF-8; a file that is no manifest belongs elsewhere)
            jobs.d/directory.yaml:1:1: error TIN005: the file cannot be read: it is a directory with the name of a manifest (let a file stand there that can be read, or take it out of the tree)
            jobs.d/empty.yaml:1:1: error TIN007: the file holds no manifest (write a manifest (`tintal init` shows one), or remove the file)
            jobs.d/huge.yaml:1:1: error TIN002: the file has 52428800 bytes; at most 1048576 are read (split it into several files, or move it out of the tree)
            jobs.d/link.yaml:1:1: error TIN005: the file cannot be read: it is a symbolic link to `nowhere.yaml`, which does not exist (let a file stand there that can be read, or take it out of the tree)
            jobs.d/loop.yaml:1:1: error TIN005: the file cannot be read: its symbolic links lead round in a circle (let a file stand there that can be read, or take it out of the tree)
            jobs.d/pipe.yaml:1:1: error TIN005: the file cannot be read: it is a FIFO, not a file (let a file stand there that can be read, or take it out of the tree)
            --
            9 files checked, 2 jobs ready: 7 errors
            -- exit 1
        "#]],
    );
}

#[test]
fn a_billion_laughs_file_is_refused() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, last) in
        ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
    {
        let alias = format!("*{last}");
        text = format!("{text}{name}: &{name} [{}]\n", vec![alias; 10].join(", "));
    }
    let tree = Tree::with(&[("jobs.d/laughs.yaml", &text)]);
    let ran = tree.run(&["validate", "--format", "concise"]);
    assert!(ran.code == Some(1) && ran.stdout.contains("TIN002"), "{}", ran.stdout);
}

#[test]
fn plan_and_apply_come_to_rest() {
    let tree = Tree::with(&[
        ("jobs.d/a.yaml", "schedule: {cron: \"0 3 1 1 *\"}\nrun: {command: [echo, a]}\n"),
        ("jobs.d/b.yaml", "run: {command: [echo, b]}\n"),
    ]);
    assert_eq!(tree.run(&["plan", "--exit-code"]).code, Some(1));
    check(
        tree.run(&["apply"]),
        expect![[r#"
        create a on in-process
        create b on in-process
        --
        -- exit 0
    "#]],
    );
    check(
        tree.run(&["plan", "--exit-code"]),
        expect![[r#"
        nothing to do
        --
        -- exit 0
    "#]],
    );
    tree.write("jobs.d/a.yaml", "schedule: {cron: \"0 4 1 1 *\"}\nrun: {command: [echo, a]}\n");
    fs::remove_file(tree.path("jobs.d/b.yaml")).unwrap();
    let json = tree.json(&["plan", "--format", "json"]);
    assert_eq!(json["steps"][0]["why"], "changed");
    assert_eq!(json["steps"][0]["fields"][0]["after"], "0 4 1 1 *");
    assert_ne!(json["steps"][0]["next_before"], json["steps"][0]["next_after"]);
    assert_eq!(json["steps"][1]["change"], "prune");
    let markdown = tree.ok(&["plan", "--format", "markdown"]);
    assert!(markdown.contains("| a | in-process | put (changed) |"), "{markdown}");
    check(
        tree.run(&["apply"]),
        expect![[r#"
        update a on in-process
        prune b on in-process
        --
        -- exit 0
    "#]],
    );
    assert_eq!(tree.ok(&["plan", "--exit-code"]), "nothing to do\n");
}

#[test]
fn explain_says_where_each_value_comes_from() {
    let tree = Tree::with(&[
        (
            "jobs.d/_defaults.yaml",
            "kind: defaults\nlabels: {team: billing}\nschedule: {timezone: Europe/Berlin}\n",
        ),
        (
            "jobs.d/report.yaml",
            "schedule: {cron: \"30 2 * * *\"}\nrun: {command: [echo, hi]}\ncharacteristics: {durability: persistent}\n",
        ),
    ]);
    let text = tree.ok(&["explain", "report"]);
    let without_times: String = text
        .lines()
        .filter(|line| !line.contains(":00+0") && !line.starts_with("digest"))
        .map(|line| format!("{line}\n"))
        .collect();
    expect![[r##"
        # jobs.d/report.yaml:1
        name: report                                  # the file's name
        labels:
          team: billing                               # jobs.d/_defaults.yaml:2
        enabled: true                                 # built in
        schedule:
          cron: "30 2 * * *"                          # jobs.d/report.yaml:1
          timezone: Europe/Berlin                     # jobs.d/_defaults.yaml:3
          dst:
            gap: run-after                            # built in
            overlap: first                            # built in
          day_match: any                              # built in
        run:
          command: ["echo","hi"]                      # jobs.d/report.yaml:2
        characteristics:
          visibility: internal                        # built in
          durability: persistent                      # jobs.d/report.yaml:3
          infrastructure: local                       # built in
          frequency: low                              # derived
          complexity: simple                          # derived
        fallback: hold                                # built in
        queue:
          backend: embedded                           # the settings
          name: tintal                                # the settings
        policy:
          overlap: skip                               # built in
          max_running: 1                              # built in
          kill_grace: "10s"                           # built in
          retry:
            max_attempts: 1                           # built in

        tier      queue by rule R5 (persistent, or distributed: survives restarts, runs elsewhere)
                  in-process: not asked for, no rule that applies chooses it
                  queue: chosen, R5 (persistent, or distributed) chooses it
                  workflow: not asked for, not configured
        queue     tintal on embedded
                  delivery: at least once, and once as long as the ledger is kept: a message and the record of its run are in one file
                  order: of the queue; kept: in the ledger; with `ledger: memory` nothing
    "##]]
    .assert_eq(&without_times);
    let json = tree.json(&["explain", "report", "--json"]);
    assert_eq!(json["provenance"]["/labels/team"], "jobs.d/_defaults.yaml:2");
    assert_eq!((json["tier"].clone(), json["rule"].clone()), ("queue".into(), "R5".into()));
    assert_eq!(json["next"].as_array().unwrap().len(), 5);
    assert!(json["considered"][2]["why"].as_str().unwrap().contains("not configured"));
}

#[test]
fn next_tells_the_night_the_clock_changes() {
    let tree = Tree::with(&[(
        "jobs.d/report.yaml",
        "schedule: {cron: \"30 2 * * *\", timezone: Europe/Berlin}\nrun: {command: [echo, hi]}\n",
    )]);
    let json = tree.json(&["next", "report", "--after", "2026-03-28T12:00:00Z", "--count", "2", "--json"]);
    expect![[r#"{"v":1,"job":"report","timezone":"Europe/Berlin","fires":[{"fire_time":"2026-03-29T03:00:00+02:00","dst":"gap"},{"fire_time":"2026-03-30T02:30:00+02:00","dst":null}],"enabled":true,"reboot":false,"pause":null}"#]].assert_eq(&json.to_string());
    let text = tree.ok(&["next", "report", "--after", "2026-10-24T12:00:00Z", "--count", "2"]);
    expect![[r#"
        2026-10-25T02:30:00+02:00  (the clock shows this time twice)
        2026-10-26T02:30:00+01:00
    "#]]
    .assert_eq(&text);
}

#[test]
fn settings_come_from_file_environment_and_flags_in_this_order() {
    let tree =
        Tree::with(&[("tintal.yaml", "state: from-file\nlog: {level: debug}\nhistory: {max_age: 3d}\n")]);
    let config = |flags: &[&str], environment: &[(&str, &str)]| {
        let mut arguments = flags.to_vec();
        arguments.extend(["config", "--json"]);
        let mut command = tree.command(&arguments);
        let output = command.envs(environment.iter().copied()).output().unwrap();
        (
            String::from_utf8(output.stderr).unwrap(),
            serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(),
        )
    };
    let state = |json: &Value| {
        let state = &json["settings"]["state"];
        format!("{} {}", state["value"].as_str().unwrap(), state["origin"].as_str().unwrap())
    };
    assert_eq!(state(&config(&[], &[]).1), "from-file tintal.yaml:1");
    assert_eq!(state(&config(&[], &[("TINTAL_STATE", "from-env")]).1), "from-env TINTAL_STATE");
    assert_eq!(state(&config(&["--state", "flag"], &[("TINTAL_STATE", "from-env")]).1), "flag --state");
    let json = config(&[], &[("TINTAL_LOG__LEVEL", "warn"), ("TINTAL_HISTORY__KEEP_LAST", "7")]).1;
    assert_eq!(json["settings"]["log.level"]["origin"], "TINTAL_LOG__LEVEL");
    assert_eq!(json["settings"]["history.keep_last"]["value"], 7);
    assert_eq!(json["settings"]["output.max_bytes"]["value"], 10_485_760);
    assert_eq!(json["settings"]["history.max_age"]["origin"], "tintal.yaml:3");
    // What runs see is no setting.
    assert_eq!(state(&config(&[], &[("TINTAL_JOB", "x")]).1), "from-file tintal.yaml:1");
    for (name, value, part) in [
        ("TINTAL_STAT", "x", "did you mean `TINTAL_STATE`?"),
        ("TINTAL_LOG__FORMAT", "yaml", "`text` or `json`"),
        ("TINTAL_SHUTDOWN_TIMEOUT", "5", "unit"),
    ] {
        let (error, _) = config(&[], &[(name, value)]);
        assert!(error.contains(part) && error.contains(name), "{name}: {error}");
    }
    let (error, _) = config(&[], &[("TINTAL_PASSWORD", "hunter2")]);
    assert!(error.contains("TINTAL_PASSWORD") && !error.contains("hunter2"), "F19: {error}");
    tree.write("tintal.yaml", "stat: x\n");
    let ran = tree.run(&["config"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("tintal.yaml:1:1"), "{}", ran.stderr);
}

#[test]
fn run_shows_output_live_and_ends_as_the_job_does() {
    let tree = Tree::with(&[
        ("jobs.d/ok.yaml", "run: {shell: \"echo out; echo err >&2\"}\n"),
        (
            "jobs.d/bad.yaml",
            "run: {shell: \"echo $TINTAL_ATTEMPT; exit 3\"}\npolicy: {retry: {max_attempts: 2, initial: 1ms}}\n",
        ),
    ]);
    check(
        tree.run(&["run", "ok"]),
        expect![[r#"
            out
            err
            --
            tintal: `ok` succeeded
            -- exit 0
        "#]],
    );
    let bad = tree.run(&["run", "bad"]);
    assert_eq!((bad.stdout.as_str(), bad.code), ("1\n2\n", Some(1)));
    assert!(bad.stderr.contains("failed: exit status 3"), "{}", bad.stderr);
}

#[test]
fn init_writes_a_tree_that_works_and_keeps_what_is_there() {
    let tree = Tree::new();
    tree.write("tintal.yaml", "jobs: jobs.d\n");
    let out = tree.ok(&["init"]);
    assert!(out.contains("kept  tintal.yaml") && out.contains("wrote jobs.d/hello.yaml"), "{out}");
    tree.ok(&["validate", "--strict"]);
    assert!(tree.ok(&["run", "hello"]).starts_with("hello, it is 20"));
    tree.ok(&["run", "disk-space"]);
    assert!(tree.ok(&["init"]).lines().all(|line| line.starts_with("kept ")));
}

/// Runs `init`, and then what it says comes next; gives the directory of manifests that holds.
#[track_caller]
fn init(tree: &Tree, arguments: &[&str]) -> String {
    let ran = tree.run(&[arguments, &["init"][..]].concat());
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    let next = ran.stderr.split('`').nth(1).unwrap().to_owned();
    let words: Vec<&str> = next.strip_prefix("tintal ").unwrap().split(' ').collect();
    assert!(tree.run(&words).stderr.starts_with("2 files checked, 2 jobs ready"), "{next}");
    let config = [&words[..words.len() - 1], &["config", "--json"]].concat();
    tree.json(&config)["settings"]["jobs"]["value"].as_str().unwrap().to_owned()
}

#[test]
fn init_writes_where_the_settings_say() {
    let tree = Tree::new();
    assert_eq!(init(&tree, &["--jobs", "ops/jobs", "--state", "var/state"]), "ops/jobs");
    assert!(tree.path("ops/jobs/hello.yaml").is_file());
    assert!(fs::read_to_string(tree.path(".gitignore")).unwrap().contains("var/state/\n"));
    let hello = fs::read_to_string(tree.path("ops/jobs/hello.yaml")).unwrap();
    assert!(hello.starts_with("# yaml-language-server: $schema=../../schemas/job.schema.json\n"), "{hello}");

    let tree = Tree::with(&[("tintal.yaml", "jobs: manifests\n")]);
    assert_eq!(init(&tree, &[]), "manifests");
    assert_eq!(init(&tree, &["--jobs", "others"]), "others");

    let tree = Tree::new();
    assert_eq!(init(&tree, &["--config", "ops/t.yaml"]), "jobs.d");
    assert!(tree.path("ops/jobs.d/hello.yaml").is_file() && tree.path("ops/.gitignore").is_file());
    let both = tree.run(&["--config", "ops/t.yaml", "init", "ops"]);
    assert!(
        both.code == Some(2) && both.stderr.contains("either a directory or `--config`"),
        "{}",
        both.stderr
    );

    let empty = tree.command(&["init"]).env("TINTAL_CONFIG", "").output().unwrap();
    assert!(String::from_utf8(empty.stderr).unwrap().contains("names no file: it is empty"));

    // The settings of the working directory are not those of another one.
    let tree = Tree::with(&[("tintal.yaml", "jobs: manifests\n")]);
    let ran = tree.run(&["init", "new"]);
    assert!(ran.stderr.contains("`tintal --config new/tintal.yaml validate`"), "{}", ran.stderr);
    tree.ok(&["--config", "new/tintal.yaml", "validate"]);
    assert!(tree.path("new/jobs.d/hello.yaml").is_file());
}

#[test]
fn init_adds_the_state_directory_to_what_git_ignores() {
    let tree = Tree::with(&[(".gitignore", "target/")]);
    assert!(tree.ok(&["init"]).contains("added to .gitignore\n"));
    let ignore = fs::read_to_string(tree.path(".gitignore")).unwrap();
    assert_eq!(ignore, "target/\n# What the daemon of Tintal remembers.\n.tintal/\n");
    assert!(tree.ok(&["init"]).contains("kept  .gitignore\n"));
    assert_eq!(fs::read_to_string(tree.path(".gitignore")).unwrap(), ignore);
}

#[test]
fn init_writes_nothing_when_something_is_in_the_way() {
    let tree = Tree::with(&[("schemas", "a file\n")]);
    fs::create_dir_all(tree.path("jobs.d/hello.yaml")).unwrap();
    let ran = tree.run(&["init"]);
    assert!(
        ran.stderr.contains(
            "nothing was written: `jobs.d/hello.yaml` is a directory; `schemas` is not a directory"
        ),
        "{}",
        ran.stderr
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(!tree.path("tintal.yaml").exists() && !tree.path(".gitignore").exists());
}

#[test]
fn what_is_in_the_way_of_all_of_init_is_told_once() {
    let tree = Tree::with(&[("file", "")]);
    let ran = tree.run(&["init", "file"]);
    assert_eq!(ran.stderr, "error: nothing was written: `file` is not a directory\n");
    assert_eq!(ran.code, Some(2));
}

#[test]
fn settings_are_not_judged_as_a_manifest() {
    let tree = Tree::with(&[("tintal.yaml", "jobs: jobs.d\n"), ("conf/other.yaml", "jobs: ../jobs.d\n")]);
    for (path, config) in [("tintal.yaml", "tintal.yaml"), ("conf/other.yaml", "conf/other.yaml")] {
        let ran = tree.run(&["validate", path, "--config", config]);
        let told = format!("error: `{path}` holds settings, and is no manifest; `tintal config` checks it\n");
        assert_eq!((ran.stderr, ran.code), (told, Some(2)));
    }
    // In the tree every file is a manifest, whatever its name.
    tree.write("jobs.d/tintal.yaml", "run: {command: [echo, hi]}\n");
    assert_eq!(tree.run(&["validate", "jobs.d/tintal.yaml"]).code, Some(0));
}

#[test]
fn what_needs_the_daemon_says_that_there_is_none() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "run: {command: [echo, a]}\n")]);
    for command in ["trigger", "pause", "resume", "cancel"] {
        let ran = tree.run(&[command, "a"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{command}");
        let expected = "error: no daemon is running on `.tintal`; start one with `tintal serve`\n";
        assert_eq!(ran.stderr, expected, "{command}");
    }
}

/// Unknown is not empty: who may not look is not told that there is nothing.
#[test]
fn a_state_directory_that_cannot_be_looked_into_is_told() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "run: {command: [pwd]}\n")]);
    // As a directory that belongs to somebody else, for the owner of the machine too.
    std::os::unix::fs::symlink(".tintal", tree.path(".tintal")).unwrap();
    let run = "00000000-0000-5000-8000-000000000000";
    for arguments in [
        &["runs"][..],
        &["runs", "a"],
        &["list"],
        &["status"],
        &["plan"],
        &["apply"],
        &["logs", "a"],
        &["logs", run],
        &["trigger", "a"],
    ] {
        let ran = tree.run(arguments);
        assert!(ran.code == Some(2) && ran.stdout.is_empty(), "{arguments:?}: {}", ran.shown());
        let said = "whether a daemon is running on `.tintal` cannot be told: ";
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn rows_of_another_time_are_not_shown_when_the_ledger_is_kept_in_memory() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "run: {command: [echo, x]}\n")]);
    let daemon = tree.serve(&[]);
    let id = tree.ok(&["trigger", "a"]).trim().to_owned();
    tree.wait_for_runs("a", 1);
    assert_eq!(daemon.stop(), Some(0));
    tree.write("tintal.yaml", "ledger: memory\n");
    let ran = tree.run(&["runs", "a"]);
    assert!(ran.code == Some(0) && !ran.stdout.contains(&id), "{}", ran.shown());
    assert!(ran.stderr.contains("kept in memory (`ledger: memory`)"), "{}", ran.stderr);
    let ran = tree.run(&["logs", &id]);
    assert!(ran.code == Some(2) && ran.stderr.contains("there is no run"), "{}", ran.shown());
}

#[test]
fn list_filters_by_labels_with_and_without_a_daemon() {
    let job = |labels: &str| format!("labels: {{{labels}}}\nrun: {{command: [pwd]}}\n");
    let tree = Tree::with(&[
        ("jobs.d/a.yaml", &job("team: web, env: prod")),
        ("jobs.d/b.yaml", &job("team: web, env: dev")),
        ("jobs.d/c.yaml", &job("team: data")),
        ("jobs.d/d.yaml", "run: {command: [pwd]}\n"),
    ]);
    let look = || {
        for (labels, expected) in [
            (&[][..], "a b c d"),
            (&["team=web"], "a b"),
            (&["team=web", "env=dev"], "b"),
            (&["env"], "a b"),
            (&["team=nobody"], ""),
        ] {
            let flags: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
            let text = tree.ok(&[&["list"], &flags[..]].concat());
            let names: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
            let json = tree.json(&[&["list", "--json"], &flags[..]].concat());
            let jobs = json["jobs"].as_array().unwrap().iter();
            let in_json: Vec<&str> = jobs.map(|job| job["job"].as_str().unwrap()).collect();
            assert_eq!((names.join(" "), in_json.join(" ")), (expected.to_owned(), expected.to_owned()));
        }
        assert_eq!(tree.json(&["list", "--json"])["jobs"][0]["labels"]["env"], "prod");
    };
    look();
    let _daemon = tree.serve(&[]);
    look();
    assert_eq!(tree.run(&["list", "--label", "=web"]).code, Some(2));
}

#[test]
fn import_crontab_writes_manifests_that_hold() {
    let tree = Tree::new();
    tree.write("crontab", "CRON_TZ=Europe/Berlin\n30 2 * * * /opt/backup.sh\n*/5 * * * * date +\\%F > /tmp/x\n@reboot echo up\n");
    tree.ok(&["import", "crontab", "crontab", "--out", "jobs.d"]);
    tree.ok(&["validate", "--strict"]);
    let again = tree.run(&["import", "crontab", "crontab", "--out", "jobs.d"]);
    assert!(again.code == Some(2) && again.stderr.contains("cannot be written"), "{}", again.stderr);
}

#[test]
fn completions_and_schemas_are_printed() {
    let tree = Tree::new();
    assert!(tree.ok(&["completions", "bash"]).contains("_tintal"));
    for which in ["job", "defaults", "settings"] {
        let schema = tree.json(&["schema", which]);
        assert!(schema["$id"].as_str().unwrap().ends_with(&format!("{which}.schema.json")));
    }
}

#[test]
fn a_job_that_nobody_knows_is_told_and_one_that_is_gone_keeps_its_runs() {
    let tree = Tree::with(&[
        ("jobs.d/report.yaml", "run: {command: [echo, first]}\n"),
        ("jobs.d/other.yaml", "run: {command: [echo, other]}\n"),
    ]);
    let unknown = |tree: &Tree| {
        for command in ["runs", "logs"] {
            let ran = tree.run(&[command, "reprot"]);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{command}");
            assert_eq!(ran.stderr, "error: there is no job `reprot`; did you mean `report`?\n", "{command}");
        }
        let never = tree.run(&["logs", "other"]);
        assert_eq!(never.code, Some(2));
        assert!(never.stderr.starts_with("error: `other` has not run yet"), "{}", never.stderr);
        assert_eq!(tree.run(&["runs", "other"]).code, Some(0));
    };
    unknown(&tree);
    let daemon = tree.serve(&[]);
    unknown(&tree);
    tree.ok(&["trigger", "report", "--follow"]);
    assert_eq!(daemon.stop(), Some(0));
    fs::remove_file(tree.path("jobs.d/report.yaml")).unwrap();
    assert_eq!(tree.runs("report").len(), 1);
    assert_eq!(tree.ok(&["logs", "report"]), "first\n");
    let json = tree.json(&["logs", "report", "--json"]);
    assert_eq!(
        (json["v"].clone(), json["job"].clone(), json["output"].clone()),
        (1.into(), "report".into(), "first\n".into())
    );
    assert_eq!((json["attempt"]["n"].clone(), json["attempt"]["exit_code"].clone()), (1.into(), 0.into()));
    let beyond = tree.run(&["logs", "report", "--attempt", "2"]);
    assert!(
        beyond.code == Some(2) && beyond.stderr.contains("has no attempt 2; its last is 1"),
        "{}",
        beyond.stderr
    );
}

#[test]
fn json_is_said_in_one_way_everywhere() {
    let tree = Tree::with(&[("jobs.d/report.yaml", BAD)]);
    for command in ["validate", "plan"] {
        let long = tree.run(&[command, "--format", "json"]);
        let short = tree.run(&[command, "--json"]);
        assert_eq!((&short.stdout, short.code), (&long.stdout, long.code), "{command}");
        assert_eq!(tree.run(&[command, "--json", "--format", "text"]).code, Some(2), "{command}");
    }
    let said = tree.run(&["plan"]).stdout;
    assert!(said.contains("3 errors in the manifests"), "{said}");
    tree.write("jobs.d/report.yaml", "run: {command: [echo, hi]}\n");
    tree.write("crontab", "0 6 * * * /bin/true\n");
    tree.ok(&["apply"]);
    for command in [
        "explain report",
        "explain TIN001",
        "apply",
        "status",
        "list",
        "next report",
        "runs",
        "config",
        "import crontab crontab",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let with = |more: &[&str]| tree.run(&[&words[..], more].concat());
        let (short, long) = (with(&["--json"]), with(&["--format", "json"]));
        assert!(serde_json::from_str::<Value>(&short.stdout).is_ok(), "{command}: {}", short.shown());
        assert_eq!(short.shown(), long.shown(), "{command}");
        assert_eq!(with(&["--format", "text"]).shown(), with(&[]).shown(), "{command}");
        assert_eq!(with(&["--json", "--format", "text"]).code, Some(2), "{command}");
    }
    for command in ["run", "trigger", "logs"] {
        assert!(tree.ok(&[command, "--help"]).contains("--format <FORMAT>"), "{command}");
    }
    assert_eq!(tree.json(&["run", "report", "--format", "json"])["runs"][0]["outcome"], "success");
}

#[test]
fn paths_that_are_no_utf_8_are_refused_and_not_mangled() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let tree = Tree::new();
    let output = tree.command(&["validate", "--jobs"]).arg(OsStr::from_bytes(b"d\xff")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.contains("the value of `--jobs` is not UTF-8 text"),
        "{said}"
    );
}
