//! What each look reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params, types::Type};
use serde::de::DeserializeOwned;
use tracing::warn;
use uuid::Uuid;

use super::{
    record::{AttemptRow, Counted, LastRun, OpenRun, PauseRow, PlacementRow, Range, RunQuery, RunRow},
    records::{Read, Result},
    route,
};
use crate::{
    manifest::{characteristics::Tier, digest::Digest, name::JobName},
    run::{Cause, Outcome, Reached, RunId},
};

/// A row, or none when it does not say what this version can read: one that another version wrote, or
/// that was spoilt, must not keep a daemon from starting with all the others.
fn readable<T>(row: Result<T>) -> Option<Result<T>> {
    match row {
        Err(error @ rusqlite::Error::FromSqlConversionFailure(..)) => {
            warn!(%error, "a record of the ledger cannot be read, and is left out");
            None
        }
        row => Some(row),
    }
}

/// The newest run of each job that is no skip: one step down the index for each job.
const LAST_RUNS: &str = "
SELECT job.name, run.id, run.fire_us, run.outcome
FROM job JOIN run ON run.seq = (
    SELECT seq FROM run AS newest WHERE newest.job_id = job.id AND newest.skipped IS NULL
    ORDER BY newest.seq DESC LIMIT 1
)";

/// Columns of `run`, for [`run_row`], which reads those of its route after them.
const COLUMNS: &str =
    "run.seq, run.id, job.name, run.fire_us, run.last_fire_us, run.count, run.cause, run.skipped,
    run.decided_us, run.outcome, run.ended_us, run.more, run.params";

pub(super) fn bad(
    column: usize,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    Timestamp::from_microsecond(row.get(column)?).map_err(|error| bad(column, error))
}

pub(super) fn maybe_time(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?
        .map(|us| Timestamp::from_microsecond(us).map_err(|error| bad(column, error)))
        .transpose()
}

pub(super) fn tier(row: &Row<'_>, column: usize) -> Result<Tier> {
    let word: String = row.get(column)?;
    let tier = Tier::ALL.into_iter().find(|tier| tier.as_str() == word);
    tier.ok_or_else(|| bad(column, format!("`{word}` is no tier")))
}

pub(super) fn name(row: &Row<'_>, column: usize) -> Result<JobName> {
    JobName::parse(&row.get::<_, String>(column)?).map_err(|error| bad(column, error))
}

fn id(row: &Row<'_>, column: usize) -> Result<RunId> {
    Uuid::from_slice(&row.get::<_, Vec<u8>>(column)?).map(RunId).map_err(|error| bad(column, error))
}

fn maybe_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    row.get::<_, Option<String>>(column)?
        .map(|text| serde_json::from_str(&text).map_err(|error| bad(column, error)))
        .transpose()
}

fn cause(row: &Row<'_>, column: usize) -> Result<Cause> {
    let word: String = row.get(column)?;
    [Cause::Schedule, Cause::Manual, Cause::Reboot]
        .into_iter()
        .find(|cause| cause.as_str() == word)
        .ok_or_else(|| bad(column, format!("`{word}` is no cause of a run")))
}

impl Read for Connection {
    fn placements(&self) -> Result<Vec<PlacementRow>> {
        let mut statement = self.prepare_cached(
            "SELECT placement.tier, placement.digest, placement.spec, job.cursor_us, placement.applied_us
             FROM placement JOIN job ON job.id = placement.job_id ORDER BY job.name",
        )?;
        let rows = statement.query_map([], |row| {
            let spec: String = row.get(2)?;
            Ok(PlacementRow {
                tier: tier(row, 0)?,
                digest: Digest::from_bytes(row.get(1)?),
                spec: Arc::new(serde_json::from_str(&spec).map_err(|error| bad(2, error))?),
                cursor: time(row, 3)?,
                applied_at: time(row, 4)?,
            })
        })?;
        rows.filter_map(readable).collect()
    }

    fn cursor(&self, job: &JobName) -> Result<Option<Timestamp>> {
        self.prepare_cached("SELECT cursor_us FROM job WHERE name = ?1")?
            .query_row([job.as_str()], |row| time(row, 0))
            .optional()
    }

