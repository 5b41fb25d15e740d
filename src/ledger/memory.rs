//! A ledger without a file: the same records, gone with the process.

mod read;
mod rows;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use foldhash::HashMap;
use jiff::Timestamp;

use self::rows::{Rows, Run};
use super::{
    handled::memory::Attempts,
    history::{Pruned, ROWS_MAX},
    letter::memory::Letters,
    queue::memory::Queues,
    record::{
        Applied, AttemptEnd, AttemptStart, Cut, Decided, Move, NewDecision, Passed, PauseRow, PlacementRow,
        Restart, Skip, Then, Verdict,
    },
    records::{Result, Write},
    route::{Route, Staged},
    store::HistoryLimits,
};
use crate::{
    manifest::{characteristics::Tier, name::JobName},
    run::{Cause, Outcome, RunId},
};

/// The records.
#[derive(Debug, Default)]
pub(super) struct Memory {
    jobs: HashMap<JobName, Job>,
    rows: Rows,
    boot: Option<Boot>,
    /// Jobs that may have more rows than are kept.
    crowded: Vec<JobName>,
    /// How many runs, and how many skips, are kept of a job; none when no rows were dropped yet.
    keep_last: Option<usize>,
    instance: Option<String>,
    pub(super) letters: Letters,
    pub(super) handled: Attempts,
    pub(super) queues: Queues,
}

/// The records of a job.
#[derive(Debug)]
pub(super) struct Job {
    cursor: Timestamp,
    pruned_to: Option<Timestamp>,
    placements: BTreeMap<Tier, PlacementRow>,
    pause: Option<PauseRow>,
    /// Rows of the job, oldest first.
    rows: VecDeque<u64>,
    /// How many of them are runs; the others are skips.
    runs: usize,
    /// Whether it is among the crowded ones.
    is_listed: bool,
}

/// A start of the machine, and the jobs that are to decide on it.
#[derive(Debug, Default)]
struct Boot {
    id: String,
    waiting: BTreeSet<JobName>,
    decided: BTreeSet<JobName>,
}

/// Whether a run can be opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reopening {
    /// There is no row of it.
    Dropped,
    /// It is open, or was never to run.
    Open,
    /// It has ended.
    Ended,
}

impl Default for Job {
    /// One that nothing was decided of.
    fn default() -> Self {
        Self {
            cursor: Timestamp::UNIX_EPOCH,
            pruned_to: None,
            placements: BTreeMap::new(),
            pause: None,
            rows: VecDeque::new(),
            runs: 0,
            is_listed: false,
        }
    }
}

fn job<'a>(jobs: &'a mut HashMap<JobName, Job>, name: &JobName) -> &'a mut Job {
    jobs.entry(name.clone()).or_default()
}

/// As the same in `SQLite`: one row for skips of one reason in a row.
fn extend(rows: &mut Rows, job: &Job, decision: &NewDecision, skip: Skip) -> bool {
    if !skip.is_extended() || decision.cause != Cause::Schedule || rows.of_id(decision.id).is_some() {
        return false;
    }
    let Some(number) = job.rows.back().copied() else { return false };
    let Some(row) = rows.get_mut(number) else { return false };
    if row.verdict != Verdict::Skipped(skip) || row.cause != decision.cause {
        return false;
    }
    row.last_fire_time = decision.last_fire_time;
    row.count += decision.count;
    row.counted = row.counted.max(decision.counted);
    rows.set_decided_at(number, decision.decided_at);
    true
}

fn insert(rows: &mut Rows, job: &mut Job, decision: &NewDecision) -> Decided {
    let run = Run::new(decision);
    let is_skip = run.is_skip();
    let Some(number) = rows.push(run) else { return Decided::Already };
    job.rows.push_back(number);
    job.runs += usize::from(!is_skip);
    Decided::New
}

impl Memory {
    /// The records of a job; new ones for a new name.
    pub(super) fn job(&mut self, name: &JobName) -> &mut Job {
        job(&mut self.jobs, name)
    }

