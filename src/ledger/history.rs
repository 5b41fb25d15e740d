//! Drops history past the limits, a bounded number of rows at a time.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use rusqlite::{Connection, Params, params};

use super::{handled, letter, queue, record::Verdict, store::HistoryLimits, writer::Session};

/// Rows that one call drops: a transaction of a few milliseconds, between the runs of the day.
pub(super) const ROWS_MAX: usize = 500;

/// Rows after which one call counts no further job: some milliseconds.
const COUNTED_MAX: usize = 5_000;

/// Jobs that one call takes in to be counted.
const JOBS_MAX: usize = 500;

/// What one call dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs, skips, and what else is past its time.
    pub rows: usize,
    /// Files of output that belonged to them, relative to the output directory.
    pub files: Vec<String>,
    /// Whether there may be more to drop: call again.
    pub more: bool,
}

/// How many rows jobs have, so that none is counted again each minute. A job whose rows were not
/// counted yet is counted when its turn comes.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    counted: HashMap<i64, Length>,
    /// Jobs that may have too many.
    changed: BTreeSet<i64>,
    /// Jobs that have too many, and all that is past the limit goes on.
    going_on: BTreeSet<i64>,
    /// Jobs up to this number were looked at since the start, or since the limit is this one.
    looked_at: i64,
    keep_last: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Length {
    runs: usize,
    skips: usize,
}

impl Lengths {
    /// A row was added to a job.
    pub(super) fn added(&mut self, job: i64, verdict: Verdict) {
        if let Some(length) = self.counted.get_mut(&job) {
            *length.of(verdict) += 1;
        }
        self.changed.insert(job);
    }

    /// A run of a job ended.
    pub(super) fn ended(&mut self, job: i64) {
        if self.going_on.remove(&job) {
            self.changed.insert(job);
        }
    }

    /// A run of a job became a skip.
    pub(super) fn skipped(&mut self, job: i64) {
        if let Some(length) = self.counted.get_mut(&job) {
            length.runs = length.runs.saturating_sub(1);
            length.skips += 1;
        }
        self.going_on.remove(&job);
        self.changed.insert(job);
    }

    /// The counts, and what was looked at, may be of a transaction that did not come about: all is
    /// looked at anew.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Length {
    fn of(&mut self, verdict: Verdict) -> &mut usize {
        match verdict {
            Verdict::Run => &mut self.runs,
            Verdict::Skipped(_) => &mut self.skips,
        }
    }
}

/// Drops rows that are too old, then runs and skips of jobs that have too many of one of them; gives
/// their files of output.
///
/// A run that goes on is not dropped.
pub(super) fn prune(
    session: &mut Session,
    limits: HistoryLimits,
    now: Timestamp,
) -> rusqlite::Result<Pruned> {
    let mut pruned = Pruned::default();
    for seq in too_old(&session.connection, limits, now)? {
        drop_row(session, seq, &mut pruned)?;
    }
    if std::mem::replace(&mut session.lengths.keep_last, limits.keep_last) != limits.keep_last {
        session.lengths.looked_at = 0;
    }
    look_at_more_jobs(session)?;
    let mut counted = 0;
    while pruned.rows < ROWS_MAX
        && counted < COUNTED_MAX
        && let Some(job) = session.lengths.changed.first().copied()
    {
        let Length { runs, skips } = match session.lengths.counted.get(&job) {
            Some(length) => *length,
            None => {
                let length = count(&session.connection, job)?;
                counted += 1 + length.runs + length.skips;
                session.lengths.counted.insert(job, length);
                length
            }
        };
        let room = ROWS_MAX - pruned.rows;
        let of_kind = [(OLDEST_RUNS, runs), (OLDEST_SKIPS, skips)];
        let mut victims = Vec::new();
        let mut past = 0;
        for (oldest, count) in of_kind {
            let excess = count.saturating_sub(limits.keep_last);
            past += excess;
            let room = room.saturating_sub(victims.len());
            if excess > 0 && room > 0 {
                let params = params![job, limit(excess), limit(room)];
                victims.extend(seqs(&session.connection, oldest, params)?);
            }
        }
        for seq in &victims {
            drop_row(session, *seq, &mut pruned)?;
        }
        // With room left over, all that could be dropped is.
        if victims.len() < room {
            session.lengths.changed.remove(&job);
            if victims.len() < past {
                session.lengths.going_on.insert(job);
            }
        }
    }
    pruned.more = pruned.rows >= ROWS_MAX || !session.lengths.changed.is_empty();
    let letters = letter::rows::prune(session, limits.oldest(now))?;
    let handled = handled::rows::prune(session, limits.oldest_handled(now))?;
    let messages = queue::rows::prune(session, now)?;
    pruned.rows += letters + handled + messages;
    pruned.more |=
        letters >= ROWS_MAX || handled >= handled::FORGOTTEN_MAX || messages >= queue::FORGOTTEN_MAX;
    Ok(pruned)
}

