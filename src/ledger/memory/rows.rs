//! The rows of a ledger in memory.

use std::{
    collections::{BTreeMap, hash_map},
    ops::Range,
    sync::Arc,
};

use foldhash::HashMap;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    ledger::{
        history::ROWS_MAX,
        record::{AttemptRow, Counted, NewDecision, RunRow, Verdict},
        route::{Route, Stage, StageRow},
    },
    manifest::name::JobName,
    run::{Cause, Outcome, Reached, RunId},
};

/// One decision, with what came of it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) job: JobName,
    pub(super) fire_time: Timestamp,
    pub(super) last_fire_time: Timestamp,
    pub(super) count: u64,
    pub(super) counted: Counted,
    pub(super) cause: Cause,
    pub(super) verdict: Verdict,
    pub(super) decided_at: Timestamp,
    pub(super) params: BTreeMap<String, Value>,
    pub(super) attempts: Vec<AttemptRow>,
    pub(super) end: Option<(Outcome, Timestamp)>,
    pub(super) routed: Option<Box<Routed>>,
}

/// Where a run goes, and how far it has come.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) route: Arc<Route>,
    pub(super) stage: StageRow,
}

/// Rows with numbers side by side that are looked at together when old ones are dropped: as many as
/// one call drops, so that it looks at few others.
const BLOCK: u64 = ROWS_MAX as u64;

/// Decisions by their number, which counts up, and by their id.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The number of the next row.
    next: u64,
    runs: BTreeMap<u64, Box<Run>>,
    numbers: HashMap<RunId, u64>,
    /// Of each block that has rows, a time before which none of them was decided.
    earliest: BTreeMap<u64, Timestamp>,
}

impl Rows {
    /// Adds a row; gives its number. None when there is one of this id.
    pub(super) fn push(&mut self, run: Run) -> Option<u64> {
        let number = self.next;
        let hash_map::Entry::Vacant(new) = self.numbers.entry(run.id) else { return None };
        new.insert(number);
        self.next += 1;
        self.note(number, run.decided_at);
        self.runs.insert(number, Box::new(run));
        Some(number)
    }

    /// Says that a row was decided then: skips were added to it. That may be before, as the clock may
    /// have gone back.
    pub(super) fn set_decided_at(&mut self, number: u64, at: Timestamp) {
        if let Some(run) = self.get_mut(number) {
            run.decided_at = at;
            self.note(number, at);
        }
    }

    fn note(&mut self, number: u64, decided_at: Timestamp) {
        let earliest = self.earliest.entry(number / BLOCK).or_insert(decided_at);
        *earliest = decided_at.min(*earliest);
    }

