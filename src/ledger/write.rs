//! What each record writes. Every statement is safe to repeat.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;

use super::{
    history::{self, Pruned},
    letter,
    record::{
        Applied, AttemptEnd, AttemptStart, Counted, Cut, Decided, Move, NewDecision, Passed, Restart, Skip,
        Then, Verdict,
    },
    records::{Result, Write},
    route::{self, Route, Staged},
    store::HistoryLimits,
    writer::{JobRow, Session},
};
use crate::{
    manifest::{characteristics::Tier, name::JobName},
    run::{Cause, Outcome, RunId},
};

/// Under which `meta` keeps the start of the machine that was recorded last.
pub(super) const BOOT_KEY: &str = "boot";

/// Under which `meta` keeps the name of the ledger.
const INSTANCE_KEY: &str = "instance";

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

impl Write for Session {
    fn applied(&mut self, applied: &Applied) -> Result<()> {
        let job = self.job(&applied.spec.name)?.id;
        self.connection
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
            self.job(&applied.spec.name)?.cursor = cursor;
            self.connection
                .prepare_cached("UPDATE job SET cursor_us = ?2 WHERE id = ?1")?
                .execute(params![job, cursor.as_microsecond()])?;
        }
        Ok(())
    }

    fn pruned(&mut self, name: &JobName, tier: Tier) -> Result<()> {
        let job = self.job(name)?.id;
        self.connection
            .prepare_cached("DELETE FROM placement WHERE job_id = ?1 AND tier = ?2")?
            .execute(params![job, tier.as_str()])?;
        Ok(())
    }

    fn decide(&mut self, decisions: &[NewDecision]) -> Result<Vec<Decided>> {
        decisions.iter().map(|decision| decide_one(self, decision)).collect()
    }

    fn go_back(&mut self, back: &NewDecision, cuts: &[Cut]) -> Result<()> {
        for cut in cuts {
            self.connection
                .prepare_cached("UPDATE run SET last_fire_us = ?2, count = ?3, more = ?4 WHERE id = ?1")?
                .execute(params![
                    cut.id.0.as_bytes(),
                    cut.last.as_microsecond(),
                    i64::try_from(cut.count).unwrap_or(i64::MAX),
                    more(cut.counted),
                ])?;
        }
        self.decide(std::slice::from_ref(back)).map(drop)
    }

    fn attempt_started(&mut self, start: &AttemptStart) -> Result<()> {
        let Some(seq) = seq(self, start.run_id)? else { return Ok(()) };
        self.connection
            .prepare_cached(
                "INSERT INTO attempt (run_seq, n, started_us, output, worker) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (run_seq, n) DO UPDATE SET started_us = ?3, output = ?4, worker = ?5",
            )?
            .execute(params![
                seq,
                start.n,
                start.started_at.as_microsecond(),
                start.output,
                start.worker.as_deref()
            ])?;
        Ok(())
    }

    fn attempt_ended(&mut self, end: &AttemptEnd) -> Result<()> {
        let Some(seq) = seq(self, end.run_id)? else { return Ok(()) };
        let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self
            .connection
            .prepare_cached(
                "INSERT INTO attempt (run_seq, n, started_us, ended_us, outcome, bytes_seen, bytes_kept, worker)
                 VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (run_seq, n) DO UPDATE SET ended_us = ?3, outcome = ?4, bytes_seen = ?5,
                     bytes_kept = ?6, worker = coalesce(?7, worker)",
            )?
            .execute(params![
                seq,
                end.n,
                end.ended_at.as_microsecond(),
                json(&end.outcome)?,
                bytes(end.bytes_seen),
                bytes(end.bytes_kept),
                end.worker.as_deref()
            ])?;
        match end.then {
            // In one transaction: a run whose attempt has ended must not be begun again after a crash.
            Then::RunEnds => self.run_ended(end.run_id, &end.outcome, end.ended_at),
            Then::Again => Ok(()),
        }
    }

    fn passed(&mut self, attempts: &[Passed]) -> Result<()> {
        let outcome = json(&Outcome::Success)?;
        let mut end = self.connection.prepare_cached(
            "UPDATE run SET open = 0, outcome = ?2, ended_us = ?3 WHERE id = ?1 RETURNING seq, job_id",
        )?;
        let mut attempt = self.connection.prepare_cached(
            "INSERT INTO attempt (run_seq, n, started_us, ended_us, outcome, bytes_seen, bytes_kept)
             VALUES (?1, ?2, ?3, ?3, ?4, 0, 0)
             ON CONFLICT (run_seq, n) DO UPDATE SET started_us = ?3, ended_us = ?3, outcome = ?4",
        )?;
        let mut over = Vec::with_capacity(attempts.len());
        for passed in attempts {
            let Passed { run_id, n, at } = passed;
            let at = at.as_microsecond();
            let ended = end.query_row(params![run_id.0.as_bytes(), outcome, at], |row| {
                Ok((row.get::<_, i64>(0)?, row.get(1)?))
            });
            if let Some((seq, job)) = ended.optional()? {
                self.lengths.ended(job);
                attempt.execute(params![seq, n, at, outcome])?;
                over.push(passed);
            }
        }
        drop((end, attempt));
        over.into_iter()
            .try_for_each(|passed| letter::rows::follow(self, passed.run_id, &Outcome::Success, passed.at))
    }

    fn run_ended(&mut self, run: RunId, outcome: &Outcome, at: Timestamp) -> Result<()> {
        let job = self
            .connection
            .prepare_cached(
                "UPDATE run SET open = 0, outcome = ?2, ended_us = ?3 WHERE id = ?1 RETURNING job_id",
            )?
            .query_row(params![run.0.as_bytes(), json(outcome)?, at.as_microsecond()], |row| row.get(0))
            .optional()?;
        if let Some(job) = job {
            self.lengths.ended(job);
            letter::rows::follow(self, run, outcome, at)?;
        }
        Ok(())
    }

    fn staged(&mut self, staged: &[Staged]) -> Result<()> {
        route::rows::staged(self, staged)
    }

    fn rerouted(&mut self, run: RunId, route: Option<&Route>) -> Result<()> {
        route::rows::rerouted(self, run, route)
    }

    fn dropped(&mut self, run: RunId, skip: Skip, at: Timestamp) -> Result<bool> {
        route::rows::dropped(self, run, skip, at)
    }

    fn instance(&mut self, proposed: &str) -> Result<String> {
        self.connection
            .prepare_cached("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![INSTANCE_KEY, proposed])?;
        self.connection
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row([INSTANCE_KEY], |row| row.get(0))
    }

    fn pause(&mut self, name: &JobName, reason: Option<&str>, at: Timestamp) -> Result<()> {
        let job = self.job(name)?.id;
        self.connection
            .prepare_cached(
                "INSERT INTO pause (job_id, reason, at_us) VALUES (?1, ?2, ?3)
                 ON CONFLICT (job_id) DO UPDATE SET reason = coalesce(excluded.reason, reason)",
            )?
            .execute(params![job, reason, at.as_microsecond()])?;
        Ok(())
    }

    fn resume(&mut self, name: &JobName) -> Result<()> {
        let job = self.job(name)?.id;
        self.connection.prepare_cached("DELETE FROM pause WHERE job_id = ?1")?.execute([job])?;
        Ok(())
    }

    fn boot(&mut self, boot_id: &str, jobs: &[JobName]) -> Result<()> {
        self.connection.prepare_cached("DELETE FROM boot WHERE boot_id <> ?1")?.execute([boot_id])?;
        for name in jobs {
            let job = self.job(name)?.id;
            self.connection
                .prepare_cached(
                    "INSERT INTO boot (job_id, boot_id, waits) VALUES (?1, ?2, 1) ON CONFLICT DO NOTHING",
                )?
                .execute(params![job, boot_id])?;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
            )?
            .execute(params![BOOT_KEY, boot_id])?;
        Ok(())
    }

    fn decide_at_boot(&mut self, decision: &NewDecision, boot_id: &str) -> Result<Decided> {
        let job = self.job(&decision.job)?.id;
        let waited = self
            .connection
            .prepare_cached("UPDATE boot SET waits = 0 WHERE job_id = ?1 AND boot_id = ?2 AND waits = 1")?
            .execute(params![job, boot_id])?;
        if waited == 0 { Ok(Decided::Already) } else { decide_one(self, decision) }
    }

    fn prune(&mut self, limits: HistoryLimits, now: Timestamp) -> Result<Pruned> {
        history::prune(self, limits, now)
    }
}

