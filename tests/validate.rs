//! `tintal validate` from the outside: its exit codes, and what each format says.

#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeSet, fs, io::Write as _, os::unix::fs::PermissionsExt as _, process::Stdio};

use common::{Ran, Tree};
use serde_json::Value;

const GOOD: &str = "run: {shell: a}\n";

/// A warning.
const PAST: &str = "schedule: {at: 2001-01-01T00:00:00Z}\nrun: {shell: a}\n";

/// Runs `tintal validate` with a text on stdin.
fn with_stdin(tree: &Tree, arguments: &[&str], text: &str) -> Ran {
    let mut child = tree
        .command(&[&["validate", "--format", "concise"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

fn concise(tree: &Tree, arguments: &[&str]) -> Ran {
    tree.run(&[&["validate", "--format", "concise"], arguments].concat())
}

#[test]
fn what_was_named_and_cannot_be_read_could_not_be_told() {
    let tree = Tree::with(&[("jobs.d/ok.yaml", GOOD), ("bad.yaml", "run: {shel: a}\n")]);
    for path in ["nope.yaml", "nopedir/", "/dev/null", "jobs.d/nope.yaml"] {
        let ran = concise(&tree, &[path]);
        assert!(ran.code == Some(2) && ran.stdout.contains("TIN005"), "{path}: {}", ran.shown());
        let both = concise(&tree, &["bad.yaml", path]);
        assert!(both.code == Some(2) && both.stdout.contains("TIN010"), "{path}: {}", both.shown());
    }
    assert_eq!(concise(&tree, &["bad.yaml"]).code, Some(1));
}

#[test]
fn a_directory_that_cannot_be_listed_is_told_as_that() {
    let tree = Tree::with(&[("jobs.d/ok.yaml", GOOD), ("jobs.d/locked/a.yaml", GOOD)]);
    let locked = tree.path("jobs.d/locked");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    // Root lists it all the same.
    let is_closed = fs::read_dir(&locked).is_err();
    let ran = concise(&tree, &["jobs.d/locked"]);
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
    if is_closed {
        assert_eq!(ran.code, Some(2), "{}", ran.shown());
        assert!(ran.stdout.contains("TIN005") && ran.stdout.contains("permission denied"), "{}", ran.shown());
    }
}

#[test]
fn stdin_is_given_once_and_stands_for_a_file() {
    let tree = Tree::with(&[("jobs.d/ok.yaml", GOOD), ("l1/s.yaml", GOOD)]);
    for arguments in [
        &["jobs.d", "--stdin-filename", "a.yaml"][..],
        &["-", "-"],
        &["-", "--stdin-filename", "l1"],
        &["-", "--stdin-filename", "l1/"],
        &["-", "--stdin-filename", ".."],
    ] {
        let ran = with_stdin(&tree, arguments, "");
        assert!(ran.code == Some(2) && ran.stderr.starts_with("error: "), "{arguments:?}: {}", ran.shown());
    }
    let twice = with_stdin(&tree, &["l1/s.yaml", "-", "--stdin-filename", "foo/s.yaml"], GOOD);
    assert!(twice.code == Some(1) && twice.stdout.contains("TIN020"), "{}", twice.shown());
    let inside = with_stdin(
        &tree,
        &["jobs.d/ok.yaml", "-", "--stdin-filename", "jobs.d/b.yaml"],
        "name: ok\nrun: {shell: a}\n",
    );
    assert!(inside.code == Some(1) && inside.stdout.contains("TIN020"), "{}", inside.shown());
}

#[test]
fn strict_warnings_are_errors_in_every_format() {
    let tree = Tree::with(&[("jobs.d/warn.yaml", PAST)]);
    for (format, plain, strict) in [
        ("concise", "warning TIN035", "error TIN035"),
        ("json", "\"severity\": \"warning\"", "\"severity\": \"error\""),
        ("sarif", "\"level\": \"warning\"", "\"level\": \"error\""),
        ("github", "::warning ", "::error "),
        ("gitlab", "\"severity\": \"minor\"", "\"severity\": \"major\""),
        ("junit", "failures=\"0\"", "failures=\"1\""),
        ("text", "⚠", "×"),
    ] {
        let ran = tree.run(&["validate", "--format", format]);
        assert!(ran.code == Some(0) && ran.stdout.contains(plain), "{format}: {}", ran.shown());
        let ran = tree.run(&["validate", "--strict", "--format", format]);
        assert!(ran.code == Some(1) && ran.stdout.contains(strict), "{format}: {}", ran.shown());
    }
}

#[test]
fn every_format_gives_the_same_position() {
    let text = "name: a\nrun: {shell: a}\nname: b\n---\nname: c\nrun: {shell: a, command: [b]}\n";
    let tree = Tree::with(&[("jobs.d/a.yaml", text)]);
    let json = tree.json(&["validate", "--format", "json"]);
    let lines = tree.run(&["validate"]).stdout;
    let problems = json["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{json}");
    for problem in problems {
        let header = format!("[jobs.d/a.yaml:{}:{}]", problem["line"], problem["column"]);
        assert!(lines.contains(&header), "{header}: {lines}");
    }
}

#[test]
fn what_a_file_holds_does_not_steer_the_terminal() {
    let text = "\"\u{1b}[31mk\": 1\nrun: {shell: \"a\u{202e}\"}\nb: \"\\0\"\n";
    let tree = Tree::with(&[("jobs.d/a.yaml", text), ("jobs.d/b\nc.yaml", "runn: 1\n")]);
    for format in ["text", "concise", "github", "junit"] {
        let out = tree.run(&["validate", "--format", format]).stdout;
        let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!out.contains(steers), "{format}: {out:?}");
    }
    let lines = concise(&tree, &[]).stdout;
    assert!(lines.lines().all(|line| line.starts_with("jobs.d/")), "{lines}");
    assert!(lines.contains("jobs.d/b\\nc.yaml:1:1: error"), "{lines}");
}

/// `FAILURE_MODES` F19: in no format, in no spelling, whatever else is wrong there.
#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    let formats = ["text", "concise", "json", "sarif", "github", "gitlab", "junit"];
    let secrets = [
        "secrets: {X: hunter2}",
        "secrets: {X: {value: hunter2}}",
        "secrets:\n    X: |\n      hunter2\n    Y: 1\n",
        "secrets: hunter2",
        "secrets: [hunter2]",
        "secrets: {X: {env: \"postgres://u:hunter2@h/db\"}}",
        "secrets: {X: {hunter2}}",
        "secrets: {\"BAD KEY\": hunter2}",
        "secrets: {postgres://u:hunter2@h/db}",
        "secrets: {X: {file: \"a\\nhunter2\"}}",
        "secret: {X: hunter2}",
        "Secrts: {X: hunter2}",
        "secrets: {A: {env: B}}\n  secret: {X: hunter2}",
        "secrets: {X: 48151623}",
        "secrets: {X: {env: 48151623}}",
        "secrets: {X: 4815162342e999}",
        // What is wrong as YAML.
        "secrets: {X: {env: Y}, X: hunter2}",
        "secrets: {X: {env: Y, env: hunter2!}}",
        "secrets: {X: {env: Y}}\n  secrets: {X: hunter2}",
        "secrets: {X: {env: Y}, 7: hunter2}",
        "secrets: {X: {env: Y}, <<: hunter2}",
        "secrets: {X: *hunter2}",
        "secrets: {X: &hunter2 }",
        "secrets: {X: !hunter2}",
        "secrets:\n    X: @hunter2\n",
        "secrets:\n    X: is hunter2: yes\n",
        "secrets:\n    X: \"hunter2\n",
        "secrets:\n    X: 'is' hunter2\n",
        "secrets: {X: hunter2",
        "secrets:\n    X: {env: Y}\n    Z: \"\n hunter2\n",
    ];
    let is_shown = |text: &str| text.contains("hunter2") || text.contains("481516");
    let files: Vec<(String, String)> = (0..)
        .zip(secrets)
        .flat_map(|(index, secrets)| {
            let job = format!("name: a{index}\nrun:\n  shell: a\n  {secrets}\nnope: 1\n");
            let defaults = format!("kind: defaults\nrun:\n  {secrets}\n");
            let above = format!("{secrets}\nrun: {{shell: a}}\n");
            let files = [("a.yaml", job), ("_defaults.yaml", defaults), ("b.yaml", above)];
            files.map(|(path, text)| (format!("jobs.d/{index}/{}/{path}", path.len()), text))
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let tree = Tree::with(&files);
    for format in formats {
        let ran = tree.run(&["validate", "--format", format]);
        let shown: Vec<&str> = ran.stdout.lines().filter(|line| is_shown(line)).collect();
        assert_eq!((ran.code, shown), (Some(1), Vec::new()), "{format}: {}", ran.shown());
        let untold: Vec<_> = files.iter().filter(|(path, _)| !ran.stdout.contains(path)).collect();
        assert!(untold.is_empty(), "{format}: {untold:?}");
    }
}

#[test]
fn of_defaults_on_stdin_no_suppression_is_called_unused() {
    let text = "kind: defaults\npolicy: {timeout: 2h} # tintal: ignore TIN040 -- meant\n";
    let job = "schedule: {every: 1h}\nrun: {shell: a}\n";
    let tree = Tree::with(&[("jobs.d/ok.yaml", GOOD), ("x/_defaults.yaml", text), ("x/a.yaml", job)]);
    let ran = with_stdin(&tree, &["-", "--stdin-filename", "x/_defaults.yaml"], text);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.shown());
}

#[test]
fn a_tree_that_is_one_file_is_called_by_its_path() {
    let tree = Tree::with(&[("jobs.d/d.yaml", "run: {shel: a}\n"), ("e.yaml", "run: {shel: a}\n")]);
    for path in ["jobs.d/d.yaml", "e.yaml"] {
        let ran = tree.run(&["--jobs", path, "validate", "--format", "concise"]);
        assert!(ran.stdout.starts_with(&format!("{path}:1:")), "{}", ran.shown());
    }
}

#[test]
fn a_lone_carriage_return_ends_a_line() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "run: {shell: a}\rnope: 1\r")]);
    assert!(concise(&tree, &[]).stdout.starts_with("jobs.d/a.yaml:2:1: "));
    let lines = tree.run(&["validate"]).stdout;
    assert!(lines.contains("1 │ run: {shell: a}\n") && lines.contains("2 │ nope: 1\n"), "{lines}");
}

