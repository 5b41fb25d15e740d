//! `RabbitMQ`: a quorum queue for each queue, spoken to by AMQP 0-9-1.
//!
//! # What is promised
//!
//! At least once: a message is sent when most servers of its queue have it on disk, and stays until it is
//! acknowledged. Messages come in the order they were sent in, save those that come again.
//!
//! - A claim is held by the connection: when that is lost, the server hands what it held to others. One
//!   that is half open is found out by heartbeats. A claim that is not extended within the claim time is
//!   given back by this process. Servers before 3.12 also end all claims of a channel when one of them is
//!   older than their `consumer_timeout` (half an hour, unless it is set).
//! - An acknowledgement is not answered in this protocol. It is reported when the queue answered a
//!   question that was put to it after, which is some milliseconds before the server has written it down:
//!   when it is killed just then, the message comes again.
//! - A server of version 3.10 that is killed within three seconds after a queue was made starts with
//!   nothing in it.
//! - A message that is to be tried later is sent anew to wait (see `topology`), and then acknowledged: if
//!   this process dies between the two, it comes twice. Its deliveries go on being counted.
//! - Ids are not looked at: two messages of one id are two.
//! - A message that is not for us is kept, unsettled, for a minute ([`LEAVE_FOR`]) and then goes back,
//!   so others who share the queue get it then. Of more than a thousand, the oldest go back sooner.
//! - What is asked for and not taken within a second goes back, and counts as a delivery.
//! - The server never drops a message for having been handed out too often, nor for lack of room: a
//!   queue that a policy gives a maximum length refuses what is beyond it ([`BrokerError::Busy`]).
//!
//! # What the user needs
//!
//! On the virtual host, to configure, write and read the queues, and the exchanges and queues whose names
//! begin with `tintal.delay.`; to write `amq.default`: `rabbitmqctl set_permissions -p VHOST USER
//! '^(tintal\.delay\..*|QUEUE)$' '^(tintal\.delay\..*|amq\.default|QUEUE)$' '^(tintal\.delay\..*|QUEUE)$'`.
//! Servers from 3.10, with all stable feature flags enabled.

mod fault;
mod link;
mod reach;
mod send;
mod settle;
mod shelf;
mod tap;
mod taps;
mod topology;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use lapin::{options::QueueDeclareOptions, types::FieldTable, uri::AMQPScheme};
use secrecy::SecretString;
use url::Url;

use super::broker::{
    Broker, BrokerError, Capabilities, Delivery, Depth, Effect, Health, Message, Order, QueueName, Sent,
    Settlement,
};
use fault::refused;
use link::{CONNECT_MAX, Dialer, Line, Link, answered};
use reach::Node;
use tap::{Look, Tap};
use taps::Taps;

/// How long a message that is not for us is kept from all who receive.
pub const LEAVE_FOR: Duration = shelf::LEAVE_FOR;

/// Longest pause before a message is tried again. A longer one is cut.
pub const RETRY_MAX: Duration = topology::DELAY_MAX;

/// Shortest claim time: the shortest heartbeat is one second, and a server takes a connection for dead
/// after two.
pub const CLAIM_MIN: Duration = Duration::from_secs(3);

/// How long a connection is waited for at least, however short a caller would wait for a message.
const LINK_MIN: Duration = Duration::from_secs(5);

/// Most bytes of a virtual host's name.
const VHOST_LEN_MAX: usize = 255;

/// What `RabbitMQ` can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    delay: Duration::from_secs(24 * 3_600),
    dedupe: Duration::ZERO,
    order: Order::Queue,
    extends: true,
    counts: true,
    // The default of `max_message_size` from 4.0; before, it was eight times that.
    body_max: 16 * 1_024 * 1_024,
};

/// Where `RabbitMQ` is, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses of servers of one cluster, `amqp://host:5672` or `amqps://host:5671`, all of one kind.
    /// They are tried in turn. Without a user and a virtual host: those are written beside them.
    pub servers: Vec<String>,
    /// Who we are.
    pub login: Login,
    /// The virtual host that the queues are on.
    pub vhost: String,
    /// How an `amqps` connection is encrypted.
    pub tls: Tls,
    /// What the connections are called in the server's reports.
    pub name: String,
    /// How long a claim lasts, from [`CLAIM_MIN`].
    pub claim: Duration,
    /// Time between two signs of life, 1 to 60 s; a third of the claim time when there is none. After
    /// two that did not come, each side takes the other for dead.
    pub heartbeat: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: vec!["amqp://127.0.0.1:5672".to_owned()],
            login: Login::Password { user: "guest".to_owned(), password: "guest".into() },
            vhost: "/".to_owned(),
            tls: Tls::default(),
            name: "tintal".to_owned(),
            claim: Duration::from_secs(60),
            heartbeat: None,
        }
    }
}

/// How we say who we are.
#[derive(Debug, Clone)]
pub enum Login {
    /// By a user and a password.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: SecretString,
    },
    /// By the name in our certificate; the server needs `rabbitmq_auth_mechanism_ssl` for that.
    Certificate,
}

