//! What the daemon knows: the parts it is made of, and the state of the tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    clock::{Jump, Jumps},
    decide::Decider,
    letters::Letters,
    pauses::Pauses,
    reconcile::{Order, Pass},
    worker::source,
};
use crate::{
    backend::{
        Backend, Submission,
        queue::{
            outbox::{Connection, Outbox},
            remote::Remote,
        },
        running::Running,
        timed::{TimedJobs, TimedTier},
    },
    execute::Executor,
    ledger::Ledger,
    load::{Loaded, Origin},
    manifest::{characteristics::Tier, name::JobName, roster::Roster},
    source::commit::Commit,
};

/// How long a run may take to record its end.
const RECORD_MAX: Duration = Duration::from_secs(5);

/// The daemon: what the loops and the control socket share.
#[derive(Debug)]
pub struct Daemon {
    parts: Parts,
    tree: RwLock<TreeState>,
    requests: mpsc::Sender<PassRequest>,
    ready: AtomicBool,
    draining: AtomicBool,
    recovered: watch::Sender<bool>,
    letters: Letters,
    own_worker: OnceLock<Arc<source::Shared>>,
    started_at: Timestamp,
}

/// What a daemon is made of.
#[derive(Debug)]
pub struct Parts {
    /// The directory of manifests.
    pub root: PathBuf,
    /// Where attempts write their output.
    pub output: PathBuf,
    /// The durable memory.
    pub ledger: Ledger,
    /// The jobs of the tiers whose time the daemon keeps.
    pub jobs: Arc<TimedJobs>,
    /// Runs that wait to be messages.
    pub outbox: Arc<Outbox>,
    /// Runs that are messages, or at a worker.
    pub remote: Arc<Remote>,
    /// What makes attempts.
    pub executor: Executor,
    /// The name of the worker in this process.
    pub worker: Arc<str>,
    /// Dead letters that are kept, at most.
    pub letters_max: u64,
    /// The runs that go on.
    pub running: Arc<Running>,
    /// Jobs that a person paused.
    pub pauses: Arc<Pauses>,
    /// What decides occurrences.
    pub decider: Arc<Decider>,
    /// The last jump of the clock.
    pub jumps: Arc<Jumps>,
}

/// A pass that somebody waits for.
#[derive(Debug)]
pub struct PassRequest {
    /// What it is to do.
    pub order: Order,
    /// Where the report goes; one pass may answer several.
    pub reply: oneshot::Sender<Arc<PassReport>>,
}

/// What came of a pass.
#[derive(Debug, Default)]
pub struct PassReport {
    /// What was done; `None` when there was no pass at all.
    pub pass: Option<Pass>,
    /// Why there was no pass.
    pub failure: Option<String>,
    /// Errors of the tree.
    pub errors: usize,
}

/// Something that holds of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// One word for programs.
    pub reason: String,
    /// One line for people.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// The tree as the newest scan found it. Cheap to copy: what has an entry for each job is shared.
#[derive(Debug, Clone, Default)]
pub struct TreeState {
    /// When the newest scan was made.
    pub scanned_at: Option<Timestamp>,
    /// Its digest.
    pub digest: Option<[u8; 32]>,
    /// Jobs that the last pass over a tree at rest has left undone; none before there was one.
    pub undone: Option<Arc<BTreeSet<JobName>>>,
    /// Errors in it.
    pub errors: usize,
    /// Warnings in it.
    pub warnings: usize,
    /// Why the newest scan could not be used.
    pub failure: Option<String>,
    /// Jobs whose manifest cannot be used.
    pub degraded: Arc<BTreeMap<JobName, Condition>>,
    /// Jobs whose removal is held back.
    pub held: Arc<BTreeMap<JobName, Condition>>,
    /// Jobs whose step failed in the last pass, and is tried again.
    pub failed: Arc<BTreeMap<JobName, Condition>>,
    /// Where each job's manifest is.
    pub origins: Arc<Origins>,
    /// Of each file that is mistaken, the jobs that it has held since it was last good; none of one that
    /// never was.
    pub mistaken: Arc<BTreeMap<String, Option<BTreeSet<JobName>>>>,
    /// Raised by every pass that changed something.
    pub generation: u64,
    /// Files parsed since the start.
    pub parsed: u64,
    /// How changes are noticed.
    pub watch: String,
    /// The commit it is at, when it is in a git work tree.
    pub commit: Option<Commit>,
}

/// Where each job's manifest is.
#[derive(Debug, Default)]
pub struct Origins {
    /// Jobs whose manifest can be used.
    pub sound: Roster<Arc<Loaded>>,
    /// The others: where it was, or what is wrong.
    pub broken: BTreeMap<JobName, Origin>,
}

