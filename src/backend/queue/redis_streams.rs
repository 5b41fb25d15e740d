//! Redis Streams, and Valkey's: a stream for each queue, and one consumer group that all workers share.
//!
//! Servers from 7.0 will do: a single one, a cluster, or one that sentinels watch over.
//!
//! # Keys
//!
//! A queue `reports` is these keys. They are of one hash slot, so that all of it is on one node of a
//! cluster:
//!
//! - `reports`: the stream. An entry of ours has the field `body`, and before it `tries` if it was handed
//!   out before, as another entry. What has other fields is another program's; it is given as a JSON
//!   object of its fields.
//! - `{reports}:delayed`: a sorted set of what is not due, by when it is, in milliseconds of the server's
//!   clock. A member is `<id> <tries> <body>`.
//! - `{reports}:ids:<window>:0` and `…:1`: sets of the ids that were sent in this window of time and in
//!   the one before; they take turns.
//!
//! # What is promised
//!
//! At least once: a message stays until it is acknowledged, and comes again when its claim is over. They
//! come in the order they were sent in, save those that come again and those that were delayed.
//!
//! - A server is only as durable as it is set up. Without `appendonly yes` it forgets all when it is
//!   killed; with `appendfsync everysec`, its default, the last second; with `appendfsync always`,
//!   nothing. A failover forgets what had not reached the replica; `min-replicas-to-write 1` makes that
//!   less.
//! - An acknowledgement deletes the message, for all groups of the stream. Nothing is trimmed, ever.
//! - The id of a message is remembered from [`Options::dedupe`] to twice as long, also when it is done
//!   with. One of 36 characters takes about 100 bytes of the server's memory for that time. A server
//!   should have `maxmemory-policy noeviction`: others may throw ids and whole queues away.
//! - What is delayed is moved by whoever receives, up to a second late if it was put there while all of
//!   them waited.
//! - A verdict that comes when half of the claim time has passed is taken only if the claim is still
//!   ours, and all but acknowledgements are in any case.
//! - A message that is not for us stays in the stream, for other groups, and does not come again.
//!
//! # What the user needs
//!
//! `ACL SETUSER tintal on >… ~reports ~{reports}:* +xgroup +xadd +xreadgroup +xack +xdel +xclaim
//! +xautoclaim +xpending +xrange +xlen +xinfo +zadd +zrange +zcard +zcount +zremrangebyrank +sadd
//! +smismember +exists +pttl +pexpireat +unlink +time +evalsha +script|load`; with another database than 0
//! also `+select`, and on a cluster `+asking`.

mod depth;
mod entry;
mod fault;
mod lines;
mod reader;
mod script;
mod send;
mod settle;
mod site;
mod sweep;

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::mpsc::UnboundedSender;

use super::broker::{
    Broker, BrokerError, Capabilities, Delivery, Depth, Health, Message, Order, QueueName, Sent, Settlement,
};
use fault::refused;
use lines::Lines;
use reader::Reader;
use site::Site;

/// Name of the consumer group that all workers of a queue share.
pub const GROUP: &str = "tintal";

/// Shortest claim time: a blocked read may last a second, and a claim counts from before it.
pub const CLAIM_MIN: Duration = Duration::from_secs(1);

/// Longest claim time.
pub const CLAIM_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Longest time that ids may be remembered: all of them are in the server's memory.
pub const DEDUPE_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

/// How long ids are remembered unless that is set.
const DEDUPE: Duration = Duration::from_secs(24 * 3_600);

/// What Redis Streams can do, with the default [`Options::dedupe`].
pub const CAPABILITIES: Capabilities = Capabilities {
    // Ten years: any time would do.
    delay: Duration::from_secs(10 * 365 * 24 * 3_600),
    dedupe: DEDUPE,
    order: Order::Queue,
    extends: true,
    counts: true,
    // The server takes 512 MiB, and holds all of it in memory.
    body_max: 1 << 20,
};

/// Where the server is, and how queues are kept on it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it is.
    pub servers: Servers,
    /// The user; the server's `default` if there is none.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// What `rediss://` is checked with.
    pub tls: Tls,
    /// How long a claim lasts, from [`CLAIM_MIN`] to [`CLAIM_MAX`]. All workers of a queue should agree on
    /// it.
    pub claim: Duration,
    /// How long ids are remembered, up to [`DEDUPE_MAX`]; zero: not at all. All senders of a queue should
    /// agree on it: those with another time do not know each other's ids.
    pub dedupe: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: Servers::One("redis://127.0.0.1:6379".to_owned()),
            user: None,
            password: None,
            tls: Tls::default(),
            claim: Duration::from_secs(60),
            dedupe: DEDUPE,
        }
    }
}

