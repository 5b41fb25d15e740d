//! Puts a daemon together: the ledger, the in-process tier, and what the last daemon left behind.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;
use tracing::warn;

use super::{
    clock,
    connect::{self, ConnectError, Environment},
    daemon::{Daemon, Parts, PassRequest},
    decide::Decider,
    fire::Fire,
    lock::{LockError, StateLock},
    pauses::{Pause, Pauses},
};
use crate::{
    backend::{
        Backend,
        drive::Driver,
        live::{Decide, JobChange},
        queue::{
            lane::Lane,
            outbox::{Outbox, Shared},
            remote::Remote,
        },
        running::Running,
        takers::Takers,
        timed::{TimedJobs, TimedTier},
    },
    config::Settings,
    execute::Executor,
    ledger::{Ledger, LedgerError, Location},
    manifest::characteristics::Tier,
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
    /// A queue system of the settings cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
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
    /// What sends the runs of each queue system.
    pub lanes: Vec<Lane>,
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
    let lock = StateLock::wait_for(&settings.state).await?;
    let location = match settings.ledger {
        LedgerKind::File => Location::File(settings.state.join(LEDGER_FILE)),
        LedgerKind::Memory => Location::Memory,
    };
    let ledger = Ledger::open(&location)?;
    let output = settings.state.join(OUTPUT_DIRECTORY);
    let running = Arc::new(Running::default());
    let environment: Environment = environment.into_iter().collect();
    let executor = Executor::new(environment.clone(), settings.output_bytes_max);
    let driver =
        Driver::new(executor.clone(), ledger.clone(), Arc::clone(&running), output.clone(), clock::now);
    let (tell, changes) = mpsc::unbounded_channel();
    let instance = ledger.instance().await?;
    let queues = (Some(instance.as_str()), Some(&ledger));
    let connections = connect::connections(&settings.queue, &environment, queues)?;
    let remote = Arc::new(Remote::default());
    let (outbox, lanes) = Outbox::new(
        connections,
        Shared {
            ledger: ledger.clone(),
            running: Arc::clone(&running),
            remote: Arc::clone(&remote),
            driver: driver.clone(),
            keys: Arc::new(connect::keyring(&settings.queue, &environment)?),
            now: clock::now,
        },
    );
    let outbox = Arc::new(outbox);
    let takers = Arc::new(Takers::new(driver, Arc::clone(&outbox)));
    let pauses = Arc::new(Pauses::default());
    let decider = Arc::new(Decider::new(ledger.clone(), Arc::clone(&running), Arc::clone(&pauses)));
    let above = Arc::clone(&decider) as Arc<dyn Decide>;
    let jobs = Arc::new(TimedJobs::new(ledger.clone(), takers, above, tell, clock::now));
    restore(&ledger, &jobs, &pauses, &running).await?;
    let (ask, requests) = mpsc::channel(REQUESTS_MAX);
    let parts = Parts {
        root: settings.jobs.clone(),
        output,
        ledger,
        jobs,
        outbox,
        remote,
        executor,
        worker: format!("serve-{instance}").into(),
        letters_max: settings.queue.dead_letters.max as u64,
        running,
        pauses,
        decider,
        jumps: Arc::default(),
    };
    let daemon = Arc::new(Daemon::new(parts, ask, clock::now()));
    // Who had taken them is gone: the state directory is ours.
    daemon.ledger().letters_returned(clock::now()).await?;
    daemon.see_to_room().await?;
    Ok(Started { daemon, changes, requests, lanes, lock })
}

/// The fire loop of a daemon.
#[must_use]
pub fn fire_loop(daemon: &Daemon) -> Fire {
    let parts = daemon.parts();
    Fire {
        decider: Arc::clone(&parts.decider),
        backend: Arc::new(TimedTier::new(Tier::InProcess, Arc::clone(&parts.jobs))) as Arc<dyn Backend>,
        jumps: Arc::clone(&parts.jumps),
    }
}

async fn restore(
    ledger: &Ledger,
    jobs: &TimedJobs,
    pauses: &Pauses,
    running: &Running,
) -> Result<(), LedgerError> {
    for row in ledger.placements().await? {
        if row.tier == Tier::Workflow {
            continue;
        }
        let job = row.spec.name.clone();
        if let Err(error) = jobs.restore(row) {
            warn!(%job, %error, "the job cannot be taken over from the ledger");
        }
    }
    for row in ledger.paused().await? {
        pauses.add(row.job, Pause { reason: row.reason, at: row.at });
    }
    // They count from the beginning: what is decided before they are seen to must not overlap them.
    for open in ledger.unfinished().await? {
        running.hold(open.id, &open.job);
    }
    Ok(())
}
