//! Reads the whole tree, and what has not changed from memory.
//!
//! Blocking. The engine scans on every nudge and on a timer; `tintal plan` scans once.

use std::{
    io,
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
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

/// Files below this many are not worth a thread of their own.
const FILES_PER_THREAD_MIN: usize = 256;

/// Threads that read at once, at most: past this a disk gives no more.
const THREADS_MAX: usize = 8;

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
    /// What the last scan found, in the order of paths.
    known: Vec<Known>,
    places: Places,
}

#[derive(Debug)]
struct Known {
    /// The stamps that mean these bytes; none when equal stamps do not mean equal bytes: a file
    /// that was changed just before it was read may be changed again within the same tick of the
    /// file system's clock.
    settled: Option<Stat>,
    file: Arc<ManifestFile>,
}

impl Scanner {
    /// A scanner of the tree at `root`: a directory, or a single file whatever its name.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, known: Vec::new(), places: Places::default() }
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

        let mut known = Vec::with_capacity(listing.entries.len());
        let mut wanted = Vec::new();
        let mut before = std::mem::take(&mut self.known).into_iter().peekable();
        for entry in listing.entries {
            while before.next_if(|known| known.file.path < entry.path).is_some() {}
            match before.next_if(|known| known.file.path == entry.path) {
                Some(same) if same.settled_as(&entry.found) => known.push(same),
                _ => wanted.push(entry),
            }
        }
        let read = wanted.iter().filter(|entry| entry.is_opened()).count();
        let is_sorted = wanted.is_empty();
        for (path, reading) in read_all(wanted) {
            let Reading::Read { hash, content, stat } = reading else { continue };
            let file = Arc::new(ManifestFile { path, content_hash: hash, content });
            let settled = stat.filter(|stat| stat.is_settled(now));
            known.push(Known { settled, file });
        }
        if !is_sorted {
            known.sort_unstable_by(|a, b| a.file.path.cmp(&b.file.path));
        }
        let files: Vec<_> = known.iter().map(|known| Arc::clone(&known.file)).collect();
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
}

impl Known {
    /// Whether a file is what it was when it was read, as far as its stamps can tell.
    fn settled_as(&self, found: &Found) -> bool {
        matches!(found, Found::File(stat) if self.settled == Some(*stat))
    }
}

/// Reads what has changed, on several threads when it is much: a tree that is seen for the first
/// time is read as fast as the disk gives it.
fn read_all(entries: Vec<Entry>) -> Vec<(String, Reading)> {
    let read = |entry: Entry| {
        let reading = match entry.found {
            Found::Broken(reason) => content::refused(Content::Unreadable { reason }),
            Found::File(stat) => content::too_large(stat.bytes).unwrap_or_else(|| content::read(&entry.real)),
        };
        (entry.path, reading)
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let share = entries.len().div_ceil(threads);
    if share < FILES_PER_THREAD_MIN {
        return entries.into_iter().map(read).collect();
    }
    let mut entries = entries.into_iter();
    let shares: Vec<Vec<Entry>> = (0..threads).map(|_| entries.by_ref().take(share).collect()).collect();
    thread::scope(|scope| {
        let workers: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(read).collect::<Vec<_>>()))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
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
