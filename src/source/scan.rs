//! Reads the whole tree, and remembers what it has read.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use thiserror::Error;

use super::{
    git,
    read::{Stamp, read, reason, unreadable},
    walk::{Found, walk},
};
use crate::manifest::file::ManifestFile;

/// A file that was changed this short before it was read may change again without a trace in its
/// times; it is read again.
const RACY_SECONDS: i64 = 1;

/// The tree as it was found.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The files, sorted by path.
    pub files: Vec<Arc<ManifestFile>>,
    /// Directories in the tree that could not be listed, with what the system said.
    pub unreadable: Vec<(String, String)>,
    /// Every directory that was listed.
    pub directories: Vec<PathBuf>,
    /// Over all paths and contents.
    pub digest: [u8; 32],
    /// Files that were read; the others were known.
    pub read: usize,
    /// Whether git was at work in the tree.
    pub git_busy: bool,
}

/// There is no tree to be seen.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The directory is not there.
    #[error("there is no directory `{}`; `tintal init` makes one, and `--jobs DIR` names another", .0.display())]
    Missing(PathBuf),
    /// It is something else.
    #[error("`{}` is not a directory; `--jobs DIR` names one", .0.display())]
    NotADirectory(PathBuf),
    /// It cannot be listed.
    #[error("the directory `{}` cannot be read: {reason}", .path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Scans one tree again and again.
#[derive(Debug)]
pub struct Scanner {
    root: PathBuf,
    known: HashMap<String, (Stamp, Arc<ManifestFile>)>,
}

impl Scanner {
    /// A scanner of the tree under a directory. Nothing is read yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), known: HashMap::new() }
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads what has changed since the last scan.
    ///
    /// # Errors
    ///
    /// When the directory itself cannot be listed. Then nothing is known of any manifest.
    pub fn scan(&mut self, now: Timestamp) -> Result<Scan, ScanError> {
        let git_busy = git::is_busy(&self.root);
        let walk = walk(&self.root).map_err(|error| self.failure(&error))?;
        let mut known = HashMap::with_capacity(walk.files.len());
        let mut files: Vec<Arc<ManifestFile>> =
            walk.odd.into_iter().map(|(shown, reason)| Arc::new(unreadable(&shown, reason))).collect();
        let mut count = 0;
        for found in walk.files {
            let stamp = Stamp::of(&found.metadata);
            if let Some((old, file)) = self.known.remove(&found.shown)
                && old == stamp
            {
                files.push(Arc::clone(&file));
                known.insert(found.shown, (stamp, file));
                continue;
            }
            count += 1;
            if let Some((file, stamp)) = Self::read(&found, now) {
                if let Some(stamp) = stamp {
                    known.insert(found.shown, (stamp, Arc::clone(&file)));
                }
                files.push(file);
            }
        }
        self.known = known;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let digest = digest(&files, &walk.unreadable);
        Ok(Scan {
            files,
            unreadable: walk.unreadable,
            directories: walk.directories,
            digest,
            read: count,
            git_busy,
        })
    }

    /// The file with its stamp, when the stamp can be relied on.
    fn read(found: &Found, now: Timestamp) -> Option<(Arc<ManifestFile>, Option<Stamp>)> {
        let (file, stamp) = read(&found.path, &found.shown)?;
        let is_old = |stamp: &Stamp| now.as_second() - stamp.changed.0 > RACY_SECONDS;
        Some((Arc::new(file), stamp.filter(is_old)))
    }

    fn failure(&self, error: &io::Error) -> ScanError {
        let path = self.root.clone();
        match error.kind() {
            io::ErrorKind::NotFound => ScanError::Missing(path),
            io::ErrorKind::NotADirectory => ScanError::NotADirectory(path),
            _ => ScanError::Unreadable { path, reason: reason(error) },
        }
    }
}

/// Reads single files by name, each shown as it was named. One that is not there is unreadable.
#[must_use]
pub fn read_files(paths: &[PathBuf]) -> Vec<Arc<ManifestFile>> {
    let mut files: Vec<Arc<ManifestFile>> = paths
        .iter()
        .map(|path| {
            let shown = path.to_string_lossy().into_owned();
            let is_file = fs::metadata(path).map(|metadata| metadata.is_file());
            Arc::new(match is_file {
                Ok(true) => match read(path, &shown) {
                    Some((file, _)) => file,
                    None => unreadable(&shown, "there is no such file".to_owned()),
                },
                Ok(false) => unreadable(&shown, "it is not a file".to_owned()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    unreadable(&shown, "there is no such file".to_owned())
                }
                Err(error) => unreadable(&shown, reason(&error)),
            })
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    files
}

fn digest(files: &[Arc<ManifestFile>], unreadable: &[(String, String)]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(file.path.as_bytes());
        hasher.update(&[0]);
        hasher.update(&file.content_hash);
    }
    for (path, reason) in unreadable {
        hasher.update(path.as_bytes());
        hasher.update(&[1]);
        hasher.update(reason.as_bytes());
        hasher.update(&[1]);
    }
    *hasher.finalize().as_bytes()
}
