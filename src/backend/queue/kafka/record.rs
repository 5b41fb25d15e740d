//! A record as this adapter writes and reads it: the body is the message's, all else is in headers.

use bytes::Bytes;
use jiff::Timestamp;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message as _, OwnedHeaders};

use super::super::broker::Message;

/// Header with the message's id.
pub(super) const ID: &str = "tintal-id";
/// Header with the time before which a record is not to be handed out, as RFC 3339.
pub(super) const NOT_BEFORE: &str = "tintal-not-before";
/// Header with how often the message was handed out before, under earlier offsets.
pub(super) const DELIVERIES: &str = "tintal-deliveries";

/// A record that was read, with all that is needed to write it again.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// What it says.
    pub(super) body: Bytes,
    /// By which its partition was chosen.
    pub(super) key: Option<Bytes>,
    /// How often it was handed out.
    pub(super) deliveries: u32,
    /// Not to be handed out before this.
    pub(super) not_before: Option<Timestamp>,
    /// The id that it was sent with.
    id: Option<Box<str>>,
    /// All headers, if some are of other programs.
    headers: Option<OwnedHeaders>,
}

impl Record {
    /// Copies it out of the client's memory.
    pub(super) fn read(message: &BorrowedMessage<'_>) -> Self {
        let mut record = Self {
            body: message.payload().map_or_else(Bytes::new, Bytes::copy_from_slice),
            key: message.key().map(Bytes::copy_from_slice),
            deliveries: 0,
            not_before: None,
            id: None,
            headers: None,
        };
        let Some(headers) = message.headers() else { return record };
        let mut any_other = false;
        for header in headers.iter() {
            // A value of another program that is none of ours counts as absent.
            let text = header.value.and_then(|value| std::str::from_utf8(value).ok());
            match header.key {
                ID => record.id = text.map(Box::from),
                NOT_BEFORE => record.not_before = text.and_then(|text| text.parse().ok()),
                DELIVERIES => record.deliveries = text.and_then(|text| text.parse().ok()).unwrap_or(0),
                _ => any_other = true,
            }
        }
        if any_other {
            record.headers = Some(headers.detach());
        }
        record
    }

    /// Headers with which it is written again, for a time or for as soon as may be.
    pub(super) fn again(&self, not_before: Option<Timestamp>) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new();
        for header in self.headers.iter().flat_map(Headers::iter) {
            if ![ID, NOT_BEFORE, DELIVERIES].contains(&header.key) {
                headers = headers.insert(header);
            }
        }
        if let Some(id) = self.id.as_deref() {
            headers = headers.insert(Header { key: ID, value: Some(id) });
        }
        let deliveries = self.deliveries.to_string();
        mark(headers, not_before).insert(Header { key: DELIVERIES, value: Some(&deliveries) })
    }
}

/// Headers of a message that is sent.
pub(super) fn headers(message: &Message) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(2).insert(Header { key: ID, value: Some(&message.id) });
    mark(headers, message.not_before)
}

fn mark(headers: OwnedHeaders, not_before: Option<Timestamp>) -> OwnedHeaders {
    match not_before {
        Some(time) => headers.insert(Header { key: NOT_BEFORE, value: Some(&time.to_string()) }),
        None => headers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(headers: &OwnedHeaders) -> Vec<String> {
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
        headers.iter().map(|header| format!("{}={}", header.key, text(header.value))).collect()
    }

    #[test]
    fn a_record_that_is_written_again_keeps_the_headers_of_others() {
        let old = OwnedHeaders::new()
            .insert(Header { key: "trace", value: Some("1") })
            .insert(Header { key: DELIVERIES, value: Some("1") })
            .insert(Header { key: NOT_BEFORE, value: Some("2026-01-01T00:00:00Z") });
        let record = Record {
            body: Bytes::new(),
            key: None,
            deliveries: 2,
            not_before: None,
            id: Some("a".into()),
            headers: Some(old),
        };
        assert_eq!(shown(&record.again(None)), ["trace=1", "tintal-id=a", "tintal-deliveries=2"]);
        let time = "2026-02-01T00:00:00Z".parse().ok();
        assert_eq!(
            shown(&record.again(time)),
            ["trace=1", "tintal-id=a", "tintal-not-before=2026-02-01T00:00:00Z", "tintal-deliveries=2"]
        );
    }
}
