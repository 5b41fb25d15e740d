//! A backend in memory, for tests of what stands above: it can fail call by call.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{Backend, BackendError, Submission, running::Running};
use crate::{
    manifest::{characteristics::Tier, digest::Digest},
    plan::diff::{Change, Held, Placement, Step},
    run::RunId,
};

/// A backend in memory.
#[derive(Debug)]
pub struct Fake {
    tier: Tier,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<Placement, Held>,
    started: BTreeSet<RunId>,
    faults: VecDeque<bool>,
}

impl Fake {
    /// An empty backend that serves `tier`.
    #[must_use]
    pub fn new(tier: Tier) -> Self {
        Self { tier, state: Mutex::default() }
    }

    /// Scripts the next calls: `true` fails, `false` does not; after the script none fails.
    pub fn fail(&self, calls: impl IntoIterator<Item = bool>) {
        self.lock().faults = calls.into_iter().collect();
    }

    /// Changes what a placement holds, behind the engine's back.
    pub fn tamper(&self, placement: &Placement, actual: Digest) {
        if let Some(held) = self.lock().held.get_mut(placement) {
            held.actual = actual;
        }
    }

    /// What the backend holds, without a call.
    #[must_use]
    pub fn held(&self) -> BTreeMap<Placement, Held> {
        self.lock().held.clone()
    }

    /// How many runs were started.
    #[must_use]
    pub fn started(&self) -> usize {
        self.lock().started.len()
    }

    /// Says that every run that was started has ended.
    pub fn ended(&self, running: &Running) {
        self.lock().started.iter().for_each(|run| running.leave(*run));
    }

    fn call(&self) -> Result<MutexGuard<'_, State>, BackendError> {
        let mut state = self.lock();
        if state.faults.pop_front().unwrap_or(false) {
            return Err(BackendError::Unreachable { tier: self.tier, source: "a scripted fault".into() });
        }
        Ok(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for Fake {
    fn tier(&self) -> Tier {
        self.tier
    }

    async fn observe(&self) -> Result<BTreeMap<Placement, Held>, BackendError> {
        Ok(self.call()?.held.clone())
    }

    async fn apply(&self, step: &Step) -> Result<(), BackendError> {
        let mut state = self.call()?;
        match &step.change {
            Change::Put { spec, digest, .. } => {
                let held = Held { applied: *digest, actual: *digest, spec: Some(spec.clone()) };
                state.held.insert(step.placement.clone(), held);
            }
            Change::Prune => {
                state.held.remove(&step.placement);
            }
        }
        Ok(())
    }

    async fn submit(&self, submission: Submission) -> Result<(), BackendError> {
        self.call()?.started.insert(submission.key.id());
        Ok(())
    }
}
