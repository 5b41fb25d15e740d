//! What waits in a lane of the outbox, by when it is to be sent.
//!
//! Pure: the time is an argument.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::{
    backend::Submission,
    manifest::name::JobName,
    run::{Cause, RunId},
};

/// A run that waits to be a message.
#[derive(Debug, Clone)]
pub struct Item {
    /// The run, with the attempt that is to be made.
    pub submission: Submission,
    /// Not to be begun before this.
    pub due: Timestamp,
    /// Whether it was tried to send it, and it is not known what came of that.
    pub may_be_sent: bool,
}

/// The order of two that are due at once is that of their coming.
type Key = (Timestamp, u64);

/// What waits.
#[derive(Debug, Default)]
pub struct Waiting {
    items: BTreeMap<Key, Item>,
    by_job: HashMap<JobName, Vec<Key>>,
    count: u64,
}

impl Waiting {
    /// Takes one in.
    pub fn add(&mut self, item: Item) {
        self.count += 1;
        let key = (item.due, self.count);
        self.by_job.entry(item.submission.key.job.clone()).or_default().push(key);
        self.items.insert(key, item);
    }

    /// Takes out the first that are due at `now`, at most so many.
    pub fn take_due(&mut self, now: Timestamp, max: usize) -> Vec<Item> {
        let due: Vec<Key> = self.items.range(..=(now, u64::MAX)).take(max).map(|(key, _)| *key).collect();
        due.into_iter().filter_map(|key| self.remove(key)).collect()
    }

    /// When the next one is due.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.items.keys().next().map(|(due, _)| *due)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes out a run.
    pub fn take_run(&mut self, run: RunId) -> Option<Item> {
        let key = self.items.iter().find(|(_, item)| item.submission.id == run).map(|(key, _)| *key)?;
        self.remove(key)
    }

    /// Takes out the runs of a job that `is_over` says so of.
    pub fn take_of_job(&mut self, job: &JobName, is_over: impl Fn(&Item) -> bool) -> Vec<Item> {
        let keys = self.by_job.get(job).cloned().unwrap_or_default();
        let over = keys.into_iter().filter(|key| self.items.get(key).is_some_and(&is_over));
        let over: Vec<Key> = over.collect();
        over.into_iter().filter_map(|key| self.remove(key)).collect()
    }

    /// Takes out all that `is_over` says so of.
    pub fn take_all(&mut self, is_over: impl Fn(&Item) -> bool) -> Vec<Item> {
        let over: Vec<Key> =
            self.items.iter().filter(|(_, item)| is_over(item)).map(|(key, _)| *key).collect();
        over.into_iter().filter_map(|key| self.remove(key)).collect()
    }

    fn remove(&mut self, key: Key) -> Option<Item> {
        let item = self.items.remove(&key)?;
        let job = &item.submission.key.job;
        if let Some(keys) = self.by_job.get_mut(job) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_job.remove(job);
            }
        }
        Some(item)
    }
}

impl Item {
    /// Whether the run is a fire of a schedule, of which no attempt was made yet: a newer one may take
    /// its place, and it may come too late.
    #[must_use]
    pub fn is_fresh_fire(&self) -> bool {
        is_first_of_fire(&self.submission) && !self.may_be_sent
    }
}

/// Whether a run is a fire of a schedule, and its first attempt is to be made. All others keep their
/// places until they are sent: a person asked for them, or an attempt was made before.
#[must_use]
pub fn is_first_of_fire(submission: &Submission) -> bool {
    submission.key.cause == Cause::Schedule && submission.attempt == 1
}
