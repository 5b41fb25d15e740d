//! Drops history past the limits, a bounded number of rows at a time.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use super::store::HistoryLimits;

/// Rows that one call drops: a transaction of a few milliseconds, between the runs of the day.
const ROWS_MAX: usize = 500;

/// What one call dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs and skips.
    pub rows: usize,
    /// Files of output that belonged to them, relative to the output directory.
    pub files: Vec<String>,
}

/// Runs of jobs that have too many.
const RUNS_PAST: &str = "
SELECT run.seq FROM job JOIN run ON run.job_id = job.id AND run.seq <= (
    SELECT seq FROM run AS kept WHERE kept.job_id = job.id AND kept.skipped IS NULL
    ORDER BY seq DESC LIMIT 1 OFFSET ?1
) WHERE run.open = 0 AND run.skipped IS NULL LIMIT ?2";

/// Skips of jobs that have too many.
const SKIPS_PAST: &str = "
SELECT run.seq FROM job JOIN run ON run.job_id = job.id AND run.seq <= (
    SELECT seq FROM run AS kept WHERE kept.job_id = job.id AND kept.skipped IS NOT NULL
    ORDER BY seq DESC LIMIT 1 OFFSET ?1
) WHERE run.skipped IS NOT NULL LIMIT ?2";

/// Drops rows that are too old, then runs and skips of jobs that have too many of one of them; gives
/// their files of output.
///
/// A run that goes on is not dropped.
pub(super) fn prune(
    connection: &Connection,
    limits: HistoryLimits,
    now: Timestamp,
) -> rusqlite::Result<Pruned> {
    let age = SignedDuration::try_from(limits.max_age).unwrap_or(SignedDuration::MAX);
    let oldest = now.checked_sub(age).unwrap_or(Timestamp::MIN).as_microsecond();
    let keep = i64::try_from(limits.keep_last).unwrap_or(i64::MAX);
    let rows_max = i64::try_from(ROWS_MAX).unwrap_or(i64::MAX);

    let mut victims: Vec<i64> = connection
        .prepare_cached(
            "SELECT seq FROM run WHERE decided_us < ?1 AND open = 0 ORDER BY decided_us LIMIT ?2",
        )?
        .query_map(params![oldest, rows_max], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for past in [RUNS_PAST, SKIPS_PAST] {
        if victims.is_empty() {
            victims = connection
                .prepare_cached(past)?
                .query_map(params![keep, rows_max], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
        }
    }
    let mut files = Vec::new();
    for seq in &victims {
        let outputs = connection
            .prepare_cached("SELECT output FROM attempt WHERE run_seq = ?1 AND output IS NOT NULL")?
            .query_map([seq], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        files.extend(outputs);
        connection
            .prepare_cached(
                "UPDATE job SET pruned_us = max(pruned_us, run.fire_us) FROM run
                 WHERE run.seq = ?1 AND run.skipped IS NULL AND run.cause = 'schedule' AND job.id = run.job_id",
            )?
            .execute([seq])?;
        connection.prepare_cached("DELETE FROM run WHERE seq = ?1")?.execute([seq])?;
    }
    Ok(Pruned { rows: victims.len(), files })
}
