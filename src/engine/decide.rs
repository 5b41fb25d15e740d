//! Decides occurrences: each runs, or is skipped for a reason, and is written before anything acts.
//!
//! Both the fire loop and an edit of a schedule come here, so that one set of rules holds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::RwLock;
use tracing::{debug, warn};

use super::{
    cursor::{Cursor, Found, Waiting},
    pauses::Pauses,
    timers::Start,
};
use crate::{
    backend::{
        Submission,
        live::{Decide, LiveJob, Undecided},
        running::{Place, Running},
    },
    ledger::{Counted, Decided, Ledger, LedgerError, NewDecision, Skip, Verdict},
    manifest::spec::Spec,
    run::{Cause, RunKey, gap_id, run_id},
    schedule::due::{Count, Dropped},
};

/// Decides occurrences.
#[derive(Debug)]
pub struct Decider {
    /// Where decisions are written.
    pub ledger: Ledger,
    /// The runs that go on.
    pub running: Arc<Running>,
    /// Jobs that a person paused.
    pub pauses: Arc<Pauses>,
    mode: RwLock<Mode>,
}

/// Whether runs begin as soon as they are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They are held: the first pass is not done, or this process only applies.
    Quiet,
    /// They begin.
    Firing,
}

/// Occurrences on their way to a decision.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Those that run have their place.
    decisions: Vec<NewDecision>,
    /// What else is known of each, in the same order.
    besides: Vec<Besides>,
}

/// What is known of an occurrence beside its decision.
#[derive(Debug)]
struct Besides {
    job: Arc<LiveJob>,
    /// How long the run waits for its share of the jitter, if it runs.
    wait: Duration,
}

impl Decider {
    /// One that holds every run until [`Decider::begin_firing`].
    #[must_use]
    pub fn new(ledger: Ledger, running: Arc<Running>, pauses: Arc<Pauses>) -> Self {
        Self { ledger, running, pauses, mode: RwLock::new(Mode::Quiet) }
    }

    /// From now on runs begin as soon as they are decided. What was held before is in the ledger by
    /// the time this returns.
    pub async fn begin_firing(&self) {
        *self.mode.write().await = Mode::Firing;
    }

    /// Adds what was found of a job at `now`. What was missed is recorded as `missed`.
    ///
    /// # Errors
    ///
    /// When the daemon stops: an occurrence was left to the next daemon, and whatever would make that
    /// one take it for decided must not happen.
    pub(super) fn consider(
        &self,
        candidates: &mut Candidates,
        job: &Arc<LiveJob>,
        found: impl IntoIterator<Item = Found>,
        (now, missed): (Timestamp, Skip),
    ) -> Result<(), Closing> {
        let name = &job.spec.name;
        let mut all = Ok(());
        for found in found {
            let skip = match found {
                Found::Fire(start) => {
                    all = self.fire(candidates, job, start, now).and(all);
                    continue;
                }
                Found::Missed(dropped) => skipped(job, dropped, missed, now),
                Found::LeftOut { gap, fires } => {
                    let id = gap_id(name, gap.at);
                    let decision = NewDecision::skip(id, name.clone(), (gap.at, gap.at), 1, Skip::Dst, now);
                    match fires {
                        Waiting::Some => decision.without_cursor(),
                        Waiting::None => decision,
                    }
                }
            };
            candidates.skip(job, skip);
        }
        all
    }

    /// Adds an occurrence that is due: it runs, or is skipped for a reason.
    fn fire(
        &self,
        candidates: &mut Candidates,
        job: &Arc<LiveJob>,
        start: Start,
        now: Timestamp,
    ) -> Result<(), Closing> {
        let name = &job.spec.name;
        let run = NewDecision::run(start.run, name.clone(), start.fire_time, Cause::Schedule, now)
            .with_route(job.route.clone());
        if self.pauses.holds(name) {
            candidates.skip(job, run.skipped(Skip::Paused));
            return Ok(());
        }
        match self.running.enter(start.run, name, job.spec.policy.max_running) {
            Place::Closed => return Err(Closing),
            Place::Full => candidates.skip(job, run.skipped(Skip::Overlap)),
            Place::Taken | Place::Present => {
                let wait = start.at.duration_since(now).max(SignedDuration::ZERO).unsigned_abs();
                candidates.decisions.push(run);
                candidates.besides.push(Besides { job: Arc::clone(job), wait });
            }
        }
        Ok(())
    }

