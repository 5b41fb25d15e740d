//! The tiers whose time this daemon keeps: in-process, and queue. What they hold is in memory and in the
//! ledger, so it survives a restart; they differ in where a run goes.
//!
//! The timers stand above, in `engine::fire`, which hears of every change. A job that moves from one of
//! these tiers to the other is held by both for a while: it fires where it was put last.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{
    Backend, BackendError, Submission,
    live::{Decide, JobChange, LiveJob, Undecided},
    takers::Takers,
};
use crate::{
    ledger::{Applied, Ledger, PlacementRow, Restart},
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    plan::diff::{Change, Held, Placement, Step},
    run::RunId,
};

/// The jobs that the tiers hold.
#[derive(Debug)]
pub struct TimedJobs {
    jobs: RwLock<BTreeMap<JobName, Seats>>,
    above: Arc<dyn Decide>,
    changes: mpsc::UnboundedSender<JobChange>,
    ledger: Ledger,
    takers: Arc<Takers>,
    now: fn() -> Timestamp,
}

/// A job on the tiers that hold it.
#[derive(Debug)]
struct Seats {
    /// Where it was put last, and fires.
    fires: Arc<LiveJob>,
    /// Where it was before, until that is pruned.
    before: Option<Arc<LiveJob>>,
}

impl Seats {
    fn on(&self, tier: Tier) -> Option<&Arc<LiveJob>> {
        let before = self.before.as_ref().filter(|job| job.tier == tier);
        Some(&self.fires).filter(|job| job.tier == tier).or(before)
    }
}

impl TimedJobs {
    /// No jobs yet. `above` decides what is due before an edit, `changes` hears of every change.
    #[must_use]
    pub fn new(
        ledger: Ledger,
        takers: Arc<Takers>,
        above: Arc<dyn Decide>,
        changes: mpsc::UnboundedSender<JobChange>,
        now: fn() -> Timestamp,
    ) -> Self {
        Self { jobs: RwLock::default(), above, changes, ledger, takers, now }
    }

    /// Takes in a job that the ledger says is held.
    ///
    /// # Errors
    ///
    /// When it can no longer be read, as after a change of the time zone database.
    pub fn restore(&self, row: PlacementRow) -> Result<(), BackendError> {
        let PlacementRow { tier, spec, digest, cursor, applied_at } = row;
        let job = Arc::new(LiveJob::new(tier, spec, digest, applied_at)?);
        let fires = {
            let mut jobs = self.write();
            match jobs.get_mut(&job.spec.name) {
                Some(seats) if seats.fires.applied_at > job.applied_at => {
                    seats.before = Some(job);
                    return Ok(());
                }
                Some(seats) => seats.before = Some(std::mem::replace(&mut seats.fires, Arc::clone(&job))),
                None => {
                    let seats = Seats { fires: Arc::clone(&job), before: None };
                    jobs.insert(job.spec.name.clone(), seats);
                }
            }
            job
        };
        self.tell(JobChange::Put { job: fires, cursor });
        Ok(())
    }

    /// The job as it fires now.
    #[must_use]
    pub fn job(&self, name: &JobName) -> Option<Arc<LiveJob>> {
        self.read().get(name).map(|seats| Arc::clone(&seats.fires))
    }

    /// Every job that is held, as it fires now.
    #[must_use]
    pub fn jobs(&self) -> Vec<Arc<LiveJob>> {
        self.read().values().map(|seats| Arc::clone(&seats.fires)).collect()
    }

    /// Hands over a run.
    pub fn take(&self, submission: Submission) {
        self.takers.take(submission);
    }

    fn observe(&self, tier: Tier) -> BTreeMap<Placement, Held> {
        let held = |(name, seats): (&JobName, &Seats)| {
            let job = seats.on(tier)?;
            let (applied, actual) = (job.digest, job.digest);
            let held = Held { applied, actual, spec: Some(Arc::clone(&job.spec)) };
            Some((Placement { job: name.clone(), tier }, held))
        };
        self.read().iter().filter_map(held).collect()
    }

