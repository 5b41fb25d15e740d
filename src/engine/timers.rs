//! The timer queue: which job has something to decide next, and when.
//!
//! One entry a job, ordered by that time. Pure data; `engine::fire` sleeps until the first one.

use std::collections::{BTreeMap, BTreeSet};

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

/// The timer queue.
#[derive(Debug, Default)]
pub struct Timers {
    order: BTreeSet<(Timestamp, JobName)>,
    pending: BTreeMap<JobName, Pending>,
}

impl Timers {
    /// Sets what a job waits for, in place of what it had; `None` takes the job out.
    pub fn set(&mut self, job: &JobName, next: Option<Pending>) {
        let before = match next {
            Some(next) => self.pending.insert(job.clone(), next),
            None => self.pending.remove(job),
        };
        if let Some(before) = before {
            self.order.remove(&(before.wake, job.clone()));
        }
        if let Some(next) = next {
            self.order.insert((next.wake, job.clone()));
        }
    }

    /// The time of the first entry.
    #[must_use]
    pub fn first(&self) -> Option<Timestamp> {
        self.order.first().map(|(wake, _)| *wake)
    }

    /// What a job waits for.
    #[must_use]
    pub fn next_of(&self, job: &JobName) -> Option<Pending> {
        self.pending.get(job).copied()
    }

    /// Takes out what is due at `now`, in order of time and name.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<(JobName, Pending)> {
        let mut due = Vec::new();
        while let Some((wake, _)) = self.order.first()
            && *wake <= now
        {
            let Some((_, job)) = self.order.pop_first() else { break };
            if let Some(pending) = self.pending.remove(&job) {
                due.push((job, pending));
            }
        }
        due
    }

    /// How many jobs wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no job waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
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

    fn pending(second: i64) -> Pending {
        Pending { wake: at(second), start: None }
    }

    #[test]
    fn what_is_due_comes_out_once_and_in_order() {
        let mut timers = Timers::default();
        for (name, second) in [("b", 10), ("a", 10), ("c", 20), ("d", 5)] {
            timers.set(&job(name), Some(pending(second)));
        }
        assert_eq!(timers.first(), Some(at(5)));
        let names = |due: Vec<(JobName, Pending)>| {
            due.into_iter().map(|(job, _)| job.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(timers.take_due(at(10))), ["d", "a", "b"]);
        assert_eq!(names(timers.take_due(at(10))), Vec::<String>::new());
        assert_eq!(timers.first(), Some(at(20)));
    }

    #[test]
    fn a_job_has_one_entry_whatever_is_set() {
        let mut timers = Timers::default();
        timers.set(&job("a"), Some(pending(10)));
        timers.set(&job("a"), Some(pending(30)));
        assert_eq!((timers.len(), timers.first()), (1, Some(at(30))));
        timers.set(&job("a"), None);
        assert_eq!((timers.is_empty(), timers.first()), (true, None));
    }
}