    fn pruned_to(&self, job: &JobName) -> Result<Option<Timestamp>> {
        let found: Option<i64> = self
            .prepare_cached("SELECT pruned_us FROM job WHERE name = ?1")?
            .query_row([job.as_str()], |row| row.get(0))
            .optional()?;
        Ok(found.and_then(|us| Timestamp::from_microsecond(us).ok()))
    }

    fn ranges_past(&self, job: &JobName, at: Timestamp) -> Result<Vec<Range>> {
        let mut statement = self.prepare_cached(
            "SELECT run.id, run.fire_us FROM run JOIN job ON job.id = run.job_id
             WHERE job.name = ?1 AND run.last_fire_us > ?2 AND run.count > 1 AND run.skipped IS NOT NULL",
        )?;
        let rows = statement.query_map(params![job.as_str(), at.as_microsecond()], |row| {
            Ok(Range { id: id(row, 0)?, first: time(row, 1)? })
        })?;
        rows.collect()
    }

    fn known(&self, runs: &BTreeSet<RunId>) -> Result<BTreeSet<RunId>> {
        let mut statement = self.prepare_cached("SELECT 1 FROM run WHERE id = ?1")?;
        let mut known = BTreeSet::new();
        for run in runs {
            if statement.exists([run.0.as_bytes()])? {
                known.insert(*run);
            }
        }
        Ok(known)
    }

    fn recorded_boot(&self) -> Result<Option<String>> {
        self.prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row([super::write::BOOT_KEY], |row| row.get(0))
            .optional()
    }

    fn waiting_at_boot(&self, boot_id: &str) -> Result<Vec<JobName>> {
        let mut statement = self.prepare_cached(
            "SELECT job.name FROM boot JOIN job ON job.id = boot.job_id WHERE boot_id = ?1 AND waits = 1",
        )?;
        let rows = statement.query_map([boot_id], |row| name(row, 0))?;
        rows.collect()
    }

    fn unfinished(&self) -> Result<Vec<OpenRun>> {
        let mut statement = self.prepare_cached(&unfinished_sql())?;
        let rows = statement.query_map([], |row| {
            let (route, stage) = route::rows::of_row(row, 9)?.unzip();
            Ok(OpenRun {
                id: id(row, 0)?,
                job: name(row, 1)?,
                fire_time: time(row, 2)?,
                cause: cause(row, 3)?,
                params: maybe_json(row, 4)?.unwrap_or_default(),
                reached: reached(row)?,
                route,
                stage,
            })
        })?;
        rows.filter_map(readable).collect()
    }

    fn paused(&self) -> Result<Vec<PauseRow>> {
        let mut statement = self.prepare_cached(
            "SELECT job.name, pause.reason, pause.at_us FROM pause JOIN job ON job.id = pause.job_id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(PauseRow { job: name(row, 0)?, reason: row.get(1)?, at: time(row, 2)? })
        })?;
        rows.collect()
    }

    fn last_runs(&self) -> Result<BTreeMap<JobName, LastRun>> {
        let mut statement = self.prepare_cached(LAST_RUNS)?;
        let rows = statement.query_map([], |row| {
            Ok((
                name(row, 0)?,
                LastRun { id: id(row, 1)?, fire_time: time(row, 2)?, outcome: maybe_json(row, 3)? },
            ))
        })?;
        rows.collect()
    }

    fn runs(&self, query: &RunQuery) -> Result<Vec<RunRow>> {
        let before = query.before.map_or(i64::MAX, Timestamp::as_microsecond);
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let found: Vec<(i64, RunRow)> = match &query.job {
            None => self
                .prepare_cached(&runs_sql())?
                .query_map(params![before, limit, query.backend, query.worker], run_row)?
                .collect::<Result<_>>()?,
            Some(job) => self
                .prepare_cached(&runs_of_job_sql())?
                .query_map(params![before, limit, query.backend, query.worker, job.as_str()], run_row)?
                .collect::<Result<_>>()?,
        };
        found.into_iter().map(|(seq, run)| with_attempts(self, seq, run)).collect()
    }

    fn run(&self, id: RunId) -> Result<Option<RunRow>> {
        let found = self.prepare_cached(&run_sql())?.query_row([id.0.as_bytes()], run_row).optional()?;
        found.map(|(seq, run)| with_attempts(self, seq, run)).transpose()
    }
}

