//! A directory of manifests that a test may do to what people do.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::{
    manifest::file::{Content, ManifestFile},
    source::{
        alarm::Hint,
        scan::{Scan, ScanError, Scanner},
        watch::{Mode, Wanted, Watcher},
    },
};

/// How long a nudge may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(10);

/// A moment at which no file is so young that it is read again.
pub(super) fn later() -> Timestamp {
    Timestamp::from_second(7_000_000_000).unwrap()
}

/// An empty directory of manifests, `jobs.d`, in a directory of its own.
pub(super) struct Tree {
    place: TempDir,
}

impl Tree {
    pub(super) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("jobs.d")).unwrap();
        Self { place }
    }

    /// A tree with these files in it.
    pub(super) fn with(files: &[(&str, &str)]) -> Self {
        let tree = Self::new();
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    pub(super) fn root(&self) -> PathBuf {
        self.place.path().join("jobs.d")
    }

    /// A path in the root, or with `../` beside it.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        match path.strip_prefix("../") {
            Some(beside) => self.place.path().join(beside),
            None => self.root().join(path),
        }
    }

    pub(super) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn link(&self, target: impl AsRef<Path>, path: &str) {
        symlink(target, self.path(path)).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Runs a script in the root.
    #[track_caller]
    pub(super) fn sh(&self, script: &str) {
        run(Command::new("sh").args(["-euc", script]).current_dir(self.root()));
    }

    pub(super) fn scan(&self) -> Result<Scan, ScanError> {
        Scanner::new(self.root()).scan(later())
    }
}

#[track_caller]
pub(super) fn run(command: &mut Command) {
    let command = command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.org")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@example.org");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
}

/// One line per file: `PATH=TEXT`, or what stands against it.
pub(super) fn shown(files: &[Arc<ManifestFile>]) -> Vec<String> {
    let line = |file: &Arc<ManifestFile>| match &file.content {
        Content::Text(text) => format!("{}={text}", file.path),
        Content::Unreadable { reason } => format!("{}: {reason}", file.path),
        Content::NotText { offset, .. } => format!("{}: not text at {offset}", file.path),
        Content::TooLarge { bytes, .. } => format!("{}: {bytes} bytes", file.path),
    };
    files.iter().map(line).collect()
}

/// A tree under watch.
pub(super) struct Watched {
    pub(super) tree: Tree,
    scanner: Scanner,
    watcher: Watcher,
    whole: usize,
}

impl Watched {
    /// Watches the root of the tree.
    pub(super) async fn start(tree: Tree) -> Self {
        let watched = Self::start_at(tree, "", Wanted::Auto).await;
        assert_eq!(watched.watcher.mode(), Mode::Events);
        watched
    }

    /// Watches what lies at `path`, and returns when all is quiet.
    pub(super) async fn start_at(tree: Tree, path: &str, wanted: Wanted) -> Self {
        let root = tree.path(path);
        let watcher = Watcher::start(root.clone(), wanted);
        let mut started = Self { tree, scanner: Scanner::new(root), watcher, whole: 0 };
        started.expect_nudge().await;
        started.quiet();
        started
    }

    /// Scans and follows until no nudge is left.
    pub(super) fn quiet(&mut self) {
        loop {
            let _ = self.look();
            if self.watcher.changed().now_or_never().is_none() {
                return;
            }
        }
    }

    /// What is seen now, sorted, after a look at what events named, or at everything as the engine
    /// does; the error when there is no tree.
    pub(super) fn look(&mut self) -> Vec<String> {
        if let Hint::Named(names) = self.watcher.alarm().take()
            && !names.is_empty()
            && let Some(scan) = self.scanner.scan_named(&names, Timestamp::UNIX_EPOCH)
        {
            return shown(&scan.files);
        }
        self.whole += 1;
        let scan = self.scanner.scan(Timestamp::UNIX_EPOCH);
        self.watcher.follow(self.scanner.places());
        match scan {
            Ok(scan) => shown(&scan.files),
            Err(error) => vec![error.to_string()],
        }
    }

    /// How often the whole tree was looked at.
    pub(super) fn whole(&self) -> usize {
        self.whole
    }

    async fn expect_nudge(&self) {
        let nudge = tokio::time::timeout(PATIENCE, self.watcher.changed()).await;
        assert!(nudge.is_ok(), "no nudge for {PATIENCE:?}");
    }

    /// Waits for nudges, and after each looks whether the tree shows these files and no others.
    pub(super) async fn expect(&mut self, files: &[&str]) {
        let mut seen = Vec::new();
        loop {
            let nudge = tokio::time::timeout(PATIENCE, self.watcher.changed()).await;
            assert!(nudge.is_ok(), "no nudge for {PATIENCE:?}; expected {files:?}, seen {seen:?}");
            seen = self.look();
            if seen == files {
                return;
            }
        }
    }

    /// Like [`Self::expect`], of a tree that is not there.
    pub(super) async fn expect_no_tree(&mut self) {
        loop {
            self.expect_nudge().await;
            if self.look().first().is_some_and(|seen| seen.starts_with("cannot read manifests from")) {
                return;
            }
        }
    }
}
