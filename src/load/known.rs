//! The files that the loader knows, and what was read of each.

use std::{cmp::Ordering, sync::Arc};

use super::{directory::Directory, document::FileDocs};
use crate::manifest::{
    defaults::is_defaults,
    file::{Content, ManifestFile},
};

/// A file of manifests that was read.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) file: Arc<ManifestFile>,
    /// Boxed, so that the files can be gone through without what was read of them.
    pub(super) read: Box<ParsedFile>,
    pub(super) voice: Voice,
}

/// What was read of a file.
#[derive(Debug)]
pub(super) struct ParsedFile {
    /// The hash of the defaults that held.
    pub(super) directory: [u8; 32],
    pub(super) docs: FileDocs,
}

/// Whether there is something to say of a file beside the jobs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// It holds jobs in good order, and no more is to be said.
    Silent,
    /// Something is wrong with it, or may become so, or would be without a suppression.
    Heard,
}

/// A file of manifests that is there, with what is known from before of the one at its path.
#[derive(Debug)]
pub(super) struct Match<'a> {
    pub(super) file: &'a Arc<ManifestFile>,
    pub(super) before: Option<Known>,
}

/// The files that are there, as they stand to those that are known.
#[derive(Debug, Default)]
pub(super) struct Matches<'a> {
    /// Files of manifests.
    pub(super) manifests: Vec<Match<'a>>,
    /// Files of defaults.
    pub(super) defaults: Vec<&'a Arc<ManifestFile>>,
    /// Those that are known and no longer there.
    pub(super) gone: Vec<Known>,
}

impl Known {
    pub(super) fn new(file: Arc<ManifestFile>, read: Box<ParsedFile>) -> Self {
        let docs = &read.docs;
        let is_silent = docs.problems.is_empty()
            && docs.used.is_empty()
            && docs.docs.iter().all(|doc| doc.past.is_empty())
            && !docs.obscured
            && !docs.is_mistaken();
        let voice = if is_silent { Voice::Silent } else { Voice::Heard };
        Self { file, read, voice }
    }
}

impl Match<'_> {
    /// Whether it is the very file that was read: nothing of it needs to be compared.
    pub(super) fn is_untouched(&self) -> bool {
        self.before.as_ref().is_some_and(|before| Arc::ptr_eq(&before.file, self.file))
    }

    /// Whether what was read of it still holds in a directory.
    pub(super) fn holds_in(&self, directory: &Directory) -> bool {
        self.before.as_ref().is_some_and(|before| {
            let is_same = |text: &ManifestFile| {
                matches!(text.content, Content::Text(_)) && text.content_hash == self.file.content_hash
            };
            let is_text = matches!(self.file.content, Content::Text(_));
            (self.is_untouched() || is_text && is_same(&before.file))
                && before.read.directory == directory.hash
        })
    }
}

/// Sorts the files that are there by what is known of them; both are in the order of paths.
pub(super) fn compare(files: &[Arc<ManifestFile>], known: Vec<Known>) -> Matches<'_> {
    let mut found = Matches { manifests: Vec::with_capacity(files.len()), ..Matches::default() };
    let mut known = known.into_iter().peekable();
    for file in files {
        let mut before = None;
        while let Some(first) = known.peek() {
            let is_same = Arc::ptr_eq(&first.file, file);
            let order = if is_same { Ordering::Equal } else { first.file.path.cmp(&file.path) };
            match order {
                Ordering::Less => found.gone.extend(known.next()),
                Ordering::Equal => before = known.next(),
                Ordering::Greater => {}
            }
            if order.is_ge() {
                break;
            }
        }
        if before.is_none() && is_defaults(&file.path) {
            found.defaults.push(file);
        } else {
            found.manifests.push(Match { file, before });
        }
    }
    found.gone.extend(known);
    found
}

/// The file at a path, among files in the order of paths.
pub(super) fn at<'a>(files: &'a [Known], path: &str) -> Option<&'a Known> {
    let at = files.binary_search_by(|known| (*known.file.path).cmp(path)).ok()?;
    files.get(at)
}
