//! The fire loop: sleeps until the next start, decides every occurrence once, and hands over runs.
//!
//! One sleep for all jobs. An occurrence is decided in the ledger before anything acts on it. All
//! that is due is handed over first, next times are computed after.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tracing::{debug, error, warn};

use super::{
    clock::Watch,
    cursor::{Cursor, Found, Waiting},
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
    run::{Cause, RunId, RunKey, gap_id},
    schedule::due::Dropped,
};

/// Longest sleep: the wall clock is compared with the monotonic one at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Decisions in one transaction: the first runs of a herd start while later ones are written.
const CHUNK: usize = 1_000;

/// How long the loop waits when the ledger cannot be written. Nothing fires without a decision.
const LEDGER_RETRY: Duration = Duration::from_secs(1);

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
    cursor: Cursor,
}

/// One occurrence on its way to a decision.
struct Candidate {
    job: Arc<LiveJob>,
    decision: NewDecision,
    id: RunId,
    /// Whether it took a place among the runs that go on, to be given back when it does not run.
    place: Option<Place>,
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
                self.entries.insert(name.clone(), Entry { job, cursor: Cursor::at(cursor) });
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

    /// Puts what a job waits for into the queue.
    fn schedule(&mut self, name: &JobName) {
        let Some(entry) = self.entries.get(name) else { return };
        let Entry { job, cursor } = entry;
        let next = if job.spec.enabled { cursor.pending(name, &job.schedule) } else { None };
        self.set(name, next);
    }

