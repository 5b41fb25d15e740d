//! The jobs that a person paused: state of the run time, not of the manifests.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use crate::manifest::name::JobName;

/// Why and since when a job is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What the person said.
    pub reason: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// The jobs that a person paused. The ledger keeps them over restarts.
#[derive(Debug, Default)]
pub struct Pauses {
    paused: Mutex<BTreeMap<JobName, Pause>>,
}

impl Pauses {
    /// Pauses a job. One that is paused already keeps its time; a reason takes the place of its own.
    pub fn add(&self, job: JobName, pause: Pause) {
        let Pause { reason, at } = pause;
        let mut paused = self.lock();
        let held = paused.entry(job).or_insert(Pause { reason: None, at });
        held.reason = reason.or_else(|| held.reason.take());
    }

    /// Lets a job fire again; `false` when it was not paused.
    #[must_use]
    pub fn remove(&self, job: &JobName) -> bool {
        self.lock().remove(job).is_some()
    }

    /// Whether a job is paused.
    #[must_use]
    pub fn holds(&self, job: &JobName) -> bool {
        self.lock().contains_key(job)
    }

    /// Why and since when a job is paused.
    #[must_use]
    pub fn of(&self, job: &JobName) -> Option<Pause> {
        self.lock().get(job).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobName, Pause>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
