//! The timer queue: the jobs that the fire loop holds, and what each waits for.
//!
//! Every job has a seat, so that a herd is gone through without a look-up by name for each.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    cursor::Cursor,
    timers::{Pending, Timers},
};
use crate::{backend::live::LiveJob, manifest::name::JobName};

/// The jobs, in their seats.
#[derive(Debug, Default)]
pub(super) struct TimerQueue {
    seats: Vec<Option<Seated>>,
    /// Seats that are empty.
    free: Vec<Seat>,
    names: HashMap<JobName, Seat>,
    timers: Timers<Seat>,
}

/// Where a job is: a number, used again once the job is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat(usize);

/// A job in the queue.
#[derive(Debug)]
pub(super) struct Seated {
    /// The job as it is held.
    pub(super) job: Arc<LiveJob>,
    /// How far it is decided.
    pub(super) cursor: Cursor,
    /// What it waits for, while it is in the queue.
    pending: Option<Pending>,
}

/// A job that was taken out, as it waited for something that is due.
#[derive(Debug)]
pub(super) struct DueJob<'a> {
    /// The job as it is held.
    pub(super) job: &'a Arc<LiveJob>,
    /// How far it is decided.
    pub(super) cursor: Cursor,
    /// What it waited for.
    pub(super) pending: Pending,
}

impl TimerQueue {
    /// Takes in a job, or replaces it; it waits for what comes after `cursor`.
    pub(super) fn put(&mut self, job: Arc<LiveJob>, cursor: Cursor) -> Seat {
        let seat = self.seat_of(&job.spec.name);
        let pending = self.job_at(seat).and_then(|before| before.pending);
        self.seats[seat.0] = Some(Seated { job, cursor, pending });
        self.schedule(seat);
        seat
    }

    fn seat_of(&mut self, name: &JobName) -> Seat {
        if let Some(seat) = self.names.get(name) {
            return *seat;
        }
        let seat = self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            Seat(self.seats.len() - 1)
        });
        self.names.insert(name.clone(), seat);
        seat
    }

    /// Replaces a job whose fire times did not change.
    pub(super) fn edit(&mut self, job: Arc<LiveJob>) {
        let Some(seat) = self.names.get(&job.spec.name).copied() else { return };
        if let Some(entry) = self.job_at_mut(seat) {
            entry.job = job;
            entry.tell_next();
        }
    }

    /// Lets go of a job.
    pub(super) fn remove(&mut self, name: &JobName) {
        let Some(seat) = self.names.remove(name) else { return };
        self.set(seat, None);
        self.seats[seat.0] = None;
        self.free.push(seat);
    }

    /// The job in a seat.
    pub(super) fn job_at(&self, seat: Seat) -> Option<&Seated> {
        self.seats.get(seat.0)?.as_ref()
    }

    fn job_at_mut(&mut self, seat: Seat) -> Option<&mut Seated> {
        self.seats.get_mut(seat.0)?.as_mut()
    }

    /// Where the jobs are.
    pub(super) fn occupied(&self) -> impl Iterator<Item = Seat> {
        self.names.values().copied()
    }

    /// Moves a job's cursor; it waits for what comes after.
    pub(super) fn go_to(&mut self, seat: Seat, cursor: Cursor) {
        if let Some(entry) = self.job_at_mut(seat) {
            entry.cursor = cursor;
            self.schedule(seat);
        }
    }

    /// Puts a job back that was taken out and not decided.
    pub(super) fn put_back(&mut self, seat: Seat, pending: Pending) {
        self.set(seat, Some(pending));
    }

    fn schedule(&mut self, seat: Seat) {
        let Some(Seated { job, cursor, .. }) = self.job_at(seat) else { return };
        let next = if job.spec.enabled { cursor.pending(&job.spec.name, &job.schedule) } else { None };
        self.set(seat, next);
    }

    fn set(&mut self, seat: Seat, next: Option<Pending>) {
        let Some(entry) = self.seats.get_mut(seat.0).and_then(Option::as_mut) else { return };
        let before = std::mem::replace(&mut entry.pending, next);
        entry.tell_next();
        self.timers.set(seat, before.map(|before| before.wake()), next.map(|next| next.wake()));
    }

    /// How long until something is due; none when nothing waits.
    pub(super) fn until_next(&self, now: Timestamp) -> Option<Duration> {
        let wait = self.timers.first()?.duration_since(now);
        Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
    }

    /// Whether at least so many jobs have something due at `now`.
    pub(super) fn has_due(&self, now: Timestamp, count: usize) -> bool {
        self.timers.has_due(now, count)
    }

    /// Takes out the first jobs that have something due at `now`, at most so many.
    pub(super) fn take_due(
        &mut self,
        now: Timestamp,
        max: usize,
    ) -> impl ExactSizeIterator<Item = Seat> + use<> {
        self.timers.take_due(now, max).into_iter()
    }

    /// What a job that was just taken out waited for.
    pub(super) fn due(&mut self, seat: Seat) -> Option<DueJob<'_>> {
        let entry = self.job_at_mut(seat)?;
        let pending = entry.pending.take()?;
        Some(DueJob { job: &entry.job, cursor: entry.cursor, pending })
    }
}

