//! The rows of dead letters.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params, types::Type};
use uuid::Uuid;

use super::{Letter, LetterKept, LetterQuery, LetterRow, LetterState, NewDeadLetter, REPLAYS_MAX, Reopened};
use crate::{
    ledger::{
        history::ROWS_MAX,
        read::{bad, maybe_time, name, time},
        record::{AttemptEnd, NewDecision},
        records::{ReadLetters, Result, Write as _, WriteLetters},
        route,
        writer::Session,
    },
    run::{self, Category, Outcome, RunId},
};

/// The state at the instant `?1`.
macro_rules! state {
    () => {
        "CASE WHEN state = 'retrying' AND coalesce(lease_us, ?1) <= ?1 THEN 'pending' ELSE state END"
    };
}

const COLUMNS: &str = concat!(
    "dead_letter.id, job.name, fire_us, backend, queue, category, dead_letter.reason, attempts, times, ",
    state!(),
    ", lease_us, note, first_us, dead_letter.at_us, changed_us, size, seq"
);

/// Those that a query asks for, its parameters from `?1` to `?7` as [`asked`] gives them.
const ASKED: &str = concat!(
    "FROM dead_letter LEFT JOIN job ON job.id = dead_letter.job_id
     WHERE (?2 IS NULL OR instr(?2, ' ' || ",
    state!(),
    " || ' ') > 0)
       AND (?3 IS NULL OR job.name = ?3) AND (?4 IS NULL OR category = ?4)
       AND (?5 IS NULL OR backend = ?5) AND dead_letter.at_us < ?6
     ORDER BY dead_letter.at_us DESC, seq DESC LIMIT ?7"
);

pub(in crate::ledger) fn letters_sql() -> String {
    format!("SELECT {COLUMNS} {ASKED}")
}

pub(in crate::ledger) const IS_OPEN: &str = "SELECT state <> 'resolved' FROM dead_letter WHERE id = ?1";

pub(in crate::ledger) const PRUNE: &str = "DELETE FROM dead_letter WHERE seq IN (
    SELECT seq FROM dead_letter WHERE state = 'resolved' AND changed_us < ?1 ORDER BY changed_us LIMIT ?2
)";

fn asked(query: &LetterQuery) -> impl rusqlite::Params + use<> {
    let states = query.states.iter().map(|state| format!(" {} ", state.as_str())).collect::<String>();
    (
        query.now.as_microsecond(),
        Some(states).filter(|states| !states.is_empty()),
        query.job.as_ref().map(|job| job.as_str().to_owned()),
        query.category.map(Category::as_str),
        query.backend.clone(),
        query.before.map_or(i64::MAX, Timestamp::as_microsecond),
        i64::try_from(query.limit).unwrap_or(i64::MAX),
    )
}

fn row(row: &Row<'_>) -> Result<LetterRow> {
    let word = |column: usize| row.get::<_, String>(column);
    let (category, state) = (word(5)?, word(9)?);
    let found = Category::ALL.into_iter().find(|of| of.as_str() == category);
    let state = LetterState::ALL.into_iter().find(|of| of.as_str() == state);
    let id = Uuid::from_slice(&row.get::<_, Vec<u8>>(0)?).map_err(|error| bad(0, error))?;
    let has_job = row.get_ref(1)?.data_type() != Type::Null;
    let state = state.ok_or_else(|| bad(9, "no state of a dead letter"))?;
    Ok(LetterRow {
        id,
        job: has_job.then(|| name(row, 1)).transpose()?,
        fire_time: maybe_time(row, 2)?,
        backend: row.get(3)?,
        queue: row.get(4)?,
        category: found.ok_or_else(|| bad(5, format!("`{category}` is no category")))?,
        reason: row.get(6)?,
        attempts: row.get(7)?,
        times: row.get(8)?,
        state,
        lease_until: maybe_time(row, 10)?.filter(|_| state == LetterState::Retrying),
        note: row.get(11)?,
        first_at: time(row, 12)?,
        at: time(row, 13)?,
        changed_at: time(row, 14)?,
        size: row.get::<_, i64>(15)?.unsigned_abs(),
    })
}

impl ReadLetters for Connection {
    fn letters(&self, query: &LetterQuery) -> Result<Vec<LetterRow>> {
        self.prepare_cached(&letters_sql())?.query_map(asked(query), row)?.collect()
    }

    fn letter(&self, id: Uuid, now: Timestamp) -> Result<Option<Letter>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM dead_letter LEFT JOIN job ON job.id = dead_letter.job_id
             WHERE dead_letter.id = ?2"
        );
        let found = self
            .prepare_cached(&sql)?
            .query_row(params![now.as_microsecond(), id.as_bytes()], |found| {
                Ok((row(found)?, found.get::<_, i64>(16)?))
            })
            .optional()?;
        let Some((row, seq)) = found else { return Ok(None) };
        let body = self
            .prepare_cached("SELECT body FROM letter_body WHERE letter_seq = ?1")?
            .query_row([seq], |row| row.get(0))?;
        Ok(Some(Letter { row, body }))
    }

    fn letter_counts(&self, now: Timestamp) -> Result<BTreeMap<LetterState, u64>> {
        let sql = concat!("SELECT ", state!(), ", count(*) FROM dead_letter GROUP BY 1");
        let mut statement = self.prepare_cached(sql)?;
        let rows = statement.query_map([now.as_microsecond()], |row| {
            let word: String = row.get(0)?;
            let state = LetterState::ALL.into_iter().find(|of| of.as_str() == word);
            let state = state.ok_or_else(|| bad(0, format!("`{word}` is no state of a dead letter")))?;
            Ok((state, row.get::<_, i64>(1)?.unsigned_abs()))
        })?;
        rows.collect()
    }
}

