//! Sends records, and waits until every broker that must have them does.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    time::Duration,
};

use jiff::Timestamp;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::OwnedHeaders,
    producer::{
        BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext, PurgeConfig,
        ThreadedProducer,
    },
};
use tokio::{sync::Notify, time::timeout};
use tracing::{debug, warn};

use super::{
    super::broker::{BrokerError, Effect, Message},
    Options,
    client::{self, ANSWER_MAX, Parting, SEND_MAX},
    fault::{self, Faults},
    record::{self, Record},
};

/// Longest time beyond [`SEND_MAX`] until the client has said so of each message.
const REPORT_MAX: Duration = Duration::from_secs(5);

/// The one producer, for all queues.
pub(super) struct Outbox {
    options: Arc<Options>,
    faults: Faults,
    producer: Mutex<Option<Producer>>,
}

/// A producer that ends when nobody uses it any more.
pub(super) type Producer = Arc<Parting<ThreadedProducer<Courier>>>;

/// A record that is to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outgoing<'a> {
    /// For the first time.
    First(&'a Message),
    /// Again, not to be handed out before a time, if one is given.
    Again(&'a Record, Option<Timestamp>),
}

impl<'a> Outgoing<'a> {
    fn body(&self) -> &'a [u8] {
        match self {
            Self::First(message) => &message.body,
            Self::Again(record, _) => &record.body,
        }
    }

    /// By which its partition is chosen.
    fn key(&self) -> Option<&'a [u8]> {
        match self {
            Self::First(message) => message.key.as_deref().map(str::as_bytes),
            Self::Again(record, _) => record.key.as_deref(),
        }
    }

    fn headers(&self) -> OwnedHeaders {
        match self {
            Self::First(message) => record::headers(message),
            Self::Again(record, not_before) => record.again(*not_before),
        }
    }
}

impl Outbox {
    /// Connects when it is first used.
    pub(super) fn new(options: Arc<Options>) -> Self {
        Self { options, faults: Faults::new(), producer: Mutex::default() }
    }

    /// What its client reports.
    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Its client.
    pub(super) fn producer(&self) -> Result<Producer, BrokerError> {
        let mut slot = self.slot();
        if let Some(producer) = &*slot {
            return Ok(Arc::clone(producer));
        }
        let courier = Courier { faults: self.faults.clone() };
        let producer = client::producer(&self.options).create_with_context(courier);
        let producer = Arc::new(Parting::new(producer.map_err(|error| fault::of(&error))?));
        *slot = Some(Arc::clone(&producer));
        Ok(producer)
    }

