//! What a ledger is to keep, whatever keeps it: [`Session`](super::writer::Session) in `SQLite`,
//! [`Memory`](super::memory::Memory) in memory. Every write is safe to repeat.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    history::Pruned,
    record::{
        Applied, AttemptEnd, AttemptStart, Cut, Decided, LastRun, NewDecision, OpenRun, Passed, PauseRow,
        PlacementRow, Range, RunQuery, RunRow,
    },
    store::HistoryLimits,
};
use crate::{
    manifest::{characteristics::Tier, name::JobName},
    run::{Outcome, RunId},
};

pub(super) type Result<T> = rusqlite::Result<T>;

/// What writes records.
pub(super) trait Write {
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

/// What reads records.
pub(super) trait Read {
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
