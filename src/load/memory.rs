//! What each file held when it was last read without a mistake.
//!
//! A mistake may stand on the very line that names the job, and a file that is cut to nothing names
//! none. Which jobs such a file stands for is only known from before (`FAILURE_MODES` F6, F12).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{document::FileDocs, tree::Tree};
use crate::manifest::name::JobName;

/// The jobs of each file that is mistaken, by path. What a good one stands for is what it holds.
#[derive(Debug, Default)]
pub(super) struct Memory(HashMap<String, BTreeSet<JobName>>);

/// What a file is found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// All of it can be used.
    Good,
    /// Something in it cannot.
    Mistaken,
}

impl Memory {
    /// Takes over what files held when they were last good.
    pub(super) fn take_over(&mut self, held: BTreeMap<String, BTreeSet<JobName>>) {
        self.0.extend(held);
    }

    /// Takes over what a file held before it was read anew.
    pub(super) fn turn(&mut self, path: &str, before: Option<&FileDocs>, now: &FileDocs) {
        if !now.is_mistaken() {
            self.0.remove(path);
        } else if let Some(before) = before.filter(|before| !before.is_mistaken()) {
            self.note(path, names(before).cloned().collect(), Condition::Good);
        }
    }

    /// Learns what a mistaken file holds, of a tree in which every job is found. The jobs that it stood
    /// for, and that are nowhere else, are broken: they are not gone.
    pub(super) fn learn(&mut self, path: &str, docs: &FileDocs, tree: &mut Tree) {
        // A name that is the file's says nothing of a document that cannot be used.
        let told = names(docs).filter(|name| tree.jobs.contains_key(name)).cloned().collect();
        self.note(path, told, Condition::Mistaken);
        for name in self.of(path).into_iter().flatten() {
            if !tree.jobs.contains_key(name) && tree.broken.insert(name.clone()) {
                tree.suspects.insert(name.clone(), path.to_owned());
            }
        }
    }

    /// Notes what a file holds. A mistaken one goes on standing for all that it ever held since it
    /// was last good.
    fn note(&mut self, path: &str, names: BTreeSet<JobName>, condition: Condition) {
        match (condition, self.0.get_mut(path)) {
            (Condition::Good, Some(held)) => *held = names,
            (Condition::Good, None) => {
                self.0.insert(path.to_owned(), names);
            }
            (Condition::Mistaken, Some(held)) => held.extend(names),
            // It was never good, so that nobody knows what it stands for.
            (Condition::Mistaken, None) => {}
        }
    }

    /// The jobs that a mistaken file stands for; none when it was never good.
    pub(super) fn of(&self, path: &str) -> Option<&BTreeSet<JobName>> {
        self.0.get(path)
    }

    /// Forgets a file that is gone.
    pub(super) fn forget(&mut self, path: &str) {
        self.0.remove(path);
    }
}

fn names(docs: &FileDocs) -> impl Iterator<Item = &JobName> {
    docs.docs.iter().filter_map(|doc| doc.name.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> BTreeSet<JobName> {
        text.split_whitespace().map(|name| JobName::parse(name).unwrap()).collect()
    }

    /// What a file stands for after it was found like this: `names` for good, `!names` for mistaken.
    #[track_caller]
    fn check(found: &[&str], expected: Option<&str>) {
        let mut memory = Memory::default();
        for one in found {
            match one.strip_prefix('!') {
                Some(rest) => memory.note("a.yaml", names(rest), Condition::Mistaken),
                None => memory.note("a.yaml", names(one), Condition::Good),
            }
        }
        assert_eq!(memory.of("a.yaml"), expected.map(names).as_ref(), "{found:?}");
    }

    #[test]
    #[rustfmt::skip]
    fn a_mistaken_file_stands_for_what_it_was() {
        check(&["a b"],              Some("a b"));
        check(&["a b", "a"],         Some("a"));
        check(&["a b", "!"],         Some("a b"));
        check(&["a b", "!c"],        Some("a b c"));
        check(&["a b", "!c", "c"],   Some("c"));
        check(&["!a"],               None);
        check(&["!a", "a"],          Some("a"));
    }
}
