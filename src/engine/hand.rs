//! What people do by hand: trigger, pause, resume.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use thiserror::Error;

use super::{clock, daemon::Daemon, pauses::Pause};
use crate::{
    backend::{Submission, live::LiveJob, running::Place},
    ledger::{LedgerError, NewDecision},
    manifest::{
        name::JobName,
        nearest::nearest,
        param::{self, ParamError},
    },
    run::{Cause, RunId, RunKey},
};

/// What a change by hand did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    /// Whether something is otherwise than before.
    pub changed: bool,
    /// One line for people.
    pub message: String,
}

/// Why a change by hand was not made.
#[derive(Debug, Error)]
pub enum HandError {
    /// No tier holds the job.
    #[error("there is no job `{job}`{}", .near.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    NoSuchJob {
        /// The name as given.
        job: JobName,
        /// The nearest name that is held.
        near: Option<String>,
    },
    /// The run does not go on.
    #[error("the run `{run}` does not go on")]
    NoSuchRun {
        /// Its id.
        run: RunId,
    },
    /// As many runs go on as may.
    #[error(
        "`{job}` is running already, and its overlap policy allows {max} at once; `tintal cancel {job}` stops it"
    )]
    Busy {
        /// The job.
        job: JobName,
        /// How many may.
        max: u32,
    },
    /// A parameter that the job does not have, or a value of another type.
    #[error("`{job}` is not started")]
    Param {
        /// The job.
        job: JobName,
        /// What is wrong.
        #[source]
        source: ParamError,
    },
    /// The daemon stops.
    #[error("the daemon is stopping, and starts no more runs")]
    Stopping,
    /// The record could not be written, so nothing was done.
    #[error("nothing was done, since the ledger cannot be written")]
    Ledger(#[from] LedgerError),
}

impl Daemon {
    /// Starts a run of a job now, with other values for some of its parameters.
    ///
    /// # Errors
    ///
    /// As [`HandError`] says; nothing was started then.
    pub async fn trigger(&self, name: &JobName, params: BTreeMap<String, Value>) -> Result<RunId, HandError> {
        if self.is_draining() {
            return Err(HandError::Stopping);
        }
        let job = self.held(name)?;
        let params = param::read(&job.spec.params, params)
            .map_err(|source| HandError::Param { job: name.clone(), source })?;
        let now = clock::now();
        let key = RunKey { job: name.clone(), fire_time: now, cause: Cause::Manual };
        let (id, max) = (key.id(), job.spec.policy.max_running);
        match self.running().enter(id, name, max) {
            Place::Taken | Place::Present => {}
            Place::Full => return Err(HandError::Busy { job: name.clone(), max }),
            Place::Closed => return Err(HandError::Stopping),
        }
        let decision = NewDecision::run(id, name.clone(), now, Cause::Manual, now)
            .with_params(params.clone())
            .with_route(job.route.clone());
        if let Err(error) = self.ledger().decide(vec![decision]).await {
            self.running().leave(id);
            return Err(error.into());
        }
        self.jobs().take(Submission {
            id,
            key,
            route: job.route.clone(),
            spec: Arc::clone(&job.spec),
            digest: job.digest,
            params,
            attempt: 1,
            wait: Duration::ZERO,
        });
        Ok(id)
    }

    /// Keeps a job from firing until `resume`. What it would have fired is recorded as skipped. Of a job
    /// that is paused, a reason takes the place of the one before; since when stays.
    ///
    /// # Errors
    ///
    /// As [`HandError`] says.
    pub async fn pause(&self, name: &JobName, reason: Option<String>) -> Result<Handled, HandError> {
        self.held(name)?;
        let before = self.pauses().of(name);
        if let Some(before) = &before
            && (reason.is_none() || reason == before.reason)
        {
            return Ok(Handled { changed: false, message: format!("`{name}` is paused already") });
        }
        let at = clock::now();
        self.ledger().pause(name.clone(), reason.clone(), at).await?;
        self.pauses().add(name.clone(), Pause { reason, at });
        let message = match before {
            Some(Pause { reason: Some(_), .. }) => {
                format!("`{name}` is paused already; its reason is replaced")
            }
            Some(_) => format!("`{name}` is paused already; it has a reason now"),
            None => format!("paused `{name}`; runs that go on are not stopped"),
        };
        Ok(Handled { changed: true, message })
    }

    /// Lets a job fire again.
    ///
    /// # Errors
    ///
    /// As [`HandError`] says.
    pub async fn resume(&self, name: &JobName) -> Result<Handled, HandError> {
        if !self.pauses().holds(name) {
            self.held(name)?;
            return Ok(Handled { changed: false, message: format!("`{name}` is not paused") });
        }
        self.ledger().resume(name.clone()).await?;
        let changed = self.pauses().remove(name);
        Ok(Handled { changed, message: format!("resumed `{name}`") })
    }

    pub(super) fn held(&self, name: &JobName) -> Result<Arc<LiveJob>, HandError> {
        self.jobs().job(name).ok_or_else(|| {
            let jobs = self.jobs().jobs();
            let near = nearest(name.as_str(), jobs.iter().map(|job| job.spec.name.as_str()));
            HandError::NoSuchJob { job: name.clone(), near: near.map(str::to_owned) }
        })
    }
}
