//! The timer queue: which job has something to decide next, and when.
//!
//! One entry a job, ordered by that time. Pure data; `engine::fire` sleeps until the first one.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::manifest::name::JobName;

/// What a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// When there is something to decide.
    pub wake: Timestamp,
    /// The next start; it may lie after `wake`.
    pub start: Option<Start>,
}

/// The next occurrence of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The nominal instant.
    pub fire_time: Timestamp,
    /// When it starts: the fire time plus its share of the jitter.
    pub at: Timestamp,
}

/// The timer queue: names by the time at which there is something to decide.
#[derive(Debug, Default)]
pub struct Timers {
    order: BTreeSet<(Timestamp, JobName)>,
}

impl Timers {
    /// Takes a job from the time it waited for to another; `None` is not to wait.
    pub fn set(&mut self, job: &JobName, before: Option<Timestamp>, next: Option<Timestamp>) {
        if let Some(before) = before {
            self.order.remove(&(before, job.clone()));
        }
        if let Some(next) = next {
            self.order.insert((next, job.clone()));
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

    /// Takes out what is due at `now`, at most so many, in order of time and name.
    pub fn take_due(&mut self, now: Timestamp, max: usize) -> Vec<JobName> {
        let mut due = Vec::new();
        while due.len() < max
            && self.first().is_some_and(|wake| wake <= now)
            && let Some((_, job)) = self.order.pop_first()
        {
            due.push(job);
        }
        due
    }

    /// Whether no job waits.
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

    fn job(name: &str) -> JobName {
        JobName::parse(name).unwrap()
    }

    #[test]
    fn what_is_due_comes_out_once_and_in_order() {
        let mut timers = Timers::default();
        for (name, second) in [("b", 10), ("a", 10), ("c", 20), ("d", 5)] {
            timers.set(&job(name), None, Some(at(second)));
        }
        assert_eq!(timers.first(), Some(at(5)));
        let names = |due: Vec<JobName>| due.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(timers.has_due(at(10), 3) && !timers.has_due(at(10), 4));
        assert_eq!(names(timers.take_due(at(10), 2)), ["d", "a"]);
        assert_eq!(names(timers.take_due(at(10), 2)), ["b"]);
        assert_eq!(names(timers.take_due(at(10), 2)), Vec::<String>::new());
        assert_eq!(timers.first(), Some(at(20)));
    }

    #[test]
    fn a_job_that_is_set_to_another_time_waits_for_that_one_only() {
        let mut timers = Timers::default();
        timers.set(&job("a"), None, Some(at(10)));
        timers.set(&job("a"), Some(at(10)), Some(at(30)));
        assert_eq!((timers.take_due(at(20), 9), timers.first()), (vec![], Some(at(30))));
        timers.set(&job("a"), Some(at(30)), None);
        assert!(timers.is_empty());
    }
}