fn decide_one(session: &mut Session, decision: &NewDecision) -> Result<Decided> {
    let JobRow { id: job, cursor } = *session.job(&decision.job)?;
    if let Move::To(_) = decision.cursor
        && decision.fire_time <= cursor
    {
        return Ok(Decided::Already);
    }
    let decided = match decision.verdict {
        Verdict::Skipped(skip) if extend(session, job, decision, skip)? => Decided::New,
        _ => insert(session, job, decision)?,
    };
    // The cursor moves with the row, in one transaction (FAILURE_MODES F20); back only when the
    // clock went back.
    let to = match decision.cursor {
        Move::Stay => return Ok(decided),
        Move::To(to) => cursor.max(to),
        Move::Back(to) => to,
    };
    session.job(&decision.job)?.cursor = to;
    session
        .connection
        .prepare_cached("UPDATE job SET cursor_us = ?2 WHERE id = ?1")?
        .execute(params![job, to.as_microsecond()])?;
    Ok(decided)
}

/// Adds a skip to the newest row of its job when that is a skip for the same reason, so that a long
/// pause is one row; `false` when it is not.
fn extend(session: &Session, job: i64, decision: &NewDecision, skip: Skip) -> Result<bool> {
    if !skip.is_extended() || decision.cause != Cause::Schedule {
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
            decision.cause.as_str(),
            decision.id.0.as_bytes(),
        ])?;
    Ok(extended == 1)
}

fn more(counted: Counted) -> i64 {
    i64::from(counted == Counted::AtLeast)
}

fn insert(session: &mut Session, job: i64, decision: &NewDecision) -> Result<Decided> {
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
            decision.cause.as_str(),
            skipped,
            decision.decided_at.as_microsecond(),
            params,
            i64::from(skipped.is_none()),
        ])?;
    if written == 0 {
        return Ok(Decided::Already);
    }
    session.lengths.added(job, decision.verdict);
    if let (Some(route), None) = (&decision.route, skipped) {
        let seq = session.connection.last_insert_rowid();
        route::rows::decided(session, seq, route, decision.decided_at)?;
    }
    Ok(Decided::New)
}

fn seq(session: &Session, run: RunId) -> Result<Option<i64>> {
    session
        .connection
        .prepare_cached("SELECT seq FROM run WHERE id = ?1")?
        .query_row([run.0.as_bytes()], |row| row.get(0))
        .optional()
}