impl Origins {
    /// Where the job's manifest is; none of a job that has none.
    #[must_use]
    pub fn get(&self, name: &JobName) -> Option<&Origin> {
        self.sound.get(name).map(|job| &job.origin).or_else(|| self.broken.get(name))
    }

    /// Every job that has a manifest.
    pub fn names(&self) -> impl Iterator<Item = &JobName> {
        self.sound.keys().chain(self.broken.keys())
    }
}

impl Daemon {
    /// A daemon that has not seen its tree yet. `requests` leads to the reconcile loop.
    #[must_use]
    pub fn new(parts: Parts, requests: mpsc::Sender<PassRequest>, started_at: Timestamp) -> Self {
        Self {
            parts,
            tree: RwLock::default(),
            requests,
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            recovered: watch::Sender::new(false),
            letters: Letters::default(),
            own_worker: OnceLock::new(),
            started_at,
        }
    }

    /// The last jump of the clock that was seen.
    #[must_use]
    pub fn jump(&self) -> Option<Jump> {
        *self.parts.jumps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The durable memory.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.parts.ledger
    }

    /// The jobs of the tiers whose time the daemon keeps.
    #[must_use]
    pub fn jobs(&self) -> &TimedJobs {
        &self.parts.jobs
    }

    /// Runs that wait to be messages.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.parts.outbox
    }

    /// Runs that are messages, or at a worker.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.parts.remote
    }

    /// Whether a worker is the one in this process.
    #[must_use]
    pub fn is_own_worker(&self, name: &str) -> bool {
        *self.parts.worker == *name
    }

    /// Says what the worker in this process is; the first time that it is said counts.
    pub fn set_own_worker(&self, worker: Arc<source::Shared>) {
        let _ = self.own_worker.set(worker);
    }

    /// The worker in this process, if there is one.
    #[must_use]
    pub fn own_worker(&self) -> Option<&source::Shared> {
        self.own_worker.get().map(|worker| &**worker)
    }

    /// What is known of the dead letters without asking the ledger.
    #[must_use]
    pub fn letters(&self) -> &Letters {
        &self.letters
    }

    /// Dead letters that are kept, at most.
    #[must_use]
    pub fn letters_max(&self) -> u64 {
        self.parts.letters_max
    }

    /// The queue system that a run goes to.
    #[must_use]
    pub fn connection_of(&self, submission: &Submission) -> Option<Connection> {
        let route = submission.route.as_ref()?;
        self.parts.outbox.lane(&route.backend).map(|(connection, _)| connection.clone())
    }

    /// What serves the tiers.
    #[must_use]
    pub fn backends(&self) -> Vec<Arc<dyn Backend>> {
        let tiers = [Tier::InProcess, Tier::Queue];
        let tier = |tier| Arc::new(TimedTier::new(tier, Arc::clone(&self.parts.jobs))) as Arc<dyn Backend>;
        tiers.into_iter().map(tier).collect()
    }

    /// The runs that go on.
    #[must_use]
    pub fn running(&self) -> &Running {
        &self.parts.running
    }

    /// Jobs that a person paused.
    #[must_use]
    pub fn pauses(&self) -> &Pauses {
        &self.parts.pauses
    }

    /// When the daemon was started.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Whether the first pass is done and the daemon does not stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.is_draining()
    }

    /// Whether the daemon stops: nothing new is started.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Says that the runs which the daemon before this one left open are known.
    pub fn set_recovered(&self) {
        self.recovered.send_replace(true);
    }

    /// Waits until that is said.
    pub async fn recovered(&self) {
        let mut recovered = self.recovered.subscribe();
        let _ = recovered.wait_for(|recovered| *recovered).await;
    }

    /// Says that the first pass is done.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Says that the daemon stops: from now on no run begins that was not decided before.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
        self.parts.running.close();
    }

    /// How long the runs that go on may take to end when they are stopped: the longest grace among
    /// them, and a while to record it.
    #[must_use]
    pub fn stop_max(&self) -> Duration {
        self.parts.running.kill_grace_max() + RECORD_MAX
    }

    /// A copy of what is known of the tree.
    #[must_use]
    pub fn tree(&self) -> TreeState {
        self.tree.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is known of the tree.
    pub fn update_tree(&self, change: impl FnOnce(&mut TreeState)) {
        change(&mut self.tree.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Asks for a pass and waits for its report; `None` when the daemon stops.
    pub async fn reconcile(&self, order: Order) -> Option<Arc<PassReport>> {
        let (reply, report) = oneshot::channel();
        self.requests.send(PassRequest { order, reply }).await.ok()?;
        report.await.ok()
    }
}