#[test]
fn a_line_of_a_megabyte_is_not_printed() {
    let text = format!("run: {{shell: a}}\nlabels: {{{}}}\n", "a: 1, ".repeat(50_000));
    let tree = Tree::with(&[("jobs.d/a.yaml", &text)]);
    let ran = tree.run(&["validate"]);
    assert!(ran.stdout.contains("jobs.d/a.yaml:2:16: `a` is given twice"), "{}", &ran.stdout[..500]);
    assert!(ran.stdout.len() < 100_000, "{}", ran.stdout.len());
}

#[test]
fn fingerprints_are_unique_and_stay_when_lines_move() {
    let fingerprints = |text: &str| -> Vec<String> {
        let tree = Tree::with(&[("jobs.d/a.yaml", text)]);
        let issues = tree.json(&["validate", "--format", "gitlab"]);
        let issues = issues.as_array().unwrap();
        for issue in issues {
            for field in ["description", "check_name", "fingerprint", "severity"] {
                assert!(issue[field].is_string(), "{field}: {issue}");
            }
            assert!(issue["location"]["path"].is_string(), "{issue}");
            assert!(issue["location"]["lines"]["begin"].is_u64(), "{issue}");
        }
        issues.iter().map(|issue| issue["fingerprint"].as_str().unwrap().to_owned()).collect()
    };
    let one = "name: a\nnope: 1\nrun: {shell: a}\n---\n";
    let text = format!(
        "{one}{}nope: 1\nrun: {{shell: a}}\n---\nnope: 1\nrun: {{shell: a}}\n",
        one.replace('a', "b")
    );
    let before = fingerprints(&text);
    assert_eq!(before.len(), before.iter().collect::<BTreeSet<_>>().len());
    assert!(before.len() >= 4, "{before:?}");
    assert_eq!(fingerprints(&format!("# a comment\n\n{text}")), before);
    let first_mended = fingerprints(&text.replacen("nope: 1\n", "", 1));
    assert_eq!(first_mended, before[1..]);
}