    pub(super) fn get(&self, number: u64) -> Option<&Run> {
        self.runs.get(&number).map(|run| &**run)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Run> {
        self.runs.get_mut(&number).map(|run| &mut **run)
    }

    pub(super) fn number(&self, id: RunId) -> Option<u64> {
        self.numbers.get(&id).copied()
    }

    pub(super) fn of_id(&self, id: RunId) -> Option<&Run> {
        self.get(self.number(id)?)
    }

    pub(super) fn of_id_mut(&mut self, id: RunId) -> Option<&mut Run> {
        self.get_mut(self.number(id)?)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Box<Run>> {
        let run = self.runs.remove(&number)?;
        self.numbers.remove(&run.id);
        let block = number / BLOCK;
        if self.runs.range(numbers(block)).next().is_none() {
            self.earliest.remove(&block);
        }
        Some(run)
    }

    /// Takes out rows that were decided before `oldest`, but for runs that go on, with their numbers:
    /// the first `count_max` of them.
    pub(super) fn take_before(&mut self, oldest: Timestamp, count_max: usize) -> Vec<(u64, Box<Run>)> {
        let mut taken = Vec::new();
        for block in self.blocks_before(oldest) {
            let is_old = |run: &Run| run.decided_at < oldest && !run.is_open();
            let rows = self.runs.range(numbers(block));
            let old: Vec<u64> = rows
                .filter(|(_, run)| is_old(run))
                .map(|(number, _)| *number)
                .take(count_max - taken.len())
                .collect();
            taken.extend(old.into_iter().filter_map(|number| Some((number, self.remove(number)?))));
            let left = self.runs.range(numbers(block)).map(|(_, run)| run.decided_at).min();
            if let (Some(left), Some(earliest)) = (left, self.earliest.get_mut(&block)) {
                *earliest = left;
            }
            if taken.len() == count_max {
                break;
            }
        }
        taken
    }

    /// The blocks in which there may be rows that were decided before `oldest`.
    fn blocks_before(&self, oldest: Timestamp) -> Vec<u64> {
        let old = self.earliest.iter().filter(|(_, earliest)| **earliest < oldest);
        old.map(|(block, _)| *block).collect()
    }

    /// Oldest first, with their numbers.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Run)> {
        self.runs.iter().map(|(number, run)| (*number, &**run))
    }
}

/// The numbers of a block.
fn numbers(block: u64) -> Range<u64> {
    block * BLOCK..(block + 1) * BLOCK
}

impl Run {
    pub(super) fn new(decision: &NewDecision) -> Self {
        Self {
            id: decision.id,
            job: decision.job.clone(),
            fire_time: decision.fire_time,
            last_fire_time: decision.last_fire_time,
            count: decision.count,
            counted: decision.counted,
            cause: decision.cause,
            verdict: decision.verdict,
            decided_at: decision.decided_at,
            params: decision.params.clone(),
            attempts: Vec::new(),
            end: None,
            routed: decision
                .route
                .clone()
                .filter(|_| decision.verdict == Verdict::Run)
                .map(|route| Box::new(Routed { route, stage: StageRow::first(decision.decided_at) })),
        }
    }

    pub(super) fn route(&self) -> Option<Route> {
        self.routed.as_ref().map(|routed| (*routed.route).clone())
    }

    /// Whether it goes over this backend.
    pub(super) fn is_over(&self, backend: &str) -> bool {
        self.routed.as_ref().is_some_and(|routed| *routed.route.backend == *backend)
    }

    /// Whether this worker has it, or has made an attempt of it.
    pub(super) fn is_of_worker(&self, worker: &str) -> bool {
        let is_it = |named: &Option<Arc<str>>| named.as_deref() == Some(worker);
        self.routed.as_ref().is_some_and(|routed| is_it(&routed.stage.worker))
            || self.attempts.iter().any(|attempt| is_it(&attempt.worker))
    }

    pub(super) fn stage(&self) -> Option<StageRow> {
        self.routed.as_ref().map(|routed| routed.stage.clone())
    }

    /// It goes elsewhere, from the outbox on.
    pub(super) fn reroute(&mut self, route: Option<&Route>) {
        let Some(route) = route else {
            self.routed = None;
            return;
        };
        match &mut self.routed {
            Some(routed) if *routed.route == *route => {}
            Some(routed) => {
                routed.route = Arc::new(route.clone());
                (routed.stage.stage, routed.stage.worker) = (Stage::Enqueued, None);
            }
            None => {
                let stage = StageRow::first(self.decided_at);
                self.routed = Some(Box::new(Routed { route: Arc::new(route.clone()), stage }));
            }
        }
    }

    /// It is to make one more attempt, which comes after `least`, there, or here; gives the attempt.
    pub(super) fn reopen(&mut self, route: Option<&Arc<Route>>, least: u32, at: Timestamp) -> u32 {
        let made = self.attempts.last().map_or(0, |attempt| attempt.n);
        let routed = self.routed.as_ref().map_or(0, |routed| routed.stage.attempt);
        let attempt = made.max(routed).max(least) + 1;
        let stage = StageRow { attempt, ..StageRow::first(at) };
        self.routed = route.map(|route| Box::new(Routed { route: Arc::clone(route), stage }));
        attempt
    }

    /// Whether somebody else has it, or had it.
    pub(super) fn is_handed_over(&self) -> bool {
        let on_its_way = |routed: &Routed| routed.stage.attempt > 1 || routed.stage.stage > Stage::Enqueued;
        !self.attempts.is_empty() || self.routed.as_deref().is_some_and(on_its_way)
    }

    pub(super) fn is_skip(&self) -> bool {
        matches!(self.verdict, Verdict::Skipped(_))
    }