impl WriteLetters for Session {
    fn given_up(&mut self, end: &AttemptEnd, letter: &NewDeadLetter, letters_max: u64) -> Result<LetterKept> {
        let kept = self.dead_letter(letter, letters_max)?;
        if kept == LetterKept::Kept {
            self.attempt_ended(end)?;
        }
        Ok(kept)
    }

    fn dead_letter(&mut self, letter: &NewDeadLetter, letters_max: u64) -> Result<LetterKept> {
        let was_open = is_open(&self.connection, letter.id)? == Some(true);
        let open = open_letters(self)?;
        if !was_open && open >= letters_max {
            return Ok(LetterKept::Full);
        }
        let job = match &letter.job {
            Some(job) => Some(self.job(job)?.id),
            None => None,
        };
        write(&self.connection, letter, job)?;
        self.letters_open = Some(open + u64::from(!was_open));
        Ok(LetterKept::Kept)
    }

    fn lease_letter(&mut self, id: Uuid, now: Timestamp, until: Timestamp) -> Result<Option<Letter>> {
        let leased = self
            .connection
            .prepare_cached(
                "UPDATE dead_letter SET state = 'retrying', lease_us = ?3, changed_us = ?2
                 WHERE id = ?1 AND state <> 'resolved' AND NOT (state = 'retrying' AND coalesce(lease_us, ?2) > ?2)",
            )?
            .execute(params![id.as_bytes(), now.as_microsecond(), until.as_microsecond()])?;
        if leased == 0 { Ok(None) } else { self.connection.letter(id, now) }
    }

