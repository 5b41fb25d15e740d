//! What `validate` and `explain` say of files, of defaults, and of jobs that are refused, through the
//! binary.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Ran, Tree};
use serde_json::Value;

const OK: &str = "run: {command: [echo, hi]}\n";

fn concise(tree: &Tree, paths: &[&str]) -> Ran {
    let mut arguments = vec!["validate", "--format", "concise"];
    arguments.extend(paths);
    tree.run(&arguments)
}

/// F6: whatever is said or not said of it, a job that is not ready never passes.
#[test]
fn a_persistent_pin_without_a_ledger_on_disk_cannot_be_waved_away() {
    let job = "tier: in-process\ncharacteristics: {durability: persistent}\nrun: {command: [echo, hi]}\n";
    let tree = Tree::with(&[("tintal.yaml", "ledger: memory\n"), ("jobs.d/a.yaml", job)]);
    let ran = concise(&tree, &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stdout.contains("error TIN064"), "{}", ran.stdout);
    tree.write("jobs.d/a.yaml", &format!("# tintal: ignore TIN064 -- it is fine\n{job}"));
    let ran = concise(&tree, &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stdout.contains("error TIN064"), "{}", ran.stdout);
    tree.write("tintal.yaml", "ledger: file\n");
    tree.write("jobs.d/a.yaml", job);
    assert_eq!(concise(&tree, &["--strict"]).code, Some(0));
}

