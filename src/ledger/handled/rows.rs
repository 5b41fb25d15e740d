//! The rows of what a worker has begun and ended.

use jiff::Timestamp;
use rusqlite::params;

use super::{FORGOTTEN_MAX, Handled};
use crate::{
    ledger::{
        read::time,
        records::{Result, WriteHandled},
        writer::Session,
    },
    run::RunId,
};

pub(in crate::ledger) const FIND: &str = "SELECT at_us, report FROM handled WHERE run = ?1 AND attempt = ?2";

pub(in crate::ledger) const FORGET: &str =
    "DELETE FROM handled WHERE seq IN (SELECT seq FROM handled WHERE at_us < ?1 ORDER BY at_us LIMIT ?2)";

impl WriteHandled for Session {
    fn handled_begin(&mut self, attempts: &[(RunId, u32, Timestamp)]) -> Result<Vec<Handled>> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO handled (run, attempt, at_us) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?;
        let mut find = self.connection.prepare_cached(FIND)?;
        let mut redate = self
            .connection
            .prepare_cached("UPDATE handled SET at_us = ?3 WHERE run = ?1 AND attempt = ?2")?;
        let mut handled = Vec::with_capacity(attempts.len());
        for (run, attempt, at) in attempts {
            let key = params![run.0.as_bytes(), attempt];
            let begun = params![run.0.as_bytes(), attempt, at.as_microsecond()];
            if insert.execute(begun)? == 1 {
                handled.push(Handled::New);
                continue;
            }
            let (before, report) = find.query_row(key, |row| Ok((time(row, 0)?, row.get(1)?)))?;
            handled.push(match report {
                Some(report) => Handled::Ended { report },
                None => {
                    redate.execute(begun)?;
                    Handled::Begun { at: before }
                }
            });
        }
        Ok(handled)
    }

    fn handled_end(&mut self, attempts: &[(RunId, u32, Vec<u8>, Timestamp)]) -> Result<()> {
        let mut end = self.connection.prepare_cached(
            "INSERT INTO handled (run, attempt, at_us, report) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (run, attempt) DO UPDATE SET report = ?4",
        )?;
        for (run, attempt, report, at) in attempts {
            end.execute(params![run.0.as_bytes(), attempt, at.as_microsecond(), report])?;
        }
        Ok(())
    }
}

/// Forgets some of those that were begun before an instant; gives how many.
pub(in crate::ledger) fn prune(session: &Session, oldest: Timestamp) -> Result<usize> {
    let limit = i64::try_from(FORGOTTEN_MAX).unwrap_or(i64::MAX);
    session.connection.prepare_cached(FORGET)?.execute(params![oldest.as_microsecond(), limit])
}
