//! The one interface between the engine and the places where jobs run.
//!
//! Each tier has one adapter in this folder. An adapter holds no policy: what to change is
//! decided in `plan`, when to fire in `schedule`, whether to retry in `run`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use thiserror::Error;

use crate::{
    ledger::Route,
    manifest::{characteristics::Tier, digest::Digest, spec::Spec},
    plan::diff::{Held, Placement, Step},
    run::{RunId, RunKey},
};

pub mod drive;
pub mod fake;
pub mod live;
pub mod queue;
pub mod running;
pub mod takers;
pub mod timed;

/// A place that holds jobs and takes runs.
///
/// Every method is safe to repeat: the engine calls again after a crash or a timeout.
#[async_trait]
pub trait Backend: std::fmt::Debug + Send + Sync {
    /// The tier this backend serves.
    fn tier(&self) -> Tier;

    /// Every job the backend holds for this runner, as it is now.
    ///
    /// Leaves out jobs that others put there.
    async fn observe(&self) -> Result<BTreeMap<Placement, Held>, BackendError>;

    /// Makes one step true. A step that is true already is no error.
    async fn apply(&self, step: &Step) -> Result<(), BackendError>;

    /// Hands over one run. A second call with the same key starts nothing.
    async fn submit(&self, submission: Submission) -> Result<(), BackendError>;

    /// Hands over runs that were decided together; gives those that were not taken, and why.
    async fn submit_all(&self, submissions: Vec<Submission>) -> Vec<(RunId, BackendError)> {
        let mut refused = Vec::new();
        for submission in submissions {
            let id = submission.id;
            if let Err(error) = self.submit(submission).await {
                refused.push((id, error));
            }
        }
        refused
    }
}

/// One run to be handed over.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The run: the id of `key`.
    pub id: RunId,
    /// Names the run.
    pub key: RunKey,
    /// Where it goes; none: into this process.
    pub route: Option<Arc<Route>>,
    /// The job as it was when the run was decided. The run keeps it, whatever is edited meanwhile.
    pub spec: Arc<Spec>,
    /// The digest of `spec`.
    pub digest: Digest,
    /// Values in place of the spec's `params`.
    pub params: BTreeMap<String, Value>,
    /// The number of the first attempt: above 1 when a daemon before this one made earlier ones.
    pub attempt: u32,
    /// How long the run waits before that attempt.
    pub wait: Duration,
}

/// Why a backend could not do as asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackendError {
    /// No answer, or an answer that says to come back later. Asking again can help.
    #[error("{tier} did not answer")]
    Unreachable {
        /// The tier.
        tier: Tier,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The backend read the request and said no. Asking again cannot help.
    #[error("{tier} refused: {reason}")]
    Refused {
        /// The tier.
        tier: Tier,
        /// What it said.
        reason: String,
    },
    /// The daemon stops, and what had to be decided before was not. The next one does it.
    #[error("the daemon is stopping; the next one makes the change")]
    Closing {
        /// The tier.
        tier: Tier,
    },
}

impl BackendError {
    /// The tier that it happened on.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match self {
            Self::Unreachable { tier, .. } | Self::Refused { tier, .. } | Self::Closing { tier } => *tier,
        }
    }
}
