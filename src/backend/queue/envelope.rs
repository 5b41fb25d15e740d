//! The envelope: what a message says of one attempt of one run. Version 1.
//!
//! The JSON is canonical and signed (`signature`). Beside our fields stand those that an Oneiric worker
//! reads (`workflow`, `workflow_provider`, `context`, `metadata`, `queued_at`, with `run_id`): such a
//! worker takes the same message. Fields are only ever added; a change of what one means is a new
//! version.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;
use uuid::Uuid;

use super::signature::{Keyring, SignatureError, Vouched};
use crate::{
    manifest::{
        characteristics::{Durability, Infrastructure, Visibility},
        digest::Digest,
        name::JobName,
        policy::Overlap,
        queue::Fallback,
        shared::Shared,
        spec::{CharacteristicsSpec, PolicySpec, RetrySpec, RunSpec, Spec},
        text::human,
    },
    run::{Cause, RunId},
};

/// The version of the envelopes that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// One attempt of one run, as a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Tintal envelope")]
pub struct Envelope {
    /// The version of this form: 1.
    pub v: u32,
    /// The run: the same for every attempt, and for every daemon that decides the occurrence.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub run_id: RunId,
    /// The job.
    pub job: JobName,
    /// The nominal instant that a trigger named; for a run by hand, the instant it was asked for.
    #[schemars(with = "String")]
    pub fire_time: Timestamp,
    /// What asked for the run: `schedule`, `manual` or `reboot`.
    #[schemars(with = "String")]
    pub cause: Cause,
    /// The number of the attempt, from 1.
    #[schemars(range(min = 1))]
    pub attempt: u32,
    /// Attempts that there may be in all.
    #[schemars(range(min = 1))]
    pub max_attempts: u32,
    /// Not to be begun before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub not_before: Option<Timestamp>,
    /// Not to be begun after this.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
    /// When it was sent.
    #[schemars(with = "String")]
    pub enqueued_at: Timestamp,
    /// Content hash of the job's spec: who has the same manifest finds the same.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// What to do; none of a message that is for another program than Tintal's worker.
    #[schemars(with = "Option<Value>")]
    pub action: Option<Work>,
    /// The queue that the outcome goes to; none: nobody waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// W3C trace context of the attempt.
    pub traceparent: String,
    /// For a worker of Oneiric: the workflow's key; of our own actions the job's name.
    pub workflow: String,
    /// For a worker of Oneiric.
    pub workflow_provider: Option<String>,
    /// For a worker of Oneiric: what the workflow is given; of our own actions the values of the
    /// parameters.
    #[schemars(with = "Map<String, Value>")]
    pub context: Value,
    /// For a worker of Oneiric, which gives it back.
    #[schemars(with = "Map<String, Value>")]
    pub metadata: Value,
    /// For a worker of Oneiric: the same as `enqueued_at`.
    #[schemars(with = "String")]
    pub queued_at: Timestamp,
}

/// What a worker is to do: of a spec, what an attempt needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// The action with its surroundings. Secrets are references, which the worker looks up.
    pub run: RunSpec,
    /// Values for templates, those of the run included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// Words that templates see.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The zone that templates tell the fire time in.
    pub timezone: String,
    /// Longest time for the attempt.
    #[serde(default, with = "human::option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Time between SIGTERM and SIGKILL.
    #[serde(with = "human")]
    pub kill_grace: Duration,
}

/// Why a message is no envelope that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// It has none of the marks of an envelope: another program sent it.
    #[error("it is no message of Tintal")]
    Foreign,
    /// Its version is not known here.
    #[error("it has version {found}, and this version of tintal reads {VERSION}")]
    UnknownVersion {
        /// Its version.
        found: u64,
    },
    /// Its signature is not to be believed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A field is missing, or is not what it should be.
    #[error("it cannot be read: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

