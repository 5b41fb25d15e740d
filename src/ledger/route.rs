//! Runs that go to another tier: where to, and how far they have come on the way.

pub(super) mod rows;

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    record::{LedgerError, Skip},
    store::Ledger,
};
use crate::{manifest::characteristics::Tier, run::RunId};

/// Where a run goes. A run without one is run by this process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The tier.
    pub tier: Tier,
    /// The backend, by its name in the settings.
    pub backend: Arc<str>,
    /// The queue there.
    pub queue: Arc<str>,
}

/// How far an attempt of a run has come on its way to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// It is in our outbox.
    Enqueued,
    /// The queue system has it.
    Acknowledged,
    /// A worker has it.
    PickedUp,
    /// A worker runs it.
    Running,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 4] = [Self::Enqueued, Self::Acknowledged, Self::PickedUp, Self::Running];

    /// The word on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Acknowledged => "acknowledged",
            Self::PickedUp => "picked-up",
            Self::Running => "running",
        }
    }
}

/// How far an attempt has come now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// The run.
    pub run_id: RunId,
    /// Counted from 1.
    pub attempt: u32,
    /// How far.
    pub stage: Stage,
    /// Since when.
    pub at: Timestamp,
    /// The worker that has it.
    pub worker: Option<Arc<str>>,
}

/// How far the last attempt of a run has come on its way to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRow {
    /// Counted from 1.
    pub attempt: u32,
    /// How far.
    pub stage: Stage,
    /// Since when.
    pub at: Timestamp,
    /// The worker that has it.
    pub worker: Option<Arc<str>>,
}

impl StageRow {
    /// One that was just decided.
    pub(super) fn first(at: Timestamp) -> Self {
        Self { attempt: 1, stage: Stage::Enqueued, at, worker: None }
    }

    /// Goes on to what is further. A worker that is not named again is the same.
    pub(super) fn go_on(&mut self, staged: &Staged) {
        if (staged.attempt, staged.stage) <= (self.attempt, self.stage) {
            return;
        }
        let before = self.worker.take().filter(|_| staged.attempt == self.attempt);
        let worker = staged.worker.clone().or(before);
        *self = Self { attempt: staged.attempt, stage: staged.stage, at: staged.at, worker };
    }
}

impl Ledger {
    /// Records how far attempts have come. One that is further already stays there; of a run that has
    /// ended, or goes nowhere, nothing is recorded. A later attempt begins anew.
    pub fn staged(
        &self,
        staged: Vec<Staged>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write_many(staged.len(), move |records| records.staged(&staged))
    }

    /// Records that an open run goes elsewhere than was decided, from its outbox on; to this process
    /// when there is no route.
    pub fn rerouted(
        &self,
        run: RunId,
        route: Option<Route>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write(move |records| records.rerouted(run, route.as_ref()))
    }

    /// Makes a skip of an open run that was never handed over; `false` when it was, or has ended. Its row
    /// keeps its fire time.
    pub fn dropped(
        &self,
        run: RunId,
        skip: Skip,
        at: Timestamp,
    ) -> impl Future<Output = Result<bool, LedgerError>> + Send + use<> {
        self.write(move |records| records.dropped(run, skip, at))
    }
}