    /// Writes the decisions, all or none, and gives the runs to hand over: those that are new. The
    /// work is handed to the ledger at once; the answer comes after the commit. Candidates that do
    /// not run give their place back, and no other does.
    pub(super) fn write(
        &self,
        candidates: Candidates,
    ) -> impl Future<Output = Result<Vec<Submission>, LedgerError>> + Send + use<> {
        let Candidates { decisions, besides } = candidates;
        let decisions = Arc::new(decisions);
        let written = self.ledger.decide_shared(Arc::clone(&decisions));
        let running = Arc::clone(&self.running);
        async move {
            let decided = written.await;
            let mut submissions = Vec::with_capacity(besides.len());
            for (index, (decision, besides)) in decisions.iter().zip(besides).enumerate() {
                let is_new = decided.as_ref().is_ok_and(|decided| decided[index] == Decided::New);
                if let (true, Verdict::Skipped(skip)) = (is_new, decision.verdict) {
                    tell(decision, skip);
                } else if is_new {
                    submissions.push(besides.submission(decision));
                } else if decision.verdict == Verdict::Run {
                    debug!(job = %decision.job, "decided before, or not at all");
                    running.withdraw(decision.id);
                }
            }
            decided.map(|_| submissions)
        }
    }
}

/// The daemon stops, and an occurrence was left to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closing;

impl Candidates {
    /// With room for so many.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self { decisions: Vec::with_capacity(count), besides: Vec::with_capacity(count) }
    }

    fn skip(&mut self, job: &Arc<LiveJob>, decision: NewDecision) {
        self.decisions.push(decision);
        self.besides.push(Besides { job: Arc::clone(job), wait: Duration::ZERO });
    }

    fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    /// Gives the places back: nothing is decided.
    fn withdraw(self, running: &Running) {
        let entered = self.decisions.iter().filter(|decision| decision.verdict == Verdict::Run);
        entered.for_each(|decision| running.withdraw(decision.id));
    }
}

impl Besides {
    fn submission(self, decision: &NewDecision) -> Submission {
        Submission {
            id: decision.id,
            key: RunKey { job: decision.job.clone(), fire_time: decision.fire_time, cause: Cause::Schedule },
            route: self.job.route.clone(),
            spec: Arc::clone(&self.job.spec),
            digest: self.job.digest,
            params: BTreeMap::new(),
            attempt: 1,
            wait: self.wait,
        }
    }
}

#[async_trait]
impl Decide for Decider {
    async fn decide_before_edit(
        &self,
        before: &Arc<LiveJob>,
        after: Option<&Spec>,
        until: Timestamp,
    ) -> Result<Vec<Submission>, Undecided> {
        let mode = self.mode.read().await;
        let name = &before.spec.name;
        let Some(cursor) = self.ledger.cursor(name.clone()).await? else { return Ok(Vec::new()) };
        let found = Cursor::at(cursor).last_due(name, &before.schedule, until);
        let mut candidates = Candidates::default();
        if after.is_some_and(|after| after.enabled) {
            let considered = self.consider(&mut candidates, before, found, (until, Skip::Misfire));
            if considered == Err(Closing) {
                candidates.withdraw(&self.running);
                return Err(Undecided::Closing);
            }
        } else {
            let skips = found.iter().filter_map(|found| disabled(before, found, until));
            skips.for_each(|skip| candidates.skip(before, skip));
        }
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let submissions = self.write(candidates).await?;
        if *mode == Mode::Quiet {
            submissions.iter().for_each(|submission| self.running.hold(submission.id, name));
            return Ok(Vec::new());
        }
        Ok(submissions)
    }
}

/// Says what is skipped, once it is recorded; of a pause, which may be long, the records tell.
fn tell(decision: &NewDecision, skip: Skip) {
    let NewDecision { job, fire_time: first, last_fire_time: last, count, .. } = decision;
    let reason = skip.as_str();
    match skip {
        Skip::Paused => debug!(%job, %first, reason, "skipped"),
        _ => warn!(%job, count, %first, %last, reason, "skipped"),
    }
}

/// What was found of a job that its manifest no longer lets fire.
fn disabled(job: &LiveJob, found: &Found, now: Timestamp) -> Option<NewDecision> {
    let dropped = match found {
        Found::Fire(Start { fire_time: time, .. }) => {
            Dropped { first: *time, last: *time, count: Count::Exactly(1) }
        }
        Found::Missed(dropped) => *dropped,
        Found::LeftOut { .. } => return None,
    };
    Some(skipped(job, dropped, Skip::Disabled, now))
}

fn skipped(job: &LiveJob, dropped: Dropped, skip: Skip, now: Timestamp) -> NewDecision {
    let Dropped { first, last, count } = dropped;
    let name = job.spec.name.clone();
    let id = run_id(&name, first, Cause::Schedule);
    NewDecision::skip(id, name, (first, last), count.counted(), skip, now).counted(counted(count))
}

/// Whether a count of fires is all of them, as the ledger says it.
pub(super) fn counted(count: Count) -> Counted {
    match count {
        Count::Exactly(_) => Counted::All,
        Count::AtLeast(_) => Counted::AtLeast,
    }
}