/// How a connection is encrypted. The files are read at each connection.
#[derive(Debug, Clone, Default)]
pub struct Tls {
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
        if self.claim < CLAIM_MIN {
            return Err(refused(format!("a claim time of {:?} is shorter than {CLAIM_MIN:?}", self.claim)));
        }
        if self.vhost.len() > VHOST_LEN_MAX {
            return Err(refused(format!(
                "the name of the virtual host is longer than {VHOST_LEN_MAX} bytes"
            )));
        }
        Ok(())
    }

    /// The servers, and whether they are spoken to by TLS.
    fn nodes(&self) -> Result<(Vec<Node>, AMQPScheme), BrokerError> {
        let nodes: Result<Vec<_>, _> = self.servers.iter().map(|server| node(server)).collect();
        let (nodes, schemes): (Vec<_>, Vec<_>) = nodes?.into_iter().unzip();
        let scheme = schemes.first().cloned().ok_or_else(|| refused("no server is named"))?;
        if schemes.iter().any(|other| *other != scheme) {
            return Err(refused("some servers are spoken to by amqps:// and others by amqp://: choose one"));
        }
        if matches!(self.login, Login::Certificate) && scheme == AMQPScheme::AMQP {
            return Err(refused("a login by certificate needs amqps://"));
        }
        Ok((nodes, scheme))
    }
}

/// What is said of an address does not show it: a password may be in it.
fn node(server: &str) -> Result<(Node, AMQPScheme), BrokerError> {
    let url = Url::parse(server)
        .map_err(|error| refused(format!("the address of a server cannot be read: {error}")))?;
    let (scheme, usual_port) = match url.scheme() {
        "amqp" => (AMQPScheme::AMQP, 5672),
        "amqps" => (AMQPScheme::AMQPS, 5671),
        other => {
            return Err(refused(format!(
                "a server's address begins with amqp:// or amqps://, not {other}://"
            )));
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("the address of a server has a user in it: write the login beside it"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(refused("the address of a server ends with its port: write the virtual host beside it"));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        return Err(refused("the address of a server has no host"));
    }
    Ok((Node { host, port: url.port().unwrap_or(usual_port) }, scheme))
}

/// Queues on `RabbitMQ`.
#[derive(Debug)]
pub struct RabbitBroker {
    shared: Shared,
}

/// What all that is done for a client works with.
#[derive(Debug)]
struct Shared {
    dialer: Arc<Dialer>,
    /// The connection that messages are sent on.
    sending: Arc<Line>,
    /// The connection for all else.
    taking: Arc<Line>,
    taps: Arc<Taps>,
    now: fn() -> Timestamp,
}

impl RabbitBroker {
    /// An adapter that connects when it is first used, with two connections. It reads the time of day
    /// from `now`.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Refused`] for options that cannot be right.
    pub fn new(options: Options, now: fn() -> Timestamp) -> Result<Self, BrokerError> {
        options.check()?;
        let (nodes, scheme) = options.nodes()?;
        let dialer = Arc::new(Dialer::new(options, nodes, scheme));
        let line = |purpose| Arc::new(Line::new(Arc::clone(&dialer), purpose));
        let (sending, taking) = (line("sends"), line("takes"));
        Ok(Self { shared: Shared { sending, taking, dialer, taps: Arc::default(), now } })
    }

    async fn link(&self) -> Result<Arc<Link>, BrokerError> {
        self.shared.taking.link(CONNECT_MAX).await
    }
}

/// With the connections goes back what was claimed on them.
impl Drop for RabbitBroker {
    fn drop(&mut self) {
        self.shared.sending.close();
        self.shared.taking.close();
        self.shared.taps.give_up();
    }
}

impl Shared {
    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        let deadline = Instant::now() + wait;
        loop {
            let place = self.taps.place(queue);
            let tap = place.get_or_try_init(|| self.open(queue, wait)).await?;
            if tap.is_over() {
                // It was lost while nobody looked.
                tap.give_up();
                self.taps.forget(tap);
                continue;
            }
            match tap.receive(max, deadline).await {
                Ok(Look::Taken(taken)) => return Ok(taken),
                Ok(Look::Retired) => self.taps.replace(tap),
                Err(error) => {
                    if tap.is_over() {
                        self.taps.forget(tap);
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn open(&self, queue: &QueueName, wait: Duration) -> Result<Arc<Tap>, BrokerError> {
        let link = self.taking.link(wait.max(LINK_MIN)).await?;
        Tap::open(&link, queue, self.dialer.claim(), &self.taps).await
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        // A channel of its own: the server closes it when the queue is not as it should be.
        let channel = self.link().await?.channel().await?;
        answered(topology::declare_queue(&channel, queue), Effect::None).await
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        self.shared.send(queue, messages).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        self.shared.receive(queue, max, wait).await
    }

    async fn settle(&self, _queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        self.shared.settle(settlements).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        let channel = self.link().await?.channel().await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let asking = channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
        let ready = answered(asking, Effect::None).await?.message_count().into();
        Ok(Depth { ready, claimed: None, delayed: None })
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        let link = self.link().await?;
        link.channel().await?;
        Ok(Health { server: link.version(&self.shared.dialer).await? })
    }
}
