//! Reads the paths that a person typed, once.
//!
//! Called by `tintal validate PATH…` and its like.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    content::{self, Reading},
    listing::{self, Found},
    places::Places,
    reason,
    scan::{Behind, Unreadable},
};
use crate::manifest::file::{Content, ManifestFile};

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// The files, in the order of the paths given and then by path. Paths keep the spelling of the
    /// person who typed them.
    pub files: Vec<Arc<ManifestFile>>,
    /// Paths that are missing, and directories that could not be listed.
    pub unreadable: Vec<Unreadable>,
}

/// Reads `paths`: a file whatever its name, a directory with everything in it that has the name of
/// a manifest. What comes up twice, however it is spelled, is read once. What links lead to under
/// several names in one directory has each of them, as for the daemon.
#[must_use]
pub fn read_paths(paths: &[PathBuf]) -> Given {
    let mut given = Given::default();
    let mut seen = Seen::default();
    for path in paths {
        read_path(path, &mut given, &mut seen);
    }
    given
}

/// What was read before, by its place on the disk.
#[derive(Debug, Default)]
struct Seen {
    read: BTreeSet<PathBuf>,
    /// What could not be, by its spelling.
    unreadable: BTreeSet<String>,
}

/// The entry at a path: links on the way to it followed, and itself not, since it gives its name.
fn entry_at(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match (fs::canonicalize(parent.unwrap_or(Path::new("."))), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// What there is to say of a link that leads nowhere.
fn dangling(typed: &Path) -> Option<String> {
    let target = fs::read_link(typed).ok()?;
    let error = fs::metadata(typed).err().filter(reason::is_gone)?;
    Some(reason::of_link(&error, &target.to_string_lossy()))
}

fn read_path(typed: &Path, given: &mut Given, seen: &mut Seen) {
    let spelling = typed.to_string_lossy();
    let mut listing = match listing::list(typed, &mut Places::default()) {
        Ok(listing) => listing,
        Err(error) => {
            let path = spelling.into_owned();
            if seen.unreadable.insert(path.clone()) {
                let is_missing = typed.symlink_metadata().is_err_and(|error| reason::is_gone(&error));
                let missing = || "there is no such file or directory: check the path".to_owned();
                let reason = match dangling(typed) {
                    Some(reason) => reason,
                    None if is_missing => missing(),
                    None => error.reason,
                };
                given.unreadable.push(Unreadable { path, reason, behind: Behind::Nothing });
            }
            return;
        }
    };
    let is_file = typed.is_file();
    let spelled = |path: &str| {
        if is_file {
            return spelling.clone().into_owned();
        }
        format!("{}/{path}", spelling.trim_end_matches('/'))
    };

    listing.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let mut here = Vec::new();
    for entry in listing.entries {
        let path = spelled(&entry.path);
        let place = if is_file { entry_at(typed) } else { entry.real.clone() };
        if seen.read.contains(&place) {
            continue;
        }
        here.push(place);
        let reading = match entry.found {
            Found::Broken(reason) => content::refused(Content::Unreadable { reason }),
            Found::File(_) => content::read(&entry.real),
        };
        if let Reading::Read { hash, content, .. } = reading {
            given.files.push(Arc::new(ManifestFile { path: path.into(), content_hash: hash, content }));
        }
    }
    seen.read.extend(here);
    listing.unreadable.sort_unstable();
    for unreadable in listing.unreadable {
        let path = spelled(&unreadable.path);
        if seen.unreadable.insert(path.clone()) {
            given.unreadable.push(Unreadable { path, ..unreadable });
        }
    }
}
