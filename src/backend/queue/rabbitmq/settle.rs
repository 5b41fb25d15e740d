//! Says what becomes of messages that were received.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};

use super::{
    super::broker::{BrokerError, Settlement, Verdict},
    Shared,
    link::ANSWER_MAX,
    send::Parcel,
    shelf::{End, Given},
    tap::Tap,
};

/// How much longer than its time a claim lasts whose message is being sent anew: as long as that may
/// take, with the connection for it.
const COPYING_MAX: Duration = ANSWER_MAX.saturating_mul(3);

/// Settlements of one tap, with their places in what was asked.
type Group = Vec<(usize, u64, Verdict)>;

/// What becomes of them, by place.
type Outcomes = Vec<(usize, Result<(), BrokerError>)>;

impl Shared {
    /// Settles messages; what is no claim of ours is [`BrokerError::ClaimOver`].
    pub(super) async fn settle(&self, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        let mut groups: HashMap<u64, (Arc<Tap>, Group)> = HashMap::new();
        for (place, Settlement { receipt, verdict }) in settlements.iter().enumerate() {
            if let Some((tap, tag)) = self.taps.find(receipt) {
                let (_, group) = groups.entry(tap.id()).or_insert_with(|| (tap, Vec::new()));
                group.push((place, tag, *verdict));
            }
        }
        let settling = groups.into_values().map(|(tap, group)| self.settle_group(tap, group));
        let mut results = vec![Err(BrokerError::ClaimOver); settlements.len()];
        for (place, result) in join_all(settling).await.into_iter().flatten() {
            results[place] = result;
        }
        results
    }

    async fn settle_group(&self, tap: Arc<Tap>, group: Group) -> Outcomes {
        // The channel holds its claims; without it they are over.
        if !tap.is_alive() {
            return Vec::new();
        }
        let Sorted { mut outcomes, ends, places, copies } = sort(&tap, group);
        let (ended, copied) = join(end(&tap, &ends), self.send_again(&tap, copies)).await;
        outcomes.extend(places.into_iter().map(|place| (place, ended.clone())));
        outcomes.extend(copied);
        outcomes
    }

    /// Sends messages once more, with a delay, and settles those that were sent.
    async fn send_again(&self, tap: &Tap, copies: Vec<Copy>) -> Outcomes {
        let parcels: Vec<Parcel> =
            copies.iter().map(|copy| Parcel::again(tap.queue(), &copy.given, copy.after)).collect();
        let sent = self.publish(parcels).await;
        let (mut outcomes, mut ends, mut places) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (Copy { place, tag, .. }, result) in copies.into_iter().zip(sent) {
            match result {
                Ok(()) => {
                    ends.insert(tag, End::Done);
                    places.push(place);
                }
                Err(error) => {
                    tap.shelf().extend(tag, tap.claim_until());
                    outcomes.push((place, Err(error)));
                }
            }
        }
        let ended = end(tap, &ends).await;
        outcomes.extend(places.into_iter().map(|place| (place, ended.clone())));
        outcomes
    }
}

async fn end(tap: &Tap, ends: &BTreeMap<u64, End>) -> Result<(), BrokerError> {
    if ends.is_empty() { Ok(()) } else { tap.settle(ends).await }
}

/// A message that is to be sent again.
struct Copy {
    place: usize,
    tag: u64,
    given: Given,
    after: Duration,
}

/// Settlements by what is to be done.
#[derive(Default)]
struct Sorted {
    /// What is done already.
    outcomes: Outcomes,
    ends: BTreeMap<u64, End>,
    /// Places of those that end.
    places: Vec<usize>,
    copies: Vec<Copy>,
}

fn sort(tap: &Tap, group: Group) -> Sorted {
    let mut sorted = Sorted::default();
    let now = Instant::now();
    let mut shelf = tap.shelf();
    for (place, tag, verdict) in group {
        // Of two verdicts on a message, the first one counts.
        if !shelf.holds(tag) || sorted.ends.contains_key(&tag) {
            continue;
        }
        match verdict {
            Verdict::Ack => {
                sorted.ends.insert(tag, End::Done);
                sorted.places.push(place);
            }
            Verdict::Retry { after } if after.is_zero() => {
                sorted.ends.insert(tag, End::Back);
                sorted.places.push(place);
            }
            Verdict::Retry { after } => {
                let given = shelf.extend(tag, tap.claim_until() + COPYING_MAX).cloned();
                sorted.copies.extend(given.map(|given| Copy { place, tag, given, after }));
            }
            Verdict::Extend => {
                shelf.extend(tag, tap.claim_until());
                sorted.outcomes.push((place, Ok(())));
            }
            Verdict::Leave => {
                sorted.ends.extend(shelf.leave(tag, now).map(|oldest| (oldest, End::Back)));
                sorted.outcomes.push((place, Ok(())));
            }
        }
    }
    sorted
}
