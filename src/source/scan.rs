//! Reads the whole tree, and what has not changed from memory.
//!
//! Blocking. The engine scans on every nudge and on a timer; `tintal plan` scans once.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use thiserror::Error;

use super::{
    content::{self, Reading},
    git,
    listing::{self, Entry, Found},
    places::Places,
    reason,
    stat::Stat,
};
use crate::manifest::file::{Content, ManifestFile};

/// The tree, as it was found.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Everything with the name of a manifest, readable or not, in the order of paths.
    pub files: Vec<Arc<ManifestFile>>,
    /// Directories under the root that could not be listed, in the order of paths. While there is
    /// one, nobody knows what is in the tree, and nothing may be concluded from an absence.
    pub unreadable: Vec<Unreadable>,
    /// BLAKE3 over paths, contents, and what could not be read. Equal hashes: nothing changed.
    pub tree_hash: [u8; 32],
    /// How many files were read anew; the others had not changed.
    pub read: usize,
    /// Whether git was writing to the work tree that holds the root, or to one in the tree.
    pub git_busy: bool,
}

/// A directory that could not be listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// Path relative to the root, with `/` between parts.
    pub path: String,
    /// What the system said, as a fragment that follows the path.
    pub reason: String,
    /// Whether there is something behind it.
    pub behind: Behind,
}

/// What is known of a directory that could not be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behind {
    /// It is there, and the system refuses to list it: what is in it may be anything.
    Unknown,
    /// A link that leads nowhere, or a directory that is nested too deep to be looked at.
    Nothing,
}

impl Scan {
    /// Why nothing may be planned from this scan: a directory is there and cannot be listed. `root`
    /// is the one that was scanned.
    #[must_use]
    pub fn refused(&self, root: &Path) -> Option<ScanError> {
        let unknown = self.unreadable.iter().find(|one| one.behind == Behind::Unknown)?;
        let Unreadable { path, reason, .. } = unknown;
        Some(ScanError::of_reason(root, format!("`{path}` in it cannot be listed: {reason}")))
    }
}

/// The tree cannot be read at all. What is in it is unknown, so nothing follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot read manifests from `{}`: {reason}", .root.display())]
pub struct ScanError {
    /// The root, as it was given.
    pub root: PathBuf,
    /// What the system said, and the way out.
    pub reason: String,
}

impl ScanError {
    pub(super) fn of_reason(root: &Path, reason: String) -> Self {
        Self { root: root.to_owned(), reason }
    }

    pub(super) fn of_root(root: &Path, error: &io::Error) -> Self {
        let reason = if error.kind() == io::ErrorKind::NotFound && root.is_symlink() {
            "it is a symbolic link to something that does not exist; point it to a directory".to_owned()
        } else if reason::is_gone(error) {
            "there is no such directory; make it, or name another".to_owned()
        } else {
            reason::of_error(error)
        };
        Self::of_reason(root, reason)
    }

    pub(super) fn too_many(root: &Path, count_max: usize, what: &str) -> Self {
        let reason =
            format!("there are more than {count_max} {what} in it; name a directory of manifests only");
        Self::of_reason(root, reason)
    }
}

/// Reads one tree again and again.
#[derive(Debug)]
pub struct Scanner {
    root: PathBuf,
    known: HashMap<String, Known>,
    places: Places,
}

#[derive(Debug)]
struct Known {
    stat: Stat,
    /// Whether equal stamps mean equal bytes. A file that was changed just before it was read may
    /// be changed again within the same tick of the file system's clock.
    settled: bool,
    file: Arc<ManifestFile>,
}

impl Scanner {
    /// A scanner of the tree at `root`: a directory, or a single file whatever its name.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, known: HashMap::new(), places: Places::default() }
    }

    /// Reads the tree. `now` is the wall clock, and only decides which files are read anew.
    ///
    /// A file that cannot be read is no error: it comes with what stands against it.
    ///
    /// # Errors
    ///
    /// When the root is missing or cannot be listed, and when there is too much in it.
    pub fn scan(&mut self, now: Timestamp) -> Result<Scan, ScanError> {
        let mut places = Places::default();
        let listed = listing::list(&self.root, &mut places);
        self.places = places;
        let mut listing = listed?;
        listing.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        listing.unreadable.sort_unstable();

        let mut known = HashMap::with_capacity(listing.entries.len());
        let mut files = Vec::with_capacity(listing.entries.len());
        let mut read = 0;
        for entry in listing.entries {
            if let Some((path, same)) = self.unchanged(&entry) {
                files.push(Arc::clone(&same.file));
                known.insert(path, same);
                continue;
            }
            let reading = match entry.found {
                Found::Broken(reason) => content::refused(Content::Unreadable { reason }),
                Found::File(stat) => content::too_large(stat.bytes).unwrap_or_else(|| {
                    read += 1;
                    content::read(&entry.real)
                }),
            };
            let Reading::Read { hash, content, stat } = reading else { continue };
            let file = Arc::new(ManifestFile { path: entry.path, content_hash: hash, content });
            if let Some(stat) = stat {
                let settled = stat.is_settled(now);
                known.insert(file.path.clone(), Known { stat, settled, file: Arc::clone(&file) });
            }
            files.push(file);
        }
        self.known = known;

        let tree_hash = tree_hash(&files, &listing.unreadable);
        // Asked last, so that a checkout that began under way is seen.
        let git_busy = listing.git.iter().any(|path| git::is_busy(path));
        Ok(Scan { files, unreadable: listing.unreadable, tree_hash, read, git_busy })
    }

    /// Where a change of the tree can come from, as the last scan found it; also when it failed.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    fn unchanged(&mut self, entry: &Entry) -> Option<(String, Known)> {
        let Found::File(stat) = &entry.found else { return None };
        let (path, known) = self.known.remove_entry(&entry.path)?;
        (known.settled && known.stat == *stat).then_some((path, known))
    }
}

fn tree_hash(files: &[Arc<ManifestFile>], unreadable: &[Unreadable]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut text = |tag: u8, text: &str| {
        hasher.update(&[tag]).update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    for Unreadable { path, reason, .. } in unreadable {
        text(0, path);
        text(1, reason);
    }
    for file in files {
        text(2, &file.path);
        match &file.content {
            Content::Text(_) => text(3, ""),
            Content::Unreadable { reason } => text(4, reason),
            Content::NotText { .. } => text(5, ""),
            Content::TooLarge { bytes, .. } => text(6, &bytes.to_string()),
        }
    }
    for file in files {
        hasher.update(&file.content_hash);
    }
    *hasher.finalize().as_bytes()
}
