//! The rows of messages.
//!
//! A message that is done with stays as a row without a body, for its key, until that may be forgotten.
//! So the key is written once, and nothing but the row and its place in the order changes with a claim.

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    CLAIM_BYTES_MAX, Claim, Claimed, DEDUPE, FORGOTTEN_MAX, Fate, Key, Keyed, QueueDepth, Queued, Received,
    is_remembered,
};
use crate::ledger::{
    read::time,
    records::{ReadQueue, Result, WriteQueue},
    writer::Session,
};

pub(in crate::ledger) const CLAIM: &str = "
SELECT message.seq, message.deliveries, message_body.body
FROM message JOIN message_body ON message_body.seq = message.seq
WHERE message.queue_id = ?1 AND message.due_us <= ?2
ORDER BY message.due_us, message.claimed, message.seq LIMIT ?3";

pub(in crate::ledger) const NEXT_DUE: &str = "
SELECT due_us FROM message WHERE queue_id = ?1 AND due_us IS NOT NULL ORDER BY due_us LIMIT 1";

pub(in crate::ledger) const READY: &str = "
SELECT count(*) FROM message WHERE queue_id = ?1 AND due_us <= ?2";

pub(in crate::ledger) const LATER: &str = "
SELECT count(*), sum(claimed) FROM message WHERE queue_id = ?1 AND due_us > ?2";

pub(in crate::ledger) const SETTLE: &str = "
UPDATE message SET due_us = ?4, claimed = ?5
WHERE seq = ?1 AND queue_id = ?2 AND claimed = 1 AND deliveries = ?3";

/// A key that is only remembered, and need not be any more.
pub(in crate::ledger) const FORGET: &str = "
DELETE FROM message WHERE key = ?1 AND due_us IS NULL AND abs(sent_us - ?2) >= ?3";

pub(in crate::ledger) const LOOK: &str = "
SELECT seq, due_us IS NULL, sent_us FROM message WHERE seq >= ?1 ORDER BY seq LIMIT ?2";

impl WriteQueue for Session {
    fn queue_send(&mut self, queue: &str, messages: &[Keyed], now: Timestamp) -> Result<Vec<Queued>> {
        let queue = self.queue(queue)?;
        let mut seq = self.next_message()?;
        let mut queued = Vec::with_capacity(messages.len());
        {
            let connection = &self.connection;
            let mut insert = connection.prepare_cached(
                "INSERT INTO message (seq, queue_id, key, due_us, claimed, deliveries, sent_us)
                 VALUES (?1, ?2, ?3, ?4, 0, 0, ?5) ON CONFLICT (key) DO NOTHING",
            )?;
            let mut body =
                connection.prepare_cached("INSERT INTO message_body (seq, body) VALUES (?1, ?2)")?;
            for Keyed { key, body: text, due } in messages {
                let row = params![seq, queue, key, due.as_microsecond(), now.as_microsecond()];
                let is_new =
                    insert.execute(row)? == 1 || forget(connection, key, now)? && insert.execute(row)? == 1;
                queued.push(if is_new { Queued::New } else { Queued::Duplicate });
                if is_new {
                    body.execute(params![seq, &text[..]])?;
                    seq += 1;
                }
            }
        }
        self.message_next = Some(seq);
        Ok(queued)
    }

    fn queue_claim(&mut self, queue: &str, max: usize, now: Timestamp, until: Timestamp) -> Result<Received> {
        let queue = self.queue(queue)?;
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let mut claimed = Vec::new();
        let mut bytes = 0;
        let mut due = self.connection.prepare_cached(CLAIM)?;
        let mut rows = due.query(params![queue, now.as_microsecond(), limit])?;
        while bytes < CLAIM_BYTES_MAX
            && let Some(row) = rows.next()?
        {
            let body = Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?);
            bytes += body.len();
            let claim = Claim { seq: row.get(0)?, deliveries: row.get::<_, u32>(1)? + 1 };
            claimed.push(Claimed { claim, body });
        }
        drop(rows);
        let mut update = self
            .connection
            .prepare_cached("UPDATE message SET due_us = ?2, claimed = 1, deliveries = ?3 WHERE seq = ?1")?;
        for Claimed { claim, .. } in &claimed {
            update.execute(params![claim.seq, until.as_microsecond(), claim.deliveries])?;
        }
        let next_due =
            self.connection.prepare_cached(NEXT_DUE)?.query_row([queue], |row| time(row, 0)).optional()?;
        Ok(Received { claimed, next_due })
    }

    fn queue_settle(&mut self, queue: &str, fates: &[(Claim, Fate)]) -> Result<Vec<bool>> {
        let queue = self.queue(queue)?;
        let mut settled = Vec::with_capacity(fates.len());
        for (claim, fate) in fates {
            let (due, is_claimed) = match fate {
                Fate::Ack => (None, false),
                Fate::Again { due } => (Some(*due), false),
                Fate::Extend { until } => (Some(*until), true),
            };
            let changed = self.connection.prepare_cached(SETTLE)?.execute(params![
                claim.seq,
                queue,
                claim.deliveries,
                due.map(Timestamp::as_microsecond),
                is_claimed
            ])?;
            settled.push(changed == 1);
            if changed == 1 && due.is_none() {
                self.acknowledged(claim.seq)?;
            }
        }
        Ok(settled)
    }
}

