//! What a tree of manifests holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use crate::{
    manifest::{
        characteristics::Tier,
        digest::Digest,
        name::JobName,
        problem::{Problem, Severity, Span},
        roster::Roster,
        spec::Spec,
    },
    schedule::Schedule,
    tier::{Classified, Considered, RuleId, Traits},
};

/// What a tree of manifests holds: jobs that can run, and all that is wrong.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Every job whose manifest can be used.
    pub jobs: Roster<Arc<Loaded>>,
    /// Jobs whose manifest is there and cannot be used.
    pub broken: BTreeSet<JobName>,
    /// Of the broken ones, those that their file no longer names, each with the file that it came
    /// from when it was last good; relative to the root.
    pub suspects: BTreeMap<JobName, String>,
    /// Those of `broken` that have no tier.
    pub refused: BTreeMap<JobName, Arc<Refused>>,
    /// Files and directories that may hold jobs whose names cannot be told, sorted.
    pub obscured: Vec<String>,
    /// Everything that is wrong, sorted by place.
    pub problems: Vec<Problem>,
    /// Files that were looked at.
    pub files: usize,
    /// Files that were parsed anew.
    pub parsed: usize,
}

/// A job as its manifest asks for it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The job with every default filled in.
    pub spec: Arc<Spec>,
    /// Its triggers, compiled. Kept, so that jobs with equal ones share them.
    pub schedule: Schedule,
    /// Where it is written.
    pub origin: Origin,
    /// What the classifier read of it: each characteristic, stated or derived.
    pub traits: Traits,
    /// Its tier, with the reasons. Shared by jobs of which the same was read.
    pub classified: Arc<Classified>,
    pub(super) digest: OnceLock<Digest>,
}

impl Loaded {
    /// The digest of the spec. Made when it is first asked for: to validate takes none.
    #[must_use]
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| Digest::of(&self.spec))
    }
}

/// A job that no tier can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where it is written.
    pub origin: Origin,
    /// The tier that the rules choose, and the rule.
    pub rules_choose: (RuleId, Tier),
    /// Every tier, lightest first, with what came of it.
    pub considered: Vec<Considered>,
}

/// Where a job is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file, relative to the root of the tree.
    pub path: Arc<str>,
    /// The line on which the document begins, counted from 1.
    pub line: u32,
    /// Which document of the file, counted from 0.
    pub document: u32,
    /// The name as it is written; of a name that comes from the file's, the first key.
    pub name: Span,
}

impl Tree {
    /// How many problems are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }
}
