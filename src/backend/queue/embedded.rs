//! The queue that needs no server: messages are in the ledger. The default.

use std::{pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};

use super::broker::{
    Broker, BrokerError, Capabilities, Delivery, Depth, Effect, Health, Message, Order, QueueName, Receipt,
    Sent, Settlement, Verdict,
};
use crate::ledger::{
    Claim, Claimed, Fate, Ledger, LedgerError, NewMessage, Queued,
    queue::{CLAIM_MAX, DEDUPE},
};

/// What it does by itself.
pub const CAPABILITIES: Capabilities = Capabilities {
    // No limit but that of time.
    delay: Duration::from_secs(100 * 365 * 24 * 3_600),
    dedupe: DEDUPE.unsigned_abs(),
    order: Order::Queue,
    extends: true,
    counts: true,
    body_max: 16 * 1024 * 1024,
};

/// Most messages in one transaction, so that others get their turn.
const BATCH_MAX: usize = 1_000;

/// Bytes of messages after which a transaction takes no more.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a message that is not ours is left alone.
const LEFT: SignedDuration = SignedDuration::from_mins(5);

/// Queues in a ledger.
#[derive(Debug, Clone)]
pub struct EmbeddedBroker {
    ledger: Ledger,
    now: fn() -> Timestamp,
    claim: SignedDuration,
}

impl EmbeddedBroker {
    /// Queues in this ledger; a claim lasts this long.
    #[must_use]
    pub fn new(ledger: Ledger, now: fn() -> Timestamp, claim: Duration) -> Self {
        Self { ledger, now, claim: SignedDuration::try_from(claim).unwrap_or(SignedDuration::MAX) }
    }

    fn after(&self, wait: SignedDuration) -> Timestamp {
        (self.now)().saturating_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// Takes what is due; says when more is.
    async fn take(&self, queue: &Arc<str>, max: usize) -> Result<(Vec<Delivery>, Timestamp), BrokerError> {
        let (now, until) = ((self.now)(), self.after(self.claim));
        let claimed = self.ledger.queue_claim(Arc::clone(queue), max, now, until);
        let received = claimed.await.map_err(|error| failed(&error))?;
        let deliveries = received.claimed.into_iter().map(delivery).collect();
        Ok((deliveries, received.next_due.unwrap_or(Timestamp::MAX)))
    }

    fn fate(&self, verdict: Verdict) -> Fate {
        match verdict {
            Verdict::Ack => Fate::Ack,
            Verdict::Retry { after } => Fate::Again {
                due: self.after(SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX)),
            },
            Verdict::Extend => Fate::Extend { until: self.after(self.claim) },
            Verdict::Leave => Fate::Again { due: self.after(LEFT) },
        }
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn ensure(&self, _: &QueueName) -> Result<(), BrokerError> {
        // A queue is there with its first message.
        Ok(())
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        let queue: Arc<str> = queue.as_str().into();
        let mut results = Vec::with_capacity(messages.len());
        for batch in batches(messages) {
            if let [Message { body, .. }] = batch
                && body.len() > CAPABILITIES.body_max
            {
                results.push(Err(too_large(body.len())));
                continue;
            }
            let now = (self.now)();
            let new = batch.iter().map(|message| NewMessage {
                id: message.id.clone(),
                body: message.body.clone(),
                due: message.not_before.map_or(now, |not_before| not_before.max(now)),
            });
            match self.ledger.queue_send(Arc::clone(&queue), new.collect(), now).await {
                Ok(queued) => results.extend(queued.into_iter().map(|queued| Ok(sent(queued)))),
                Err(error) => results.extend(batch.iter().map(|_| Err(failed(&error)))),
            }
        }
        results
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        let queue: Arc<str> = queue.as_str().into();
        let end = Instant::now().checked_add(wait);
        let bell = self.ledger.queue_bell(&queue);
        let mut sleeper = bell.sleeper();
        loop {
            sleeper.looks();
            let mut rung = pin!(bell.rung());
            rung.as_mut().enable();
            let (deliveries, next_due) = self.take(&queue, max.min(CLAIM_MAX)).await?;
            if !deliveries.is_empty() || max == 0 {
                sleeper.until(Timestamp::MAX);
                return Ok(deliveries);
            }
            sleeper.until(next_due);
            let until_due = next_due.duration_since((self.now)()).max(SignedDuration::ZERO).unsigned_abs();
            let due = Instant::now().checked_add(until_due);
            tokio::select! {
                () = rung => {}
                () = sleep_to(due) => {}
                () = sleep_to(end) => return Ok(Vec::new()),
            }
        }
    }

    async fn settle(&self, queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        let queue: Arc<str> = queue.as_str().into();
        let mut results = Vec::with_capacity(settlements.len());
        for batch in settlements.chunks(BATCH_MAX) {
            let fates = batch.iter().map(|Settlement { receipt, verdict }| {
                let none = Claim { seq: -1, deliveries: 0 };
                (claim(receipt).unwrap_or(none), self.fate(*verdict))
            });
            match self.ledger.queue_settle(Arc::clone(&queue), fates.collect()).await {
                Ok(settled) => {
                    let result = |settled| if settled { Ok(()) } else { Err(BrokerError::ClaimOver) };
                    results.extend(settled.into_iter().map(result));
                }
                Err(error) => results.extend(batch.iter().map(|_| Err(failed(&error)))),
            }
        }
        results
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        let depth = self.ledger.queue_depth(queue.as_str().into(), (self.now)()).await;
        let depth = depth.map_err(|error| failed(&error))?;
        Ok(Depth { ready: depth.ready, claimed: Some(depth.claimed), delayed: Some(depth.delayed) })
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        match self.ledger.trouble() {
            Some(reason) => Err(BrokerError::Unreachable { effect: Effect::None, reason }),
            None => Ok(Health { server: "the ledger".to_owned() }),
        }
    }
}

/// Messages in transactions of a bounded size; one that is too large by itself.
fn batches(messages: &[Message]) -> impl Iterator<Item = &[Message]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |(number, message): &(usize, &Message)| {
            bytes += message.body.len();
            *number == 0 || bytes <= BATCH_BYTES_MAX
        };
        let count = rest.iter().take(BATCH_MAX).enumerate().take_while(fits).count();
        let (batch, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(batch).filter(|batch| !batch.is_empty())
    })
}