impl Session {
    /// The body of a message goes; all of it when its key need not be remembered.
    fn acknowledged(&self, seq: i64) -> Result<()> {
        self.connection.prepare_cached("DELETE FROM message_body WHERE seq = ?1")?.execute([seq])?;
        if seq < self.message_looked_at {
            self.connection.prepare_cached("DELETE FROM message WHERE seq = ?1")?.execute([seq])?;
        }
        Ok(())
    }

    /// The number of the next message. None is given twice while this process lasts: a claim of long ago
    /// must not be one on another message.
    fn next_message(&self) -> Result<i64> {
        if let Some(next) = self.message_next {
            return Ok(next);
        }
        let last: Option<i64> =
            self.connection.query_row("SELECT max(seq) FROM message", [], |row| row.get(0))?;
        Ok(last.unwrap_or(0) + 1)
    }
}

/// Forgets the key of a message that is gone, when that may be; `true` when it did.
fn forget(connection: &Connection, key: &Key, now: Timestamp) -> Result<bool> {
    let window = i64::try_from(DEDUPE.as_micros()).unwrap_or(i64::MAX);
    let forgotten = connection.prepare_cached(FORGET)?.execute(params![key, now.as_microsecond(), window])?;
    Ok(forgotten == 1)
}

/// Forgets keys of messages that are gone, as many as one call looks at; gives how many it looked at.
///
/// Rows are in the order that they were sent in. One that is not done with is left behind: it goes when
/// it is acknowledged.
pub(in crate::ledger) fn prune(session: &mut Session, now: Timestamp) -> Result<usize> {
    let limit = i64::try_from(FORGOTTEN_MAX).unwrap_or(i64::MAX);
    let rows: Vec<(i64, bool, Timestamp)> = session
        .connection
        .prepare_cached(LOOK)?
        .query_map(params![session.message_looked_at, limit], |row| {
            Ok((row.get(0)?, row.get(1)?, time(row, 2)?))
        })?
        .collect::<Result<_>>()?;
    let mut delete = session.connection.prepare_cached("DELETE FROM message WHERE seq = ?1")?;
    let mut looked_at = 0;
    for (seq, is_done, sent) in rows {
        if is_remembered(sent, now) {
            break;
        }
        if is_done {
            delete.execute([seq])?;
        }
        session.message_looked_at = seq + 1;
        looked_at += 1;
    }
    Ok(looked_at)
}

impl ReadQueue for Connection {
    fn queue_depth(&self, queue: &str, now: Timestamp) -> Result<QueueDepth> {
        let queue: Option<i64> = self
            .prepare_cached("SELECT id FROM queue WHERE name = ?1")?
            .query_row([queue], |row| row.get(0))
            .optional()?;
        let Some(queue) = queue else { return Ok(QueueDepth::default()) };
        let at = params![queue, now.as_microsecond()];
        let ready: i64 = self.prepare_cached(READY)?.query_row(at, |row| row.get(0))?;
        let (later, claimed): (i64, Option<i64>) =
            self.prepare_cached(LATER)?.query_row(at, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let claimed = claimed.unwrap_or(0).unsigned_abs();
        Ok(QueueDepth {
            ready: ready.unsigned_abs(),
            claimed,
            delayed: later.unsigned_abs().saturating_sub(claimed),
        })
    }
}