#[test]
fn auto_is_for_github_only_there() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "nope: 1\nrun: {shell: a}\n")]);
    for (name, value, starts) in [
        ("GITHUB_ACTIONS", "true", "::error file="),
        ("GITHUB_ACTIONS", "false", "TIN010 "),
        ("GITLAB_CI", "true", "TIN010 "),
        ("CI", "true", "TIN010 "),
    ] {
        let output = tree.command(&["validate"]).env(name, value).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.starts_with(starts), "{name}={value}: {out}");
    }
}

#[test]
fn workflow_commands_escape_what_would_end_them() {
    let tree = Tree::with(&[("jobs.d/100%,a:b.yaml", "\"50%\\n,:\": 1\nrun: {shell: a}\n")]);
    let out = tree.run(&["validate", "--format", "github"]).stdout;
    assert!(out.starts_with("::error file=jobs.d/100%25%2Ca%3Ab.yaml,line=1,"), "{out}");
    assert!(out.lines().count() == 1 && out.contains("50%25"), "{out}");
}

#[test]
fn related_places_are_in_the_reports_that_have_a_place_for_them() {
    let tree = Tree::with(&[
        ("jobs.d/a.yaml", "name: x\nrun: {shell: a}\n"),
        ("jobs.d/b.yaml", "\nname: x\nrun: {shell: a}\n"),
    ]);
    let sarif = tree.json(&["validate", "--format", "sarif"]);
    let result = &sarif["runs"][0]["results"][0];
    let related = &result["relatedLocations"][0];
    assert_eq!(related["physicalLocation"]["artifactLocation"]["uri"], "jobs.d/a.yaml", "{result}");
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 2, "{result}");
    let json = tree.json(&["validate", "--format", "json"]);
    assert_eq!(json["problems"][0]["related"][0]["file"], Value::from("jobs.d/a.yaml"));
}

