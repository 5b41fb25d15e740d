//! The settings of the queue tier as they are written in `tintal.yaml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    cloud_tasks::CloudTasksFile, kafka::KafkaFile, nats::NatsFile, pubsub::PubsubFile,
    rabbitmq::RabbitmqFile, redis_streams::RedisStreamsFile,
};
use crate::manifest::action::SecretRef;

/// The queue tier: where messages go, and who vouches for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueFile {
    /// The backend of jobs that name none: `embedded`, or one of `backends`. Default: `embedded`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"))]
    pub backend: Option<String>,
    /// The queue of jobs that name none. Default: `tintal`.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z][a-z0-9-]*[a-z0-9]$"))]
    pub name: Option<String>,
    /// Keys that vouch for messages: the first one signs, all of them are accepted. Default: none.
    #[schemars(length(min = 1, max = 16))]
    pub keys: Option<Vec<KeyFile>>,
    /// Backends by a name of your own. `embedded` is always there, and needs no words.
    #[schemars(extend("maxProperties" = 32, "propertyNames" = {"pattern": "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"}))]
    pub backends: Option<BTreeMap<String, BackendFile>>,
    /// The worker in the daemon, which takes what is on the `embedded` backend.
    pub worker: Option<WorkerFile>,
    /// Runs that were given up.
    pub dead_letters: Option<DeadLettersFile>,
}

/// A key that vouches for messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// Its name, which a message carries.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9_-]+$"), extend("examples" = ["2026-11"]))]
    pub id: String,
    /// Where it is looked up.
    pub secret: SecretRef,
}

/// One backend: a mapping with its kind as its only key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct BackendFile {
    /// Redis streams.
    pub redis_streams: Option<RedisStreamsFile>,
    /// NATS JetStream.
    pub nats: Option<NatsFile>,
    /// Apache Kafka.
    pub kafka: Option<KafkaFile>,
    /// RabbitMQ, or LavinMQ.
    pub rabbitmq: Option<RabbitmqFile>,
    /// Google Pub/Sub.
    pub pubsub: Option<PubsubFile>,
    /// Google Cloud Tasks.
    pub cloud_tasks: Option<CloudTasksFile>,
}

/// The worker in the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerFile {
    /// Whether there is one. Default: `true`.
    pub enabled: Option<bool>,
    /// Runs that go on at once. Default: 16.
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: Option<u32>,
}

/// Runs that were given up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLettersFile {
    /// So many are kept; with as many, nothing more is taken off a queue until a person has looked.
    /// Default: 10000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: Option<u32>,
}
