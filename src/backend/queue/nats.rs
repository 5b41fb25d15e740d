//! NATS `JetStream`: a work-queue stream for each queue, and one durable consumer that all workers share.
//!
//! Stream, subject and queue have one name. The stream keeps its messages in files, until they are
//! acknowledged; its consumer is called [`CONSUMER`]. Servers from 2.9 will do, alone or in a cluster.
//!
//! # What is promised
//!
//! At least once: a message stays until an acknowledgement of it was confirmed, and comes again when its
//! claim is over. Messages come in the order they were sent in, save those that come again.
//!
//! - A message is sent when the stream says that it has it: with replicas, most of them do; a single
//!   server has written it to its file, and is sure of its disk only after its `sync_interval` (two
//!   minutes, unless it is set).
//! - An id is remembered for the duplicate window. A server that starts again only remembers those of
//!   messages that it still has.
//! - An acknowledgement is reported when the server confirmed it: then the message never comes again. A
//!   server 2.9 that is alone writes it down a tenth of a second later, so one that is killed meanwhile
//!   hands out once more what was acknowledged; newer ones do not.
//! - A server takes an acknowledgement, or another verdict, also when another worker has the message by
//!   now, and does not say so. So a claim is over when our own clock says so, and then nothing is said to
//!   the server. It says so a twentieth of the claim time early, a second at most, since the server's
//!   clock starts when it sends the message, and ours when it is here.
//! - A message that is not for us is put aside for an hour ([`LEAVE_FOR`]), for all workers of the queue:
//!   a work queue has one consumer. Each time counts as a delivery.
//! - Messages that are claimed, put aside or to be tried again later count against
//!   [`Options::claims_max`]; at that limit nothing more is handed out until one is settled.
//! - A call to receive that is dropped leaves its request to the next call. When none comes within a
//!   second, what came for it is given back, which counts as a delivery.
//! - Nothing is delayed when it is sent: only servers from 2.12 can, and not in a stream of this kind.
//!
//! # What the user needs
//!
//! To publish to `<queue>`, `$JS.API.INFO`, `$JS.API.STREAM.INFO.<queue>`,
//! `$JS.API.CONSUMER.INFO.<queue>.tintal`, `$JS.API.CONSUMER.MSG.NEXT.<queue>.tintal`,
//! `$JS.ACK.<queue>.tintal.>` (`$JS.ACK.*.*.<queue>.tintal.>` where the server is set to the longer
//! subjects), and to subscribe to `_INBOX.>`. Where the queue is to be made, also
//! `$JS.API.STREAM.CREATE.<queue>` and `$JS.API.CONSUMER.CREATE.<queue>.tintal`.

mod api;
mod claims;
mod fault;
mod link;
mod login;
mod publish;
mod pull;
mod receive;
mod settle;
mod shape;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;

use super::broker::{
    Broker, BrokerError, Capabilities, Delivery, Depth, Health, Message, Order, QueueName, Sent, Settlement,
};
use api::Api;
use claims::Claims;
use fault::refused;
use link::{CONNECT_MAX, Link};
use receive::Left;

/// Name of the consumer that all workers of a queue share.
pub const CONSUMER: &str = "tintal";

/// How long a message that is not for us is put aside.
pub const LEAVE_FOR: Duration = Duration::from_secs(3_600);

/// Longest pause before a message is tried again. A longer one is cut: the server keeps count of the
/// message all that time.
pub const RETRY_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Shortest claim time: the server keeps the times of claims in whole seconds.
pub const CLAIM_MIN: Duration = Duration::from_secs(1);

/// Shortest duplicate window that servers take.
pub const DUPLICATE_WINDOW_MIN: Duration = Duration::from_millis(100);

/// By how much at most a claim is over here before it is over at the server.
const EARLY_MAX: Duration = Duration::from_secs(1);

/// What `JetStream` can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    delay: Duration::ZERO,
    dedupe: Duration::from_secs(120),
    order: Order::Queue,
    extends: true,
    counts: true,
    // A message may have 1 MiB with its headers unless `max_payload` of the server says otherwise. Ours
    // take less than 300 bytes; a router on the way may add some.
    body_max: (1 << 20) - 1_024,
};