/// How far an open run had come, from the columns of its decision and its last attempt.
fn reached(row: &Row<'_>) -> Result<Reached> {
    let Some(attempt) = row.get::<_, Option<u32>>(6)? else {
        return Ok(Reached::Decided { at: time(row, 5)? });
    };
    let ended = maybe_time(row, 7)?.zip(maybe_json::<Outcome>(row, 8)?);
    Ok(match ended {
        Some((at, outcome)) => Reached::Ended { attempt, outcome, at },
        None => Reached::Begun { attempt },
    })
}

/// What of a run is read, and where from.
fn run_with_route() -> String {
    let (columns, join) = (route::rows::COLUMNS, route::rows::JOIN);
    format!("SELECT {COLUMNS}, {columns} FROM run JOIN job ON job.id = run.job_id {join}")
}

pub(super) fn run_sql() -> String {
    format!("{} WHERE run.id = ?1", run_with_route())
}

/// Of one backend, or one worker, where that is asked for.
const NARROWER: &str = "AND (?3 IS NULL OR route.backend = ?3)
    AND (?4 IS NULL OR routed.worker = ?4
         OR EXISTS (SELECT 1 FROM attempt WHERE run_seq = run.seq AND attempt.worker = ?4))";

pub(super) fn runs_sql() -> String {
    format!("{} WHERE run.fire_us < ?1 {NARROWER} ORDER BY run.seq DESC LIMIT ?2", run_with_route())
}

pub(super) fn runs_of_job_sql() -> String {
    format!(
        "{} WHERE run.job_id = (SELECT id FROM job WHERE name = ?5) AND run.fire_us < ?1 {NARROWER}
         ORDER BY run.seq DESC LIMIT ?2",
        run_with_route()
    )
}

pub(super) fn unfinished_sql() -> String {
    let (columns, join) = (route::rows::COLUMNS, route::rows::JOIN);
    format!(
        "SELECT run.id, job.name, run.fire_us, run.cause, run.params, run.decided_us,
                last.n, last.ended_us, last.outcome, {columns}
         FROM run JOIN job ON job.id = run.job_id
         LEFT JOIN attempt AS last ON last.run_seq = run.seq
             AND last.n = (SELECT max(n) FROM attempt WHERE run_seq = run.seq)
         {join}
         WHERE run.open = 1 ORDER BY run.seq"
    )
}

fn run_row(row: &Row<'_>) -> Result<(i64, RunRow)> {
    let (route, stage) = route::rows::of_row(row, 13)?.unzip();
    let run = RunRow {
        id: id(row, 1)?,
        job: name(row, 2)?,
        fire_time: time(row, 3)?,
        last_fire_time: time(row, 4)?,
        count: row.get::<_, i64>(5)?.unsigned_abs(),
        cause: cause(row, 6)?,
        skipped: row.get(7)?,
        decided_at: time(row, 8)?,
        outcome: maybe_json(row, 9)?,
        ended_at: maybe_time(row, 10)?,
        counted: if row.get(11)? { Counted::AtLeast } else { Counted::All },
        params: maybe_json(row, 12)?.unwrap_or_default(),
        attempts: Vec::new(),
        route,
        stage,
    };
    Ok((row.get(0)?, run))
}

fn with_attempts(connection: &Connection, seq: i64, run: RunRow) -> Result<RunRow> {
    let mut statement = connection.prepare_cached(
        "SELECT n, started_us, ended_us, outcome, output, worker FROM attempt WHERE run_seq = ?1 ORDER BY n",
    )?;
    let attempts = statement.query_map([seq], |row| {
        Ok(AttemptRow {
            n: row.get(0)?,
            started_at: time(row, 1)?,
            ended_at: maybe_time(row, 2)?,
            outcome: maybe_json(row, 3)?,
            output: row.get(4)?,
            worker: row.get(5)?,
        })
    })?;
    Ok(RunRow { attempts: attempts.collect::<Result<_>>()?, ..run })
}
