//! The line of a queue: what came from Pub/Sub and was not handed out yet, and who waits for it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use crate::backend::queue::broker::{BrokerError, QueueName};

/// A message that came.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Pub/Sub's name of the claim.
    pub(super) ack_id: Box<str>,
    /// What it says.
    pub(super) body: Bytes,
    /// How often it came, as far as Pub/Sub says.
    pub(super) deliveries: u32,
    /// When the claim is over.
    pub(super) until: Instant,
    /// Which pull brought it.
    pub(super) pull: u64,
}

/// The line of a queue.
#[derive(Debug)]
pub(super) struct Line {
    /// The queue.
    pub(super) queue: QueueName,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Arrived>,
    errors: VecDeque<BrokerError>,
    /// Pulls that are under way.
    pulls: usize,
    /// Pulls that there have been.
    begun: u64,
    /// Calls that wait.
    waiting: usize,
}

/// A call that waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat<'a>(&'a Line);

/// A pull that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Pull {
    line: Arc<Line>,
    /// Tells it from others.
    pub(super) number: u64,
}

impl Line {
    pub(super) fn new(queue: QueueName) -> Self {
        Self { queue, state: Mutex::default(), arrived: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat of those who wait.
    pub(super) fn sit(&self) -> Seat<'_> {
        self.lock().waiting += 1;
        Seat(self)
    }

    /// Is over when something came.
    pub(super) fn arrived(&self) -> Notified<'_> {
        self.arrived.notified()
    }

    /// Takes up to `max` messages whose claims hold; an error when a pull brought that instead.
    pub(super) fn take(&self, max: usize, now: Instant) -> Option<Result<Vec<Arrived>, BrokerError>> {
        let mut state = self.lock();
        state.messages.retain(|message| now < message.until);
        if state.messages.is_empty() {
            return state.errors.pop_front().map(Err);
        }
        let count = max.min(state.messages.len());
        Some(Ok(state.messages.drain(..count).collect()))
    }

    /// Begins a pull if more calls wait than pulls are under way, and fewer than `most` are.
    pub(super) fn begin(self: &Arc<Self>, most: usize) -> Option<Pull> {
        let mut state = self.lock();
        if state.pulls >= state.waiting.min(most) {
            return None;
        }
        state.pulls += 1;
        state.begun += 1;
        Some(Pull { line: Arc::clone(self), number: state.begun })
    }

    /// Takes out what a pull brought and nobody took.
    pub(super) fn give_back(&self, pull: u64) -> Vec<Arrived> {
        let mut state = self.lock();
        let (left, kept) = state.messages.drain(..).partition(|message| message.pull == pull);
        state.messages = kept;
        Vec::from(left)
    }
}

impl Pull {
    /// It brought this. An error is only told when somebody waits for it; who comes later asks anew.
    pub(super) fn brought(&self, result: Result<Vec<Arrived>, BrokerError>) {
        let mut state = self.line.lock();
        match result {
            Ok(messages) => state.messages.extend(messages),
            Err(error) if state.errors.len() < state.waiting => state.errors.push_back(error),
            Err(_) => {}
        }
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.line.lock().pulls -= 1;
        // Also those who find nothing: they begin the next pull.
        self.line.arrived.notify_waiters();
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiting -= 1;
        let waiting = state.waiting;
        state.errors.truncate(waiting);
    }
}
