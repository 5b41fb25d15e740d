//! Dead letters that a person has tried again, resolves or purges.
//!
//! A letter is the run that was given up: it is opened again, and makes one more attempt of the job as it
//! is now. One that cannot begin yet, as the job's other runs take all its places, waits for its turn here;
//! it stays pending meanwhile, so that a crash loses nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use thiserror::Error;
use tracing::{info, warn};
use uuid::Uuid;

use super::{clock, daemon::Daemon, hand::Handled, letters::LEASE};
use crate::{
    backend::{
        Submission,
        queue::{
            envelope::{Envelope, Work},
            signature::Keyring,
        },
        running::Place,
    },
    ledger::{
        LedgerError, Letter, LetterQuery, LetterRow, LetterState, NewDecision, Reopened, Route, RunRow,
    },
    manifest::{
        characteristics::Tier,
        name::JobName,
        schedule::{DayMatch, DstOverlap, Gap},
        shared::Shared,
        spec::{CronSpec, ScheduleSpec, Spec, TriggerSpec},
    },
    run::{Outcome, RunId, RunKey},
};

/// Why a dead letter is left as it is.
#[derive(Debug, Error)]
pub enum LetterError {
    /// There is none of this id.
    #[error("there is no dead letter `{0}`")]
    NoSuchLetter(Uuid),
    /// It is done with.
    #[error("it is resolved")]
    Resolved,
    /// It is being tried again.
    #[error("it is being tried again already")]
    Retrying,
    /// It is none that this daemon can try again.
    #[error("{0}")]
    NoRun(String),
    /// The daemon stops.
    #[error("the daemon is stopping, and starts no more runs")]
    Stopping,
    /// The ledger cannot be used.
    #[error("the ledger cannot be used")]
    Ledger(#[from] LedgerError),
}

/// What came of having a letter tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// The attempt that is made.
    Begun {
        /// Counted from 1.
        attempt: u32,
    },
    /// It waits for its turn, as other runs of the job go on.
    Waits {
        /// How many may at once.
        max: u32,
    },
}

/// A run as it is tried again.
#[derive(Debug)]
struct Again {
    submission: Submission,
    max_running: u32,
}

impl Daemon {
    /// Has a dead letter tried again: its run makes one more attempt, as soon as there is a place for it.
    ///
    /// # Errors
    ///
    /// As [`LetterError`] says; nothing is otherwise than before then.
    pub async fn replay(&self, id: Uuid) -> Result<Replayed, LetterError> {
        let again = self.again_of(id).await?;
        let (job, max) = (again.submission.key.job.clone(), again.max_running);
        if !self.letters().waits(&job, id)
            && let Some(attempt) = self.begin_again(again).await?
        {
            return Ok(Replayed::Begun { attempt });
        }
        self.letters().wait(&job, id);
        Ok(Replayed::Waits { max })
    }

    async fn again_of(&self, id: Uuid) -> Result<Again, LetterError> {
        if self.is_draining() {
            return Err(LetterError::Stopping);
        }
        let letter = self.ledger().letter(id, clock::now()).await?;
        self.again(&letter.ok_or(LetterError::NoSuchLetter(id))?).await
    }

