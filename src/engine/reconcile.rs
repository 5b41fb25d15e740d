//! One pass of the reconciler: observe, plan, apply.
//!
//! A pass takes no hint about what changed. A file event, a timer and a restart all start the same
//! pass, so there is one path and it is always in use.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt as _, stream};

use crate::{
    backend::{Backend, BackendError},
    manifest::{characteristics::Tier, name::JobName},
    plan::{
        diff::{Change, Desired, Held, Live, Step, diff},
        document::{PlanDocument, Stale, Verb, allowed},
        guard::{self, Allowance, HeldBack},
    },
};

/// Steps of one kind that are under way at once: enough to fill a group commit of the ledger, few
/// enough to be gentle with a server.
const STEPS_AT_ONCE: usize = 512;

/// What a pass is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// What the manifests ask for, with what a person said about prunes.
    Follow(Allowance),
    /// The steps of this plan, and no others.
    Plan(PlanDocument),
}

/// What a pass did.
#[derive(Debug, Default)]
pub struct Pass {
    /// Steps that are confirmed.
    pub done: Vec<Step>,
    /// Steps that failed; the next pass plans them again.
    pub failed: Vec<(Step, BackendError)>,
    /// Tiers that could not be seen.
    pub unseen: Vec<BackendError>,
    /// Steps that the guard held back.
    pub held_back: Vec<HeldBack>,
}

impl Pass {
    /// Whether something was left undone that is done when the tier answers.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        !self.unseen.is_empty() || self.unanswered().next().is_some()
    }

    /// The jobs of which something was left undone that is done when their tier answers, or when a person
    /// allows it.
    #[must_use]
    pub fn undone(&self, desired: &Desired) -> BTreeSet<JobName> {
        let mut jobs: BTreeSet<JobName> = self.unanswered().map(|step| step.placement.job.clone()).collect();
        let waits = |held: &&HeldBack| held.change == Verb::Put;
        jobs.extend(self.held_back.iter().filter(waits).map(|held| held.job.clone()));
        let unseen: BTreeSet<Tier> = self.unseen.iter().map(BackendError::tier).collect();
        if !unseen.is_empty() {
            let is_unseen = desired.jobs.iter().filter(|(_, wanted)| unseen.contains(&wanted.tier));
            jobs.extend(is_unseen.map(|(job, _)| job.clone()));
        }
        jobs
    }

    /// The steps that failed, and may not when they are tried again.
    fn unanswered(&self) -> impl Iterator<Item = &Step> {
        let can_help = |(_, error): &&(Step, BackendError)| !matches!(error, BackendError::Refused { .. });
        self.failed.iter().filter(can_help).map(|(step, _)| step)
    }

    /// Whether the pass found nothing to do, and nothing that it could not see.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        self.done.is_empty() && self.failed.is_empty() && self.unseen.is_empty() && self.held_back.is_empty()
    }
}

/// Brings the backends to `desired`, as far as they let it.
///
/// One failed step does not stop the others. Puts come before prunes, and the guard judges the
/// prunes by the puts that were confirmed: where a put failed, what it was to replace may be all
/// that is left. Nothing is remembered between passes.
pub async fn pass(desired: &Desired, backends: &[Arc<dyn Backend>], allowance: Allowance) -> Pass {
    let (live, unseen) = observe(backends).await;
    let mut pass = Pass { unseen, ..Pass::default() };
    let (steps, waiting) = guard::puts(diff(desired, &live), desired, &live, allowance);
    let (puts, prunes): (Vec<Step>, Vec<Step>) =
        steps.into_iter().partition(|step| matches!(step.change, Change::Put { .. }));
    apply_all(puts, backends, &mut pass).await;
    let (prunes, held_back) = guard::prunes(prunes, desired, &with_puts(live, &pass.done), allowance);
    pass.held_back = held_back;
    pass.held_back.extend(waiting);
    apply_all(prunes, backends, &mut pass).await;
    pass
}

/// Does the steps of a plan, and no others. A person has seen the list, so the guard has no say.
///
/// # Errors
///
/// When the plan was made from another tree or another live state; nothing was done then.
pub async fn planned(
    plan: &PlanDocument,
    desired: &Desired,
    backends: &[Arc<dyn Backend>],
) -> Result<Pass, Stale> {
    let (live, unseen) = observe(backends).await;
    let mut pass = Pass { unseen, ..Pass::default() };
    if !pass.unseen.is_empty() {
        return Ok(pass);
    }
    let (puts, prunes): (Vec<Step>, Vec<Step>) = allowed(plan, desired, &live)?
        .into_iter()
        .partition(|step| matches!(step.change, Change::Put { .. }));
    apply_all(puts, backends, &mut pass).await;
    apply_all(prunes, backends, &mut pass).await;
    Ok(pass)
}

/// What is held once these puts are confirmed.
fn with_puts(mut live: Live, done: &[Step]) -> Live {
    for step in done {
        if let Change::Put { spec, digest, .. } = &step.change {
            let held = Held { applied: *digest, actual: *digest, spec: Some(Arc::clone(spec)) };
            live.placements.insert(step.placement.clone(), held);
        }
    }
    live
}

async fn apply_all(steps: Vec<Step>, backends: &[Arc<dyn Backend>], pass: &mut Pass) {
    let mut results =
        stream::iter(steps.into_iter().map(|step| apply(step, backends))).buffered(STEPS_AT_ONCE);
    while let Some((step, result)) = results.next().await {
        match result {
            Ok(()) => pass.done.push(step),
            Err(error) => pass.failed.push((step, error)),
        }
    }
}

/// Reads what the backends hold; and why of those that did not answer.
pub async fn observe(backends: &[Arc<dyn Backend>]) -> (Live, Vec<BackendError>) {
    let mut live = Live::default();
    let mut unseen = Vec::new();
    for backend in backends {
        match backend.observe().await {
            // The first one's are taken as they are.
            Ok(mut placements) => live.placements.append(&mut placements),
            Err(error) => {
                live.unseen.insert(backend.tier());
                unseen.push(error);
            }
        }
    }
    (live, unseen)
}

async fn apply(step: Step, backends: &[Arc<dyn Backend>]) -> (Step, Result<(), BackendError>) {
    let tier = step.placement.tier;
    let Some(backend) = backends.iter().find(|backend| backend.tier() == tier) else {
        unreachable!("classify places jobs only on configured tiers");
    };
    let result = backend.apply(&step).await;
    (step, result)
}
