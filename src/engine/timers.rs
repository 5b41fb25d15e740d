//! The timer queue: which job starts next, and when.
//!
//! One entry a job, ordered by start time. Pure data; `engine::fire` sleeps until the first one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::manifest::name::JobName;

/// The next occurrence of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The nominal instant.
    pub fire_time: Timestamp,
    /// When it starts: the fire time plus its share of the jitter.
    pub start: Timestamp,
}

/// The timer queue.
#[derive(Debug, Default)]
pub struct Timers {
    order: BTreeSet<(Timestamp, JobName)>,
    pending: BTreeMap<JobName, Pending>,
}

impl Timers {
    /// Sets the next occurrence of a job, in place of the one it had; `None` takes the job out.
    pub fn set(&mut self, job: &JobName, next: Option<Pending>) {
        let before = match next {
            Some(next) => self.pending.insert(job.clone(), next),
            None => self.pending.remove(job),
        };
        if let Some(before) = before {
            self.order.remove(&(before.start, job.clone()));
        }
        if let Some(next) = next {
            self.order.insert((next.start, job.clone()));
        }
    }

    /// The start time of the first entry.
    #[must_use]
    pub fn first(&self) -> Option<Timestamp> {
        self.order.first().map(|(start, _)| *start)
    }

    /// The next occurrence of a job.
    #[must_use]
    pub fn next_of(&self, job: &JobName) -> Option<Pending> {
        self.pending.get(job).copied()
    }

    /// Takes out what is due at `now`, in order of start time and name.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<(JobName, Pending)> {
        let mut due = Vec::new();
        while let Some((start, _)) = self.order.first()
            && *start <= now
        {
            let Some((_, job)) = self.order.pop_first() else { break };
            if let Some(pending) = self.pending.remove(&job) {
                due.push((job, pending));
            }
        }
        due
    }

    /// How many jobs wait for a fire time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no job waits for a fire time.
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
        Pending { fire_time: at(second), start: at(second) }
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
