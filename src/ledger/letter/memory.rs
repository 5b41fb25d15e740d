//! Dead letters of a ledger in memory.

use std::collections::BTreeMap;

use foldhash::HashMap;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Letter, LetterKept, LetterQuery, LetterRow, LetterState, NewDeadLetter, Reopened, SUCCEEDED};
use crate::{
    ledger::{
        history::ROWS_MAX,
        memory::{Memory, Reopening},
        record::{AttemptEnd, NewDecision},
        records::{ReadLetters, Result, Write as _, WriteLetters},
    },
    run::{self, Outcome, RunId},
};

/// Dead letters by their number, which counts up, and by their id.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Letters {
    next: u64,
    kept: BTreeMap<u64, Letter>,
    numbers: HashMap<Uuid, u64>,
    open: u64,
}

/// As it is seen at an instant.
fn seen(row: &LetterRow, now: Timestamp) -> LetterRow {
    let state = row.state.seen_at(now, row.lease_until);
    let lease_until = row.lease_until.filter(|_| state == LetterState::Retrying);
    LetterRow { state, lease_until, ..row.clone() }
}

impl Letters {
    fn of_id_mut(&mut self, id: Uuid) -> Option<&mut Letter> {
        self.kept.get_mut(self.numbers.get(&id)?)
    }

    /// Keeps one, unless there are as many as there may be.
    fn keep(&mut self, new: &NewDeadLetter, letters_max: u64) -> LetterKept {
        let before = self.of_id_mut(new.id);
        let was_open = before.as_ref().is_some_and(|letter| letter.row.state.is_open());
        let before = before.map(|letter| letter.row.clone());
        if !was_open && self.open >= letters_max {
            return LetterKept::Full;
        }
        self.open += u64::from(!was_open);
        let next = self.next;
        let number = *self.numbers.entry(new.id).or_insert(next);
        self.next += u64::from(number == next);
        let times = before.as_ref().map_or(1, |before| before.times + u32::from(before.at != new.at));
        let row = LetterRow {
            id: new.id,
            job: new.job.clone(),
            fire_time: new.fire_time,
            backend: new.backend.clone(),
            queue: new.queue.clone(),
            category: new.category,
            reason: new.reason.clone(),
            attempts: new.attempts,
            times,
            state: if new.state == LetterState::Pending { LetterState::after(times) } else { new.state },
            lease_until: None,
            first_at: before.as_ref().map_or(new.at, |before| before.first_at),
            note: before.and_then(|before| before.note),
            at: new.at,
            changed_at: new.at,
            size: new.body.len() as u64,
        };
        self.kept.insert(number, Letter { row, body: new.body.clone() });
        LetterKept::Kept
    }

    fn lease(&mut self, id: Uuid, now: Timestamp, until: Timestamp) -> Option<Letter> {
        let letter = self.of_id_mut(id)?;
        let state = letter.row.state.seen_at(now, letter.row.lease_until);
        if matches!(state, LetterState::Resolved | LetterState::Retrying) {
            return None;
        }
        letter.row.state = LetterState::Retrying;
        (letter.row.lease_until, letter.row.changed_at) = (Some(until), now);
        Some(Letter { row: seen(&letter.row, now), body: letter.body.clone() })
    }

    fn ended(&mut self, id: Uuid, state: LetterState, note: Option<&str>, at: Timestamp) -> bool {
        let Some(letter) = self.of_id_mut(id) else { return false };
        let was_open = letter.row.state.is_open();
        (letter.row.state, letter.row.lease_until, letter.row.changed_at) = (state, None, at);
        if let Some(note) = note {
            letter.row.note = Some(note.to_owned());
        }
        self.open = self.open + u64::from(state.is_open()) - u64::from(was_open);
        true
    }

    /// As the same in `SQLite`: a run has ended.
    pub(in crate::ledger) fn follow(&mut self, run: RunId, outcome: &Outcome, at: Timestamp) {
        let Some(letter) = self.of_id_mut(run.0) else { return };
        let row = &mut letter.row;
        let is_retrying = row.state == LetterState::Retrying;
        match outcome {
            Outcome::Success if row.state.is_open() => {
                row.state = LetterState::Resolved;
                row.note = Some(SUCCEEDED.to_owned());
                self.open -= 1;
            }
            Outcome::Cancelled if is_retrying => row.state = LetterState::after(row.times),
            failed if is_retrying => {
                row.times += 1;
                row.state = LetterState::after(row.times);
                (row.category, row.reason, row.at) = (run::category(failed), failed.to_string(), at);
            }
            _ => return,
        }
        let Some(letter) = self.of_id_mut(run.0) else { return };
        (letter.row.lease_until, letter.row.changed_at) = (None, at);
    }

    fn purge(&mut self, query: &LetterQuery) -> u64 {
        let victims: Vec<u64> = self.asked(query).into_iter().map(|(number, _)| number).collect();
        victims.iter().for_each(|number| self.remove(*number));
        victims.len() as u64
    }