    fn decide_one(&mut self, decision: &NewDecision) -> Decided {
        let Self { jobs, rows, crowded, keep_last, .. } = self;
        let job = job(jobs, &decision.job);
        if let Move::To(_) = decision.cursor
            && decision.fire_time <= job.cursor
        {
            return Decided::Already;
        }
        let decided = match decision.verdict {
            Verdict::Skipped(skip) if extend(rows, job, decision, skip) => Decided::New,
            _ => insert(rows, job, decision),
        };
        job.list(&decision.job, *keep_last, crowded);
        match decision.cursor {
            Move::Stay => {}
            Move::To(to) => job.cursor = job.cursor.max(to),
            Move::Back(to) => job.cursor = to,
        }
        decided
    }

    /// Whether a run is open.
    pub(super) fn is_open(&self, run: RunId) -> bool {
        self.rows.of_id(run).is_some_and(Run::is_open)
    }

    /// Whether a run can be opened again.
    pub(super) fn reopening(&self, run: RunId) -> Reopening {
        match self.rows.of_id(run) {
            None => Reopening::Dropped,
            Some(run) if run.is_open() || run.is_skip() => Reopening::Open,
            Some(_) => Reopening::Ended,
        }
    }

    /// Opens a run again; gives the attempt that is to be made, which comes after `least`.
    pub(super) fn reopen(&mut self, again: &NewDecision, least: u32) -> u32 {
        let Some(run) = self.rows.of_id_mut(again.id) else { return least + 1 };
        run.end = None;
        run.reopen(again.route.as_ref(), least, again.decided_at)
    }

    /// Rows of jobs that have too many, as many as one call drops.
    fn too_many(&mut self, keep_last: usize) -> Vec<u64> {
        let Self { jobs, rows, crowded, .. } = self;
        if self.keep_last.replace(keep_last) != Some(keep_last) {
            crowded.clear();
            crowded.extend(jobs.keys().cloned());
            jobs.values_mut().for_each(|job| job.is_listed = true);
        }
        let mut victims = Vec::new();
        let mut still_crowded = Vec::new();
        while victims.len() < ROWS_MAX
            && let Some(name) = crowded.pop()
        {
            let Some(job) = jobs.get_mut(&name) else { continue };
            job.is_listed = job.is_crowded(keep_last);
            if job.is_listed {
                victims.extend(job.past(keep_last, rows).take(ROWS_MAX - victims.len()));
                still_crowded.push(name);
            }
        }
        crowded.append(&mut still_crowded);
        victims
    }

    /// Takes note that a row of a job is gone; gives its files of output.
    fn dropped(&mut self, number: u64, run: Run) -> impl Iterator<Item = String> + use<> {
        let is_skip = run.is_skip();
        let job = self.job(&run.job);
        if let Ok(index) = job.rows.binary_search(&number) {
            job.rows.remove(index);
        }
        job.runs -= usize::from(!is_skip);
        if !is_skip && run.cause == Cause::Schedule {
            job.pruned_to = job.pruned_to.max(Some(run.fire_time));
        }
        run.attempts.into_iter().filter_map(|attempt| attempt.output)
    }
}

impl Job {
    /// Whether it has more runs, or more skips, than are kept.
    fn is_crowded(&self, keep_last: usize) -> bool {
        self.runs.max(self.rows.len() - self.runs) > keep_last
    }

    /// Lists it with those that are crowded when it is.
    fn list(&mut self, name: &JobName, keep_last: Option<usize>, crowded: &mut Vec<JobName>) {
        if !self.is_listed && keep_last.is_some_and(|keep_last| self.is_crowded(keep_last)) {
            self.is_listed = true;
            crowded.push(name.clone());
        }
    }

    /// Its oldest rows past those that are kept, but for runs that go on.
    fn past<'a>(&'a self, keep_last: usize, rows: &'a Rows) -> impl Iterator<Item = u64> + 'a {
        let of_kind = move |count: usize, is_skip: bool| {
            let is_of_kind =
                move |number: &u64| rows.get(*number).is_some_and(|run| run.is_skip() == is_skip);
            self.rows.iter().copied().filter(is_of_kind).take(count.saturating_sub(keep_last))
        };
        let past = of_kind(self.runs, false).chain(of_kind(self.rows.len() - self.runs, true));
        past.filter(|number| rows.get(*number).is_some_and(|run| !run.is_open()))
    }
}