    /// Why a letter cannot be tried again; none when it can.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn why_no_replay(&self, letter: &Letter) -> Result<Option<LetterError>, LedgerError> {
        match self.again(letter).await {
            Ok(_) => Ok(None),
            Err(LetterError::Ledger(error)) => Err(error),
            Err(error) => Ok(Some(error)),
        }
    }

    /// Marks a dead letter as done with.
    ///
    /// # Errors
    ///
    /// As [`LetterError`] says.
    pub async fn resolve(&self, id: Uuid, note: Option<String>) -> Result<Handled, LetterError> {
        let now = clock::now();
        let letter = self.ledger().letter(id, now).await?.ok_or(LetterError::NoSuchLetter(id))?;
        let is_resolved = letter.row.state == LetterState::Resolved;
        if is_resolved && (note.is_none() || note == letter.row.note) {
            return Ok(Handled { changed: false, message: format!("{id} is resolved already") });
        }
        self.ledger().letter_ended(id, LetterState::Resolved, note, now).await?;
        self.see_to_room().await?;
        let message = match (is_resolved, letter.row.state) {
            (true, _) => format!("{id} is resolved already; its note is replaced"),
            (false, LetterState::Retrying) => {
                format!("resolved {id}; its run goes on, and opens it again if it is given up")
            }
            (false, _) => format!("resolved {id}"),
        };
        Ok(Handled { changed: true, message })
    }

    /// Drops dead letters for good; gives how many.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be used.
    pub async fn purge(&self, query: LetterQuery) -> Result<u64, LedgerError> {
        let purged = self.ledger().purge_letters(query).await?;
        self.see_to_room().await?;
        Ok(purged)
    }

    /// Begins letters that wait, as far as there are places for them.
    pub(super) async fn replay_waiting(&self) {
        for job in self.letters().waiting_jobs() {
            while self.has_place(&job)
                && !self.is_draining()
                && let Some(id) = self.letters().next(&job)
            {
                let begun = match self.again_of(id).await {
                    Ok(again) => self.begin_again(again).await,
                    Err(error) => Err(error),
                };
                match begun {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(LetterError::Ledger(_)) => {
                        self.letters().put_back(&job, id);
                        break;
                    }
                    Err(error) => warn!(%job, letter = %id, %error, "a dead letter is not tried again"),
                }
            }
        }
    }

    fn has_place(&self, job: &JobName) -> bool {
        let max = self.jobs().job(job).map_or(1, |job| job.spec.policy.max_running);
        self.running().of(job) < max
    }

    /// Begins a run again; none when all places of its job are taken.
    async fn begin_again(&self, again: Again) -> Result<Option<u32>, LetterError> {
        let Again { submission, max_running } = again;
        let Submission { id, key, .. } = &submission;
        // Looked at before: a fire that could not be delivered yet need not make way for it.
        if self.running().of(&key.job) >= max_running {
            return Ok(None);
        }
        match self.running().enter(*id, &key.job, max_running) {
            Place::Taken => {}
            Place::Present => {
                self.running().withdraw(*id);
                return Err(LetterError::Retrying);
            }
            Place::Full => return Ok(None),
            Place::Closed => return Err(LetterError::Stopping),
        }
        let now = clock::now();
        let decision = NewDecision::run(*id, key.job.clone(), key.fire_time, key.cause, now)
            .without_cursor()
            .with_params(submission.params.clone())
            .with_route(submission.route.clone());
        let until = now.checked_add(LEASE).unwrap_or(jiff::Timestamp::MAX);
        let reopened = self.ledger().reopened(decision, until).await;
        if !matches!(reopened, Ok(Reopened::Attempt(_))) {
            self.running().leave(*id);
        }
        match reopened? {
            Reopened::Attempt(attempt) => {
                info!(job = %key.job, run_id = %id, attempt, "a dead letter is tried again");
                self.jobs().take(Submission { attempt, ..submission });
                Ok(Some(attempt))
            }
            Reopened::Taken | Reopened::Open => Err(LetterError::Retrying),
        }
    }

    /// The run of a letter as it would be tried again.
    async fn again(&self, letter: &Letter) -> Result<Again, LetterError> {
        let row = &letter.row;
        match row.state {
            LetterState::Resolved => return Err(LetterError::Resolved),
            LetterState::Retrying => return Err(LetterError::Retrying),
            LetterState::Pending | LetterState::Held | LetterState::Exhausted => {}
        }
        let run = self.ledger().run(RunId(row.id)).await?;
        let envelope = own_envelope(letter);
        let (key, params) = key(row, run.as_ref(), envelope.as_ref())?;
        let Some(job) = self.jobs().job(&key.job) else {
            return self.again_without_job(row, (key, params), envelope);
        };
        let submission = Submission {
            id: RunId(row.id),
            key,
            route: job.route.clone(),
            spec: Arc::clone(&job.spec),
            digest: job.digest,
            params,
            attempt: 1,
            wait: Duration::ZERO,
        };
        Ok(Again { submission, max_running: job.spec.policy.max_running })
    }

    /// The same of a job that is gone: as its message says.
    fn again_without_job(
        &self,
        row: &LetterRow,
        (key, params): (RunKey, BTreeMap<String, Value>),
        envelope: Option<Envelope>,
    ) -> Result<Again, LetterError> {
        let no_run =
            |what: &str| LetterError::NoRun(format!("there is no job `{}` any more, and {what}", key.job));
        let Some(envelope) = envelope else {
            return Err(no_run("its message does not come from this daemon"));
        };
        let digest = envelope.digest;
        let Some(work) = envelope.action else {
            return Err(no_run("its message is for another program"));
        };
        if self.outbox().lane(&row.backend).is_none() {
            return Err(no_run(&format!("the settings have no backend `{}`", row.backend)));
        }
        let route =
            Route { tier: Tier::Queue, backend: Arc::clone(&row.backend), queue: Arc::clone(&row.queue) };
        let submission = Submission {
            id: RunId(row.id),
            route: Some(Arc::new(route)),
            spec: spec_of(work, &key.job),
            digest,
            params,
            attempt: 1,
            wait: Duration::ZERO,
            key,
        };
        Ok(Again { submission, max_running: 1 })
    }
}

