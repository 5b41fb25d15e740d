//! The contract, and trouble on the way, with the mock cluster of the client library: its brokers go down
//! and up with all that they have, answer late, and answer with errors.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey as Api, RDKafkaRespErr as Code},
};
use tintal::backend::queue::kafka::{CAPABILITIES, Options};

use super::{
    super::{
        broker::{
            Broker, BrokerError, Capabilities, Delivery, Depth, Health, Message, QueueName, Sent, Settlement,
            Verdict,
        },
        suite::{Lab, fresh_queue, message, send, settle, take},
    },
    CLAIM, ack, client, is_refused, is_unreachable, messages, options, write,
};

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Call = Box<dyn FnOnce(&Cluster) + Send>;

/// Brokers of a cluster.
const BROKERS: i32 = 3;

/// A cluster. It stays on the thread that made it.
struct MockLab {
    calls: mpsc::Sender<Call>,
    servers: String,
}

impl MockLab {
    fn start() -> Self {
        let (calls, queue) = mpsc::channel::<Call>();
        let (started, servers) = mpsc::channel();
        thread::spawn(move || {
            let cluster = MockCluster::new(BROKERS).unwrap();
            started.send(cluster.bootstrap_servers()).unwrap();
            for call in queue {
                call(&cluster);
            }
        });
        Self { calls, servers: servers.recv().unwrap() }
    }

    fn with<T: Send + 'static>(&self, call: impl FnOnce(&Cluster) -> T + Send + 'static) -> T {
        call_on(&self.calls, call)
    }

    fn options(&self) -> Options {
        options(&self.servers)
    }

    fn client_of(&self, options: Options) -> Arc<dyn Broker> {
        Arc::new(Made { inner: client(options), calls: self.calls.clone() })
    }

    fn down(&self) {
        self.with(|cluster| (1..=BROKERS).for_each(|id| cluster.broker_down(id).unwrap()));
    }

    fn up(&self) {
        self.with(|cluster| (1..=BROKERS).for_each(|id| cluster.broker_up(id).unwrap()));
    }

    /// Answers the next requests of a kind so.
    fn answer(&self, key: Api, errors: &'static [Code]) {
        self.with(move |cluster| cluster.request_errors(key, errors));
    }
}

fn call_on<T: Send + 'static>(
    calls: &mpsc::Sender<Call>,
    call: impl FnOnce(&Cluster) -> T + Send + 'static,
) -> T {
    let (answer, answered) = mpsc::channel();
    calls.send(Box::new(move |cluster| answer.send(call(cluster)).unwrap())).unwrap();
    answered.recv().unwrap()
}

impl Lab for MockLab {
    const CAPABILITIES: Capabilities = CAPABILITIES;
    const CLAIM: Duration = CLAIM;

    async fn new() -> Self {
        Self::start()
    }

    async fn client(&self) -> Arc<dyn Broker> {
        self.client_of(self.options())
    }

    async fn crash(&self) -> bool {
        self.down();
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.up();
        true
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        write(&self.servers, queue, body).await;
        true
    }
}

contract!(MockLab);

/// A client whose topics are made by hand: the mock knows nothing of administration.
#[derive(Debug)]
struct Made {
    inner: Arc<dyn Broker>,
    calls: mpsc::Sender<Call>,
}

#[async_trait]
impl Broker for Made {
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        let name = queue.clone();
        // Of two that make it, one is told that it is there.
        let _ = call_on(&self.calls, move |cluster| cluster.create_topic(name.as_str(), 6, 1));
        Ok(())
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        self.inner.send(queue, messages).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        self.inner.receive(queue, max, wait).await
    }

    async fn settle(&self, queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        self.inner.settle(queue, settlements).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        self.inner.depth(queue).await
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        self.inner.health().await
    }
}

/// Longest time for a call that gets no answer.
const SILENCE_MAX: Duration = Duration::from_secs(25);