impl Write for Memory {
    fn applied(&mut self, applied: &Applied) -> Result<()> {
        let job = self.job(&applied.spec.name);
        if let Restart::From(cursor) = applied.restart {
            job.cursor = cursor;
        }
        let placement = PlacementRow {
            tier: applied.tier,
            digest: applied.digest,
            spec: applied.spec.clone(),
            cursor: job.cursor,
            applied_at: applied.at,
        };
        job.placements.insert(applied.tier, placement);
        Ok(())
    }

    fn pruned(&mut self, job: &JobName, tier: Tier) -> Result<()> {
        self.job(job).placements.remove(&tier);
        Ok(())
    }

    fn decide(&mut self, decisions: &[NewDecision]) -> Result<Vec<Decided>> {
        Ok(decisions.iter().map(|decision| self.decide_one(decision)).collect())
    }

    fn go_back(&mut self, back: &NewDecision, cuts: &[Cut]) -> Result<()> {
        for cut in cuts {
            if let Some(run) = self.rows.of_id_mut(cut.id) {
                (run.last_fire_time, run.count, run.counted) = (cut.last, cut.count, cut.counted);
            }
        }
        self.decide_one(back);
        Ok(())
    }

    fn attempt_started(&mut self, start: &AttemptStart) -> Result<()> {
        if let Some(run) = self.rows.of_id_mut(start.run_id) {
            let attempt = run.attempt(start.n, start.started_at);
            attempt.started_at = start.started_at;
            attempt.output.clone_from(&start.output);
            attempt.worker.clone_from(&start.worker);
        }
        Ok(())
    }

    fn attempt_ended(&mut self, end: &AttemptEnd) -> Result<()> {
        let Some(run) = self.rows.of_id_mut(end.run_id) else { return Ok(()) };
        let attempt = run.attempt(end.n, end.ended_at);
        attempt.ended_at = Some(end.ended_at);
        attempt.outcome = Some(end.outcome.clone());
        if end.worker.is_some() {
            attempt.worker.clone_from(&end.worker);
        }
        if end.then == Then::RunEnds {
            run.end = Some((end.outcome.clone(), end.ended_at));
            self.letters.follow(end.run_id, &end.outcome, end.ended_at);
        }
        Ok(())
    }

    fn passed(&mut self, attempts: &[Passed]) -> Result<()> {
        for Passed { run_id, n, at } in attempts {
            let Some(run) = self.rows.of_id_mut(*run_id) else { continue };
            let attempt = run.attempt(*n, *at);
            (attempt.started_at, attempt.ended_at, attempt.outcome) =
                (*at, Some(*at), Some(Outcome::Success));
            run.end = Some((Outcome::Success, *at));
            self.letters.follow(*run_id, &Outcome::Success, *at);
        }
        Ok(())
    }

    fn run_ended(&mut self, run: RunId, outcome: &Outcome, at: Timestamp) -> Result<()> {
        if let Some(row) = self.rows.of_id_mut(run) {
            row.end = Some((outcome.clone(), at));
            self.letters.follow(run, outcome, at);
        }
        Ok(())
    }

    fn staged(&mut self, staged: &[Staged]) -> Result<()> {
        for staged in staged {
            let run = self.rows.of_id_mut(staged.run_id).filter(|run| run.is_open());
            if let Some(routed) = run.and_then(|run| run.routed.as_mut()) {
                routed.stage.go_on(staged);
            }
        }
        Ok(())
    }

    fn rerouted(&mut self, run: RunId, route: Option<&Route>) -> Result<()> {
        if let Some(run) = self.rows.of_id_mut(run).filter(|run| run.is_open()) {
            run.reroute(route);
        }
        Ok(())
    }

