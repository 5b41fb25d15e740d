//! What a job waits for, and the order in which jobs have something to decide.
//!
//! Each is there once. Pure data; `engine::fire` sleeps until the first one.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    manifest::name::JobName,
    run::{Cause, RunId, run_id},
    schedule::Schedule,
};

/// What a job waits for: its next start, or before it a clock change that jumps over times which it
/// leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    wake: Timestamp,
    start: Option<Start>,
    gap: Option<Timestamp>,
}

/// The next occurrence of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The nominal instant.
    pub fire_time: Timestamp,
    /// When it starts: the fire time plus its share of the jitter.
    pub at: Timestamp,
    /// The run. Made while there is time: in a herd, hashing would make the last ones late.
    pub run: RunId,
}

/// What waits, by the time at which there is something to decide.
#[derive(Debug)]
pub struct Timers<T> {
    order: BTreeSet<(Timestamp, T)>,
}

impl<T: Ord> Default for Timers<T> {
    fn default() -> Self {
        Self { order: BTreeSet::new() }
    }
}

impl Pending {
    /// Waits for both, whichever there are; `None` when there is neither.
    #[must_use]
    pub fn of(start: Option<Start>, gap: Option<Timestamp>) -> Option<Self> {
        let wake = start.map(|start| start.at).into_iter().chain(gap).min()?;
        Some(Self { wake, start, gap })
    }

    /// When there is something to decide.
    #[must_use]
    pub fn wake(&self) -> Timestamp {
        self.wake
    }

    /// The next start; it may lie after [`wake`](Self::wake).
    #[must_use]
    pub fn start(&self) -> Option<Start> {
        self.start
    }

    /// The next clock change up to the next start that jumps over times which the job leaves out.
    #[must_use]
    pub fn gap(&self) -> Option<Timestamp> {
        self.gap
    }
}

impl Start {
    /// The occurrence of a job with this fire time.
    #[must_use]
    pub fn of(job: &JobName, schedule: &Schedule, fire_time: Timestamp) -> Self {
        let delay = schedule.start_delay(job, fire_time);
        let at = fire_time.checked_add(delay).unwrap_or(fire_time);
        Self { fire_time, at, run: run_id(job, fire_time, Cause::Schedule) }
    }
}

impl<T: Ord + Copy> Timers<T> {
    /// Takes one from the time it waited for to another; `None` is not to wait.
    pub fn set(&mut self, one: T, before: Option<Timestamp>, next: Option<Timestamp>) {
        if let Some(before) = before {
            self.order.remove(&(before, one));
        }
        if let Some(next) = next {
            self.order.insert((next, one));
        }
    }

    /// The time of the first entry.
    #[must_use]
    pub fn first(&self) -> Option<Timestamp> {
        self.order.first().map(|(wake, _)| *wake)
    }

    /// Whether at least so many are due at `now`.
    #[must_use]
    pub fn has_due(&self, now: Timestamp, count: usize) -> bool {
        self.order.iter().take(count).filter(|(wake, _)| *wake <= now).count() == count
    }

    /// Takes out what is due at `now`, at most so many, in order of time, and of what waits.
    pub fn take_due(&mut self, now: Timestamp, max: usize) -> Vec<T> {
        let mut due = Vec::new();
        while due.len() < max
            && self.first().is_some_and(|wake| wake <= now)
            && let Some((_, one)) = self.order.pop_first()
        {
            due.push(one);
        }
        due
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_due_comes_out_once_and_in_order() {
        let mut timers = Timers::default();
        for (one, second) in [(1, 10), (0, 10), (2, 20), (3, 5)] {
            timers.set(one, None, Some(at(second)));
        }
        assert_eq!(timers.first(), Some(at(5)));
        assert!(timers.has_due(at(10), 3) && !timers.has_due(at(10), 4));
        assert_eq!(timers.take_due(at(10), 2), [3, 0]);
        assert_eq!(timers.take_due(at(10), 2), [1]);
        assert_eq!(timers.take_due(at(10), 2), [0; 0]);
        assert_eq!(timers.first(), Some(at(20)));
    }

    #[test]
    fn a_job_that_is_set_to_another_time_waits_for_that_one_only() {
        let mut timers = Timers::default();
        timers.set(0, None, Some(at(10)));
        timers.set(0, Some(at(10)), Some(at(30)));
        assert_eq!((timers.take_due(at(20), 9), timers.first()), (Vec::<u8>::new(), Some(at(30))));
        timers.set(0, Some(at(30)), None);
        assert!(timers.is_empty());
    }
}
