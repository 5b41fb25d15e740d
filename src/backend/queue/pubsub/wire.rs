//! What goes to Pub/Sub and comes from it, in JSON. It is written by hand where messages are many: a
//! batch is one piece of memory.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::line::Arrived;
use crate::backend::queue::broker::Message;

/// Bytes of a message's JSON beside its body, id and key.
pub(super) const FRAME_BYTES: usize = 64;

/// What comes of a publish.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Published {
    #[serde(default)]
    pub(super) message_ids: Vec<serde::de::IgnoredAny>,
}

/// What comes of a pull.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pulled<'a> {
    #[serde(default, borrow)]
    received_messages: Vec<Received<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received<'a> {
    #[serde(borrow)]
    ack_id: Cow<'a, str>,
    #[serde(default, borrow)]
    message: Content<'a>,
    #[serde(default)]
    delivery_attempt: u32,
}

#[derive(Default, Deserialize)]
struct Content<'a> {
    #[serde(default, borrow)]
    data: Text<'a>,
}

/// A text that is borrowed where it has no escapes.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Pulled<'_> {
    /// The messages; none when one cannot be read.
    pub(super) fn arrived(self, until: Instant, pull: u64) -> Option<Vec<Arrived>> {
        let arrived = self.received_messages.into_iter().map(|received| {
            Some(Arrived {
                ack_id: received.ack_id.into(),
                body: STANDARD.decode(received.message.data.0.as_bytes()).ok()?.into(),
                deliveries: received.delivery_attempt.max(1),
                until,
                pull,
            })
        });
        arrived.collect()
    }
}

/// Bytes of a message in JSON, at most.
pub(super) fn size(message: &Message) -> usize {
    // A character of a key becomes six in JSON at worst.
    let key = message.key.as_ref().map_or(0, |key| 6 * key.len());
    message.body.len().div_ceil(3) * 4 + message.id.len() + key + FRAME_BYTES
}

/// The body of a publish.
pub(super) fn publish_body<'a>(
    messages: impl Iterator<Item = &'a Message> + Clone,
    is_keyed: bool,
) -> String {
    let mut body = String::with_capacity(messages.clone().map(size).sum::<usize>() + FRAME_BYTES);
    body.push_str(r#"{"messages":["#);
    for (at, message) in messages.enumerate() {
        body.push_str(if at == 0 { r#"{"data":""# } else { r#",{"data":""# });
        STANDARD.encode_string(&message.body, &mut body);
        body.push_str(r#"","attributes":{"id":"#);
        push_text(&mut body, &message.id);
        body.push('}');
        if let Some(key) = message.key.as_ref().filter(|_| is_keyed) {
            body.push_str(r#","orderingKey":"#);
            push_text(&mut body, key);
        }
        body.push('}');
    }
    body.push_str("]}");
    body
}

fn push_text(body: &mut String, text: &str) {
    // A text can always be written.
    body.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// The body of a pull.
pub(super) fn pull_body(max: usize) -> String {
    format!(r#"{{"maxMessages":{max}}}"#)
}

/// The body of an acknowledgement.
pub(super) fn ack_body<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let ids: Vec<&str> = ids.collect();
    format!(r#"{{"ackIds":{}}}"#, json(&ids))
}

/// The body of a change of deadlines.
pub(super) fn deadline_body<'a>(ids: impl Iterator<Item = &'a str>, secs: u16) -> String {
    let ids: Vec<&str> = ids.collect();
    format!(r#"{{"ackIds":{},"ackDeadlineSeconds":{secs}}}"#, json(&ids))
}

fn json(ids: &impl Serialize) -> String {
    // Texts can always be written.
    serde_json::to_string(ids).unwrap_or_default()
}
