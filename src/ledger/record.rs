//! What goes into the ledger and comes out of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::ErrorCode;
use serde_json::Value;
use thiserror::Error;

use super::route::{Route, StageRow};
use crate::{
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    run::{Cause, Outcome, Reached, RunId},
};

/// Why the ledger could not do as asked.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The file cannot be opened or made.
    #[error("cannot open the ledger `{}`", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What `SQLite` or the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is no ledger, or is damaged. Asking again cannot help.
    #[error("the ledger `{}` is damaged ({said}); move it away together with the files beside it whose names begin alike, and start again: pauses, the history and where each job stood are lost, and nothing that was missed is made up for; `ledger: memory` starts without it", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What `SQLite` said.
        said: String,
    },
    /// A later version of the program wrote it.
    #[error("the ledger `{}` has format {found}, and this version of tintal reads up to {known}; use the newer version", .path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// The file is on a network file system, where `SQLite`'s locks cannot be relied on.
    #[error("the ledger `{}` is on a network file system ({kind}); put the state directory on a local disk", .path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// The kind of file system.
        kind: &'static str,
    },
    /// A read or a write failed: the disk is full, or breaks. Asking again can help.
    #[error("the ledger cannot be used")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The writer has ended with the daemon.
    #[error("the ledger is closed")]
    Closed,
}

/// What `SQLite` says of a failure. Its own cause says the same in other words, and is left out.
pub(super) fn unavailable(error: &rusqlite::Error) -> LedgerError {
    LedgerError::Unavailable(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(error.to_string())))
}

/// The same of a file, which may be no ledger.
pub(super) fn unusable(path: &Path, error: &rusqlite::Error) -> LedgerError {
    damaged(path, error).unwrap_or_else(|| unavailable(error))
}

/// That a file is no ledger, or is damaged, when that is what `SQLite` says.
pub(super) fn damaged(path: &Path, error: &rusqlite::Error) -> Option<LedgerError> {
    let is_damaged =
        matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt));
    is_damaged.then(|| LedgerError::Damaged { path: path.to_owned(), said: error.to_string() })
}

/// Time between two tries of what the ledger did not take: [`LedgerError::Unavailable`] can pass.
pub const RETRY: Duration = Duration::from_secs(1);

/// A job that a tier now holds.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The tier.
    pub tier: Tier,
    /// The digest of `spec`.
    pub digest: Digest,
    /// The job.
    pub spec: Arc<Spec>,
    /// When.
    pub at: Timestamp,
    /// What becomes of the job's cursor.
    pub restart: Restart,
}

/// What becomes of a job's cursor when its spec changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// The fire times are the same: the cursor stays.
    Keep,
    /// The fire times are others: those up to this instant count as decided.
    From(Timestamp),
}

/// A job that a tier holds, as the ledger knows it.
#[derive(Debug, Clone)]
pub struct PlacementRow {
    /// The tier.
    pub tier: Tier,
    /// The digest of `spec`.
    pub digest: Digest,
    /// The job.
    pub spec: Arc<Spec>,
    /// The last fire time that counts as decided.
    pub cursor: Timestamp,
    /// When the job was put there as it is.
    pub applied_at: Timestamp,
}

/// A decision about one occurrence, or about a range of skipped ones.
#[derive(Debug, Clone)]
pub struct NewDecision {
    /// The run; of a skip, the id that the first occurrence would have had; of what a clock change
    /// left out, its own.
    pub id: RunId,
    /// The job.
    pub job: JobName,
    /// The fire time; of a range, the first.
    pub fire_time: Timestamp,
    /// Of a range, the last fire time; else the same.
    pub last_fire_time: Timestamp,
    /// Occurrences that the decision stands for.
    pub count: u64,
    /// Whether `count` is all of them.
    pub counted: Counted,
    /// What asked for the run.
    pub cause: Cause,
    /// What was decided.
    pub verdict: Verdict,
    /// What becomes of the job's cursor with this.
    pub cursor: Move,
    /// When.
    pub decided_at: Timestamp,
    /// Values in place of the manifest's `params`.
    pub params: BTreeMap<String, Value>,
    /// Where the run goes; none: to this process.
    pub route: Option<Arc<Route>>,
}

