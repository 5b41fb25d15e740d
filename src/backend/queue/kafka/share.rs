//! What of a topic is ours: partitions, what was taken of them, and the claims on that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rdkafka::{
    consumer::base_consumer::PartitionQueue,
    error::KafkaError,
    message::Message as _,
    topic_partition_list::{TopicPartitionList, TopicPartitionListElem},
};
use tokio::sync::oneshot;

use super::{
    super::broker::{BrokerError, Delivery, Receipt},
    fault,
    member::Member,
    record::Record,
    window::Window,
};

/// Records of one partition that are not settled, or wait for an earlier one that is not. Past this,
/// no more is taken of it: so many at most come again after a crash.
const WINDOW_MAX: usize = 100_000;

/// Records of one topic that are held until they are due. Past this, no more is taken until some are.
const HELD_MAX: usize = 10_000;

/// Bytes of their bodies.
const HELD_BYTES_MAX: usize = 64 << 20;

/// What of a topic is ours.
#[derive(Debug, Default)]
pub(super) struct Share {
    partitions: BTreeMap<i32, Partition>,
    /// Records that wait to be handed out, by when they are due.
    held: BTreeSet<Due>,
    held_bytes: usize,
    claims: u64,
    /// Which partition is asked first, for the others to have their turn.
    turn: usize,
    /// Why the server gives us nothing, as far as a person must change it.
    refusal: Option<BrokerError>,
}

/// A partition that is ours.
struct Partition {
    queue: PartitionQueue<Member>,
    window: Window<Record>,
    /// Who waits until all before an offset is committed.
    waiting: Vec<(i64, oneshot::Sender<Result<(), BrokerError>>)>,
    /// It is to be given up: nothing more is handed out.
    leaves: bool,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("window", &self.window)
            .field("leaves", &self.leaves)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Timestamp,
    partition: i32,
    offset: i64,
}

/// A claim, as its receipt names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// In which partition.
    pub(super) partition: i32,
    /// On which record.
    pub(super) offset: i64,
    number: u64,
}

impl Claim {
    /// The claim that a receipt of ours names.
    pub(super) fn parse(receipt: &Receipt) -> Option<Self> {
        let mut parts = receipt.0.split('.');
        let partition = parts.next()?.parse().ok()?;
        let offset = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Self { partition, offset, number })
    }

    /// Written from its end, by hand: one is made for each message, and formatting is a third of the time
    /// that a message costs here.
    fn receipt(self) -> Receipt {
        let mut text = [b'.'; RECEIPT_LEN_MAX];
        let mut start = text.len();
        let offset = u64::try_from(self.offset).unwrap_or(0);
        let partition = u64::try_from(self.partition).unwrap_or(0);
        for mut number in [self.number, offset, partition] {
            loop {
                start -= 1;
                text[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
                number /= 10;
                if number == 0 {
                    break;
                }
            }
            start -= 1;
        }
        Receipt(String::from_utf8_lossy(&text[start + 1..]).into())
    }
}

/// Most characters of a receipt: 10, 19 and 20 digits, a dot before each.
const RECEIPT_LEN_MAX: usize = 52;

impl Share {
    /// Takes a partition over.
    pub(super) fn add(&mut self, number: i32, queue: PartitionQueue<Member>) {
        self.remove(number);
        let partition =
            Partition { queue, window: Window::new(self.claims), waiting: Vec::new(), leaves: false };
        self.partitions.insert(number, partition);
        self.refusal = None;
    }

    /// Gives a partition up; the claims on it are over.
    pub(super) fn remove(&mut self, number: i32) {
        self.freeze(number);
        for (_, waiting) in self.partitions.remove(&number).into_iter().flat_map(|gone| gone.waiting) {
            // Whoever waited may have given up.
            let _ = waiting.send(Err(BrokerError::ClaimOver));
        }
    }

    /// Hands nothing more out of a partition; the claims on it go on.
    pub(super) fn freeze(&mut self, number: i32) {
        let Some(partition) = self.partitions.get_mut(&number) else { return };
        partition.leaves = true;
        let (window, held_bytes) = (&partition.window, &mut self.held_bytes);
        self.held.retain(|due| {
            let stays = due.partition != number;
            if !stays {
                *held_bytes -= window.held(due.offset).map_or(0, |record| record.body.len());
            }
            stays
        });
    }

    /// Whether all that was handed out of a partition is settled, and that is committed.
    pub(super) fn is_done(&self, number: i32) -> bool {
        self.partitions
            .get(&number)
            .is_none_or(|partition| partition.window.claims() == 0 && partition.window.to_commit().is_none())
    }

