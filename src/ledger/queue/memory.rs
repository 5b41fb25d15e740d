//! Messages of a ledger in memory.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use foldhash::HashMap;
use jiff::Timestamp;

use super::{
    CLAIM_BYTES_MAX, Claim, Claimed, FORGOTTEN_MAX, Fate, Key, Keyed, QueueDepth, Queued, Received,
    is_remembered,
};
use crate::ledger::{
    memory::Memory,
    records::{ReadQueue, Result, WriteQueue},
};

/// Messages by their number, and by their key; and those of each queue that are there, in order.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Queues {
    messages: BTreeMap<i64, Message>,
    keys: HashMap<Key, i64>,
    order: HashMap<Box<str>, BTreeSet<Place>>,
    last: i64,
    /// Messages with lower numbers were looked at, and are forgotten once they are done with.
    looked_at: i64,
}

#[derive(Debug)]
struct Message {
    queue: Box<str>,
    key: Key,
    /// None when it is done with.
    due: Option<Timestamp>,
    claimed: bool,
    deliveries: u32,
    sent: Timestamp,
    body: Bytes,
}

/// When a message is due, whether somebody has a claim on it until then, and its number.
type Place = (Timestamp, bool, i64);

impl Queues {
    fn send(&mut self, queue: &str, message: &Keyed, now: Timestamp) -> Queued {
        if let Some(seq) = self.keys.get(&message.key).copied() {
            let is_kept = |known: &Message| known.due.is_some() || is_remembered(known.sent, now);
            if self.messages.get(&seq).is_some_and(is_kept) {
                return Queued::Duplicate;
            }
            self.messages.remove(&seq);
        }
        self.last += 1;
        self.keys.insert(message.key, self.last);
        let new = Message {
            queue: queue.into(),
            key: message.key,
            due: None,
            claimed: false,
            deliveries: 0,
            sent: now,
            body: message.body.clone(),
        };
        self.messages.insert(self.last, new);
        self.place(self.last, Some(message.due), false);
        Queued::New
    }

    fn claim(&mut self, queue: &str, max: usize, now: Timestamp, until: Timestamp) -> Received {
        let mut received = Received::default();
        let mut bytes = 0;
        while received.claimed.len() < max
            && bytes < CLAIM_BYTES_MAX
            && let Some((_, _, seq)) = self.first(queue).filter(|(due, ..)| *due <= now)
        {
            self.place(seq, Some(until), true);
            let Some(message) = self.messages.get_mut(&seq) else { break };
            message.deliveries += 1;
            bytes += message.body.len();
            let claim = Claim { seq, deliveries: message.deliveries };
            received.claimed.push(Claimed { claim, body: message.body.clone() });
        }
        received.next_due = self.first(queue).map(|(due, ..)| due);
        received
    }

    fn settle(&mut self, queue: &str, claim: Claim, fate: Fate) -> bool {
        let is_claimed = |message: &Message| {
            message.claimed && message.deliveries == claim.deliveries && *message.queue == *queue
        };
        if !self.messages.get(&claim.seq).is_some_and(is_claimed) {
            return false;
        }
        match fate {
            Fate::Ack => self.acknowledge(claim.seq),
            Fate::Again { due } => self.place(claim.seq, Some(due), false),
            Fate::Extend { until } => self.place(claim.seq, Some(until), true),
        }
        true
    }

    fn acknowledge(&mut self, seq: i64) {
        self.place(seq, None, false);
        if seq < self.looked_at {
            self.forget(seq);
        } else if let Some(message) = self.messages.get_mut(&seq) {
            message.body = Bytes::new();
        }
    }

    fn forget(&mut self, seq: i64) {
        if let Some(message) = self.messages.remove(&seq) {
            self.keys.remove(&message.key);
        }
    }

    fn first(&self, queue: &str) -> Option<Place> {
        self.order.get(queue)?.first().copied()
    }

    /// Gives a message another place in the order of its queue; none when it is done with.
    fn place(&mut self, seq: i64, due: Option<Timestamp>, claimed: bool) {
        let Some(message) = self.messages.get_mut(&seq) else { return };
        let order = self.order.entry(message.queue.clone()).or_default();
        if let Some(before) = message.due {
            order.remove(&(before, message.claimed, seq));
        }
        if let Some(due) = due {
            order.insert((due, claimed, seq));
        }
        (message.due, message.claimed) = (due, claimed);
    }

    /// Forgets keys of messages that are gone; gives how many messages it looked at.
    pub(in crate::ledger) fn prune(&mut self, now: Timestamp) -> usize {
        let rows = self.messages.range(self.looked_at..).take(FORGOTTEN_MAX);
        let past = rows.take_while(|(_, message)| !is_remembered(message.sent, now));
        let past: Vec<(i64, bool)> = past.map(|(seq, message)| (*seq, message.due.is_none())).collect();
        for (seq, is_done) in &past {
            self.looked_at = seq + 1;
            if *is_done {
                self.forget(*seq);
            }
        }
        past.len()
    }

    fn depth(&self, queue: &str, now: Timestamp) -> QueueDepth {
        let mut depth = QueueDepth::default();
        for (due, claimed, _) in self.order.get(queue).into_iter().flatten() {
            let count = match (*due <= now, claimed) {
                (true, _) => &mut depth.ready,
                (false, true) => &mut depth.claimed,
                (false, false) => &mut depth.delayed,
            };
            *count += 1;
        }
        depth
    }
}

impl WriteQueue for Memory {
    fn queue_send(&mut self, queue: &str, messages: &[Keyed], now: Timestamp) -> Result<Vec<Queued>> {
        Ok(messages.iter().map(|message| self.queues.send(queue, message, now)).collect())
    }

    fn queue_claim(&mut self, queue: &str, max: usize, now: Timestamp, until: Timestamp) -> Result<Received> {
        Ok(self.queues.claim(queue, max, now, until))
    }

    fn queue_settle(&mut self, queue: &str, fates: &[(Claim, Fate)]) -> Result<Vec<bool>> {
        Ok(fates.iter().map(|(claim, fate)| self.queues.settle(queue, *claim, *fate)).collect())
    }
}

impl ReadQueue for Memory {
    fn queue_depth(&self, queue: &str, now: Timestamp) -> Result<QueueDepth> {
        Ok(self.queues.depth(queue, now))
    }
}
