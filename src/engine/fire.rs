//! The fire loop: sleeps until the next start, has every occurrence decided once, and hands over runs.
//!
//! One sleep for all jobs. An occurrence is decided in the ledger before anything acts on it. All
//! that is due is handed over first, next times are computed after.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, future::Either, stream, stream::FuturesOrdered};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{mpsc, watch},
    task::block_in_place,
};
use tracing::{debug, error, warn};

use super::{
    back,
    clock::{Jump, Jumps, Watch},
    cursor::Cursor,
    decide::{Candidates, Decider},
    queue::{DueJob, Seat, TimerQueue},
    timers::Pending,
    wall_timer::WallTimer,
};
use crate::{
    backend::{
        Backend,
        live::{JobChange, LiveJob},
    },
    ledger::{LedgerError, RETRY, Skip},
};

/// Longest sleep: the wall clock is compared with the monotonic one at least this often. That the clock
/// was set the timer tells at once; this is for what it does not tell of.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// Jobs whose decisions are handed to the ledger together: the first runs of a herd start while later
/// ones are looked at and written.
const CHUNK: usize = 250;

/// Jobs whose cursors go back at once: enough to fill a group commit of the ledger.
const BACK_AT_ONCE: usize = 512;

/// What the loop works with.
#[derive(Debug)]
pub struct Fire {
    /// What decides.
    pub decider: Arc<Decider>,
    /// What takes the runs.
    pub backend: Arc<dyn Backend>,
    /// The last jump of the clock, for those who look.
    pub jumps: Arc<Jumps>,
}

/// A job that was due, and looked at.
#[derive(Debug)]
struct Seen {
    seat: Seat,
    /// What it waited for.
    pending: Pending,
    /// Where it is once all that was found is decided.
    cursor: Cursor,
}

/// The loop's own state.
struct Loop {
    with: Fire,
    queue: TimerQueue,
    /// Jobs whose cursors are to be compared with the clock.
    unchecked: BTreeSet<Seat>,
}

impl Fire {
    /// Fires until `stop` says so.
    pub async fn run(self, mut changes: mpsc::UnboundedReceiver<JobChange>, mut stop: watch::Receiver<bool>) {
        let mut state = Loop::new(self);
        let mut watch = Watch::start();
        let timer = WallTimer::new();
        loop {
            // What was edited must not fire once more as it was.
            while let Ok(change) = changes.try_recv() {
                state.take(change);
            }
            let (now, jump) = watch.look();
            let woken = state.wake(now, jump).await;
            let now = super::clock::now();
            let wait = match woken {
                Ok(()) => state.until_next(now),
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "nothing can fire");
                    RETRY
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                change = changes.recv() => match change {
                    Some(change) => state.take(change),
                    None => return,
                },
                () = timer.wait(now.checked_add(wait).unwrap_or(Timestamp::MAX), wait) => {}
            }
        }
    }
}

impl Loop {
    fn new(with: Fire) -> Self {
        Self { with, queue: TimerQueue::default(), unchecked: BTreeSet::new() }
    }

    /// Takes in a change of the jobs that are held.
    fn take(&mut self, change: JobChange) {
        match change {
            JobChange::Put { job, cursor } => {
                let seat = self.queue.put(job, Cursor::at(cursor));
                self.unchecked.insert(seat);
            }
            JobChange::Edited(job) => self.queue.edit(job),
            JobChange::Removed(name) => self.queue.remove(&name),
        }
    }

    fn until_next(&self, now: Timestamp) -> Duration {
        self.queue.until_next(now).unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
    }

    /// Sees to a jump of the clock, then to all that is due at `now`.
    async fn wake(&mut self, now: Timestamp, jump: Option<SignedDuration>) -> Result<(), LedgerError> {
        if let Some(by) = jump {
            warn!(
                seconds = by.as_secs(),
                "the wall clock jumped; fire times are planned anew from the last decided ones"
            );
            self.told(Jump { at: now, by });
            self.unchecked.extend(self.queue.occupied());
        }
        self.compare(now).await?;
        let forward = jump.is_some_and(|by| by.is_positive());
        self.tick(now, if forward { Skip::ClockJump } else { Skip::Misfire }).await
    }

