//! Kafka: a queue is a topic, and those that work on it are a consumer group.
//!
//! A group commits one number for a partition, and all before it is done with. So this adapter keeps
//! what was handed out of a partition in order, and commits the next offset only once everything before it
//! is settled (`window`). A message that is to come again is written again, with what is to be known of
//! it in headers (`record`); the old one counts as settled once that is confirmed. A message that is not
//! due is held in memory, and those behind it are handed out (`share`).
//!
//! A member of the group (`membership`) has a task of its own that answers to the group, however long what was
//! handed out takes. When the group wants a partition for another member, what is claimed of it may be
//! finished first, within [`Options::handover`].

mod client;
mod commit;
mod fault;
mod intake;
mod member;
mod membership;
mod outbox;
mod record;
mod share;
mod topic;
mod window;

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::{sync::mpsc, time::timeout};

use self::{
    intake::Intake,
    outbox::{Outbox, Outgoing},
};
use super::broker::{
    Broker, BrokerError, Capabilities, Delivery, Depth, Health, Message, Order, QueueName, Sent, Settlement,
};

/// Bytes of a body. A broker takes batches of at most 1,048,588 bytes unless it is told otherwise; key,
/// headers and framing need the rest.
const BODY_MAX: usize = 1_000_000;

/// How long a message may be held in the memory of each process that has it. The engine keeps what is to
/// be sent later than that.
const DELAY_MAX: Duration = Duration::from_secs(15 * 60);

/// Shortest claim time, and longest: a broker's limits unless it is told otherwise.
const CLAIM_MIN: Duration = Duration::from_secs(6);
const CLAIM_MAX: Duration = Duration::from_secs(30 * 60);

/// Longest handover: longer, a group of many workers would stand still for too long.
const HANDOVER_MAX: Duration = Duration::from_secs(60 * 60);

/// Longest time for all groups to be left.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// What Kafka does by itself, with this adapter.
pub const CAPABILITIES: Capabilities = Capabilities {
    delay: DELAY_MAX,
    dedupe: Duration::ZERO,
    order: Order::PerKey,
    extends: true,
    // The deliveries that it tells are counted, those that ended with a process are not.
    counts: false,
    body_max: BODY_MAX,
};

/// Where Kafka is, and how it is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// Brokers to begin with, as `host:port`, with commas between them; the others are learned of them.
    pub servers: String,
    /// First part of the names of the consumer groups: that of queue `q` is `<group>.q`.
    pub group: String,
    /// How long a process may be silent until its messages go to others, and how long a claim lasts that
    /// is not extended: the group's `session.timeout.ms`. Brokers allow 6 seconds to 30 minutes.
    pub claim: Duration,
    /// How long a partition may be kept that another member of the group is to have, while what is claimed
    /// of it is worked on. After that, another worker gets the same messages.
    pub handover: Duration,
    /// Partitions of a topic that is made. As many workers at most share a queue.
    pub partitions: i32,
    /// Copies of each partition of a topic that is made; -1: as the brokers' settings say.
    pub replication: i32,
    /// How long a topic that is made keeps messages, whether they are done with or not.
    pub retention: Duration,
    /// TLS, if it is used.
    pub tls: Option<Tls>,
    /// User and password, if they are asked for.
    pub sasl: Option<Sasl>,
}

/// How the connection is kept private.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// File with certificates of the authorities that are trusted; the system's when none is given.
    pub authorities: Option<PathBuf>,
    /// Who we are, if the brokers ask for a certificate.
    pub identity: Option<Identity>,
}

/// A certificate of ours.
#[derive(Debug, Clone)]
pub struct Identity {
    /// File with the certificate and those between it and its authority, as PEM.
    pub certificate: PathBuf,
    /// File with its key, as PEM.
    pub key: PathBuf,
}

/// Who we say we are.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// How the password is proved.
    pub mechanism: Mechanism,
    /// Name of the user.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

