//! The settings as they are written in `tintal.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    queue::file::QueueFile,
    settings::{LogFormat, Watching},
};
use crate::{manifest::text::DurationText, tier::LedgerKind};

/// Name of the file.
pub const SETTINGS_FILE: &str = "tintal.yaml";

/// Settings of Tintal: where things are, and how the daemon behaves. Every key may be left out.
/// `TINTAL_…` in the environment goes over the file (`TINTAL_LOG__FORMAT` is `log.format`), and
/// flags go over both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tintal settings")]
pub struct SettingsFile {
    /// Directory of manifests, relative to this file. Default: `jobs.d`.
    #[schemars(length(min = 1, max = 4096))]
    pub jobs: Option<String>,
    /// Directory for what the daemon remembers, relative to this file. One daemon at a time uses
    /// it; it is made when it is missing. Default: `.tintal`.
    #[schemars(length(min = 1, max = 4096))]
    pub state: Option<String>,
    /// Where decisions, runs and what was applied are kept. Default: `file`.
    pub ledger: Option<LedgerWord>,
    /// How changes of the manifests are noticed. Default: `auto`.
    pub watch: Option<Watching>,
    /// How long runs may go on after SIGTERM before they are stopped. Default: `30s`.
    pub shutdown_timeout: Option<DurationText>,
    /// The daemon's log.
    pub log: Option<LogFile>,
    /// How much history is kept.
    pub history: Option<HistoryFile>,
    /// The output of runs.
    pub output: Option<OutputFile>,
    /// The queue tier.
    pub queue: Option<QueueFile>,
}

/// Where the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerWord {
    /// On disk, in the state directory: it survives a restart, and a power cut.
    File,
    /// In memory: it is gone with the daemon.
    Memory,
}

impl From<LedgerWord> for LedgerKind {
    fn from(word: LedgerWord) -> Self {
        match word {
            LedgerWord::File => Self::File,
            LedgerWord::Memory => Self::Memory,
        }
    }
}

/// The daemon's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogFile {
    /// Form of a line. Default: `text`.
    pub format: Option<LogFormat>,
    /// What is logged: a level (`off`, `error`, `warn`, `info`, `debug`, `trace`), or a list of
    /// `target=level`. Of `notify`, which watches the manifests, errors are logged unless it is named.
    /// Default: `info`.
    #[schemars(length(min = 1, max = 1024), extend("examples" = ["info", "warn,tintal::engine=debug"]))]
    pub level: Option<String>,
}

/// How much history is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryFile {
    /// Runs of each job, at most, and as many skips. Default: 1000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep_last: Option<u32>,
    /// Runs and skips older than this are dropped, with their output. Default: `30d`.
    pub max_age: Option<DurationText>,
}

/// The output of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputFile {
    /// Bytes of output that are kept of one attempt: its beginning and its end. Default: 10485760.
    #[schemars(range(min = 4096, max = 1_073_741_824))]
    pub max_bytes: Option<u64>,
}