impl Envelope {
    /// The message, signed when there is a key.
    #[must_use]
    pub fn sign(&self, keys: &Keyring) -> String {
        match serde_json::to_value(self) {
            Ok(value) => keys.sign(&value),
            Err(error) => unreachable!("an envelope is plain data with text keys: {error}"),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// As [`EnvelopeError`] says.
    pub fn read(body: &[u8], keys: &Keyring) -> Result<(Self, Vouched), EnvelopeError> {
        let text = std::str::from_utf8(body).map_err(|_| EnvelopeError::Foreign)?;
        // Looked at first without a thought of who signed it: of another program's message it is not
        // asked.
        let marks: Marks = serde_json::from_str(text).map_err(|_| EnvelopeError::Foreign)?;
        let (Some(version), Some(_), Some(_)) = (marks.v, marks.run_id, marks.job) else {
            return Err(EnvelopeError::Foreign);
        };
        let found = version.as_u64().ok_or(EnvelopeError::Foreign)?;
        if found != u64::from(VERSION) {
            return Err(EnvelopeError::UnknownVersion { found });
        }
        let (value, vouched) = keys.read(text)?;
        let envelope = serde_json::from_value(value);
        envelope
            .map(|envelope| (envelope, vouched))
            .map_err(|error| EnvelopeError::Malformed { reason: error.to_string() })
    }

    /// Names the message: one attempt of one run is one message, whoever sends it and how often.
    #[must_use]
    pub fn message_id(&self) -> String {
        message_id(self.run_id, self.attempt)
    }
}

/// Names the message of an attempt of a run.
#[must_use]
pub fn message_id(run: RunId, attempt: u32) -> String {
    format!("{run}:{attempt}")
}

/// What tells an envelope from the message of another program.
#[derive(Deserialize)]
struct Marks {
    v: Option<Value>,
    run_id: Option<String>,
    job: Option<String>,
}

/// The W3C trace context of an attempt: the trace is the run, the span the attempt.
#[must_use]
pub fn traceparent(run: RunId, attempt: u32) -> String {
    let span = Uuid::new_v5(&run.0, &attempt.to_be_bytes());
    let span = span.simple().to_string();
    format!("00-{}-{}-01", run.0.simple(), &span[..16])
}

impl Work {
    /// The work of a run of this job; the fire time is told in this zone.
    #[must_use]
    pub fn of(spec: &Spec, params: &BTreeMap<String, Value>, timezone: String) -> Self {
        let mut all = spec.params.clone();
        all.extend(params.clone());
        Self {
            run: spec.run.clone(),
            params: all,
            labels: spec.labels.clone(),
            timezone,
            timeout: spec.policy.timeout,
            kill_grace: spec.policy.kill_grace,
        }
    }

    /// The job that an attempt is made of, as far as an attempt needs it.
    #[must_use]
    pub fn into_spec(self, job: JobName) -> Arc<Spec> {
        let Self { run, params, labels, timeout, kill_grace, .. } = self;
        // One attempt and no more: what comes after it is the daemon's to say.
        let policy = PolicySpec {
            overlap: Overlap::Allow,
            max_running: 1,
            timeout,
            kill_grace,
            retry: RetrySpec::never(),
        };
        Arc::new(Spec {
            name: job,
            description: None,
            labels,
            enabled: true,
            schedule: Shared::default(),
            run,
            params,
            characteristics: CharacteristicsSpec {
                visibility: Visibility::Internal,
                durability: Durability::Ephemeral,
                infrastructure: Infrastructure::Distributed,
                frequency: None,
                complexity: None,
            },
            tier: None,
            fallback: Fallback::Hold,
            queue: None,
            policy: Shared::of(policy),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use secrecy::SecretString;

    use super::{super::signature::Key, *};

    pub(crate) fn keys() -> Keyring {
        Keyring::new(vec![Key::new("k1".to_owned(), &SecretString::from("secret"))])
    }

    pub(crate) fn envelope() -> Envelope {
        let spec: Spec = serde_json::from_value(serde_json::json!({
            "name": "report", "enabled": true, "params": {"region": "eu"},
            "run": {"action": {"command": ["true"]}, "env": {"LANG": "C"}, "secrets": {"DB": {"env": "DB_URL"}}},
            "characteristics": {"visibility": "internal", "durability": "persistent", "infrastructure": "distributed"},
            "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s", "timeout": "30m",
                       "retry": {"max_attempts": 4, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
        }))
        .unwrap();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let run_id = crate::run::run_id(&spec.name, at(0), Cause::Schedule);
        let work = Work::of(&spec, &BTreeMap::from([("region".to_owned(), "us".into())]), "UTC".to_owned());
        Envelope {
            v: VERSION,
            run_id,
            job: spec.name.clone(),
            fire_time: at(0),
            cause: Cause::Schedule,
            attempt: 1,
            max_attempts: 4,
            not_before: None,
            expires_at: at(3_600),
            enqueued_at: at(1),
            digest: Digest::of(&spec),
            context: serde_json::to_value(&work.params).unwrap(),
            action: Some(work),
            reply_to: Some("tintal-results-0a1b2c3d".to_owned()),
            traceparent: traceparent(run_id, 1),
            workflow: "report".to_owned(),
            workflow_provider: None,
            metadata: serde_json::json!({}),
            queued_at: at(1),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let body = envelope().sign(&keys());
        assert_eq!(Envelope::read(body.as_bytes(), &keys()), Ok((envelope(), Vouched::Signed)));
        let body = envelope().sign(&Keyring::new(Vec::new()));
        assert_eq!(Envelope::read(body.as_bytes(), &keys()), Ok((envelope(), Vouched::Unsigned)));
    }

    #[test]
    #[rustfmt::skip]
    fn what_cannot_be_used_is_told_apart() {
        let body = envelope().sign(&keys());
        let check = |body: &str, expected: &str| {
            let error = Envelope::read(body.as_bytes(), &keys()).unwrap_err();
            assert_eq!(error.to_string(), expected, "{body}");
        };
        check("not ours",                                  "it is no message of Tintal");
        check("{\"v\": 1, \"workflow\": \"etl\"}",          "it is no message of Tintal");
        check(&body.replace("\"v\":1", "\"v\":2"),         "it has version 2, and this version of tintal reads 1");
        check(&body.replace("\"true\"", "\"false\""),      "its signature by the key `k1` does not match what it says");
        check(r#"{"v":1,"run_id":"x","job":"report"}"#,    "it cannot be read: UUID parsing failed: invalid character: found `x` at 0");
    }

    #[test]
    fn an_attempt_on_a_worker_is_made_of_what_the_daemon_has() {
        let Envelope { action, job, .. } = envelope();
        let spec = action.unwrap().into_spec(job);
        assert_eq!(spec.params["region"], "us", "the values of the run go over those of the manifest");
        assert_eq!(spec.policy.timeout, Some(Duration::from_secs(1_800)));
        assert_eq!(spec.run.env["LANG"], "C");
    }

    /// As Oneiric's `WorkflowTaskProcessor.process` reads it: `workflow` must be a text; `context`,
    /// `metadata` and `run_id` are read by their names.
    #[test]
    fn a_worker_of_oneiric_finds_its_fields() {
        let payload: Value = serde_json::from_str(&envelope().sign(&keys())).unwrap();
        let text = |key: &str| payload[key].as_str().map(str::to_owned);
        assert_eq!(text("workflow").as_deref(), Some("report"));
        assert_eq!(payload["workflow_provider"], Value::Null);
        assert_eq!(payload["context"], serde_json::json!({"region": "us"}));
        assert!(payload["metadata"].is_object());
        assert!(text("run_id").is_some_and(|id| id.parse::<Uuid>().is_ok()));
        assert_eq!(text("queued_at").as_deref(), Some("2027-01-15T08:00:01Z"));
    }

    #[test]
    fn the_trace_is_the_run_and_the_span_its_attempt() {
        let run = envelope().run_id;
        let (first, second) = (traceparent(run, 1), traceparent(run, 2));
        assert_eq!((first.len(), &first[..36]), (55, &second[..36]));
        assert_ne!(first, second);
    }
}
