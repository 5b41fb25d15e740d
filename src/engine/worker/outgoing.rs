//! What a worker says, and the settling of the messages that it is about.
//!
//! In this order: the worker's own memory, the report, the acknowledgement. So a worker that is killed
//! between two of them says a thing twice, or is asked twice, and runs nothing twice.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    claims::{Claims, UnderWay},
    counts::Counts,
};
use crate::{
    backend::queue::{
        broker::{BrokerError, Message, QueueName, Receipt, Settlement, Verdict},
        outbox::Connection,
        report::{self, AttemptId, Report, Reports},
        signature::Keyring,
    },
    ledger::Ledger,
};

/// What is said and settled together, at most.
const BATCH: usize = 500;

/// Bytes of reports that go into one message, at most; less where a queue system takes less.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;

/// How long more is waited for once something is to be said.
const GATHER: Duration = Duration::from_millis(10);

/// Time between two tries when a queue system does not take it.
const AGAIN: Duration = Duration::from_secs(1);

/// Something to be said, or settled.
#[derive(Debug)]
pub enum Word {
    /// A message was picked up, or its attempt runs. Not said if the attempt is over by the time.
    Note {
        /// Where to.
        to: Arc<str>,
        /// Which attempt.
        attempt: AttemptId,
        /// What.
        report: Report,
    },
    /// A message is done with.
    Done {
        /// Its claim.
        receipt: Receipt,
        /// The attempt that was under way for it.
        attempt: Option<AttemptId>,
        /// What is said before it is settled, and where; none: nothing.
        said: Option<(Arc<str>, Report)>,
        /// What becomes of it.
        verdict: Verdict,
    },
}

/// The task that says and settles, for one queue.
pub struct Outgoing {
    /// Where to.
    pub connection: Connection,
    /// The queue whose messages are settled.
    pub queue: QueueName,
    /// The worker's name.
    pub worker: Arc<str>,
    /// What signs.
    pub keys: Arc<Keyring>,
    /// The worker's memory.
    pub memory: Ledger,
    /// The claims that are settled.
    pub claims: Arc<Claims>,
    /// The attempts whose end is told.
    pub under_way: Arc<UnderWay>,
    /// What is counted.
    pub counts: Arc<Counts>,
}

/// A message with what is to be said of it.
struct Finished {
    receipt: Receipt,
    attempt: Option<AttemptId>,
    said: Option<(Arc<str>, Report)>,
    verdict: Verdict,
}

impl Outgoing {
    /// Says and settles until nobody has anything more to say.
    pub async fn run(self, mut words: mpsc::UnboundedReceiver<Word>) {
        let mut notes = BTreeMap::new();
        while let Some(first) = words.recv().await {
            let mut finished = Vec::new();
            take(first, &mut notes, &mut finished);
            let until = Instant::now() + GATHER;
            while finished.len() < BATCH {
                let rest = until.saturating_duration_since(Instant::now());
                match timeout(rest, words.recv()).await {
                    Ok(Some(word)) => take(word, &mut notes, &mut finished),
                    Ok(None) | Err(_) => break,
                }
            }
            self.flush(std::mem::take(&mut notes), finished).await;
        }
    }

    async fn flush(&self, notes: BTreeMap<AttemptId, (Arc<str>, Report)>, finished: Vec<Finished>) {
        self.remember(&finished).await;
        let notes = notes.into_values();
        let ends = finished.iter().filter_map(|one| one.said.clone());
        self.say(notes.chain(ends).collect()).await;
        if finished.is_empty() {
            return;
        }
        self.under_way.leave(finished.iter().filter_map(|one| one.attempt));
        let settlements: Vec<Settlement> = finished
            .into_iter()
            .map(|Finished { receipt, verdict, .. }| Settlement { receipt, verdict })
            .collect();
        let results = self.connection.broker.settle(&self.queue, &settlements).await;
        for (settlement, result) in settlements.into_iter().zip(results) {
            self.claims.remove(&settlement.receipt);
            match result {
                Ok(()) => {}
                Err(BrokerError::ClaimOver) => self.counts.claims_lost.add(),
                // It comes again, and is known then.
                Err(error) => {
                    self.counts.errors.add();
                    debug!(queue = %self.queue, %error, "a message could not be settled");
                }
            }
        }
    }

