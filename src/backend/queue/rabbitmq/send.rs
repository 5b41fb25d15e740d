//! Sends messages, and waits until the server has them.
//!
//! A window of messages is published at once, and then all answers are waited for. A message that its
//! queue was not found for comes back before its answer.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{MaybeDone, join_all, maybe_done};
use jiff::Timestamp;
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::BasicPublishOptions,
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    super::broker::{BrokerError, Effect, MESSAGE_ID_LEN_MAX, Message, QueueName, Sent},
    CAPABILITIES, Shared,
    fault::{self, busy, refused},
    link::{ANSWER_MAX, CONNECT_MAX, Link, answered},
    shelf::Given,
    topology::{self, Route},
};

/// Messages that are published before their answers are waited for: with more nothing is gained, and
/// each is copied by the client.
const WINDOW_MAX: usize = 1_000;

/// Bytes of their bodies: those of one message of the largest size.
const WINDOW_BYTES_MAX: usize = CAPABILITIES.body_max;

/// How long an answer is waited for while the server does not read what is sent to it.
const BLOCKED_MAX: Duration = Duration::from_secs(1);

/// How often a message was handed out before it was sent anew.
const DELIVERIES: &str = "tintal-deliveries";

/// Headers that servers add, and that would be taken for ours if they were sent anew.
const SERVERS_HEADERS: &str = "x-";

/// Kept on disk.
const PERSISTENT: u8 = 2;

/// A message that is ready to be published.
#[derive(Debug)]
pub(super) struct Parcel {
    route: Route,
    properties: BasicProperties,
    body: Bytes,
}

impl Parcel {
    fn of_message(queue: &QueueName, message: &Message, now: Timestamp) -> Result<Self, BrokerError> {
        let (size, size_max) = (message.body.len(), CAPABILITIES.body_max);
        if size > size_max {
            return Err(refused(format!("a body of {size} bytes is larger than {size_max}")));
        }
        if message.id.len() > MESSAGE_ID_LEN_MAX {
            return Err(refused(format!(
                "the id of a message is longer than {MESSAGE_ID_LEN_MAX} characters"
            )));
        }
        let delay = message.not_before.map_or(Duration::ZERO, |due| {
            Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO)
        });
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(message.id.as_str().into());
        Ok(Self { route: topology::route(queue, delay), properties, body: message.body.clone() })
    }

    /// The same message once more, after a delay.
    pub(super) fn again(queue: &QueueName, given: &Given, after: Duration) -> Self {
        let mut headers = FieldTable::default();
        for (name, value) in given.properties.headers().iter().flatten() {
            if !name.as_str().starts_with(SERVERS_HEADERS) {
                headers.insert(name.clone(), value.clone());
            }
        }
        headers.insert(DELIVERIES.into(), AMQPValue::LongLongInt(given.deliveries.into()));
        let properties = given.properties.clone().with_headers(headers).with_delivery_mode(PERSISTENT);
        Self { route: topology::route(queue, after), properties, body: given.body.clone() }
    }
}

/// How often a message was handed out, this time included, by what the server and we say of it.
pub(super) fn deliveries(properties: &BasicProperties, is_redelivered: bool) -> u32 {
    let number = |name: &str| {
        let value = properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
        match value {
            Some(AMQPValue::LongLongInt(number)) => *number,
            Some(AMQPValue::LongInt(number)) => (*number).into(),
            Some(AMQPValue::LongUInt(number)) => (*number).into(),
            Some(AMQPValue::ShortInt(number)) => (*number).into(),
            Some(AMQPValue::ShortShortInt(number)) => (*number).into(),
            Some(AMQPValue::ShortShortUInt(number)) => (*number).into(),
            _ => 0,
        }
    };
    // Servers from 4.3 count apart how often a message failed and how often it was taken; a queue that
    // does not count says at least that it was not the first time.
    let before = number("x-delivery-count").max(number("x-acquired-count")).max(is_redelivered.into());
    let all = number(DELIVERIES).saturating_add(before).saturating_add(1);
    u32::try_from(all).unwrap_or(u32::MAX)
}

impl Shared {
    /// Sends messages to a queue.
    pub(super) async fn send(
        &self,
        queue: &QueueName,
        messages: &[Message],
    ) -> Vec<Result<Sent, BrokerError>> {
        let now = (self.now)();
        let made: Vec<_> = messages.iter().map(|message| Parcel::of_message(queue, message, now)).collect();
        let mut parcels = Vec::with_capacity(made.len());
        let refusals: Vec<_> = made.into_iter().map(|made| made.map(|parcel| parcels.push(parcel))).collect();
        let mut published = self.publish(parcels).await.into_iter();
        let result = |refusal: Result<(), BrokerError>| {
            refusal.and_then(|()| published.next().unwrap_or_else(|| Err(never_sent())))?;
            Ok(Sent::New)
        };
        refusals.into_iter().map(result).collect()
    }

    /// Publishes messages in their order; gives what became of each.
    pub(super) async fn publish(&self, parcels: Vec<Parcel>) -> Vec<Result<(), BrokerError>> {
        if parcels.is_empty() {
            return Vec::new();
        }
        let count = parcels.len();
        let (link, channel) = match self.ready_to_send(&parcels).await {
            Ok(ready) => ready,
            Err(error) => return vec![Err(error); count],
        };
        let (tell, told) = oneshot::channel();
        // A task of its own, as the caller may go: on a channel that is closed before all that is in line
        // on it has left, the server ends the connection.
        tokio::spawn(deliver(link, channel, parcels, tell));
        let ended = |_| vec![Err(fault::unreachable(Effect::Unknown, "the process ends")); count];
        told.await.unwrap_or_else(ended)
    }

