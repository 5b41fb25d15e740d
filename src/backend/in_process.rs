//! The in-process tier: jobs in memory and in the ledger, runs as tasks of the daemon.
//!
//! What it holds survives a restart through the ledger. The timers stand above it, in
//! `engine::fire`, which hears of every change.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::mpsc;

use super::{Backend, BackendError, Submission, drive::Driver};
use crate::{
    ledger::{Applied, Ledger, LedgerError, PlacementRow, Restart},
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    plan::diff::{Change, Held, Placement, Step},
    run::RunId,
    schedule::Schedule,
};

/// No next fire: a time that no schedule gives.
const NOT_PLANNED: i64 = i64::MIN;

/// A job that the tier holds.
#[derive(Debug)]
pub struct LiveJob {
    /// The job with every default filled in.
    pub spec: Arc<Spec>,
    /// The digest of `spec`.
    pub digest: Digest,
    /// Its triggers, compiled.
    pub schedule: Schedule,
    /// Since when the tier holds it as this.
    pub applied_at: Timestamp,
    /// When it fires next, for those who look: microseconds from the epoch, as the
    /// ledger keeps it, or [`NOT_PLANNED`].
    next_fire: AtomicI64,
}

impl LiveJob {
    /// A job of which it is not planned yet when it fires.
    #[must_use]
    pub fn new(spec: Arc<Spec>, digest: Digest, schedule: Schedule, applied_at: Timestamp) -> Self {
        Self { spec, digest, schedule, applied_at, next_fire: NOT_PLANNED.into() }
    }

    /// When it fires next: a fire time; none when it does not, or when this process does not fire.
    #[must_use]
    pub fn next_fire(&self) -> Option<Timestamp> {
        let micros = self.next_fire.load(Ordering::Relaxed);
        Timestamp::from_microsecond(micros).ok().filter(|_| micros != NOT_PLANNED)
    }

    /// Keeps when it fires next, for those who look.
    pub fn plan_next(&self, fire_time: Option<Timestamp>) {
        let micros = fire_time.map_or(NOT_PLANNED, Timestamp::as_microsecond);
        self.next_fire.store(micros, Ordering::Relaxed);
    }
}

/// What changed, for the timers.
#[derive(Debug)]
pub enum JobChange {
    /// The job is held as this, from now on.
    Put {
        /// The job.
        job: Arc<LiveJob>,
        /// The last fire time that counts as decided.
        cursor: Timestamp,
    },
    /// The job is held as this; its fire times did not change.
    Edited(Arc<LiveJob>),
    /// The job is no longer held.
    Removed(JobName),
}

/// What stands above the tier, and decides what is due.
#[async_trait]
pub trait Decide: std::fmt::Debug + Send + Sync {
    /// Decides what is due of a job up to an instant at which it becomes `after`, or is removed; gives
    /// the runs to start. Safe to repeat: what is decided is not decided again.
    ///
    /// # Errors
    ///
    /// When not all of it could be decided; the job must stay as it is then.
    async fn decide_before_edit(
        &self,
        before: &Arc<LiveJob>,
        after: Option<&Spec>,
        until: Timestamp,
    ) -> Result<Vec<Submission>, Undecided>;
}

/// Why what is due before an edit could not be decided.
#[derive(Debug, Error)]
pub enum Undecided {
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The daemon stops.
    #[error("the daemon is stopping")]
    Closing,
}

/// The in-process tier.
#[derive(Debug)]
pub struct InProcess {
    jobs: RwLock<BTreeMap<JobName, Arc<LiveJob>>>,
    above: Arc<dyn Decide>,
    changes: mpsc::UnboundedSender<JobChange>,
    ledger: Ledger,
    driver: Driver,
    now: fn() -> Timestamp,
}

impl InProcess {
    /// An empty tier. `above` decides what is due before an edit, `changes` hears of every change.
    #[must_use]
    pub fn new(
        ledger: Ledger,
        driver: Driver,
        above: Arc<dyn Decide>,
        changes: mpsc::UnboundedSender<JobChange>,
        now: fn() -> Timestamp,
    ) -> Self {
        Self { jobs: RwLock::default(), above, changes, ledger, driver, now }
    }

    /// Takes in a job that the ledger says is held.
    ///
    /// # Errors
    ///
    /// When its schedule can no longer be read, as after a change of the time zone database.
    pub fn restore(&self, row: PlacementRow) -> Result<(), BackendError> {
        let PlacementRow { spec, digest, cursor, applied_at, .. } = row;
        let job = live_job(spec, digest, applied_at)?;
        self.jobs
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(job.spec.name.clone(), Arc::clone(&job));
        self.tell(JobChange::Put { job, cursor });
        Ok(())
    }

