//! The runs that go on in this process: how many a job has, and how to stop one.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{manifest::name::JobName, run::RunId};

/// The runs that go on. A run is here from its decision until its end, waiting times included.
#[derive(Debug)]
pub struct Running {
    state: Mutex<State>,
    count: watch::Sender<usize>,
    closed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    runs: HashMap<RunId, Entry>,
    per_job: HashMap<JobName, u32>,
}

#[derive(Debug)]
struct Entry {
    job: JobName,
    stop: watch::Sender<bool>,
    stage: Stage,
}

/// How far a run that has its place has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is being decided.
    Entered,
    /// It was decided, and waits until the daemon fires.
    Held,
    /// It was handed to a backend.
    Begun,
}

/// The answer to a run that asks for its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The run has it; `begin` or `leave` comes next.
    Taken,
    /// As many runs of the job go on as may.
    Full,
    /// The run is here already.
    Present,
    /// The daemon stops: nothing new begins.
    Closed,
}

impl Default for Running {
    fn default() -> Self {
        Self { state: Mutex::default(), count: watch::Sender::new(0), closed: watch::Sender::new(false) }
    }
}

impl Running {
    /// Gives a run its place among the job's, unless `max` of them go on.
    ///
    /// The place is taken before the occurrence is decided, so that two decisions at once cannot
    /// both find room.
    pub fn enter(&self, id: RunId, job: &JobName, max: u32) -> Place {
        let mut state = self.lock();
        if state.runs.contains_key(&id) {
            return Place::Present;
        }
        if *self.closed.borrow() {
            return Place::Closed;
        }
        if state.per_job.get(job).is_some_and(|count| *count >= max) {
            return Place::Full;
        }
        self.insert(&mut state, id, job, Stage::Entered);
        Place::Taken
    }

    /// Holds the place of a run that is decided and not begun, whatever else goes on: one that a
    /// daemon before this one left open, or that is decided before this one fires. A run that has
    /// its place keeps it, and is not held once it has begun.
    pub fn hold(&self, id: RunId, job: &JobName) {
        let mut state = self.lock();
        match state.runs.get_mut(&id) {
            Some(entry) if entry.stage == Stage::Entered => entry.stage = Stage::Held,
            Some(_) => {}
            None if *self.closed.borrow() => {}
            None => self.insert(&mut state, id, job, Stage::Held),
        }
    }

    /// From now on no run is let in, and runs that are held leave: the next daemon sees to them.
    /// What is being decided still begins.
    pub fn close(&self) {
        let mut state = self.lock();
        self.closed.send_replace(true);
        let held: Vec<RunId> =
            state.runs.iter().filter(|(_, entry)| entry.stage == Stage::Held).map(|(id, _)| *id).collect();
        held.into_iter().for_each(|id| self.remove(&mut state, id));
    }

    /// Becomes `true` when the daemon stops.
    #[must_use]
    pub fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Begins a run that has its place; gives what tells it to stop. `None` when it has none, or
    /// was begun before.
    pub fn begin(&self, id: RunId) -> Option<watch::Receiver<bool>> {
        let mut state = self.lock();
        let entry = state.runs.get_mut(&id)?;
        if std::mem::replace(&mut entry.stage, Stage::Begun) == Stage::Begun {
            return None;
        }
        Some(entry.stop.subscribe())
    }

    /// Takes a run out. One that is not here is no error.
    pub fn leave(&self, id: RunId) {
        self.remove(&mut self.lock(), id);
    }

    fn insert(&self, state: &mut State, id: RunId, job: &JobName, stage: Stage) {
        *state.per_job.entry(job.clone()).or_default() += 1;
        state.runs.insert(id, Entry { job: job.clone(), stop: watch::Sender::new(false), stage });
        self.count.send_replace(state.runs.len());
    }

    fn remove(&self, state: &mut State, id: RunId) {
        let Some(entry) = state.runs.remove(&id) else { return };
        if let Some(count) = state.per_job.get_mut(&entry.job) {
            *count -= 1;
            if *count == 0 {
                state.per_job.remove(&entry.job);
            }
        }
        self.count.send_replace(state.runs.len());
    }

