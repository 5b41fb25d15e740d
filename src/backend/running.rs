//! The runs that go on in this process: how many a job has, and how to stop one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{manifest::name::JobName, run::RunId};

/// The runs that go on. A run is here from its decision until its end, waiting times included.
#[derive(Debug)]
pub struct Running {
    state: Mutex<State>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    runs: HashMap<RunId, (JobName, watch::Sender<bool>)>,
    per_job: HashMap<JobName, u32>,
}

impl Default for Running {
    fn default() -> Self {
        Self { state: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Running {
    /// Takes a run in, unless it is here already; gives what tells it to stop.
    pub fn enter(&self, id: RunId, job: &JobName) -> Option<watch::Receiver<bool>> {
        let mut state = self.lock();
        if state.runs.contains_key(&id) {
            return None;
        }
        let (sender, receiver) = watch::channel(false);
        state.runs.insert(id, (job.clone(), sender));
        *state.per_job.entry(job.clone()).or_default() += 1;
        self.count.send_replace(state.runs.len());
        Some(receiver)
    }

    /// Takes a run out. One that is not here is no error.
    pub fn leave(&self, id: RunId) {
        let mut state = self.lock();
        let Some((job, _)) = state.runs.remove(&id) else { return };
        if let Some(count) = state.per_job.get_mut(&job) {
            *count -= 1;
            if *count == 0 {
                state.per_job.remove(&job);
            }
        }
        self.count.send_replace(state.runs.len());
    }

    /// How many runs of a job go on.
    #[must_use]
    pub fn of(&self, job: &JobName) -> u32 {
        self.lock().per_job.get(job).copied().unwrap_or(0)
    }

    /// How many runs go on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().runs.len()
    }

    /// Whether no run goes on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells one run to stop; `false` when it does not go on.
    pub fn cancel(&self, id: RunId) -> bool {
        self.lock()
            .runs
            .get(&id)
            .inspect(|(_, stop)| {
                stop.send_replace(true);
            })
            .is_some()
    }

    /// Tells every run of a job to stop; gives their ids.
    pub fn cancel_job(&self, job: &JobName) -> Vec<RunId> {
        let state = self.lock();
        let of_job = state.runs.iter().filter(|(_, (owner, _))| owner == job);
        of_job
            .map(|(id, (_, stop))| {
                stop.send_replace(true);
                *id
            })
            .collect()
    }

    /// Tells every run to stop.
    pub fn cancel_all(&self) {
        for (_, stop) in self.lock().runs.values() {
            stop.send_replace(true);
        }
    }

    /// Waits until no run goes on.
    pub async fn drained(&self) {
        let mut count = self.count.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = count.wait_for(|&count| count == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::run::{Cause, RunKey};

    fn id(job: &str, second: i64) -> (RunId, JobName) {
        let job = JobName::parse(job).unwrap();
        let fire_time = Timestamp::from_second(second).unwrap();
        (RunKey { job: job.clone(), fire_time, cause: Cause::Schedule }.id(), job)
    }

    #[test]
    fn a_run_is_taken_in_once_and_counted_until_it_leaves() {
        let running = Running::default();
        let ((first, a), (second, _), (third, b)) = (id("a", 1), id("a", 2), id("b", 1));
        assert!(running.enter(first, &a).is_some());
        assert!(running.enter(first, &a).is_none());
        assert!(running.enter(second, &a).is_some());
        assert!(running.enter(third, &b).is_some());
        assert_eq!((running.of(&a), running.of(&b), running.len()), (2, 1, 3));
        running.leave(first);
        running.leave(first);
        assert_eq!((running.of(&a), running.len()), (1, 2));
    }

    #[test]
    fn cancel_reaches_the_run_and_no_other() {
        let running = Running::default();
        let ((first, a), (second, b)) = (id("a", 1), id("b", 1));
        let (stop_a, stop_b) = (running.enter(first, &a).unwrap(), running.enter(second, &b).unwrap());
        assert!(running.cancel(first));
        assert!(!running.cancel(id("c", 1).0));
        assert_eq!((*stop_a.borrow(), *stop_b.borrow()), (true, false));
        assert_eq!(running.cancel_job(&b), [second]);
        assert!(*stop_b.borrow());
    }
}
