//! The hooks, with the real pre-commit in a real repository: what breaks the tree blocks the commit,
//! whatever files the commit has.

#![cfg(feature = "servers")]
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use common::Tree;

const GOOD: &str = "run: {command: [echo, hi]}\n";

/// A repository with a hook of ours, and the directory of the `tintal` that it runs.
struct Repository {
    tree: Tree,
    binary: PathBuf,
}

impl Repository {
    /// The hook as this repository offers it, in the form of a local one: it runs the same entry.
    fn with_hook(id: &str, arguments: &str, binary: PathBuf) -> Self {
        let hook = hook(id).replace("language: rust", "language: system");
        let tree = Tree::new();
        tree.write(
            ".pre-commit-config.yaml",
            &format!("repos:\n  - repo: local\n    hooks:\n      - id: {id}\n{hook}{arguments}"),
        );
        let repository = Self { tree, binary };
        assert!(repository.git(&["init", "-q"]).status.success());
        let install = repository.command(&env::var("TEST_PRE_COMMIT").unwrap(), &["install"]);
        assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
        repository
    }

    fn system() -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_tintal")).parent().unwrap();
        Self::with_hook("tintal-validate-system", "", binary.to_owned())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Output {
        let pre_commit = env::var("TEST_PRE_COMMIT").unwrap();
        let first = [self.binary.clone(), Path::new(&pre_commit).parent().unwrap().to_owned()];
        let rest = env::var_os("PATH").unwrap();
        let path = first.into_iter().chain(env::split_paths(&rest));
        Command::new(program)
            .args(arguments)
            .current_dir(self.tree.root())
            .env("PATH", env::join_paths(path).unwrap())
            .env("PRE_COMMIT_HOME", self.tree.path(".pre-commit-home"))
            .output()
            .unwrap()
    }

    fn git(&self, arguments: &[&str]) -> Output {
        let identity =
            ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"];
        self.command("git", &[&identity[..], arguments].concat())
    }

    /// Commits what changed under `paths`; gives whether it was let through, and what was said.
    fn commit(&self, paths: &[&str]) -> (bool, String) {
        assert!(self.git(&[&["add", "--all"][..], paths].concat()).status.success());
        let done = self.git(&["commit", "-m", "a change"]);
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    fn passes(&self, paths: &[&str]) {
        let (passed, said) = self.commit(paths);
        assert!(passed && said.contains("tintal validate"), "{said}");
    }

    #[track_caller]
    fn is_blocked(&self, paths: &[&str], expected: &str) {
        let (passed, said) = self.commit(paths);
        assert!(!passed && said.contains(expected), "{said}");
    }
}

/// The lines of a hook below its id, indented as in a configuration.
fn hook(id: &str) -> String {
    let hooks =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".pre-commit-hooks.yaml")).unwrap();
    let (_, rest) = hooks.split_once(&format!("- id: {id}\n")).unwrap();
    rest.lines().take_while(|line| line.starts_with(' ')).map(|line| format!("      {line}\n")).collect()
}

#[test]
fn a_bad_manifest_blocks_the_commit_and_a_good_one_passes() {
    let repository = Repository::system();
    repository.tree.write("jobs.d/a.yaml", "run: {comand: [echo, hi]}\n");
    repository.is_blocked(&[".pre-commit-config.yaml", "jobs.d"], "did you mean `command`?");
    repository.tree.write("jobs.d/a.yaml", GOOD);
    repository.passes(&["jobs.d"]);
}

#[test]
fn defaults_that_break_jobs_block_a_commit_of_nothing_else() {
    let repository = Repository::system();
    repository.tree.write("jobs.d/_defaults.yaml", "kind: defaults\nparams: {day: monday}\n");
    repository.tree.write("jobs.d/a.yaml", "run: {command: [echo, \"{{ params.day }}\"]}\n");
    repository.passes(&["."]);
    repository.tree.write("jobs.d/_defaults.yaml", "kind: defaults\nparams: {week: 1}\n");
    repository.is_blocked(&["jobs.d/_defaults.yaml"], "the job has no parameter `day`");
}

#[test]
fn a_commit_that_only_deletes_is_checked() {
    let repository = Repository::system();
    repository.tree.write("jobs.d/a.yaml", GOOD);
    repository.tree.write("jobs.d/team/_defaults.yaml", "kind: defaults\nparams: {day: monday}\n");
    repository.tree.write("jobs.d/team/b.yaml", "run: {command: [echo, \"{{ params.day }}\"]}\n");
    repository.passes(&["."]);
    fs::remove_file(repository.tree.path("jobs.d/team/_defaults.yaml")).unwrap();
    repository.is_blocked(&["jobs.d"], "the job has no parameter `day`");
    fs::remove_dir_all(repository.tree.path("jobs.d/team")).unwrap();
    repository.passes(&["jobs.d"]);
}

#[test]
fn a_hidden_file_is_no_manifest() {
    let repository = Repository::system();
    repository.tree.write("jobs.d/a.yaml", GOOD);
    repository.passes(&["."]);
    repository.tree.write("jobs.d/.hidden.yaml", "no: manifest\n");
    repository.passes(&["jobs.d"]);
}

#[test]
fn the_hook_that_builds_runs_what_cargo_installs() {
    // pre-commit calls `cargo install --bins --root … --path .`, in release; a debug build takes the
    // same way, and reuses what is built already.
    let root = tempfile::tempdir().unwrap();
    let installed = Command::new(env!("CARGO"))
        .args(["install", "--bins", "--debug", "--locked", "--offline", "--quiet", "--path", ".", "--root"])
        .arg(root.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // What the outer cargo says of this package would make build scripts run anew.
        .env_clear()
        .envs(env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            !name.starts_with("CARGO") || ["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&&*name)
        }))
        .output()
        .unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let arguments = "        args: [--jobs, ops/jobs.d]\n";
    let repository = Repository::with_hook("tintal-validate", arguments, root.path().join("bin"));
    repository.tree.write("ops/jobs.d/a.yaml", "run: {comand: [echo, hi]}\n");
    repository.is_blocked(&["."], "ops/jobs.d/a.yaml:1:7");
    repository.tree.write("ops/jobs.d/a.yaml", GOOD);
    repository.passes(&["."]);
}

#[test]
fn hooks_and_the_configurations_in_the_documents_are_well_formed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let check = |arguments: &[&str]| {
        let checked = Command::new(env::var("TEST_PRE_COMMIT").unwrap())
            .args(arguments)
            .current_dir(root)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    };
    check(&["validate-manifest", ".pre-commit-hooks.yaml"]);
    let page = fs::read_to_string(root.join("docs/pre-commit.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```yaml pre-commit\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), block).unwrap();
        check(&["validate-config", file.path().to_str().unwrap()]);
        for id in block.lines().filter_map(|line| line.trim().strip_prefix("- id: ")) {
            assert!(!hook(id).is_empty(), "{id}");
        }
    }
}
