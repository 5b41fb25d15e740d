//! The rows of a ledger in memory.

use std::collections::{BTreeMap, hash_map};

use foldhash::HashMap;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    ledger::record::{AttemptRow, Counted, NewDecision, RunRow, Verdict},
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
}

/// Decisions by their number, which counts up, and by their id.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The number of the next row.
    next: u64,
    runs: BTreeMap<u64, Box<Run>>,
    numbers: HashMap<RunId, u64>,
}

impl Rows {
    /// Adds a row; gives its number. None when there is one of this id.
    pub(super) fn push(&mut self, run: Run) -> Option<u64> {
        let number = self.next;
        let hash_map::Entry::Vacant(new) = self.numbers.entry(run.id) else { return None };
        new.insert(number);
        self.next += 1;
        self.runs.insert(number, Box::new(run));
        Some(number)
    }

    pub(super) fn get(&self, number: u64) -> Option<&Run> {
        self.runs.get(&number).map(|run| &**run)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Run> {
        self.runs.get_mut(&number).map(|run| &mut **run)
    }

    pub(super) fn of_id(&self, id: RunId) -> Option<&Run> {
        self.get(*self.numbers.get(&id)?)
    }

    pub(super) fn of_id_mut(&mut self, id: RunId) -> Option<&mut Run> {
        self.get_mut(*self.numbers.get(&id)?)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Box<Run>> {
        let run = self.runs.remove(&number)?;
        self.numbers.remove(&run.id);
        Some(run)
    }

    /// Oldest first, with their numbers.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Run)> {
        self.runs.iter().map(|(number, run)| (*number, &**run))
    }
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
        }
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
                let new = AttemptRow { n, started_at, ended_at: None, outcome: None, output: None };
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
            skipped: match self.verdict {
                Verdict::Run => None,
                Verdict::Skipped(skip) => Some(skip.as_str().to_owned()),
            },
            decided_at: self.decided_at,
            outcome,
            ended_at,
            attempts: self.attempts.clone(),
        }
    }
}
