//! The settings with every default filled in, and where each comes from.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::queue::settings::QueueSettings;
use crate::tier::LedgerKind;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Directory of manifests.
    pub jobs: PathBuf,
    /// State directory.
    pub state: PathBuf,
    /// Where the ledger is.
    pub ledger: LedgerKind,
    /// How changes are noticed.
    pub watch: Watching,
    /// How long runs may go on after SIGTERM.
    pub shutdown_timeout: Duration,
    /// Form of a line of the log.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_level: String,
    /// Rows of history of each job, at most.
    pub keep_last: usize,
    /// Rows of history older than this go.
    pub max_age: Duration,
    /// Bytes of output that are kept of one attempt.
    pub output_bytes_max: u64,
    /// The queue tier.
    pub queue: QueueSettings,
    /// Each value as it was written (`1e3` as 1000) with where it comes from, by its key
    /// (`log.format`).
    pub origins: BTreeMap<String, (Value, Origin)>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// A line of a file.
    File {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// How changes of the manifests are noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Watching {
    /// By events of the system; by looking every second when there are none.
    #[default]
    Auto,
    /// By looking every second, as on network file systems.
    Poll,
}

/// Form of a line of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document a line.
    Json,
}