fn sent(queued: Queued) -> Sent {
    match queued {
        Queued::New => Sent::New,
        Queued::Duplicate => Sent::Duplicate,
    }
}

fn delivery(Claimed { claim, body }: Claimed) -> Delivery {
    let receipt = Receipt(format!("{}.{}", claim.seq, claim.deliveries).into());
    Delivery { receipt, body, deliveries: claim.deliveries }
}

fn claim(Receipt(receipt): &Receipt) -> Option<Claim> {
    let (seq, deliveries) = receipt.split_once('.')?;
    Some(Claim { seq: seq.parse().ok()?, deliveries: deliveries.parse().ok()? })
}

fn too_large(bytes: usize) -> BrokerError {
    let reason = format!("a message of {bytes} bytes: at most {} fit", CAPABILITIES.body_max);
    BrokerError::Refused { reason }
}

/// What failed was rolled back, unless nobody is left to say so.
fn failed(error: &LedgerError) -> BrokerError {
    let effect = if let LedgerError::Closed = error { Effect::Unknown } else { Effect::None };
    let because = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    BrokerError::Unreachable { effect, reason: format!("{error}{because}") }
}

async fn sleep_to(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{engine::clock, ledger::Location};

    /// Longer than anything here takes.
    const LONG: Duration = Duration::from_secs(60);

    fn broker(claim: Duration) -> EmbeddedBroker {
        EmbeddedBroker::new(Ledger::open(&Location::Memory).unwrap(), clock::now, claim)
    }

    fn jobs() -> QueueName {
        QueueName::parse("jobs").unwrap()
    }

    fn message(id: &str) -> Message {
        Message { id: id.to_owned(), body: Bytes::from(id.to_owned()), not_before: None, key: None }
    }

    async fn send(broker: &EmbeddedBroker, id: &str) {
        assert_eq!(broker.send(&jobs(), &[message(id)]).await, [Ok(Sent::New)]);
    }

    #[tokio::test]
    async fn one_who_waits_is_woken_by_a_message() {
        let (broker, queue) = (broker(LONG), jobs());
        let start = Instant::now();
        let (came, ()) = tokio::join!(broker.receive(&queue, 1, LONG), send(&broker, "a"));
        assert_eq!(came.unwrap().len(), 1);
        assert!(start.elapsed() < LONG / 2);
    }

    #[tokio::test]
    async fn one_who_waits_is_woken_by_the_end_of_a_claim_that_began_meanwhile() {
        let (broker, queue) = (broker(Duration::from_millis(100)), jobs());
        let start = Instant::now();
        let other = async {
            send(&broker, "a").await;
            // Before the other is awake.
            assert_eq!(broker.receive(&queue, 1, LONG).await.unwrap().len(), 1);
        };
        let (came, ()) = tokio::join!(broker.receive(&queue, 1, LONG), other);
        assert_eq!(came.unwrap()[0].deliveries, 2);
        assert!(start.elapsed() < LONG / 2);
    }

    #[tokio::test]
    async fn what_wakes_one_who_goes_away_wakes_another() {
        let (broker, queue) = (broker(LONG), jobs());
        let start = Instant::now();
        let (mut one, mut two) = (broker.receive(&queue, 1, LONG), broker.receive(&queue, 1, LONG));
        assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
        send(&broker, "a").await;
        drop(one);
        assert_eq!(two.await.unwrap().len(), 1);
        assert!(start.elapsed() < LONG / 2);
    }

    #[tokio::test]
    async fn one_who_takes_all_it_may_wakes_the_next() {
        let (broker, queue) = (broker(LONG), jobs());
        let start = Instant::now();
        let both = async { broker.send(&queue, &[message("a"), message("b")]).await };
        let (one, two, _) =
            tokio::join!(broker.receive(&queue, 1, LONG), broker.receive(&queue, 1, LONG), both);
        assert_eq!((one.unwrap().len(), two.unwrap().len()), (1, 1));
        assert!(start.elapsed() < LONG / 2);
    }

    #[tokio::test]
    async fn one_who_waits_is_woken_by_what_is_given_back() {
        let (broker, queue) = (broker(LONG), jobs());
        send(&broker, "a").await;
        let start = Instant::now();
        let claimed = broker.receive(&queue, 1, LONG).await.unwrap().remove(0);
        let again = Settlement {
            receipt: claimed.receipt,
            verdict: Verdict::Retry { after: Duration::from_millis(10) },
        };
        let settlements = [again];
        let settled = broker.settle(&queue, &settlements);
        let (came, settled) = tokio::join!(broker.receive(&queue, 1, LONG), settled);
        assert_eq!((came.unwrap()[0].deliveries, settled), (2, vec![Ok(())]));
        assert!(start.elapsed() < LONG / 2);
    }

    #[test]
    fn what_is_sent_together_is_cut_into_transactions() {
        let sized = |bytes: usize| Message { body: Bytes::from(vec![0; bytes]), ..message("a") };
        let mib = 1024 * 1024;
        let lengths = |sizes: &[usize]| -> Vec<usize> {
            let messages: Vec<Message> = sizes.iter().map(|bytes| sized(*bytes)).collect();
            batches(&messages).map(<[Message]>::len).collect()
        };
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&vec![0; 2_001]), [1_000, 1_000, 1]);
        assert_eq!(lengths(&[0, 17 * mib, 0, 0]), [1, 1, 2]);
        assert_eq!(lengths(&[2 * mib, 2 * mib, 1, 3 * mib]), [2, 2]);
    }

    #[tokio::test]
    async fn only_what_is_too_large_is_refused() {
        let (broker, queue) = (broker(LONG), jobs());
        let large = Message { body: Bytes::from(vec![0; CAPABILITIES.body_max + 1]), ..message("large") };
        let results = broker.send(&queue, &[message("a"), large, message("b")]).await;
        assert!(
            matches!(results[..], [Ok(Sent::New), Err(BrokerError::Refused { .. }), Ok(Sent::New)]),
            "{results:?}"
        );
    }
}
