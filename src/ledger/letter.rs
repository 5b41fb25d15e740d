//! Dead letters: what is given up, and kept for a person.

pub(super) mod memory;
pub(super) mod rows;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    record::{AttemptEnd, LedgerError, NewDecision},
    records::ReadLetters as _,
    store::{self, Ledger},
};
use crate::{manifest::name::JobName, run::Category};

/// How often a dead letter is tried again in vain before it is exhausted: what has failed so often fails
/// until somebody has changed something.
pub const REPLAYS_MAX: u32 = 5;

/// What is noted of one whose run succeeded after all.
const SUCCEEDED: &str = "its run has succeeded";

/// What is to become of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LetterState {
    /// It can be tried again.
    Pending,
    /// It is being tried again, until its lease is over: then it is pending.
    Retrying,
    /// A person is to say what becomes of it.
    Held,
    /// It was tried again as often as it may be.
    Exhausted,
    /// It is done with.
    Resolved,
}

impl LetterState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Retrying, Self::Held, Self::Exhausted, Self::Resolved];

    /// The word in records and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Exhausted => "exhausted",
            Self::Resolved => "resolved",
        }
    }

    /// Whether somebody is to see to it still.
    #[must_use]
    pub fn is_open(self) -> bool {
        self != Self::Resolved
    }

    /// The state at an instant of one that is leased until another.
    pub(super) fn seen_at(self, now: Timestamp, lease_until: Option<Timestamp>) -> Self {
        match self {
            Self::Retrying if lease_until.is_none_or(|until| until <= now) => Self::Pending,
            state => state,
        }
    }

    /// The state of one that can be tried again, by how often it was given up.
    pub(super) fn after(times: u32) -> Self {
        if times > REPLAYS_MAX { Self::Exhausted } else { Self::Pending }
    }
}

/// What is given up.
#[derive(Debug, Clone)]
pub struct NewDeadLetter {
    /// The run's; of a message that is no run, a hash of it.
    pub id: Uuid,
    /// The job; none when the message does not say.
    pub job: Option<JobName>,
    /// Its fire time.
    pub fire_time: Option<Timestamp>,
    /// The backend that it came over, or was to go over.
    pub backend: Arc<str>,
    /// The queue there.
    pub queue: Arc<str>,
    /// Why, in one word.
    pub category: Category,
    /// Why, for a person; without secrets.
    pub reason: String,
    /// Attempts that were made.
    pub attempts: u32,
    /// The message, as it was sent.
    pub body: Vec<u8>,
    /// Pending, or held.
    pub state: LetterState,
    /// When.
    pub at: Timestamp,
}

/// Whether a dead letter was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterKept {
    /// It is on disk.
    Kept,
    /// There are as many as there may be, and nothing was written: hold on to it, and take no more.
    Full,
}

/// What came of opening the run of a dead letter again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reopened {
    /// It is open, and this attempt is to be made.
    Attempt(u32),
    /// Another has the letter, or it is done with, or there is none.
    Taken,
    /// Its run goes on, or was never to run.
    Open,
}

/// Which dead letters are asked for.
#[derive(Debug, Clone)]
pub struct LetterQuery {
    /// In one of these states; in any when there is none.
    pub states: Vec<LetterState>,
    /// Of this job only.
    pub job: Option<JobName>,
    /// Of this category only.
    pub category: Option<Category>,
    /// Of this backend only.
    pub backend: Option<Arc<str>>,
    /// Given up before this only.
    pub before: Option<Timestamp>,
    /// As many at most.
    pub limit: usize,
    /// Whose leases are over by then is pending.
    pub now: Timestamp,
}

impl LetterQuery {
    /// All that there are.
    #[must_use]
    pub fn all(now: Timestamp) -> Self {
        Self {
            states: Vec::new(),
            job: None,
            category: None,
            backend: None,
            before: None,
            limit: usize::MAX,
            now,
        }
    }
}

/// A dead letter without its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterRow {
    /// The run's; of a message that is no run, a hash of it.
    pub id: Uuid,
    /// The job; none when the message does not say.
    pub job: Option<JobName>,
    /// Its fire time.
    pub fire_time: Option<Timestamp>,
    /// The backend that it came over, or was to go over.
    pub backend: Arc<str>,
    /// The queue there.
    pub queue: Arc<str>,
    /// Why, in one word.
    pub category: Category,
    /// Why, for a person.
    pub reason: String,
    /// Attempts that were made.
    pub attempts: u32,
    /// How often it was given up.
    pub times: u32,
    /// What is to become of it.
    pub state: LetterState,
    /// While it is being tried again: until when nobody else does.
    pub lease_until: Option<Timestamp>,
    /// What was said of it last.
    pub note: Option<String>,
    /// When it was first given up.
    pub first_at: Timestamp,
    /// When it was last given up.
    pub at: Timestamp,
    /// When its state changed last.
    pub changed_at: Timestamp,
    /// Bytes of its message.
    pub size: u64,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// All but its message.
    pub row: LetterRow,
    /// The message, as it was sent.
    pub body: Vec<u8>,
}

