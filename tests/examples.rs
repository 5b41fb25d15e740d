//! Every example, and what this repository runs itself, holds and comes to rest.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path};

use common::Tree;

fn examples() -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all: Vec<_> = fs::read_dir(root.join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    all.push(root.join("jobs.d"));
    all.sort();
    assert!(all.len() > 8, "{all:?}");
    all
}

#[test]
fn every_example_is_valid_has_a_readme_and_is_applied_once() {
    for directory in examples() {
        let tree = Tree::new();
        let jobs = directory.to_str().unwrap();
        let ran = tree.run(&["--jobs", jobs, "validate", "--format", "concise"]);
        assert_eq!(ran.code, Some(0), "{jobs}: {}", ran.stdout);
        assert!(!ran.stdout.contains(" error "), "{jobs}: {}", ran.stdout);
        let readme = directory.join("README.md");
        assert!(directory.ends_with("jobs.d") || !fs::read_to_string(&readme).unwrap().trim().is_empty());
        assert_eq!(tree.run(&["--jobs", jobs, "plan", "--exit-code"]).code, Some(1), "{jobs}");
        tree.ok(&["--jobs", jobs, "apply"]);
        assert_eq!(tree.ok(&["--jobs", jobs, "plan", "--exit-code"]), "nothing to do\n", "{jobs}");
    }
}

#[test]
fn the_jobs_of_this_repository_do_something_useful() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.d");
    let tree = Tree::new();
    let jobs = jobs.to_str().unwrap();
    for job in ["disk-space", "machine-report", "scratch-cleanup"] {
        tree.ok(&["--jobs", jobs, "run", job]);
    }
    let _daemon = tree.serve(&["--jobs", jobs]);
    let ran = tree.run(&["--jobs", jobs, "trigger", "daemon-health", "--follow"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
}
