//! The rows of runs that go to another tier.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{Route, Stage, StageRow, Staged};
use crate::{
    ledger::{
        read::{bad, maybe_time, tier},
        record::Skip,
        records::Result,
        writer::Session,
    },
    run::RunId,
};

/// Columns of `route` and `routed`, for who joins them by [`JOIN`].
pub(in crate::ledger) const COLUMNS: &str =
    "route.tier, route.backend, route.queue, routed.attempt, routed.stage, routed.at_us, routed.worker";

/// To a query of `run`.
pub(in crate::ledger) const JOIN: &str =
    "LEFT JOIN routed ON routed.run_seq = run.seq LEFT JOIN route ON route.id = routed.route_id";

/// As in the column `stage`, which is compared.
fn number(stage: Stage) -> i64 {
    match stage {
        Stage::Enqueued => 1,
        Stage::Acknowledged => 2,
        Stage::PickedUp => 3,
        Stage::Running => 4,
    }
}

/// Where a run goes and how far it has come, from [`COLUMNS`] that begin with this one.
pub(in crate::ledger) fn of_row(row: &Row<'_>, first: usize) -> Result<Option<(Route, StageRow)>> {
    if row.get_ref(first)?.as_str_or_null().map_err(|error| bad(first, error))?.is_none() {
        return Ok(None);
    }
    let text = |column: usize| row.get::<_, Arc<str>>(first + column);
    let route = Route { tier: tier(row, first)?, backend: text(1)?, queue: text(2)? };
    let stage: i64 = row.get(first + 4)?;
    let found = Stage::ALL.into_iter().find(|of| number(*of) == stage);
    let stage = StageRow {
        attempt: row.get(first + 3)?,
        stage: found.ok_or_else(|| bad(first + 4, format!("`{stage}` is no stage")))?,
        at: maybe_time(row, first + 5)?.unwrap_or_default(),
        worker: row.get(first + 6)?,
    };
    Ok(Some((route, stage)))
}

/// A run that was just decided goes there.
pub(in crate::ledger) fn decided(
    session: &mut Session,
    seq: i64,
    route: &Arc<Route>,
    at: Timestamp,
) -> Result<()> {
    let route = session.route(route)?;
    session
        .connection
        .prepare_cached(
            "INSERT INTO routed (run_seq, route_id, attempt, stage, at_us) VALUES (?1, ?2, 1, 1, ?3)",
        )?
        .execute(params![seq, route, at.as_microsecond()])?;
    Ok(())
}

/// A run that was opened again is to make an attempt there; none: here.
pub(in crate::ledger) fn reopened(
    session: &mut Session,
    seq: i64,
    route: Option<&Arc<Route>>,
    (attempt, at): (u32, Timestamp),
) -> Result<()> {
    let Some(route) = route else {
        session.connection.prepare_cached("DELETE FROM routed WHERE run_seq = ?1")?.execute([seq])?;
        return Ok(());
    };
    let route = session.route(route)?;
    session
        .connection
        .prepare_cached(
            "INSERT INTO routed (run_seq, route_id, attempt, stage, at_us) VALUES (?1, ?2, ?3, 1, ?4)
             ON CONFLICT (run_seq) DO UPDATE SET route_id = ?2, attempt = ?3, stage = 1, at_us = ?4, worker = NULL",
        )?
        .execute(params![seq, route, attempt, at.as_microsecond()])?;
    Ok(())
}

pub(in crate::ledger) fn staged(session: &mut Session, all: &[Staged]) -> Result<()> {
    let mut update = session.connection.prepare_cached(STAGED)?;
    for Staged { run_id, attempt, stage, at, worker } in all {
        update.execute(params![
            run_id.0.as_bytes(),
            attempt,
            number(*stage),
            at.as_microsecond(),
            worker.as_deref()
        ])?;
    }
    Ok(())
}

pub(in crate::ledger) const STAGED: &str = "
UPDATE routed SET attempt = ?2, stage = ?3, at_us = ?4,
    worker = CASE WHEN attempt = ?2 THEN coalesce(?5, worker) ELSE ?5 END
WHERE run_seq = (SELECT seq FROM run WHERE id = ?1 AND open = 1)
    AND (attempt < ?2 OR attempt = ?2 AND stage < ?3)";

pub(in crate::ledger) fn rerouted(session: &mut Session, run: RunId, route: Option<&Route>) -> Result<()> {
    let Some(route) = route else {
        session.connection.prepare_cached(UNROUTED)?.execute([run.0.as_bytes()])?;
        return Ok(());
    };
    let route = session.route(&Arc::new(route.clone()))?;
    session.connection.prepare_cached(REROUTED)?.execute(params![run.0.as_bytes(), route])?;
    Ok(())
}

pub(in crate::ledger) const UNROUTED: &str =
    "DELETE FROM routed WHERE run_seq = (SELECT seq FROM run WHERE id = ?1 AND open = 1)";

pub(in crate::ledger) const REROUTED: &str = "
INSERT INTO routed (run_seq, route_id, attempt, stage, at_us)
SELECT seq, ?2, 1, 1, decided_us FROM run WHERE id = ?1 AND open = 1
ON CONFLICT (run_seq) DO UPDATE SET route_id = ?2, stage = 1, worker = NULL WHERE route_id <> ?2";

pub(in crate::ledger) fn dropped(
    session: &mut Session,
    run: RunId,
    skip: Skip,
    at: Timestamp,
) -> Result<bool> {
    let job = session
        .connection
        .prepare_cached(DROPPED)?
        .query_row(params![run.0.as_bytes(), skip.as_str(), at.as_microsecond()], |row| row.get(0))
        .optional()?;
    if let Some(job) = job {
        session.lengths.skipped(job);
    }
    Ok(job.is_some())
}

pub(in crate::ledger) const DROPPED: &str = "
UPDATE run SET skipped = ?2, open = 0, decided_us = ?3 WHERE id = ?1 AND open = 1
    AND NOT EXISTS (SELECT 1 FROM attempt WHERE run_seq = run.seq)
    AND NOT EXISTS (SELECT 1 FROM routed WHERE run_seq = run.seq AND (attempt > 1 OR stage > 1))
RETURNING job_id";