/// How a password is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// It is sent as it is. Only over TLS, where the network is not trusted.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// Its name in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Options {
    /// Those of a broker, with what is usual for the rest.
    #[must_use]
    pub fn at(servers: &str) -> Self {
        Self {
            servers: servers.to_owned(),
            group: "tintal".to_owned(),
            claim: Duration::from_secs(60),
            handover: Duration::from_secs(120),
            partitions: 6,
            replication: -1,
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            tls: None,
            sasl: None,
        }
    }

    /// What is wrong with them, as far as that shows without asking a broker.
    fn check(&self) -> Result<(), BrokerError> {
        let native = client::consumer(self, &self.group).create_native_config();
        let native = native.map_err(|error| fault::of(&error))?;
        let built_in = native.get("builtin.features").map_err(|error| fault::of(&error))?;
        let can = |feature: &str| built_in.split(',').any(|built_in| built_in.trim_matches('\0') == feature);
        let is_scram = self.sasl.as_ref().is_some_and(|sasl| sasl.mechanism != Mechanism::Plain);
        let wrong = if self.servers.trim().is_empty() {
            "`servers` names no broker"
        } else if self.group.is_empty() {
            "`group` is empty"
        } else if !(CLAIM_MIN..=CLAIM_MAX).contains(&self.claim) {
            "`claim` must be from 6 seconds to 30 minutes"
        } else if self.handover > HANDOVER_MAX {
            "`handover` must be at most an hour"
        } else if self.partitions < 1 {
            "`partitions` must be 1 at least"
        } else if self.tls.is_some() && !can("ssl") {
            "this program was built without TLS for Kafka; build it with the feature `kafka-tls`"
        } else if is_scram && !can("sasl_scram") {
            "this program was built without SCRAM for Kafka; build it with the feature `kafka-tls`"
        } else {
            return Ok(());
        };
        Err(fault::refused(wrong))
    }
}

/// The adapter for Kafka.
pub struct KafkaBroker {
    options: Arc<Options>,
    now: fn() -> Timestamp,
    outbox: Arc<Outbox>,
    intakes: Mutex<BTreeMap<QueueName, Arc<Intake>>>,
    /// Held by all that has joined a group.
    presence: mpsc::Sender<()>,
    absence: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl KafkaBroker {
    /// An adapter that connects when it is first used.
    ///
    /// # Errors
    ///
    /// When an option cannot be meant.
    pub fn new(options: Options, now: fn() -> Timestamp) -> Result<Self, BrokerError> {
        options.check()?;
        let options = Arc::new(options);
        let outbox = Arc::new(Outbox::new(Arc::clone(&options)));
        let (presence, absence) = mpsc::channel(1);
        let absence = tokio::sync::Mutex::new(absence);
        Ok(Self { options, now, outbox, intakes: Mutex::default(), presence, absence })
    }

    /// Leaves all groups, and waits until that is done, so that others have our messages at once. What is
    /// claimed is no longer ours. Dropping the adapter does the same, if the process lives long enough.
    pub async fn close(self) {
        let Self { intakes, presence, absence, .. } = self;
        drop((intakes, presence));
        // A group that does not let us go gives our messages to others after the claim time.
        let _ = timeout(CLOSE_MAX, absence.into_inner().recv()).await;
    }

    fn intake(&self, queue: &QueueName) -> Result<Arc<Intake>, BrokerError> {
        let mut intakes = self.intakes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(intake) = intakes.get(queue) {
            return Ok(Arc::clone(intake));
        }
        let (topic, presence) = (queue.as_str(), self.presence.clone());
        let intake = Arc::new(Intake::open(&self.options, topic, &self.outbox, self.now, presence)?);
        intakes.insert(queue.clone(), Arc::clone(&intake));
        Ok(intake)
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        topic::ensure(&self.options, &self.outbox, queue.as_str()).await
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        let fitting = messages.iter().filter(|message| message.body.len() <= BODY_MAX);
        let outgoing: Vec<_> = fitting.map(Outgoing::First).collect();
        let mut sent = self.outbox.send(queue.as_str(), &outgoing).await.into_iter();
        let result = |message: &Message| match message.body.len() {
            ..=BODY_MAX => match sent.next() {
                Some(result) => result.map(|()| Sent::New),
                None => Err(fault::unreachable("the client did not say what became of it")),
            },
            size => Err(fault::refused(format!("a body of {size} bytes; the most is {BODY_MAX}"))),
        };
        messages.iter().map(result).collect()
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        self.intake(queue)?.receive(max, wait).await
    }

    async fn settle(&self, queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        match self.intake(queue) {
            Ok(intake) => intake.settle(&self.outbox, settlements).await,
            Err(error) => vec![Err(error); settlements.len()],
        }
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        let ready = topic::depth(&*self.intake(queue)?, queue.as_str()).await?;
        // What is claimed and what is not due yet is among them: the group does not tell.
        Ok(Depth { ready, claimed: None, delayed: None })
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        let brokers = topic::brokers(&self.outbox).await?;
        Ok(Health { server: format!("Kafka, {brokers} broker{}", if brokers == 1 { "" } else { "s" }) })
    }
}

impl fmt::Debug for KafkaBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaBroker").field("options", &self.options).finish_non_exhaustive()
    }
}
