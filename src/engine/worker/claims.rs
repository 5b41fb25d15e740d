//! The messages that a worker has claimed and not settled, and the runs of them that go on.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use crate::{
    backend::queue::{broker::Receipt, report::AttemptId},
    run::RunId,
};

/// Why a run is told to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Halt {
    /// It is not.
    #[default]
    No,
    /// A person does not want it.
    Cancelled,
    /// The worker ends: another one is to run it.
    Drained,
}

/// The claims of one queue.
#[derive(Debug, Default)]
pub struct Claims {
    held: Mutex<HashMap<Receipt, Held>>,
}

#[derive(Debug, Clone)]
struct Held {
    attempt: Option<AttemptId>,
    /// Since when it runs.
    started_at: Option<Timestamp>,
    reply_to: Option<Arc<str>>,
}

/// An attempt that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Going {
    /// Which one.
    pub attempt: AttemptId,
    /// Since when.
    pub started_at: Timestamp,
    /// Where its outcome goes.
    pub reply_to: Option<Arc<str>>,
}

impl Claims {
    /// A message was claimed.
    pub fn add(&self, receipt: Receipt) {
        self.lock().insert(receipt, Held { attempt: None, started_at: None, reply_to: None });
    }

    /// The attempt that a claimed message asks for runs.
    pub fn runs(&self, receipt: &Receipt, going: Going) {
        if let Some(held) = self.lock().get_mut(receipt) {
            let Going { attempt, started_at, reply_to } = going;
            *held = Held { attempt: Some(attempt), started_at: Some(started_at), reply_to };
        }
    }

    /// A message was settled, or its claim is over.
    pub fn remove(&self, receipt: &Receipt) {
        self.lock().remove(receipt);
    }

    /// Every claim.
    #[must_use]
    pub fn receipts(&self) -> Vec<Receipt> {
        self.lock().keys().cloned().collect()
    }

    /// The attempts that run.
    #[must_use]
    pub fn going(&self) -> Vec<Going> {
        let held = self.lock();
        let going = held.values().filter_map(|held| {
            let (attempt, started_at) = (held.attempt?, held.started_at?);
            Some(Going { attempt, started_at, reply_to: held.reply_to.clone() })
        });
        going.collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Receipt, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The attempts that a worker has begun and not told the end of yet: it does not remember them, and a
/// message of one that comes once more, as when a queue system was away, must not have it made again.
#[derive(Debug, Default)]
pub struct UnderWay(Mutex<HashSet<AttemptId>>);

impl UnderWay {
    /// An attempt begins; `false` when it has begun already.
    pub fn enter(&self, attempt: AttemptId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt)
    }

    /// The end of attempts is told, or they are given back.
    pub fn leave(&self, attempts: impl IntoIterator<Item = AttemptId>) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for attempt in attempts {
            under_way.remove(&attempt);
        }
    }
}

/// The runs of a worker that can be told to stop.
#[derive(Debug, Default)]
pub struct Stops {
    runs: Mutex<BTreeMap<RunId, Stop>>,
    /// Runs that are to stop as soon as they begin.
    barred: Mutex<BTreeSet<RunId>>,
    emptied: Notify,
}

/// Runs that were stopped before they began and are kept in mind: those whose messages a worker has and
/// has no room for yet.
const BARRED_MAX: usize = 10_000;

#[derive(Debug)]
struct Stop {
    told: watch::Sender<bool>,
    why: Halt,
}

impl Stops {
    /// A run goes on; gives what tells it to stop. None when it goes on already.
    pub fn enter(&self, run: RunId) -> Option<watch::Receiver<bool>> {
        let mut runs = self.lock();
        if runs.contains_key(&run) {
            return None;
        }
        let is_barred = self.barred().remove(&run);
        let told = watch::Sender::new(is_barred);
        let stop = told.subscribe();
        let why = if is_barred { Halt::Cancelled } else { Halt::No };
        runs.insert(run, Stop { told, why });
        Some(stop)
    }

    /// A run has ended; gives why it was told to.
    pub fn leave(&self, run: RunId) -> Halt {
        let mut runs = self.lock();
        let why = runs.remove(&run).map(|stop| stop.why).unwrap_or_default();
        if runs.is_empty() {
            self.emptied.notify_waiters();
        }
        why
    }

    /// Tells a run to stop; `false` when it does not go on here.
    pub fn cancel(&self, run: RunId) -> bool {
        self.lock().get_mut(&run).map(|stop| stop.halt(Halt::Cancelled)).is_some()
    }

    /// Tells a run to stop as soon as it begins, if it does not go on yet; `true` when it does.
    pub fn bar(&self, run: RunId) -> bool {
        let mut runs = self.lock();
        if let Some(stop) = runs.get_mut(&run) {
            stop.halt(Halt::Cancelled);
            return true;
        }
        let mut barred = self.barred();
        if barred.len() >= BARRED_MAX {
            barred.pop_first();
        }
        barred.insert(run);
        false
    }

    /// Tells all of them to stop.
    pub fn drain(&self) {
        self.lock().values_mut().for_each(|stop| stop.halt(Halt::Drained));
    }

    /// How many go on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none goes on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until none goes on.
    pub async fn drained(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn barred(&self) -> MutexGuard<'_, BTreeSet<RunId>> {
        self.barred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Stop>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stop {
    fn halt(&mut self, why: Halt) {
        if self.why == Halt::No {
            self.why = why;
        }
        self.told.send_replace(true);
    }
}