impl Seated {
    /// Says when the job fires next, to those who look.
    fn tell_next(&self) {
        let start = self.pending.and_then(|pending| pending.start());
        self.job.plan_next(start.map(|start| start.fire_time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{characteristics::Tier, digest::Digest, spec::Spec};

    /// A job of every so many seconds.
    fn job(name: &str, seconds: u32) -> Arc<LiveJob> {
        let spec: Spec = serde_json::from_value(serde_json::json!({
            "name": name, "enabled": true, "schedule": [{"trigger": {"every": format!("{seconds}s")}}],
            "run": {"action": {"command": ["true"]}},
            "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
            "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s",
                       "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
        }))
        .unwrap();
        let digest = Digest::of(&spec);
        Arc::new(LiveJob::new(Tier::InProcess, Arc::new(spec), digest, Timestamp::UNIX_EPOCH).unwrap())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn names_due(queue: &mut TimerQueue, second: i64) -> Vec<String> {
        let seats = queue.take_due(at(second), 9);
        seats.map(|seat| queue.due(seat).unwrap().job.spec.name.to_string()).collect()
    }

    #[test]
    fn a_job_that_takes_the_place_of_a_removed_one_waits_for_its_own_time() {
        let mut queue = TimerQueue::default();
        queue.put(job("a", 10), Cursor::at(at(0)));
        queue.put(job("b", 20), Cursor::at(at(0)));
        queue.remove(&JobName::parse("a").unwrap());
        queue.put(job("c", 30), Cursor::at(at(0)));
        assert_eq!(queue.seats.len(), 2, "the seat is used again");
        assert_eq!(names_due(&mut queue, 10), Vec::<String>::new());
        assert_eq!(names_due(&mut queue, 30), ["b", "c"]);
    }

    #[test]
    fn a_job_says_when_it_fires_next_however_it_is_changed() {
        let mut queue = TimerQueue::default();
        let (first, second) = (job("a", 10), job("a", 10));
        let seat = queue.put(Arc::clone(&first), Cursor::at(at(0)));
        assert_eq!(first.next_fire(), Some(at(10)));
        queue.edit(Arc::clone(&second));
        assert_eq!(second.next_fire(), Some(at(10)));
        queue.go_to(seat, Cursor::at(at(10)));
        assert_eq!(
            (second.next_fire(), queue.until_next(at(5))),
            (Some(at(20)), Some(Duration::from_secs(15)))
        );
        queue.remove(&second.spec.name);
        assert_eq!((second.next_fire(), queue.until_next(at(5))), (None, None));
    }
}