    /// Keeps a jump for those who look; the first one that was told of this moment is the truest.
    fn told(&self, jump: Jump) {
        let mut last = self.with.jumps.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.at != jump.at) {
            *last = Some(jump);
        }
    }

    /// Takes cursors back that are so far ahead of the clock that it must have gone back: their jobs
    /// would not fire until it comes there again (F2).
    async fn compare(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        let ahead: Vec<(Seat, Arc<LiveJob>, Timestamp)> = std::mem::take(&mut self.unchecked)
            .into_iter()
            .filter_map(|seat| {
                let entry = self.queue.job_at(seat)?;
                let decided = entry.cursor.decided();
                back::is_ahead(decided, now).then(|| (seat, Arc::clone(&entry.job), decided))
            })
            .collect();
        let ledger = &self.with.decider.ledger;
        let results: Vec<_> = stream::iter(ahead)
            .map(async |(seat, job, decided)| {
                let to = back::go_back(ledger, &job, decided, now).await;
                (seat, job, decided, to)
            })
            .buffer_unordered(BACK_AT_ONCE)
            .collect()
            .await;
        let mut failure = None;
        for (seat, job, decided, to) in results {
            match to {
                Ok(Some(to)) => {
                    warn!(job = %job.spec.name, from = %decided, %to, "the clock went back behind what was decided; fire times are decided anew from there");
                    self.told(Jump { at: now, by: now.duration_since(decided) });
                    self.queue.go_to(seat, Cursor::at(to));
                }
                Ok(None) => {}
                Err(error) => {
                    self.unchecked.insert(seat);
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Decides and hands over all that is due at `now`. What was missed is recorded as `missed`.
    async fn tick(&mut self, now: Timestamp, missed: Skip) -> Result<(), LedgerError> {
        if !self.queue.has_due(now, 1) {
            return Ok(());
        }
        let (send, chunks) = mpsc::unbounded_channel();
        let handing_over = hand_over(Arc::clone(&self.with.decider), Arc::clone(&self.with.backend), chunks);
        let is_herd = self.queue.has_due(now, CHUNK + 1);
        // One after the other, unless there is enough for two cores.
        let handing_over = if is_herd {
            let task = tokio::spawn(handing_over);
            Either::Left(async { task.await.unwrap_or_default() })
        } else {
            Either::Right(handing_over)
        };
        let mut looked_at = Vec::new();
        let look = || {
            while let Some((seen, candidates)) = self.look(now, missed) {
                looked_at.push(seen);
                let _ = send.send(candidates);
            }
            drop(send);
        };
        // Off the runtime's workers, which have the runs to begin meanwhile.
        if is_herd {
            block_in_place(look);
        } else {
            look();
        }
        let mut results = handing_over.await.into_iter();
        let mut failure = None;
        for seen in looked_at {
            match results.next().unwrap_or(Err(LedgerError::Closed)) {
                Ok(()) => seen.iter().for_each(|seen| self.queue.go_to(seen.seat, seen.cursor)),
                Err(error) => {
                    // What was not acted on is due again; what was is known as decided then.
                    seen.iter().for_each(|seen| self.queue.put_back(seen.seat, seen.pending));
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Takes the next jobs that are due out of the queue, and looks at what there is to decide of them.
    fn look(&mut self, now: Timestamp, missed: Skip) -> Option<(Vec<Seen>, Candidates)> {
        let seats = self.queue.take_due(now, CHUNK);
        let count = Some(seats.len()).filter(|count| *count > 0)?;
        let mut seen = Vec::with_capacity(count);
        let mut candidates = Candidates::with_capacity(count);
        let mut found = Vec::new();
        for seat in seats {
            let Some(DueJob { job, cursor, pending }) = self.queue.due(seat) else { continue };
            let cursor = cursor.due(&job.spec.name, &job.schedule, pending, now, &mut found);
            // What is left to the next daemon is not found again by this one: the cursor in the ledger
            // stays before it.
            let _ = self.with.decider.consider(&mut candidates, job, found.drain(..), (now, missed));
            seen.push(Seen { seat, pending, cursor });
        }
        Some((seen, candidates))
    }
}

/// Has chunks of candidates decided, and hands over the runs of each as soon as its decisions are
/// written; says of each chunk, in order, whether that was done.
async fn hand_over(
    decider: Arc<Decider>,
    backend: Arc<dyn Backend>,
    mut chunks: mpsc::UnboundedReceiver<Candidates>,
) -> Vec<Result<(), LedgerError>> {
    let mut written = FuturesOrdered::new();
    let mut done = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(decided) = written.next() => match decided {
                Ok(submissions) => {
                    for (id, error) in backend.submit_all(submissions).await {
                        error!(error = &error as &dyn std::error::Error, "a run could not be handed over");
                        decider.running.leave(id);
                    }
                    done.push(Ok(()));
                }
                Err(error) => done.push(Err(error)),
            },
            // Sent to the writer now, waited for above.
            Some(chunk) = chunks.recv() => written.push_back(decider.write(chunk)),
            else => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        backend::fake::Fake,
        ledger::{Ledger, Location, RunQuery},
        manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    };

    fn job(schedule: &serde_json::Value) -> Arc<LiveJob> {
        let spec = serde_json::json!({
            "name": "job", "enabled": true, "schedule": schedule, "run": {"action": {"command": ["true"]}},
            "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
            "policy": {"overlap": "skip", "max_running": 9, "kill_grace": "10s",
                       "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
        });
        let spec: Arc<crate::manifest::spec::Spec> = Arc::new(serde_json::from_value(spec).unwrap());
        let digest = Digest::of(&spec);
        Arc::new(LiveJob::new(Tier::InProcess, spec, digest, Timestamp::UNIX_EPOCH).unwrap())
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
            decider: Arc::new(Decider::new(ledger.clone(), Arc::default(), Arc::default())),
            backend: Arc::new(Fake::new(Tier::InProcess)),
            jumps: Arc::default(),
        };
        let mut state = Loop::new(with);
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
            first.wake(at("28T01:00"), None).await.unwrap();
            let night = ["28T01:00 dst", "28T01:00 run"];
            assert_eq!(rows(&ledger).await, night, "{schedule}");
            // A daemon that was killed finds its cursor before the gap or after it.
            for cursor in ["27T12:00", "28T01:00"] {
                let mut again = state(&ledger, &job, at(cursor));
                again.wake(at("28T01:00"), None).await.unwrap();
                assert_eq!(rows(&ledger).await, night, "{schedule}, from {cursor}");
            }
            first.wake(at("28T01:30"), None).await.unwrap();
            assert_eq!(rows(&ledger).await.len(), 3, "{schedule}");
        }
    }

    /// The clock went back and the job was edited, so that a fire time comes a second time.
    #[tokio::test]
    async fn a_run_that_goes_on_keeps_its_place_when_its_fire_time_comes_again() {
        let ledger = Ledger::open(&Location::Memory).unwrap();
        let mut state = state(&ledger, &job(&serde_json::json!([cron("45 5 * * *")])), at("28T02:00"));
        state.wake(at("28T03:45"), None).await.unwrap();
        let running = Arc::clone(&state.with.decider.running);
        assert_eq!(running.len(), 1);
        let edited = job(&serde_json::json!([cron("45 5,6 * * *")]));
        state.take(JobChange::Put { job: edited, cursor: at("28T02:00") });
        state.wake(at("28T03:45"), None).await.unwrap();
        assert_eq!((running.len(), rows(&ledger).await.len()), (1, 1));
    }

    /// A tick whose decisions could not all be written comes again, with runs that have begun.
    #[tokio::test]
    async fn a_run_that_goes_on_keeps_its_place_when_its_decision_is_repeated_and_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.db");
        let ledger = Ledger::open(&Location::File(path.clone())).unwrap();
        let daily = job(&serde_json::json!([cron("45 5 * * *")]));
        let mut state = state(&ledger, &daily, at("28T02:00"));
        state.wake(at("28T03:45"), None).await.unwrap();
        let other = rusqlite::Connection::open(path).unwrap();
        let back = crate::ledger::Applied {
            tier: Tier::InProcess,
            digest: daily.digest,
            spec: Arc::clone(&daily.spec),
            at: at("28T02:00"),
            restart: crate::ledger::Restart::From(at("28T02:00")),
        };
        ledger.record_applied(back).await.unwrap();
        other.execute_batch("ALTER TABLE run RENAME TO gone").unwrap();
        state.take(JobChange::Put { job: daily, cursor: at("28T02:00") });
        state.wake(at("28T03:45"), None).await.unwrap_err();
        assert_eq!(state.with.decider.running.len(), 1);
        other.execute_batch("ALTER TABLE gone RENAME TO run").unwrap();
        state.wake(at("28T03:45"), None).await.unwrap();
        assert_eq!((state.with.decider.running.len(), rows(&ledger).await.len()), (1, 1));
    }

    /// F20: what was written of a herd stays decided when the rest could not be written.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_chunk_that_is_written_stays_decided_when_a_later_one_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.db");
        let ledger = Ledger::open(&Location::File(path.clone())).unwrap();
        let every_minute = |index: usize| {
            let mut spec = Spec::clone(&job(&serde_json::json!([{"trigger": {"every": "1m"}}])).spec);
            spec.name = JobName::parse(&format!("job-{index:03}")).unwrap();
            let digest = Digest::of(&spec);
            Arc::new(LiveJob::new(Tier::InProcess, Arc::new(spec), digest, Timestamp::UNIX_EPOCH).unwrap())
        };
        let mut state = state(&ledger, &every_minute(0), at("28T00:00"));
        for index in 1..=CHUNK {
            state.take(JobChange::Put { job: every_minute(index), cursor: at("28T00:00") });
        }
        let other = rusqlite::Connection::open(path).unwrap();
        let last = format!("job-{CHUNK:03}");
        other
            .execute_batch(&format!(
                "INSERT INTO job (name) VALUES ('{last}');
                 CREATE TRIGGER no BEFORE INSERT ON run
                 WHEN NEW.job_id = (SELECT id FROM job WHERE name = '{last}')
                 BEGIN SELECT RAISE(ABORT, 'no'); END"
            ))
            .unwrap();
        state.wake(at("28T00:01"), None).await.unwrap_err();
        let all = RunQuery { limit: 1_000, ..RunQuery::default() };
        assert_eq!(ledger.runs(all).await.unwrap().len(), CHUNK, "all but the last");
        other.execute_batch("DROP TRIGGER no").unwrap();
        // Some minutes later each job goes on from where it was decided to.
        state.with.decider.running.leave_all(state.with.decider.running.ids());
        state.wake(at("28T00:04"), None).await.unwrap();
        let first =
            RunQuery { job: Some(JobName::parse("job-000").unwrap()), limit: 9, ..RunQuery::default() };
        let runs = ledger.runs(first).await.unwrap();
        let shown: Vec<_> = runs.iter().rev().map(|row| (row.count, row.skipped.as_deref())).collect();
        assert_eq!(shown, [(1, None), (2, Some("misfire")), (1, None)]);
    }

    #[tokio::test]
    async fn an_edit_after_the_gap_does_not_take_its_record_away() {
        let ledger = Ledger::open(&Location::Memory).unwrap();
        let mut state = state(&ledger, &job(&serde_json::json!([cron("30 2 * * *")])), at("27T12:00"));
        assert_eq!(state.queue.until_next(at("28T00:00")), Some(Duration::from_secs(3_600)));
        state.wake(at("28T01:00"), None).await.unwrap();
        let edited = job(&serde_json::json!([cron("45 5 * * *")]));
        state.take(JobChange::Put { job: edited, cursor: at("28T02:00") });
        state.wake(at("28T03:45"), None).await.unwrap();
        assert_eq!(rows(&ledger).await, ["28T01:00 dst", "28T03:45 run"]);
    }

    /// A wall clock that is set: spans of seconds from the start of 2027, each looked at every half
    /// minute. Between two spans the clock jumps; after `restart` another daemon looks.
    struct Clock {
        spans: &'static [std::ops::Range<i64>],
        daemons: Daemons,
    }

    #[derive(PartialEq)]
    enum Daemons {
        One,
        OneEach,
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_798_761_600 + second).unwrap()
    }

    /// How often each occurrence of a job was decided, and what ran.
    async fn decided(ledger: &Ledger, job: &LiveJob) -> (BTreeMap<Timestamp, usize>, usize) {
        let rows = ledger.runs(RunQuery { limit: 100_000, ..RunQuery::default() }).await.unwrap();
        let mut times: BTreeMap<Timestamp, usize> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.count > 0) {
            let fires: Vec<Timestamp> = std::iter::once(row.fire_time)
                .chain(job.schedule.fires_after(row.fire_time).map(|fire| fire.time))
                .take_while(|time| *time <= row.last_fire_time)
                .collect();
            assert_eq!(u64::try_from(fires.len()).unwrap(), row.count, "{row:?}");
            fires.into_iter().for_each(|time| *times.entry(time).or_default() += 1);
        }
        (times, rows.iter().filter(|row| row.skipped.is_none()).count())
    }

    /// Lets a job of every minute live through what a clock shows; gives the rows that tell of jumps.
    async fn live(clock: &Clock) -> Vec<String> {
        let job = job(&serde_json::json!([{"trigger": {"every": "1m"}}]));
        let ledger = Ledger::open(&Location::Memory).unwrap();
        let applied = crate::ledger::Applied {
            tier: Tier::InProcess,
            digest: job.digest,
            spec: Arc::clone(&job.spec),
            at: second(0),
            restart: crate::ledger::Restart::From(second(0)),
        };
        ledger.record_applied(applied).await.unwrap();
        let fake = Arc::new(Fake::new(Tier::InProcess));
        let daemon = async || {
            let cursor = ledger.cursor(job.spec.name.clone()).await.unwrap().unwrap();
            let mut state = state(&ledger, &job, cursor);
            state.with.backend = Arc::clone(&fake) as Arc<dyn Backend>;
            state
        };
        let mut state = daemon().await;
        let mut last = None;
        for span in clock.spans {
            if clock.daemons == Daemons::OneEach {
                state = daemon().await;
                last = None;
            }
            for at in span.clone().step_by(30).map(second) {
                let jump =
                    last.map(|last: Timestamp| at.duration_since(last) - SignedDuration::from_secs(30));
                state.wake(at, jump.filter(|jump| !jump.is_zero())).await.unwrap();
                fake.ended(&state.with.decider.running);
                last = Some(at);
            }
        }
        let (times, runs) = decided(&ledger, &job).await;
        assert_eq!(fake.started(), runs, "what was decided to run was started once");
        let twice: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "decided twice: {twice:?}");
        for span in clock.spans {
            for minute in (span.start + 60..span.end - 60).filter(|at| at % 60 == 0) {
                assert!(times.contains_key(&second(minute)), "{} was not decided", second(minute));
            }
        }
        let rows = ledger.runs(RunQuery { limit: 100_000, ..RunQuery::default() }).await.unwrap();
        let of_second = |time: Timestamp| time.duration_since(second(0)).as_secs();
        rows.iter()
            .rev()
            .filter_map(|row| Some((row, row.skipped.as_deref()?)))
            .map(|(row, why)| {
                format!(
                    "{why} {}..{} ({})",
                    of_second(row.fire_time),
                    of_second(row.last_fire_time),
                    row.count
                )
            })
            .collect()
    }

    /// F2.
    #[tokio::test]
    async fn a_clock_that_jumps_leaves_no_occurrence_undecided_and_decides_none_twice() {
        use Daemons::{One, OneEach};
        const HOUR: i64 = 3_600;
        const YEARS: i64 = 10 * 365 * 86_400;
        let check = async |spans, daemons, expected: &[&str]| {
            assert_eq!(live(&Clock { spans, daemons }).await, expected, "{spans:?}");
        };
        // Three hours forward; half a day of sleep.
        check(&[0..600, 3 * HOUR..4 * HOUR], One, &["clock-jump 600..10740 (170)"]).await;
        check(&[0..600, 12 * HOUR..13 * HOUR], One, &["clock-jump 600..43140 (710)"]).await;
        // The daemon was down meanwhile.
        check(&[0..600, 3 * HOUR..4 * HOUR], OneEach, &["misfire 600..10740 (170)"]).await;
        // Three hours back: what was decided is passed once more, and stays decided.
        let back = ["clock-jump -10800..540 (0)"];
        check(&[0..600, -3 * HOUR..HOUR], One, &back).await;
        check(&[0..600, -3 * HOUR..HOUR], OneEach, &back).await;
        // Three hours forward and back again: what was skipped for the jump is decided anew.
        let there_and_back = ["clock-jump 600..1200 (11)", "clock-jump 1200..11340 (0)"];
        check(&[0..600, 3 * HOUR..3 * HOUR + 600, 1_200..5 * HOUR], One, &there_and_back).await;
        // A wrong year, known after a restart only.
        let years = ["misfire 600..660 (2)", "clock-jump 690..315360540 (0)"];
        check(&[0..600, YEARS..YEARS + 600, 690..HOUR], OneEach, &years).await;
        // A correction of less than five minutes is waited for.
        check(&[0..600, 400..HOUR], One, &[]).await;
    }
}
