//! The queue that needs no server: messages in the ledger.
//!
//! A message is due at an instant, and is received from then on, in the order of that instant. Who
//! receives it has a claim on it, until another instant: if the message is not settled by then, it is
//! due again. So a claim, a delay and a wait before another try are all the same to it.

pub(super) mod bell;
pub(super) mod memory;
pub(super) mod rows;

use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use self::bell::Bell;
use super::{record::LedgerError, store::Ledger};

/// How long the id of a message is remembered after it was sent, and at least as long as the message is
/// there.
pub const DEDUPE: SignedDuration = SignedDuration::from_hours(1);

/// Most messages that one call receives: some milliseconds of a writer that others wait for.
pub const CLAIM_MAX: usize = 1_000;

/// Bytes of messages after which one call receives no more.
pub(super) const CLAIM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most messages that one call forgets: some milliseconds.
pub(super) const FORGOTTEN_MAX: usize = 2_000;

/// Bytes of messages that cost as much to write as one more record.
const RECORD_BYTES: usize = 1024;

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Names it in its queue.
    pub id: String,
    /// What it says.
    pub body: Bytes,
    /// Not to be received before.
    pub due: Timestamp,
}

/// What became of a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It is in the queue.
    New,
    /// One with its id is, or was a short while ago.
    Duplicate,
}

/// A claim on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The number of the message.
    pub seq: i64,
    /// How often it was received, this time included.
    pub deliveries: u32,
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// By which it is settled.
    pub claim: Claim,
    /// What it says.
    pub body: Bytes,
}

/// What was received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// In order.
    pub claimed: Vec<Claimed>,
    /// When the next message is due, be it now, by itself or since a claim is over; none when there is
    /// none.
    pub next_due: Option<Timestamp>,
}

/// What becomes of a message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done with.
    Ack,
    /// It is to be received again.
    Again {
        /// From when on.
        due: Timestamp,
    },
    /// The claim on it lasts longer.
    Extend {
        /// Until when.
        until: Timestamp,
    },
}

/// How many messages there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// That are due.
    pub ready: u64,
    /// That somebody has a claim on.
    pub claimed: u64,
    /// That are not due yet.
    pub delayed: u64,
}

/// By which a message is known: a hash of its queue and its id.
pub(super) type Key = [u8; 16];

/// A message to be written.
pub(super) struct Keyed {
    pub(super) key: Key,
    pub(super) body: Bytes,
    pub(super) due: Timestamp,
}

fn key(queue: &str, id: &str) -> Key {
    let mut hasher = blake3::Hasher::new();
    // No queue has a line break in its name.
    hasher.update(queue.as_bytes()).update(b"\n").update(id.as_bytes());
    let mut key = Key::default();
    hasher.finalize_xof().fill(&mut key);
    key
}

/// Whether the id of a message that was sent then is remembered though the message is gone. A time far
/// ahead is one of a clock that was wrong.
pub(super) fn is_remembered(sent: Timestamp, now: Timestamp) -> bool {
    now.duration_since(sent).abs() < DEDUPE
}

impl Ledger {
    /// Sends messages; gives what became of each, in their order.
    pub fn queue_send(
        &self,
        queue: Arc<str>,
        messages: Vec<NewMessage>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Queued>, LedgerError>> + Send + use<> {
        let bytes: usize = messages.iter().map(|message| message.body.len()).sum();
        let keyed = messages.into_iter().map(|message| Keyed {
            key: key(&queue, &message.id),
            body: message.body,
            due: message.due,
        });
        let keyed: Vec<Keyed> = keyed.collect();
        let bell = self.queue_bell(&queue);
        self.write_many(keyed.len() + bytes / RECORD_BYTES, move |records| {
            let queued = records.queue_send(&queue, &keyed, now)?;
            // Before the commit: who is woken by it asks the same writer, and is answered after it.
            for (message, queued) in keyed.iter().zip(&queued) {
                if *queued == Queued::New {
                    bell.due(message.due);
                }
            }
            Ok(queued)
        })
    }

    /// Receives up to `max` messages that are due; each is the caller's until it is settled, or until
    /// `until`.
    pub fn queue_claim(
        &self,
        queue: Arc<str>,
        max: usize,
        now: Timestamp,
        until: Timestamp,
    ) -> impl Future<Output = Result<Received, LedgerError>> + Send + use<> {
        let max = max.min(CLAIM_MAX);
        let bell = self.queue_bell(&queue);
        self.write_many(max, move |records| {
            let received = records.queue_claim(&queue, max, now, until)?;
            if let Some(next_due) = received.next_due.filter(|_| !received.claimed.is_empty()) {
                bell.due(next_due);
            }
            Ok(received)
        })
    }

    /// Settles messages; `false` for each whose claim is over, and another's.
    pub fn queue_settle(
        &self,
        queue: Arc<str>,
        fates: Vec<(Claim, Fate)>,
    ) -> impl Future<Output = Result<Vec<bool>, LedgerError>> + Send + use<> {
        let bell = self.queue_bell(&queue);
        self.write_many(fates.len(), move |records| {
            let settled = records.queue_settle(&queue, &fates)?;
            for (_, fate) in &fates {
                if let Fate::Again { due } = fate {
                    bell.due(*due);
                }
            }
            Ok(settled)
        })
    }

    /// How many messages there are in a queue.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn queue_depth(&self, queue: Arc<str>, now: Timestamp) -> Result<QueueDepth, LedgerError> {
        self.read(move |records| records.queue_depth(&queue, now)).await
    }

    /// What wakes who waits for messages of a queue.
    pub(crate) fn queue_bell(&self, queue: &Arc<str>) -> Arc<Bell> {
        self.bells.of(queue)
    }
}