/// The message of a letter that this daemon wrote itself when it gave its run up. What a worker refused
/// may say anything, and nothing of it is run.
fn own_envelope(letter: &Letter) -> Option<Envelope> {
    letter.row.fire_time?;
    Envelope::read(&letter.body, &Keyring::new(Vec::new())).ok().map(|(envelope, _)| envelope)
}

/// What the run of a letter is, and the values that it was given.
fn key(
    row: &LetterRow,
    run: Option<&RunRow>,
    envelope: Option<&Envelope>,
) -> Result<(RunKey, BTreeMap<String, Value>), LetterError> {
    let no_run = |why: &str| Err(LetterError::NoRun(why.to_owned()));
    let key = |job: &JobName, fire_time, cause| RunKey { job: job.clone(), fire_time, cause };
    match (run, envelope) {
        (Some(RunRow { skipped: Some(_), .. }), _) => no_run("its occurrence was skipped"),
        (Some(RunRow { outcome: None, .. }), _) => Err(LetterError::Retrying),
        (Some(RunRow { outcome: Some(Outcome::Success), .. }), _) => no_run("its run has succeeded"),
        (Some(run), _) => Ok((key(&run.job, run.fire_time, run.cause), run.params.clone())),
        // History keeps so many runs.
        (None, Some(envelope)) if envelope.run_id.0 == row.id => {
            let params = envelope.action.as_ref().map(|work| work.params.clone()).unwrap_or_default();
            Ok((key(&envelope.job, envelope.fire_time, envelope.cause), params))
        }
        (None, _) => no_run("it is none of this daemon's runs"),
    }
}

/// The job that a message asks for, with the zone that its fire time is told in.
fn spec_of(work: Work, job: &JobName) -> Arc<Spec> {
    let cron = CronSpec {
        expression: "0 0 1 1 *".to_owned(),
        timezone: work.timezone.clone(),
        gap: Gap::RunAfter,
        overlap: DstOverlap::First,
        day_match: DayMatch::Any,
    };
    let entry = ScheduleSpec { trigger: TriggerSpec::Cron(cron), jitter: None, start: None, end: None };
    let spec = work.into_spec(job.clone());
    Arc::new(Spec { schedule: Shared::of(vec![entry]), ..Arc::unwrap_or_clone(spec) })
}
