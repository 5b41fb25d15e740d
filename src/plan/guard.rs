//! Holds back prunes that look like an accident.
//!
//! A source that is gone looks just like a clean-up (`argo-cd#3473`, `flux2#2421`): a person says
//! which one it is. Shares are counted of what is held once the puts are done, and of a tree that has
//! nothing in common with what is held nothing is put either (ADR 0008), so that a plan, the pass that
//! follows it and every later pass agree on what is held back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    absence::{by_digest, nameless},
    diff::{Change, Desired, Live, Rest, Step, Wanted},
    document::Verb,
};
use crate::manifest::{digest::Digest, name::JobName, spec::Spec};

/// Prunes that a pass may do without asking, however small the tree.
pub const PRUNE_FREE: usize = 5;

/// Share of the held jobs, as one part in so many, that a pass may prune without asking.
pub const PRUNE_SHARE: usize = 5;

/// Jobs that are asked for or held of which it is looked whether one is another under a new name: a digest
/// each. More than these are more than a pass may prune.
const RENAMED_MAX: usize = 250;

/// What a person said about prunes; the greater of two is the one that says more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowance {
    /// Nothing: the guard decides.
    #[default]
    Guarded,
    /// Up to this many prunes are wanted.
    UpTo(usize),
}

/// A step that was held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldBack {
    /// The job.
    pub job: JobName,
    /// What is not done.
    #[serde(default = "prune")]
    pub change: Verb,
    /// Why, and the way out.
    pub reason: String,
}

/// Of a plan that was written before puts were held back.
fn prune() -> Verb {
    Verb::Prune
}

/// Splits the steps into those to do and those that are held back.
#[must_use]
pub fn guard(
    steps: Vec<Step>,
    desired: &Desired,
    live: &Live,
    allowance: Allowance,
) -> (Vec<Step>, Vec<HeldBack>) {
    let (steps, mut waiting) = puts(steps, desired, live, allowance);
    let (steps, mut held_back) = prunes(steps, desired, live, allowance);
    held_back.append(&mut waiting);
    (steps, held_back)
}

/// Splits the steps into those to do, as far as the puts go, and the puts that are held back.
///
/// A tree that asks for none of the jobs that are held is more often another directory than a wish: were
/// its jobs put, they would run beside those of the first, and in the next pass the first would be a part
/// of what is held. One job in place of one other is an everyday edit; a job under another name is the
/// same job, and waits as long as its first name stays; and while not every name is known, nor is this.
#[must_use]
pub fn puts(
    steps: Vec<Step>,
    desired: &Desired,
    live: &Live,
    allowance: Allowance,
) -> (Vec<Step>, Vec<HeldBack>) {
    if !is_another(desired, live) {
        return renames(steps, desired, live, allowance);
    }
    let leaving = leaving(&steps, desired).len();
    if allowance >= Allowance::UpTo(leaving.max(1)) {
        return (steps, Vec::new());
    }
    let reason = unknown(desired).unwrap_or_else(|| {
        format!(
            "the manifests ask for none of the jobs that are held, as those of another directory do; {}",
            way_out(leaving)
        )
    });
    let (puts, prunes): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(is_put);
    // Until it is known that they are absent, these wait without a word.
    let told = puts.into_iter().filter(|_| leaving > 0);
    let held_back =
        told.map(|step| HeldBack { job: step.placement.job, change: Verb::Put, reason: reason.clone() });
    (prunes, held_back.collect())
}

/// Holds back the puts of jobs that are held under another name, where that is not pruned: both would
/// fire.
fn renames(
    steps: Vec<Step>,
    desired: &Desired,
    live: &Live,
    allowance: Allowance,
) -> (Vec<Step>, Vec<HeldBack>) {
    let Some((staying, _)) = refused(&steps, desired, live, allowance) else { return (steps, Vec::new()) };
    let old_names = old_names(&staying, &steps, desired, live);
    let (mut kept, mut held_back) = (Vec::new(), Vec::new());
    for step in steps {
        match old_names.get(&step.placement.job).filter(|_| is_put(&step)) {
            None => kept.push(step),
            Some(old) => held_back.push(HeldBack {
                reason: format!("it is `{old}` under another name, and both would fire while that one stays"),
                job: step.placement.job,
                change: Verb::Put,
            }),
        }
    }
    (kept, held_back)
}