/// A cluster, a client of it and a queue.
async fn setup() -> (MockLab, Arc<dyn Broker>, QueueName) {
    let (lab, queue) = (MockLab::start(), fresh_queue());
    let broker = lab.client().await;
    broker.ensure(&queue).await.unwrap();
    (lab, broker, queue)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_broker_is_there_calls_end_and_afterwards_they_work() {
    let (lab, broker, queue) = setup().await;
    send(&*broker, &queue, &messages(3)).await;
    let taken = take(&*broker, &queue, 1).await;
    lab.down();
    let start = Instant::now();
    let one = messages(1);
    let (sent, depth, health) =
        tokio::join!(broker.send(&queue, &one), broker.depth(&queue), broker.health());
    assert!(is_unreachable(sent[0].as_ref()), "{sent:?}");
    assert!(is_unreachable(depth.as_ref()), "{depth:?}");
    assert!(is_unreachable(health.as_ref()), "{health:?}");
    assert!(start.elapsed() < SILENCE_MAX, "{:?}", start.elapsed());
    // What was taken before the trouble comes first.
    while broker.receive(&queue, 10, Duration::from_millis(100)).await.is_ok_and(|came| !came.is_empty()) {}
    let nothing = broker.receive(&queue, 10, Duration::from_secs(1)).await;
    assert!(is_unreachable(nothing.as_ref()), "{nothing:?}");
    lab.up();
    let start = Instant::now();
    while broker.health().await.is_err() {
        assert!(start.elapsed() < SILENCE_MAX, "{:?}", start.elapsed());
    }
    send(&*broker, &queue, &messages(1)).await;
    take(&*broker, &queue, 1).await;
    assert!(matches!(
        settle(&*broker, &queue, &taken, Verdict::Ack).await[0],
        Ok(()) | Err(BrokerError::ClaimOver)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_a_few_round_trips() {
    let (lab, broker, queue) = setup().await;
    send(&*broker, &queue, &messages(500)).await;
    let taken = take(&*broker, &queue, 500).await;
    let far = Duration::from_millis(100);
    lab.with(move |cluster| (1..=BROKERS).for_each(|id| cluster.broker_round_trip_time(id, far).unwrap()));
    let start = Instant::now();
    ack(&*broker, &queue, &taken).await;
    assert!(start.elapsed() < far * 6, "{:?}", start.elapsed());
    let start = Instant::now();
    send(&*broker, &queue, &messages(500)).await;
    assert!(start.elapsed() < far * 12, "{:?}", start.elapsed());
    take(&*broker, &queue, 500).await;
    assert!(start.elapsed() < far * 30, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_large_together_are_sent_one_by_one() {
    let (lab, broker, queue) = setup().await;
    lab.answer(Api::Produce, &[Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    send(&*broker, &queue, &messages(20)).await;
    let taken = take(&*broker, &queue, 20).await;
    ack(&*broker, &queue, &taken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_client_holds_waits_and_is_sent() {
    let (_lab, broker, queue) = setup().await;
    let body = Bytes::from(vec![b'x'; CAPABILITIES.body_max]);
    let large = |message: Message| Message { body: body.clone(), ..message };
    let sent: Vec<Message> = messages(100).into_iter().map(large).collect();
    send(&*broker, &queue, &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_is_told_so() {
    let (lab, broker, queue) = setup().await;
    lab.answer(Api::Produce, &[Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let sent = broker.send(&queue, &messages(1)).await;
    assert!(is_refused(sent[0].as_ref(), "the user needs"), "{sent:?}");
    send(&*broker, &queue, &messages(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_join_the_group_is_told_so() {
    let (lab, broker, queue) = setup().await;
    lab.answer(Api::FindCoordinator, &[Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 3]);
    let nothing = broker.receive(&queue, 1, Duration::from_secs(1)).await;
    assert!(is_refused(nothing.as_ref(), "Read on the group"), "{nothing:?}");
    // As soon as that is mended, it works.
    send(&*broker, &queue, &messages(1)).await;
    let start = Instant::now();
    while broker.receive(&queue, 1, Duration::from_secs(1)).await.is_ok_and(|came| came.is_empty()) {
        assert!(start.elapsed() < SILENCE_MAX);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_told() {
    let (lab, queue) = (MockLab::start(), fresh_queue());
    let broker = lab.client().await;
    let sent = broker.send(&queue, &messages(1)).await;
    assert!(is_refused(sent[0].as_ref(), "created first"), "{sent:?}");
    let start = Instant::now();
    while !is_refused(broker.receive(&queue, 1, Duration::from_secs(1)).await.as_ref(), "created first") {
        assert!(start.elapsed() < SILENCE_MAX);
    }
    broker.ensure(&queue).await.unwrap();
    send(&*broker, &queue, &messages(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_is_tried_again() {
    let (lab, broker, queue) = setup().await;
    send(&*broker, &queue, &messages(4)).await;
    let taken = take(&*broker, &queue, 4).await;
    lab.answer(
        Api::OffsetCommit,
        &[
            Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
            Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
            Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        ],
    );
    ack(&*broker, &queue, &taken).await;
    assert_eq!(broker.depth(&queue).await.unwrap().ready, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_allowed_is_told() {
    let (lab, broker, queue) = setup().await;
    send(&*broker, &queue, &messages(1)).await;
    let taken = take(&*broker, &queue, 1).await;
    lab.answer(Api::OffsetCommit, &[Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED]);
    let settled = settle(&*broker, &queue, &taken, Verdict::Ack).await;
    assert!(is_refused(settled[0].as_ref(), "Read on the group"), "{settled:?}");
    ack(&*broker, &queue, &taken).await;
    assert_eq!(broker.depth(&queue).await.unwrap().ready, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_again_stays_claimed() {
    let (lab, broker, queue) = setup().await;
    send(&*broker, &queue, &messages(1)).await;
    let taken = take(&*broker, &queue, 1).await;
    lab.answer(Api::Produce, &[Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let again = Verdict::Retry { after: Duration::ZERO };
    let settled = settle(&*broker, &queue, &taken, again).await;
    assert!(is_refused(settled[0].as_ref(), "the user needs"), "{settled:?}");
    assert_eq!(settle(&*broker, &queue, &taken, Verdict::Extend).await, [Ok(())]);
    assert_eq!(settle(&*broker, &queue, &taken, again).await, [Ok(())]);
    assert_eq!(take(&*broker, &queue, 1).await[0].deliveries, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_can_send_no_more_is_replaced() {
    let (lab, broker, queue) = setup().await;
    lab.answer(Api::InitProducerId, &[Code::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED]);
    let sent = broker.send(&queue, &messages(1)).await;
    assert!(is_refused(sent[0].as_ref(), "IdempotentWrite"), "{sent:?}");
    send(&*broker, &queue, &[message("1")]).await;
}