    fn set(&mut self, name: &JobName, next: Option<Pending>) {
        self.timers.set(name, next);
        let mut fires = self.with.next_fires.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match next.and_then(|next| next.start) {
            Some(start) => fires.insert(name.clone(), start.fire_time),
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
    ) -> Cursor {
        let job = &entry.job;
        let name = &job.spec.name;
        let (found, cursor) = entry.cursor.due(name, &job.schedule, pending, now);
        out.extend(found.into_iter().map(|found| match found {
            Found::Fire(fire_time) => self.candidate(job, fire_time, now),
            Found::Missed(Dropped { first, last, count }) => {
                let count = count.counted();
                warn!(job = %name, count, %first, %last, "fire times were missed");
                skipped(job, first, Skip::Misfire, (u64::from(count), last), now)
            }
            Found::LeftOut { gap, fires } => {
                warn!(job = %name, at = %gap.at, first = %gap.first, "the clock jumped over fire times; the manifest leaves them out");
                let id = gap_id(name, gap.at);
                let decision = NewDecision::skip(id, name.clone(), (gap.at, gap.at), 1, Skip::Dst, now);
                let decision = match fires {
                    Waiting::Some => decision.without_cursor(),
                    Waiting::None => decision,
                };
                Candidate { job: Arc::clone(job), id, decision, place: None }
            }
        }));
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
                place @ (Place::Taken | Place::Present) => Ok(place),
                Place::Full => Err(Skip::Overlap),
            }
        };
        match verdict {
            Ok(place) => Candidate {
                job: Arc::clone(job),
                id,
                place: Some(place),
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
                    chunk.iter().for_each(|candidate| self.leave(candidate));
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Gives back the place of a run that does not start. One that went on before keeps its own.
    fn leave(&self, candidate: &Candidate) {
        if candidate.place == Some(Place::Taken) {
            self.with.running.leave(candidate.id);
        }
    }

    async fn submit(&self, chunk: Vec<Candidate>, decided: &[Decided]) {
        for (candidate, decided) in chunk.into_iter().zip(decided) {
            let Verdict::Run = candidate.decision.verdict else { continue };
            if *decided == Decided::Already {
                debug!(job = %candidate.job.spec.name, "decided before");
                self.leave(&candidate);
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
                self.leave(&candidate);
            }
        }
    }
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
        place: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::fake::Fake,
        ledger::{Location, RunQuery},
        manifest::{characteristics::Tier, digest::Digest},
        schedule::Schedule,
    };

    fn job(schedule: &serde_json::Value) -> Arc<LiveJob> {
        let spec = serde_json::json!({
            "name": "job", "enabled": true, "schedule": schedule, "run": {"action": {"command": ["true"]}},
            "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
            "policy": {"overlap": "skip", "max_running": 9, "kill_grace": "10s",
                       "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
        });
        let spec: Arc<crate::manifest::spec::Spec> = Arc::new(serde_json::from_value(spec).unwrap());
        let schedule = Schedule::compile(&spec.name, &spec.schedule).unwrap();
        Arc::new(LiveJob { digest: Digest::of(&spec), spec, schedule })
    }

    fn cron(expression: &str) -> serde_json::Value {
        serde_json::json!({"trigger": {"cron": {
            "expression": expression, "timezone": "Europe/Berlin",
            "gap": "skip", "overlap": "first", "day_match": "any",
        }}})
    }

    /// `28T01:30` is a time of March 2027 in UTC; Berlin's clock jumps at 28T01:00.
    fn at(text: &str) -> Timestamp {
        format!("2027-03-{text}:00Z").parse().unwrap()
    }

    fn state(ledger: &Ledger, job: &Arc<LiveJob>, cursor: Timestamp) -> Loop {
        let with = Fire {
            ledger: ledger.clone(),
            backend: Arc::new(Fake::new(Tier::InProcess)),
            running: Arc::default(),
            pauses: Arc::default(),
            next_fires: Arc::default(),
        };
        let mut state = Loop { with, timers: Timers::default(), entries: HashMap::new() };
        state.take(JobChange::Put { job: Arc::clone(job), cursor });
        state
    }

    /// Every row of the ledger, oldest first.
    async fn rows(ledger: &Ledger) -> Vec<String> {
        let mut rows = ledger.runs(RunQuery { limit: 100, ..RunQuery::default() }).await.unwrap();
        rows.sort_by_key(|row| (row.fire_time, row.skipped.is_none()));
        let show = |row: &crate::ledger::RunRow| {
            let time = row.fire_time.to_string();
            format!("{} {}", &time[8..16], row.skipped.as_deref().unwrap_or("run"))
        };
        rows.iter().map(show).collect()
    }

    /// F1, F20.
    #[tokio::test]
    async fn gap_skip_drops_what_the_clock_jumped_over_and_not_the_fire_after_it() {
        for schedule in [
            serde_json::json!([cron("0,30 2,3 * * *")]),
            serde_json::json!([cron("30 2 * * *"), cron("0,30 3 * * *")]),
        ] {
            let job = job(&schedule);
            let ledger = Ledger::open(&Location::Memory).unwrap();
            let mut first = state(&ledger, &job, at("27T12:00"));
            first.tick(at("28T01:00")).await.unwrap();
            let night = ["28T01:00 dst", "28T01:00 run"];
            assert_eq!(rows(&ledger).await, night, "{schedule}");
            // A daemon that was killed finds its cursor before the gap or after it.
            for cursor in ["27T12:00", "28T01:00"] {
                let mut again = state(&ledger, &job, at(cursor));
                again.tick(at("28T01:00")).await.unwrap();
                assert_eq!(rows(&ledger).await, night, "{schedule}, from {cursor}");
            }
            first.tick(at("28T01:30")).await.unwrap();
            assert_eq!(rows(&ledger).await.len(), 3, "{schedule}");
        }
    }

    /// The clock went back and the job was edited, so that a fire time comes a second time.
    #[tokio::test]
    async fn a_run_that_goes_on_keeps_its_place_when_its_fire_time_comes_again() {
        let ledger = Ledger::open(&Location::Memory).unwrap();
        let mut state = state(&ledger, &job(&serde_json::json!([cron("45 5 * * *")])), at("28T02:00"));
        state.tick(at("28T03:45")).await.unwrap();
        let running = Arc::clone(&state.with.running);
        assert_eq!(running.len(), 1);
        let edited = job(&serde_json::json!([cron("45 5,6 * * *")]));
        state.take(JobChange::Put { job: edited, cursor: at("28T02:00") });
        state.tick(at("28T03:45")).await.unwrap();
        assert_eq!((running.len(), rows(&ledger).await.len()), (1, 1));
    }

    #[tokio::test]
    async fn an_edit_after_the_gap_does_not_take_its_record_away() {
        let ledger = Ledger::open(&Location::Memory).unwrap();
        let mut state = state(&ledger, &job(&serde_json::json!([cron("30 2 * * *")])), at("27T12:00"));
        assert_eq!(state.timers.first(), Some(at("28T01:00")));
        state.tick(at("28T01:00")).await.unwrap();
        let edited = job(&serde_json::json!([cron("45 5 * * *")]));
        state.take(JobChange::Put { job: edited, cursor: at("28T02:00") });
        state.tick(at("28T03:45")).await.unwrap();
        assert_eq!(rows(&ledger).await, ["28T01:00 dst", "28T03:45 run"]);
    }
}
