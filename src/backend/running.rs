//! The runs that go on in this process: how many a job has, and how to stop one.

use std::{
    collections::{BTreeSet, hash_map},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foldhash::HashMap;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use crate::{manifest::name::JobName, run::RunId};

/// The runs that go on. A run is here from its decision until its end, waiting times included.
#[derive(Debug, Default)]
pub struct Running {
    state: Mutex<State>,
    emptied: Notify,
    left: Notify,
    closed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    runs: HashMap<RunId, Entry>,
    per_job: HashMap<JobName, u32>,
    /// How many of them could not be delivered yet.
    undelivered: usize,
}

impl State {
    /// A run of the job that could not be delivered yet. They are looked through: there is one only while
    /// a queue system does not answer.
    fn undelivered_of(&self, job: &JobName) -> Option<RunId> {
        if self.undelivered == 0 {
            return None;
        }
        let is_one = |entry: &Entry| matches!(entry.stage, Stage::Undelivered) && entry.job == *job;
        self.runs.iter().find(|(_, entry)| is_one(entry)).map(|(id, _)| *id)
    }
}

#[derive(Debug)]
struct Entry {
    job: JobName,
    stage: Stage,
    /// Whether it was told to stop.
    is_stopped: bool,
    /// How often the run was entered and not withdrawn: the fire loop and an edit may find it at once.
    deciders: u32,
}

/// How far a run that has its place has come.
#[derive(Debug)]
enum Stage {
    /// It is being decided.
    Entered,
    /// It was decided, and waits until the daemon fires.
    Held,
    /// It was decided, and could not be delivered to where it is to run yet: a newer run of the job may
    /// take its place.
    Undelivered,
    /// It is a message, or at a worker; it goes on without this process.
    Remote,
    /// It was handed to a backend, and is over at once.
    Brief,
    /// It was handed to a backend.
    Begun {
        /// Tells it to stop.
        stop: watch::Sender<bool>,
        /// How long it may take to end then.
        kill_grace: Duration,
        /// The attempt that it waits for, while it does.
        wait: Option<Wait>,
    },
}

/// An attempt that a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Which one it is, counted from 1.
    pub attempt: u32,
    /// How many there may be.
    pub max_attempts: u32,
    /// When it begins.
    pub at: Timestamp,
}

/// The answer to a run that asks for its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The run has it; `begin` or `withdraw` comes next.
    Taken,
    /// As many runs of the job go on as may.
    Full,
    /// The run is here already, and keeps its place; `begin` or `withdraw` comes next.
    Present,
    /// The daemon stops: nothing new begins.
    Closed,
}

impl Running {
    /// Gives a run its place among the job's, unless `max` of them go on. One that could not be delivered
    /// yet makes way.
    ///
    /// The place is taken before the occurrence is decided, so that two decisions at once cannot
    /// both find room.
    pub fn enter(&self, id: RunId, job: &JobName, max: u32) -> Place {
        let mut state = self.lock();
        if let Some(entry) = state.runs.get_mut(&id) {
            entry.deciders += 1;
            return Place::Present;
        }
        if *self.closed.borrow() {
            return Place::Closed;
        }
        if state.per_job.get(job).copied().unwrap_or(0) >= max {
            let Some(older) = state.undelivered_of(job).filter(|_| max > 0) else { return Place::Full };
            self.remove(&mut state, older);
        }
        insert(&mut state, id, job, Stage::Entered);
        Place::Taken
    }

    /// Takes back an [`enter`](Self::enter) whose decision did not come about. The run keeps its
    /// place when somebody else decides it, or has begun it.
    pub fn withdraw(&self, id: RunId) {
        let mut state = self.lock();
        let Some(entry) = state.runs.get_mut(&id) else { return };
        entry.deciders = entry.deciders.saturating_sub(1);
        if entry.deciders == 0 && matches!(entry.stage, Stage::Entered) {
            self.remove(&mut state, id);
        }
    }