impl Options {
    /// What Redis Streams can do with these options.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        Capabilities { dedupe: self.dedupe, ..CAPABILITIES }
    }
}

/// Where the server is. Its addresses are `redis://host:6379/0`, `rediss://…` with TLS, or `unix:///path`;
/// they hold no user and no password.
#[derive(Debug, Clone)]
pub enum Servers {
    /// One server.
    One(String),
    /// A cluster, by some of its nodes. It names its other nodes itself, as
    /// `cluster-preferred-endpoint-type` says; with TLS the certificates must have these names.
    Cluster(Vec<String>),
    /// A server, and replicas of it, that sentinels watch over.
    Sentinels(Sentinels),
}

/// Who knows where the server is.
#[derive(Debug, Clone)]
pub struct Sentinels {
    /// Addresses of the sentinels, `redis://host:26379`. With `rediss://` the server is spoken to by TLS,
    /// too. A database in the first one is the server's.
    pub addresses: Vec<String>,
    /// What they call the server.
    pub service: String,
    /// The user at the sentinels, if they want one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
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

/// Queues on Redis Streams.
pub struct RedisBroker {
    process: Process,
    site: Arc<Site>,
    lines: Lines,
    readers: Mutex<HashMap<QueueName, UnboundedSender<reader::Order>>>,
}

/// What all of an adapter knows of itself.
#[derive(Debug, Clone)]
struct Process {
    /// Names this process among the consumers of the group.
    consumer: Arc<str>,
    /// From when on the times in receipts count.
    epoch: Instant,
    claim: Duration,
    dedupe: Duration,
    now: fn() -> Timestamp,
}

impl Process {
    fn new(options: &Options, now: fn() -> Timestamp) -> Self {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let consumer = format!("{host}-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let (claim, dedupe) = (options.claim, options.dedupe);
        Self { consumer: consumer.into(), epoch: Instant::now(), claim, dedupe, now }
    }

    /// The claim time in the server's unit.
    fn claim_ms(&self) -> u64 {
        millis(self.claim)
    }

    /// A time as receipts have it.
    fn at_ms(&self, at: Instant) -> u64 {
        millis(at.saturating_duration_since(self.epoch))
    }
}

/// The server's unit.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The names of a queue's keys.
#[derive(Debug)]
struct Keys<'a> {
    stream: &'a str,
    delayed: String,
}

impl<'a> Keys<'a> {
    fn new(queue: &'a QueueName) -> Self {
        Self { stream: queue.as_str(), delayed: format!("{{{queue}}}:delayed") }
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker").field("process", &self.process).finish_non_exhaustive()
    }
}

impl RedisBroker {
    /// An adapter that connects when it is first used. `now` tells how long it is until a message is due;
    /// from there on the server's clock counts.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Refused`] for options that cannot be right.
    pub fn new(options: Options, now: fn() -> Timestamp) -> Result<Self, BrokerError> {
        let (claim, dedupe) = (options.claim, options.dedupe);
        if !(CLAIM_MIN..=CLAIM_MAX).contains(&claim) {
            let bounds = format!("from {CLAIM_MIN:?} to {CLAIM_MAX:?}");
            return Err(refused(format!("a claim time is {bounds}, and not {claim:?}")));
        }
        if dedupe > DEDUPE_MAX {
            return Err(refused(format!("ids are remembered up to {DEDUPE_MAX:?}, and not {dedupe:?}")));
        }
        let process = Process::new(&options, now);
        let site = Arc::new(Site::new(options)?);
        Ok(Self { process, lines: Lines::new(Arc::clone(&site)), site, readers: Mutex::default() })
    }

    /// The task that reads from a queue, started if there is none.
    fn reader(&self, queue: &QueueName) -> UnboundedSender<reader::Order> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = readers.get(queue)
            && !reader.is_closed()
        {
            return reader.clone();
        }
        // Its connections are its own: a blocked read holds up all that comes after it.
        let lines = Lines::new(Arc::clone(&self.site));
        let reader = Reader::start(queue.clone(), lines, self.process.clone());
        readers.insert(queue.clone(), reader.clone());
        reader
    }
}

#[async_trait]
impl Broker for RedisBroker {
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.lines.ensure(queue).await
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        send::send(&self.lines, &self.process, queue, messages).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        reader::receive(&self.reader(queue), max, wait).await
    }

    async fn settle(&self, queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        settle::settle(&self.lines, &self.process, queue, settlements).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        depth::depth(&self.lines, queue).await
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        let hello = self.lines.hello().await?;
        Ok(Health { server: hello.server })
    }
}