    /// How many runs of a job go on.
    #[must_use]
    pub fn of(&self, job: &JobName) -> u32 {
        self.lock().per_job.get(job).copied().unwrap_or(0)
    }

    /// Whether a run goes on.
    #[must_use]
    pub fn holds(&self, id: RunId) -> bool {
        self.lock().runs.contains_key(&id)
    }

    /// The runs that go on.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<RunId> {
        self.lock().runs.keys().copied().collect()
    }

    /// The jobs whose runs go on.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobName> {
        self.lock().per_job.keys().cloned().collect()
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
    #[must_use]
    pub fn cancel(&self, id: RunId) -> bool {
        self.lock().runs.get(&id).inspect(|entry| entry.end()).is_some()
    }

    /// Tells every run of a job to stop; gives their ids.
    pub fn cancel_job(&self, job: &JobName) -> Vec<RunId> {
        let state = self.lock();
        let of_job = state.runs.iter().filter(|(_, entry)| entry.job == *job);
        of_job.inspect(|(_, entry)| entry.end()).map(|(id, _)| *id).collect()
    }

    /// Tells every run to stop.
    pub fn cancel_all(&self) {
        self.lock().runs.values().for_each(Entry::end);
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

impl Entry {
    fn end(&self) {
        self.stop.send_replace(true);
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
        assert_eq!(running.enter(first, &a, 2), Place::Taken);
        assert_eq!(running.enter(first, &a, 2), Place::Present);
        assert_eq!(running.enter(second, &a, 1), Place::Full);
        assert_eq!(running.enter(second, &a, 2), Place::Taken);
        assert_eq!(running.enter(third, &b, 1), Place::Taken);
        assert_eq!((running.of(&a), running.of(&b), running.len()), (2, 1, 3));
        running.leave(first);
        running.leave(first);
        assert_eq!((running.of(&a), running.len()), (1, 2));
    }

    /// F20: what was let in before the end is seen through, and nothing is let in after it.
    #[test]
    fn once_it_is_closed_only_what_was_let_in_before_begins() {
        let running = Running::default();
        let ((entered, a), (held, b), (late, c)) = (id("a", 1), id("b", 1), id("c", 1));
        assert_eq!(running.enter(entered, &a, 1), Place::Taken);
        running.hold(held, &b);
        assert_eq!(running.enter(id("b", 2).0, &b, 1), Place::Full, "a held run counts");
        running.close();
        assert_eq!((running.enter(late, &c, 1), running.len()), (Place::Closed, 1));
        running.hold(late, &c);
        assert!(running.begin(held).is_none() && running.begin(late).is_none());
        assert!(running.begin(entered).is_some());
    }

    #[test]
    fn a_held_run_begins_once() {
        let running = Running::default();
        let (held, a) = id("a", 1);
        running.hold(held, &a);
        assert_eq!(running.enter(held, &a, 9), Place::Present);
        assert!(running.begin(held).is_some() && running.begin(held).is_none());
        running.hold(held, &a);
        running.close();
        assert!(running.holds(held), "it has begun");
    }

    #[test]
    fn cancel_reaches_the_run_and_no_other() {
        let running = Running::default();
        let ((first, a), (second, b)) = (id("a", 1), id("b", 1));
        assert_eq!((running.enter(first, &a, 1), running.enter(second, &b, 1)), (Place::Taken, Place::Taken));
        let (stop_a, stop_b) = (running.begin(first).unwrap(), running.begin(second).unwrap());
        assert!(running.begin(first).is_none(), "begun once only");
        assert!(running.cancel(first));
        assert!(!running.cancel(id("c", 1).0));
        assert_eq!((*stop_a.borrow(), *stop_b.borrow()), (true, false));
        assert_eq!(running.cancel_job(&b), [second]);
        assert!(*stop_b.borrow());
    }
}
