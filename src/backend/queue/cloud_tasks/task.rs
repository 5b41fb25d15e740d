//! A task as it goes to Cloud Tasks, and the headers that it comes back with.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::{Span, Timestamp};
use serde_json::json;

use super::{CAPABILITIES, Options};
use crate::backend::queue::broker::QueueName;

/// Holds the message's id.
pub(super) const ID: &str = "x-tintal-id";

/// Holds how often the message was handed out before this task was made.
pub(super) const DELIVERIES: &str = "x-tintal-deliveries";

/// Longest time until Cloud Tasks pushes again what a listener did not take, or took and died.
const BACKOFF_MAX_SECS: u32 = 60;

/// Where tasks go, and what is the same in all of them.
#[derive(Debug)]
pub(super) struct Target {
    url: String,
    rest: String,
}

/// What is to be in a task.
#[derive(Debug)]
pub(super) struct Parcel<'a> {
    /// The task's id.
    pub(super) task: String,
    /// The message's.
    pub(super) id: Option<&'a str>,
    /// How often it was handed out.
    pub(super) deliveries: u32,
    /// What it says.
    pub(super) body: &'a Bytes,
    /// Not to be pushed before this.
    pub(super) not_before: Option<Timestamp>,
}

/// How a task is retried. The count is ours, so Cloud Tasks must not give up; its own waits are short,
/// since they are only for listeners that are full or gone.
pub(super) fn retry_config() -> serde_json::Value {
    json!({
        "maxAttempts": -1,
        "minBackoff": "1s",
        "maxBackoff": format!("{BACKOFF_MAX_SECS}s"),
        "maxDoublings": 6,
    })
}

/// The id of a message's task. Cloud Tasks is slow with ids that follow each other.
pub(super) fn task_id(message: &str) -> String {
    blake3::hash(message.as_bytes()).to_hex().to_string()
}

impl Target {
    pub(super) fn new(options: &Options) -> Self {
        let url = format!("{}/v1/tasks/", options.target_url.trim_end_matches('/'));
        let deadline = format!("{}.{:03}s", options.claim.as_secs(), options.claim.subsec_millis());
        let oidc = options.oidc.as_ref().map(|oidc| {
            let audience = oidc.audience.as_ref().unwrap_or(&options.target_url);
            let token = json!({ "serviceAccountEmail": oidc.service_account, "audience": audience });
            format!(r#","oidcToken":{token}"#)
        });
        let retry = retry_config();
        let rest = format!(
            r#"{}}},"dispatchDeadline":"{deadline}","retryConfig":{retry}}}}}"#,
            oidc.unwrap_or_default()
        );
        Self { url, rest }
    }

    /// The body of the request that makes a task. `parent` is the queue's full name.
    pub(super) fn request(
        &self,
        parent: &str,
        queue: &QueueName,
        parcel: &Parcel<'_>,
        now: Timestamp,
    ) -> String {
        let Parcel { task, id, deliveries, body, not_before } = parcel;
        let url = json!(format!("{}{queue}", self.url));
        let mut headers = json!({ "Content-Type": "application/octet-stream" });
        headers[DELIVERIES] = deliveries.to_string().into();
        if let Some(id) = id {
            headers[ID] = (*id).into();
        }
        let mut text = String::with_capacity(body.len().div_ceil(3) * 4 + 1_024 + self.rest.len());
        // A text takes what is written.
        let _ = write!(text, r#"{{"task":{{"name":"{parent}/tasks/{task}","#);
        if let Some(at) = not_before.and_then(|at| due(at, now)) {
            let _ = write!(text, r#""scheduleTime":"{at}","#);
        }
        let _ =
            write!(text, r#""httpRequest":{{"httpMethod":"POST","url":{url},"headers":{headers},"body":""#);
        STANDARD.encode_string(body, &mut text);
        text.push('"');
        text.push_str(&self.rest);
        text
    }
}

/// When a task is to be pushed, if that is later than now, and no later than Cloud Tasks can.
fn due(at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let most = Span::try_from(CAPABILITIES.delay).ok().and_then(|delay| now.checked_add(delay).ok())?;
    (at > now).then_some(at.min(most))
}
