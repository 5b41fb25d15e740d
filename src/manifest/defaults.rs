//! `_defaults.yaml`: values for the jobs in and under a directory.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    action::SecretRef,
    characteristics::{Characteristics, Tier},
    policy::Policy,
    queue::{Fallback, Queue},
    schedule::{DayMatch, Dst},
    text::DurationText,
};

/// Name of the file that holds defaults.
pub const DEFAULTS_FILE: &str = "_defaults.yaml";

/// The other spelling of [`DEFAULTS_FILE`].
pub const DEFAULTS_FILE_SHORT: &str = "_defaults.yml";

/// Whether a path, with `/` between its parts, is that of a file of defaults.
#[must_use]
pub fn is_defaults(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == DEFAULTS_FILE || name == DEFAULTS_FILE_SHORT
}

/// Defaults for the jobs in and under the directory of the file. The nearest file wins; what the
/// job itself says wins over all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tintal defaults")]
pub struct Defaults {
    /// Always `defaults`.
    pub kind: DefaultsKind,
    /// Labels that every job gets.
    #[schemars(extend("maxProperties" = 32, "propertyNames" = {"pattern": "^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$"}, "additionalProperties" = {"type": "string", "maxLength": 255}))]
    pub labels: Option<BTreeMap<String, String>>,
    /// Whether jobs fire.
    pub enabled: Option<bool>,
    /// Options of every schedule entry they apply to.
    pub schedule: Option<ScheduleDefaults>,
    /// Surroundings of every action.
    pub run: Option<RunDefaults>,
    /// Values for templates.
    #[schemars(extend("maxProperties" = 128, "propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}))]
    pub params: Option<BTreeMap<String, Value>>,
    /// What the classifier reads.
    pub characteristics: Option<Characteristics>,
    /// Pins the jobs to a tier.
    pub tier: Option<Tier>,
    /// What happens to a fire when the tier cannot take it.
    pub fallback: Option<Fallback>,
    /// Where messages go, of jobs that run on the queue tier.
    pub queue: Option<Queue>,
    /// How runs are treated.
    pub policy: Option<Policy>,
}

/// The one value of `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultsKind {
    /// The file holds defaults.
    Defaults,
}

/// Options of every schedule entry. `timezone`, `dst` and `day_match` apply to `cron` entries,
/// `jitter` to `cron` and `every`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleDefaults {
    /// IANA time zone that `cron` is read in.
    #[schemars(length(min = 1, max = 64), extend("examples" = ["Europe/Berlin"]))]
    pub timezone: Option<String>,
    /// What happens to fixed times of day in the nights when the clock changes.
    pub dst: Option<Dst>,
    /// How the two day fields of `cron` combine.
    pub day_match: Option<DayMatch>,
    /// Spreads starts.
    pub jitter: Option<DurationText>,
}

/// Surroundings of every action.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunDefaults {
    /// Working directory of child processes.
    #[schemars(length(min = 1, max = 4096))]
    pub cwd: Option<String>,
    /// Environment variables of child processes.
    #[schemars(extend("maxProperties" = 256, "propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}))]
    pub env: Option<BTreeMap<String, String>>,
    /// Environment variables whose values are looked up when a job runs.
    #[schemars(extend("maxProperties" = 64, "propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}))]
    pub secrets: Option<BTreeMap<String, SecretRef>>,
}
