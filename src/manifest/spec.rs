//! A manifest with every default filled in.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::LazyLock,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    action::Method,
    characteristics::{Complexity, Durability, Frequency, Infrastructure, Tier, Visibility},
    name::JobName,
    policy::{Backoff, Overlap, RetryOn},
    queue::Fallback,
    schedule::{DayMatch, DstOverlap, Gap},
    shared::{Parts, Share, Shared},
    text::human,
};

/// A manifest with every default filled in. Two manifests that mean the same have equal specs.
///
/// It is stored in the ledger as JSON; fields are only ever added, with a serde default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Unique in the tree.
    pub name: JobName,
    /// What the job is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Words to filter by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether it fires.
    pub enabled: bool,
    /// Triggers; none: by hand only.
    #[serde(default, skip_serializing_if = "Shared::is_empty")]
    pub schedule: Shared<[ScheduleSpec]>,
    /// What it executes.
    pub run: RunSpec,
    /// Values for templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// What the classifier reads.
    pub characteristics: CharacteristicsSpec,
    /// The tier the manifest pins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// What happens to a fire when the tier cannot take it.
    #[serde(default, skip_serializing_if = "Fallback::is_default")]
    pub fallback: Fallback,
    /// Where its messages go. Every job that is placed on the queue tier has it; of another one it is
    /// what somebody has written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Shared<QueueSpec>>,
    /// How runs are treated.
    pub policy: Shared<PolicySpec>,
}

/// Where the messages of a job go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueueSpec {
    /// Name of a backend: `embedded`, or one of the settings.
    pub backend: String,
    /// Name of the queue.
    pub name: String,
    /// A message that nobody has taken for this long after its fire time is given up.
    #[serde(default, with = "human::option", skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<Duration>,
}

/// One trigger with its window and spread.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// The source of fire times.
    pub trigger: TriggerSpec,
    /// Starts are spread over this long.
    #[serde(default, with = "human::option", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Duration>,
    /// No fires before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// No fires at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

/// A source of fire times.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerSpec {
    /// A cron expression in a zone.
    Cron(CronSpec),
    /// A fixed interval, counted from the Unix epoch.
    #[serde(with = "human")]
    Every(Duration),
    /// Once.
    At(Timestamp),
}

/// A cron expression with all that its meaning depends on, save the job's name (for `H`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CronSpec {
    /// The expression as written.
    pub expression: String,
    /// IANA zone.
    pub timezone: String,
    /// What happens in a gap.
    pub gap: Gap,
    /// What happens in an overlap.
    pub overlap: DstOverlap,
    /// How the day fields combine.
    pub day_match: DayMatch,
}

/// An action with its surroundings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// What is executed.
    pub action: Action,
    /// Working directory of child processes; none: the daemon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Environment variables of child processes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Environment variables that are looked up when the job runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A program with arguments; at least the program.
    Command(Vec<String>),
    /// A line for `sh -c`.
    Shell(String),
    /// One HTTP request. Boxed, as few jobs make one.
    Http(Box<HttpSpec>),
    /// A DAG. Ids are unique, `needs` resolve, there is no cycle.
    Steps(Vec<StepSpec>),
    /// A task that is built in.
    Builtin(BuiltinTask),
    /// A message for a consumer that is not ours; on the queue tier only. Boxed, as few jobs send one.
    Message(Box<MessageSpec>),
}

/// One HTTP request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpSpec {
    /// Request method.
    pub method: Method,
    /// Where to; may hold templates.
    pub url: String,
    /// Unix socket to connect to instead of the URL's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix_socket: Option<String>,
    /// Request headers; values may hold templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Text is sent as it is, anything else as JSON. Texts and keys in it may hold templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Status codes that count as success; none: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect_status: Vec<u16>,
    /// A text that the response body must hold; may hold templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_body_contains: Option<String>,
}

