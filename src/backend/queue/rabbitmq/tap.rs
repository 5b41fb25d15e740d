//! What a queue hands to this process: a channel with consumers on it, and what came by them.
//!
//! A tap stays open from one call that receives to the next, so what is there is at hand. It is given no
//! more than was asked for, and is retired once nobody asks: what lies in it goes back to the queue, and
//! another worker gets it.
//!
//! A message that the server sends while a consumer is cancelled is lost to the client, and comes back
//! when the channel is closed. So a consumer is only cancelled where claims keep the channel open, and
//! the channel is closed with the last of them.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{join_all, maybe_done},
};
use lapin::{
    Channel, Consumer,
    message::Delivery as Message,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
        QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};
use tokio::{
    sync::Notify,
    time::{timeout, timeout_at},
};

use super::{
    super::broker::{BrokerError, Delivery, Effect, QueueName},
    fault,
    link::{ANSWER_MAX, Link, answered},
    send::deliveries,
    shelf::{End, Given, Shelf, Stage, Taken, Word},
    taps::{Taps, receipt},
};

/// Messages that are taken over from the client before those who wait are told.
const BATCH_MAX: usize = 1_000;

/// How long a new consumer is waited for at least, however short a caller would wait: what is there is
/// not known before.
const OPENING_MIN: Duration = Duration::from_secs(2);

/// How long after that a message is waited for: those that are there come right behind.
const FIRST_MIN: Duration = Duration::from_millis(50);

/// The last number that a tap of this process got.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

/// A channel that a queue is consumed on.
#[derive(Debug)]
pub(super) struct Tap {
    id: u64,
    queue: QueueName,
    channel: Channel,
    claim: Duration,
    consumers: AtomicU32,
    shelf: Mutex<Shelf>,
    /// For those who receive.
    arrived: Notify,
    /// For the keeper.
    changed: Notify,
}

/// What came of a look at a tap.
#[derive(Debug)]
pub(super) enum Look {
    /// These were there, or none.
    Taken(Vec<Delivery>),
    /// Nothing comes any more; there is to be another tap.
    Retired,
}

impl Tap {
    /// Opens a tap. Nothing comes before somebody asks.
    pub(super) async fn open(
        link: &Link,
        queue: &QueueName,
        claim: Duration,
        taps: &Arc<Taps>,
    ) -> Result<Arc<Self>, BrokerError> {
        let tap = Arc::new(Self {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed) + 1,
            queue: queue.clone(),
            channel: link.channel().await?,
            claim,
            consumers: AtomicU32::new(0),
            shelf: Mutex::new(Shelf::new(Instant::now())),
            arrived: Notify::new(),
            changed: Notify::new(),
        });
        taps.add(&tap);
        tokio::spawn(Arc::clone(&tap).keep(Arc::downgrade(taps)));
        Ok(tap)
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn queue(&self) -> &QueueName {
        &self.queue
    }

    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server may still hold what was claimed here for us.
    pub(super) fn is_alive(&self) -> bool {
        self.channel.status().connected()
    }

    /// Whether there is nothing on it, and never will be.
    pub(super) fn is_over(&self) -> bool {
        !self.is_alive() || matches!(self.shelf().stage, Stage::Over(_))
    }

    /// When a claim ends that begins now.
    pub(super) fn claim_until(&self) -> Instant {
        Instant::now() + self.claim
    }

    /// Waits until there is something; what is handed out is claimed.
    pub(super) async fn receive(
        self: &Arc<Self>,
        max: usize,
        deadline: Instant,
    ) -> Result<Look, BrokerError> {
        let start = Instant::now();
        let _asking = self.ask(max);
        loop {
            let mut arrived = pin!(self.arrived.notified());
            arrived.as_mut().enable();
            match self.take(max)? {
                Look::Taken(taken) if taken.is_empty() => {}
                look => return Ok(look),
            }
            let is_opening = self.shelf().opening > 0;
            let until = deadline.max(start + if is_opening { OPENING_MIN } else { FIRST_MIN });
            if timeout_at(until.into(), arrived).await.is_ok() {
                continue;
            }
            return self.take(max);
        }
    }

