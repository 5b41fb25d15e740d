//! The claims that this process holds.
//!
//! The server does not say when a claim is over: it takes an acknowledgement of any delivery of a message,
//! also when another worker has it by now. So our own clock decides, and a claim that it calls over is
//! not spoken of to the server any more.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_nats::{Message, Subject};
use tokio::time::Instant;

use super::super::broker::{Delivery, QueueName, Receipt};

/// Claims of a queue up to which those that are over are not looked for.
const TIDY_FROM: usize = 1_024;

/// The claims, by queue.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<QueueName, Held>>);

/// The claims on messages of one queue, by the number of the delivery.
#[derive(Debug)]
struct Held {
    claims: HashMap<u64, Claim>,
    tidy_at: usize,
}

#[derive(Debug)]
struct Claim {
    /// Where acknowledgements go; also the receipt.
    reply: Subject,
    over_at: Instant,
}

impl Default for Held {
    fn default() -> Self {
        Self { claims: HashMap::new(), tidy_at: TIDY_FROM }
    }
}

impl Held {
    /// Lets claims go that are over, which nobody settled, when the claims have doubled since the last
    /// time.
    fn tidy(&mut self, now: Instant) {
        if self.claims.len() >= self.tidy_at {
            self.claims.retain(|_, claim| now < claim.over_at);
            self.tidy_at = (self.claims.len() * 2).max(TIDY_FROM);
        }
    }
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, HashMap<QueueName, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns messages that came into deliveries, and holds the claims on them until then.
    pub(super) fn take(&self, queue: &QueueName, came: Vec<Message>, until: Instant) -> Vec<Delivery> {
        let mut held = self.lock();
        if !held.contains_key(queue) {
            held.insert(queue.clone(), Held::default());
        }
        let Some(held) = held.get_mut(queue) else { return Vec::new() };
        let deliveries = came.into_iter().filter_map(|message| {
            let reply = message.reply?;
            let ticket = Ticket::parse(&reply)?;
            let receipt = Receipt(reply.as_str().into());
            held.claims.insert(ticket.number, Claim { reply, over_at: until });
            Some(Delivery { receipt, body: message.payload, deliveries: ticket.deliveries })
        });
        let deliveries = deliveries.collect();
        held.tidy(Instant::now());
        deliveries
    }

    /// Where to settle the claims of these receipts; none for a claim that is over, or never was.
    pub(super) fn find<'a>(
        &self,
        queue: &QueueName,
        receipts: impl Iterator<Item = &'a Receipt>,
    ) -> Vec<Option<Subject>> {
        let now = Instant::now();
        let held = self.lock();
        let held = held.get(queue);
        let find = |receipt: &Receipt| {
            let ticket = Ticket::parse(&receipt.0)?;
            let claim = held?.claims.get(&ticket.number)?;
            (now < claim.over_at && claim.reply.as_str() == receipt.0.as_ref()).then(|| claim.reply.clone())
        };
        receipts.map(find).collect()
    }

    /// The claims last until then.
    pub(super) fn extend<'a>(
        &self,
        queue: &QueueName,
        claims: impl Iterator<Item = &'a str>,
        until: Instant,
    ) {
        self.each(queue, claims, |held, number| {
            if let Some(claim) = held.get_mut(&number) {
                claim.over_at = claim.over_at.max(until);
            }
        });
    }

    /// The claims are given up.
    pub(super) fn forget<'a>(&self, queue: &QueueName, claims: impl Iterator<Item = &'a str>) {
        self.each(queue, claims, |held, number| {
            held.remove(&number);
        });
    }

    fn each<'a>(
        &self,
        queue: &QueueName,
        claims: impl Iterator<Item = &'a str>,
        mut change: impl FnMut(&mut HashMap<u64, Claim>, u64),
    ) {
        if let Some(held) = self.lock().get_mut(queue) {
            claims.filter_map(Ticket::parse).for_each(|ticket| change(&mut held.claims, ticket.number));
        }
    }
}

/// What a server writes into the subject that acknowledgements of a delivery go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// How often the message was handed out.
    deliveries: u32,
    /// The number of the delivery at its consumer.
    number: u64,
}

impl Ticket {
    /// Reads `$JS.ACK.stream.consumer.deliveries.sequence.number.time.pending`, which may have a domain
    /// and the hash of an account before the stream, and then words at the end.
    pub(super) fn parse(reply: &str) -> Option<Self> {
        let words = reply.strip_prefix("$JS.ACK.")?;
        let before = match words.bytes().filter(|byte| *byte == b'.').count() + 1 {
            7 => 2,
            9.. => 4,
            _ => return None,
        };
        let mut words = words.split('.').skip(before);
        let deliveries = words.next()?.parse().ok()?;
        let number = words.nth(1)?.parse().ok()?;
        Some(Self { deliveries, number })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[rustfmt::skip]
    fn tickets_of_all_servers_are_read() {
        let read = |reply: &str| Ticket::parse(reply).map(|ticket| (ticket.deliveries, ticket.number));
        assert_eq!(read("$JS.ACK.jobs.tintal.3.100.7.1790230470084404000.42"), Some((3, 7)));
        assert_eq!(read("$JS.ACK._.hash.jobs.tintal.3.100.7.1790230470084404000.42"), Some((3, 7)));
        assert_eq!(read("$JS.ACK.hub.hash.jobs.tintal.3.100.7.1790230470084404000.42.word"), Some((3, 7)));
        assert_eq!(read("$JS.ACK.jobs.tintal.3.100.7.1790230470084404000"), None);
        assert_eq!(read("$JS.ACK.jobs.tintal.x.100.7.1790230470084404000.42"), None);
        assert_eq!(read("no such"), None);
    }

    fn message(number: u64) -> Message {
        Message {
            subject: "jobs".into(),
            reply: Some(format!("$JS.ACK.jobs.tintal.1.{number}.{number}.0.0").into()),
            payload: "body".into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_is_over_when_its_time_is_or_when_it_is_given_up() {
        let (claims, queue) = (Claims::default(), QueueName::parse("jobs").unwrap());
        let other = QueueName::parse("others").unwrap();
        let time = Duration::from_secs(10);
        let taken = claims.take(&queue, vec![message(1), message(2), message(3)], Instant::now() + time);
        let receipts = || taken.iter().map(|delivery| &delivery.receipt);
        let holds = |queue: &QueueName| {
            claims.find(queue, receipts()).iter().map(Option::is_some).collect::<Vec<_>>()
        };
        assert_eq!(holds(&queue), [true, true, true]);
        assert_eq!(holds(&other), [false, false, false]);
        claims.forget(&queue, receipts().take(1).map(|receipt| receipt.0.as_ref()));
        assert_eq!(holds(&queue), [false, true, true]);
        tokio::time::advance(Duration::from_secs(6)).await;
        let until = Instant::now() + time;
        claims.extend(&queue, receipts().skip(2).map(|receipt| receipt.0.as_ref()), until);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(holds(&queue), [false, false, true]);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(holds(&queue), [false, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn claims_that_nobody_settles_are_not_kept() {
        let (claims, queue) = (Claims::default(), QueueName::parse("jobs").unwrap());
        for number in 0..100_000 {
            claims.take(&queue, vec![message(number)], Instant::now() + Duration::from_millis(100));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(claims.lock()[&queue].claims.len() <= 2 * TIDY_FROM);
    }
}