    /// Whether anything is handed out.
    pub(super) fn has_claims(&self) -> bool {
        self.partitions.values().any(|partition| partition.window.claims() > 0)
    }

    /// Hands out what is due: up to `max` records, for as long as until `until`.
    pub(super) fn take(&mut self, max: usize, now: Timestamp, until: Instant) -> Vec<Delivery> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(due) = self.held.first().copied()
            && due.at <= now
        {
            self.held.remove(&due);
            let number = self.claims;
            let Some(partition) = self.partitions.get_mut(&due.partition) else { continue };
            let Some(record) = partition.window.claim(due.offset, number, until) else { continue };
            self.claims += 1;
            self.held_bytes -= record.body.len();
            taken.push(deliver(Claim { partition: due.partition, offset: due.offset, number }, record));
        }
        self.turn = self.turn.wrapping_add(1);
        let numbers: Vec<i32> = self.partitions.keys().copied().collect();
        let first = self.turn.checked_rem(numbers.len()).unwrap_or(0);
        let (after, before) = numbers.split_at(first);
        for &number in before.iter().chain(after) {
            self.take_new(number, &mut taken, max, now, until);
        }
        taken
    }

    /// Hands out what is new in a partition, and holds what is not due.
    fn take_new(
        &mut self,
        number: i32,
        taken: &mut Vec<Delivery>,
        max: usize,
        now: Timestamp,
        until: Instant,
    ) {
        let Self { partitions, held, held_bytes, claims, refusal, .. } = self;
        let Some(partition) = partitions.get_mut(&number).filter(|partition| !partition.leaves) else {
            return;
        };
        while taken.len() < max
            && partition.window.len() < WINDOW_MAX
            && held.len() < HELD_MAX
            && *held_bytes < HELD_BYTES_MAX
        {
            let (offset, mut record) = match next(&partition.queue) {
                None => return,
                Some(Ok(new)) => new,
                Some(Err(error)) => return note(refusal, &error),
            };
            let bytes = record.body.len();
            if let Some(at) = record.not_before.filter(|time| *time > now) {
                if partition.window.hold(offset, record) {
                    held.insert(Due { at, partition: number, offset });
                    *held_bytes += bytes;
                }
                continue;
            }
            let claim = Claim { partition: number, offset, number: *claims };
            let delivery = deliver(claim, &mut record);
            if partition.window.take(offset, claim.number, until, record) {
                *claims += 1;
                taken.push(delivery);
            }
        }
    }

    /// Takes in a record that came beside the queue of its partition.
    pub(super) fn hold(&mut self, number: i32, offset: i64, record: Record, now: Timestamp) {
        let Some(partition) = self.partitions.get_mut(&number) else { return };
        let at = record.not_before.unwrap_or(now);
        let bytes = record.body.len();
        if partition.window.hold(offset, record) && !partition.leaves {
            self.held.insert(Due { at, partition: number, offset });
            self.held_bytes += bytes;
        }
    }

    /// When the next of those that are held is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.held.first().map(|due| due.at)
    }

    /// Ends the claims that were not extended in time; whether there were any.
    pub(super) fn expire(&mut self, deadline: Instant, now: Timestamp) -> bool {
        let mut any = false;
        for (&number, partition) in &mut self.partitions {
            for offset in partition.window.expire(deadline) {
                any = true;
                if !partition.leaves {
                    self.held.insert(Due { at: now, partition: number, offset });
                    self.held_bytes += partition.window.held(offset).map_or(0, |record| record.body.len());
                }
            }
        }
        any
    }

    /// The record that a claim is on, unless the claim is over or settled.
    pub(super) fn claimed(&self, claim: Claim) -> Option<&Record> {
        self.partitions.get(&claim.partition)?.window.claimed(claim.offset, claim.number)
    }

    /// Makes a claim last until then.
    pub(super) fn extend(&mut self, claim: Claim, until: Instant) -> Result<(), BrokerError> {
        let partition = self.partitions.get_mut(&claim.partition);
        let is_ours = partition.is_some_and(|ours| ours.window.extend(claim.offset, claim.number, until));
        is_ours.then_some(()).ok_or(BrokerError::ClaimOver)
    }

    /// Settles a record.
    pub(super) fn settle(&mut self, claim: Claim) -> Result<(), BrokerError> {
        let partition = self.partitions.get_mut(&claim.partition);
        let is_ours = partition.is_some_and(|ours| ours.window.settle(claim.offset, claim.number));
        is_ours.then_some(()).ok_or(BrokerError::ClaimOver)
    }

    /// Gives word once all is committed that can be of a partition; with the offset up to which it is.
    /// None when nothing is to be waited for.
    pub(super) fn committed(
        &mut self,
        number: i32,
    ) -> Option<(i64, oneshot::Receiver<Result<(), BrokerError>>)> {
        let partition = self.partitions.get_mut(&number)?;
        let position = partition.window.to_commit()?;
        let (word, waiting) = oneshot::channel();
        partition.waiting.push((position, word));
        Some((position, waiting))
    }

    /// What is to be committed; none when nothing is.
    pub(super) fn to_commit(&self) -> Vec<(i32, i64)> {
        let positions = self.partitions.iter();
        positions.filter_map(|(number, ours)| Some((*number, ours.window.to_commit()?))).collect()
    }

    /// Notes how a commit went.
    pub(super) fn note_commit(&mut self, number: i32, position: i64, result: &Result<(), BrokerError>) {
        let Some(partition) = self.partitions.get_mut(&number) else { return };
        let reached = match result {
            Ok(()) => {
                partition.window.commit(position);
                position
            }
            Err(BrokerError::Refused { .. }) => i64::MAX,
            // It is tried again. Also when the group has moved on meanwhile: some may still be ours.
            Err(_) => return,
        };
        for (_, word) in partition.waiting.extract_if(.., |(position, _)| *position <= reached) {
            // Whoever waited may have given up.
            let _ = word.send(result.clone());
        }
    }

    /// Records that wait for long while later ones are settled, with copies of them.
    pub(super) fn in_the_way(&self, due_after: Timestamp) -> Vec<(i32, i64, Record)> {
        let mut found = Vec::new();
        for (&number, partition) in &self.partitions {
            for offset in partition.window.in_the_way() {
                let Some(record) = partition.window.held(offset) else { continue };
                if record.not_before.is_some_and(|time| time > due_after) && !partition.leaves {
                    found.push((number, offset, record.clone()));
                }
            }
        }
        found
    }

    /// Settles a record that was written again while it waited.
    pub(super) fn settle_held(&mut self, number: i32, offset: i64) {
        let Some(partition) = self.partitions.get_mut(&number) else { return };
        let Some(record) = partition.window.held(offset) else { return };
        let (bytes, not_before) = (record.body.len(), record.not_before);
        if partition.window.settle_held(offset)
            && let Some(at) = not_before
            && self.held.remove(&Due { at, partition: number, offset })
        {
            self.held_bytes -= bytes;
        }
    }

    /// Notes what the server says instead of giving records.
    pub(super) fn note(&mut self, error: &KafkaError) {
        note(&mut self.refusal, error);
    }

    /// Why the server gives us nothing, as far as a person must change it.
    pub(super) fn refusal(&self) -> Option<BrokerError> {
        self.refusal.clone()
    }
}

