//! The fire loop: sleeps until the next start, decides every occurrence once, and hands over runs.
//!
//! One sleep for all jobs. An occurrence is decided in the ledger before anything acts on it. All
//! that is due is handed over first, next times are computed after.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tracing::{debug, error, warn};

use super::{
    clock::Watch,
    pauses::Pauses,
    timers::{Pending, Timers},
};
use crate::{
    backend::{
        Backend, Submission,
        in_process::{JobChange, LiveJob},
        running::{Place, Running},
    },
    ledger::{Decided, Ledger, NewDecision, Skip, Verdict},
    manifest::name::JobName,
    run::{Cause, RunId, RunKey},
    schedule::due::{Misfire, due},
};

/// Longest sleep: the wall clock is compared with the monotonic one at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Decisions in one transaction: the first runs of a herd start while later ones are written.
const CHUNK: usize = 1_000;

/// How long the loop waits when the ledger cannot be written. Nothing fires without a decision.
const LEDGER_RETRY: Duration = Duration::from_secs(1);

/// A start that is found later than this was missed: the daemon was down, or the clock jumped.
pub const GRACE: SignedDuration = SignedDuration::from_secs(1);

/// Of what was missed, the latest fire within an hour still runs; the others are one row.
pub const MISFIRE: Misfire = Misfire { grace: Duration::from_secs(1), catch_up: Duration::from_secs(3600) };

/// What the loop works with.
#[derive(Debug)]
pub struct Fire {
    /// Where decisions are written.
    pub ledger: Ledger,
    /// What takes the runs.
    pub backend: Arc<dyn Backend>,
    /// The runs that go on.
    pub running: Arc<Running>,
    /// Jobs that a person paused.
    pub pauses: Arc<Pauses>,
    /// The next fire of each job, for those who look.
    pub next_fires: Arc<NextFires>,
}

/// The next fire of each job, for those who look.
pub type NextFires = std::sync::Mutex<BTreeMap<JobName, Timestamp>>;

/// A job in the queue.
#[derive(Debug)]
struct Entry {
    job: Arc<LiveJob>,
    cursor: Timestamp,
}

/// One occurrence on its way to a decision.
struct Candidate {
    job: Arc<LiveJob>,
    decision: NewDecision,
    id: RunId,
}

/// The loop's own state.
struct Loop {
    with: Fire,
    timers: Timers,
    entries: HashMap<JobName, Entry>,
}

impl Fire {
    /// Fires until `stop` says so.
    pub async fn run(self, mut changes: mpsc::UnboundedReceiver<JobChange>, mut stop: watch::Receiver<bool>) {
        let mut state = Loop { with: self, timers: Timers::default(), entries: HashMap::new() };
        let mut watch = Watch::start();
        loop {
            let (now, jump) = watch.look();
            if let Some(jump) = jump {
                warn!(
                    seconds = jump.as_secs(),
                    "the wall clock jumped; fire times are planned anew from the last decided ones"
                );
            }
            let wait = match state.tick(now).await {
                Ok(()) => state.until_next(super::clock::now()),
                Err(reason) => {
                    error!(
                        error = &reason as &dyn std::error::Error,
                        "nothing can fire: the ledger cannot be written"
                    );
                    LEDGER_RETRY
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                change = changes.recv() => match change {
                    Some(change) => {
                        state.take(change);
                        while let Ok(change) = changes.try_recv() {
                            state.take(change);
                        }
                    }
                    None => return,
                },
                () = sleep(wait) => {}
            }
        }
    }
}

impl Loop {
    /// Takes in a change of the jobs that are held.
    fn take(&mut self, change: JobChange) {
        match change {
            JobChange::Put { job, cursor } => {
                let name = job.spec.name.clone();
                self.entries.insert(name.clone(), Entry { job, cursor });
                self.schedule(&name);
            }
            JobChange::Edited(job) => {
                if let Some(entry) = self.entries.get_mut(&job.spec.name) {
                    entry.job = job;
                }
            }
            JobChange::Removed(name) => {
                self.entries.remove(&name);
                self.set(&name, None);
            }
        }
    }

    /// Puts the next occurrence of a job into the queue.
    fn schedule(&mut self, name: &JobName) {
        let Some(entry) = self.entries.get(name) else { return };
        let next = if entry.job.spec.enabled { pending_after(&entry.job, entry.cursor) } else { None };
        self.set(name, next);
    }

    fn set(&mut self, name: &JobName, next: Option<Pending>) {
        self.timers.set(name, next);
        let mut fires = self.with.next_fires.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match next {
            Some(next) => fires.insert(name.clone(), next.fire_time),
            None => fires.remove(name),
        };
    }

    fn until_next(&self, now: Timestamp) -> Duration {
        let until = self.timers.first().map_or(SLEEP_MAX, |first| {
            Duration::try_from(first.duration_since(now)).unwrap_or(Duration::ZERO)
        });
        until.min(SLEEP_MAX)
    }

    /// Decides and hands over all that is due at `now`.
    async fn tick(&mut self, now: Timestamp) -> Result<(), crate::ledger::LedgerError> {
        let due = self.timers.take_due(now);
        if due.is_empty() {
            return Ok(());
        }
        let mut candidates = Vec::with_capacity(due.len());
        let mut cursors = Vec::with_capacity(due.len());
        for (name, pending) in &due {
            let Some(entry) = self.entries.get(name) else { continue };
            let cursor = self.candidates(entry, *pending, now, &mut candidates);
            cursors.push((name.clone(), cursor));
        }
        if let Err(error) = self.decide(candidates).await {
            // Nothing was acted on: the same occurrences are due again.
            for (name, pending) in due {
                self.set(&name, Some(pending));
            }
            return Err(error);
        }
        for (name, cursor) in cursors {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.cursor = cursor;
            }
            self.schedule(&name);
        }
        Ok(())
    }

