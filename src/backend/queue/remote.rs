//! The runs of this daemon that are messages, or at a worker: how far each has come.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::report::AttemptId;
use crate::{
    backend::Submission,
    ledger::Stage,
    manifest::{name::JobName, spec::Spec},
    run::RunId,
};

/// How long after the end of its time a message that nobody picked up is given up: a report that it was
/// may be on its way.
const EXPIRED_AFTER: Duration = Duration::from_secs(60);

/// How long nothing may be heard of an attempt that was picked up: longer than the claim on its message
/// lasts, so that another worker has had the time to take it over.
const LOST_AFTER: Duration = Duration::from_secs(600);

/// The runs.
#[derive(Debug, Default)]
pub struct Remote {
    runs: Mutex<HashMap<RunId, Tracked>>,
}

/// A run that is a message, or at a worker.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// What was handed over; the number of its attempt is the one that is under way.
    pub submission: Submission,
    /// How far the attempt has come.
    pub stage: Stage,
    /// When that was, or was heard of again.
    pub heard_at: Timestamp,
    /// When its message is no longer good.
    pub expires_at: Timestamp,
    /// The worker that has it.
    pub worker: Option<Arc<str>>,
}

/// What may be wrong with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Nobody picked it up in time.
    Expired,
    /// Nothing is heard of the worker that has it.
    Lost,
}

impl Remote {
    /// Takes a run in, or its next attempt.
    pub fn track(&self, tracked: Tracked) {
        self.lock().insert(tracked.submission.id, tracked);
    }

    /// The run, as it is known now.
    #[must_use]
    pub fn get(&self, run: RunId) -> Option<Tracked> {
        self.lock().get(&run).cloned()
    }

    /// Every run of a job.
    #[must_use]
    pub fn of_job(&self, job: &JobName) -> Vec<RunId> {
        let runs = self.lock();
        runs.iter().filter(|(_, run)| run.submission.key.job == *job).map(|(id, _)| *id).collect()
    }

    /// Takes note of what was heard of an attempt; `false` when it is none that is under way.
    pub fn heard(&self, attempt: AttemptId, stage: Stage, at: Timestamp, worker: &Arc<str>) -> bool {
        let mut runs = self.lock();
        let Some(run) = runs.get_mut(&attempt.run_id).filter(|run| run.submission.attempt == attempt.n)
        else {
            return false;
        };
        run.stage = stage;
        run.heard_at = at;
        run.worker = Some(Arc::clone(worker));
        true
    }

    /// Takes note that the queue system has the message; not when more is known by now.
    pub fn acknowledged(&self, run: RunId, at: Timestamp) {
        if let Some(run) = self.lock().get_mut(&run).filter(|run| run.stage == Stage::Enqueued) {
            run.stage = Stage::Acknowledged;
            run.heard_at = at;
        }
    }

    /// Lets go of a run.
    pub fn forget(&self, run: RunId) -> Option<Tracked> {
        self.lock().remove(&run)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The attempts of which nothing more is to be expected at `now`. What still waits to be sent is not
    /// among them.
    #[must_use]
    pub fn silent(&self, now: Timestamp) -> Vec<(AttemptId, Silence)> {
        let is_past = |at: Timestamp, by: Duration| at.checked_add(by).is_ok_and(|end| end < now);
        let runs = self.lock();
        let silent = runs.iter().filter_map(|(id, run)| {
            let silence = match run.stage {
                Stage::Acknowledged if is_past(run.expires_at, EXPIRED_AFTER) => Silence::Expired,
                Stage::PickedUp | Stage::Running if is_past(run.heard_at, LOST_AFTER) => Silence::Lost,
                Stage::Enqueued | Stage::Acknowledged | Stage::PickedUp | Stage::Running => return None,
            };
            Some((AttemptId { run_id: *id, n: run.submission.attempt }, silence))
        });
        silent.collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Tracked>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a message of a job is good, when its manifest does not say: a worker that comes back the next
/// morning still finds it (issue 3).
const EXPIRE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// When a message that is due at `due` is no longer good.
#[must_use]
pub fn expires_at(spec: &Spec, due: Timestamp) -> Timestamp {
    let after = spec.queue.as_ref().and_then(|queue| queue.expire_after).unwrap_or(EXPIRE_AFTER);
    due.checked_add(after).unwrap_or(Timestamp::MAX)
}
