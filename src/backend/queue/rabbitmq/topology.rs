//! What is made on the server: queues, and what delays messages.
//!
//! A delay is a sum of powers of two of [`UNIT`], so it takes one queue and one exchange for each power
//! ([`LEVELS`]), for all queues together. A message is published to the exchange of its highest power,
//! with a routing key that holds all binary digits of its delay and then the name of its queue. The
//! exchange hands it to the queue of its power if the digit is 1, and to the next lower exchange if it is
//! 0; a queue keeps it for its power's time and hands it to the next lower exchange. So within a queue
//! all wait for the same time, and none stands in the way of another.

use std::time::Duration;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use super::super::broker::QueueName;

/// Shortest delay. Others are rounded up to a multiple.
const UNIT: Duration = Duration::from_millis(250);

/// Powers of two of [`UNIT`] that a delay is a sum of: with 20, it is at most three days.
const LEVELS: u32 = 20;

/// Longest delay. A longer one is cut.
pub(super) const DELAY_MAX: Duration = Duration::from_millis(250 * ((1 << LEVELS) - 1));

/// What hands a message to its queue once its time is over.
const DUE: &str = "tintal.delay.due";

/// How often the server may hand a message out before it drops it. It must never: when a message is given
/// up is decided above. A limit of -1 means none to `RabbitMQ` 4, which has one of 20 by default, and to
/// 3.x that a message which comes back is dropped at once; this one means the same to all.
const DELIVERY_LIMIT: i32 = i32::MAX;

/// How long the server lets a claim last, in milliseconds: a week. Its own default is half an hour, for
/// all that a channel holds. Servers before 3.12 only know their own setting.
const CONSUMER_TIMEOUT_MS: i64 = 7 * 24 * 3_600_000;

/// How a message that is to be delayed is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// To which exchange.
    pub(super) exchange: ShortString,
    /// With which key.
    pub(super) key: ShortString,
    /// How many of the lower levels it needs, from 0.
    pub(super) levels: u32,
}

/// The way to a queue, through the delay if there is one.
pub(super) fn route(queue: &QueueName, delay: Duration) -> Route {
    if delay.is_zero() {
        return Route { exchange: ShortString::default(), key: queue.as_str().into(), levels: 0 };
    }
    let units = delay.min(DELAY_MAX).as_millis().div_ceil(UNIT.as_millis());
    let digits: Vec<&str> =
        (0..LEVELS).rev().map(|level| if units >> level & 1 == 1 { "1" } else { "0" }).collect();
    let top = units.checked_ilog2().unwrap_or_default();
    Route {
        exchange: level_name(top).into(),
        key: format!("{}.{queue}", digits.join(".")).into(),
        levels: top + 1,
    }
}

/// Name of the exchange and of the queue of a level. Names of [`QueueName`] have no dots.
fn level_name(level: u32) -> String {
    format!("tintal.delay.{level:02}")
}

/// Makes a queue, and binds it to what delays.
pub(super) async fn declare_queue(channel: &Channel, queue: &QueueName) -> lapin::Result<()> {
    let name: ShortString = queue.as_str().into();
    let mut arguments = quorum();
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    arguments.insert("x-consumer-timeout".into(), AMQPValue::LongLongInt(CONSUMER_TIMEOUT_MS));
    channel.queue_declare(name.clone(), durable_queue(), arguments).await?;
    declare_exchange(channel, DUE.into()).await?;
    let key = format!("#.{queue}").into();
    channel.queue_bind(name, DUE.into(), key, QueueBindOptions::default(), FieldTable::default()).await
}

/// Makes the lower levels, as many as a delay needs.
pub(super) async fn declare_levels(channel: &Channel, levels: u32) -> lapin::Result<()> {
    declare_exchange(channel, DUE.into()).await?;
    for level in 0..levels {
        declare_level(channel, level).await?;
    }
    Ok(())
}

async fn declare_level(channel: &Channel, level: u32) -> lapin::Result<()> {
    let name: ShortString = level_name(level).into();
    let lower: ShortString = match level.checked_sub(1) {
        Some(lower) => level_name(lower).into(),
        None => DUE.into(),
    };
    declare_exchange(channel, name.clone()).await?;
    let mut arguments = quorum();
    let keep_ms = i64::try_from((UNIT * 2_u32.pow(level)).as_millis()).unwrap_or(i64::MAX);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(keep_ms));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(lower.as_str().into()));
    // Without it, a message that the next one cannot take just then would be lost.
    arguments.insert("x-dead-letter-strategy".into(), AMQPValue::LongString("at-least-once".into()));
    channel.queue_declare(name.clone(), durable_queue(), arguments).await?;
    let digit = |digit: u8| -> ShortString {
        let before = "*.".repeat((LEVELS - 1 - level) as usize);
        format!("{before}{digit}.#").into()
    };
    let (queue, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(name.clone(), name.clone(), digit(1), queue, none.clone()).await?;
    channel.exchange_bind(lower, name, digit(0), ExchangeBindOptions::default(), none).await
}

async fn declare_exchange(channel: &Channel, name: ShortString) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default()).await
}

fn durable_queue() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }
}

/// A queue that is kept by most of its servers, and that says so when it is full.
fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(delay_ms: u64, exchange: &str, lowest_digits: &str, levels: u32) {
        let queue = QueueName::parse("reports").unwrap();
        let route = route(&queue, Duration::from_millis(delay_ms));
        assert_eq!(route.exchange.as_str(), exchange);
        assert!(route.key.as_str().ends_with(&format!("{lowest_digits}.reports")), "{}", route.key);
        assert_eq!(route.key.as_str().split('.').count(), LEVELS as usize + 1);
        assert_eq!(route.levels, levels);
    }

    #[test]
    fn a_delay_is_a_sum_of_powers_of_two() {
        check(1, "tintal.delay.00", "0.0.0.1", 1);
        check(250, "tintal.delay.00", "0.0.0.1", 1);
        check(251, "tintal.delay.01", "0.0.1.0", 2);
        check(3_000, "tintal.delay.03", "0.1.1.0.0", 4);
        check(3_001, "tintal.delay.03", "0.1.1.0.1", 4);
        check(u64::MAX, "tintal.delay.19", "1.1.1.1.1", 20);
    }

    #[test]
    fn what_is_not_delayed_goes_to_its_queue() {
        let route = route(&QueueName::parse("reports").unwrap(), Duration::ZERO);
        assert_eq!(route, Route { exchange: "".into(), key: "reports".into(), levels: 0 });
    }
}
