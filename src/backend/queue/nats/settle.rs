//! Says what becomes of messages, and waits until the server has taken note.
//!
//! What is said of many messages goes out at once, and only the last of them asks for an answer: a
//! consumer works off what comes over one connection in its order, so its answer to the last is an answer
//! to all. Whether it was one connection is looked at afterwards.

use async_nats::{StatusCode, Subject};
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    super::broker::{BrokerError, Effect, QueueName, Settlement, Verdict},
    LEAVE_FOR, NatsBroker, RETRY_MAX,
    api::Api,
    link::{CONNECT_MAX, Inbox},
};

/// Verdicts that one answer confirms.
const WINDOW: usize = 1_000;

/// A verdict that the server is to know.
#[derive(Debug)]
struct Word {
    /// Its place among the settlements.
    index: usize,
    /// Where it goes.
    reply: Subject,
    verdict: Verdict,
}

/// Settles; gives what came of each, in their order.
pub(super) async fn settle(
    broker: &NatsBroker,
    queue: &QueueName,
    settlements: &[Settlement],
) -> Vec<Result<(), BrokerError>> {
    let mut results = vec![Err(BrokerError::ClaimOver); settlements.len()];
    let api = broker.api(CONNECT_MAX).await;
    let replies = broker.claims.find(queue, settlements.iter().map(|settlement| &settlement.receipt));
    let words =
        replies.into_iter().zip(settlements).enumerate().filter_map(|(index, (reply, settlement))| {
            Some(Word { index, reply: reply?, verdict: settlement.verdict })
        });
    let mut words: Vec<Word> = words.collect();
    if words.is_empty() {
        return results;
    }
    // In a cluster the answer to an acknowledgement waits until most servers have it, and all before it;
    // the answer to another verdict does not.
    words.sort_by_key(|word| word.verdict == Verdict::Ack);

    let mut told = 0;
    let error = match api {
        Ok(api) => tell_all(broker, api, queue, &words, &mut told).await.err(),
        Err(error) => Some(error),
    };
    for (place, word) in words.iter().enumerate() {
        results[word.index] = match &error {
            Some(error) if place >= told => Err(error.clone()),
            _ => Ok(()),
        };
    }
    results
}

/// Tells the server all of it, and counts what it has taken note of.
async fn tell_all(
    broker: &NatsBroker,
    api: Api<'_>,
    queue: &QueueName,
    words: &[Word],
    told: &mut usize,
) -> Result<(), BrokerError> {
    let mut inbox = api.session.inbox().await?;
    for (index, window) in words.chunks(WINDOW).enumerate() {
        let now = Instant::now();
        tell(api, &mut inbox, index, queue, window).await?;
        let held = window.iter().filter(|word| word.verdict == Verdict::Extend);
        broker.claims.extend(queue, held.map(|word| word.reply.as_str()), now + broker.options.held());
        let given_up = window.iter().filter(|word| word.verdict != Verdict::Extend);
        broker.claims.forget(queue, given_up.map(|word| word.reply.as_str()));
        *told += window.len();
    }
    api.session.hand_back(inbox);
    Ok(())
}

async fn tell(
    api: Api<'_>,
    inbox: &mut Inbox,
    index: usize,
    queue: &QueueName,
    words: &[Word],
) -> Result<(), BrokerError> {
    let Some((last, others)) = words.split_last() else { return Ok(()) };
    for word in others {
        inbox.send(word.reply.clone(), None, None, said(word.verdict)).await?;
    }
    let answer_to = inbox.address(index);
    inbox.send(last.reply.clone(), Some(answer_to), None, said(last.verdict)).await?;
    let answer = inbox.answer(index, &last.reply).await?;
    let unknown =
        |reason: &str| BrokerError::Unreachable { effect: Effect::Unknown, reason: reason.to_owned() };
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        return Err(match api.why_not_consumed(queue).await {
            // With the consumer all its claims are gone.
            Some(BrokerError::Refused { .. }) => BrokerError::ClaimOver,
            Some(error) => error,
            None => unknown("the consumer takes nothing now: it has no leader"),
        });
    }
    if inbox.is_unbroken() { Ok(()) } else { Err(unknown("the connection was lost meanwhile")) }
}

/// A verdict in the words of the server.
fn said(verdict: Verdict) -> Bytes {
    match verdict {
        Verdict::Ack => Bytes::new(),
        Verdict::Extend => Bytes::from_static(b"+WPI"),
        Verdict::Retry { after } if after.is_zero() => NOT_NOW,
        Verdict::Retry { after } => format!("-NAK {{\"delay\":{}}}", after.min(RETRY_MAX).as_nanos()).into(),
        Verdict::Leave => format!("-NAK {{\"delay\":{}}}", LEAVE_FOR.as_nanos()).into(),
    }
}

/// A message is to be handed out again, at once.
pub(super) const NOT_NOW: Bytes = Bytes::from_static(b"-NAK");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn verdicts_are_said_in_the_words_of_the_server() {
        let retry = |after| said(Verdict::Retry { after });
        assert_eq!(said(Verdict::Ack), "");
        assert_eq!(said(Verdict::Extend), "+WPI");
        assert_eq!(retry(Duration::ZERO), "-NAK");
        assert_eq!(retry(Duration::from_millis(1_500)), "-NAK {\"delay\":1500000000}");
        assert_eq!(retry(Duration::MAX), "-NAK {\"delay\":31536000000000000}");
        assert_eq!(said(Verdict::Leave), "-NAK {\"delay\":3600000000000}");
    }
}