/// What becomes of a job's cursor with a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// It stays.
    Stay,
    /// It goes on to here. An occurrence that it has passed was decided before.
    To(Timestamp),
    /// It goes back to here, since the clock did.
    Back(Timestamp),
}

/// Whether a count of occurrences is all of them. Of two counts together, the greater holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// It is.
    All,
    /// There are more: a schedule that is far behind is not walked to the end.
    AtLeast,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It runs.
    Run,
    /// It does not.
    Skipped(Skip),
}

/// Why an occurrence does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The last run still goes on.
    Overlap,
    /// It was found too late.
    Misfire,
    /// A person paused the job.
    Paused,
    /// The clock jumped over it, and the manifest says to leave it out.
    Dst,
    /// The clock of the machine was set, or stood still while the machine slept: forward, and the
    /// occurrence lies between; or back, and the row says from where on fire times are decided anew.
    ClockJump,
    /// The manifest no longer lets the job fire.
    Disabled,
    /// A newer fire took its place before it could be delivered.
    Superseded,
    /// Its time passed before it could be delivered.
    Expired,
    /// Another daemon with the same job has sent it.
    Elsewhere,
}

impl Skip {
    /// The word in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Misfire => "misfire",
            Self::Paused => "paused",
            Self::Dst => "dst",
            Self::ClockJump => "clock-jump",
            Self::Disabled => "disabled",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// Whether skips for this reason, one after the other, become one row.
    pub(super) fn is_extended(self) -> bool {
        !matches!(self, Self::Dst | Self::ClockJump | Self::Superseded | Self::Expired | Self::Elsewhere)
    }
}

impl NewDecision {
    /// One occurrence runs.
    #[must_use]
    pub fn run(id: RunId, job: JobName, fire_time: Timestamp, cause: Cause, decided_at: Timestamp) -> Self {
        Self {
            id,
            job,
            fire_time,
            last_fire_time: fire_time,
            count: 1,
            counted: Counted::All,
            cause,
            verdict: Verdict::Run,
            cursor: if cause == Cause::Schedule { Move::To(fire_time) } else { Move::Stay },
            decided_at,
            params: BTreeMap::new(),
            route: None,
        }
    }

    /// `count` occurrences, from the first to the last, do not run.
    #[must_use]
    pub fn skip(
        id: RunId,
        job: JobName,
        (first, last): (Timestamp, Timestamp),
        count: u64,
        skip: Skip,
        decided_at: Timestamp,
    ) -> Self {
        let run = Self::run(id, job, first, Cause::Schedule, decided_at);
        Self { last_fire_time: last, count, verdict: Verdict::Skipped(skip), cursor: Move::To(last), ..run }
    }

    /// The job's cursor goes back from `from` to `to`, since the clock did.
    #[must_use]
    pub fn back(id: RunId, job: JobName, from: Timestamp, to: Timestamp) -> Self {
        let skip = Self::skip(id, job, (to, from), 0, Skip::ClockJump, to);
        Self { cursor: Move::Back(to), ..skip }
    }

    /// The same, and the job's cursor stays: fires before it wait for their decision.
    #[must_use]
    pub fn without_cursor(self) -> Self {
        Self { cursor: Move::Stay, ..self }
    }

    /// The same for a run that is decided and does not run.
    #[must_use]
    pub fn skipped(self, skip: Skip) -> Self {
        Self { verdict: Verdict::Skipped(skip), ..self }
    }

    /// The same, where the count is not all.
    #[must_use]
    pub fn counted(self, counted: Counted) -> Self {
        Self { counted, ..self }
    }

    /// The same with values in place of the manifest's.
    #[must_use]
    pub fn with_params(self, params: BTreeMap<String, Value>) -> Self {
        Self { params, ..self }
    }

    /// The same for a run that goes there; none: to this process.
    #[must_use]
    pub fn with_route(self, route: Option<Arc<Route>>) -> Self {
        Self { route, ..self }
    }
}

/// What came of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It is written: act on it.
    New,
    /// The occurrence was decided before: do not act.
    Already,
}

/// An attempt that begins.
#[derive(Debug, Clone)]
pub struct AttemptStart {
    /// The run.
    pub run_id: RunId,
    /// Counted from 1.
    pub n: u32,
    /// When.
    pub started_at: Timestamp,
    /// File of its output, relative to the output directory; none for what has no output.
    pub output: Option<String>,
    /// The worker that makes it; none: this process.
    pub worker: Option<Arc<str>>,
}

