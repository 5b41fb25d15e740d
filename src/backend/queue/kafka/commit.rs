//! Commits what is settled, and leaves the group in the end.

use std::{
    mem::take,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use rdkafka::{
    consumer::{CommitMode, Consumer as _},
    error::{KafkaResult, RDKafkaErrorCode as Code},
    topic_partition_list::{Offset, TopicPartitionList},
};
use tokio::sync::Notify;

use super::{
    super::broker::BrokerError,
    fault,
    member::Consumer,
    membership::{State, lock},
};

/// Until a commit that failed is tried again.
const COMMIT_AGAIN: Duration = Duration::from_millis(200);

/// A thread that commits, since a commit blocks until it is answered. It is the last to have the consumer,
/// since to leave a group blocks, too.
pub(super) struct Committer {
    /// The member of the group.
    pub(super) consumer: Arc<Consumer>,
    /// Whose offsets are committed.
    pub(super) topic: String,
    /// What is settled, and who waits until that is committed.
    pub(super) state: Arc<Mutex<State>>,
    /// Who waits until everything is.
    pub(super) woken: Arc<Notify>,
    /// Given back when the group is left.
    pub(super) presence: tokio::sync::mpsc::Sender<()>,
}

impl Committer {
    /// Starts it; it looks whenever it is asked to.
    pub(super) fn start(self) -> Result<mpsc::SyncSender<()>, BrokerError> {
        let (ask, asked) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("kafka-commit".to_owned());
        thread.spawn(move || self.run(&asked)).map_err(|error| fault::none(error.to_string()))?;
        Ok(ask)
    }

    /// Commits when it is asked to, until nobody is left to ask. Then it leaves the group: others need not
    /// wait for the claim time.
    fn run(self, asked: &mpsc::Receiver<()>) {
        while asked.recv().is_ok() {
            while let Some(Err(_)) = self.commit() {
                if let Err(mpsc::RecvTimeoutError::Disconnected) = asked.recv_timeout(COMMIT_AGAIN) {
                    break;
                }
            }
        }
        self.commit();
        let Self { consumer, state, presence, .. } = self;
        // The queues of its partitions have the consumer, too.
        let state = take(&mut *lock(&state));
        drop(state);
        drop(consumer);
        drop(presence);
    }

    /// Commits what is settled; none when nothing is.
    fn commit(&self) -> Option<Result<(), BrokerError>> {
        let positions = lock(&self.state).share.to_commit();
        if positions.is_empty() {
            return None;
        }
        let result = self.commit_to(&positions);
        let is_expelled = result.as_ref().err().is_some_and(|error| {
            matches!(error.rdkafka_error_code(), Some(Code::UnknownMemberId | Code::FencedInstanceId))
        });
        let result = result.map_err(|error| fault::of(&error));
        let mut state = lock(&self.state);
        for (number, position) in positions {
            state.share.note_commit(number, position, &result);
        }
        state.is_expelled = is_expelled;
        let is_awaited = state.handover.is_some();
        drop(state);
        if is_awaited {
            self.woken.notify_one();
        }
        Some(result)
    }

    fn commit_to(&self, positions: &[(i32, i64)]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (number, position) in positions {
            list.add_partition_offset(&self.topic, *number, Offset::Offset(*position))?;
        }
        self.consumer.commit(&list, CommitMode::Sync)
    }
}
