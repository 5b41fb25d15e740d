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
    script: VecDeque<Call>,
}

/// How a call goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Call {
    /// It is done, and answered.
    #[default]
    Answered,
    /// It does not arrive: nothing is done.
    Lost,
    /// It is done, and its answer does not come back.
    ReplyLost,
}

impl Fake {
    /// An empty backend that serves `tier`.
    #[must_use]
    pub fn new(tier: Tier) -> Self {
        Self { tier, state: Mutex::default() }
    }

    /// Scripts the next calls; those after the script are answered.
    pub fn script(&self, calls: impl IntoIterator<Item = Call>) {
        self.lock().script = calls.into_iter().collect();
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

    /// One call, as the script has it.
    fn call<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, BackendError> {
        let mut state = self.lock();
        let unanswered = || BackendError::Unreachable { tier: self.tier, source: "a scripted fault".into() };
        match state.script.pop_front().unwrap_or_default() {
            Call::Answered => Ok(work(&mut state)),
            Call::Lost => Err(unanswered()),
            Call::ReplyLost => {
                work(&mut state);
                Err(unanswered())
            }
        }
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
        self.call(|state| state.held.clone())
    }

    async fn apply(&self, step: &Step) -> Result<(), BackendError> {
        self.call(|state| match &step.change {
            Change::Put { spec, digest, .. } => {
                let held = Held { applied: *digest, actual: *digest, spec: Some(spec.clone()) };
                state.held.insert(step.placement.clone(), held);
            }
            Change::Prune => {
                state.held.remove(&step.placement);
            }
        })
    }

    async fn submit(&self, submission: Submission) -> Result<(), BackendError> {
        self.call(|state| {
            state.started.insert(submission.id);
        })
    }
}