fn note(refusal: &mut Option<BrokerError>, error: &KafkaError) {
    if let told @ BrokerError::Refused { .. } = fault::of(error) {
        *refusal = Some(told);
    }
}

/// The numbers of partitions in a list.
pub(super) fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    partitions.elements().iter().map(TopicPartitionListElem::partition).collect()
}

fn next(queue: &PartitionQueue<Member>) -> Option<Result<(i64, Record), KafkaError>> {
    let message = queue.poll(Duration::ZERO)?;
    Some(message.map(|message| (message.offset(), Record::read(&message))))
}

fn deliver(claim: Claim, record: &mut Record) -> Delivery {
    record.deliveries = record.deliveries.saturating_add(1);
    Delivery { receipt: claim.receipt(), body: record.body.clone(), deliveries: record.deliveries }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_names_its_claim_and_nothing_else_does() {
        let check = |claim: Claim, text: &str| {
            assert_eq!(claim.receipt(), Receipt(text.into()));
            assert_eq!(Claim::parse(&claim.receipt()), Some(claim));
        };
        check(Claim { partition: 3, offset: 17, number: 0 }, "3.17.0");
        check(
            Claim { partition: i32::MAX, offset: i64::MAX, number: u64::MAX },
            "2147483647.9223372036854775807.18446744073709551615",
        );
        for text in ["", "no such", "3", "3.17", "3.17.5.1", "3.17.x"] {
            assert_eq!(Claim::parse(&Receipt(text.into())), None, "{text}");
        }
    }
}
