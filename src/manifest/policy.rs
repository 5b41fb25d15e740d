//! How runs of a job are treated, as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::DurationText;

/// How runs of the job are treated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What happens when the last run still goes on. Default: `skip`.
    pub overlap: Option<Overlap>,
    /// With `overlap: allow`: how many runs may go on at once. Default: 16.
    #[schemars(range(min = 1, max = 1000))]
    pub max_running: Option<u32>,
    /// Longest time for one attempt; then SIGTERM to all processes of the run, also those that left its
    /// process group, `kill_grace`, SIGKILL. Default: none; a request ends after 5 minutes.
    pub timeout: Option<DurationText>,
    /// Time between SIGTERM and SIGKILL. Default: `10s`.
    pub kill_grace: Option<DurationText>,
    /// When and how often a failed run is tried again, with all of its steps. Default: never.
    pub retry: Option<Retry>,
}

/// What happens when the last run still goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// The new occurrence is skipped, with a record.
    #[default]
    Skip,
    /// The new occurrence runs beside the old one, up to `max_running`.
    Allow,
}

/// When and how often an attempt is tried again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, the first included. Default: 3.
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: Option<u32>,
    /// How the waiting time grows. Default: `exponential`.
    pub backoff: Option<Backoff>,
    /// Waiting time before the second attempt. Default: `10s`.
    pub initial: Option<DurationText>,
    /// With `exponential`: each waiting time is this many times the one before. Default: 2.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub factor: Option<f64>,
    /// Longest waiting time. Default: `10m`.
    pub max: Option<DurationText>,
    /// Share of the waiting time that is left to chance, so that many retries do not come at
    /// once. Default: 0.1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub jitter: Option<f64>,
    /// Outcomes that are tried again. Default: all that are listed here.
    #[schemars(length(min = 1, max = 16))]
    pub on: Option<Vec<RetryOn>>,
}

/// How the waiting time between attempts grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Backoff {
    /// Always `initial`.
    Fixed,
    /// `initial`, then times `factor` each time, up to `max`.
    #[default]
    Exponential,
}

/// An outcome that is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RetryOn {
    /// The program ended with a status other than 0.
    #[serde(rename = "exit-nonzero")]
    ExitNonzero,
    /// The program was ended by a signal that we did not send.
    #[serde(rename = "signal")]
    Signal,
    /// The attempt took longer than `timeout`.
    #[serde(rename = "timeout")]
    Timeout,
    /// The server answered with a status from 500 to 599.
    #[serde(rename = "http-5xx")]
    Http5xx,
    /// No connection, or one that broke before the answer was there.
    #[serde(rename = "connect")]
    Connect,
    /// The daemon was killed while the attempt ran.
    #[serde(rename = "abandoned")]
    Abandoned,
}

impl RetryOn {
    /// Every outcome that can be tried again.
    pub const ALL: [Self; 6] =
        [Self::ExitNonzero, Self::Signal, Self::Timeout, Self::Http5xx, Self::Connect, Self::Abandoned];
}
