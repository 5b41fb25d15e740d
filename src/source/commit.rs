//! The commit that a tree is at, when it is in a git work tree. Asks git itself; blocking.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use super::git;

/// Where a work tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The commit, as git names it.
    pub id: String,
    /// Whether the tree differs from it.
    pub dirty: bool,
}

/// When git last wrote to what says which commit a work tree is at. Equal stamps and an equal tree
/// mean the same [`Commit`], so that git need not be asked.
pub type Stamp = Vec<Option<SystemTime>>;

/// The stamp of the work tree that holds `root`; empty outside of one.
#[must_use]
pub fn stamp(root: &Path) -> Stamp {
    let Some(repository) = repository(root) else { return Vec::new() };
    let written = |name: &&str| fs::metadata(repository.join(name)).and_then(|found| found.modified()).ok();
    ["HEAD", "index", "logs/HEAD"].iter().map(written).collect()
}

/// The commit of the work tree that holds `root`; none outside of one, and when git does not say.
#[must_use]
pub fn commit(root: &Path) -> Option<Commit> {
    repository(root)?;
    let id = ask(root, &["rev-parse", "--verify", "HEAD"])?;
    let changes = ask(root, &["status", "--porcelain", "--", "."])?;
    Some(Commit { id: id.trim().to_owned(), dirty: !changes.trim().is_empty() })
}

fn repository(root: &Path) -> Option<PathBuf> {
    let root = fs::canonicalize(root).ok()?;
    root.ancestors().map(|above| above.join(".git")).find_map(|dot_git| git::repository(&dot_git))
}

fn ask(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // It must not take the lock that we wait for, nor follow a hook's idea of where it is.
    command.env("GIT_OPTIONAL_LOCKS", "0");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command.arg("-C").arg(root).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
