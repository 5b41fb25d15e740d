//! Sends messages: many in flight at a time, and each confirmed by the stream.

use async_nats::{
    HeaderMap, HeaderValue, Message as Answer, StatusCode, Subject,
    header::{NATS_EXPECTED_STREAM, NATS_MESSAGE_ID},
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    super::broker::{BrokerError, Effect, Message, QueueName, Sent},
    CAPABILITIES,
    api::Api,
    fault::{ApiError, refused},
    link::{ANSWER_MAX, Inbox},
};

/// Messages that are on their way at a time. More of them do not make it faster, and would only fill the
/// buffers between us and the server.
const WINDOW: usize = 500;

/// Bytes of bodies that are on their way at a time, and one message more: a server keeps them in memory
/// until they are stored.
const WINDOW_BYTES: usize = 16 << 20;

/// What is known of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// It was not sent.
    Held,
    /// It was sent.
    Open,
    /// Nobody took it.
    Nobody,
    /// It is decided.
    Over(Result<Sent, BrokerError>),
}

/// Sends messages in their order; gives what became of each.
pub(super) async fn send(
    api: Api<'_>,
    queue: &QueueName,
    messages: &[Message],
) -> Vec<Result<Sent, BrokerError>> {
    let mut fates = vec![Fate::Held; messages.len()];
    let broken = exchange(api, queue, messages, &mut fates).await.err();
    let nobody = if fates.contains(&Fate::Nobody) { Some(api.why_not_stored(queue).await) } else { None };
    let lost = || broken.clone().unwrap_or_else(|| refused("the message was passed over"));
    let results = fates.into_iter().map(|fate| match fate {
        Fate::Over(result) => result,
        Fate::Open => Err(lost()),
        Fate::Held => Err(without_effect(lost())),
        Fate::Nobody => Err(nobody.clone().unwrap_or_else(lost)),
    });
    results.collect()
}

fn without_effect(error: BrokerError) -> BrokerError {
    match error {
        BrokerError::Unreachable { reason, .. } => BrokerError::Unreachable { effect: Effect::None, reason },
        other => other,
    }
}

async fn exchange(
    api: Api<'_>,
    queue: &QueueName,
    messages: &[Message],
    fates: &mut [Fate],
) -> Result<(), BrokerError> {
    let mut inbox = api.session.inbox().await?;
    let subject = Subject::from(queue.as_str());
    let stream = HeaderValue::from(queue.as_str());
    let mut rest = messages.iter().enumerate();
    let (mut open, mut bytes) = (0, 0);
    loop {
        while open < WINDOW && bytes < WINDOW_BYTES {
            let Some((index, message)) = rest.next() else { break };
            match post(&mut inbox, &subject, &stream, index, message).await {
                Ok(()) => {
                    fates[index] = Fate::Open;
                    open += 1;
                    bytes += message.body.len();
                }
                Err(error @ BrokerError::Refused { .. }) => fates[index] = Fate::Over(Err(error)),
                Err(error) => return Err(error),
            }
        }
        if open == 0 {
            api.session.hand_back(inbox);
            return Ok(());
        }
        let mut next = Some(inbox.next(Instant::now() + ANSWER_MAX, queue.as_str()).await?);
        while let Some(answer) = next {
            if let Some(index) = inbox.index(&answer)
                && let Some(fate) = fates.get_mut(index).filter(|fate| **fate == Fate::Open)
            {
                *fate = fate_of(&answer);
                open -= 1;
                bytes -= messages[index].body.len();
            }
            next = inbox.ready();
        }
    }
}

async fn post(
    inbox: &mut Inbox,
    subject: &Subject,
    stream: &HeaderValue,
    index: usize,
    message: &Message,
) -> Result<(), BrokerError> {
    let size = message.body.len();
    if size > CAPABILITIES.body_max {
        return Err(refused(format!("a body of {size} bytes; at most {} fit", CAPABILITIES.body_max)));
    }
    let id: HeaderValue =
        message.id.parse().map_err(|error| refused(format!("the id of a message is none: {error}")))?;
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, id);
    // Another stream whose subjects match must not take it when ours is gone.
    headers.insert(NATS_EXPECTED_STREAM, stream.clone());
    let reply = inbox.address(index);
    inbox.send(subject.clone(), Some(reply), Some(headers), message.body.clone()).await
}

#[derive(Debug, Deserialize)]
struct Stored {
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    error: Option<ApiError>,
}

fn fate_of(answer: &Answer) -> Fate {
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        return Fate::Nobody;
    }
    Fate::Over(match serde_json::from_slice(&answer.payload) {
        Ok(Stored { error: Some(error), .. }) => Err(error.into()),
        Ok(Stored { duplicate: true, .. }) => Ok(Sent::Duplicate),
        Ok(Stored { duplicate: false, .. }) => Ok(Sent::New),
        Err(error) => {
            let reason = format!("an answer of the stream is not understood: {error}");
            Err(BrokerError::Unreachable { effect: Effect::Unknown, reason })
        }
    })
}
