//! What the client tells a member of a group: which partitions come and go.
//!
//! The client calls from within its own poll, where nothing may wait. So what it says is only noted here.

use std::{
    mem::take,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol},
    error::KafkaError,
    topic_partition_list::TopicPartitionList,
    types::RDKafkaRespErr,
};
use tokio::sync::Notify;
use tracing::warn;

use super::{client, fault::Faults};

/// A consumer that is a member.
pub(super) type Consumer = BaseConsumer<Member>;

/// A member of a group, as the client sees it.
#[derive(Debug)]
pub(super) struct Member {
    faults: Faults,
    notes: Mutex<Vec<Note>>,
    /// How often the client has called.
    calls: AtomicU64,
    /// The member is about to leave: nobody reads its notes any more.
    leaves: AtomicBool,
    woken: Arc<Notify>,
}

/// Something that the client said.
#[derive(Debug)]
pub(super) enum Note {
    /// These partitions are to become ours.
    Assigned(TopicPartitionList),
    /// These are to be given up.
    Revoked {
        /// Which.
        partitions: TopicPartitionList,
        /// The group has given them to others already.
        is_lost: bool,
    },
}

impl Member {
    /// One that wakes its owner by `woken` when there is a note to read.
    pub(super) fn new(faults: Faults, woken: Arc<Notify>) -> Self {
        Self {
            faults,
            notes: Mutex::default(),
            calls: AtomicU64::new(0),
            leaves: AtomicBool::new(false),
            woken,
        }
    }

    /// Takes what was noted.
    pub(super) fn notes(&self) -> Vec<Note> {
        take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grows with each call of the client: a poll that gave no message may have served one.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// From now on partitions are given up without asking.
    pub(super) fn leave(&self) {
        self.leaves.store(true, Relaxed);
    }

    fn note(&self, note: Note) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        self.called();
        self.woken.notify_one();
    }

    fn called(&self) {
        self.calls.fetch_add(1, Relaxed);
    }
}

impl ClientContext for Member {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        self.called();
        client::log(facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.called();
        self.faults.tell(&error, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        change: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let is_gain = change == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.leaves.load(Relaxed) {
            self.called();
            give_up(consumer, partitions);
        } else if is_gain {
            self.note(Note::Assigned(partitions.clone()));
        } else {
            let is_lost = consumer.assignment_lost();
            self.note(Note::Revoked { partitions: partitions.clone(), is_lost });
        }
    }
}

/// Takes partitions over.
pub(super) fn take_over(consumer: &Consumer, partitions: &TopicPartitionList) {
    let result = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(partitions),
    };
    if let Err(error) = result {
        warn!(%error, "the Kafka client does not take partitions over");
    }
}

/// Gives partitions up.
pub(super) fn give_up(consumer: &Consumer, partitions: &TopicPartitionList) {
    let result = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    };
    if let Err(error) = result {
        warn!(%error, "the Kafka client does not give partitions up");
    }
}