/// An attempt that ended.
#[derive(Debug, Clone)]
pub struct AttemptEnd {
    /// The run.
    pub run_id: RunId,
    /// Counted from 1.
    pub n: u32,
    /// When.
    pub ended_at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Bytes of output that there were.
    pub bytes_seen: u64,
    /// Bytes of output that were kept.
    pub bytes_kept: u64,
    /// What becomes of the run.
    pub then: Then,
    /// The worker that made it, where its start was not recorded; none: as its start says.
    pub worker: Option<Arc<str>>,
}

/// An attempt that was over as soon as it began, had no output, and was the last of its run.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// The run.
    pub run_id: RunId,
    /// Counted from 1.
    pub n: u32,
    /// When.
    pub at: Timestamp,
}

/// What becomes of a run whose attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It ends with the attempt, and like it.
    RunEnds,
    /// One more attempt is to come.
    Again,
}

/// A range of skips that reaches past an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Its id.
    pub id: RunId,
    /// Its first fire time.
    pub first: Timestamp,
}

/// A range of skips that ends earlier than it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Its id.
    pub id: RunId,
    /// Its last fire time now.
    pub last: Timestamp,
    /// Occurrences that it stands for now.
    pub count: u64,
    /// Whether that is all of them.
    pub counted: Counted,
}

/// A run without an end: its daemon ended before it.
#[derive(Debug, Clone)]
pub struct OpenRun {
    /// The run.
    pub id: RunId,
    /// The job.
    pub job: JobName,
    /// Its fire time.
    pub fire_time: Timestamp,
    /// What asked for it.
    pub cause: Cause,
    /// Values in place of the manifest's `params`.
    pub params: BTreeMap<String, Value>,
    /// How far it had come.
    pub reached: Reached,
    /// Where it goes; none: to this process.
    pub route: Option<Route>,
    /// How far it has come on its way there.
    pub stage: Option<StageRow>,
}

/// Which runs are asked for.
#[derive(Debug, Clone, Default)]
pub struct RunQuery {
    /// Of this job only.
    pub job: Option<JobName>,
    /// Fire times before this only.
    pub before: Option<Timestamp>,
    /// That go, or went, over this backend only.
    pub backend: Option<String>,
    /// That this worker has, or has made an attempt of, only.
    pub worker: Option<String>,
    /// As many at most.
    pub limit: usize,
}

/// One decision with what came of it.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// The run; of a skip, the id that the first occurrence would have had.
    pub id: RunId,
    /// The job.
    pub job: JobName,
    /// The fire time; of a range, the first.
    pub fire_time: Timestamp,
    /// Of a range, the last fire time; else the same.
    pub last_fire_time: Timestamp,
    /// Occurrences that the row stands for.
    pub count: u64,
    /// Whether `count` is all of them.
    pub counted: Counted,
    /// What asked for it.
    pub cause: Cause,
    /// Values in place of the manifest's `params`.
    pub params: BTreeMap<String, Value>,
    /// Why it was skipped; absent when it runs or ran.
    pub skipped: Option<String>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// How it ended; absent while it goes on.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// In order.
    pub attempts: Vec<AttemptRow>,
    /// Where it goes, or went; none: to the process that decided it.
    pub route: Option<Route>,
    /// How far it has come on its way there.
    pub stage: Option<StageRow>,
}

/// One try of a run.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// Counted from 1.
    pub n: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// File of its output, relative to the output directory.
    pub output: Option<String>,
    /// The worker that made it; none: the daemon itself.
    pub worker: Option<Arc<str>>,
}

/// The newest run of a job.
#[derive(Debug, Clone)]
pub struct LastRun {
    /// The run.
    pub id: RunId,
    /// Its fire time.
    pub fire_time: Timestamp,
    /// How it ended; absent while it goes on.
    pub outcome: Option<Outcome>,
}

/// A job that a person paused.
#[derive(Debug, Clone)]
pub struct PauseRow {
    /// The job.
    pub job: JobName,
    /// What the person said.
    pub reason: Option<String>,
    /// Since when.
    pub at: Timestamp,
}