    async fn put(&self, tier: Tier, spec: &Arc<Spec>, digest: Digest) -> Result<(), BackendError> {
        let name = &spec.name;
        let before = self.job(name);
        if before.as_ref().is_some_and(|before| before.tier == tier && before.digest == digest) {
            return Ok(());
        }
        let now = (self.now)();
        let job = Arc::new(LiveJob::new(tier, Arc::clone(spec), digest, now)?);
        let same_times = before.as_ref().is_some_and(|before| {
            before.spec.schedule == spec.schedule && before.spec.enabled == spec.enabled
        });
        // What was due under the old times is decided under them, before the new ones count.
        if let Some(before) = before.as_ref().filter(|before| !same_times && before.spec.enabled) {
            self.decide_due(before, Some(spec), now).await?;
        }
        let restart = if same_times { Restart::Keep } else { Restart::From(now) };
        let applied = Applied { tier, digest, spec: Arc::clone(spec), at: now, restart };
        self.ledger.record_applied(applied).await.map_err(unreachable(tier))?;
        self.seat(&job);
        if let Some(before) = before.filter(|_| same_times) {
            job.plan_next(before.next_fire());
        }
        self.tell(if same_times { JobChange::Edited(job) } else { JobChange::Put { job, cursor: now } });
        Ok(())
    }

    /// Puts a job where it fires from now on; on another tier it stays until it is pruned there.
    fn seat(&self, job: &Arc<LiveJob>) {
        let mut jobs = self.write();
        let seats = Seats { fires: Arc::clone(job), before: None };
        let Some(earlier) = jobs.insert(job.spec.name.clone(), seats) else { return };
        let elsewhere = [Some(earlier.fires), earlier.before].into_iter().flatten();
        if let Some(elsewhere) = elsewhere.into_iter().find(|other| other.tier != job.tier)
            && let Some(seats) = jobs.get_mut(&job.spec.name)
        {
            seats.before = Some(elsewhere);
        }
    }

    /// Decides what is due of a job before it changes, and starts what runs.
    async fn decide_due(
        &self,
        before: &Arc<LiveJob>,
        after: Option<&Spec>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        let tier = before.tier;
        let due = self.above.decide_before_edit(before, after, now).await.map_err(|why| match why {
            Undecided::Ledger(error) => unreachable(tier)(error),
            Undecided::Closing => BackendError::Closing { tier },
        })?;
        self.takers.take_all(due);
        Ok(())
    }

    async fn prune(&self, tier: Tier, name: &JobName) -> Result<(), BackendError> {
        let fires = self.job(name).filter(|job| job.tier == tier);
        // What was due, and what was missed, leaves its record before the job goes.
        if let Some(before) = fires.as_ref().filter(|before| before.spec.enabled) {
            self.decide_due(before, None, (self.now)()).await?;
        }
        self.ledger.record_pruned(name.clone(), tier).await.map_err(unreachable(tier))?;
        if let Some(change) = self.unseat(tier, name) {
            self.tell(change);
        }
        Ok(())
    }

    /// Takes a job off a tier; gives what that changes for the timers.
    fn unseat(&self, tier: Tier, name: &JobName) -> Option<JobChange> {
        let mut jobs = self.write();
        let seats = jobs.get_mut(name)?;
        if seats.fires.tier != tier {
            seats.before = seats.before.take().filter(|before| before.tier != tier);
            return None;
        }
        // It fires where it was before, which nobody has pruned.
        if let Some(before) = seats.before.take() {
            seats.fires = Arc::clone(&before);
            // What was due is decided; from now on the times are its own.
            return Some(JobChange::Put { job: before, cursor: (self.now)() });
        }
        jobs.remove(name);
        Some(JobChange::Removed(name.clone()))
    }

