//! Reads the whole tree, and what has not changed from memory.
//!
//! Blocking. On a nudge the engine scans what it names, and on a timer everything; `tintal plan` scans
//! everything once.

use std::{
    collections::BTreeSet,
    io,
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use thiserror::Error;

use super::{
    content::{self, Reading},
    git,
    kept::{Kept, Mark},
    listing::{self, Entry, Found, LIMITS, Named},
    places::Places,
    reason,
};
use crate::manifest::file::{Content, ManifestFile};

/// Files below this many are not worth a thread of their own.
const FILES_PER_THREAD_MIN: usize = 256;

/// Threads that read at once, at most: past this a disk gives no more.
const THREADS_MAX: usize = 8;

/// The tree, as it was found.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Everything with the name of a manifest, readable or not, in the order of paths. Shared with
    /// the next scan that finds the same.
    pub files: Arc<Vec<Arc<ManifestFile>>>,
    /// Directories under the root that could not be listed, in the order of paths. While there is
    /// one, nobody knows what is in the tree, and nothing may be concluded from an absence.
    pub unreadable: Vec<Unreadable>,
    /// BLAKE3 over paths, contents, and what could not be read. Equal hashes: nothing changed.
    pub tree_hash: [u8; 32],
    /// How many files were read anew; the others had not changed.
    pub read: usize,
    /// Whether git was writing to the work tree that holds the root, or to one in the tree.
    pub git_busy: bool,
    /// For how long nothing in the tree had changed, as far as the stamps of its file system tell; none
    /// when they do not, and when only a part of it was looked at.
    pub still: Option<Duration>,
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
    /// It is there, and the system refuses to list it, or to follow the link to it: what is in it may be
    /// anything.
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
            "there is no such directory; `tintal init` makes one, `--jobs` names another".to_owned()
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
    /// What the last scan found.
    kept: Kept,
    /// The hash over what is kept; none when that has changed.
    tree_hash: Option<[u8; 32]>,
    places: Places,
    /// What else the last scan of the whole tree found; none when it failed.
    around: Option<Around>,
}

/// What there is in a tree besides its files.
#[derive(Debug)]
struct Around {
    unreadable: Vec<Unreadable>,
    /// Every `.git` in the tree and above its root.
    git: Vec<PathBuf>,
}

impl Scanner {
    /// A scanner of the tree at `root`: a directory, or a single file whatever its name.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, kept: Kept::default(), tree_hash: None, places: Places::default(), around: None }
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
        self.around = None;
        let mut listing = listed?;
        // Stable, since that is quick where most are in order.
        listing.entries.sort_by(|a, b| a.path.cmp(&b.path));
        listing.unreadable.sort_unstable();

