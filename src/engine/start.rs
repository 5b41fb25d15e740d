//! Puts a daemon together: the ledger, the in-process tier, and what the last daemon left behind.

use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{
    clock,
    daemon::{Daemon, Parts, PassRequest},
    fire::{Fire, NextFires},
    lock::{LockError, StateLock},
    pauses::{Pause, Pauses},
};
use crate::{
    backend::{
        Backend as _, Submission,
        drive::Driver,
        in_process::{InProcess, JobChange},
        running::{Place, Running},
    },
    config::Settings,
    execute::{
        Executor,
        leftover::{Mark, end_leftovers},
    },
    ledger::{AttemptEnd, Ledger, LedgerError, Location, OpenRun},
    manifest::characteristics::Tier,
    run::{self, Next, Outcome, RunKey},
    tier::LedgerKind,
};

/// Name of the ledger's file in the state directory.
pub const LEDGER_FILE: &str = "ledger.db";

/// Name of the directory of outputs in the state directory.
pub const OUTPUT_DIRECTORY: &str = "output";

/// Passes that wait at once; more wait with their asker.
const REQUESTS_MAX: usize = 16;

/// Why a daemon cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A daemon whose loops do not run yet.
#[derive(Debug)]
pub struct Started {
    /// What the loops and the control socket share.
    pub daemon: Arc<Daemon>,
    /// Changes of the jobs that are held, for the fire loop.
    pub changes: mpsc::UnboundedReceiver<JobChange>,
    /// Passes that are asked for, for the reconcile loop.
    pub requests: mpsc::Receiver<PassRequest>,
    /// Kept as long as the daemon lives.
    pub lock: StateLock,
}

/// Takes the state directory, opens the ledger, and takes in what it holds. Nothing fires yet, and
/// no manifest is read.
///
/// # Errors
///
/// When the state directory or the ledger cannot be used.
pub async fn start(
    settings: &Settings,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Started, StartError> {
    let lock = StateLock::take(&settings.state)?;
    let location = match settings.ledger {
        LedgerKind::File => Location::File(settings.state.join(LEDGER_FILE)),
        LedgerKind::Memory => Location::Memory,
    };
    let ledger = Ledger::open(&location)?;
    let output = settings.state.join(OUTPUT_DIRECTORY);
    let running = Arc::new(Running::default());
    let executor = Executor::new(environment, settings.output_bytes_max);
    let driver = Driver::new(executor, ledger.clone(), Arc::clone(&running), output.clone(), clock::now);
    let (tell, changes) = mpsc::unbounded_channel();
    let in_process = Arc::new(InProcess::new(ledger.clone(), driver, tell, clock::now));
    let pauses = Arc::new(Pauses::default());
    restore(&ledger, &in_process, &pauses).await?;
    let (ask, requests) = mpsc::channel(REQUESTS_MAX);
    let parts = Parts {
        root: settings.jobs.clone(),
        output,
        ledger,
        in_process,
        running,
        pauses,
        next_fires: Arc::new(NextFires::default()),
    };
    let daemon = Arc::new(Daemon::new(parts, ask, clock::now()));
    Ok(Started { daemon, changes, requests, lock })
}

/// The fire loop of a daemon.
#[must_use]
pub fn fire_loop(daemon: &Daemon) -> Fire {
    let parts = daemon.parts();
    Fire {
        ledger: parts.ledger.clone(),
        backend: Arc::clone(&parts.in_process) as Arc<dyn crate::backend::Backend>,
        running: Arc::clone(&parts.running),
        pauses: Arc::clone(&parts.pauses),
        next_fires: Arc::clone(&parts.next_fires),
    }
}

async fn restore(ledger: &Ledger, in_process: &InProcess, pauses: &Pauses) -> Result<(), LedgerError> {
    for row in ledger.placements().await? {
        if row.tier != Tier::InProcess {
            continue;
        }
        let job = row.spec.name.clone();
        if let Err(error) = in_process.restore(row.spec, row.digest, row.cursor) {
            warn!(%job, %error, "the job cannot be taken over from the ledger");
        }
    }
    for row in ledger.paused().await? {
        pauses.add(row.job, Pause { reason: row.reason, at: row.at });
    }
    Ok(())
}

impl Daemon {
    /// Sees to the runs that a daemon before this one did not see to their end: what is left of
    /// them is killed, the attempt is recorded as abandoned, and the retry policy goes on.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be used.
    pub async fn recover(&self) -> Result<(), LedgerError> {
        for open in self.ledger().unfinished().await? {
            self.take_over(open, clock::now()).await?;
        }
        Ok(())
    }

    async fn take_over(&self, open: OpenRun, now: Timestamp) -> Result<(), LedgerError> {
        let OpenRun { id, job, attempt, .. } = &open;
        let left = end_leftovers(&Mark::of_run(*id));
        if !open.attempt_ended {
            let end = AttemptEnd {
                run_id: *id,
                n: *attempt,
                ended_at: now,
                outcome: Outcome::Abandoned,
                bytes_seen: 0,
                bytes_kept: 0,
            };
            self.ledger().attempt_ended(end).await?;
        }
        warn!(%job, run_id = %id, attempt, killed = left, "the run was abandoned when the daemon ended");
        let held = self.in_process().job(job);
        let again = held.filter(|held| {
            let next = run::next(*attempt, &Outcome::Abandoned, &held.spec.policy.retry, 0.0);
            // One that waited for its next attempt gets it.
            open.attempt_ended || matches!(next, Next::RetryAfter(_))
        });
        let Some(held) = again else {
            return self.ledger().run_ended(*id, Outcome::Abandoned, now).await;
        };
        let key = RunKey { job: job.clone(), fire_time: open.fire_time, cause: open.cause };
        if self.running().enter(*id, job, u32::MAX) != Place::Taken {
            return Ok(());
        }
        info!(%job, run_id = %id, attempt = attempt + 1, "the run is tried again");
        let submission = Submission {
            key,
            spec: Arc::clone(&held.spec),
            params: open.params.clone(),
            attempt: attempt + 1,
        };
        if let Err(error) = self.in_process().submit(submission).await {
            warn!(%job, %error, "the run could not be handed over");
            self.running().leave(*id);
        }
        Ok(())
    }
}
