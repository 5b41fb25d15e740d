//! The JSON that the control socket and `--json` give: shapes that scripts rely on.
//!
//! Every document has `"v": 1`; keys are only ever added.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    plan::document::{PlanDocument, Verb},
};

/// Version of every shape in this file.
pub const VERSION: u32 = 1;

/// `list` and `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    /// [`VERSION`].
    pub v: u32,
    /// The daemon that answered; absent when none runs.
    pub daemon: Option<DaemonView>,
    /// Every job that is live or wanted, by name.
    pub jobs: Vec<JobView>,
    /// Every tier; of the queue tier a row for each queue system.
    pub tiers: Vec<TierView>,
    /// The dead letters in numbers; absent when nothing is known of them.
    #[serde(default)]
    pub dead_letters: Option<LettersSummaryView>,
    /// Where the manifests come from.
    pub source: SourceView,
}

/// The daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DaemonView {
    /// Process id.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// Runs that go on now.
    pub running: usize,
    /// Whether the first pass is done and it does not stop: jobs fire.
    pub ready: bool,
    /// Whether it is stopping: no job fires any more.
    pub draining: bool,
    /// Why the ledger cannot be written, while that is so: nothing fires then.
    pub ledger_failure: Option<String>,
    /// The last jump of the wall clock since the start.
    pub clock_jump: Option<ClockJumpView>,
}

/// A jump of the wall clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClockJumpView {
    /// What the clock showed then.
    pub at: Timestamp,
    /// How far it jumped; below zero when it went back.
    pub seconds: i64,
}

/// One job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobView {
    /// Name.
    pub job: String,
    /// Its labels; none of one that is not live.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The tier it is placed on; absent when it is not placed.
    pub tier: Option<String>,
    /// What serves it there.
    #[serde(default)]
    pub backend: Option<String>,
    /// The queue that its messages go to.
    #[serde(default)]
    pub queue: Option<String>,
    /// Whether the manifest lets it fire.
    pub enabled: bool,
    /// Whether a person paused it.
    pub paused: bool,
    /// Why and since when, while it is paused.
    #[serde(default)]
    pub pause: Option<PauseView>,
    /// What holds of it now.
    pub conditions: Vec<ConditionView>,
    /// The newest run that was not a skip.
    pub last_run: Option<LastRunView>,
    /// The next fire time.
    pub next_fire: Option<Timestamp>,
    /// The manifest's file, relative to the root of the tree.
    pub file: Option<String>,
    /// The line its document starts at, from 1; of one that cannot be used, where it started last, or
    /// what is wrong.
    pub line: Option<u32>,
}

/// That a person paused a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// What the person said.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Something that holds of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionView {
    /// `Ready`, `Degraded`, `Held`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// `true` or `false`.
    pub status: bool,
    /// One word for programs.
    pub reason: String,
    /// One line for people.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// The newest run of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LastRunView {
    /// Its id.
    pub run_id: String,
    /// Its fire time.
    pub fire_time: Timestamp,
    /// How it ended; absent while it goes on.
    pub outcome: Option<String>,
}

/// One tier.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TierView {
    /// Name.
    pub tier: String,
    /// What serves it.
    pub backend: Option<String>,
    /// `ready`, `unseen` or `not configured`; of a queue system also `failing`, `open` when it is left
    /// alone since it does not answer, and `half-open` when it is about to be tried again.
    pub state: String,
    /// Which queue system it is.
    #[serde(default)]
    pub kind: Option<String>,
    /// Until when it is left alone.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// What the last call failed with, until one is answered.
    #[serde(default)]
    pub failure: Option<String>,
    /// Since when it fails.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Runs that wait to be sent.
    #[serde(default)]
    pub waiting: u64,
    /// Runs that were sent since the daemon was started.
    #[serde(default)]
    pub sent: u64,
    /// Runs that ran in-process instead since then, as `fallback: degrade` allows.
    #[serde(default)]
    pub degraded: u64,
    /// What answered last: its kind and version.
    #[serde(default)]
    pub server: Option<String>,
}

/// The dead letters in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LettersSummaryView {
    /// Those that are not resolved.
    pub open: u64,
    /// How many of them are kept, at most.
    pub max: u64,
    /// Whether there is no room for more: nothing is sent then.
    pub full: bool,
    /// How many there are in each state.
    pub states: BTreeMap<String, u64>,
}

/// Where the manifests come from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SourceView {
    /// The directory.
    pub directory: String,
    /// The same as an absolute path, for who is elsewhere than the daemon.
    #[serde(default)]
    pub root: Option<String>,
    /// The commit it is at, when it is in a git work tree.
    pub commit: Option<String>,
    /// Whether it differs from that commit.
    pub dirty: Option<bool>,
    /// Age of the newest scan.
    pub age_seconds: Option<u64>,
    /// How changes are noticed.
    pub watch: Option<String>,
    /// Problems of the newest scan.
    pub errors: usize,
    /// Warnings of the newest scan.
    pub warnings: usize,
    /// Why the newest scan could not be used.
    pub failure: Option<String>,
    /// How many passes since the start changed something.
    pub generation: u64,
    /// Files parsed since the start.
    pub files_parsed: u64,
    /// Digest of the tree of the newest scan.
    pub tree: Option<String>,
}

/// `runs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunsView {
    /// [`VERSION`].
    pub v: u32,
    /// Newest first.
    pub runs: Vec<RunView>,
}