    /// Holds the place of a run that is decided and not begun, whatever else goes on: one that a
    /// daemon before this one left open, or that is decided before this one fires. A run that has
    /// its place keeps it, and is not held once it has begun. When the daemon stops it is not held: the
    /// next daemon sees to it.
    pub fn hold(&self, id: RunId, job: &JobName) {
        let mut state = self.lock();
        match state.runs.get_mut(&id) {
            Some(Entry { stage: Stage::Entered, .. }) if *self.closed.borrow() => self.remove(&mut state, id),
            Some(entry) if matches!(entry.stage, Stage::Entered) => entry.stage = Stage::Held,
            Some(_) => {}
            None if *self.closed.borrow() => {}
            None => insert(&mut state, id, job, Stage::Held),
        }
    }

    /// Keeps the place of a run that waits to be delivered; a newer one of its job may take it. One that
    /// has no place, as the daemon stops, gets none.
    pub fn await_delivery(&self, id: RunId, job: &JobName) {
        let mut state = self.lock();
        let is_closed = *self.closed.borrow();
        match state.runs.get_mut(&id) {
            _ if is_closed => self.remove(&mut state, id),
            Some(entry) if matches!(entry.stage, Stage::Entered | Stage::Held | Stage::Remote) => {
                entry.stage = Stage::Undelivered;
                state.undelivered += 1;
            }
            Some(_) => {}
            None => insert(&mut state, id, job, Stage::Undelivered),
        }
    }

    /// Begins a run elsewhere; `false` when it has no place.
    #[must_use]
    pub fn begin_remote(&self, id: RunId) -> bool {
        let mut state = self.lock();
        let Some(entry) = state.runs.get_mut(&id).filter(|entry| entry.is_waiting()) else { return false };
        if let Stage::Undelivered = std::mem::replace(&mut entry.stage, Stage::Remote) {
            state.undelivered -= 1;
        }
        true
    }

    /// From now on no run is let in, and runs that are held, or elsewhere, leave: the next daemon sees to
    /// them. What is being decided still begins.
    pub fn close(&self) {
        let mut state = self.lock();
        self.closed.send_replace(true);
        let is_held = |entry: &Entry| matches!(entry.stage, Stage::Held | Stage::Undelivered | Stage::Remote);
        let held: Vec<RunId> =
            state.runs.iter().filter(|(_, entry)| is_held(entry)).map(|(id, _)| *id).collect();
        held.into_iter().for_each(|id| self.remove(&mut state, id));
    }

    /// Becomes `true` when the daemon stops.
    #[must_use]
    pub fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Begins a run that has its place, and gives what tells it to stop; it may take `kill_grace` to
    /// end then. `None` when it has no place, or was begun before.
    pub fn begin(&self, id: RunId, kill_grace: Duration) -> Option<watch::Receiver<bool>> {
        let mut state = self.lock();
        let entry = state.runs.get_mut(&id).filter(|entry| entry.is_waiting())?;
        let stop = watch::Sender::new(entry.is_stopped);
        let told = stop.subscribe();
        let begun = Stage::Begun { stop, kill_grace, wait: None };
        if let Stage::Undelivered = std::mem::replace(&mut entry.stage, begun) {
            state.undelivered -= 1;
        }
        Some(told)
    }

    /// Takes note that a run waits for an attempt, or no longer does. One that was not begun is no error.
    pub fn set_wait(&self, id: RunId, attempt: Option<Wait>) {
        if let Some(Entry { stage: Stage::Begun { wait, .. }, .. }) = self.lock().runs.get_mut(&id) {
            *wait = attempt;
        }
    }

    /// The attempt that a run waits for, while it does.
    #[must_use]
    pub fn wait_of(&self, id: RunId) -> Option<Wait> {
        match self.lock().runs.get(&id)?.stage {
            Stage::Begun { wait, .. } => wait,
            Stage::Entered | Stage::Held | Stage::Undelivered | Stage::Remote | Stage::Brief => None,
        }
    }

