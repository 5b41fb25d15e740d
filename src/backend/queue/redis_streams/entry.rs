//! Entries of a stream, and the receipts that name claims on them.

use bytes::Bytes;
use redis::Value;
use serde_json::Map;

use super::{
    super::broker::{Delivery, Receipt},
    fault::{Fault, unexpected},
};

/// The field with what a message says.
pub(super) const BODY: &str = "body";

/// The field with how often it was handed out before, as another entry.
pub(super) const TRIES: &str = "tries";

/// A claim, as its receipt names it: `<id of the entry>/<when it began>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    /// The entry.
    pub(super) id: &'a str,
    /// When it began at the earliest, in milliseconds of this process's life.
    pub(super) since_ms: u64,
}

impl<'a> Claim<'a> {
    /// The claim that a receipt names, if it is one. The server refuses a whole batch for one id that is
    /// none.
    pub(super) fn of(receipt: &'a Receipt) -> Option<Self> {
        let (id, since_ms) = receipt.0.split_once('/')?;
        let (time, number) = id.split_once('-')?;
        let is_number = |text: &str| text.parse::<u64>().is_ok();
        let is_id = is_number(time) && is_number(number);
        Some(Self { id, since_ms: since_ms.parse().ok()? }).filter(|_| is_id)
    }
}

/// What receipts of claims that began at one time end with.
fn suffix(since_ms: u64) -> String {
    format!("/{since_ms}")
}

fn receipt(mut id: String, suffix: &str) -> Receipt {
    id.reserve_exact(suffix.len());
    id.push_str(suffix);
    Receipt(id.into_boxed_str())
}

/// What a read of one stream gave.
pub(super) fn read(answer: Value, since_ms: u64) -> Result<Vec<Delivery>, Fault> {
    let stream = match answer {
        Value::Nil => return Ok(Vec::new()),
        Value::Map(mut streams) => streams.pop().map(|(_, entries)| entries),
        _ => None,
    };
    let Some(Value::Array(entries)) = stream else { return Err(unexpected("XREADGROUP").into()) };
    let suffix = suffix(since_ms);
    let entries = entries.into_iter().map(|entry| delivery(entry, 1, &suffix));
    entries.collect::<Option<_>>().ok_or_else(|| unexpected("XREADGROUP").into())
}

/// What the script gave that claims: entries, each with how often it was handed out.
pub(super) fn claimed(entries: Vec<Value>, since_ms: u64) -> Option<Vec<Delivery>> {
    let suffix = suffix(since_ms);
    let claimed = |entry: Value| {
        let [entry, Value::Int(count)] = <[Value; 2]>::try_from(list(entry)?).ok()? else { return None };
        delivery(entry, u32::try_from(count).unwrap_or(u32::MAX), &suffix)
    };
    entries.into_iter().map(claimed).collect()
}

fn delivery(entry: Value, count: u32, suffix: &str) -> Option<Delivery> {
    let [id, fields] = <[Value; 2]>::try_from(list(entry)?).ok()?;
    let id = String::from_utf8(string(id)?).ok()?;
    let (tries, body) = said(list(fields)?)?;
    Some(Delivery { receipt: receipt(id, suffix), body, deliveries: tries.saturating_add(count) })
}

/// How often an entry was handed out before, and what it says. One that is not ours says its fields.
fn said(mut fields: Vec<Value>) -> Option<(u32, Bytes)> {
    let is =
        |value: &Value, name: &str| matches!(value, Value::BulkString(bytes) if bytes == name.as_bytes());
    match fields.as_slice() {
        [name, _] if is(name, BODY) => Some((0, Bytes::from(string(fields.pop()?)?))),
        [first, Value::BulkString(tries), second, _] if is(first, TRIES) && is(second, BODY) => {
            let tries = std::str::from_utf8(tries).ok().and_then(|tries| tries.parse().ok()).unwrap_or(0);
            Some((tries, Bytes::from(string(fields.pop()?)?)))
        }
        _ => Some((0, Bytes::from(object(fields)?))),
    }
}

/// Fields as a JSON object.
fn object(fields: Vec<Value>) -> Option<String> {
    let text = |value: Value| Some(String::from_utf8_lossy(&string(value)?).into_owned());
    let mut object = Map::new();
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        object.insert(text(name)?, text(value)?.into());
    }
    serde_json::to_string(&object).ok()
}

/// The items of an answer that is a list.
pub(super) fn list(value: Value) -> Option<Vec<Value>> {
    if let Value::Array(items) = value { Some(items) } else { None }
}

/// The bytes of an answer that is a string.
pub(super) fn string(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

/// The text of an answer that is one.
pub(super) fn text(value: Value) -> Option<String> {
    String::from_utf8(string(value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(strings: &[&str]) -> Vec<Value> {
        strings.iter().map(|string| Value::BulkString(string.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_receipt_names_its_claim_and_what_is_none_names_nothing() {
        let receipt_of = |text: &str| Receipt(text.into());
        let claim = Claim { id: "1700000000000-5", since_ms: 42 };
        assert_eq!(Claim::of(&receipt("1700000000000-5".to_owned(), &suffix(42))), Some(claim));
        for none in [
            "",
            "no such",
            "1-1",
            "1/1",
            "1-x/1",
            "-/1",
            "1-1/",
            "1-1/x",
            "1-1-1/1",
            "1-99999999999999999999/1",
        ] {
            assert_eq!(Claim::of(&receipt_of(none)), None, "{none}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_an_entry_says() {
        let check = |fields: &[&str], tries: u32, body: &str| {
            assert_eq!(said(strings(fields)), Some((tries, Bytes::from(body.to_owned()))), "{fields:?}");
        };
        check(&["body", "b"],                     0, "b");
        check(&["tries", "3", "body", "b"],       3, "b");
        check(&["tries", "x", "body", "b"],       0, "b");
        check(&["other", "b"],                    0, r#"{"other":"b"}"#);
        check(&["workflow", "w", "run_id", "r"],  0, r#"{"workflow":"w","run_id":"r"}"#);
        check(&["body", "b", "headers", "h"],     0, r#"{"body":"b","headers":"h"}"#);
    }
}
