//! What a ledger is to keep, whatever keeps it: [`Session`](super::writer::Session) in `SQLite`,
//! [`Memory`](super::memory::Memory) in memory. Every write is safe to repeat.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    handled::Handled,
    history::Pruned,
    letter::{Letter, LetterKept, LetterQuery, LetterRow, LetterState, NewDeadLetter, Reopened},
    queue::{Claim, Fate, Keyed, QueueDepth, Queued, Received},
    record::{
        Applied, AttemptEnd, AttemptStart, Cut, Decided, LastRun, NewDecision, OpenRun, Passed, PauseRow,
        PlacementRow, Range, RunQuery, RunRow, Skip,
    },
    route::{Route, Staged},
    store::HistoryLimits,
};
use crate::{
    manifest::{characteristics::Tier, name::JobName},
    run::{Outcome, RunId},
};

pub(super) type Result<T> = rusqlite::Result<T>;

/// What writes records.
pub(super) trait Write: WriteLetters + WriteHandled + WriteQueue {
    /// A tier holds a job as this.
    fn applied(&mut self, applied: &Applied) -> Result<()>;
    /// A tier no longer holds a job. Its history stays.
    fn pruned(&mut self, job: &JobName, tier: Tier) -> Result<()>;
    /// Decisions, and the cursors of their jobs with them.
    fn decide(&mut self, decisions: &[NewDecision]) -> Result<Vec<Decided>>;
    /// A cursor goes back, and ranges that reach past it end.
    fn go_back(&mut self, back: &NewDecision, cuts: &[Cut]) -> Result<()>;
    /// An attempt begins. Of a run that there is no row of, nothing is kept.
    fn attempt_started(&mut self, start: &AttemptStart) -> Result<()>;
    /// An attempt ended, and its run with it when it was the last.
    fn attempt_ended(&mut self, end: &AttemptEnd) -> Result<()>;
    /// Attempts that were over as soon as they began, and their runs with them.
    fn passed(&mut self, attempts: &[Passed]) -> Result<()>;
    /// A run ended.
    fn run_ended(&mut self, run: RunId, outcome: &Outcome, at: Timestamp) -> Result<()>;
    /// Attempts have come so far on their way.
    fn staged(&mut self, staged: &[Staged]) -> Result<()>;
    /// An open run goes elsewhere than was decided.
    fn rerouted(&mut self, run: RunId, route: Option<&Route>) -> Result<()>;
    /// An open run that was never handed over becomes a skip; `false` when it is none.
    fn dropped(&mut self, run: RunId, skip: Skip, at: Timestamp) -> Result<bool>;
    /// The name of this ledger; the first that is proposed.
    fn instance(&mut self, proposed: &str) -> Result<String>;
    /// A person paused a job. Of one that is paused, a reason takes the place of the one before.
    fn pause(&mut self, job: &JobName, reason: Option<&str>, at: Timestamp) -> Result<()>;
    /// A job is no longer paused.
    fn resume(&mut self, job: &JobName) -> Result<()>;
    /// The machine was started, and these jobs are to decide on it.
    fn boot(&mut self, boot_id: &str, jobs: &[JobName]) -> Result<()>;
    /// What a job does at a start of the machine that it waits to decide on.
    fn decide_at_boot(&mut self, decision: &NewDecision, boot_id: &str) -> Result<Decided>;
    /// Drops rows that are too old, then runs and skips of jobs that have too many of one of them, a
    /// bounded number. A run that goes on is not dropped.
    fn prune(&mut self, limits: HistoryLimits, now: Timestamp) -> Result<Pruned>;
}

