//! A job that a tier holds whose time this daemon keeps.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

use super::{BackendError, Submission};
use crate::{
    ledger::{LedgerError, Route},
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    schedule::Schedule,
};

/// No next fire: a time that no schedule gives.
const NOT_PLANNED: i64 = i64::MIN;

/// A job that a tier holds.
#[derive(Debug)]
pub struct LiveJob {
    /// The tier.
    pub tier: Tier,
    /// Where its runs go; none: into this process.
    pub route: Option<Arc<Route>>,
    /// The job with every default filled in.
    pub spec: Arc<Spec>,
    /// The digest of `spec`.
    pub digest: Digest,
    /// Its triggers, compiled.
    pub schedule: Schedule,
    /// Since when the tier holds it as this.
    pub applied_at: Timestamp,
    /// When it fires next, for those who look: microseconds from the epoch, as the
    /// ledger keeps it, or [`NOT_PLANNED`].
    next_fire: AtomicI64,
}

impl LiveJob {
    /// A job of which it is not planned yet when it fires.
    ///
    /// # Errors
    ///
    /// When its schedule can no longer be read, as after a change of the time zone database, or a job of
    /// the queue tier does not say where its messages go.
    pub fn new(
        tier: Tier,
        spec: Arc<Spec>,
        digest: Digest,
        applied_at: Timestamp,
    ) -> Result<Self, BackendError> {
        let refused = |reason: String| BackendError::Refused { tier, reason };
        let schedule = Schedule::compile(&spec.name, &spec.schedule).map_err(|errors| {
            refused(errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; "))
        })?;
        let route = match (tier, &spec.queue) {
            (Tier::Queue, Some(queue)) => {
                let (backend, name) = (queue.backend.as_str().into(), queue.name.as_str().into());
                Some(Arc::new(Route { tier, backend, queue: name }))
            }
            (Tier::Queue, None) => return Err(refused("it does not say which queue it goes to".to_owned())),
            _ => None,
        };
        Ok(Self { tier, route, spec, digest, schedule, applied_at, next_fire: NOT_PLANNED.into() })
    }

    /// When it fires next: a fire time; none when it does not, or when this process does not fire.
    #[must_use]
    pub fn next_fire(&self) -> Option<Timestamp> {
        let micros = self.next_fire.load(Ordering::Relaxed);
        Timestamp::from_microsecond(micros).ok().filter(|_| micros != NOT_PLANNED)
    }

    /// Keeps when it fires next, for those who look.
    pub fn plan_next(&self, fire_time: Option<Timestamp>) {
        let micros = fire_time.map_or(NOT_PLANNED, Timestamp::as_microsecond);
        self.next_fire.store(micros, Ordering::Relaxed);
    }
}

/// What changed, for the timers.
#[derive(Debug)]
pub enum JobChange {
    /// The job is held as this, from now on.
    Put {
        /// The job.
        job: Arc<LiveJob>,
        /// The last fire time that counts as decided.
        cursor: Timestamp,
    },
    /// The job is held as this; its fire times did not change.
    Edited(Arc<LiveJob>),
    /// The job is no longer held.
    Removed(JobName),
}

/// What stands above the tiers, and decides what is due.
#[async_trait]
pub trait Decide: std::fmt::Debug + Send + Sync {
    /// Decides what is due of a job up to an instant at which it becomes `after`, or is removed; gives
    /// the runs to start. Safe to repeat: what is decided is not decided again.
    ///
    /// # Errors
    ///
    /// When not all of it could be decided; the job must stay as it is then.
    async fn decide_before_edit(
        &self,
        before: &Arc<LiveJob>,
        after: Option<&Spec>,
        until: Timestamp,
    ) -> Result<Vec<Submission>, Undecided>;
}

/// Why what is due before an edit could not be decided.
#[derive(Debug, Error)]
pub enum Undecided {
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The daemon stops.
    #[error("the daemon is stopping")]
    Closing,
}