/// The oldest runs of a job, but for those among them that go on.
const OLDEST_RUNS: &str = "SELECT seq FROM (
    SELECT seq, open FROM run WHERE job_id = ?1 AND skipped IS NULL ORDER BY seq LIMIT ?2
) WHERE open = 0 LIMIT ?3";

const OLDEST_SKIPS: &str = "SELECT seq FROM (
    SELECT seq FROM run WHERE job_id = ?1 AND skipped IS NOT NULL ORDER BY seq LIMIT ?2
) LIMIT ?3";

fn too_old(connection: &Connection, limits: HistoryLimits, now: Timestamp) -> rusqlite::Result<Vec<i64>> {
    let oldest = limits.oldest(now).as_microsecond();
    let sql = "SELECT seq FROM run WHERE decided_us < ?1 AND open = 0 ORDER BY decided_us LIMIT ?2";
    seqs(connection, sql, params![oldest, limit(ROWS_MAX)])
}

/// Jobs that nothing was decided of since the start may have too many rows too: the limit may have
/// been another one.
fn look_at_more_jobs(session: &mut Session) -> rusqlite::Result<()> {
    let sql = "SELECT id FROM job WHERE id > ?1 ORDER BY id LIMIT ?2";
    let looked_at = params![session.lengths.looked_at, limit(JOBS_MAX)];
    let jobs = seqs(&session.connection, sql, looked_at)?;
    session.lengths.looked_at = jobs.last().copied().unwrap_or(session.lengths.looked_at);
    session.lengths.changed.extend(jobs);
    Ok(())
}

fn count(connection: &Connection, job: i64) -> rusqlite::Result<Length> {
    let sql = "SELECT count(*) FILTER (WHERE skipped IS NULL), count(*) FROM run WHERE job_id = ?1";
    connection.prepare_cached(sql)?.query_row([job], |row| {
        let (runs, rows): (i64, i64) = (row.get(0)?, row.get(1)?);
        let count = |rows: i64| usize::try_from(rows).unwrap_or(usize::MAX);
        Ok(Length { runs: count(runs), skips: count(rows - runs) })
    })
}

/// Drops a row and its attempts.
fn drop_row(session: &mut Session, seq: i64, pruned: &mut Pruned) -> rusqlite::Result<()> {
    let outputs = session
        .connection
        .prepare_cached("SELECT output FROM attempt WHERE run_seq = ?1 AND output IS NOT NULL")?
        .query_map([seq], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    pruned.files.extend(outputs);
    pruned.rows += 1;
    session
        .connection
        .prepare_cached(
            "UPDATE job SET pruned_us = max(pruned_us, run.fire_us) FROM run
             WHERE run.seq = ?1 AND run.skipped IS NULL AND run.cause = 'schedule' AND job.id = run.job_id",
        )?
        .execute([seq])?;
    let (job, is_run): (i64, bool) = session
        .connection
        .prepare_cached("DELETE FROM run WHERE seq = ?1 RETURNING job_id, skipped IS NULL")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if let Some(length) = session.lengths.counted.get_mut(&job) {
        let count = if is_run { &mut length.runs } else { &mut length.skips };
        *count = count.saturating_sub(1);
    }
    Ok(())
}

fn seqs(connection: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<Vec<i64>> {
    connection.prepare_cached(sql)?.query_map(params, |row| row.get(0))?.collect()
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