/// Where `JetStream` is, and how queues are made on it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses of servers of one cluster, `nats://host:4222` or `tls://host:4222`; one is enough, the
    /// others are learnt from it. Without a user: that is [`Options::login`].
    pub servers: Vec<String>,
    /// Who we are.
    pub login: Login,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// What the connection is called in the server's reports.
    pub name: String,
    /// How long a claim lasts, from [`CLAIM_MIN`]. It becomes the ack wait of the consumer, and cannot
    /// differ from that of one which is there.
    pub claim: Duration,
    /// How long a stream that is made remembers the ids of messages, from [`DUPLICATE_WINDOW_MIN`];
    /// [`CAPABILITIES`] tells of the default.
    pub duplicate_window: Duration,
    /// On how many servers of a cluster a stream that is made is kept: 1, 3 or 5.
    pub replicas: usize,
    /// Most bytes of a stream that is made; more are refused as [`BrokerError::Busy`].
    pub max_bytes: Option<u64>,
    /// Most messages of a queue that are claimed, put aside, or wait to be tried again, at a time.
    pub claims_max: u32,
    /// The `JetStream` domain, where it is not that of the servers.
    pub domain: Option<String>,
    /// First words of the subjects that answers come to, where they are not `_INBOX`.
    pub inbox_prefix: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".to_owned()],
            login: Login::None,
            tls: Tls::default(),
            name: "tintal".to_owned(),
            claim: Duration::from_secs(60),
            duplicate_window: Duration::from_secs(120),
            replicas: 1,
            max_bytes: None,
            claims_max: 100_000,
            domain: None,
            inbox_prefix: None,
        }
    }
}

/// How we say who we are.
#[derive(Debug, Clone, Default)]
pub enum Login {
    /// Not at all, or by the certificate.
    #[default]
    None,
    /// By a token.
    Token(SecretString),
    /// By a user and a password.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: SecretString,
    },
    /// By the seed of a user's nkey, `SU…`.
    Nkey(SecretString),
    /// By a file of credentials, with a user's JWT and seed in it. It is read at each connection, so it
    /// may be replaced at any time.
    Credentials(PathBuf),
}

/// How a connection is encrypted. The files are read at each connection.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Refuses a connection that is not encrypted. A server that asks for TLS gets it anyhow.
    pub required: bool,
    /// Begins with TLS before the server has said a word, as it must be set up for (`handshake_first`).
    pub first: bool,
    /// Certificates of the authorities that the server's may come from, instead of the system's; PEM.
    pub authority: Option<PathBuf>,
    /// The certificate by which we say who we are.
    pub identity: Option<Identity>,
}

/// A certificate of ours.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, and those between it and the authority; PEM.
    pub certificate: PathBuf,
    /// Its key; PEM.
    pub key: PathBuf,
}

impl Options {
    fn check(&self) -> Result<(), BrokerError> {
        login::addresses(self)?;
        let (claim, window) = (self.claim, self.duplicate_window);
        if claim < CLAIM_MIN {
            return Err(refused(format!("a claim time of {claim:?} is shorter than {CLAIM_MIN:?}")));
        }
        if window < DUPLICATE_WINDOW_MIN {
            return Err(refused(format!(
                "a duplicate window of {window:?} is shorter than {DUPLICATE_WINDOW_MIN:?}"
            )));
        }
        if self.replicas == 0 || self.claims_max == 0 {
            return Err(refused("replicas and the limit of claims are at least 1"));
        }
        Ok(())
    }

    /// How long a claim is ours by our clock, which starts when a message is here; the server's starts
    /// when it sends it. What lies between is seldom more than the twentieth part that this is shorter.
    fn held(&self) -> Duration {
        self.claim.saturating_sub((self.claim / 20).min(EARLY_MAX))
    }

    /// The subject of a request of `JetStream`'s API.
    fn api(&self, request: &str) -> String {
        match &self.domain {
            Some(domain) => format!("$JS.{domain}.API.{request}"),
            None => format!("$JS.API.{request}"),
        }
    }
}

/// Queues on NATS `JetStream`.
#[derive(Debug)]
pub struct NatsBroker {
    options: Arc<Options>,
    link: Link,
    claims: Claims,
    left: Arc<Left>,
}

impl NatsBroker {
    /// An adapter that connects when it is first used.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Refused`] for options that cannot be right.
    pub fn new(options: Options) -> Result<Self, BrokerError> {
        options.check()?;
        let options = Arc::new(options);
        let link = Link::new(Arc::clone(&options));
        Ok(Self { options, link, claims: Claims::default(), left: Arc::default() })
    }

    async fn api(&self, wait: Duration) -> Result<Api<'_>, BrokerError> {
        let session = self.link.session(wait).await?;
        Ok(Api { session, options: &self.options })
    }
}

#[async_trait]
impl Broker for NatsBroker {
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        shape::ensure(self.api(CONNECT_MAX).await?, queue).await
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        match self.api(CONNECT_MAX).await {
            Ok(api) => publish::send(api, queue, messages).await,
            Err(error) => vec![Err(error); messages.len()],
        }
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        receive::receive(self, queue, max, wait).await
    }

    async fn settle(&self, queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        settle::settle(self, queue, settlements).await
    }

    /// Those that are put aside, wait to be tried again, or whose claim is over count as claimed: the server
    /// does not tell them apart.
    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        let consumer = self.api(CONNECT_MAX).await?.consumer(queue).await??;
        Ok(Depth { ready: consumer.num_pending, claimed: Some(consumer.num_ack_pending), delayed: None })
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        let api = self.api(CONNECT_MAX).await?;
        api.account().await?;
        let version = api.session.version();
        Ok(Health { server: format!("NATS {version}") })
    }
}