    /// Whether it has no end yet.
    pub(super) fn is_open(&self) -> bool {
        !self.is_skip() && self.end.is_none()
    }

    pub(super) fn attempt(&mut self, n: u32, started_at: Timestamp) -> &mut AttemptRow {
        let index = match self.attempts.binary_search_by_key(&n, |attempt| attempt.n) {
            Ok(index) => index,
            Err(index) => {
                let new =
                    AttemptRow { n, started_at, ended_at: None, outcome: None, output: None, worker: None };
                self.attempts.insert(index, new);
                index
            }
        };
        &mut self.attempts[index]
    }

    pub(super) fn reached(&self) -> Reached {
        match self.attempts.last() {
            None => Reached::Decided { at: self.decided_at },
            Some(AttemptRow { n, outcome: Some(outcome), ended_at: Some(at), .. }) => {
                Reached::Ended { attempt: *n, outcome: outcome.clone(), at: *at }
            }
            Some(AttemptRow { n, .. }) => Reached::Begun { attempt: *n },
        }
    }

    pub(super) fn row(&self) -> RunRow {
        let (outcome, ended_at) = self.end.clone().unzip();
        RunRow {
            id: self.id,
            job: self.job.clone(),
            fire_time: self.fire_time,
            last_fire_time: self.last_fire_time,
            count: self.count,
            counted: self.counted,
            cause: self.cause,
            params: self.params.clone(),
            skipped: match self.verdict {
                Verdict::Run => None,
                Verdict::Skipped(skip) => Some(skip.as_str().to_owned()),
            },
            decided_at: self.decided_at,
            outcome,
            ended_at,
            attempts: self.attempts.clone(),
            route: self.route(),
            stage: self.stage(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunKey;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
    }

    /// Rows that were decided a second after each other, their runs over.
    fn rows(count: u64) -> Rows {
        let mut rows = Rows::default();
        for second in 0..count {
            let (job, fire_time) = (JobName::parse("a").unwrap(), at(second));
            let id = RunKey { job: job.clone(), fire_time, cause: Cause::Schedule }.id();
            let decision = NewDecision::run(id, job, fire_time, Cause::Schedule, fire_time);
            let run = Run { end: Some((Outcome::Success, fire_time)), ..Run::new(&decision) };
            assert_eq!(rows.push(run), Some(second));
        }
        rows
    }

    fn take(rows: &mut Rows, oldest: u64) -> Vec<u64> {
        rows.take_before(at(oldest), ROWS_MAX).into_iter().map(|(number, _)| number).collect()
    }

    /// To look at every row would hold up the decisions that wait for the same lock.
    #[test]
    fn what_is_too_old_is_looked_for_only_where_it_is() {
        let mut rows = rows(10 * BLOCK);
        assert_eq!(rows.blocks_before(at(BLOCK + 1)), [0, 1]);
        assert_eq!(take(&mut rows, BLOCK + 1), (0..BLOCK).collect::<Vec<_>>());
        assert_eq!(take(&mut rows, BLOCK + 1), [BLOCK]);
        assert_eq!(rows.blocks_before(at(BLOCK + 1)), [0; 0]);
        assert_eq!(rows.earliest.len(), 9);
    }

    #[test]
    fn old_rows_are_found_that_got_younger_that_go_on_or_that_a_clock_behind_decided() {
        let mut rows = rows(3 * BLOCK);
        let middle = BLOCK + 7;
        rows.get_mut(0).unwrap().decided_at = at(2 * BLOCK);
        rows.get_mut(1).unwrap().end = None;
        rows.remove(middle);
        let late = Run { decided_at: at(1), ..*self::rows(middle + 1).remove(middle).unwrap() };
        assert_eq!(rows.push(late), Some(3 * BLOCK));
        assert_eq!(take(&mut rows, 3), [2, 3 * BLOCK]);
        rows.get_mut(1).unwrap().end = Some((Outcome::Success, at(9)));
        assert_eq!(take(&mut rows, 3), [1]);
        assert_eq!(rows.blocks_before(at(3)), [0; 0]);
        assert_eq!(take(&mut rows, 4 * BLOCK).first(), Some(&0));
    }
}
