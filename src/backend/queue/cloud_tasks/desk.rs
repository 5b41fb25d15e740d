//! The desk: pushes that wait for somebody who receives, and those that were handed out and wait for
//! what becomes of them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use reqwest::StatusCode;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, futures::Notified, oneshot},
    time::Instant,
};

use crate::backend::queue::broker::{BrokerError, Delivery, QueueName, Receipt};

/// Tasks that are not ours, and are remembered.
const LEFT_MAX: usize = 10_000;

/// The desk.
#[derive(Debug)]
pub(super) struct Desk {
    /// How long a claim lasts.
    pub(super) claim: Duration,
    waiting_max: usize,
    /// Tells the receipts of this process from those of another.
    process: u64,
    next: AtomicU64,
    /// The queues that are used, with the times at which they were made, if they were made here.
    known: Mutex<BTreeMap<QueueName, Option<Instant>>>,
    lines: Mutex<HashMap<QueueName, Arc<Line>>>,
    held: Mutex<HashMap<Receipt, Handed>>,
    /// Tasks that are not ours, with the times until which they are not taken in.
    left: Mutex<HashMap<String, Instant>>,
}

/// The pushes of a queue that nobody has received yet.
#[derive(Debug)]
pub(super) struct Line {
    waiting: Mutex<VecDeque<Push>>,
    room: Arc<Semaphore>,
    arrived: Notify,
}

/// A push.
#[derive(Debug)]
struct Push {
    receipt: Receipt,
    held: Held,
    answer: oneshot::Sender<StatusCode>,
    _room: OwnedSemaphorePermit,
}

/// What a push brought.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The name of the task.
    pub(super) task: String,
    /// The id of the message.
    pub(super) id: Option<String>,
    /// How often the message was handed out, this time included.
    pub(super) deliveries: u32,
    /// What it says.
    pub(super) body: Bytes,
}

/// A push that was handed out.
#[derive(Debug)]
struct Handed {
    held: Held,
    answer: oneshot::Sender<StatusCode>,
}

