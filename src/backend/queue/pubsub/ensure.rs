//! Makes a queue's topic and subscription, and sees whether ones that are there will do.

use reqwest::Method;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::Shared;
use crate::backend::queue::{
    broker::{BrokerError, QueueName},
    google::api::{Failure, REQUEST_MAX},
};

/// How long messages that nobody acknowledges are kept: as long as Pub/Sub does by itself.
const RETENTION: &str = "604800s";

/// Names that begin so are Google's.
const RESERVED: &str = "goog";

/// A subscription, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Subscription {
    topic: String,
    ack_deadline_seconds: u16,
    enable_message_ordering: bool,
    detached: bool,
    filter: String,
    push_config: Push,
    bigquery_config: Option<Value>,
    cloud_storage_config: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Push {
    push_endpoint: String,
}

impl Shared {
    /// Makes a queue, if it is not there.
    pub(super) async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        if queue.as_str().starts_with(RESERVED) {
            let reason = format!("Pub/Sub keeps names that begin with `{RESERVED}` for itself: `{queue}`");
            return Err(BrokerError::Refused { reason });
        }
        match self.look_at(queue).await {
            Err(failure) if failure.is_missing() => {}
            other => return other?,
        }
        made(self.api.ask(Method::PUT, &self.topic(queue), "{}", REQUEST_MAX).await)?;
        let project = &self.options.project;
        let body = json!({
            "topic": format!("projects/{project}/topics/{queue}"),
            "ackDeadlineSeconds": self.claim_secs,
            "enableMessageOrdering": self.options.is_ordered,
            "messageRetentionDuration": RETENTION,
            // One without a time never ends; by itself it would after a month without workers.
            "expirationPolicy": {},
        });
        let path = self.subscription(queue);
        match self.api.ask(Method::PUT, &path, body.to_string(), REQUEST_MAX).await {
            Err(failure) if failure.is_there() => self.look_at(queue).await?,
            other => other.map(drop).map_err(Into::into),
        }
    }

    /// Whether the subscription that is there will do. One with another claim is changed.
    async fn look_at(&self, queue: &QueueName) -> Result<Result<(), BrokerError>, Failure> {
        let path = self.subscription(queue);
        let found: Subscription = self.api.ask_for(Method::GET, &path, "").await?;
        let topic = format!("projects/{}/topics/{queue}", self.options.project);
        if let Some(why) = found.misfit(&topic, self.options.is_ordered) {
            let reason = format!("the subscription `{queue}` {why}");
            return Ok(Err(BrokerError::Refused { reason }));
        }
        if found.ack_deadline_seconds != self.claim_secs {
            let body = json!({
                "subscription": { "name": path.trim_start_matches("/v1/"), "ackDeadlineSeconds": self.claim_secs },
                "updateMask": "ackDeadlineSeconds",
            });
            let _: IgnoredAny = self.api.ask_for(Method::PATCH, &path, body.to_string()).await?;
        }
        Ok(Ok(()))
    }
}

/// Whether something was made, or had been.
fn made<T>(result: Result<T, Failure>) -> Result<(), BrokerError> {
    match result {
        Err(failure) if !failure.is_there() => Err(failure.into()),
        _ => Ok(()),
    }
}

impl Subscription {
    /// Why it will not do, and the way out.
    pub(super) fn misfit(&self, topic: &str, is_ordered: bool) -> Option<String> {
        let remove = "delete it, or take another name for the queue";
        if self.topic != topic {
            return Some(format!("belongs to the topic `{}`: {remove}", self.topic));
        }
        if self.detached {
            return Some(format!("is detached from its topic: {remove}"));
        }
        if !self.push_config.push_endpoint.is_empty() {
            let to = &self.push_config.push_endpoint;
            return Some(format!("pushes its messages to {to}: make it a pull subscription, or {remove}"));
        }
        if self.bigquery_config.is_some() || self.cloud_storage_config.is_some() {
            return Some(format!("writes its messages elsewhere: {remove}"));
        }
        if !self.filter.is_empty() {
            let filter = &self.filter;
            return Some(format!("drops messages that do not match `{filter}`: {remove}"));
        }
        if is_ordered && !self.enable_message_ordering {
            return Some(format!(
                "does not keep messages in order, and that cannot be changed: do without order, or {remove}"
            ));
        }
        None
    }
}