/// What writes dead letters.
pub(super) trait WriteLetters {
    /// The last attempt of a run ended, its run with it, and it becomes a dead letter; or nothing when
    /// there are too many.
    fn given_up(&mut self, end: &AttemptEnd, letter: &NewDeadLetter, letters_max: u64) -> Result<LetterKept>;
    /// Something is given up; or nothing is written when there are too many.
    fn dead_letter(&mut self, letter: &NewDeadLetter, letters_max: u64) -> Result<LetterKept>;
    /// One is taken to be tried again, when nobody else has it.
    fn lease_letter(&mut self, id: Uuid, now: Timestamp, until: Timestamp) -> Result<Option<Letter>>;
    /// One is taken to be tried again, and its run, which has ended, is open for one more attempt.
    fn reopened(&mut self, run: &NewDecision, until: Timestamp) -> Result<Reopened>;
    /// Those that are taken and whose runs are not open are free again; gives how many.
    fn letters_returned(&mut self, at: Timestamp) -> Result<u64>;
    /// What became of one; `false` when there is none.
    fn letter_ended(
        &mut self,
        id: Uuid,
        state: LetterState,
        note: Option<&str>,
        at: Timestamp,
    ) -> Result<bool>;
    /// Drops those that are asked for; gives how many.
    fn purge_letters(&mut self, query: &LetterQuery) -> Result<u64>;
}

/// What writes the attempts of a worker.
pub(super) trait WriteHandled {
    /// Attempts begin; what was known of each.
    fn handled_begin(&mut self, attempts: &[(RunId, u32, Timestamp)]) -> Result<Vec<Handled>>;
    /// Attempts ended.
    fn handled_end(&mut self, attempts: &[(RunId, u32, Vec<u8>, Timestamp)]) -> Result<()>;
}

/// What writes messages of the queues.
pub(super) trait WriteQueue {
    /// Messages are sent; what became of each.
    fn queue_send(&mut self, queue: &str, messages: &[Keyed], now: Timestamp) -> Result<Vec<Queued>>;
    /// Messages that are due are received, and claimed until an instant. One is still there when its
    /// claim is over.
    fn queue_claim(&mut self, queue: &str, max: usize, now: Timestamp, until: Timestamp) -> Result<Received>;
    /// Messages are settled; `false` for each that is claimed by another, or is none.
    fn queue_settle(&mut self, queue: &str, fates: &[(Claim, Fate)]) -> Result<Vec<bool>>;
}

/// What reads dead letters.
pub(super) trait ReadLetters {
    /// Those that are asked for, those that were given up last first.
    fn letters(&self, query: &LetterQuery) -> Result<Vec<LetterRow>>;
    /// One.
    fn letter(&self, id: Uuid, now: Timestamp) -> Result<Option<Letter>>;
    /// How many there are in each state that has one.
    fn letter_counts(&self, now: Timestamp) -> Result<BTreeMap<LetterState, u64>>;
}

/// What reads the queues.
pub(super) trait ReadQueue {
    /// How many messages there are.
    fn queue_depth(&self, queue: &str, now: Timestamp) -> Result<QueueDepth>;
}

/// What reads records.
pub(super) trait Read: ReadLetters + ReadQueue {
    /// What tiers hold, by name.
    fn placements(&self) -> Result<Vec<PlacementRow>>;
    /// Runs without an end, oldest first.
    fn unfinished(&self) -> Result<Vec<OpenRun>>;
    /// The last fire time of a job that was decided; none for a job that was never held.
    fn cursor(&self, job: &JobName) -> Result<Option<Timestamp>>;
    /// The latest fire time of the runs of a job that were dropped; none when none was.
    fn pruned_to(&self, job: &JobName) -> Result<Option<Timestamp>>;
    /// The skips of a job that stand for a range and reach past an instant, but for those that say
    /// that the clock went back.
    fn ranges_past(&self, job: &JobName, at: Timestamp) -> Result<Vec<Range>>;
    /// The start of the machine that was recorded last.
    fn recorded_boot(&self) -> Result<Option<String>>;
    /// The jobs that have not decided on a start of the machine yet.
    fn waiting_at_boot(&self, boot_id: &str) -> Result<Vec<JobName>>;
    /// Jobs that a person paused.
    fn paused(&self) -> Result<Vec<PauseRow>>;
    /// Runs and skips, newest first.
    fn runs(&self, query: &RunQuery) -> Result<Vec<RunRow>>;
    /// One run.
    fn run(&self, id: RunId) -> Result<Option<RunRow>>;
    /// Those of these runs that there is a row of.
    fn known(&self, runs: &BTreeSet<RunId>) -> Result<BTreeSet<RunId>>;
    /// The newest run of each job that is no skip.
    fn last_runs(&self) -> Result<BTreeMap<JobName, LastRun>>;
}