    fn tell(&self, change: JobChange) {
        // Without a listener (`tintal apply`) nothing fires, and nobody needs to hear of it.
        let _ = self.changes.send(change);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<JobName, Seats>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<JobName, Seats>> {
        self.jobs.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreachable<E>(tier: Tier) -> impl FnOnce(E) -> BackendError
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| BackendError::Unreachable { tier, source: Box::new(error) }
}

/// One of the tiers.
#[derive(Debug)]
pub struct TimedTier {
    tier: Tier,
    jobs: Arc<TimedJobs>,
}

impl TimedTier {
    /// The tier, over the jobs of all such tiers.
    #[must_use]
    pub fn new(tier: Tier, jobs: Arc<TimedJobs>) -> Self {
        Self { tier, jobs }
    }
}

#[async_trait]
impl Backend for TimedTier {
    fn tier(&self) -> Tier {
        self.tier
    }

    async fn observe(&self) -> Result<BTreeMap<Placement, Held>, BackendError> {
        Ok(self.jobs.observe(self.tier))
    }

    async fn apply(&self, step: &Step) -> Result<(), BackendError> {
        match &step.change {
            Change::Put { spec, digest, .. } => self.jobs.put(self.tier, spec, *digest).await,
            Change::Prune => self.jobs.prune(self.tier, &step.placement.job).await,
        }
    }

    async fn submit(&self, submission: Submission) -> Result<(), BackendError> {
        self.jobs.take(submission);
        Ok(())
    }

    async fn submit_all(&self, submissions: Vec<Submission>) -> Vec<(RunId, BackendError)> {
        self.jobs.takers.take_all(submissions);
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{
            drive::Driver,
            queue::{
                outbox::{Outbox, Shared},
                signature::Keyring,
            },
            running::Running,
        },
        execute::Executor,
        ledger::Location,
    };

    /// What decides nothing; or what leaves everything to the next daemon.
    #[derive(Debug)]
    enum Above {
        Idle,
        Stops,
    }

    #[async_trait]
    impl Decide for Above {
        async fn decide_before_edit(
            &self,
            _: &Arc<LiveJob>,
            _: Option<&Spec>,
            _: Timestamp,
        ) -> Result<Vec<Submission>, Undecided> {
            match self {
                Self::Idle => Ok(Vec::new()),
                Self::Stops => Err(Undecided::Closing),
            }
        }
    }

    struct Given {
        jobs: Arc<TimedJobs>,
        ledger: Ledger,
        changes: mpsc::UnboundedReceiver<JobChange>,
    }

    fn given(above: Above) -> Given {
        let ledger = Ledger::open(&Location::Memory).unwrap();
        given_with(above, ledger)
    }

    fn given_with(above: Above, ledger: Ledger) -> Given {
        let now = || Timestamp::UNIX_EPOCH;
        let running = Arc::new(Running::default());
        let executor = Executor::new([], 1);
        let driver = Driver::new(executor, ledger.clone(), Arc::clone(&running), "output".into(), now);
        let shared = Shared {
            ledger: ledger.clone(),
            running,
            remote: Arc::default(),
            driver: driver.clone(),
            keys: Arc::new(Keyring::new(Vec::new())),
            now,
        };
        let (outbox, _) = Outbox::new(Vec::new(), shared);
        let takers = Arc::new(Takers::new(driver, Arc::new(outbox)));
        let (tell, changes) = mpsc::unbounded_channel();
        let jobs = Arc::new(TimedJobs::new(ledger.clone(), takers, Arc::new(above), tell, now));
        Given { jobs, ledger, changes }
    }

    fn spec(every: &str) -> Arc<Spec> {
        let spec = serde_json::json!({
            "name": "job", "enabled": true, "run": {"action": {"command": ["true"]}},
            "schedule": [{"trigger": {"every": every}}],
            "queue": {"backend": "embedded", "name": "tintal"},
            "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
            "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s",
                       "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
        });
        Arc::new(serde_json::from_value(spec).unwrap())
    }

    impl Given {
        async fn put(&self, tier: Tier, every: &str) {
            let spec = spec(every);
            self.jobs.put(tier, &spec, Digest::of(&spec)).await.unwrap();
        }

        async fn prune(&self, tier: Tier) {
            self.jobs.prune(tier, &spec("1s").name).await.unwrap();
        }

        /// What the timers heard since the last look.
        fn heard(&mut self) -> String {
            let mut heard = Vec::new();
            while let Ok(change) = self.changes.try_recv() {
                heard.push(match change {
                    JobChange::Put { job, .. } => format!("put on {}", job.tier),
                    JobChange::Edited(job) => format!("edited on {}", job.tier),
                    JobChange::Removed(_) => "removed".to_owned(),
                });
            }
            heard.join(", ")
        }

        fn held(&self) -> String {
            let on = |tier: &&Tier| !self.jobs.observe(**tier).is_empty();
            let tiers = [Tier::InProcess, Tier::Queue];
            let tiers: Vec<String> = tiers.iter().filter(on).map(ToString::to_string).collect();
            tiers.join(" and ")
        }
    }

    #[tokio::test]
    async fn an_edit_that_a_stop_comes_before_is_left_undone_and_is_no_fault_of_the_tier() {
        let given = given(Above::Stops);
        given.put(Tier::InProcess, "1s").await;
        let refused = given.jobs.prune(Tier::InProcess, &spec("1s").name).await;
        assert!(matches!(refused, Err(BackendError::Closing { .. })), "{refused:?}");
        assert!(given.jobs.job(&spec("1s").name).is_some());
    }

    /// The timers keep one seat for it all the way, so that no occurrence is lost or decided twice.
    #[tokio::test]
    async fn a_job_that_moves_fires_where_it_was_put_last_and_is_not_put_anew() {
        let mut given = given(Above::Idle);
        given.put(Tier::InProcess, "1s").await;
        assert_eq!((given.heard().as_str(), given.held().as_str()), ("put on in-process", "in-process"));
        given.put(Tier::Queue, "1s").await;
        assert_eq!(
            (given.heard().as_str(), given.held().as_str()),
            ("edited on queue", "in-process and queue")
        );
        given.prune(Tier::InProcess).await;
        assert_eq!((given.heard().as_str(), given.held().as_str()), ("", "queue"));
        given.put(Tier::InProcess, "1s").await;
        given.prune(Tier::Queue).await;
        assert_eq!((given.heard().as_str(), given.held().as_str()), ("edited on in-process", "in-process"));
        given.prune(Tier::InProcess).await;
        assert_eq!((given.heard().as_str(), given.held().as_str()), ("removed", ""));
    }

    #[tokio::test]
    async fn a_job_that_is_pruned_where_it_was_put_last_fires_where_it_was_before() {
        let mut given = given(Above::Idle);
        given.put(Tier::InProcess, "1s").await;
        given.put(Tier::Queue, "2s").await;
        given.prune(Tier::Queue).await;
        assert_eq!(given.heard(), "put on in-process, put on queue, put on in-process");
        assert_eq!(given.held(), "in-process");
    }

    #[tokio::test]
    async fn a_daemon_that_finds_a_job_on_two_tiers_has_it_fire_once() {
        let first = given(Above::Idle);
        first.put(Tier::InProcess, "1s").await;
        first.put(Tier::Queue, "1s").await;
        let mut next = given_with(Above::Idle, first.ledger.clone());
        for row in first.ledger.placements().await.unwrap() {
            next.jobs.restore(row).unwrap();
        }
        assert_eq!(next.held(), "in-process and queue");
        let fires = next.jobs.jobs();
        assert_eq!(fires.len(), 1);
        next.heard();
        next.prune(if fires[0].tier == Tier::Queue { Tier::InProcess } else { Tier::Queue }).await;
        assert_eq!(next.heard(), "", "the other one did not fire");
    }
}
