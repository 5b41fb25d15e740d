//! The one interface to a queue system: six methods, and a table of what each can do by itself.
//!
//! An adapter moves bytes. What is in them, when they are due, how often they are tried and when they
//! are given up is decided above, once for all of them. What a queue system does by itself is only used
//! to do the same with less work.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use thiserror::Error;

/// A queue system that carries messages. One connection, or a few, for all queues.
///
/// Every method is safe to repeat, and safe to drop before it is done: what it was about to do may have
/// been done or not, and no message is lost by it. An adapter connects when it is first used, and again
/// when the connection is lost; it never waits longer for that than the time it was given.
#[async_trait]
pub trait Broker: fmt::Debug + Send + Sync {
    /// Makes a queue with all that belongs to it, so that what is sent stays until it is acknowledged,
    /// also before anybody has received from it. One that is there is no error; one of another kind
    /// under the name is [`BrokerError::Refused`], and is left as it is.
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError>;

    /// Sends messages; gives what became of each, in their order. [`Sent`] means that the queue system
    /// has it as durably as it can.
    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>>;

    /// Takes up to `max` messages that are due, as soon as there is one; none when none came within
    /// `wait`. Each is this process's until it is settled, or until its claim is older than the claim
    /// time that the adapter was made with: then another may take it. Also gives those that somebody
    /// took and never settled.
    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError>;

    /// Says what becomes of messages that were received; gives what came of each, in their order.
    async fn settle(&self, queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>>;

    /// How many messages there are.
    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError>;

    /// Whether the queue system answers and lets us in.
    async fn health(&self) -> Result<Health, BrokerError>;
}

/// Name of a queue: 3 to 63 lower-case letters, digits and hyphens; the first is a letter, the last no
/// hyphen. Such a name is valid on every queue system that there is an adapter for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(Box<str>);

/// Most characters of a queue's name.
pub const QUEUE_NAME_LEN_MAX: usize = 63;

/// Fewest characters of a queue's name: Pub/Sub's limit.
pub const QUEUE_NAME_LEN_MIN: usize = 3;

impl QueueName {
    /// The name, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        let is_name = (QUEUE_NAME_LEN_MIN..=QUEUE_NAME_LEN_MAX).contains(&bytes.len())
            && bytes.iter().all(is_word)
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last() != Some(&b'-');
        is_name.then(|| Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Names it, in at most [`MESSAGE_ID_LEN_MAX`] ASCII letters, digits, `-`, `_`, `.` and `:`. Two
    /// messages with one id are one where the queue system can tell.
    pub id: String,
    /// What it says.
    pub body: Bytes,
    /// Not to be received before this. Only for a queue system that can delay so long
    /// ([`Capabilities::delay`]); one that cannot gives it at once.
    pub not_before: Option<Timestamp>,
    /// Messages with one key stay in order where the queue system promises that.
    pub key: Option<String>,
}

/// Most characters of a message's id.
pub const MESSAGE_ID_LEN_MAX: usize = 128;

/// What became of a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The queue system has it.
    New,
    /// The queue system had one with its id before, and keeps that.
    Duplicate,
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// By which it is settled.
    pub receipt: Receipt,
    /// What it says.
    pub body: Bytes,
    /// How often it was handed out, this time included; 1 where the queue system does not count.
    pub deliveries: u32,
}

/// Names a claim on a message, in the words of the adapter that gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub Box<str>);

/// What becomes of a message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Which one.
    pub receipt: Receipt,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done with, and goes.
    Ack,
    /// It is to be received again, after about this long; at once when zero.
    Retry {
        /// How long.
        after: Duration,
    },
    /// The claim holds for one more claim time from now on.
    Extend,
    /// It is not ours: it stays for whom it is meant for, as far as the queue system allows, and this
    /// process does not receive it again soon.
    Leave,
}

/// How many messages there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// That wait, and are due.
    pub ready: u64,
    /// That are claimed and not settled; none where the queue system does not say.
    pub claimed: Option<u64>,
    /// That are not due yet; none where the queue system does not say.
    pub delayed: Option<u64>,
}

/// What a queue system says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Its kind and version, as in `Redis 7.0.15`.
    pub server: String,
}

/// Why a queue system did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// No connection, or no answer in time. Asking again can help.
    #[error("no answer: {reason}")]
    Unreachable {
        /// Whether it may have been done all the same.
        effect: Effect,
        /// What the client said, without secrets.
        reason: String,
    },
    /// It answered that it cannot now: it is full, throttles, or just starts. Nothing was done; asking
    /// again later can help.
    #[error("busy: {reason}")]
    Busy {
        /// What it said.
        reason: String,
    },
    /// It answered no: a wrong password, no permission, a queue of another kind under the name, a
    /// message that is too large. Nothing was done; asking again helps once somebody has changed that.
    #[error("refused: {reason}")]
    Refused {
        /// What it said, without secrets, with the way out where that is known.
        reason: String,
    },
    /// The claim is no longer this process's. Only of [`Broker::settle`].
    #[error("the claim is over; another worker may have the message")]
    ClaimOver,
}

/// Whether a request that was not answered may have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It was not: it did not leave this process.
    None,
    /// It may have been.
    Unknown,
}

/// What a queue system does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// How long it can delay a message that is sent; zero: not at all.
    pub delay: Duration,
    /// How long it remembers the ids of messages; zero: not at all.
    pub dedupe: Duration,
    /// What it promises about order.
    pub order: Order,
    /// Whether [`Verdict::Extend`] makes a claim last longer; without, a run must end within one.
    pub extends: bool,
    /// Whether it counts how often a message was handed out.
    pub counts: bool,
    /// Bytes that the body of a message may have.
    pub body_max: usize,
}

/// What a queue system promises about order, while nothing fails and one worker receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    None,
    /// Messages of one key come in the order they were sent in.
    PerKey,
    /// All messages do.
    Queue,
}
