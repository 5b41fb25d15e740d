//! Holds back prunes that look like an accident.
//!
//! A source that is gone looks just like a clean-up (`argo-cd#3473`, `flux2#2421`): a person says
//! which one it is. Shares are counted of what is held once the puts are done, so that a plan, the
//! pass that follows it and every later pass agree on what is held back.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::diff::{Change, Desired, Live, Rest, Step};
use crate::manifest::name::JobName;

/// Prunes that a pass may do without asking, however small the tree.
pub const PRUNE_FREE: usize = 5;

/// Share of the held jobs, as one part in so many, that a pass may prune without asking.
pub const PRUNE_SHARE: usize = 5;

/// What a person said about prunes; the greater of two is the one that says more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowance {
    /// Nothing: the guard decides.
    #[default]
    Guarded,
    /// Up to this many prunes are wanted.
    UpTo(usize),
}

/// A prune that was held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldBack {
    /// The job.
    pub job: JobName,
    /// Why, and the way out.
    pub reason: String,
}

/// Splits the steps into those to do and the prunes that are held back.
///
/// While a file cannot be read, nothing is pruned, whatever a person allows: the job may be asked
/// for in there, and a number says nothing of it (`FAILURE_MODES` F12). Nor is anything pruned while
/// the tree is being written: a job has to be absent in two scans that agree. A pass that would leave nothing, or would prune more than
/// `max(5, 20 %)` of what is held with the puts of `steps`, prunes nothing until a person allows as
/// many. So one job that gets another name is no prune of everything, and an emptied tree is.
/// The end of a move to another tier is no prune of a job.
#[must_use]
pub fn guard(
    steps: Vec<Step>,
    desired: &Desired,
    live: &Live,
    allowance: Allowance,
) -> (Vec<Step>, Vec<HeldBack>) {
    // A job on two tiers leaves once, and one that is asked for does not leave.
    let leaves =
        |step: &Step| matches!(step.change, Change::Prune) && !desired.jobs.contains_key(&step.placement.job);
    let jobs = |steps: &[Step], is_counted: &dyn Fn(&Step) -> bool| -> BTreeSet<JobName> {
        steps.iter().filter(|step| is_counted(step)).map(|step| step.placement.job.clone()).collect()
    };
    let leaving = jobs(&steps, &leaves);
    if leaving.is_empty() {
        return (steps, Vec::new());
    }
    let mut held = jobs(&steps, &|step| matches!(step.change, Change::Put { .. }));
    held.extend(live.placements.keys().map(|placement| placement.job.clone()));
    let refused = unknown(desired).or_else(|| refusal(leaving.len(), held.len(), allowance));
    let Some(reason) = refused else { return (steps, Vec::new()) };

    let kept = steps.into_iter().filter(|step| !leaves(step)).collect();
    let held_back = leaving.into_iter().map(|job| HeldBack { job, reason: reason.clone() });
    (kept, held_back.collect())
}

/// Why it is not known whether jobs are still asked for.
fn unknown(desired: &Desired) -> Option<String> {
    if desired.scan.rest == Rest::Moving {
        return Some(
            "the manifests were still being written when they were read; it is looked at again once they rest"
                .to_owned(),
        );
    }
    let first = desired.obscured.first()?;
    let more = match desired.obscured.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    Some(format!(
        "`{first}`{more} cannot be read, so it is not known whether the job is still asked for; \
         mend it or take it away (`tintal validate` says what is wrong with it)"
    ))
}

/// Why a pass that would prune `leaving` of `held` jobs prunes none of them.
fn refusal(leaving: usize, held: usize, allowance: Allowance) -> Option<String> {
    let way_out = format!("if that is meant, run `tintal apply --allow-prune {leaving}`");
    match allowance {
        Allowance::UpTo(count) if leaving <= count => None,
        Allowance::UpTo(count) => {
            Some(format!("the pass would prune {leaving} jobs, and only {count} are allowed; {way_out}"))
        }
        Allowance::Guarded if leaving == held => {
            Some(format!("the pass would prune every job that is held ({held}); {way_out}"))
        }
        Allowance::Guarded if leaving > PRUNE_FREE.max(held / PRUNE_SHARE) => {
            Some(format!("the pass would prune {leaving} of {held} jobs at once; {way_out}"))
        }
        Allowance::Guarded => None,
    }
}
