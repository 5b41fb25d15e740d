//! Which messages go in which request. Pure.

use std::collections::HashMap;

use super::{CAPABILITIES, claims::Claim, wire};
use crate::backend::queue::broker::{BrokerError, Message, Sent};

/// Messages of one publish: Pub/Sub's limit.
const MESSAGES_MAX: usize = 1_000;

/// Bytes of one publish: Pub/Sub's limit, with room for what is around the messages.
const PUBLISH_BYTES_MAX: usize = 9_990_000;

/// Bytes of an ordering key: Pub/Sub's limit.
const KEY_BYTES_MAX: usize = 1_024;

/// Claims that are settled by one request. Pub/Sub's limit is on bytes; its own clients stop at 2,500.
const CLAIMS_MAX: usize = 1_000;

/// Bytes of the names of claims in one request: Pub/Sub takes 512 KiB.
const CLAIM_BYTES_MAX: usize = 400_000;

/// Requests that must follow each other: the places of the messages of each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lane {
    /// Whether its messages have a key.
    pub(super) is_keyed: bool,
    /// What goes in each request.
    pub(super) lots: Vec<Vec<usize>>,
}

/// Whether Pub/Sub takes a message.
pub(super) fn fits(message: &Message) -> Result<Sent, BrokerError> {
    let (bytes, bytes_max) = (message.body.len(), CAPABILITIES.body_max);
    if bytes > bytes_max {
        let reason = format!("the message has {bytes} bytes, and Pub/Sub takes {bytes_max}");
        return Err(BrokerError::Refused { reason });
    }
    if message.key.as_ref().is_some_and(|key| key.len() > KEY_BYTES_MAX) {
        let reason = format!("the message's key is longer than Pub/Sub's {KEY_BYTES_MAX} bytes");
        return Err(BrokerError::Refused { reason });
    }
    Ok(Sent::New)
}

/// Puts the messages at some places into requests.
///
/// Pub/Sub wants one key in a request, and messages of one key keep their order only when the next
/// request waits for the one before. Without order no message has a key.
pub(super) fn lanes(
    messages: &[Message],
    places: impl Iterator<Item = usize>,
    is_ordered: bool,
) -> Vec<Lane> {
    let mut by_key: HashMap<&str, usize> = HashMap::new();
    let mut keyed: Vec<Vec<usize>> = Vec::new();
    let mut loose = Vec::new();
    for place in places {
        match messages[place].key.as_deref().filter(|key| is_ordered && !key.is_empty()) {
            None => loose.push(place),
            Some(key) => {
                let lane = *by_key.entry(key).or_insert(keyed.len());
                match keyed.get_mut(lane) {
                    Some(places) => places.push(place),
                    None => keyed.push(vec![place]),
                }
            }
        }
    }
    let size = |place: &usize| wire::size(&messages[*place]);
    let cut = |places: &[usize]| -> Vec<Vec<usize>> {
        cut(places, MESSAGES_MAX, PUBLISH_BYTES_MAX, size).map(<[usize]>::to_vec).collect()
    };
    let loose = cut(&loose).into_iter().map(|lot| Lane { is_keyed: false, lots: vec![lot] });
    let keyed = keyed.iter().map(|places| Lane { is_keyed: true, lots: cut(places) });
    loose.chain(keyed).collect()
}

/// Puts claims into requests.
pub(super) fn by_size<'a, 'c>(
    claims: &'a [(usize, Claim<'c>)],
) -> impl Iterator<Item = &'a [(usize, Claim<'c>)]> {
    // Each stands in quotes, with a comma.
    cut(claims, CLAIMS_MAX, CLAIM_BYTES_MAX, |(_, claim)| claim.ack_id.len() + 3)
}

/// Cuts items into parts of at most so many, and so many bytes; one that is larger is a part alone.
fn cut<T>(
    mut items: &[T],
    count_max: usize,
    bytes_max: usize,
    size: impl Fn(&T) -> usize,
) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fit = items.iter().take(count_max).take_while(|item| {
            bytes += size(item);
            bytes <= bytes_max
        });
        let count = fit.count().max(1).min(items.len());
        let (part, rest) = items.split_at(count);
        items = rest;
        (!part.is_empty()).then_some(part)
    })
}