/// The jobs to be put that are held under the name of one that stays, with that name: where the tree was
/// seen to rename it, and where the two are equal but for their names, and no third is.
fn old_names(
    staying: &BTreeSet<JobName>,
    steps: &[Step],
    desired: &Desired,
    live: &Live,
) -> BTreeMap<JobName, JobName> {
    let mut found: BTreeMap<JobName, JobName> =
        staying.iter().filter_map(|old| Some((desired.renamed.get(old)?.clone(), old.clone()))).collect();
    let puts: Vec<(&JobName, &Spec)> = steps
        .iter()
        .filter_map(|step| match &step.change {
            Change::Put { spec, .. } => Some((&step.placement.job, &**spec)),
            Change::Prune => None,
        })
        .collect();
    if let Some((name, _)) = puts.first().filter(|_| puts.len() + staying.len() <= RENAMED_MAX) {
        let held = live.placements.iter().filter(|(placement, _)| staying.contains(&placement.job));
        let held = held.filter_map(|(placement, held)| Some((&placement.job, &**held.spec.as_ref()?)));
        let (old, new) = (by_digest(name, held), by_digest(name, puts.iter().copied()));
        for (digest, old) in old {
            if let ([old], Some([new])) = (old.as_slice(), new.get(&digest).map(Vec::as_slice)) {
                found.entry(JobName::clone(new)).or_insert_with(|| JobName::clone(old));
            }
        }
    }
    let held: BTreeSet<&JobName> = live.placements.keys().map(|placement| &placement.job).collect();
    found.retain(|new, _| !held.contains(new));
    found
}

fn is_put(step: &Step) -> bool {
    matches!(step.change, Change::Put { .. })
}

/// Whether several jobs are held, and none of them is asked for, under whatever name.
fn is_another(desired: &Desired, live: &Live) -> bool {
    let stays = |name: &JobName| {
        desired.jobs.contains_key(name) || desired.frozen.contains(name) || desired.renamed.contains_key(name)
    };
    // Placements are in the order of names.
    let mut held = live.placements.keys().map(|placement| &placement.job);
    let (first, last) = (held.next(), held.next_back());
    last.is_some_and(|last| Some(last) != first)
        && desired.obscured.is_empty()
        && !desired.jobs.is_empty()
        && !live.placements.keys().any(|placement| stays(&placement.job))
        && !is_renamed(desired, live)
}

/// Whether one of the jobs that are asked for is one of those that are held, but for its name.
fn is_renamed(desired: &Desired, live: &Live) -> bool {
    let are_few = live.placements.len() + desired.jobs.len() <= RENAMED_MAX;
    let Some((name, _)) = desired.jobs.iter().next().filter(|_| are_few) else { return false };
    let digest = |wanted: &Wanted| nameless(name, &wanted.spec);
    let asked: BTreeSet<Digest> = desired.jobs.values().map(digest).collect();
    let specs = live.placements.values().filter_map(|held| held.spec.as_ref().map(Arc::as_ref));
    specs.into_iter().any(|spec| asked.contains(&nameless(name, spec)))
}

/// The jobs that steps prune. A job on two tiers leaves once, and one that is asked for does not leave.
fn leaving(steps: &[Step], desired: &Desired) -> BTreeSet<JobName> {
    steps.iter().filter(|step| leaves(step, desired)).map(|step| step.placement.job.clone()).collect()
}

fn leaves(step: &Step, desired: &Desired) -> bool {
    matches!(step.change, Change::Prune) && !desired.jobs.contains_key(&step.placement.job)
}

/// Splits the steps into those to do and the prunes that are held back.
///
/// While a file cannot be read, nothing is pruned, whatever a person allows: the job may be asked
/// for in there, and a number says nothing of it (`FAILURE_MODES` F12). Nor is anything pruned while
/// the tree is being written: a job has to be absent in two scans that agree. A pass that would leave
/// nothing, or would prune more than `max(5, 20 %)` of what is held with the puts of `steps`, prunes
/// nothing until a person allows as many. So one job that gets another name is no prune of everything,
/// and an emptied tree is.
/// The end of a move to another tier is no prune of a job.
#[must_use]
pub fn prunes(
    steps: Vec<Step>,
    desired: &Desired,
    live: &Live,
    allowance: Allowance,
) -> (Vec<Step>, Vec<HeldBack>) {
    let Some((leaving, reason)) = refused(&steps, desired, live, allowance) else {
        return (steps, Vec::new());
    };
    let kept = steps.into_iter().filter(|step| !leaves(step, desired)).collect();
    let held_back =
        leaving.into_iter().map(|job| HeldBack { job, change: Verb::Prune, reason: reason.clone() });
    (kept, held_back.collect())
}

/// The jobs that steps would prune and may not, and why.
fn refused(
    steps: &[Step],
    desired: &Desired,
    live: &Live,
    allowance: Allowance,
) -> Option<(BTreeSet<JobName>, String)> {
    let leaving = leaving(steps, desired);
    if leaving.is_empty() {
        return None;
    }
    let puts = steps.iter().filter(|step| is_put(step));
    let mut held: BTreeSet<&JobName> = puts.map(|step| &step.placement.job).collect();
    held.extend(live.placements.keys().map(|placement| &placement.job));
    let reason = unknown(desired).or_else(|| refusal(leaving.len(), held.len(), allowance))?;
    Some((leaving, reason))
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
        "`{first}`{more} cannot be used, so it is not known whether the job is still asked for; \
         mend it or take it away (`tintal validate` says what is wrong with it)"
    ))
}

/// Why a pass that would prune `leaving` of `held` jobs prunes none of them.
fn refusal(leaving: usize, held: usize, allowance: Allowance) -> Option<String> {
    let way_out = way_out(leaving);
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

fn way_out(leaving: usize) -> String {
    format!("if that is meant, run `tintal apply --allow-prune {leaving}`")
}
