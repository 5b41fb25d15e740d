//! Decides occurrences: each runs, or is skipped for a reason, and is written before anything acts.
//!
//! Both the fire loop and an edit of a schedule come here, so that one set of rules holds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::RwLock;
use tracing::{debug, warn};

use super::{
    cursor::{Cursor, Found, Waiting},
    pauses::Pauses,
};
use crate::{
    backend::{
        Submission,
        in_process::{Decide, LiveJob},
        running::{Place, Running},
    },
    ledger::{Counted, Decided, Ledger, LedgerError, NewDecision, Skip, Verdict},
    manifest::spec::Spec,
    run::{Cause, RunKey, gap_id},
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

/// One occurrence on its way to a decision.
#[derive(Debug)]
pub(super) struct Candidate {
    job: Arc<LiveJob>,
    decision: NewDecision,
    place: Option<Place>,
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

    /// The candidates for what was found of a job at `now`. What was missed is recorded as `missed`.
    /// An occurrence that comes when the daemon stops is left to the next daemon.
    pub(super) fn candidates(
        &self,
        job: &Arc<LiveJob>,
        found: Vec<Found>,
        now: Timestamp,
        missed: Skip,
    ) -> Vec<Candidate> {
        found.into_iter().filter_map(|found| self.candidate(job, found, now, missed)).collect()
    }

    fn candidate(&self, job: &Arc<LiveJob>, found: Found, now: Timestamp, missed: Skip) -> Option<Candidate> {
        let name = &job.spec.name;
        let skip = match found {
            Found::Fire(fire_time) => return self.fire(job, fire_time, now),
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
        Some(Candidate { job: Arc::clone(job), decision: skip, place: None, wait: Duration::ZERO })
    }

    /// The occurrence, decided: it runs, or is skipped for a reason.
    fn fire(&self, job: &Arc<LiveJob>, fire_time: Timestamp, now: Timestamp) -> Option<Candidate> {
        let name = &job.spec.name;
        let id = RunKey { job: name.clone(), fire_time, cause: Cause::Schedule }.id();
        let run = NewDecision::run(id, name.clone(), fire_time, Cause::Schedule, now);
        let place = if self.pauses.holds(name) {
            Err(Skip::Paused)
        } else {
            match self.running.enter(id, name, job.spec.policy.max_running) {
                Place::Closed => return None,
                Place::Full => Err(Skip::Overlap),
                place @ (Place::Taken | Place::Present) => Ok(place),
            }
        };
        let decision = match place {
            Ok(_) => run,
            Err(skip) => run.skipped(skip),
        };
        let start = fire_time.checked_add(job.schedule.start_delay(name, fire_time)).unwrap_or(fire_time);
        let wait = Duration::try_from(start.duration_since(now)).unwrap_or(Duration::ZERO);
        Some(Candidate { job: Arc::clone(job), decision, place: place.ok(), wait })
    }

    /// Writes the decisions, all or none, and gives the runs to hand over: those that are new. The
    /// work is handed to the ledger at once; the answer comes after the commit. Candidates that do
    /// not run give their place back, and no other does.
    pub(super) fn write(
        &self,
        candidates: Vec<Candidate>,
    ) -> impl Future<Output = Result<Vec<Submission>, LedgerError>> + Send + use<> {
        let decisions = candidates.iter().map(|candidate| candidate.decision.clone()).collect();
        let written = self.ledger.decide(decisions);
        let running = Arc::clone(&self.running);
        async move {
            let decided = written.await;
            let mut submissions = Vec::new();
            for (index, candidate) in candidates.into_iter().enumerate() {
                let is_new = decided.as_ref().is_ok_and(|decided| decided[index] == Decided::New);
                if let (true, Verdict::Skipped(skip)) = (is_new, candidate.decision.verdict) {
                    tell(&candidate.decision, skip);
                } else if is_new {
                    submissions.push(candidate.submission());
                } else if candidate.place == Some(Place::Taken) {
                    debug!(job = %candidate.job.spec.name, "decided before, or not at all");
                    running.leave(candidate.decision.id);
                }
            }
            decided.map(|_| submissions)
        }
    }
}

impl Candidate {
    fn submission(self) -> Submission {
        Submission {
            key: RunKey {
                job: self.job.spec.name.clone(),
                fire_time: self.decision.fire_time,
                cause: Cause::Schedule,
            },
            spec: Arc::clone(&self.job.spec),
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
        after: &Spec,
        until: Timestamp,
    ) -> Result<Vec<Submission>, LedgerError> {
        let mode = self.mode.read().await;
        let name = &before.spec.name;
        let Some(cursor) = self.ledger.cursor(name.clone()).await? else { return Ok(Vec::new()) };
        let found = Cursor::at(cursor).last_due(name, &before.schedule, until);
        let candidates = if after.enabled {
            self.candidates(before, found, until, Skip::Misfire)
        } else {
            found.into_iter().filter_map(|found| disabled(before, &found, until)).collect()
        };
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let submissions = self.write(candidates).await?;
        if *mode == Mode::Quiet {
            submissions.iter().for_each(|submission| self.running.hold(submission.key.id(), name));
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
fn disabled(job: &Arc<LiveJob>, found: &Found, now: Timestamp) -> Option<Candidate> {
    let dropped = match found {
        Found::Fire(time) => Dropped { first: *time, last: *time, count: Count::Exactly(1) },
        Found::Missed(dropped) => *dropped,
        Found::LeftOut { .. } => return None,
    };
    let decision = skipped(job, dropped, Skip::Disabled, now);
    Some(Candidate { job: Arc::clone(job), decision, place: None, wait: Duration::ZERO })
}

fn skipped(job: &Arc<LiveJob>, dropped: Dropped, skip: Skip, now: Timestamp) -> NewDecision {
    let Dropped { first, last, count } = dropped;
    let name = job.spec.name.clone();
    let id = RunKey { job: name.clone(), fire_time: first, cause: Cause::Schedule }.id();
    NewDecision::skip(id, name, (first, last), count.counted(), skip, now).counted(counted(count))
}

/// Whether a count of fires is all of them, as the ledger says it.
pub(super) fn counted(count: Count) -> Counted {
    match count {
        Count::Exactly(_) => Counted::All,
        Count::AtLeast(_) => Counted::AtLeast,
    }
}