    /// Drops some of those that were done with before an instant; gives how many.
    pub(in crate::ledger) fn prune(&mut self, oldest: Timestamp) -> usize {
        let is_old = |letter: &Letter| !letter.row.state.is_open() && letter.row.changed_at < oldest;
        let old = self.kept.iter().filter(|(_, letter)| is_old(letter)).map(|(number, _)| *number);
        let victims: Vec<u64> = old.take(ROWS_MAX).collect();
        victims.iter().for_each(|number| self.remove(*number));
        victims.len()
    }

    fn remove(&mut self, number: u64) {
        if let Some(letter) = self.kept.remove(&number) {
            self.numbers.remove(&letter.row.id);
            self.open -= u64::from(letter.row.state.is_open());
        }
    }

    fn asked(&self, query: &LetterQuery) -> Vec<(u64, LetterRow)> {
        let is_asked = |row: &LetterRow| {
            (query.states.is_empty() || query.states.contains(&row.state))
                && query.job.as_ref().is_none_or(|job| row.job.as_ref() == Some(job))
                && query.category.is_none_or(|category| row.category == category)
                && query.backend.as_ref().is_none_or(|backend| row.backend == *backend)
                && query.before.is_none_or(|before| row.at < before)
        };
        let rows = self.kept.iter().map(|(number, letter)| (*number, seen(&letter.row, query.now)));
        let mut rows: Vec<_> = rows.filter(|(_, row)| is_asked(row)).collect();
        rows.sort_by_key(|(number, row)| std::cmp::Reverse((row.at, *number)));
        rows.truncate(query.limit);
        rows
    }

    fn letter(&self, id: Uuid, now: Timestamp) -> Option<Letter> {
        let letter = self.kept.get(self.numbers.get(&id)?)?;
        Some(Letter { row: seen(&letter.row, now), body: letter.body.clone() })
    }

    fn counts(&self, now: Timestamp) -> BTreeMap<LetterState, u64> {
        let mut counts = BTreeMap::new();
        for letter in self.kept.values() {
            *counts.entry(letter.row.state.seen_at(now, letter.row.lease_until)).or_default() += 1;
        }
        counts
    }
}

impl WriteLetters for Memory {
    fn given_up(&mut self, end: &AttemptEnd, letter: &NewDeadLetter, letters_max: u64) -> Result<LetterKept> {
        let kept = self.dead_letter(letter, letters_max)?;
        if kept == LetterKept::Kept {
            self.attempt_ended(end)?;
        }
        Ok(kept)
    }

    fn dead_letter(&mut self, letter: &NewDeadLetter, letters_max: u64) -> Result<LetterKept> {
        let kept = self.letters.keep(letter, letters_max);
        if let (LetterKept::Kept, Some(name)) = (kept, &letter.job) {
            self.job(name);
        }
        Ok(kept)
    }

    fn lease_letter(&mut self, id: Uuid, now: Timestamp, until: Timestamp) -> Result<Option<Letter>> {
        Ok(self.letters.lease(id, now, until))
    }

    fn reopened(&mut self, run: &NewDecision, until: Timestamp) -> Result<Reopened> {
        let reopening = self.reopening(run.id);
        if reopening == Reopening::Open {
            return Ok(Reopened::Open);
        }
        let Some(letter) = self.letters.lease(run.id.0, run.decided_at, until) else {
            return Ok(Reopened::Taken);
        };
        if reopening == Reopening::Dropped {
            self.decide(std::slice::from_ref(run))?;
        }
        let least = if reopening == Reopening::Dropped { letter.row.attempts } else { 0 };
        Ok(Reopened::Attempt(self.reopen(run, least)))
    }

    fn letters_returned(&mut self, at: Timestamp) -> Result<u64> {
        let taken = self.letters.kept.values().filter(|letter| letter.row.state == LetterState::Retrying);
        let taken: Vec<Uuid> = taken.map(|letter| letter.row.id).collect();
        let gone: Vec<Uuid> = taken.into_iter().filter(|id| !self.is_open(RunId(*id))).collect();
        for id in &gone {
            let Some(letter) = self.letters.of_id_mut(*id) else { continue };
            letter.row.state = LetterState::after(letter.row.times);
            (letter.row.lease_until, letter.row.changed_at) = (None, at);
        }
        Ok(gone.len() as u64)
    }

    fn letter_ended(
        &mut self,
        id: Uuid,
        state: LetterState,
        note: Option<&str>,
        at: Timestamp,
    ) -> Result<bool> {
        Ok(self.letters.ended(id, state, note, at))
    }

    fn purge_letters(&mut self, query: &LetterQuery) -> Result<u64> {
        Ok(self.letters.purge(query))
    }
}

impl ReadLetters for Memory {
    fn letters(&self, query: &LetterQuery) -> Result<Vec<LetterRow>> {
        Ok(self.letters.asked(query).into_iter().map(|(_, row)| row).collect())
    }

    fn letter(&self, id: Uuid, now: Timestamp) -> Result<Option<Letter>> {
        Ok(self.letters.letter(id, now))
    }

    fn letter_counts(&self, now: Timestamp) -> Result<BTreeMap<LetterState, u64>> {
        Ok(self.letters.counts(now))
    }
}
