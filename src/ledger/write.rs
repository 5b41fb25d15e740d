//! What each record writes. Every statement is safe to repeat.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;

use super::{
    record::{
        Applied, AttemptEnd, AttemptStart, Counted, Cut, Decided, Move, NewDecision, Restart, Skip, Then,
        Verdict,
    },
    writer::Session,
};
use crate::{
    manifest::{characteristics::Tier, name::JobName},
    run::{Cause, Outcome, RunId},
};

type Result<T> = rusqlite::Result<T>;

/// Under which `meta` keeps the start of the machine that was recorded last.
pub(super) const BOOT_KEY: &str = "boot";

/// The word for a cause in records.
pub(super) fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Schedule => "schedule",
        Cause::Manual => "manual",
        Cause::Reboot => "reboot",
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn applied(session: &mut Session, applied: &Applied) -> Result<()> {
    let job = session.job(&applied.spec.name)?;
    session
        .connection
        .prepare_cached(
            "INSERT INTO placement (job_id, tier, digest, spec, applied_us) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (job_id, tier) DO UPDATE SET digest = ?3, spec = ?4, applied_us = ?5",
        )?
        .execute(params![
            job,
            applied.tier.as_str(),
            applied.digest.as_bytes(),
            json(&*applied.spec)?,
            applied.at.as_microsecond()
        ])?;
    if let Restart::From(cursor) = applied.restart {
        session
            .connection
            .prepare_cached("UPDATE job SET cursor_us = ?2 WHERE id = ?1")?
            .execute(params![job, cursor.as_microsecond()])?;
    }
    Ok(())
}

pub(super) fn pruned(session: &mut Session, name: &JobName, tier: Tier) -> Result<()> {
    let job = session.job(name)?;
    session
        .connection
        .prepare_cached("DELETE FROM placement WHERE job_id = ?1 AND tier = ?2")?
        .execute(params![job, tier.as_str()])?;
    Ok(())
}

pub(super) fn decide(session: &mut Session, decisions: &[NewDecision]) -> Result<Vec<Decided>> {
    let mut decided = Vec::with_capacity(decisions.len());
    for decision in decisions {
        let job = session.job(&decision.job)?;
        decided.push(decide_one(session, job, decision)?);
    }
    Ok(decided)
}

fn decide_one(session: &Session, job: i64, decision: &NewDecision) -> Result<Decided> {
    if let Move::To(_) = decision.cursor
        && decision.fire_time <= cursor(session, job)?
    {
        return Ok(Decided::Already);
    }
    let decided = match decision.verdict {
        Verdict::Skipped(skip) if extend(session, job, decision, skip)? => Decided::New,
        _ => insert(session, job, decision)?,
    };
    // The cursor moves with the row, in one transaction (FAILURE_MODES F20); back only when the
    // clock went back.
    let (sql, to) = match decision.cursor {
        Move::Stay => return Ok(decided),
        Move::To(to) => ("UPDATE job SET cursor_us = max(cursor_us, ?2) WHERE id = ?1", to),
        Move::Back(to) => ("UPDATE job SET cursor_us = ?2 WHERE id = ?1", to),
    };
    session.connection.prepare_cached(sql)?.execute(params![job, to.as_microsecond()])?;
    Ok(decided)
}

fn cursor(session: &Session, job: i64) -> Result<Timestamp> {
    session
        .connection
        .prepare_cached("SELECT cursor_us FROM job WHERE id = ?1")?
        .query_row([job], |row| row.get(0))
        .map(|us| Timestamp::from_microsecond(us).unwrap_or(Timestamp::MIN))
}

/// Adds a skip to the newest row of its job when that is a skip for the same reason, so that a long
/// pause is one row; `false` when it is not.
fn extend(session: &Session, job: i64, decision: &NewDecision, skip: Skip) -> Result<bool> {
    if matches!(skip, Skip::Dst | Skip::ClockJump) || decision.cause != Cause::Schedule {
        return Ok(false);
    }
    let extended = session
        .connection
        .prepare_cached(
            "UPDATE run SET last_fire_us = ?2, count = count + ?3, more = max(more, ?4), decided_us = ?5
             WHERE seq = (SELECT max(seq) FROM run WHERE job_id = ?1) AND skipped = ?6 AND cause = ?7
                 AND NOT EXISTS (SELECT 1 FROM run WHERE id = ?8)",
        )?
        .execute(params![
            job,
            decision.last_fire_time.as_microsecond(),
            i64::try_from(decision.count).unwrap_or(i64::MAX),
            more(decision.counted),
            decision.decided_at.as_microsecond(),
            skip.as_str(),
            cause_word(decision.cause),
            decision.id.0.as_bytes(),
        ])?;
    Ok(extended == 1)
}

fn more(counted: Counted) -> i64 {
    i64::from(counted == Counted::AtLeast)
}

