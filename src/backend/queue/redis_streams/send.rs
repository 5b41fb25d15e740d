//! Sends messages, many in one call of a script.

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use redis::Value;
use tokio::task::unconstrained;

use super::{
    super::broker::{BrokerError, MESSAGE_ID_LEN_MAX, Message, QueueName, Sent},
    CAPABILITIES, Keys, Process,
    entry::list,
    fault::{refused, unexpected},
    lines::{ANSWER_MAX, Lines},
    millis,
    script::{Request, SEND},
};

/// Most messages in one call: it takes the server two milliseconds, in which it does nothing else.
const CALL_MAX: usize = 500;

/// Bytes of messages after which a call gets no more of them, for the same reason.
const CALL_BYTES_MAX: usize = 1 << 20;

/// Calls that are on their way at once: while the server works at one, the next is written.
const WINDOW: usize = 4;

/// Bytes that a message takes in a call beside its id and its body: their lengths.
const FRAME_LEN: usize = 32;

/// Sends messages; gives what became of each.
pub(super) async fn send(
    lines: &Lines,
    process: &Process,
    queue: &QueueName,
    messages: &[Message],
) -> Vec<Result<Sent, BrokerError>> {
    let post = Post::new(lines, process, queue);
    let mut calls = Calls(messages);
    let Some(first) = calls.next() else { return Vec::new() };
    // Alone: where the server does not know the script yet, those after it would be begun anew in any order.
    let mut sent = post.send(first).await;
    // These are begun in their order, and a connection keeps it. Unconstrained, since one that had to yield
    // before it is begun would be overtaken.
    let calls: Vec<_> = calls.map(|call| unconstrained(post.send(call))).collect();
    let mut calls = stream::iter(calls).buffered(WINDOW);
    while let Some(results) = calls.next().await {
        sent.extend(results);
    }
    sent
}

/// Cuts messages into what goes in one call each.
struct Calls<'a>(&'a [Message]);

impl<'a> Iterator for Calls<'a> {
    type Item = &'a [Message];

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = 0;
        let fits = |message: &&Message| {
            bytes += message.body.len();
            bytes <= CALL_BYTES_MAX
        };
        let count = self.0.iter().take(CALL_MAX).take_while(fits).count();
        let (call, rest) = self.0.split_at_checked(count.max(1))?;
        self.0 = rest;
        Some(call)
    }
}

/// What all calls of one `send` have in common.
struct Post<'a> {
    lines: &'a Lines,
    queue: &'a QueueName,
    keys: Keys<'a>,
    /// The sets of ids.
    ids: [String; 2],
    window_ms: u64,
    now: fn() -> Timestamp,
}

impl<'a> Post<'a> {
    fn new(lines: &'a Lines, process: &Process, queue: &'a QueueName) -> Self {
        let window_ms = millis(process.dedupe);
        let ids = |turn| format!("{{{queue}}}:ids:{window_ms}:{turn}");
        Self { lines, queue, keys: Keys::new(queue), ids: [ids(0), ids(1)], window_ms, now: process.now }
    }

    /// Sends what goes in one call, and says of those that cannot be sent why.
    async fn send(&self, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        let faults: Vec<Option<BrokerError>> = messages.iter().map(fault).collect();
        if faults.iter().all(Option::is_none) {
            return self.call(messages).await;
        }
        let good = messages.iter().zip(&faults).filter(|(_, fault)| fault.is_none());
        let good: Vec<Message> = good.map(|(message, _)| message.clone()).collect();
        let mut sent = if good.is_empty() { Vec::new() } else { self.call(&good).await }.into_iter();
        let result = |fault: Option<BrokerError>| match fault {
            Some(error) => Some(Err(error)),
            None => sent.next(),
        };
        faults.into_iter().filter_map(result).collect()
    }

    async fn call(&self, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        let request = self.request(messages);
        let known = match self.lines.ask(Some(self.queue), &request, ANSWER_MAX).await {
            Ok(answer) => list(answer).ok_or_else(|| unexpected("a call that sends")),
            Err(fault) => Err(fault.into()),
        };
        let known = match known {
            Ok(known) => known,
            Err(error) => return vec![Err(error); messages.len()],
        };
        let mut sent = vec![Ok(Sent::New); messages.len()];
        for place in known {
            if let Value::Int(place) = place
                && let Some(sent) = usize::try_from(place).ok().and_then(|place| sent.get_mut(place - 1))
            {
                *sent = Ok(Sent::Duplicate);
            }
        }
        sent
    }

    fn request(&self, messages: &[Message]) -> Request {
        let size = |message: &Message| message.id.len() + message.body.len() + FRAME_LEN;
        let bytes = messages.iter().map(size).sum();
        let keys = [self.keys.stream, &self.keys.delayed, &self.ids[0], &self.ids[1]];
        let mut request = Request::call(&SEND, &keys, 3 + 3 * messages.len(), bytes);
        let call = &mut request.command;
        let is_any_delayed = messages.iter().any(|message| message.not_before.is_some());
        let needs_ids = self.window_ms > 0 || is_any_delayed;
        call.arg(self.window_ms).arg(messages.len()).arg(if needs_ids { messages.len() } else { 0 });
        if needs_ids {
            for message in messages {
                call.arg(message.id.as_bytes());
            }
        }
        for message in messages {
            call.arg(&message.body[..]);
        }
        if is_any_delayed {
            let now = (self.now)();
            for message in messages {
                call.arg(message.not_before.map_or(0, |at| delay_ms(now, at)));
            }
        }
        request
    }
}

/// How long it is until a time, not less.
fn delay_ms(now: Timestamp, at: Timestamp) -> i128 {
    let micros = at.duration_since(now).as_micros();
    (micros.max(0) + 999) / 1_000
}

/// Why a message cannot be sent, if it cannot.
fn fault(message: &Message) -> Option<BrokerError> {
    let (id, len, most) = (&message.id, message.body.len(), CAPABILITIES.body_max);
    if len > most {
        return Some(refused(format!("message {id:?} has {len} bytes, and may have {most}")));
    }
    // A space ends it where it is kept with its body.
    let is_id =
        !id.is_empty() && id.len() <= MESSAGE_ID_LEN_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
    (!is_id).then(|| refused(format!("{id:?} is no id of a message")))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(len: usize) -> Message {
        Message { id: "m".to_owned(), body: Bytes::from(vec![b'x'; len]), not_before: None, key: None }
    }

    #[test]
    #[rustfmt::skip]
    fn a_call_is_bounded_by_messages_and_by_bytes() {
        let check = |lens: &[usize], expected: &[usize]| {
            let messages: Vec<Message> = lens.iter().map(|&len| message(len)).collect();
            let calls: Vec<usize> = Calls(&messages).map(<[Message]>::len).collect();
            assert_eq!(calls, expected, "{} messages", lens.len());
        };
        check(&[],                                 &[]);
        check(&[1, 1, 1],                          &[3]);
        check(&[1; 1_001],                         &[500, 500, 1]);
        check(&[1 << 20, 1 << 20, 1],              &[1, 1, 1]);
        check(&[1 << 19, 1 << 19, 1, 1],           &[2, 2]);
    }

    #[test]
    fn a_delay_is_not_shorter_than_the_time_until_then() {
        let at = |micros: i64| Timestamp::from_microsecond(micros).unwrap();
        assert_eq!(delay_ms(at(0), at(1)), 1);
        assert_eq!(delay_ms(at(0), at(1_000)), 1);
        assert_eq!(delay_ms(at(0), at(1_001)), 2);
        assert_eq!(delay_ms(at(5), at(0)), 0);
    }
}
