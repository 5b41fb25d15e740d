//! The difference of desired and live state, as a list of steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use crate::manifest::{characteristics::Tier, digest::Digest, name::JobName, roster::Roster, spec::Spec};

/// What the manifests ask for.
#[derive(Debug, Default, Clone)]
pub struct Desired {
    /// Every valid manifest, with the tier it is placed on.
    pub jobs: Roster<Wanted>,
    /// Jobs whose manifest is there but cannot be used. They stay as they are.
    pub frozen: BTreeSet<JobName>,
    /// Jobs that were asked for a moment ago. They stay until their absence has lasted
    /// ([`super::absence`]).
    pub lingering: BTreeSet<JobName>,
    /// Jobs that are asked for instead of lingering ones. They are not put before these leave.
    pub successors: BTreeSet<JobName>,
    /// Jobs that are asked for under another name, as far as that was seen.
    pub renamed: BTreeMap<JobName, JobName>,
    /// Files that may hold jobs whose names cannot be told: as long as there are any, it is not
    /// known of a job that nothing asks for it.
    pub obscured: Vec<String>,
    /// The scan that it was read from.
    pub scan: Scanned,
}

/// The scan that a desired state was read from.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    /// Digest of the tree: paths, contents, and what could not be read.
    pub tree: [u8; 32],
    /// Whether the tree was at rest.
    pub rest: Rest,
}

/// Whether a tree was at rest when it was read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Two scans agree.
    #[default]
    Settled,
    /// It was still being written: what is absent may be about to come.
    Moving,
}

/// A job as its manifest asks for it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The tier it is placed on.
    pub tier: Tier,
    /// The job with every default filled in.
    pub spec: Arc<Spec>,
    /// The digest of `spec`.
    pub digest: Digest,
    /// The file that asks for it, relative to the root of the tree.
    pub file: Arc<str>,
    /// Which document of the file, counted from 0.
    pub document: u32,
}

/// What the backends reported.
#[derive(Debug, Default, Clone)]
pub struct Live {
    /// Every job a backend holds for us.
    pub placements: BTreeMap<Placement, Held>,
    /// Tiers that did not answer. Unknown is not empty: nothing is planned there.
    pub unseen: BTreeSet<Tier>,
}

/// One job on one tier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placement {
    /// The job.
    pub job: JobName,
    /// Where it is.
    pub tier: Tier,
}

/// A job as its backend holds it.
#[derive(Debug, Clone)]
pub struct Held {
    /// Digest we wrote at the last apply.
    pub applied: Digest,
    /// Digest of what the backend holds now.
    pub actual: Digest,
    /// What we wrote at the last apply, when it is known: for the differences that people read.
    pub spec: Option<Arc<Spec>>,
}

/// One change.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which job, where.
    pub placement: Placement,
    /// What happens to it.
    pub change: Change,
}

/// What a step does. Adapters see these two verbs only.
#[derive(Debug, Clone)]
pub enum Change {
    /// The tier holds the job as the spec says.
    Put {
        /// The job.
        spec: Arc<Spec>,
        /// The digest of `spec`.
        digest: Digest,
        /// A word for people.
        why: Why,
    },
    /// The tier no longer holds the job.
    Prune,
}

/// Why a job is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The tier does not hold it.
    New,
    /// The manifest changed.
    Changed,
    /// The tier holds something else than we applied.
    Drifted,
}

impl Why {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Drifted => "drifted",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Placement { job, tier } = &self.placement;
        let verb = match self.change {
            Change::Put { why: Why::New, .. } => "create",
            Change::Put { why: Why::Changed, .. } => "update",
            Change::Put { why: Why::Drifted, .. } => "correct",
            Change::Prune => "prune",
        };
        write!(f, "{verb} {job} on {tier}")
    }
}

/// Lists the steps from `live` to `desired`: puts first, then prunes, each in name order.
///
/// A job that changes tier is put on the new one first; its old placement is pruned by a later
/// pass, once the new one is seen to hold the job. So no failure leaves a job nowhere.
#[must_use]
pub fn diff(desired: &Desired, live: &Live) -> Vec<Step> {
    let (mut puts, mut unwanted) = (Vec::new(), Vec::new());
    // Both are in the order of names: one walk along both takes no look at any name twice.
    let mut placements = live.placements.iter().peekable();
    for (job, wanted) in desired.jobs.iter() {
        while let Some((placement, _)) = placements.next_if(|(placement, _)| placement.job < *job) {
            unwanted.push(placement);
        }
        let (mut here, mut elsewhere) = (None, Vec::new());
        while let Some((placement, held)) = placements.next_if(|(placement, _)| placement.job == *job) {
            if placement.tier == wanted.tier {
                here = Some(held);
            } else {
                elsewhere.push(placement);
            }
        }
        puts.extend(put(job, wanted, here));
        if here.is_some() {
            unwanted.append(&mut elsewhere);
        }
    }
    unwanted.extend(placements.map(|(placement, _)| placement));
    let prunes =
        unwanted.into_iter().map(|placement| Step { placement: placement.clone(), change: Change::Prune });

    puts.into_iter()
        .filter(|step| !desired.successors.contains(&step.placement.job))
        .chain(prunes)
        .filter(|step| !live.unseen.contains(&step.placement.tier))
        .filter(|step| !desired.frozen.contains(&step.placement.job))
        .filter(|step| !desired.lingering.contains(&step.placement.job))
        .collect()
}

/// The step that makes a job's tier, which holds this of it, hold what is wanted; none when it does.
fn put(job: &JobName, wanted: &Wanted, held: Option<&Held>) -> Option<Step> {
    let why = match held {
        None => Why::New,
        Some(held) if held.applied != wanted.digest => Why::Changed,
        Some(held) if held.actual != held.applied => Why::Drifted,
        Some(_) => return None,
    };
    Some(Step {
        placement: Placement { job: job.clone(), tier: wanted.tier },
        change: Change::Put { spec: Arc::clone(&wanted.spec), digest: wanted.digest, why },
    })
}