    fn dropped(&mut self, run: RunId, skip: Skip, at: Timestamp) -> Result<bool> {
        let Self { jobs, rows, crowded, keep_last, .. } = self;
        let Some(number) = rows.number(run) else { return Ok(false) };
        let Some(run) = rows.get_mut(number).filter(|run| run.is_open() && !run.is_handed_over()) else {
            return Ok(false);
        };
        run.verdict = Verdict::Skipped(skip);
        let name = run.job.clone();
        rows.set_decided_at(number, at);
        let job = job(jobs, &name);
        job.runs -= 1;
        job.list(&name, *keep_last, crowded);
        Ok(true)
    }

    fn instance(&mut self, proposed: &str) -> Result<String> {
        Ok(self.instance.get_or_insert_with(|| proposed.to_owned()).clone())
    }

    fn pause(&mut self, name: &JobName, reason: Option<&str>, at: Timestamp) -> Result<()> {
        let pause = || PauseRow { job: name.clone(), reason: None, at };
        let row = self.job(name).pause.get_or_insert_with(pause);
        if let Some(reason) = reason {
            row.reason = Some(reason.to_owned());
        }
        Ok(())
    }

    fn resume(&mut self, job: &JobName) -> Result<()> {
        self.job(job).pause = None;
        Ok(())
    }

    fn boot(&mut self, boot_id: &str, jobs: &[JobName]) -> Result<()> {
        let boot = self.boot.take().filter(|boot| boot.id == boot_id);
        let mut boot = boot.unwrap_or_else(|| Boot { id: boot_id.to_owned(), ..Boot::default() });
        for job in jobs {
            self.job(job);
            if !boot.decided.contains(job) {
                boot.waiting.insert(job.clone());
            }
        }
        self.boot = Some(boot);
        Ok(())
    }

    fn decide_at_boot(&mut self, decision: &NewDecision, boot_id: &str) -> Result<Decided> {
        self.job(&decision.job);
        let boot = self.boot.as_mut().filter(|boot| boot.id == boot_id);
        let waited = boot
            .is_some_and(|boot| boot.waiting.take(&decision.job).is_some_and(|job| boot.decided.insert(job)));
        Ok(if waited { self.decide_one(decision) } else { Decided::Already })
    }

    fn prune(&mut self, limits: HistoryLimits, now: Timestamp) -> Result<Pruned> {
        let others = self.letters.prune(limits.oldest(now))
            + self.handled.prune(limits.oldest_handled(now))
            + self.queues.prune(now);
        let mut victims = self.rows.take_before(limits.oldest(now), ROWS_MAX);
        if victims.is_empty() {
            let too_many = self.too_many(limits.keep_last).into_iter();
            victims = too_many.filter_map(|number| Some((number, self.rows.remove(number)?))).collect();
        }
        let rows = victims.len();
        let files = victims.into_iter().flat_map(|(number, run)| self.dropped(number, *run)).collect();
        Ok(Pruned { rows: rows + others, files, more: rows + others > 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::run::RunKey;

    /// To look at every job would hold up the decisions that wait for the same lock.
    #[test]
    fn only_jobs_that_have_got_rows_too_many_are_looked_at() {
        let mut memory = Memory::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let decide = |memory: &mut Memory, name: &str, second| {
            let key =
                RunKey { job: JobName::parse(name).unwrap(), fire_time: at(second), cause: Cause::Schedule };
            let run = NewDecision::run(key.id(), key.job, at(second), Cause::Schedule, at(second));
            memory.decide_one(&run);
            memory.run_ended(run.id, &Outcome::Success, at(second)).unwrap();
        };
        let limits = HistoryLimits { keep_last: 2, max_age: Duration::from_secs(3_600) };
        for (name, second) in [("a", 1), ("b", 2), ("b", 3), ("c", 4), ("c", 5), ("c", 6)] {
            decide(&mut memory, name, second);
        }
        assert_eq!(memory.prune(limits, at(9)).unwrap().rows, 1);
        assert_eq!(memory.prune(limits, at(9)).unwrap().rows, 0);
        assert_eq!(memory.crowded, []);
        decide(&mut memory, "a", 7);
        assert_eq!(memory.crowded, []);
        decide(&mut memory, "b", 8);
        assert_eq!(memory.crowded, [JobName::parse("b").unwrap()]);
        assert_eq!(memory.prune(limits, at(9)).unwrap().rows, 1);
    }
}