    /// Begins runs that are over at once, so that nothing needs to tell them to stop; says of each
    /// whether it began. It does not when it has no place, was begun before, or was told to stop.
    #[must_use]
    pub fn begin_brief(&self, ids: impl IntoIterator<Item = RunId>) -> Vec<bool> {
        let mut state = self.lock();
        let begin = |id| {
            let waiting = state.runs.get_mut(&id).filter(|entry| entry.is_waiting() && !entry.is_stopped);
            waiting.map(|entry| entry.stage = Stage::Brief).is_some()
        };
        ids.into_iter().map(begin).collect()
    }

    /// Takes a run out. One that is not here is no error.
    pub fn leave(&self, id: RunId) {
        self.remove(&mut self.lock(), id);
    }

    /// Takes runs out.
    pub fn leave_all(&self, ids: impl IntoIterator<Item = RunId>) {
        let mut state = self.lock();
        ids.into_iter().for_each(|id| self.remove(&mut state, id));
    }

    fn remove(&self, state: &mut State, id: RunId) {
        let Some(entry) = state.runs.remove(&id) else { return };
        if let Stage::Undelivered = entry.stage {
            state.undelivered -= 1;
        }
        if let hash_map::Entry::Occupied(mut count) = state.per_job.entry(entry.job) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        self.left.notify_one();
        if state.runs.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until a run has left since this was last waited for. For one task.
    pub async fn one_left(&self) {
        self.left.notified().await;
    }

    /// The runs of a job that go on.
    #[must_use]
    pub fn ids_of(&self, job: &JobName) -> Vec<RunId> {
        let state = self.lock();
        state.runs.iter().filter(|(_, entry)| entry.job == *job).map(|(id, _)| *id).collect()
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

    /// The longest that a run that was begun may take to end once it is told to stop.
    #[must_use]
    pub fn kill_grace_max(&self) -> Duration {
        let state = self.lock();
        let graces = state.runs.values().filter_map(|entry| match entry.stage {
            Stage::Begun { kill_grace, .. } => Some(kill_grace),
            Stage::Entered | Stage::Held | Stage::Undelivered | Stage::Remote | Stage::Brief => None,
        });
        graces.max().unwrap_or_default()
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
        self.lock().runs.get_mut(&id).filter(|entry| entry.can_stop()).map(Entry::end).is_some()
    }

    /// Tells every run to stop.
    pub fn cancel_all(&self) {
        self.lock().runs.values_mut().for_each(Entry::end);
    }

    /// Waits until no run goes on.
    pub async fn drained(&self) {
        loop {
            // Made before the look, so that a run that leaves between the two is noticed.
            let emptied = self.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert(state: &mut State, id: RunId, job: &JobName, stage: Stage) {
    state.undelivered += usize::from(matches!(stage, Stage::Undelivered));
    *state.per_job.entry(job.clone()).or_default() += 1;
    state.runs.insert(id, Entry::new(job, stage));
}

impl Entry {
    fn new(job: &JobName, stage: Stage) -> Self {
        Self { job: job.clone(), stage, is_stopped: false, deciders: 1 }
    }

    /// Whether it has its place and was not begun.
    fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Entered | Stage::Held | Stage::Undelivered)
    }

    /// Whether there is anything left to stop.
    fn can_stop(&self) -> bool {
        !matches!(self.stage, Stage::Brief)
    }

    fn end(&mut self) {
        self.is_stopped = true;
        if let Stage::Begun { stop, .. } = &self.stage {
            stop.send_replace(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Cause, RunKey};

    const GRACE: Duration = Duration::from_secs(10);

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
        assert!(running.begin(held, GRACE).is_none() && running.begin(late, GRACE).is_none());
        assert!(running.begin(entered, GRACE).is_some());
    }

    #[test]
    fn a_held_run_begins_once() {
        let running = Running::default();
        let (held, a) = id("a", 1);
        running.hold(held, &a);
        assert_eq!(running.enter(held, &a, 9), Place::Present);
        assert!(running.begin(held, GRACE).is_some() && running.begin(held, GRACE).is_none());
        running.hold(held, &a);
        running.close();
        assert!(running.holds(held), "it has begun");
    }

    #[test]
    fn a_run_that_was_begun_tells_what_it_waits_for() {
        let running = Running::default();
        let (run, a) = id("a", 1);
        let wait = Wait { attempt: 2, max_attempts: 3, at: Timestamp::from_second(9).unwrap() };
        assert_eq!(running.enter(run, &a, 1), Place::Taken);
        running.set_wait(run, Some(wait));
        assert_eq!(running.wait_of(run), None, "it was not begun");
        let _stop = running.begin(run, GRACE);
        running.set_wait(run, Some(wait));
        assert_eq!(running.wait_of(run), Some(wait));
        running.set_wait(run, None);
        assert_eq!((running.wait_of(run), running.wait_of(id("b", 1).0)), (None, None));
    }

    #[test]
    fn cancel_reaches_the_run_and_no_other() {
        let running = Running::default();
        let ((first, a), (second, b)) = (id("a", 1), id("b", 1));
        assert_eq!((running.enter(first, &a, 1), running.enter(second, &b, 1)), (Place::Taken, Place::Taken));
        let (stop_a, stop_b) = (running.begin(first, GRACE).unwrap(), running.begin(second, GRACE).unwrap());
        assert!(running.begin(first, GRACE).is_none(), "begun once only");
        assert!(running.cancel(first));
        assert!(!running.cancel(id("c", 1).0));
        assert_eq!((*stop_a.borrow(), *stop_b.borrow()), (true, false));
        assert_eq!(running.ids_of(&b), [second]);
        assert!(running.cancel(second) && *stop_b.borrow());
    }

    /// F20: what an edit decides while the daemon begins to stop is left to the next one.
    #[test]
    fn what_is_held_once_it_is_closed_leaves() {
        let running = Running::default();
        let (run, a) = id("a", 1);
        assert_eq!(running.enter(run, &a, 1), Place::Taken);
        running.close();
        running.hold(run, &a);
        assert!(running.is_empty());
    }

    /// F20: the fire loop and an edit may find one occurrence at once, and only one of them decides it.
    #[test]
    fn who_did_not_decide_a_run_does_not_take_its_place_away() {
        let running = Running::default();
        let (run, a) = id("a", 1);
        assert_eq!((running.enter(run, &a, 1), running.enter(run, &a, 1)), (Place::Taken, Place::Present));
        running.withdraw(run);
        assert!(running.begin(run, GRACE).is_some(), "the other one decided it");
        running.withdraw(run);
        assert!(running.holds(run), "it goes on");
        running.leave(run);
        assert_eq!(running.enter(run, &a, 1), Place::Taken);
        running.withdraw(run);
        assert!(running.is_empty(), "nobody decided it");
    }

    #[test]
    fn what_is_cancelled_before_it_begins_is_told_to_stop_at_once() {
        let running = Running::default();
        let (run, a) = id("a", 1);
        assert_eq!(running.enter(run, &a, 1), Place::Taken);
        assert!(running.cancel(run));
        assert_eq!(running.begin_brief([run]), [false], "not as if nothing had been said");
        assert!(*running.begin(run, GRACE).unwrap().borrow());
    }

    #[test]
    fn the_longest_grace_is_that_of_the_runs_as_they_were_begun() {
        let running = Running::default();
        let ((first, a), (second, b), (brief, c)) = (id("a", 1), id("b", 1), id("c", 1));
        for (run, job) in [(first, &a), (second, &b), (brief, &c)] {
            assert_eq!(running.enter(run, job, 1), Place::Taken);
        }
        let _first = running.begin(first, Duration::from_secs(60));
        let _second = running.begin(second, GRACE);
        assert_eq!(running.begin_brief([brief, brief]), [true, false]);
        assert_eq!(running.kill_grace_max(), Duration::from_secs(60));
        running.leave_all([first, brief]);
        assert_eq!(running.kill_grace_max(), GRACE);
    }
}
