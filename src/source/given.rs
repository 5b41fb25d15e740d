//! Reads the paths that a person typed, once.
//!
//! Called by `tintal validate PATH…` and its like.

use std::{
    collections::BTreeSet,
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
/// a manifest. A path that comes up twice is read once.
#[must_use]
pub fn read_paths(paths: &[PathBuf]) -> Given {
    let mut given = Given::default();
    let mut seen = BTreeSet::new();
    for path in paths {
        read_path(path, &mut given, &mut seen);
    }
    given
}

fn read_path(typed: &Path, given: &mut Given, seen: &mut BTreeSet<String>) {
    let spelling = typed.to_string_lossy();
    let mut listing = match listing::list(typed, &mut Places::default()) {
        Ok(listing) => listing,
        Err(error) => {
            let path = spelling.into_owned();
            if seen.insert(path.clone()) {
                let is_missing = typed.symlink_metadata().is_err_and(|error| reason::is_gone(&error));
                let missing = || "there is no such file or directory: check the path".to_owned();
                let reason = if is_missing { missing() } else { error.reason };
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
    for entry in listing.entries {
        let path = spelled(&entry.path);
        if !seen.insert(path.clone()) {
            continue;
        }
        let reading = match entry.found {
            Found::Broken(reason) => content::refused(Content::Unreadable { reason }),
            Found::File(_) => content::read(&entry.real),
        };
        if let Reading::Read { hash, content, .. } = reading {
            given.files.push(Arc::new(ManifestFile { path, content_hash: hash, content }));
        }
    }
    listing.unreadable.sort_unstable();
    for unreadable in listing.unreadable {
        let path = spelled(&unreadable.path);
        if seen.insert(path.clone()) {
            given.unreadable.push(Unreadable { path, ..unreadable });
        }
    }
}
