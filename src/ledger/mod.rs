//! The durable memory: what was applied, decisions, runs and attempts, in `SQLite`; or the same in
//! memory only, gone with the process.
//!
//! Of a file, one writer thread commits what came in since the last commit in one transaction, with
//! `synchronous=FULL`: an answer means that the record is on disk. Reads go over a connection of
//! their own. No policy lives here.

pub mod handled;
mod history;
pub mod letter;
mod memory;
pub mod queue;
mod read;
pub mod record;
mod records;
pub mod route;
mod schema;
pub mod store;
mod write;
mod writer;

pub use handled::Handled;
pub use history::Pruned;
pub use letter::{
    Letter, LetterKept, LetterQuery, LetterRow, LetterState, NewDeadLetter, REPLAYS_MAX, Reopened,
};
pub use queue::{Claim, Claimed, Fate, NewMessage, QueueDepth, Queued, Received};
pub use record::{
    Applied, AttemptEnd, AttemptRow, AttemptStart, Counted, Cut, Decided, LastRun, LedgerError, Move,
    NewDecision, OpenRun, Passed, PauseRow, PlacementRow, RETRY, Range, Restart, RunQuery, RunRow, Skip,
    Then, Verdict,
};
pub use route::{Route, Stage, StageRow, Staged};
pub use store::{HistoryLimits, Ledger, Location};

#[cfg(test)]
mod agree;
#[cfg(test)]
mod tests;
