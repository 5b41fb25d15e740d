//! Where the messages of a job go when it runs on the queue tier, as written.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::text::DurationText;

/// Shortest time after which a message may expire: the clocks of two machines differ by about as much.
pub const EXPIRE_AFTER_MIN: Duration = Duration::from_secs(1);

/// Longest time after which a message may expire: what waits longer is not looked for any more, and
/// Cloud Tasks keeps a message for 31 days.
pub const EXPIRE_AFTER_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Where the messages of a job go on the queue tier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Name of a backend: `embedded`, or one of the settings' `queue.backends`. Default: the settings'
    /// `queue.backend`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"), extend("examples" = ["embedded"]))]
    pub backend: Option<String>,
    /// Name of the queue. Default: the settings' `queue.name`.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z][a-z0-9-]*[a-z0-9]$"), extend("examples" = ["reports"]))]
    pub name: Option<String>,
    /// A message that nobody has taken for this long after its fire time is given up, with a record:
    /// `1s` to `30d`. Default: none.
    pub expire_after: Option<DurationText>,
}

/// What happens to a fire when the job's tier cannot take it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// It waits, durably, until the tier can.
    #[default]
    Hold,
    /// It runs on the next lighter tier that can do what the job needs, with a warning.
    Degrade,
}

impl Fallback {
    /// Whether it is what holds when nobody says otherwise.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A message for a consumer that is not ours, in the form of Oneiric's workflows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The workflow that the consumer starts.
    #[schemars(length(min = 1, max = 255), extend("examples" = ["etl.sync"]))]
    pub workflow: String,
    /// The provider of the workflow, where the consumer knows several.
    #[schemars(length(min = 1, max = 255))]
    pub workflow_provider: Option<String>,
    /// What the workflow is given; texts may hold templates. Default: nothing.
    pub context: Option<Map<String, Value>>,
    /// What is said about the message; texts may hold templates. Default: nothing.
    pub metadata: Option<Map<String, Value>>,
}
