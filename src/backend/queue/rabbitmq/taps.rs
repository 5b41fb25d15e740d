//! Where taps are found: by queue for who receives, by the words of a receipt for who settles.

use std::{
    collections::HashMap,
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

use super::{
    super::broker::{QueueName, Receipt},
    tap::Tap,
};

/// A place for a tap; who finds it empty opens one, and others wait for that.
pub(super) type Place = Arc<OnceCell<Arc<Tap>>>;

/// All taps of a client.
#[derive(Debug, Default)]
pub(super) struct Taps {
    /// Those that are handed to.
    current: Mutex<HashMap<QueueName, Place>>,
    /// Those that may have claims.
    all: Mutex<HashMap<u64, Arc<Tap>>>,
}

impl Taps {
    /// The place of a queue's tap.
    pub(super) fn place(&self, queue: &QueueName) -> Place {
        let mut current = lock(&self.current);
        match current.get(queue) {
            Some(place) => Arc::clone(place),
            None => Arc::clone(current.entry(queue.clone()).or_default()),
        }
    }

    /// The tap that a receipt names, and the message on it.
    pub(super) fn find(&self, receipt: &Receipt) -> Option<(Arc<Tap>, u64)> {
        let mut words = receipt.0.split('.');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (process, tap, tag) = (number()?, number()?, number()?);
        if process != u64::from(process::id()) {
            return None;
        }
        lock(&self.all).get(&tap).map(|tap| (Arc::clone(tap), tag))
    }

    pub(super) fn add(&self, tap: &Arc<Tap>) {
        lock(&self.all).insert(tap.id(), Arc::clone(tap));
    }

    /// The next one who receives opens another tap.
    pub(super) fn replace(&self, tap: &Tap) {
        let mut current = lock(&self.current);
        let is_it = |place: &Place| place.get().is_some_and(|held| held.id() == tap.id());
        if current.get(tap.queue()).is_some_and(is_it) {
            current.remove(tap.queue());
        }
    }

    /// There is nothing on it any more.
    pub(super) fn forget(&self, tap: &Tap) {
        self.replace(tap);
        lock(&self.all).remove(&tap.id());
    }

    /// The connection is to be closed.
    pub(super) fn give_up(&self) {
        let taps: Vec<_> = lock(&self.all).values().cloned().collect();
        taps.iter().for_each(|tap| tap.give_up());
    }
}

/// Names a claim. Numbers of taps are not used twice in a process.
pub(super) fn receipt(tap: u64, tag: u64) -> Receipt {
    Receipt(format!("{}.{tap}.{tag}", process::id()).into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
