//! What a tree of manifests asks for, in the words of the plan.

use std::{collections::BTreeSet, sync::Arc};

use super::diff::{Desired, Scanned, Wanted};
use crate::load::Tree;

/// What a tree asks for that was read from `scan`.
#[must_use]
pub fn desired(tree: &Tree, scan: Scanned) -> Desired {
    let jobs = tree.jobs.iter().map(|(name, job)| {
        let wanted = Wanted {
            tier: job.classified.tier,
            spec: Arc::clone(&job.spec),
            digest: job.digest(),
            file: Arc::clone(&job.origin.path),
            document: job.origin.document,
        };
        (name.clone(), wanted)
    });
    Desired {
        jobs: jobs.collect(),
        frozen: tree.broken.clone(),
        lingering: BTreeSet::new(),
        obscured: tree.obscured.clone(),
        scan,
    }
}