    async fn ready_to_send(&self, parcels: &[Parcel]) -> Result<(Arc<Link>, Channel), BrokerError> {
        let link = self.sending.link(CONNECT_MAX).await?;
        if link.is_blocked() {
            return Err(blocked());
        }
        let levels = parcels.iter().map(|parcel| parcel.route.levels).max().unwrap_or(0);
        if levels > link.levels() {
            let channel = link.channel().await?;
            answered(topology::declare_levels(&channel, levels), Effect::None).await?;
            link.has_levels(levels);
        }
        let channel = link.sending_channel().await?;
        Ok((link, channel))
    }
}

/// How many of the first messages are published together.
fn window(parcels: &[Parcel]) -> usize {
    let mut bytes = 0;
    let fits = |parcel: &&Parcel| {
        bytes += parcel.body.len();
        bytes <= WINDOW_BYTES_MAX
    };
    parcels.iter().take(WINDOW_MAX).take_while(fits).count().max(1)
}

/// Publishes messages window by window, tells what became of them, and stays until all are answered.
async fn deliver(
    link: Arc<Link>,
    channel: Channel,
    parcels: Vec<Parcel>,
    tell: oneshot::Sender<Vec<Result<(), BrokerError>>>,
) {
    let mut results = Vec::with_capacity(parcels.len());
    let mut unanswered = Vec::new();
    while results.len() < parcels.len() && unanswered.is_empty() {
        if link.is_blocked() {
            results.resize(parcels.len(), Err(blocked()));
        } else if channel.status().connected() {
            let rest = &parcels[results.len()..];
            let published;
            (published, unanswered) = publish_window(&link, &channel, &rest[..window(rest)]).await;
            results.extend(published);
        } else {
            results.resize(parcels.len(), Err(never_sent()));
        }
    }
    results.resize(parcels.len(), Err(never_sent()));
    if results.iter().any(|result| matches!(result, Err(BrokerError::Refused { .. }))) {
        // Perhaps somebody took away what delays.
        link.has_levels(0);
    }
    // Nobody may wait for it any more.
    let _ = tell.send(results);
    let is_answered = unanswered.is_empty();
    join_all(unanswered).await;
    if is_answered && channel.status().connected() {
        link.give_back(channel);
    }
}

/// Publishes messages; gives what became of each, and those that are not answered.
async fn publish_window<'a>(
    link: &Link,
    channel: &'a Channel,
    parcels: &'a [Parcel],
) -> (Vec<Result<(), BrokerError>>, Vec<Publishing<impl Future<Output = lapin::Result<Confirmation>> + 'a>>) {
    let mut publishing: Vec<_> =
        parcels.iter().map(|parcel| Box::pin(maybe_done(publish_one(channel, parcel)))).collect();
    // Begun in their order, which is the one they leave in.
    poll_fn(|cx| {
        for publishing in &mut publishing {
            let _ = publishing.as_mut().poll(cx);
        }
        Poll::Ready(())
    })
    .await;
    let mut results = vec![Err(fault::no_answer(Effect::Unknown, ANSWER_MAX)); parcels.len()];
    let mut returned = BTreeSet::new();
    let mut answered = 0;
    let answers = async {
        for (publishing, result) in publishing.iter_mut().zip(&mut results) {
            publishing.as_mut().await;
            if let Some(answer) = publishing.as_mut().take_output() {
                *result = accepted(answer, &mut returned);
            }
            answered += 1;
        }
    };
    // What was answered until then is kept.
    wait_for_answers(link, answers).await;
    // One answer may be for many, and then a message that came back is not always with its own.
    for (parcel, result) in parcels.iter().zip(&mut results) {
        if !returned.is_empty() && returned.contains(parcel.properties.message_id()) {
            *result = Err(no_queue(parcel));
        }
    }
    (results, publishing.split_off(answered))
}

type Publishing<F> = Pin<Box<MaybeDone<F>>>;

/// Waits as long as answers may take; not so long if the server does not read what was sent.
async fn wait_for_answers(link: &Link, answers: impl Future<Output = ()>) {
    let mut answers = pin!(answers);
    let deadline = Instant::now() + ANSWER_MAX;
    loop {
        let was_blocked = link.is_blocked();
        let look = deadline.min(Instant::now() + BLOCKED_MAX);
        if timeout_at(look, &mut answers).await.is_ok() || was_blocked || Instant::now() >= deadline {
            return;
        }
    }
}

async fn publish_one(channel: &Channel, parcel: &Parcel) -> lapin::Result<Confirmation> {
    let Route { exchange, key, .. } = &parcel.route;
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let properties = parcel.properties.clone();
    channel.basic_publish(exchange.clone(), key.clone(), options, &parcel.body, properties).await?.await
}

fn accepted(
    answer: lapin::Result<Confirmation>,
    returned: &mut BTreeSet<Option<ShortString>>,
) -> Result<(), BrokerError> {
    let confirmation = answer.map_err(|error| fault::of(&error, Effect::Unknown))?;
    let is_nack = confirmation.is_nack();
    if let Some(message) = confirmation.take_message() {
        returned.insert(message.properties.message_id().clone());
    }
    if is_nack {
        return Err(busy("the server did not take the message: its queue is full, or not to be reached"));
    }
    Ok(())
}

fn no_queue(parcel: &Parcel) -> BrokerError {
    let key = parcel.route.key.as_str();
    let queue = key.rsplit('.').next().unwrap_or(key);
    refused(format!("there is no queue `{queue}`: it was deleted, or is not made yet"))
}

fn blocked() -> BrokerError {
    busy("the server takes no messages now: it is short of memory or of disk")
}

fn never_sent() -> BrokerError {
    fault::unreachable(Effect::None, "the channel was closed before this message was sent")
}