    /// Sends records; gives what became of each, in their order.
    pub(super) async fn send(&self, topic: &str, outgoing: &[Outgoing<'_>]) -> Vec<Result<(), BrokerError>> {
        let mut results = self.send_together(topic, outgoing).await;
        // By a new producer, what the old one could not.
        let (places, again): (Vec<_>, Vec<_>) = results
            .iter_mut()
            .zip(outgoing)
            .filter(|(result, _)| is(result.as_ref(), &BROKEN))
            .map(|(result, one)| (result, *one))
            .unzip();
        for (place, result) in places.into_iter().zip(self.send_together(topic, &again).await) {
            *place = result;
        }
        // Records travel in batches, and a batch that is too large for the topic is refused as a whole.
        for (result, one) in results.iter_mut().zip(outgoing) {
            if outgoing.len() > 1 && is(result.as_ref(), &TOO_LARGE) {
                *result = self.send_together(topic, &[*one]).await.remove(0);
            }
        }
        results.into_iter().map(|result| result.map_err(|error| self.said(&error))).collect()
    }

    async fn send_together(&self, topic: &str, outgoing: &[Outgoing<'_>]) -> Vec<Result<(), Failure>> {
        if outgoing.is_empty() {
            return Vec::new();
        }
        let producer = match self.producer() {
            Ok(producer) => producer,
            Err(error) => return vec![Err(Failure::Told(error)); outgoing.len()],
        };
        let batch = Arc::new(Batch::new(outgoing.len()));
        for (index, one) in outgoing.iter().enumerate() {
            self.put(&producer, &batch, topic, index, *one).await;
        }
        self.wait(&producer, &batch).await;
        let results = batch.results();
        if producer.client().fatal_error().is_some()
            || results.iter().any(|result| is(result.as_ref(), &BROKEN))
        {
            warn!(topic, "the Kafka producer is replaced: the server knows its number no more");
            self.slot().take_if(|current| Arc::ptr_eq(current, &producer));
        }
        if results.iter().any(|result| is(result.as_ref(), &[Code::TopicAuthorizationFailed])) {
            self.look_again(&producer, topic).await;
        }
        results
    }

    /// Asks for a topic anew. The client remembers for minutes that it may not be written to, and would not
    /// see that this has changed.
    async fn look_again(&self, producer: &Producer, topic: &str) {
        let (producer, topic) = (Arc::clone(producer), topic.to_owned());
        let look = move || producer.client().fetch_metadata(Some(&topic), ANSWER_MAX).map(drop);
        if let Err(error) = client::ask(&self.faults, look).await {
            debug!(%error, "no news of the topic");
        }
    }

    /// Hands a record to the client. While the client is full, waits for what it has of this batch.
    async fn put(
        &self,
        producer: &Producer,
        batch: &Arc<Batch>,
        topic: &str,
        index: usize,
        outgoing: Outgoing<'_>,
    ) {
        let slip = Box::new(Slip { batch: Arc::clone(batch), index });
        let mut record =
            BaseRecord::with_opaque_to(topic, slip).payload(outgoing.body()).headers(outgoing.headers());
        record.key = outgoing.key();
        loop {
            let was_last = batch.add();
            let Err((error, back)) = producer.send(record) else { return };
            let is_full = error.rdkafka_error_code() == Some(Code::QueueFull);
            if !is_full || was_last {
                return batch.end(index, Err(error));
            }
            record = back;
            batch.take_back();
            self.wait(producer, batch).await;
        }
    }

    /// Waits until the client has said what became of all that it has of a batch.
    async fn wait(&self, producer: &Producer, batch: &Batch) {
        let mut reports = self.faults.watch();
        let all = async {
            loop {
                tokio::select! {
                    () = batch.wait() => return,
                    // Else it would be sent later, though it is said to be refused.
                    _ = reports.refusal() => producer.purge(PurgeConfig::default().queue().non_blocking()),
                }
            }
        };
        if timeout(SEND_MAX + REPORT_MAX, all).await.is_err() {
            warn!("the Kafka client has not said in time what became of messages");
        }
    }

    /// What an error is to the caller.
    fn said(&self, failure: &Failure) -> BrokerError {
        let error = match failure {
            Failure::Told(error) => return error.clone(),
            Failure::Unheard => return fault::unreachable("the client did not say what became of it"),
            Failure::Client(error) => error,
        };
        let last = self.faults.last();
        match (error.rdkafka_error_code(), last) {
            (Some(Code::PurgeQueue), Some(refusal @ BrokerError::Refused { .. })) => refusal,
            (Some(Code::MessageTimedOut), Some(BrokerError::Unreachable { reason, .. })) => {
                BrokerError::Unreachable { effect: Effect::Unknown, reason }
            }
            _ => fault::of(error),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Producer>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Codes for a record that was not taken since the server knows another, or nothing, of its producer.
const BROKEN: [Code; 6] = [
    Code::Fatal,
    Code::InvalidProducerEpoch,
    Code::InvalidProducerIdMapping,
    Code::OutOfOrderSequenceNumber,
    Code::ProducerFenced,
    Code::UnknownProducerId,
];

/// Codes for a batch, or a record, that is too large.
const TOO_LARGE: [Code; 3] =
    [Code::MessageSizeTooLarge, Code::MessageBatchTooLarge, Code::InvalidMessageSize];

/// Whether the client said one of these of a record.
fn is(result: Result<&(), &Failure>, codes: &[Code]) -> bool {
    let Err(Failure::Client(error)) = result else { return false };
    error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

/// Why a record was not sent.
#[derive(Debug, Clone)]
enum Failure {
    /// There is no client.
    Told(BrokerError),
    /// The client said so.
    Client(KafkaError),
    /// The client said nothing.
    Unheard,
}

/// Records that one call sends.
#[derive(Debug)]
struct Batch {
    /// How many the client has.
    left: AtomicUsize,
    /// Of which the client has said what became.
    heard: Box<[AtomicBool]>,
    failures: Mutex<Vec<(usize, KafkaError)>>,
    done: Notify,
}

impl Batch {
    fn new(count: usize) -> Self {
        let heard = (0..count).map(|_| AtomicBool::new(false)).collect();
        Self { left: AtomicUsize::new(0), heard, failures: Mutex::default(), done: Notify::new() }
    }

    /// Notes that the client is to get one more; whether it has no other.
    fn add(&self) -> bool {
        self.left.fetch_add(1, AcqRel) == 0
    }

    /// Notes that the client did not take one.
    fn take_back(&self) {
        self.left.fetch_sub(1, AcqRel);
    }

    fn end(&self, index: usize, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).push((index, error));
        }
        if let Some(heard) = self.heard.get(index) {
            heard.store(true, Release);
        }
        if self.left.fetch_sub(1, AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    /// Waits until the client has none.
    async fn wait(&self) {
        while self.left.load(Acquire) > 0 {
            self.done.notified().await;
        }
    }

    fn results(&self) -> Vec<Result<(), Failure>> {
        let heard = self.heard.iter().map(|heard| heard.load(Acquire));
        let mut results: Vec<_> =
            heard.map(|is_heard| if is_heard { Ok(()) } else { Err(Failure::Unheard) }).collect();
        for (index, error) in self.failures.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Some(result) = results.get_mut(index) {
                *result = Err(Failure::Client(error));
            }
        }
        results
    }
}

/// Goes with a record and comes back with what became of it.
#[derive(Debug)]
pub(super) struct Slip {
    batch: Arc<Batch>,
    index: usize,
}

/// Brings slips back.
#[derive(Debug)]
pub(super) struct Courier {
    faults: Faults,
}

impl ClientContext for Courier {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        client::log(facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.faults.tell(&error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Courier {
    type DeliveryOpaque = Box<Slip>;

    fn delivery(&self, result: &DeliveryResult<'_>, slip: Self::DeliveryOpaque) {
        let result = result.as_ref().map(drop).map_err(|(error, _)| error.clone());
        slip.batch.end(slip.index, result);
    }
}
