//! When a job fires, as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{DurationText, TimeText};

/// Most entries in the list under `schedule`: enough for any real calendar, and a bound on the
/// work that one job can ask of the timer.
pub const ENTRIES_MAX: usize = 32;

/// One trigger with its options. Exactly one of `cron`, `every` and `at`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["cron"]}, {"required": ["every"]}, {"required": ["at"]}]))]
pub struct ScheduleEntry {
    /// A cron expression: 5 fields, 6 with seconds first, 7 with the year last. Names, `L`, `W`,
    /// `#` and `H` (a stable hash of the job's name) are understood, and so are `@hourly`,
    /// `@daily`, `@weekly`, `@monthly`, `@yearly` and `@reboot` (once per start of the machine).
    #[schemars(length(min = 1, max = 256), extend("examples" = ["30 2 * * *", "@hourly"]))]
    pub cron: Option<String>,
    /// A fixed interval, counted from the Unix epoch: a reload never moves it.
    pub every: Option<DurationText>,
    /// One point in time; the job fires once.
    pub at: Option<TimeText>,
    /// IANA time zone that `cron` is read in. Default: `UTC`.
    #[schemars(length(min = 1, max = 64), extend("examples" = ["Europe/Berlin"]))]
    pub timezone: Option<String>,
    /// What happens to fixed times of day in the nights when the clock changes.
    pub dst: Option<Dst>,
    /// When both day fields of `cron` are restricted: fire on days that match `any` of them, as
    /// cron does, or `all`.
    pub day_match: Option<DayMatch>,
    /// Spreads starts: each fire is delayed by a share of this that is stable for the job and the
    /// fire time, and never reaches the next fire time.
    pub jitter: Option<DurationText>,
    /// No fires before this time.
    pub start: Option<TimeText>,
    /// No fires at or after this time.
    pub end: Option<TimeText>,
}

/// What happens in the nights when the clock changes. Concerns cron expressions whose hour field
/// does not match every hour; all others run on elapsed time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dst {
    /// A fire time that the clock jumps over. Default: `run-after`.
    pub gap: Option<Gap>,
    /// A fire time that the clock shows twice. Default: `first`.
    pub overlap: Option<DstOverlap>,
}

/// What happens to a fire time that the clock jumps over.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Gap {
    /// One fire at the first instant after the gap, however many times fell into it.
    #[default]
    RunAfter,
    /// Fires at the same distance after the gap: 02:30 becomes 03:30.
    Shift,
    /// Does not fire; the skip is recorded.
    Skip,
}

/// Which pass of a repeated wall time fires.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum DstOverlap {
    /// The first pass.
    #[default]
    First,
    /// The second pass.
    Last,
    /// Both passes.
    Both,
}

/// How the two day fields of a cron expression combine.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum DayMatch {
    /// A day that matches either field fires.
    #[default]
    Any,
    /// Only a day that matches both fields fires.
    All,
}

/// A unit test of the schedule: the first fires after a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleTest {
    /// Fires are looked for strictly after this time.
    pub after: TimeText,
    /// The fires that must come first, in order. An empty list: there must be none.
    #[schemars(length(max = 100))]
    pub fires: Vec<TimeText>,
}