#[test]
fn carets_are_under_the_part_that_is_meant_however_it_is_written() {
    for (shell, line, column) in [
        ("'it''s '' {{ params.x }}'", 2, 23),
        ("|\n    echo\n    echo {{ params.x }}", 4, 13),
        (">\n    echo\n    {{ params.x }}", 4, 8),
        ("echo\n    {{ params.x }}", 3, 8),
    ] {
        let tree = Tree::with(&[("jobs.d/a.yaml", &format!("run:\n  shell: {shell}\n"))]);
        let json = tree.json(&["validate", "--format", "json"]);
        let problem = &json["problems"][0];
        assert_eq!(problem["code"], "TIN054", "{json}");
        assert_eq!((&problem["line"], &problem["column"]), (&line.into(), &column.into()), "{shell}: {json}");
    }
}

#[test]
fn a_file_whose_ending_is_in_capitals_is_looked_at() {
    let tree = Tree::with(&[("jobs.d/a.YAML", GOOD), ("jobs.d/UPPER.YML", GOOD)]);
    let ran = concise(&tree, &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.shown());
    assert!(ran.stdout.starts_with("jobs.d/UPPER.YML:1:1: error TIN021"), "{}", ran.shown());
    assert!(ran.stderr.contains("2 files checked, 1 job ready"), "{}", ran.shown());
}