    fn reopened(&mut self, run: &NewDecision, until: Timestamp) -> Result<Reopened> {
        let sql = "SELECT open = 1 OR skipped IS NOT NULL FROM run WHERE id = ?1";
        let mut find = self.connection.prepare_cached(sql)?;
        let is_open: Option<bool> = find.query_row([run.id.0.as_bytes()], |row| row.get(0)).optional()?;
        drop(find);
        if is_open == Some(true) {
            return Ok(Reopened::Open);
        }
        let Some(letter) = self.lease_letter(run.id.0, run.decided_at, until)? else {
            return Ok(Reopened::Taken);
        };
        if is_open.is_none() {
            self.decide(std::slice::from_ref(run))?;
        }
        let (seq, made) = reopen(&self.connection, run.id)?;
        let attempt = 1 + if is_open.is_none() { made.max(letter.row.attempts) } else { made };
        route::rows::reopened(self, seq, run.route.as_ref(), (attempt, run.decided_at))?;
        Ok(Reopened::Attempt(attempt))
    }

    fn letters_returned(&mut self, at: Timestamp) -> Result<u64> {
        let returned =
            self.connection.prepare_cached(RETURNED)?.execute(params![at.as_microsecond(), REPLAYS_MAX])?;
        Ok(returned as u64)
    }

    fn letter_ended(
        &mut self,
        id: Uuid,
        state: LetterState,
        note: Option<&str>,
        at: Timestamp,
    ) -> Result<bool> {
        let Some(was_open) = is_open(&self.connection, id)? else { return Ok(false) };
        self.connection
            .prepare_cached(
                "UPDATE dead_letter SET state = ?2, lease_us = NULL, note = coalesce(?3, note), changed_us = ?4
                 WHERE id = ?1",
            )?
            .execute(params![id.as_bytes(), state.as_str(), note, at.as_microsecond()])?;
        let open = self.letters_open.map(|open| open + u64::from(state.is_open()));
        self.letters_open = open.map(|open| open - u64::from(was_open));
        Ok(true)
    }

    fn purge_letters(&mut self, query: &LetterQuery) -> Result<u64> {
        let sql = format!("DELETE FROM dead_letter WHERE seq IN (SELECT seq {ASKED})");
        let purged = self.connection.prepare_cached(&sql)?.execute(asked(query))?;
        self.letters_open = None;
        Ok(purged as u64)
    }
}

/// Those that are taken are few.
const RETURNED: &str = "
UPDATE dead_letter SET state = CASE WHEN times > ?2 THEN 'exhausted' ELSE 'pending' END, lease_us = NULL,
    changed_us = ?1
WHERE state = 'retrying' AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = dead_letter.id AND run.open = 1)";

/// Opens a run again; gives its number, and the last attempt that was made, or was to be.
fn reopen(connection: &Connection, run: RunId) -> Result<(i64, u32)> {
    let seq: i64 = connection
        .prepare_cached(
            "UPDATE run SET open = 1, outcome = NULL, ended_us = NULL WHERE id = ?1 RETURNING seq",
        )?
        .query_row([run.0.as_bytes()], |row| row.get(0))?;
    let made = connection
        .prepare_cached(
            "SELECT max(coalesce((SELECT max(n) FROM attempt WHERE run_seq = ?1), 0),
                        coalesce((SELECT attempt FROM routed WHERE run_seq = ?1), 0))",
        )?
        .query_row([seq], |row| row.get(0))?;
    Ok((seq, made))
}

/// A run has ended: a dead letter of it that is open is resolved when it succeeded; one that was being
/// tried again goes back when it did not.
pub(in crate::ledger) fn follow(
    session: &mut Session,
    run: RunId,
    outcome: &Outcome,
    at: Timestamp,
) -> Result<()> {
    // So that runs cost nothing more as long as there is no letter.
    if open_letters(session)? == 0 {
        return Ok(());
    }
    let (id, at) = (run.0.as_bytes(), at.as_microsecond());
    let connection = &session.connection;
    match outcome {
        Outcome::Success => {
            let resolved =
                connection.prepare_cached(SUCCEEDED)?.execute(params![id, at, super::SUCCEEDED])?;
            session.letters_open = session.letters_open.map(|open| open.saturating_sub(resolved as u64));
        }
        Outcome::Cancelled => {
            connection.prepare_cached(CANCELLED)?.execute(params![id, at, REPLAYS_MAX])?;
        }
        failed => {
            let (category, reason) = (run::category(failed).as_str(), failed.to_string());
            connection.prepare_cached(FAILED)?.execute(params![id, at, REPLAYS_MAX, category, reason])?;
        }
    }
    Ok(())
}