/// One decided occurrence, or a range of skipped ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunView {
    /// Its id; absent for a skip.
    pub run_id: Option<String>,
    /// The job.
    pub job: String,
    /// The fire time; the first one of a range.
    pub fire_time: Timestamp,
    /// The last fire time of a range; else the same.
    pub last_fire_time: Timestamp,
    /// Where it runs.
    pub tier: String,
    /// What runs it.
    pub backend: String,
    /// The queue that its messages go to.
    #[serde(default)]
    pub queue: Option<String>,
    /// While it is on its way to a worker, or there: `enqueued` in the outbox, `acknowledged` by the queue
    /// system, `picked-up` by a worker, `running` there.
    #[serde(default)]
    pub stage: Option<String>,
    /// Since when.
    #[serde(default)]
    pub staged_at: Option<Timestamp>,
    /// The worker that has it now.
    #[serde(default)]
    pub worker: Option<String>,
    /// `run` or `skipped`.
    pub decision: String,
    /// Why it was skipped, or what asked for it.
    pub reason: Option<String>,
    /// Values that whoever asked for it gave in place of the manifest's, without the secrets of the job.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Occurrences that the row stands for; none for one that says that the clock went back.
    pub count: u64,
    /// Whether there are more than `count`.
    pub at_least: bool,
    /// How it ended; absent while it goes on.
    pub outcome: Option<String>,
    /// One line about the end; of a run that has none while no daemon runs, `open`.
    pub detail: Option<String>,
    /// The attempt that it waits for, while it does.
    #[serde(default)]
    pub waits: Option<WaitView>,
    /// In order.
    pub attempts: Vec<AttemptView>,
}

/// An attempt that a run waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WaitView {
    /// Which one it is, counted from 1.
    pub attempt: u32,
    /// How many there may be.
    pub max_attempts: u32,
    /// When it begins.
    pub at: Timestamp,
}

/// One try of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttemptView {
    /// Counted from 1.
    pub n: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Exit status, of a program that ended by itself.
    pub exit_code: Option<i32>,
    /// Signal, of a program that was ended by one.
    pub signal: Option<i32>,
    /// How it ended.
    pub outcome: Option<String>,
    /// The worker that made it; absent when it was the daemon itself.
    pub worker: Option<String>,
}

/// `GET /v1/placements`: what the tiers hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlacementsView {
    /// [`VERSION`].
    pub v: u32,
    /// By job and tier.
    pub placements: Vec<PlacementView>,
    /// Tiers that could not be seen.
    pub unseen: Vec<Tier>,
}

/// One job on one tier.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlacementView {
    /// The job.
    pub job: JobName,
    /// The tier.
    pub tier: Tier,
    /// Digest of what was applied last.
    pub applied: Digest,
    /// Digest of what the tier holds now.
    pub actual: Digest,
    /// What was applied last, when it is known.
    pub spec: Option<Spec>,
}

/// `GET /v1/files`: what the files of the tree held when they were last good.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FilesView {
    /// [`VERSION`].
    pub v: u32,
    /// The root of the tree, absolute.
    pub root: PathBuf,
    /// The jobs of each file, by its path relative to the root; nothing of a file that never was good.
    pub files: BTreeMap<String, BTreeSet<JobName>>,
}

/// What a person asks for with `trigger`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerRequest {
    /// Values in place of the manifest's `params`.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
}

/// What `trigger` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TriggerView {
    /// [`VERSION`].
    pub v: u32,
    /// The run that was started.
    pub run_id: String,
}

/// What a person asks for with `pause`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What a person asks for with `apply`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconcileRequest {
    /// How many jobs the pass may prune, past the guard.
    #[serde(default)]
    pub allow_prune: Option<usize>,
    /// The plan whose steps are to be done, and no others.
    #[serde(default)]
    pub plan: Option<PlanDocument>,
}

/// What a pass did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PassView {
    /// [`VERSION`].
    pub v: u32,
    /// Steps that were done, as text.
    pub done: Vec<String>,
    /// Steps that failed, with the reason.
    pub failed: Vec<String>,
    /// Puts and prunes that the guard held back.
    pub held_back: Vec<HeldBackView>,
    /// Why there was no pass at all.
    pub failure: Option<String>,
    /// Problems of the tree.
    pub errors: usize,
}

/// A put or a prune that was held back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeldBackView {
    /// The job.
    pub job: String,
    /// What is not done.
    #[serde(default = "prune")]
    pub change: Verb,
    /// Why.
    pub reason: String,
}

/// What a daemon holds back that does not say it.
fn prune() -> Verb {
    Verb::Prune
}

/// What a change by hand did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChangeView {
    /// [`VERSION`].
    pub v: u32,
    /// Whether something is otherwise than before.
    pub changed: bool,
    /// One line for people.
    pub message: String,
}

/// `GET /healthz`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HealthView {
    /// [`VERSION`].
    pub v: u32,
    /// Whether every manifest is live as it is written, and jobs can fire.
    pub healthy: bool,
    /// Whether the first pass is done and the daemon does not stop.
    pub ready: bool,
    /// Jobs whose manifest cannot be used; their last good version runs.
    pub degraded: Vec<String>,
    /// Jobs whose removal is held back.
    pub held: Vec<String>,
    /// Jobs that could not be made as their manifest says, or removed; it is tried again.
    #[serde(default)]
    pub failed: Vec<String>,
    /// Why the tree cannot be read at all.
    pub failure: Option<String>,
    /// Why the ledger cannot be written: nothing fires then.
    pub ledger_failure: Option<String>,
    /// Queue systems that jobs use and that are left alone, since they do not answer.
    #[serde(default)]
    pub cut_off: Vec<String>,
    /// Whether there is no room for dead letters: nothing is sent then.
    #[serde(default)]
    pub dead_letters_full: bool,
}

/// An error of the control socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorView {
    /// [`VERSION`].
    pub v: u32,
    /// What went wrong, and the way out.
    pub error: String,
}