/// The place of a push at the desk, until it is dropped: then whoever pushed has gone, or has its
/// answer.
#[derive(Debug)]
pub(super) struct Place<'a> {
    desk: &'a Desk,
    line: &'a Line,
    receipt: Receipt,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    pub(super) fn new(claim: Duration, waiting_max: usize) -> Self {
        Self {
            claim,
            waiting_max,
            process: rand::random(),
            next: AtomicU64::default(),
            known: Mutex::default(),
            lines: Mutex::default(),
            held: Mutex::default(),
            left: Mutex::default(),
        }
    }

    /// Remembers a queue that is used.
    pub(super) fn know(&self, queue: &QueueName) {
        lock(&self.known).entry(queue.clone()).or_default();
    }

    /// Remembers that a queue was just made.
    pub(super) fn made(&self, queue: &QueueName) {
        lock(&self.known).insert(queue.clone(), Some(Instant::now()));
    }

    /// Whether a queue was made here, and not longer ago than this.
    pub(super) fn is_new(&self, queue: &QueueName, age_max: Duration) -> bool {
        lock(&self.known).get(queue).copied().flatten().is_some_and(|made| made.elapsed() < age_max)
    }

    /// The queues that are used.
    pub(super) fn known(&self) -> Vec<QueueName> {
        lock(&self.known).keys().cloned().collect()
    }

    /// The line of a queue that is received from.
    pub(super) fn line(&self, queue: &QueueName) -> Arc<Line> {
        let mut lines = lock(&self.lines);
        if let Some(line) = lines.get(queue) {
            return Arc::clone(line);
        }
        self.know(queue);
        let room = Arc::new(Semaphore::new(self.waiting_max));
        let line = Arc::new(Line { waiting: Mutex::default(), room, arrived: Notify::new() });
        lines.insert(queue.clone(), Arc::clone(&line));
        line
    }

    /// The line of a queue, if it is received from.
    pub(super) fn line_of(&self, queue: &str) -> Option<Arc<Line>> {
        let queue = QueueName::parse(queue)?;
        lock(&self.lines).get(&queue).cloned()
    }

    /// Has a push wait. Its answer comes by the receiver.
    pub(super) fn enter<'a>(
        &'a self,
        line: &'a Line,
        held: Held,
        room: OwnedSemaphorePermit,
    ) -> (Place<'a>, oneshot::Receiver<StatusCode>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let receipt = Receipt(format!("{:016x}.{number}/{}", self.process, held.task).into_boxed_str());
        let (answer, answered) = oneshot::channel();
        let place = Place { desk: self, line, receipt: receipt.clone() };
        lock(&line.waiting).push_back(Push { receipt, held, answer, _room: room });
        line.arrived.notify_waiters();
        (place, answered)
    }

    /// Hands out up to `max` pushes.
    pub(super) fn take(&self, line: &Line, max: usize) -> Vec<Delivery> {
        let mut waiting = lock(&line.waiting);
        let count = max.min(waiting.len());
        let taken: Vec<Push> = waiting.drain(..count).collect();
        // Held before the lock is given up: a push is always in one of the two places.
        let mut held = lock(&self.held);
        drop(waiting);
        let handed = taken.into_iter().map(|push| {
            let delivery = Delivery {
                receipt: push.receipt.clone(),
                body: push.held.body.clone(),
                deliveries: push.held.deliveries,
            };
            held.insert(push.receipt, Handed { held: push.held, answer: push.answer });
            delivery
        });
        handed.collect()
    }

    /// What was handed out with a receipt, while the claim holds.
    pub(super) fn held(&self, receipt: &Receipt) -> Result<Held, BrokerError> {
        let held = lock(&self.held);
        let handed = held.get(receipt).filter(|handed| !handed.answer.is_closed());
        handed.map(|handed| handed.held.clone()).ok_or(BrokerError::ClaimOver)
    }

    /// Answers the push of a receipt.
    pub(super) fn answer(&self, receipt: &Receipt, status: StatusCode) -> Result<(), BrokerError> {
        let handed = lock(&self.held).remove(receipt).ok_or(BrokerError::ClaimOver)?;
        handed.answer.send(status).map_err(|_| BrokerError::ClaimOver)
    }

    /// Does not take in the task of a receipt for a while.
    pub(super) fn leave(&self, receipt: &Receipt, how_long: Duration) {
        let Ok(Held { task, .. }) = self.held(receipt) else { return };
        let now = Instant::now();
        let mut left = lock(&self.left);
        if left.len() >= LEFT_MAX {
            left.retain(|_, until| now < *until);
        }
        // With so many at a time, some come a little early.
        if left.len() < LEFT_MAX {
            left.insert(task, now + how_long);
        }
    }

    /// Whether a task is not ours, as far as we have seen.
    pub(super) fn is_left(&self, task: &str) -> bool {
        let mut left = lock(&self.left);
        match left.get(task) {
            Some(until) if Instant::now() < *until => true,
            Some(_) => {
                left.remove(task);
                false
            }
            None => false,
        }
    }
}

impl Line {
    /// Is over when a push came.
    pub(super) fn arrived(&self) -> Notified<'_> {
        self.arrived.notified()
    }

    /// Room for one more push.
    pub(super) fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    fn remove(&self, receipt: &Receipt) -> bool {
        let mut waiting = lock(&self.waiting);
        let at = waiting.iter().position(|push| push.receipt == *receipt);
        at.and_then(|at| waiting.remove(at)).is_some()
    }
}

impl Place<'_> {
    /// Takes the push back, if nobody has received it.
    pub(super) fn withdraw(&self) -> bool {
        self.line.remove(&self.receipt)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.line.remove(&self.receipt) {
            lock(&self.desk.held).remove(&self.receipt);
        }
    }
}