pub(in crate::ledger) const SUCCEEDED: &str = "
UPDATE dead_letter SET state = 'resolved', lease_us = NULL, note = ?3, changed_us = ?2
WHERE id = ?1 AND state <> 'resolved'";

pub(in crate::ledger) const CANCELLED: &str = "
UPDATE dead_letter SET state = CASE WHEN times > ?3 THEN 'exhausted' ELSE 'pending' END, lease_us = NULL,
    changed_us = ?2
WHERE id = ?1 AND state = 'retrying'";

pub(in crate::ledger) const FAILED: &str = "
UPDATE dead_letter SET state = CASE WHEN times + 1 > ?3 THEN 'exhausted' ELSE 'pending' END,
    lease_us = NULL, times = times + 1, category = ?4, reason = ?5, at_us = ?2, changed_us = ?2
WHERE id = ?1 AND state = 'retrying'";

fn is_open(connection: &Connection, id: Uuid) -> Result<Option<bool>> {
    connection.prepare_cached(IS_OPEN)?.query_row([id.as_bytes()], |row| row.get(0)).optional()
}

/// How many are not done with; counted once.
fn open_letters(session: &mut Session) -> Result<u64> {
    if let Some(open) = session.letters_open {
        return Ok(open);
    }
    let sql = "SELECT count(*) FROM dead_letter WHERE state <> 'resolved'";
    let open: i64 = session.connection.query_row(sql, [], |row| row.get(0))?;
    Ok(open.unsigned_abs())
}

fn write(connection: &Connection, letter: &NewDeadLetter, job: Option<i64>) -> Result<()> {
    // What is written once more, since the answer was lost, is not given up once more.
    let seq: i64 = connection
        .prepare_cached(
            "INSERT INTO dead_letter (id, job_id, fire_us, backend, queue, category, reason, attempts, times,
                 state, first_us, at_us, changed_us, size)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, ?10, ?10, ?11)
             ON CONFLICT (id) DO UPDATE SET job_id = ?2, fire_us = ?3, backend = ?4, queue = ?5, category = ?6,
                 reason = ?7, attempts = ?8, times = times + (at_us <> ?10), lease_us = NULL,
                 state = CASE WHEN ?9 = 'pending' AND times + (at_us <> ?10) > ?12 THEN 'exhausted' ELSE ?9 END,
                 at_us = ?10, changed_us = ?10, size = ?11
             RETURNING seq",
        )?
        .query_row(
            params![
                letter.id.as_bytes(),
                job,
                letter.fire_time.map(Timestamp::as_microsecond),
                &*letter.backend,
                &*letter.queue,
                letter.category.as_str(),
                letter.reason,
                letter.attempts,
                letter.state.as_str(),
                letter.at.as_microsecond(),
                i64::try_from(letter.body.len()).unwrap_or(i64::MAX),
                REPLAYS_MAX,
            ],
            |row| row.get(0),
        )?;
    connection
        .prepare_cached(
            "INSERT INTO letter_body (letter_seq, body) VALUES (?1, ?2)
             ON CONFLICT (letter_seq) DO UPDATE SET body = ?2",
        )?
        .execute(params![seq, letter.body])?;
    Ok(())
}

/// Drops some of those that were done with before an instant; gives how many.
pub(in crate::ledger) fn prune(session: &mut Session, oldest: Timestamp) -> Result<usize> {
    let limit = i64::try_from(ROWS_MAX).unwrap_or(i64::MAX);
    session.connection.prepare_cached(PRUNE)?.execute(params![oldest.as_microsecond(), limit])
}