/// F21: the verdict on one file is that on the file in its tree.
#[test]
fn defaults_that_break_a_job_are_told_of_each_job_that_takes_them_over() {
    let daily = "schedule: {cron: \"@daily\"}\nrun: {command: [echo, hi]}\n";
    let tree = Tree::with(&[
        ("jobs.d/a.yaml", daily),
        ("jobs.d/b.yaml", daily),
        ("jobs.d/sub/c.yaml", daily),
        ("jobs.d/d.yaml", "schedule: {every: 1h}\nrun: {command: [echo, hi]}\n"),
    ]);
    for (defaults, code) in [
        ("kind: defaults\nschedule: {timezone: Europe/Berln}\n", "TIN032"),
        ("kind: defaults\npolicy: {timeout: 0s}\n", "TIN033"),
        ("kind: defaults\npolcy: {timeout: 1s}\n", "TIN010"),
        ("kind: defaults\n---\nkind: defaults\n", "TIN015"),
        ("# nothing\n", "TIN007"),
    ] {
        tree.write("jobs.d/_defaults.yaml", defaults);
        for file in ["jobs.d/a.yaml", "jobs.d/b.yaml", "jobs.d/sub/c.yaml", "jobs.d/_defaults.yaml", "jobs.d"]
        {
            let ran = concise(&tree, &[file]);
            assert_eq!(ran.code, Some(1), "{defaults}{file}: {}", ran.stdout);
            let lines: Vec<&str> = ran.stdout.lines().collect();
            let [line] = lines.as_slice() else { panic!("{defaults}{file}: {}", ran.stdout) };
            assert!(line.starts_with("jobs.d/_defaults.yaml:") && line.contains(code), "{line}");
        }
    }
    tree.write("jobs.d/_defaults.yaml", "kind: defaults\nschedule: {timezone: Europe/Berln}\n");
    let ran = concise(&tree, &["jobs.d/d.yaml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "it does not depend on the zone");
    let jobs = tree.json(&["list", "--json"]);
    let broken: Vec<&str> = jobs["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|job| job["conditions"].to_string().contains("TIN032"))
        .map(|job| job["job"].as_str().unwrap())
        .collect();
    assert_eq!(broken, ["a", "b", "c"], "{jobs}");
}

#[test]
fn two_files_of_defaults_in_a_directory_break_what_is_under_it() {
    let tree = Tree::with(&[
        ("jobs.d/sub/_defaults.yaml", "kind: defaults\n"),
        ("jobs.d/sub/_defaults.yml", "kind: defaults\n"),
        ("jobs.d/sub/a.yaml", OK),
        ("jobs.d/b.yaml", OK),
    ]);
    let ran = concise(&tree, &["jobs.d/sub/a.yaml"]);
    assert!(ran.code == Some(1) && ran.stdout.contains("two files of defaults"), "{}", ran.stdout);
    assert_eq!(concise(&tree, &["jobs.d/b.yaml"]).code, Some(0));
}

/// A pre-commit hook is called with the changed files only.
#[test]
fn changed_defaults_are_checked_with_the_jobs_that_they_govern() {
    let pinned = "kind: defaults\ncharacteristics: {infrastructure: distributed}\n";
    for directory in ["jobs.d", "elsewhere"] {
        let tree = Tree::with(&[
            (&format!("{directory}/_defaults.yaml"), "kind: defaults\n"),
            (&format!("{directory}/sub/_defaults.yml"), pinned),
            (&format!("{directory}/sub/a.yaml"), OK),
            (&format!("{directory}/b.yaml"), "run: {command: []}\n"),
        ]);
        let ran = concise(&tree, &[&format!("{directory}/sub/_defaults.yml")]);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        assert!(ran.stdout.contains("TIN067") && !ran.stdout.contains("b.yaml"), "{}", ran.stdout);
        let ran = concise(&tree, &[&format!("{directory}/_defaults.yaml")]);
        assert!(ran.stdout.contains("TIN067") && ran.stdout.contains("b.yaml"), "{}", ran.stdout);
    }
}

#[test]
fn a_file_outside_of_the_tree_has_the_defaults_of_all_directories_above_it() {
    let tree = Tree::with(&[
        ("jobs.d/a.yaml", OK),
        ("tintal.yaml", ""),
        ("other/_defaults.yml", "kind: defaults\nschedule: {timezone: Europe/Berln}\n"),
        ("other/sub/deep/x.yaml", "schedule: {cron: \"@daily\"}\nrun: {command: [echo, hi]}\n"),
        ("other/sub/deep/y.yaml", OK),
    ]);
    let absolute = tree.path("other/sub/deep/x.yaml");
    for path in ["other/sub/deep/x.yaml", "other/sub/deep", "other/sub", "other", absolute.to_str().unwrap()]
    {
        let ran = concise(&tree, &[path]);
        assert!(ran.code == Some(1) && ran.stdout.contains("TIN032"), "{path}: {}", ran.stdout);
    }
    assert_eq!(concise(&tree, &["other/sub/deep/y.yaml"]).code, Some(0));
    let mut command = tree.command(&["validate", "x.yaml", "--format", "concise"]);
    let output = command.current_dir(tree.path("other/sub/deep")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    // Nothing reaches into a project from outside of it.
    fs::write(tree.path("other/sub/tintal.yaml"), "").unwrap();
    assert_eq!(concise(&tree, &["other/sub/deep/x.yaml"]).code, Some(0));
}

#[test]
fn explain_of_a_job_that_is_refused_says_what_was_considered() {
    let tree = Tree::with(&[
        ("jobs.d/far.yaml", "characteristics: {infrastructure: distributed}\nrun: {command: [echo, hi]}\n"),
        ("jobs.d/bad.yaml", "schedule: {every: 0s}\nrun: {command: [echo, hi]}\n"),
    ]);
    let ran = tree.run(&["explain", "far"]);
    assert_eq!(ran.code, Some(1), "{}", ran.shown());
    assert!(
        ran.stdout.contains("TIN067") && ran.stdout.contains("tier      none; R5 chooses queue"),
        "{}",
        ran.stdout
    );
    let json = tree.json(&["explain", "far", "--json"]);
    assert_eq!(json["tier"], Value::Null);
    assert_eq!((&json["rule"], &json["rules_choose"]), (&"R5".into(), &"queue".into()));
    assert_eq!(json["considered"][0]["why"], "cannot run on other machines");
    assert_eq!(json["problems"][0]["code"], "TIN067");
    let json = tree.json(&["explain", "bad", "--json"]);
    assert_eq!((&json["rule"], &json["considered"]), (&Value::Null, &Value::Array(Vec::new())));
    assert_eq!(json["problems"][0]["code"], "TIN033");
}

#[test]
fn explain_marks_jobs_that_do_not_fire_by_the_clock() {
    let tree = Tree::with(&[
        ("jobs.d/boot.yaml", "schedule: {cron: \"@reboot\"}\nrun: {command: [echo, hi]}\n"),
        ("jobs.d/off.yaml", "enabled: false\nschedule: {every: 1h}\nrun: {command: [echo, hi]}\n"),
        ("jobs.d/dag.yaml", "schedule: {cron: \"@daily\"}\nrun: {steps: [{id: a, shell: echo hi}]}\n"),
    ]);
    let next = |job: &str| {
        let text = tree.ok(&["explain", job]);
        text.lines().find_map(|line| line.strip_prefix("next      ")).unwrap().to_owned()
    };
    assert_eq!(next("boot"), "once per start of the machine");
    assert_eq!(next("off"), "never: the job is disabled; enabled it would fire:");
    assert_eq!(tree.json(&["explain", "boot", "--json"])["at_boot"], true);
    assert_eq!(tree.json(&["explain", "off", "--json"])["enabled"], false);
    let dag = tree.json(&["explain", "dag", "--json"]);
    assert_eq!(dag["spec"]["characteristics"]["complexity"], "dag");
    assert_eq!(dag["provenance"]["/characteristics/complexity"], "derived");
    assert_eq!((&dag["tier"], &dag["queue"]["kind"]), (&"queue".into(), &"embedded".into()));
}

#[test]
fn explain_knows_its_codes() {
    let tree = Tree::new();
    for (code, nearest) in [("TIN999", "TIN084"), ("TIN36", "TIN036"), ("tin022", "TIN021")] {
        let ran = tree.run(&["explain", code]);
        assert_eq!(ran.code, Some(2), "{}", ran.shown());
        let expected = format!("error: there is no code `{code}`; the nearest is `{nearest}`");
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
    }
    let json = tree.json(&["explain", "TIN036", "--json"]);
    assert_eq!(
        (&json["v"], &json["code"], &json["severity"]),
        (&1.into(), &"TIN036".into(), &"warning".into())
    );
    for key in ["title", "text", "url"] {
        assert!(json[key].as_str().unwrap().contains(' ') || key == "url", "{json}");
    }
}
