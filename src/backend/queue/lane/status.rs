//! How a lane of the outbox does, for those who look.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::super::{breaker::Breaker, broker::QueueName};

/// How a lane does, for those who look.
#[derive(Debug, Default)]
pub struct LaneStatus {
    state: Mutex<LaneState>,
    queues: watch::Sender<BTreeSet<QueueName>>,
}

/// How a lane does.
#[derive(Debug, Clone, Default)]
pub struct LaneState {
    /// The breaker.
    pub breaker: Breaker,
    /// What the last call failed with, until one is answered.
    pub failure: Option<String>,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// What answered last: its kind and version.
    pub server: Option<String>,
    /// Runs that wait to be sent.
    pub waiting: usize,
    /// Runs that were sent since the start.
    pub sent: u64,
    /// Runs that ran on a lighter tier since the start, as their manifests allow.
    pub degraded: u64,
    /// Whether nothing is sent, as there is no room for dead letters.
    pub is_full: bool,
}

impl LaneStatus {
    /// How it does.
    #[must_use]
    pub fn get(&self) -> LaneState {
        self.lock().clone()
    }

    /// The queues that messages were sent to.
    #[must_use]
    pub fn queues(&self) -> watch::Receiver<BTreeSet<QueueName>> {
        self.queues.subscribe()
    }

    /// Takes note that there are messages on a queue.
    pub fn add_queue(&self, queue: &QueueName) {
        self.queues.send_if_modified(|queues| queues.insert(queue.clone()));
    }

    /// Takes note whether there is room for dead letters.
    pub fn set_full(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
