//! What a scanner keeps of the files that it read, so that most need not be read again.
//!
//! Pure. To change a few of many files costs no look at the others.

use std::{collections::BTreeSet, sync::Arc};

use super::stat::{Stat, StatHash};
use crate::manifest::file::ManifestFile;

/// So many files are put in where they belong; for more, all are gone through once.
const FEW: usize = 8;

/// The files of a tree, in the order of their paths, with what is known of each.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Shared with the scans that were made of it.
    files: Arc<Vec<Arc<ManifestFile>>>,
    /// One for each of `files`, in the same order.
    marks: Vec<Mark>,
}

/// What is known of a file beside what was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// The stamps that mean these bytes; none when equal stamps do not mean equal bytes: a file
    /// that was changed just before it was read may be changed again within the same tick of the
    /// file system's clock.
    pub(super) settled: Option<StatHash>,
    /// The file's part of the hash of the tree.
    pub(super) leaf: [u8; 32],
}

impl Kept {
    /// The files, in the order of their paths.
    pub(super) fn files(&self) -> &Arc<Vec<Arc<ManifestFile>>> {
        &self.files
    }

    /// The files' parts of the hash of the tree, in the same order.
    pub(super) fn leaves(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.marks.iter().map(|mark| &mark.leaf)
    }

    /// Whether the file at a place is what it was when it was read, as far as its stamps can tell.
    pub(super) fn is_settled_as(&self, at: usize, stat: &Stat) -> bool {
        self.marks.get(at).is_some_and(|mark| mark.settled.is_some_and(|settled| settled == stat.hash()))
    }

    /// Where a path stands.
    pub(super) fn place(&self, path: &str) -> Option<usize> {
        self.files.binary_search_by(|file| (*file.path).cmp(path)).ok()
    }

    /// Takes out the files at these paths.
    pub(super) fn remove(&mut self, paths: &BTreeSet<String>) {
        let gone: BTreeSet<usize> = paths.iter().filter_map(|path| self.place(path)).collect();
        self.retain(|at| !gone.contains(&at));
    }

    /// Takes out the files at all places but those that `stays` holds for.
    pub(super) fn retain(&mut self, stays: impl Fn(usize) -> bool) {
        if (0..self.marks.len()).all(&stays) {
            return;
        }
        let mut at = 0..;
        Arc::make_mut(&mut self.files).retain(|_| at.next().is_some_and(&stays));
        let mut at = 0..;
        self.marks.retain(|_| at.next().is_some_and(&stays));
    }

    /// Puts files in, none of which is there.
    pub(super) fn insert(&mut self, mut new: Vec<(Arc<ManifestFile>, Mark)>) {
        if new.is_empty() {
            return;
        }
        new.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        let files = Arc::make_mut(&mut self.files);
        if new.len() <= FEW {
            for (file, mark) in new {
                let at = files.partition_point(|old| old.path < file.path);
                files.insert(at, file);
                self.marks.insert(at, mark);
            }
            return;
        }
        let count = files.len() + new.len();
        let mut old_files = std::mem::replace(files, Vec::with_capacity(count)).into_iter();
        let mut old_marks = std::mem::replace(&mut self.marks, Vec::with_capacity(count)).into_iter();
        for (file, mark) in new {
            let before = old_files.as_slice().partition_point(|old| old.path < file.path);
            files.extend(old_files.by_ref().take(before));
            self.marks.extend(old_marks.by_ref().take(before));
            files.push(file);
            self.marks.push(mark);
        }
        files.extend(old_files);
        self.marks.extend(old_marks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::file::Content;

    /// Files named by a letter each, with the letter as their part of the hash.
    fn files(letters: &str) -> Vec<(Arc<ManifestFile>, Mark)> {
        let file = |path: char| {
            let content = Content::Text("".into());
            let file = ManifestFile { path: path.to_string().into(), content_hash: [0; 32], content };
            let leaf = [u8::try_from(path).unwrap(); 32];
            (Arc::new(file), Mark { settled: None, leaf })
        };
        letters.chars().map(file).collect()
    }

    /// What is there after these steps: `+` puts files in, `-` takes them out.
    #[track_caller]
    fn check(steps: &str, expected: &str) {
        let mut kept = Kept::default();
        for step in steps.split_whitespace() {
            match step.strip_prefix('-') {
                Some(gone) => kept.remove(&gone.chars().map(String::from).collect()),
                None => kept.insert(files(step.trim_start_matches('+'))),
            }
        }
        let paths: String = kept.files().iter().map(|file| &*file.path).collect();
        let leaves: String = kept.leaves().map(|leaf| char::from(leaf[0])).collect();
        assert_eq!((paths.as_str(), leaves.as_str()), (expected, expected), "{steps}");
        assert!(expected.char_indices().all(|(at, path)| kept.place(&path.to_string()) == Some(at)));
    }

    #[test]
    #[rustfmt::skip]
    fn files_stay_in_order_and_with_what_is_known_of_them() {
        check("+cab",              "abc");
        check("+bd +e +a +c",      "abcde");
        check("+bd +eac",          "abcde");
        check("+abcde -bd",        "ace");
        check("+abcde -bd +db",    "abcde");
        check("+abc -x",           "abc");
        check("+abc -abc",         "");
        check("+abc -abc +b",      "b");
        check("+bdfhkm +ljigeca",  "abcdefghijklm");
        check("+bdfhkmop +nlqrsjigeca", "abcdefghijklmnopqrs");
    }

    #[test]
    fn a_scan_that_was_handed_out_stays_as_it_was() {
        let mut kept = Kept::default();
        kept.insert(files("ab"));
        let scan = Arc::clone(kept.files());
        kept.remove(&BTreeSet::from(["a".to_owned()]));
        assert_eq!((scan.len(), kept.files().len()), (2, 1));
    }
}
