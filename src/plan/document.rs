//! A plan as a document: what `tintal plan` shows and writes, and `tintal apply --plan` does.
//!
//! The list is an allow-list: what is not on it is not done, and an empty list allows nothing. A
//! document names the tree and the live state it was made from, and holds for no other.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    diff::{Change, Desired, Live, Placement, Rest, Step, Why, diff},
    fields::FieldChange,
    guard::HeldBack,
};
use crate::manifest::{characteristics::Tier, digest::Digest, name::JobName};

/// Version of the document.
pub const VERSION: u32 = 1;

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanDocument {
    /// [`VERSION`].
    pub v: u32,
    /// Digest of the tree of manifests, in hexadecimal digits.
    pub tree: String,
    /// Digest of the live state, in hexadecimal digits.
    pub live: String,
    /// Errors in the manifests.
    pub errors: usize,
    /// Jobs whose manifest cannot be used; they stay as they are.
    pub frozen: Vec<JobName>,
    /// The steps, in order.
    pub steps: Vec<PlannedStep>,
    /// What is no step of the plan, since the guard holds it back.
    pub held_back: Vec<HeldBack>,
}

/// A step of a plan, with what people want to know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStep {
    /// The job.
    pub job: JobName,
    /// The tier.
    pub tier: Tier,
    /// What happens.
    pub change: Verb,
    /// Why.
    pub why: Reason,
    /// Digest of what is put; absent for a prune.
    pub digest: Option<Digest>,
    /// The fields that differ, of a job that is changed.
    pub fields: Vec<FieldChange>,
    /// The next fire as it is now, with the offset of the job's zone.
    pub next_before: Option<String>,
    /// The next fire once the step is done.
    pub next_after: Option<String>,
    /// The next fires as they are now.
    pub fires_before: Vec<String>,
    /// The next fires once the step is done.
    pub fires_after: Vec<String>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// The tier holds the job as its manifest says.
    Put,
    /// The tier no longer holds the job.
    Prune,
}

/// Why a step is in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The tier does not hold the job.
    New,
    /// The manifest changed.
    Changed,
    /// The tier holds something else than was applied.
    Drifted,
    /// No manifest asks for the job there.
    Removed,
}

/// Why a plan cannot be applied. Nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Stale {
    /// The manifests are not those it was made from.
    #[error("the manifests have changed since the plan was made; make it anew with `tintal plan --out`")]
    Tree,
    /// It is not known yet what the manifests are.
    #[error("the manifests are still being written; apply the plan once they rest")]
    Moving,
    /// What is live is not what it was made from.
    #[error("what is live has changed since the plan was made; make it anew with `tintal plan --out`")]
    Live,
    /// Tree and live state are the same, and the steps are not: it was made with other settings.
    #[error("the plan has steps that nothing asks for here; make it anew with `tintal plan --out`")]
    Steps,
}

impl Verb {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Prune => "prune",
        }
    }

    /// The word for what is done.
    #[must_use]
    pub fn done(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Prune => "pruned",
        }
    }
}

impl Reason {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Drifted => "drifted",
            Self::Removed => "removed",
        }
    }
}

impl From<Why> for Reason {
    fn from(why: Why) -> Self {
        match why {
            Why::New => Self::New,
            Why::Changed => Self::Changed,
            Why::Drifted => Self::Drifted,
        }
    }
}

impl fmt::Display for PlannedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.why {
            Reason::New => "create",
            Reason::Changed => "update",
            Reason::Drifted => "correct",
            Reason::Removed => "prune",
        };
        write!(f, "{verb} {} on {}", self.job, self.tier)
    }
}

/// Digest of a live state, in hexadecimal digits: what is held where, and what could not be seen.
#[must_use]
pub fn live_digest(live: &Live) -> String {
    let mut hasher = blake3::Hasher::new();
    for (Placement { job, tier }, held) in &live.placements {
        hasher.update(format!("{job}\n{tier}\n{}\n{}\n", held.applied, held.actual).as_bytes());
    }
    for tier in &live.unseen {
        hasher.update(format!("?{tier}\n").as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Digest of a tree, in hexadecimal digits.
#[must_use]
pub fn tree_digest(desired: &Desired) -> String {
    blake3::Hash::from_bytes(desired.scan.tree).to_hex().to_string()
}

/// What tells a step from the others: it does the same to the same.
type Identity = (JobName, Tier, Verb, Option<Digest>);

impl PlannedStep {
    fn identity(&self) -> Identity {
        (self.job.clone(), self.tier, self.change, self.digest)
    }
}

/// The verb of a change, and the digest of what is put.
#[must_use]
pub fn verb(change: &Change) -> (Verb, Option<Digest>) {
    match change {
        Change::Put { digest, .. } => (Verb::Put, Some(*digest)),
        Change::Prune => (Verb::Prune, None),
    }
}

/// The steps that a plan allows: those on its list, and no others.
///
/// # Errors
///
/// When the plan was made from another tree or another live state, or has a step that is none here.
pub fn allowed(plan: &PlanDocument, desired: &Desired, live: &Live) -> Result<Vec<Step>, Stale> {
    if desired.scan.rest == Rest::Moving {
        return Err(Stale::Moving);
    }
    if plan.tree != tree_digest(desired) {
        return Err(Stale::Tree);
    }
    if plan.live != live_digest(live) {
        return Err(Stale::Live);
    }
    let mut listed: BTreeSet<Identity> = plan.steps.iter().map(PlannedStep::identity).collect();
    let mut steps = diff(desired, live);
    steps.retain(|step| {
        let (verb, digest) = verb(&step.change);
        listed.remove(&(step.placement.job.clone(), step.placement.tier, verb, digest))
    });
    if listed.is_empty() { Ok(steps) } else { Err(Stale::Steps) }
}