    fn ask(self: &Arc<Self>, max: usize) -> Asking<'_> {
        let need = self.shelf().ask(max);
        if need > 0 {
            let number = self.consumers.fetch_add(1, Ordering::Relaxed);
            let credit = u16::try_from(need).unwrap_or(u16::MAX);
            // A task of its own: a consumer that is begun and not read would keep what it is given.
            tokio::spawn(Arc::clone(self).consume(credit, number));
        }
        Asking { tap: self, max }
    }

    fn take(&self, max: usize) -> Result<Look, BrokerError> {
        let mut shelf = self.shelf();
        match &shelf.stage {
            Stage::Open => {}
            Stage::Retired => return Ok(Look::Retired),
            Stage::Over(why) => return Err(why.clone()),
        }
        let taken = shelf.take(max, self.claim_until());
        drop(shelf);
        let delivery =
            |Taken { tag, body, deliveries }| Delivery { receipt: receipt(self.id, tag), body, deliveries };
        Ok(Look::Taken(taken.into_iter().map(delivery).collect()))
    }

    async fn consume(self: Arc<Self>, credit: u16, number: u32) {
        match self.begin(credit, number).await {
            Ok(consumer) => {
                self.shelf().opening -= 1;
                self.arrived.notify_waiters();
                self.pump(consumer).await;
            }
            Err(error) => self.end(error),
        }
    }

    async fn begin(&self, credit: u16, number: u32) -> Result<Consumer, BrokerError> {
        let (queue, tag) = (self.queue.as_str().into(), consumer_tag(number));
        let qos = self.channel.basic_qos(credit, BasicQosOptions::default());
        let consume =
            self.channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default());
        let (mut qos, mut consume) = (pin!(maybe_done(qos)), pin!(maybe_done(consume)));
        // The credit is that of the consumer which is begun next on the channel, so nobody may come
        // between.
        poll_fn(|cx| {
            let _shelf = self.shelf();
            let _ = qos.as_mut().poll(cx);
            let _ = consume.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
        let begun = async {
            qos.as_mut().await;
            consume.as_mut().await;
            qos.take_output().transpose()?;
            consume.take_output().transpose()
        };
        answered(begun, Effect::None).await?.ok_or_else(|| fault::no_answer(Effect::None, ANSWER_MAX))
    }

    /// Takes over what comes, until nothing comes any more.
    async fn pump(&self, mut consumer: Consumer) {
        while let Some(first) = consumer.next().await {
            let mut batch = Vec::new();
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Ok(message) => batch.push(message),
                    Err(error) => return self.end(fault::of(&error, Effect::None)),
                }
                next = if batch.len() < BATCH_MAX { consumer.next().now_or_never().flatten() } else { None };
            }
            self.put(batch);
        }
        if self.is_alive() {
            self.end(fault::refused(format!("the queue `{}` was deleted", self.queue)));
        } else {
            self.give_up();
        }
    }

    fn put(&self, messages: Vec<Message>) {
        let given = |message: Message| {
            let deliveries = deliveries(&message.properties, message.redelivered);
            let given = Given { body: Bytes::from(message.data), properties: message.properties, deliveries };
            (message.delivery_tag, given)
        };
        let given: Vec<_> = messages.into_iter().map(given).collect();
        let now = Instant::now();
        let mut shelf = self.shelf();
        if shelf.stage != Stage::Open {
            self.give_back(given.into_iter().map(|(tag, _)| tag));
            return;
        }
        for (tag, given) in given {
            shelf.put(tag, given, now);
        }
        drop(shelf);
        self.arrived.notify_waiters();
    }

    fn give_back(&self, tags: impl IntoIterator<Item = u64>) {
        let word = |tag| Word { tag, multiple: false, end: End::Back };
        self.say(tags.into_iter().map(word));
    }

    /// Puts words in line for the server, in their order. They leave though nobody waits for it.
    fn say(&self, words: impl IntoIterator<Item = Word>) {
        for Word { tag, multiple, end } in words {
            // Polled once, they are in line. A channel that is gone settles nothing, and has nothing.
            let _ = match end {
                End::Done => self.channel.basic_ack(tag, BasicAckOptions { multiple }).now_or_never(),
                End::Back => {
                    let options = BasicNackOptions { multiple, requeue: true };
                    self.channel.basic_nack(tag, options).now_or_never()
                }
            };
        }
    }

    /// Ends claims, and waits until the server has done so.
    pub(super) async fn settle(&self, ends: &BTreeMap<u64, End>) -> Result<(), BrokerError> {
        {
            // One lock for both: a word for many must not overtake one that went before.
            let mut shelf = self.shelf();
            let words = shelf.end(ends);
            self.say(words);
        }
        self.changed.notify_one();
        // What was said is not answered. This is, by the queue itself, after it.
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let asking = self.channel.queue_declare(self.queue.as_str().into(), options, FieldTable::default());
        answered(asking, Effect::Unknown).await.map(|_| ())
    }

    /// The connection is gone, or is to be.
    pub(super) fn give_up(&self) {
        self.end(fault::unreachable(Effect::None, "the connection was lost"));
    }

    /// Nothing comes any more. A consumer that we cancelled is no news.
    fn end(&self, why: BrokerError) {
        let mut shelf = self.shelf();
        let is_known = match shelf.stage {
            Stage::Open => false,
            Stage::Retired => self.is_alive(),
            Stage::Over(_) => true,
        };
        if !is_known {
            shelf.close(why);
        }
        drop(shelf);
        self.arrived.notify_waiters();
        self.changed.notify_one();
    }

    /// Gives back what is over, or what nobody asks for, until there is nothing left.
    async fn keep(self: Arc<Self>, taps: Weak<Taps>) {
        loop {
            let due = {
                let mut shelf = self.shelf();
                let is_done = match shelf.stage {
                    Stage::Open => false,
                    Stage::Retired => !shelf.has_claims(),
                    Stage::Over(_) => true,
                };
                if is_done {
                    break;
                }
                let now = Instant::now();
                let over = shelf.expired(now);
                self.say(shelf.end(&over));
                if shelf.is_idle(now) { None } else { Some(shelf.due()) }
            };
            match due {
                None => self.retire(&taps).await,
                Some(None) => self.changed.notified().await,
                Some(Some(at)) => {
                    // Either is a reason to look again.
                    let _ = timeout_at(at.into(), self.changed.notified()).await;
                }
            }
        }
        if let Some(taps) = taps.upgrade() {
            taps.forget(&self);
        }
        // With it goes back what is not settled. One that does not answer is gone with its connection.
        let _ = timeout(ANSWER_MAX, self.channel.close(200, "done".into())).await;
    }

    async fn retire(&self, taps: &Weak<Taps>) {
        if let Some(taps) = taps.upgrade() {
            taps.replace(self);
        }
        {
            let mut shelf = self.shelf();
            if !shelf.is_idle(Instant::now()) {
                return;
            }
            let fresh = shelf.retire();
            if !shelf.has_claims() {
                return;
            }
            self.give_back(fresh);
        }
        let count = self.consumers.load(Ordering::Relaxed);
        let cancel = |number| {
            let cancelling = self.channel.basic_cancel(consumer_tag(number), BasicCancelOptions::default());
            answered(cancelling, Effect::Unknown)
        };
        // Those that fail do so with their channel.
        let _ = join_all((0..count).map(cancel)).await;
    }
}

/// Somebody who receives, as long as it lasts.
#[derive(Debug)]
struct Asking<'a> {
    tap: &'a Tap,
    max: usize,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.tap.shelf().stop_asking(self.max, Instant::now());
        self.tap.changed.notify_one();
    }
}

fn consumer_tag(number: u32) -> ShortString {
    number.to_string().into()
}