/// A message for a consumer that is not ours. Texts and keys in it may hold templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageSpec {
    /// The workflow that the consumer starts.
    pub workflow: String,
    /// The provider of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_provider: Option<String>,
    /// What the workflow is given: a mapping.
    #[serde(default = "empty_mapping")]
    pub context: Value,
    /// What is said about the message: a mapping.
    #[serde(default = "empty_mapping")]
    pub metadata: Value,
}

fn empty_mapping() -> Value {
    Value::Object(serde_json::Map::new())
}

/// One step of a DAG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// Unique in the job.
    pub id: String,
    /// Ids of steps that must succeed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// What the step executes: [`Action::Command`], [`Action::Shell`] or [`Action::Http`].
    pub action: Action,
    /// Longest time for one attempt of the step.
    #[serde(default, with = "human::option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// When the step is tried again.
    pub retry: RetrySpec,
}

/// A task that is built in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltinTask {
    /// Does nothing.
    Noop,
}

/// Where the value of a secret is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// A variable in the daemon's environment.
    Env(String),
    /// A file; one trailing newline is dropped.
    File(String),
}

/// What the classifier reads. `None`: derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharacteristicsSpec {
    /// Who the job is for.
    pub visibility: Visibility,
    /// What must outlive the process.
    pub durability: Durability,
    /// Where it may run.
    pub infrastructure: Infrastructure,
    /// How often it fires, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<Frequency>,
    /// How much orchestration it needs, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complexity: Option<Complexity>,
}

/// How runs are treated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicySpec {
    /// What happens when the last run still goes on.
    pub overlap: Overlap,
    /// How many runs may go on at once; 1 with [`Overlap::Skip`].
    pub max_running: u32,
    /// Longest time for one attempt.
    #[serde(default, with = "human::option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Time between SIGTERM and SIGKILL.
    #[serde(with = "human")]
    pub kill_grace: Duration,
    /// When a failed run is tried again.
    pub retry: RetrySpec,
}

/// When and how often an attempt is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetrySpec {
    /// Attempts in all, the first included; at least 1.
    pub max_attempts: u32,
    /// How the waiting time grows.
    pub backoff: Backoff,
    /// Waiting time before the second attempt.
    #[serde(with = "human")]
    pub initial: Duration,
    /// With [`Backoff::Exponential`]; at least 1.
    pub factor: f64,
    /// Longest waiting time.
    #[serde(with = "human")]
    pub max: Duration,
    /// Share of the waiting time that is left to chance, 0 to 1.
    pub jitter: f64,
    /// Outcomes that are tried again, sorted.
    pub on: Vec<RetryOn>,
}

/// Its numbers are finite: the shape has bounds for them, and JSON can write no other.
impl Eq for RetrySpec {}

impl Hash for RetrySpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { max_attempts, backoff, initial, factor, max, jitter, on } = self;
        (max_attempts, backoff, initial, max, on).hash(state);
        // Zero with either sign is one number.
        [factor, jitter].map(|number| (number + 0.0).to_bits()).hash(state);
    }
}

impl Share for [ScheduleSpec] {
    fn parts() -> &'static Parts<Self> {
        static PARTS: LazyLock<Parts<[ScheduleSpec]>> = LazyLock::new(Parts::new);
        &PARTS
    }
}

impl Share for QueueSpec {
    fn parts() -> &'static Parts<Self> {
        static PARTS: LazyLock<Parts<QueueSpec>> = LazyLock::new(Parts::new);
        &PARTS
    }
}

impl Share for PolicySpec {
    fn parts() -> &'static Parts<Self> {
        static PARTS: LazyLock<Parts<PolicySpec>> = LazyLock::new(Parts::new);
        &PARTS
    }
}

impl RetrySpec {
    /// No second attempt.
    #[must_use]
    pub fn never() -> Self {
        Self {
            max_attempts: 1,
            backoff: Backoff::Exponential,
            initial: Duration::from_secs(10),
            factor: 2.0,
            max: Duration::from_secs(600),
            jitter: 0.1,
            on: RetryOn::ALL.to_vec(),
        }
    }
}
