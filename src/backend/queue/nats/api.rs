//! Requests of `JetStream`'s API, in its words.

use async_nats::StatusCode;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    super::broker::{BrokerError, QueueName},
    CONSUMER, Options,
    fault::{self, ApiError, busy, refused},
    link::Session,
};

/// What a stream says of itself; only what we look at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct StreamInfo {
    /// What it was made with.
    pub(super) config: StreamConfig,
}

/// What a stream was made with. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    #[serde(default)]
    pub(super) subjects: Vec<String>,
    pub(super) retention: String,
    pub(super) storage: String,
    pub(super) discard: String,
    pub(super) max_msgs: i64,
    #[serde(default)]
    pub(super) max_msgs_per_subject: i64,
    pub(super) max_bytes: i64,
    pub(super) max_age: u64,
    pub(super) num_replicas: usize,
    #[serde(default)]
    pub(super) duplicate_window: u64,
    #[serde(default)]
    pub(super) no_ack: bool,
    #[serde(default)]
    pub(super) sealed: bool,
}

/// What a consumer says of itself; only what we look at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ConsumerInfo {
    /// What it was made with.
    pub(super) config: ConsumerConfig,
    /// Messages that it never handed out.
    #[serde(default)]
    pub(super) num_pending: u64,
    /// Messages that it handed out, and that nobody acknowledged.
    #[serde(default)]
    pub(super) num_ack_pending: u64,
}

/// What a consumer was made with. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConsumerConfig {
    #[serde(default)]
    pub(super) durable_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deliver_subject: Option<String>,
    pub(super) deliver_policy: String,
    pub(super) ack_policy: String,
    #[serde(default)]
    pub(super) ack_wait: u64,
    #[serde(default)]
    pub(super) max_deliver: i64,
    pub(super) replay_policy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filter_subject: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) filter_subjects: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) backoff: Vec<u64>,
    #[serde(default)]
    pub(super) headers_only: bool,
    #[serde(default)]
    pub(super) max_ack_pending: i64,
    #[serde(default)]
    pub(super) max_waiting: i64,
}

#[derive(Debug, Serialize)]
struct NewConsumer<'a> {
    stream_name: &'a str,
    config: &'a ConsumerConfig,
    /// Servers from 2.10 then change none that is there; those before it do not know this field.
    action: &'static str,
}

#[derive(Debug, Deserialize)]
struct Failure {
    #[serde(default)]
    error: Option<ApiError>,
}

/// An answer of the API: what was asked for, or its own error.
pub(super) type Answer<T> = Result<T, ApiError>;

/// The API of `JetStream` over one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Api<'a> {
    pub(super) session: Session<'a>,
    pub(super) options: &'a Options,
}

impl Api<'_> {
    pub(super) async fn account(self) -> Result<(), BrokerError> {
        let known: Answer<serde::de::IgnoredAny> = self.ask("INFO", Bytes::new()).await?;
        known.map(|_| ()).map_err(BrokerError::from)
    }

    pub(super) async fn stream(self, queue: &QueueName) -> Result<Answer<StreamInfo>, BrokerError> {
        self.ask(&format!("STREAM.INFO.{queue}"), Bytes::new()).await
    }

    pub(super) async fn create_stream(
        self,
        config: &StreamConfig,
    ) -> Result<Answer<StreamInfo>, BrokerError> {
        self.ask(&format!("STREAM.CREATE.{}", config.name), json(config)?).await
    }

    pub(super) async fn consumer(self, queue: &QueueName) -> Result<Answer<ConsumerInfo>, BrokerError> {
        self.ask(&format!("CONSUMER.INFO.{queue}.{CONSUMER}"), Bytes::new()).await
    }

    pub(super) async fn create_consumer(
        self,
        queue: &QueueName,
        config: &ConsumerConfig,
    ) -> Result<Answer<ConsumerInfo>, BrokerError> {
        let request = NewConsumer { stream_name: queue.as_str(), config, action: "create" };
        self.ask(&format!("CONSUMER.CREATE.{queue}.{CONSUMER}"), json(&request)?).await
    }

    /// Why nobody took a message that was sent to the queue.
    pub(super) async fn why_not_stored(self, queue: &QueueName) -> BrokerError {
        match self.stream(queue).await {
            Ok(Ok(_)) => {
                busy(format!("the stream `{queue}` takes nothing now: it has no leader, or just starts"))
            }
            Ok(Err(error)) => of_missing("stream", queue, error),
            Err(error) => error,
        }
    }

    /// Why nobody answers for the consumer; none if it is there and ready.
    pub(super) async fn why_not_consumed(self, queue: &QueueName) -> Option<BrokerError> {
        match self.consumer(queue).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(of_missing("consumer", queue, error)),
            Err(error) => Some(error),
        }
    }

    async fn ask<T: DeserializeOwned>(self, request: &str, payload: Bytes) -> Result<Answer<T>, BrokerError> {
        let answer = self.session.ask(&self.options.api(request), payload).await?;
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(fault::no_jetstream());
        }
        if let Some(error) = parse::<Failure>(&answer.payload)?.error {
            return Ok(Err(error));
        }
        parse(&answer.payload).map(Ok)
    }
}

fn of_missing(what: &str, queue: &QueueName, error: ApiError) -> BrokerError {
    if error.code != fault::NOT_FOUND {
        return error.into();
    }
    let said = error.description;
    refused(format!("the queue `{queue}` has no {what} ({said}): somebody deleted it, or it was never made"))
}

fn json(request: &impl Serialize) -> Result<Bytes, BrokerError> {
    let request = serde_json::to_vec(request).map(Bytes::from);
    request.map_err(|error| refused(format!("a request cannot be written: {error}")))
}

fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, BrokerError> {
    serde_json::from_slice(answer)
        .map_err(|error| refused(format!("an answer of JetStream is not understood: {error}")))
}
