//! Dead letters: what is given up becomes one, and while there is no room for more, nothing is sent.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use tracing::{debug, error, info};
use uuid::Uuid;

use super::{clock, daemon::Daemon};
use crate::{
    backend::{
        Submission,
        queue::{making, outbox::Connection, report::Refused, signature::Keyring},
    },
    ledger::{AttemptEnd, LedgerError, LetterKept, LetterState, NewDeadLetter},
    manifest::name::JobName,
    run::{Category, category},
};

/// How long a letter that is tried again is kept from being tried by others: long enough for a run that
/// waits for a worker; after that it is taken for one whose try came to nothing.
pub(super) const LEASE: Duration = Duration::from_secs(24 * 3600);

/// How often it is looked whether a person has made room, or a letter can have its turn, when nothing has
/// said so.
const LOOK: Duration = Duration::from_secs(10);

/// What is known of the dead letters without asking the ledger.
#[derive(Debug, Default)]
pub struct Letters {
    /// Those that are open: as many at least as there were when they were last counted.
    open: AtomicU64,
    is_full: AtomicBool,
    /// Those that are to be tried again when there is room for their jobs' runs.
    waiting: Mutex<BTreeMap<JobName, VecDeque<Uuid>>>,
    added: Notify,
}

impl Letters {
    /// Whether there is no room for more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    /// Has one wait for its turn. One that waits already is no error.
    pub(super) fn wait(&self, job: &JobName, letter: Uuid) {
        let mut waiting = self.lock();
        let of_job = waiting.entry(job.clone()).or_default();
        if !of_job.contains(&letter) {
            of_job.push_back(letter);
            self.added.notify_one();
        }
    }

    /// Whether one waits for its turn.
    #[must_use]
    pub fn waits(&self, job: &JobName, letter: Uuid) -> bool {
        self.lock().get(job).is_some_and(|of_job| of_job.contains(&letter))
    }

    /// The jobs of those that wait.
    pub(super) fn waiting_jobs(&self) -> Vec<JobName> {
        self.lock().keys().cloned().collect()
    }

    /// Takes out the one of a job whose turn it is.
    pub(super) fn next(&self, job: &JobName) -> Option<Uuid> {
        let mut waiting = self.lock();
        let of_job = waiting.get_mut(job)?;
        let next = of_job.pop_front();
        if of_job.is_empty() {
            waiting.remove(job);
        }
        next
    }

    /// Leaves one its turn.
    pub(super) fn put_back(&self, job: &JobName, letter: Uuid) {
        self.lock().entry(job.clone()).or_default().push_front(letter);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobName, VecDeque<Uuid>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Daemon {
    /// Counts the dead letters, and says whether there is room: without, nothing more is sent.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read; what was known before holds on.
    pub async fn see_to_room(&self) -> Result<(), LedgerError> {
        let counts = self.ledger().letter_counts(clock::now()).await?;
        let open = counts.iter().filter(|(state, _)| state.is_open()).map(|(_, count)| count).sum();
        self.letters().open.store(open, Ordering::Release);
        self.set_full(open >= self.letters_max());
        Ok(())
    }

    /// Takes note of a letter that was kept, or that there was no room for.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub(super) async fn letter_kept(&self, kept: LetterKept) -> Result<(), LedgerError> {
        match kept {
            LetterKept::Full => self.set_full(true),
            // It may have been there before: they are counted only when it matters.
            LetterKept::Kept => {
                if self.letters().open.fetch_add(1, Ordering::AcqRel) + 1 >= self.letters_max() {
                    self.see_to_room().await?;
                }
            }
        }
        Ok(())
    }

    fn set_full(&self, is_full: bool) {
        self.outbox().set_full(is_full);
        match (self.letters().is_full.swap(is_full, Ordering::AcqRel), is_full) {
            (false, true) => error!(
                max = self.letters_max(),
                "there is no room for dead letters; nothing is sent until some are resolved or purged (`tintal dlq list`)"
            ),
            (true, false) => info!("there is room for dead letters again"),
            _ => {}
        }
    }

    /// Gives letters that wait their turns, and looks for room, until `stop` says so.
    pub async fn see_to_letters(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let waits = !self.letters().waiting_jobs().is_empty();
            let turn =
                async { if waits { self.running().one_left().await } else { std::future::pending().await } };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.letters().added.notified() => {}
                () = turn => {}
                () = sleep(LOOK) => {}
            }
            self.replay_waiting().await;
            if self.letters().is_full()
                && let Err(error) = self.see_to_room().await
            {
                debug!(error = &error as &dyn std::error::Error, "dead letters cannot be counted yet");
            }
        }
    }
}

/// The dead letter of a run that is given up with the end of an attempt.
pub(super) fn of_run(
    submission: &Submission,
    end: &AttemptEnd,
    from: &Connection,
    now: Timestamp,
) -> NewDeadLetter {
    // As it was sent, save the signature: one that is tried again is signed anew.
    let body = making::envelope(submission, now, &from.results, now)
        .map(|envelope| envelope.sign(&Keyring::new(Vec::new())).into_bytes())
        .unwrap_or_default();
    let route = submission.route.as_ref();
    NewDeadLetter {
        id: submission.id.0,
        job: Some(submission.key.job.clone()),
        fire_time: Some(submission.key.fire_time),
        backend: Arc::clone(&from.name),
        queue: route.map_or_else(|| "".into(), |route| Arc::clone(&route.queue)),
        category: category(&end.outcome),
        reason: end.outcome.to_string(),
        attempts: end.n,
        body,
        state: LetterState::Pending,
        at: end.ended_at,
    }
}

/// The dead letter of a message that is none of this daemon's runs. It is held: nothing is known of it
/// that says that another try would end otherwise. It has no fire time, by which those are told from it
/// that this daemon wrote itself.
pub(super) fn of_message(refused: Refused, category: Category, from: &Connection) -> NewDeadLetter {
    NewDeadLetter {
        id: refused.id,
        job: refused.job,
        fire_time: None,
        backend: Arc::clone(&from.name),
        queue: refused.queue.into(),
        category,
        reason: refused.outcome.to_string(),
        attempts: refused.deliveries,
        body: refused.body.into_bytes(),
        state: LetterState::Held,
        at: refused.at,
    }
}

/// Names a message that is no run by what it says.
#[must_use]
pub fn message_uuid(body: &[u8]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, body)
}
