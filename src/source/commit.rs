//! The commit that a tree is at, when it is in a git work tree. Asks git itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use thiserror::Error;
use tokio::{process::Command, time::timeout};

use super::git::repository as repository_of;

/// How long git may take to look at a work tree: longer than a large one needs, and an end where a disk
/// or a hook hangs.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

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

/// Git took too long, and was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("git did not say within {} s which commit the manifests are at", .0.as_secs())]
pub struct TooSlow(Duration);

/// The stamp of the work tree that holds `root`; empty outside of one.
#[must_use]
pub fn stamp(root: &Path) -> Stamp {
    let Some(repository) = repository(root) else { return Vec::new() };
    let written = |name: &&str| fs::metadata(repository.join(name)).and_then(|found| found.modified()).ok();
    ["HEAD", "index", "logs/HEAD"].iter().map(written).collect()
}

/// The commit of the work tree that holds `root`; none outside of one, and when git does not say.
///
/// # Errors
///
/// When git takes longer than [`ANSWER_MAX`].
pub async fn commit(root: &Path) -> Result<Option<Commit>, TooSlow> {
    if repository(root).is_none() {
        return Ok(None);
    }
    within(ANSWER_MAX, async {
        let id = said(git(root, &["rev-parse", "--verify", "HEAD"])).await?;
        let changes = said(git(root, &["status", "--porcelain", "--", "."])).await?;
        Some(Commit { id: id.trim().to_owned(), dirty: !changes.trim().is_empty() })
    })
    .await
}

fn repository(root: &Path) -> Option<PathBuf> {
    let root = fs::canonicalize(root).ok()?;
    root.ancestors().map(|above| above.join(".git")).find_map(|dot_git| repository_of(&dot_git))
}

fn git(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    // It must not take the lock that we wait for, nor follow a hook's idea of where it is.
    command.env("GIT_OPTIONAL_LOCKS", "0");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command.arg("-C").arg(root).args(arguments);
    command
}

/// What a command prints, when it succeeds. It is killed when nobody waits for it any more.
async fn said(mut command: Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn within<T>(time_max: Duration, answer: impl Future<Output = T>) -> Result<T, TooSlow> {
    timeout(time_max, answer).await.map_err(|_| TooSlow(time_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_git_that_hangs_is_not_waited_for() {
        let mut hangs = Command::new("sleep");
        hangs.arg("1000");
        assert_eq!(within(Duration::ZERO, said(hangs)).await, Err(TooSlow(Duration::ZERO)));
        let mut answers = Command::new("echo");
        answers.arg("x");
        assert_eq!(within(ANSWER_MAX, said(answers)).await, Ok(Some("x\n".to_owned())));
        assert_eq!(within(ANSWER_MAX, said(Command::new("false"))).await, Ok(None));
    }
}
