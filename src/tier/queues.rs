//! The backends of the queue tier: which there are, and what each kind promises.
//!
//! Pure data. Validation, `tintal explain` and `docs/queues.md` all read this one table.

use std::{collections::BTreeMap, fmt, time::Duration};

/// Name of the backend that is always there.
pub const EMBEDDED: &str = "embedded";

/// The queue that messages go to when nobody says otherwise.
pub const QUEUE: &str = "tintal";

/// How long a claim holds when the settings do not say.
pub const CLAIM: Duration = Duration::from_secs(30);

/// The same on Cloud Tasks, where a run must end within its claim: the service's own default.
pub const CLAIM_CLOUD_TASKS: Duration = Duration::from_secs(600);

/// Which backends the queue tier has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    /// Where the messages of a job go that does not say.
    pub default: QueueDefault,
    /// Every backend by its name, [`EMBEDDED`] among them.
    pub backends: BTreeMap<String, QueueBackend>,
}

/// Where messages go when nobody says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDefault {
    /// Name of a backend.
    pub backend: String,
    /// Name of the queue.
    pub name: String,
}

/// A backend as the loader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBackend {
    /// Its kind.
    pub kind: BackendKind,
    /// How long a claim holds that nobody extends.
    pub claim: Duration,
}

/// The kind of a backend: which queue system it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendKind {
    /// In the ledger, on the daemon's machine.
    Embedded,
    /// Redis streams.
    RedisStreams,
    /// NATS JetStream.
    Nats,
    /// Apache Kafka, and what speaks its protocol.
    Kafka,
    /// RabbitMQ, and what speaks AMQP 0.9.1.
    Rabbitmq,
    /// Google Pub/Sub.
    Pubsub,
    /// Google Cloud Tasks.
    CloudTasks,
}

/// What a kind of backend promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Which kind.
    pub kind: BackendKind,
    /// How often a message arrives, in one sentence.
    pub delivery: &'static str,
    /// What holds of the order of messages.
    pub order: Order,
    /// How long it delays a message by itself; zero: not at all, and tintal holds it.
    pub delay: Duration,
    /// How long it knows a message again by its id; zero: not at all.
    pub dedupe: Duration,
    /// Whether a claim can be extended while a run goes on. Without, a run must end within one.
    pub extends: bool,
    /// Bytes that the body of a message may have.
    pub body_max: usize,
    /// What outlives a crash, in a few words.
    pub durable: &'static str,
    /// Whether other machines reach it.
    pub reach: Reach,
}

/// What holds of the order of messages, while nothing fails and one worker receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    None,
    /// Messages of one job come in the order they were sent in.
    PerJob,
    /// All messages of a queue do.
    Queue,
}

/// Who reaches a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The daemon alone.
    Daemon,
    /// Workers on other machines too, and consumers that are not ours.
    Others,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The promises, one for each kind.
pub const PROMISES: [Promise; 7] = [
    Promise {
        kind: BackendKind::Embedded,
        delivery: "at least once, and once as long as the ledger is kept: a message and the record of its run are in one file",
        order: Order::Queue,
        delay: Duration::MAX,
        dedupe: Duration::MAX,
        extends: true,
        body_max: 1024 * 1024,
        durable: "in the ledger; with `ledger: memory` nothing",
        reach: Reach::Daemon,
    },
    Promise {
        kind: BackendKind::RedisStreams,
        delivery: "at least once; a message of a dead worker is taken over when its claim is over",
        order: Order::Queue,
        delay: Duration::MAX,
        dedupe: DAY,
        extends: true,
        body_max: 1024 * 1024,
        durable: "as the server's `appendfsync` says",
        reach: Reach::Others,
    },
    Promise {
        kind: BackendKind::Nats,
        delivery: "at least once; a message of a dead worker is delivered again when its claim is over",
        order: Order::Queue,
        delay: Duration::ZERO,
        dedupe: Duration::from_secs(120),
        extends: true,
        // The server's own default of `max_payload`.
        body_max: 1024 * 1024,
        durable: "on the disks of the stream's replicas",
        reach: Reach::Others,
    },
    Promise {
        kind: BackendKind::Kafka,
        delivery: "at least once; after a crash or a rebalance, what was not committed is delivered again",
        order: Order::PerJob,
        delay: Duration::ZERO,
        dedupe: Duration::ZERO,
        extends: true,
        // Below the default of `message.max.bytes`, which counts the headers too.
        body_max: 1_000_000,
        durable: "on the topic's in-sync replicas",
        reach: Reach::Others,
    },
    Promise {
        kind: BackendKind::Rabbitmq,
        delivery: "at least once; a message of a lost connection is delivered again at once",
        order: Order::Queue,
        delay: Duration::MAX,
        dedupe: Duration::ZERO,
        extends: true,
        body_max: 1024 * 1024,
        durable: "on a majority of the quorum queue's nodes",
        reach: Reach::Others,
    },
    Promise {
        kind: BackendKind::Pubsub,
        delivery: "at least once; a message whose claim is over is delivered again",
        order: Order::PerJob,
        delay: Duration::ZERO,
        dedupe: Duration::ZERO,
        extends: true,
        // A request has 10 MB at most, and carries the body in base64.
        body_max: 7_000_000,
        durable: "by the service",
        reach: Reach::Others,
    },
    Promise {
        kind: BackendKind::CloudTasks,
        delivery: "at least once, pushed to the worker's address; without an answer in time it is pushed again",
        order: Order::None,
        delay: Duration::from_secs(30 * 24 * 3600),
        dedupe: Duration::from_secs(3600),
        extends: false,
        // A task has 1 MB at most, its headers included, and carries the body in base64.
        body_max: 700_000,
        durable: "by the service",
        reach: Reach::Others,
    },
];

impl BackendKind {
    /// Every kind that settings can name.
    pub const CONFIGURABLE: [Self; 6] =
        [Self::RedisStreams, Self::Nats, Self::Kafka, Self::Rabbitmq, Self::Pubsub, Self::CloudTasks];

    /// The word in settings and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => EMBEDDED,
            Self::RedisStreams => "redis-streams",
            Self::Nats => "nats",
            Self::Kafka => "kafka",
            Self::Rabbitmq => "rabbitmq",
            Self::Pubsub => "pubsub",
            Self::CloudTasks => "cloud-tasks",
        }
    }

    /// What it promises.
    #[must_use]
    pub fn promise(self) -> &'static Promise {
        &PROMISES[self as usize]
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::PerJob => "of each job",
            Self::Queue => "of the queue",
        })
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Default for Queues {
    /// The embedded backend alone.
    fn default() -> Self {
        let embedded = QueueBackend { kind: BackendKind::Embedded, claim: CLAIM };
        Self {
            default: QueueDefault { backend: EMBEDDED.to_owned(), name: QUEUE.to_owned() },
            backends: BTreeMap::from([(EMBEDDED.to_owned(), embedded)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_promise() {
        for (index, promise) in PROMISES.iter().enumerate() {
            assert_eq!(promise.kind as usize, index);
            assert_eq!(promise.kind.promise(), promise);
        }
        assert_eq!(PROMISES.len(), BackendKind::CONFIGURABLE.len() + 1);
    }
}
