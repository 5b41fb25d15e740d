//! The settings of the queue tier with every default filled in.

use std::{collections::BTreeMap, time::Duration};

use super::{
    cloud_tasks::CloudTasksSettings, kafka::KafkaSettings, nats::NatsSettings, pubsub::PubsubSettings,
    rabbitmq::RabbitmqSettings, redis_streams::RedisStreamsSettings,
};
use crate::{
    manifest::spec::SecretSource,
    tier::queues::{BackendKind, CLAIM, EMBEDDED, QUEUE, QueueBackend, QueueDefault, Queues},
};

/// The queue that results go back on when the settings do not say; the engine adds the instance.
pub const RESULTS: &str = "tintal-results";

/// Runs that a worker carries on at once when the settings do not say.
pub(super) const CONCURRENCY: u32 = 16;

/// Dead letters that are kept when the settings do not say.
pub(super) const DEAD_LETTERS_MAX: u32 = 10_000;

/// The settings of the queue tier.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSettings {
    /// The backend of jobs that name none.
    pub default_backend: String,
    /// The queue of jobs that name none.
    pub default_queue: String,
    /// Keys that vouch for envelopes: the first one signs, all of them are accepted.
    pub keys: Vec<KeySettings>,
    /// Every backend by its name, [`EMBEDDED`] among them.
    pub backends: BTreeMap<String, BackendSettings>,
    /// The worker in the daemon.
    pub worker: WorkerSettings,
    /// The dead letters.
    pub dead_letters: DeadLetterSettings,
}

/// A key that vouches for envelopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySettings {
    /// Its name, which an envelope carries.
    pub id: String,
    /// Where it is looked up.
    pub secret: SecretSource,
}

/// One backend.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendSettings {
    /// How long a claim on a message holds that nobody extends.
    pub claim: Duration,
    /// The queue that results go back on, without the instance.
    pub results: String,
    /// What its kind has beside.
    pub options: BackendOptions,
}

/// The options of a kind of backend.
#[derive(Debug, Clone, PartialEq)]
pub enum BackendOptions {
    /// It has none.
    Embedded,
    /// Redis streams.
    RedisStreams(RedisStreamsSettings),
    /// NATS JetStream.
    Nats(NatsSettings),
    /// Apache Kafka.
    Kafka(KafkaSettings),
    /// RabbitMQ.
    Rabbitmq(RabbitmqSettings),
    /// Google Pub/Sub.
    Pubsub(PubsubSettings),
    /// Google Cloud Tasks.
    CloudTasks(CloudTasksSettings),
}

/// The worker in the daemon, for the embedded backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Whether there is one.
    pub enabled: bool,
    /// Runs that go on at once.
    pub concurrency: usize,
}

/// The dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetterSettings {
    /// So many are kept; with as many, nothing more is taken off a queue.
    pub max: usize,
}

impl BackendOptions {
    /// The kind that has them.
    #[must_use]
    pub fn kind(&self) -> BackendKind {
        match self {
            Self::Embedded => BackendKind::Embedded,
            Self::RedisStreams(_) => BackendKind::RedisStreams,
            Self::Nats(_) => BackendKind::Nats,
            Self::Kafka(_) => BackendKind::Kafka,
            Self::Rabbitmq(_) => BackendKind::Rabbitmq,
            Self::Pubsub(_) => BackendKind::Pubsub,
            Self::CloudTasks(_) => BackendKind::CloudTasks,
        }
    }
}

impl QueueSettings {
    /// What the loader is told of the backends.
    #[must_use]
    pub fn queues(&self) -> Queues {
        let backends = self.backends.iter().map(|(name, backend)| {
            (name.clone(), QueueBackend { kind: backend.options.kind(), claim: backend.claim })
        });
        Queues {
            default: QueueDefault { backend: self.default_backend.clone(), name: self.default_queue.clone() },
            backends: backends.collect(),
        }
    }
}

impl Default for QueueSettings {
    /// The embedded backend alone, with a worker for it.
    fn default() -> Self {
        let embedded =
            BackendSettings { claim: CLAIM, results: RESULTS.to_owned(), options: BackendOptions::Embedded };
        Self {
            default_backend: EMBEDDED.to_owned(),
            default_queue: QUEUE.to_owned(),
            keys: Vec::new(),
            backends: BTreeMap::from([(EMBEDDED.to_owned(), embedded)]),
            worker: WorkerSettings { enabled: true, concurrency: CONCURRENCY as usize },
            dead_letters: DeadLetterSettings { max: DEAD_LETTERS_MAX as usize },
        }
    }
}
