//! What the classifier reads of a job, and the tiers it chooses from.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The class of place a job runs on, lightest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Timers and executors inside the daemon.
    InProcess,
    /// The daemon keeps the time and enqueues; workers run the message.
    Queue,
    /// A Prefect server holds the deployment; Prefect workers run it.
    Workflow,
}

impl Tier {
    /// Every tier, lightest first.
    pub const ALL: [Self; 3] = [Self::InProcess, Self::Queue, Self::Workflow];

    /// The word used in manifests, on the command line and in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProcess => "in-process",
            Self::Queue => "queue",
            Self::Workflow => "workflow",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who the job is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Visibility {
    /// For the system itself.
    #[default]
    Internal,
    /// For people, who want to watch it.
    UserFacing,
}

/// What must outlive the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// A run that is lost with the process is no loss.
    #[default]
    Ephemeral,
    /// A run that is due must survive a restart.
    Persistent,
}

/// Where the job may run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Infrastructure {
    /// On the daemon's machine.
    #[default]
    Local,
    /// On other machines.
    Distributed,
}

/// How often the job fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Frequency {
    /// Longer than an hour apart, once, or by hand.
    Low,
    /// A minute to an hour apart.
    Medium,
    /// Less than a minute apart.
    High,
}

/// How much the action needs orchestration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Complexity {
    /// One action.
    Simple,
    /// Steps that depend on each other.
    Dag,
    /// More than a DAG: people say so themselves.
    Complex,
}

/// What the classifier reads. Each has a default, derived or stated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Characteristics {
    /// Who the job is for. Default: `internal`.
    pub visibility: Option<Visibility>,
    /// What must outlive the process. Default: `ephemeral`.
    pub durability: Option<Durability>,
    /// Where the job may run. Default: `local`.
    pub infrastructure: Option<Infrastructure>,
    /// How often the job fires. Default: derived from the schedule; a value that contradicts the
    /// schedule is an error.
    pub frequency: Option<Frequency>,
    /// How much the action needs orchestration. Default: `dag` for `steps`, else `simple`.
    pub complexity: Option<Complexity>,
}
