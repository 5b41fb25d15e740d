//! Stops runs, wherever they have come to: in this process, in the outbox, in a queue, or at a worker.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    clock,
    daemon::Daemon,
    hand::{HandError, Handled},
};
use crate::{
    backend::queue::{lane::Waited, remote::Tracked},
    ledger::{self, LedgerError, Stage},
    manifest::name::JobName,
    run::{Outcome, RunId},
    tier::queues::BackendKind,
};

/// What became of a run that was to stop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Stopped {
    /// It ends soon.
    Stopping,
    /// It was not begun, and is over.
    Unbegun,
    /// It is over, and its message may be on a queue.
    PerhapsSent {
        /// The queue, and its backend.
        queue: String,
    },
    /// It is over, and its message is on a queue.
    Queued {
        /// The queue, and its backend.
        queue: String,
    },
    /// It is over, and a worker goes on with it.
    GoesOn {
        /// The worker.
        worker: Arc<str>,
    },
    /// It does not go on.
    Over,
}

impl Daemon {
    /// Stops every run of a job that goes on, wherever it is; no further attempt.
    ///
    /// # Errors
    ///
    /// When nothing holds the job, or the ledger cannot be used.
    pub async fn cancel_job(&self, name: &JobName) -> Result<Handled, HandError> {
        let mut stopped: BTreeMap<Stopped, Vec<RunId>> = BTreeMap::new();
        for run in self.running().ids_of(name) {
            stopped.entry(self.stop(run).await?).or_default().push(run);
        }
        stopped.remove(&Stopped::Over);
        if stopped.is_empty() {
            self.held(name)?;
            return Ok(Handled { changed: false, message: format!("`{name}` is not running") });
        }
        let parts = stopped.into_iter().map(|(stopped, runs)| {
            let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
            said(&stopped, &format!("{} of `{name}`", runs.join(", ")))
        });
        Ok(Handled { changed: true, message: parts.collect::<Vec<_>>().join("\n") })
    }

    /// Stops one run that goes on, wherever it is; no further attempt.
    ///
    /// # Errors
    ///
    /// When the run does not go on, or the ledger cannot be used.
    pub async fn cancel_run(&self, run: RunId) -> Result<Handled, HandError> {
        match self.stop(run).await? {
            Stopped::Over => Err(HandError::NoSuchRun { run }),
            stopped => Ok(Handled { changed: true, message: said(&stopped, &run.to_string()) }),
        }
    }

    async fn stop(&self, run: RunId) -> Result<Stopped, LedgerError> {
        if !self.running().holds(run) {
            return Ok(Stopped::Over);
        }
        let Some(route) = self.ledger().run(run).await?.and_then(|row| row.route) else {
            let goes_on = self.running().cancel(run);
            return Ok(if goes_on { Stopped::Stopping } else { Stopped::Over });
        };
        let queue = format!("`{}` of `{}`", route.queue, route.backend);
        match self.outbox().cancel(run, &route.backend).await {
            Waited::Unsent => return Ok(Stopped::Unbegun),
            Waited::PerhapsSent => return Ok(Stopped::PerhapsSent { queue }),
            Waited::No => {}
        }
        let Some(tracked) = self.remote().get(run) else {
            if !self.running().holds(run) {
                return Ok(Stopped::Over);
            }
            // The settings no longer name where it was to go.
            self.end_cancelled(run).await?;
            return Ok(Stopped::Unbegun);
        };
        let kind = self.outbox().lane(&route.backend).map(|(connection, _)| connection.kind);
        if kind == Some(BackendKind::Embedded) {
            return self.stop_at_own_worker(run, &tracked).await;
        }
        if self.remote().forget(run).is_none() {
            return Ok(Stopped::Over);
        }
        self.end_cancelled(run).await?;
        Ok(match (tracked.stage, tracked.worker) {
            (Stage::PickedUp | Stage::Running, Some(worker)) => Stopped::GoesOn { worker },
            _ => Stopped::Queued { queue },
        })
    }

    /// The own worker can be told. A message that it does not have yet is answered by what it remembers,
    /// which is this ledger.
    async fn stop_at_own_worker(&self, run: RunId, tracked: &Tracked) -> Result<Stopped, LedgerError> {
        let own = self.own_worker();
        if own.is_some_and(|worker| worker.stops.cancel(run)) {
            return Ok(Stopped::Stopping);
        }
        let n = tracked.submission.attempt;
        let known = self.ledger().handled_begin(vec![(run, n, clock::now())]).await?;
        match known.into_iter().next() {
            Some(ledger::Handled::Ended { .. }) => return Ok(Stopped::Over),
            Some(ledger::Handled::Begun { .. }) if own.is_some_and(|worker| worker.stops.bar(run)) => {
                return Ok(Stopped::Stopping);
            }
            Some(ledger::Handled::Begun { .. }) => {}
            // It is settled without a word.
            Some(ledger::Handled::New) | None => {
                self.ledger().handled_end(vec![(run, n, Vec::new(), clock::now())]).await?;
            }
        }
        if self.remote().forget(run).is_none() {
            return Ok(Stopped::Over);
        }
        self.end_cancelled(run).await?;
        Ok(Stopped::Unbegun)
    }

    async fn end_cancelled(&self, run: RunId) -> Result<(), LedgerError> {
        self.ledger().run_ended(run, Outcome::Cancelled, clock::now()).await?;
        self.remote().forget(run);
        self.running().leave(run);
        Ok(())
    }
}

fn said(stopped: &Stopped, runs: &str) -> String {
    match stopped {
        Stopped::Stopping => format!("stopping {runs}"),
        Stopped::Unbegun => format!("cancelled {runs}, before it began"),
        Stopped::PerhapsSent { queue } => format!(
            "cancelled {runs}; its message may be on the queue {queue}, and a worker that finds it there runs it all the same"
        ),
        Stopped::Queued { queue } => format!(
            "cancelled {runs}, and nothing is tried again; its message is on the queue {queue}, and a worker that takes it runs it all the same"
        ),
        Stopped::GoesOn { worker } => format!(
            "cancelled {runs}, and nothing is tried again; what runs on the worker {worker} is not stopped"
        ),
        Stopped::Over => format!("{runs} does not go on"),
    }
}