fn insert(session: &Session, job: i64, decision: &NewDecision) -> Result<Decided> {
    let skipped = match decision.verdict {
        Verdict::Run => None,
        Verdict::Skipped(skip) => Some(skip.as_str()),
    };
    let params = if decision.params.is_empty() { None } else { Some(json(&decision.params)?) };
    let written = session
        .connection
        .prepare_cached(
            "INSERT INTO run
                 (id, job_id, fire_us, last_fire_us, count, more, cause, skipped, decided_us, params, open)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            decision.id.0.as_bytes(),
            job,
            decision.fire_time.as_microsecond(),
            decision.last_fire_time.as_microsecond(),
            i64::try_from(decision.count).unwrap_or(i64::MAX),
            more(decision.counted),
            cause_word(decision.cause),
            skipped,
            decision.decided_at.as_microsecond(),
            params,
            i64::from(skipped.is_none()),
        ])?;
    Ok(if written == 1 { Decided::New } else { Decided::Already })
}

/// Takes a job's cursor back, and ends the ranges that reach past it.
pub(super) fn go_back(session: &mut Session, back: &NewDecision, cuts: &[Cut]) -> Result<()> {
    for cut in cuts {
        session
            .connection
            .prepare_cached("UPDATE run SET last_fire_us = ?2, count = ?3, more = ?4 WHERE id = ?1")?
            .execute(params![
                cut.id.0.as_bytes(),
                cut.last.as_microsecond(),
                i64::try_from(cut.count).unwrap_or(i64::MAX),
                more(cut.counted),
            ])?;
    }
    decide(session, std::slice::from_ref(back)).map(drop)
}

fn seq(session: &Session, run: RunId) -> Result<Option<i64>> {
    session
        .connection
        .prepare_cached("SELECT seq FROM run WHERE id = ?1")?
        .query_row([run.0.as_bytes()], |row| row.get(0))
        .optional()
}

pub(super) fn attempt_started(session: &Session, start: &AttemptStart) -> Result<()> {
    let Some(seq) = seq(session, start.run_id)? else { return Ok(()) };
    session
        .connection
        .prepare_cached(
            "INSERT INTO attempt (run_seq, n, started_us, output) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (run_seq, n) DO UPDATE SET started_us = ?3, output = ?4",
        )?
        .execute(params![seq, start.n, start.started_at.as_microsecond(), start.output])?;
    Ok(())
}

pub(super) fn attempt_ended(session: &Session, end: &AttemptEnd) -> Result<()> {
    let Some(seq) = seq(session, end.run_id)? else { return Ok(()) };
    let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    session
        .connection
        .prepare_cached(
            "INSERT INTO attempt (run_seq, n, started_us, ended_us, outcome, bytes_seen, bytes_kept)
             VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)
             ON CONFLICT (run_seq, n) DO UPDATE SET ended_us = ?3, outcome = ?4, bytes_seen = ?5, bytes_kept = ?6",
        )?
        .execute(params![
            seq,
            end.n,
            end.ended_at.as_microsecond(),
            json(&end.outcome)?,
            bytes(end.bytes_seen),
            bytes(end.bytes_kept)
        ])?;
    match end.then {
        // In one transaction: a run whose attempt has ended must not be begun again after a crash.
        Then::RunEnds => run_ended(session, end.run_id, &end.outcome, end.ended_at),
        Then::Again => Ok(()),
    }
}

pub(super) fn run_ended(session: &Session, run: RunId, outcome: &Outcome, at: Timestamp) -> Result<()> {
    session
        .connection
        .prepare_cached("UPDATE run SET open = 0, outcome = ?2, ended_us = ?3 WHERE id = ?1")?
        .execute(params![run.0.as_bytes(), json(outcome)?, at.as_microsecond()])?;
    Ok(())
}

pub(super) fn pause(
    session: &mut Session,
    name: &JobName,
    reason: Option<&str>,
    at: Timestamp,
) -> Result<()> {
    let job = session.job(name)?;
    session
        .connection
        .prepare_cached(
            "INSERT INTO pause (job_id, reason, at_us) VALUES (?1, ?2, ?3) ON CONFLICT (job_id) DO NOTHING",
        )?
        .execute(params![job, reason, at.as_microsecond()])?;
    Ok(())
}

pub(super) fn resume(session: &mut Session, name: &JobName) -> Result<()> {
    let job = session.job(name)?;
    session.connection.prepare_cached("DELETE FROM pause WHERE job_id = ?1")?.execute([job])?;
    Ok(())
}

/// Records a start of the machine, and the jobs that are to decide on it.
pub(super) fn boot(session: &mut Session, boot_id: &str, jobs: &[JobName]) -> Result<()> {
    session.connection.prepare_cached("DELETE FROM boot WHERE boot_id <> ?1")?.execute([boot_id])?;
    for name in jobs {
        let job = session.job(name)?;
        session
            .connection
            .prepare_cached(
                "INSERT INTO boot (job_id, boot_id, waits) VALUES (?1, ?2, 1) ON CONFLICT DO NOTHING",
            )?
            .execute(params![job, boot_id])?;
    }
    session
        .connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
        )?
        .execute(params![BOOT_KEY, boot_id])?;
    Ok(())
}

/// Decides what a job does at a start of the machine that it waits to decide on.
pub(super) fn decide_at_boot(
    session: &mut Session,
    decision: &NewDecision,
    boot_id: &str,
) -> Result<Decided> {
    let job = session.job(&decision.job)?;
    let waited = session
        .connection
        .prepare_cached("UPDATE boot SET waits = 0 WHERE job_id = ?1 AND boot_id = ?2 AND waits = 1")?
        .execute(params![job, boot_id])?;
    if waited == 0 { Ok(Decided::Already) } else { decide_one(session, job, decision) }
}
