//! The hook, with the real pre-commit in a real repository: a bad manifest blocks the commit, a
//! good one passes.

#![cfg(feature = "servers")]
#![allow(clippy::unwrap_used)]

mod common;

use std::{env, fs, path::Path, process::Command};

use common::Tree;

fn git(tree: &Tree, arguments: &[&str]) -> std::process::Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_tintal")).parent().unwrap();
    let pre_commit = env::var("TEST_PRE_COMMIT").unwrap();
    let path = env::join_paths(
        [binary, Path::new(&pre_commit).parent().unwrap()]
            .into_iter()
            .map(Path::to_path_buf)
            .chain(env::split_paths(&env::var_os("PATH").unwrap())),
    );
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"];
    Command::new("git")
        .args(identity)
        .args(arguments)
        .current_dir(tree.root())
        .env("PATH", path.unwrap())
        .env("PRE_COMMIT_HOME", tree.path(".pre-commit-home"))
        .output()
        .unwrap()
}

#[test]
fn a_bad_manifest_blocks_the_commit_and_a_good_one_passes() {
    // The hook as this repository offers it, in the form of a local one: it runs the same entry.
    let hooks =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".pre-commit-hooks.yaml")).unwrap();
    let (_, system) = hooks.split_once("- id: tintal-validate-system").unwrap();
    let hook: String = system.lines().skip(1).map(|line| format!("      {line}\n")).collect();
    let tree = Tree::new();
    tree.write(
        ".pre-commit-config.yaml",
        &format!("repos:\n  - repo: local\n    hooks:\n      - id: tintal-validate-system\n{hook}"),
    );
    assert!(git(&tree, &["init", "-q"]).status.success());
    let install = Command::new(env::var("TEST_PRE_COMMIT").unwrap())
        .args(["install"])
        .current_dir(tree.root())
        .env("PRE_COMMIT_HOME", tree.path(".pre-commit-home"))
        .output()
        .unwrap();
    assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));

    tree.write("jobs.d/a.yaml", "run: {comand: [echo, hi]}\n");
    assert!(git(&tree, &["add", ".pre-commit-config.yaml", "jobs.d"]).status.success());
    let blocked = git(&tree, &["commit", "-m", "bad"]);
    let said =
        format!("{}{}", String::from_utf8_lossy(&blocked.stdout), String::from_utf8_lossy(&blocked.stderr));
    assert!(!blocked.status.success() && said.contains("did you mean `command`?"), "{said}");

    tree.write("jobs.d/a.yaml", "run: {command: [echo, hi]}\n");
    assert!(git(&tree, &["add", "jobs.d"]).status.success());
    let passed = git(&tree, &["commit", "-m", "good"]);
    assert!(passed.status.success(), "{}", String::from_utf8_lossy(&passed.stderr));
}

#[test]
fn both_hooks_are_well_formed() {
    let root = env!("CARGO_MANIFEST_DIR");
    let checked = Command::new(env::var("TEST_PRE_COMMIT").unwrap())
        .args(["validate-manifest", ".pre-commit-hooks.yaml"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
