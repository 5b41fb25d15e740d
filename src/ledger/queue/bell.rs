//! Wakes who waits for a message, at the instant that it is due, and no more of them than needed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::{Notify, futures::Notified};

/// The bells of all queues.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Bells(Mutex<HashMap<Arc<str>, Arc<Bell>>>);

impl Bells {
    pub(in crate::ledger) fn of(&self, queue: &Arc<str>) -> Arc<Bell> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(queue) {
            return Arc::clone(bell);
        }
        Arc::clone(bells.entry(Arc::clone(queue)).or_default())
    }
}

/// Where those wait that receive from one queue. Each says until when it sleeps; a message that is due
/// before the first of them wakes up by itself wakes one.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    notify: Notify,
    /// How many sleep until when.
    sleepers: Mutex<BTreeMap<Timestamp, usize>>,
}

/// One who waits. While it lasts, no message that is due goes without somebody who is awake.
#[derive(Debug)]
pub(crate) struct Sleeper<'a> {
    bell: &'a Bell,
    until: Timestamp,
    /// What it woke up for, and has not looked at yet.
    owed: Timestamp,
}

impl Bell {
    fn sleepers(&self) -> MutexGuard<'_, BTreeMap<Timestamp, usize>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is due then.
    pub(crate) fn due(&self, at: Timestamp) {
        let is_heard = self.sleepers().first_key_value().is_none_or(|(first, _)| *first <= at);
        if !is_heard {
            self.notify.notify_one();
        }
    }

    /// One who waits, and is awake.
    pub(crate) fn sleeper(&self) -> Sleeper<'_> {
        let until = Timestamp::MAX;
        *self.sleepers().entry(until).or_default() += 1;
        Sleeper { bell: self, until, owed: until }
    }

    /// Ends when one is to wake up.
    pub(crate) fn rung(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl Sleeper<'_> {
    /// It is about to look at the queue, and is to be woken by all that comes after.
    pub(crate) fn looks(&mut self) {
        self.owed = self.owed.min(self.until);
        self.set(Timestamp::MAX);
    }

    /// It has looked, and wakes up by itself then; never, when it goes with what it found.
    pub(crate) fn until(&mut self, until: Timestamp) {
        self.set(until);
        self.owed = Timestamp::MAX;
    }

    fn set(&mut self, until: Timestamp) {
        self.leave();
        *self.bell.sleepers().entry(until).or_default() += 1;
        self.until = until;
    }

    fn leave(&self) {
        let mut sleepers = self.bell.sleepers();
        if let Some(count) = sleepers.get_mut(&self.until) {
            *count -= 1;
            if *count == 0 {
                sleepers.remove(&self.until);
            }
        }
    }
}

impl Drop for Sleeper<'_> {
    /// What it was to wake up for, another must.
    fn drop(&mut self) {
        self.leave();
        let owed = self.owed.min(self.until);
        if owed < Timestamp::MAX {
            self.bell.due(owed);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// One who has looked, and sleeps.
    fn asleep(bell: &Bell, until: i64) -> Sleeper<'_> {
        let mut sleeper = bell.sleeper();
        sleeper.looks();
        sleeper.until(at(until));
        sleeper
    }

    fn is_rung(bell: &Bell) -> bool {
        bell.rung().now_or_never().is_some()
    }

    #[test]
    fn only_what_is_due_before_the_first_wakes_up_rings() {
        let bell = Bell::default();
        bell.due(at(1));
        assert!(!is_rung(&bell), "nobody sleeps");
        let _sleepers = (asleep(&bell, 20), asleep(&bell, 10));
        bell.due(at(10));
        assert!(!is_rung(&bell));
        bell.due(at(9));
        assert!(is_rung(&bell));
    }

    #[test]
    fn one_who_looks_hears_all() {
        let bell = Bell::default();
        let mut sleeper = asleep(&bell, 10);
        sleeper.looks();
        bell.due(at(99));
        assert!(is_rung(&bell));
        sleeper.until(at(99));
        bell.due(at(99));
        assert!(!is_rung(&bell));
    }

    #[test]
    fn what_one_goes_away_without_looking_at_another_looks_at() {
        let bell = Bell::default();
        let _other = asleep(&bell, 50);
        drop(asleep(&bell, 60));
        assert!(!is_rung(&bell), "the other is earlier");
        drop(asleep(&bell, 10));
        assert!(is_rung(&bell));
        let mut awake = asleep(&bell, 10);
        awake.looks();
        drop(awake);
        assert!(is_rung(&bell), "it was in the middle of it");
        let mut done = asleep(&bell, 10);
        done.looks();
        done.until(Timestamp::MAX);
        drop(done);
        assert!(!is_rung(&bell));
    }

    #[test]
    fn queues_have_bells_of_their_own() {
        let bells = Bells::default();
        let (one, two) = (Arc::from("one"), Arc::from("two"));
        assert!(Arc::ptr_eq(&bells.of(&one), &bells.of(&one)));
        assert!(!Arc::ptr_eq(&bells.of(&one), &bells.of(&two)));
    }
}