    /// Adds what there is to decide for one job; gives its new cursor.
    fn candidates(
        &self,
        entry: &Entry,
        pending: Pending,
        now: Timestamp,
        out: &mut Vec<Candidate>,
    ) -> Timestamp {
        let job = &entry.job;
        let name = &job.spec.name;
        for gap in job.schedule.skipped_between(entry.cursor, pending.fire_time) {
            warn!(job = %name, at = %gap.at, first = %gap.first, "the clock jumped over fire times; the manifest leaves them out");
            out.push(skipped(job, gap.at, Skip::Dst, (1, gap.at), now));
        }
        if now.duration_since(pending.start) <= GRACE {
            out.push(self.candidate(job, pending.fire_time, now));
            return pending.fire_time;
        }
        let late = due(&job.schedule, entry.cursor, now, MISFIRE);
        let mut cursor = entry.cursor;
        if let Some(dropped) = late.dropped {
            let count = dropped.count.counted();
            warn!(job = %name, count, first = %dropped.first, last = %dropped.last, "fire times were missed");
            out.push(skipped(job, dropped.first, Skip::Misfire, (u64::from(count), dropped.last), now));
            cursor = dropped.last;
        }
        for fire in &late.fires {
            let delay = job.schedule.start_delay(name, fire.time);
            if fire.time.checked_add(delay).is_ok_and(|start| start > now) {
                // Its share of the jitter is not over yet: it is no missed one.
                break;
            }
            out.push(self.candidate(job, fire.time, now));
            cursor = cursor.max(fire.time);
        }
        cursor
    }

    /// The occurrence, decided: it runs, or is skipped for a reason.
    fn candidate(&self, job: &Arc<LiveJob>, fire_time: Timestamp, now: Timestamp) -> Candidate {
        let name = &job.spec.name;
        let id = RunKey { job: name.clone(), fire_time, cause: Cause::Schedule }.id();
        let verdict = if self.with.pauses.holds(name) {
            Err(Skip::Paused)
        } else {
            match self.with.running.enter(id, name, job.spec.policy.max_running) {
                Place::Taken | Place::Present => Ok(()),
                Place::Full => Err(Skip::Overlap),
            }
        };
        match verdict {
            Ok(()) => Candidate {
                job: Arc::clone(job),
                id,
                decision: NewDecision::run(id, name.clone(), fire_time, Cause::Schedule, now),
            },
            Err(skip) => {
                warn!(job = %name, %fire_time, reason = skip.as_str(), "skipped");
                skipped(job, fire_time, skip, (1, fire_time), now)
            }
        }
    }

    /// Writes the decisions, and hands over each run as soon as its decision is durable.
    async fn decide(&self, candidates: Vec<Candidate>) -> Result<(), crate::ledger::LedgerError> {
        let mut chunks = Vec::new();
        let mut rest = candidates.into_iter().peekable();
        while rest.peek().is_some() {
            let chunk: Vec<Candidate> = rest.by_ref().take(CHUNK).collect();
            let decisions = chunk.iter().map(|candidate| candidate.decision.clone()).collect();
            // Sent now, waited for below: the writer works while runs are handed over.
            chunks.push((self.with.ledger.decide(decisions), chunk));
        }
        let mut failure = None;
        for (decided, chunk) in chunks {
            match decided.await {
                Ok(decided) => self.submit(chunk, &decided).await,
                Err(error) => {
                    chunk.iter().for_each(|candidate| self.with.running.leave(candidate.id));
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn submit(&self, chunk: Vec<Candidate>, decided: &[Decided]) {
        for (candidate, decided) in chunk.into_iter().zip(decided) {
            let Verdict::Run = candidate.decision.verdict else { continue };
            if *decided == Decided::Already {
                debug!(job = %candidate.job.spec.name, "decided before");
                self.with.running.leave(candidate.id);
                continue;
            }
            let submission = Submission {
                key: RunKey {
                    job: candidate.job.spec.name.clone(),
                    fire_time: candidate.decision.fire_time,
                    cause: Cause::Schedule,
                },
                spec: Arc::clone(&candidate.job.spec),
                params: BTreeMap::new(),
                attempt: 1,
            };
            if let Err(error) = self.with.backend.submit(submission).await {
                error!(error = &error as &dyn std::error::Error, "a run could not be handed over");
                self.with.running.leave(candidate.id);
            }
        }
    }
}

/// The first occurrence after `cursor`, with its start.
fn pending_after(job: &LiveJob, cursor: Timestamp) -> Option<Pending> {
    let fire = job.schedule.next_after(cursor)?;
    let delay = job.schedule.start_delay(&job.spec.name, fire.time);
    let start = fire.time.checked_add(delay).unwrap_or(fire.time);
    Some(Pending { fire_time: fire.time, start })
}

fn skipped(
    job: &Arc<LiveJob>,
    first: Timestamp,
    skip: Skip,
    (count, last): (u64, Timestamp),
    now: Timestamp,
) -> Candidate {
    let name = job.spec.name.clone();
    let id = RunKey { job: name.clone(), fire_time: first, cause: Cause::Schedule }.id();
    Candidate {
        job: Arc::clone(job),
        id,
        decision: NewDecision::skip(id, name, (first, last), count, skip, now),
    }
}