        self.tree_hash = None;
        let wanted = self.keep_settled(listing.entries);
        let read = self.read(wanted, now);
        let around = Around { unreadable: listing.unreadable, git: listing.git };
        Ok(Scan { still: listing.newest.before(now), ..self.found(around, read) })
    }

    /// Drops what is gone or has changed, and gives what there is to read. `entries` are all there
    /// are, in the order of paths.
    fn keep_settled(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut stays = vec![false; self.kept.files().len()];
        let mut wanted = Vec::new();
        let mut before = self.kept.files().iter().enumerate().peekable();
        for entry in entries {
            while before.next_if(|(_, file)| *file.path < *entry.path).is_some() {}
            match before.next_if(|(_, file)| *file.path == *entry.path) {
                Some((at, _)) if self.is_settled(at, &entry.found) => stays[at] = true,
                _ => wanted.push(entry),
            }
        }
        self.kept.retain(|at| stays[at]);
        wanted
    }

    /// Reads only what stands at `names`, and takes everything else to be what the last scan found.
    ///
    /// None when that says too little: something at `names` has to be walked, or the last scan of the
    /// whole tree failed.
    pub fn scan_named(&mut self, names: &BTreeSet<PathBuf>, now: Timestamp) -> Option<Scan> {
        let around = self.around.as_ref()?;
        let mut looked_at = BTreeSet::new();
        let mut entries = Vec::new();
        for name in names {
            let path = self.path_of(name)?;
            match listing::look(name, path.clone()) {
                Named::Walk => return None,
                // It may have been what could not be listed.
                Named::Nothing if !around.unreadable.is_empty() => return None,
                Named::Nothing => {}
                Named::Entry(entry) => entries.push(entry),
            }
            looked_at.insert(path);
        }
        if self.kept.files().len() + entries.len() > LIMITS.files {
            return None;
        }
        entries.retain(|entry| match self.kept.place(&entry.path) {
            Some(at) if self.is_settled(at, &entry.found) => {
                looked_at.remove(&entry.path);
                false
            }
            _ => true,
        });
        if !looked_at.is_empty() {
            self.tree_hash = None;
            self.kept.remove(&looked_at);
        }
        let read = self.read(entries, now);
        let around = self.around.take()?;
        Some(self.found(around, read))
    }

    /// Where a change of the tree can come from, as the last scan of the whole tree found it; also
    /// when it failed.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The path in the tree of an entry that an event named; none when it is in no directory of the
    /// tree, or in one that is there under several paths.
    fn path_of(&self, name: &Path) -> Option<String> {
        let above = self.places.directories.get(name.parent()?)?.path.as_deref()?;
        let name = name.file_name()?.to_str()?;
        Some(if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") })
    }

    /// Whether what stands at a place is what was read there, as far as stamps can tell.
    fn is_settled(&self, at: usize, found: &Found) -> bool {
        matches!(found, Found::File(stat) if self.kept.is_settled_as(at, stat))
    }

    /// Reads what is not known yet, and says how many files were opened.
    fn read(&mut self, wanted: Vec<Entry>, now: Timestamp) -> usize {
        let read = wanted.iter().filter(|entry| entry.is_opened()).count();
        let new = read_all(wanted).into_iter().filter_map(|(path, reading)| {
            let Reading::Read { hash, content, stat } = reading else { return None };
            let file = Arc::new(ManifestFile { path: path.into(), content_hash: hash, content });
            let settled = stat.filter(|stat| stat.is_settled(now)).map(|stat| stat.hash());
            let mark = Mark { settled, leaf: leaf(&file) };
            Some((file, mark))
        });
        self.kept.insert(new.collect());
        read
    }

    /// What was found, once all of it is read.
    fn found(&mut self, around: Around, read: usize) -> Scan {
        let files = Arc::clone(self.kept.files());
        let make = || tree_hash(self.kept.leaves(), &around.unreadable);
        let tree_hash = *self.tree_hash.get_or_insert_with(make);
        // Asked last, so that a checkout that began under way is seen.
        let git_busy = around.git.iter().any(|path| git::is_busy(path));
        let unreadable = around.unreadable.clone();
        self.around = Some(around);
        Scan { files, unreadable, tree_hash, read, git_busy, still: None }
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
    // To ask for the cores takes a dozen reads of files.
    let threads = match entries.len() {
        ..FILES_PER_THREAD_MIN => 1,
        _ => thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX),
    };
    let share = entries.len().div_ceil(threads);
    if threads == 1 || share < FILES_PER_THREAD_MIN {
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

/// Adds a text to a hash, so that no two lists of texts add the same.
fn add(hasher: &mut blake3::Hasher, tag: u8, text: &str) {
    hasher.update(&[tag]).update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
}

/// BLAKE3 over the path of a file and what was read.
fn leaf(file: &ManifestFile) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, 2, &file.path);
    match &file.content {
        Content::Text(_) => add(&mut hasher, 3, ""),
        Content::Unreadable { reason } => add(&mut hasher, 4, reason),
        Content::NotText { .. } => add(&mut hasher, 5, ""),
        Content::TooLarge { bytes, .. } => add(&mut hasher, 6, &bytes.to_string()),
    }
    hasher.update(&file.content_hash);
    *hasher.finalize().as_bytes()
}

fn tree_hash<'a>(leaves: impl Iterator<Item = &'a [u8; 32]>, unreadable: &[Unreadable]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for Unreadable { path, reason, .. } in unreadable {
        add(&mut hasher, 0, path);
        add(&mut hasher, 1, reason);
    }
    hasher.update(&[2]);
    for leaf in leaves {
        hasher.update(leaf);
    }
    *hasher.finalize().as_bytes()
}
