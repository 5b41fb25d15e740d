//! Where a change of the tree can come from.
//!
//! Not only from its directories: a symbolic link on the way to the root, or in the tree, may be
//! swapped for another, and the root may be removed and made again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::stat::Identity;

/// Most links that are followed on the way to one file, as in the kernel.
const LINKS_MAX: usize = 40;

/// Where to look for changes, as one scan found it.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Directories whose every entry counts, by real path, each with what it was. A parent comes
    /// before its children.
    pub directories: BTreeMap<PathBuf, Directory>,
    /// Entries that count by themselves: what lies on the way to the root and to the targets of
    /// links. Of a way that ends in nothing, the first entry that is missing is the last.
    pub entries: BTreeSet<PathBuf>,
    /// What is known of entries on ways already walked.
    steps: HashMap<PathBuf, Step>,
}

/// A directory of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// What it was.
    pub identity: Identity,
    /// Its path relative to the root, empty for the root itself; none when links lead to it under
    /// several.
    pub path: Option<String>,
}

/// What an entry on a way is.
#[derive(Debug, Clone)]
enum Step {
    Missing,
    Plain,
    Link(PathBuf),
}

impl Places {
    /// The directories whose entries [`Self::entries`] are.
    #[must_use]
    pub fn ways(&self) -> BTreeSet<&Path> {
        self.entries.iter().filter_map(|entry| entry.parent()).collect()
    }

    /// What the root was; none when it was not there, or is no directory.
    #[must_use]
    pub fn root(&self) -> Option<Identity> {
        let root = self.directories.values().find(|directory| directory.path.as_deref() == Some(""));
        root.map(|directory| directory.identity)
    }

    /// Notes a directory of the tree that was found at `path`.
    pub(super) fn note_directory(&mut self, real: &Path, identity: Identity, path: &str) {
        let first = !self.directories.contains_key(real);
        let path = first.then(|| path.to_owned());
        self.directories.insert(real.to_owned(), Directory { identity, path });
    }

    /// Notes every entry on the way from the directory `from` along `path`.
    pub(super) fn note_way(&mut self, from: &Path, path: &Path) {
        let mut at = from.to_owned();
        let mut ahead: VecDeque<OsString> = parts(path);
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            match Path::new(&part).components().next() {
                Some(Component::RootDir) => at = PathBuf::from("/"),
                Some(Component::ParentDir) => {
                    at.pop();
                }
                Some(Component::Normal(name)) => {
                    let entry = at.join(name);
                    match self.step(&entry) {
                        Step::Missing => return,
                        Step::Plain => at = entry,
                        Step::Link(_) if links == LINKS_MAX => return,
                        Step::Link(target) => {
                            links += 1;
                            for part in parts(&target).into_iter().rev() {
                                ahead.push_front(part);
                            }
                        }
                    }
                }
                Some(Component::CurDir | Component::Prefix(_)) | None => {}
            }
        }
    }

    fn step(&mut self, entry: &Path) -> Step {
        if let Some(step) = self.steps.get(entry) {
            return step.clone();
        }
        let step = match fs::read_link(entry) {
            Ok(target) => Step::Link(target),
            // What is there and is no link: reading it as one is invalid.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Step::Plain,
            Err(_) => Step::Missing,
        };
        self.entries.insert(entry.to_owned());
        self.steps.insert(entry.to_owned(), step.clone());
        step
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components().map(|part| part.as_os_str().to_owned()).collect()
}