    /// Keeps what came of attempts, so that the next message of one is answered and not run.
    async fn remember(&self, finished: &[Finished]) {
        let ends: Vec<_> = finished
            .iter()
            .filter_map(|one| match one.said.as_ref() {
                Some((_, report @ Report::Done(done))) => {
                    let bytes = serde_json::to_vec(report).ok()?;
                    Some((done.attempt.run_id, done.attempt.n, bytes, done.ended_at))
                }
                _ => None,
            })
            .collect();
        if ends.is_empty() {
            return;
        }
        if let Err(error) = self.memory.handled_end(ends).await {
            // The queue system's own memory of the acknowledgement is left.
            warn!(error = &error as &dyn std::error::Error, "the worker cannot remember what it ran");
        }
    }

    /// Sends reports, until they are sent: a message is not settled before.
    async fn say(&self, reports: Vec<(Arc<str>, Report)>) {
        let mut by_queue: BTreeMap<Arc<str>, Vec<Report>> = BTreeMap::new();
        for (to, report) in reports {
            by_queue.entry(to).or_default().push(report);
        }
        for (to, reports) in by_queue {
            let Some(queue) = QueueName::parse(&to) else {
                warn!(queue = %to, "an outcome is to go to what is no queue; it is not sent");
                continue;
            };
            let messages = self.messages(reports);
            self.send(&queue, messages).await;
        }
    }

    fn messages(&self, reports: Vec<Report>) -> Vec<Message> {
        let most = MESSAGE_BYTES_MAX.min(self.connection.capabilities.body_max / 2);
        let mut messages = Vec::new();
        let mut batch = Vec::new();
        let mut weight = 0;
        for report in reports {
            if weight + report.weight() > most && !batch.is_empty() {
                messages.push(self.message(std::mem::take(&mut batch)));
                weight = 0;
            }
            weight += report.weight();
            batch.push(report);
        }
        if !batch.is_empty() {
            messages.push(self.message(batch));
        }
        messages
    }

    fn message(&self, reports: Vec<Report>) -> Message {
        let reports = Reports { v: report::VERSION, worker: self.worker.to_string(), reports };
        let body = Bytes::from(reports.sign(&self.keys));
        Message { id: Uuid::now_v7().to_string(), body, not_before: None, key: None }
    }

    async fn send(&self, queue: &QueueName, mut messages: Vec<Message>) {
        let mut told = false;
        let mut is_ensured = false;
        while !messages.is_empty() {
            let results = self.connection.broker.send(queue, &messages).await;
            let mut left = Vec::new();
            let mut failure = None;
            for (message, result) in messages.into_iter().zip(results) {
                if let Err(error) = result {
                    failure = Some(error);
                    left.push(message);
                }
            }
            messages = left;
            let Some(error) = failure else { return };
            // The daemon makes it; it may be gone with what it held.
            if !is_ensured {
                is_ensured = self.connection.broker.ensure(queue).await.is_ok();
                continue;
            }
            is_ensured = false;
            self.counts.errors.add();
            if !std::mem::replace(&mut told, true) {
                warn!(backend = %self.connection.name, %queue, %error, "outcomes cannot be sent yet");
            }
            sleep(AGAIN).await;
        }
    }
}

/// Takes in a word. Of an attempt only the newest is said.
fn take(word: Word, notes: &mut BTreeMap<AttemptId, (Arc<str>, Report)>, finished: &mut Vec<Finished>) {
    match word {
        Word::Note { to, attempt, report } => drop(notes.insert(attempt, (to, report))),
        Word::Done { receipt, attempt, said, verdict } => {
            if let Some((_, Report::Done(done))) = &said {
                notes.remove(&done.attempt);
            }
            finished.push(Finished { receipt, attempt, said, verdict });
        }
    }
}