impl Ledger {
    /// Records how the last attempt of a run ended, with it its run, and the dead letter that the run
    /// becomes. One that was a dead letter before is the same, and open again.
    pub fn given_up(
        &self,
        end: AttemptEnd,
        letter: NewDeadLetter,
        letters_max: u64,
    ) -> impl Future<Output = Result<LetterKept, LedgerError>> + Send + use<> {
        self.write(move |records| records.given_up(&end, &letter, letters_max))
    }

    /// Keeps a message that is no run.
    pub fn dead_letter(
        &self,
        letter: NewDeadLetter,
        letters_max: u64,
    ) -> impl Future<Output = Result<LetterKept, LedgerError>> + Send + use<> {
        self.write(move |records| records.dead_letter(&letter, letters_max))
    }

    /// Takes a dead letter to try it again. None when there is none, when it is done with, or when
    /// another has taken it and its lease is not over.
    pub fn lease_letter(
        &self,
        id: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> impl Future<Output = Result<Option<Letter>, LedgerError>> + Send + use<> {
        self.write(move |records| records.lease_letter(id, now, until))
    }

    /// Takes a dead letter to try it again, as [`lease_letter`](Self::lease_letter) does, and opens its run
    /// again for one more attempt, which goes where `run` says. A run whose row was dropped is written
    /// anew. How the run ends is then what becomes of the letter: resolved when it succeeds, else pending,
    /// or exhausted.
    pub fn reopened(
        &self,
        run: NewDecision,
        until: Timestamp,
    ) -> impl Future<Output = Result<Reopened, LedgerError>> + Send + use<> {
        self.write(move |records| records.reopened(&run, until))
    }

    /// Gives back the dead letters that are taken, and whose runs are not open: who took them is gone.
    /// Gives how many.
    pub fn letters_returned(
        &self,
        at: Timestamp,
    ) -> impl Future<Output = Result<u64, LedgerError>> + Send + use<> {
        self.write(move |records| records.letters_returned(at))
    }

    /// Records what became of a dead letter; `false` when there is none. A note takes the place of the
    /// one before.
    pub fn letter_ended(
        &self,
        id: Uuid,
        state: LetterState,
        note: Option<String>,
        at: Timestamp,
    ) -> impl Future<Output = Result<bool, LedgerError>> + Send + use<> {
        self.write(move |records| records.letter_ended(id, state, note.as_deref(), at))
    }

    /// Drops dead letters for good; gives how many.
    pub fn purge_letters(
        &self,
        query: LetterQuery,
    ) -> impl Future<Output = Result<u64, LedgerError>> + Send + use<> {
        self.write(move |records| records.purge_letters(&query))
    }

    /// Dead letters, those that were given up last first.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn letters(&self, query: LetterQuery) -> Result<Vec<LetterRow>, LedgerError> {
        self.read(move |records| records.letters(&query)).await
    }

    /// One dead letter.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn letter(&self, id: Uuid, now: Timestamp) -> Result<Option<Letter>, LedgerError> {
        self.read(move |records| records.letter(id, now)).await
    }

    /// How many dead letters there are in each state that has one.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn letter_counts(&self, now: Timestamp) -> Result<BTreeMap<LetterState, u64>, LedgerError> {
        self.read(move |records| records.letter_counts(now)).await
    }

    /// Reads dead letters from a ledger that another process may be writing.
    ///
    /// # Errors
    ///
    /// As [`Ledger::peek_placements`].
    pub fn peek_letters(path: &Path, query: &LetterQuery) -> Result<Vec<LetterRow>, LedgerError> {
        store::peek(path, Vec::new(), |records| records.letters(query))
    }

    /// How many dead letters there are in each state that has one, in a ledger that another process may be
    /// writing.
    ///
    /// # Errors
    ///
    /// As [`Ledger::peek_placements`].
    pub fn peek_letter_counts(
        path: &Path,
        now: Timestamp,
    ) -> Result<BTreeMap<LetterState, u64>, LedgerError> {
        store::peek(path, BTreeMap::new(), |records| records.letter_counts(now))
    }

    /// Reads one dead letter from a ledger that another process may be writing.
    ///
    /// # Errors
    ///
    /// As [`Ledger::peek_placements`].
    pub fn peek_letter(path: &Path, id: Uuid, now: Timestamp) -> Result<Option<Letter>, LedgerError> {
        store::peek(path, None, |records| records.letter(id, now))
    }
}