    /// The job as it is held now.
    #[must_use]
    pub fn job(&self, name: &JobName) -> Option<Arc<LiveJob>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every job that is held.
    #[must_use]
    pub fn jobs(&self) -> Vec<Arc<LiveJob>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    async fn put(&self, spec: &Arc<Spec>, digest: Digest) -> Result<(), BackendError> {
        let name = &spec.name;
        let before = self.job(name);
        if before.as_ref().is_some_and(|before| before.digest == digest) {
            return Ok(());
        }
        let now = (self.now)();
        let job = live_job(Arc::clone(spec), digest, now)?;
        let same_times = before.as_ref().is_some_and(|before| {
            before.spec.schedule == spec.schedule && before.spec.enabled == spec.enabled
        });
        // What was due under the old times is decided under them, before the new ones count.
        if let Some(before) = before.as_ref().filter(|before| !same_times && before.spec.enabled) {
            self.decide_due(before, Some(spec), now).await?;
        }
        let restart = if same_times { Restart::Keep } else { Restart::From(now) };
        let applied = Applied { tier: Tier::InProcess, digest, spec: Arc::clone(spec), at: now, restart };
        self.ledger.record_applied(applied).await.map_err(unreachable)?;
        self.jobs.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), Arc::clone(&job));
        if let Some(before) = before.filter(|_| same_times) {
            job.plan_next(before.next_fire());
        }
        self.tell(if same_times { JobChange::Edited(job) } else { JobChange::Put { job, cursor: now } });
        Ok(())
    }

    /// Decides what is due of a job before it changes, and starts what runs.
    async fn decide_due(
        &self,
        before: &Arc<LiveJob>,
        after: Option<&Spec>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        let due = self.above.decide_before_edit(before, after, now).await.map_err(|why| match why {
            Undecided::Ledger(error) => unreachable(error),
            Undecided::Closing => BackendError::Closing { tier: Tier::InProcess },
        })?;
        self.driver.start_all(due);
        Ok(())
    }

    async fn prune(&self, name: &JobName) -> Result<(), BackendError> {
        // What was due, and what was missed, leaves its record before the job goes.
        if let Some(before) = self.job(name).filter(|before| before.spec.enabled) {
            self.decide_due(&before, None, (self.now)()).await?;
        }
        self.ledger.record_pruned(name.clone(), Tier::InProcess).await.map_err(unreachable)?;
        self.jobs.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.tell(JobChange::Removed(name.clone()));
        Ok(())
    }

    fn tell(&self, change: JobChange) {
        // Without a listener (`tintal apply`) nothing fires, and nobody needs to hear of it.
        let _ = self.changes.send(change);
    }
}

fn live_job(spec: Arc<Spec>, digest: Digest, applied_at: Timestamp) -> Result<Arc<LiveJob>, BackendError> {
    let schedule = Schedule::compile(&spec.name, &spec.schedule).map_err(|errors| BackendError::Refused {
        tier: Tier::InProcess,
        reason: errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; "),
    })?;
    Ok(Arc::new(LiveJob::new(spec, digest, schedule, applied_at)))
}

fn unreachable(error: impl std::error::Error + Send + Sync + 'static) -> BackendError {
    BackendError::Unreachable { tier: Tier::InProcess, source: Box::new(error) }
}

#[async_trait]
impl Backend for InProcess {
    fn tier(&self) -> Tier {
        Tier::InProcess
    }

    async fn observe(&self) -> Result<BTreeMap<Placement, Held>, BackendError> {
        let held = |job: &Arc<LiveJob>| Held {
            applied: job.digest,
            actual: job.digest,
            spec: Some(Arc::clone(&job.spec)),
        };
        let jobs = self.jobs.read().unwrap_or_else(PoisonError::into_inner);
        let placement = |name: &JobName| Placement { job: name.clone(), tier: Tier::InProcess };
        Ok(jobs.iter().map(|(name, job)| (placement(name), held(job))).collect())
    }

    async fn apply(&self, step: &Step) -> Result<(), BackendError> {
        match &step.change {
            Change::Put { spec, digest, .. } => self.put(spec, *digest).await,
            Change::Prune => self.prune(&step.placement.job).await,
        }
    }

    async fn submit(&self, submission: Submission) -> Result<(), BackendError> {
        self.driver.start(submission);
        Ok(())
    }

    async fn submit_all(&self, submissions: Vec<Submission>) -> Vec<(RunId, BackendError)> {
        self.driver.start_all(submissions);
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::running::Running, execute::Executor, ledger::Location};

    /// What leaves everything to the next daemon.
    #[derive(Debug)]
    struct Stops;

    #[async_trait]
    impl Decide for Stops {
        async fn decide_before_edit(
            &self,
            _: &Arc<LiveJob>,
            _: Option<&Spec>,
            _: Timestamp,
        ) -> Result<Vec<Submission>, Undecided> {
            Err(Undecided::Closing)
        }
    }

    #[tokio::test]
    async fn an_edit_that_a_stop_comes_before_is_left_undone_and_is_no_fault_of_the_tier() {
        let ledger = Ledger::open(&Location::Memory).unwrap();
        let now = || Timestamp::UNIX_EPOCH;
        let running = Arc::new(Running::default());
        let driver = Driver::new(Executor::new([], 1), ledger.clone(), running, "output".into(), now);
        let (changes, _hears) = mpsc::unbounded_channel();
        let tier = InProcess::new(ledger, driver, Arc::new(Stops), changes, now);
        let spec = serde_json::json!({
            "name": "job", "enabled": true, "run": {"action": {"command": ["true"]}},
            "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
            "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s",
                       "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
        });
        let spec: Arc<Spec> = Arc::new(serde_json::from_value(spec).unwrap());
        let digest = Digest::of(&spec);
        tier.put(&spec, digest).await.unwrap();
        let refused = tier.prune(&spec.name).await;
        assert!(matches!(refused, Err(BackendError::Closing { .. })), "{refused:?}");
        assert!(tier.job(&spec.name).is_some());
    }
}
