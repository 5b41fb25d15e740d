//! What a tree of manifests asks for, in the words of the plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::diff::{Desired, Scanned, Wanted};
use crate::{
    load::{Loaded, Tree},
    manifest::roster::Roster,
};

/// What a tree asks for that was read from `scan`.
#[must_use]
pub fn desired(tree: &Tree, scan: Scanned) -> Desired {
    Asked::default().by(tree, scan)
}

/// What the last tree asked for. Of the next one only the jobs that are others are looked at.
#[derive(Debug, Default)]
pub struct Asked {
    /// The jobs of the tree.
    loaded: Roster<Arc<Loaded>>,
    /// The same in the words of the plan.
    wanted: Roster<Wanted>,
}

impl Asked {
    /// The same as [`desired`].
    #[must_use]
    pub fn by(&mut self, tree: &Tree, scan: Scanned) -> Desired {
        for name in tree.jobs.differences(&self.loaded, Arc::ptr_eq) {
            match tree.jobs.get(name) {
                Some(job) => self.wanted.insert(name.clone(), wanted(job)),
                None => self.wanted.remove(name),
            };
        }
        self.loaded = tree.jobs.clone();
        Desired {
            jobs: self.wanted.clone(),
            frozen: tree.broken.clone(),
            lingering: BTreeSet::new(),
            successors: BTreeSet::new(),
            renamed: BTreeMap::new(),
            obscured: tree.obscured.clone(),
            scan,
        }
    }
}

fn wanted(job: &Loaded) -> Wanted {
    Wanted {
        tier: job.classified.tier,
        spec: Arc::clone(&job.spec),
        digest: job.digest(),
        file: Arc::clone(&job.origin.path),
        document: job.origin.document,
    }
}
