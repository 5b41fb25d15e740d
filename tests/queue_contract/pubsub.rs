//! Pub/Sub, by Google's own emulator: what every queue system must do, and what only this one has.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tintal::backend::queue::{
    google::credentials::Credentials,
    pubsub::{CAPABILITIES, CAPABILITIES_ORDERED, Options, PubsubBroker},
};

use super::{
    broker::{Broker, BrokerError, Capabilities, Effect, Message, QueueName, Sent, Verdict},
    server::{Server, program},
    suite::{Lab, fresh_queue, message, nothing, send, settle, take},
};

/// Where Google's package puts it.
const JAR: &str =
    "/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar";

const PROJECT: &str = "tintal-test";

/// A subscription that keeps no order.
pub struct PubsubLab {
    server: Arc<Server>,
}

/// The emulator that the tests of a process share: one takes two seconds of a processor to start.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Lab for PubsubLab {
    const CAPABILITIES: Capabilities = CAPABILITIES;
    const CLAIM: Duration = Duration::from_secs(10);

    async fn new() -> Self {
        let server = tokio::task::spawn_blocking(|| {
            // A test that failed while it started one is told by itself.
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let server = Arc::new(start());
                *shared = Arc::downgrade(&server);
                server
            })
        });
        Self { server: server.await.unwrap() }
    }

    async fn client(&self) -> Arc<dyn Broker> {
        Arc::new(self.broker(|_| ()))
    }

    /// The emulator keeps nothing.
    async fn crash(&self) -> bool {
        false
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        let data = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, body);
        let body = json!({ "messages": [{ "data": data }] });
        let path = format!("topics/{queue}:publish");
        assert_eq!(self.ask("POST", &path, &body).await.0, 200);
        true
    }
}

/// A subscription that keeps messages of one key in order.
pub struct OrderedPubsubLab(PubsubLab);

impl Lab for OrderedPubsubLab {
    const CAPABILITIES: Capabilities = CAPABILITIES_ORDERED;
    const CLAIM: Duration = PubsubLab::CLAIM;

    async fn new() -> Self {
        Self(PubsubLab::new().await)
    }

    async fn client(&self) -> Arc<dyn Broker> {
        Arc::new(self.0.broker(|options| options.is_ordered = true))
    }

    async fn crash(&self) -> bool {
        self.0.crash().await
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        self.0.foreign(queue, body).await
    }
}

fn start() -> Server {
    Server::start(|_, port| command(port), is_ready)
}

fn command(port: u16) -> Command {
    let mut command = Command::new(program("TEST_PUBSUB_JAVA", "java"));
    // It starts in half the time without its last optimisations.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx512m", "-jar"]);
    command.arg(program("TEST_PUBSUB_JAR", JAR)).arg("--host=127.0.0.1").arg(format!("--port={port}"));
    command
}

/// Whether the emulator answers. Its first answer takes it long, so that is waited for here.
fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut answer = [0; 64];
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request = format!("GET /v1/projects/{PROJECT}/topics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let asked = stream.write_all(request.as_bytes());
    asked.is_ok() && stream.read(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

impl PubsubLab {
    /// A server that no other test has.
    async fn alone() -> Self {
        let server = tokio::task::spawn_blocking(|| Arc::new(start()));
        Self { server: server.await.unwrap() }
    }

    fn options(&self) -> Options {
        Options {
            project: PROJECT.to_owned(),
            endpoint: format!("http://127.0.0.1:{}", self.server.port),
            credentials: Credentials::Anonymous,
            claim: Self::CLAIM,
            is_ordered: false,
        }
    }

    fn broker(&self, change: impl FnOnce(&mut Options)) -> PubsubBroker {
        let mut options = self.options();
        change(&mut options);
        PubsubBroker::new(options, Timestamp::now).unwrap()
    }

    /// Asks the emulator, as another program would.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/v1/projects/{PROJECT}/{path}", self.options().endpoint);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method.parse().unwrap(), url);
        let request = if method == "GET" { request } else { request.json(body) };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Makes a topic and a subscription of another program.
    async fn made(&self, queue: &QueueName, more: Value) {
        let topic = format!("projects/{PROJECT}/topics/{queue}");
        assert_eq!(self.ask("PUT", &format!("topics/{queue}"), &json!({})).await.0, 200);
        let mut body = json!({ "topic": topic, "ackDeadlineSeconds": 10 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.ask("PUT", &format!("subscriptions/{queue}"), &body).await;
        assert_eq!(made.0, 200, "{made:?}");
    }

    /// Has the server hang, until [`Self::go_on`].
    fn hang(&self) {
        let pid = self.server.pid();
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::STOP).unwrap();
        // The signal is on its way: a thread that still runs could answer.
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let stats: Vec<_> = tasks.map(|task| task.unwrap().path().join("stat")).collect();
        let runs = |stat: &PathBuf| std::fs::read_to_string(stat).is_ok_and(|stat| !stat.contains(") T "));
        while stats.iter().any(runs) {
            std::thread::yield_now();
        }
    }

    /// Has the server go on.
    fn go_on(&self) {
        kill_process(Pid::from_raw(self.server.pid().cast_signed()).unwrap(), Signal::CONT).unwrap();
    }

    fn restart(&self) {
        self.server.kill();
        tokio::task::block_in_place(|| self.server.run());
    }
}

// `how_many_there_are_is_told` cannot hold: Pub/Sub does not tell.
contract!(@cases PubsubLab:
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
worker_contract!(PubsubLab);

mod ordered {
    use super::OrderedPubsubLab;

    // The emulator takes messages without a key for ones of one key when one is to come again, and gives
    // those that were acknowledged after it again; so `what_is_to_be_tried_again…` is run without order.
    contract!(@cases OrderedPubsubLab:
        what_is_sent_comes_once_and_is_gone_when_acknowledged,
        order_is_kept_where_it_is_promised,
        a_claim_lasts_while_it_is_extended,
        what_a_dead_worker_held_is_taken_over,
        a_queue_may_be_made_again_and_by_many_at_once,
    );
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: &Result<T, BrokerError>, words: &str) {
    match result {
        Err(BrokerError::Refused { reason }) => assert!(reason.contains(words), "{reason}"),
        other => panic!("{other:?} is not a refusal that says `{words}`"),
    }
}

fn keyed(key: &str, ids: impl Iterator<Item = u32>) -> Vec<Message> {
    let of = |id| Message { key: Some(key.to_owned()), ..message(&format!("{key}-{id:05}")) };
    ids.map(of).collect()
}

fn ids(deliveries: &[super::broker::Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.body.to_vec()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_of_another_kind_is_refused_and_left() {
    let lab = PubsubLab::new().await;
    let (plain, ordered) = (lab.broker(|_| ()), lab.broker(|options| options.is_ordered = true));
    let cases = [
        (json!({ "pushConfig": { "pushEndpoint": "https://example.com/push" } }), "pushes its messages"),
        (json!({ "filter": "attributes.kind = \"x\"" }), "drops messages"),
    ];
    for (more, words) in cases {
        let queue = fresh_queue();
        lab.made(&queue, more).await;
        let before = lab.ask("GET", &format!("subscriptions/{queue}"), &Value::Null).await;
        assert_refused(&plain.ensure(&queue).await, words);
        assert_eq!(lab.ask("GET", &format!("subscriptions/{queue}"), &Value::Null).await, before);
    }
    let queue = fresh_queue();
    lab.made(&queue, json!({})).await;
    assert_eq!(plain.ensure(&queue).await, Ok(()));
    assert_refused(&ordered.ensure(&queue).await, "does not keep messages in order");
    // Its topic is gone, and one of the same name is another.
    assert_eq!(lab.ask("DELETE", &format!("topics/{queue}"), &json!({})).await.0, 200);
    assert_refused(&plain.ensure(&queue).await, "belongs to the topic `_deleted-topic_`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_with_another_claim_is_changed() {
    let lab = PubsubLab::new().await;
    let queue = fresh_queue();
    lab.broker(|_| ()).ensure(&queue).await.unwrap();
    let longer = lab.broker(|options| options.claim = Duration::from_secs(75));
    longer.ensure(&queue).await.unwrap();
    let found = lab.ask("GET", &format!("subscriptions/{queue}"), &Value::Null).await.1;
    assert_eq!(found["ackDeadlineSeconds"], 75);
    assert_eq!(found["expirationPolicy"], json!({}));
    assert_eq!(found["messageRetentionDuration"], "604800s");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_body_comes_through_and_a_key_may_not_be_longer_than_pubsub_allows() {
    let lab = PubsubLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    let largest = Message { body: Bytes::from(vec![0xff; CAPABILITIES.body_max]), ..message("largest") };
    // Two of them are two requests.
    send(&broker, &queue, &[largest.clone(), largest]).await;
    let taken = take(&broker, &queue, 2).await;
    assert!(taken.iter().all(|delivery| delivery.body.len() == CAPABILITIES.body_max));
    let long = Message { key: Some("k".repeat(1_025)), ..message("long") };
    let results = broker.send(&queue, &[long, message("short")]).await;
    assert_refused(&results[0], "key");
    assert_eq!(results[1], Ok(Sent::New));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_may_be_larger_than_a_request() {
    let lab = PubsubLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    let sent: Vec<Message> = (0..2_500).map(|id| message(&format!("m-{id:05}"))).collect();
    send(&broker, &queue, &sent).await;
    let taken = take(&broker, &queue, 2_500).await;
    let acked = settle(&broker, &queue, &taken, Verdict::Ack).await;
    assert!(acked.iter().all(Result::is_ok));
    let mut came = ids(&taken);
    came.sort();
    assert_eq!(came, sent.iter().map(|message| message.id.clone()).collect::<Vec<_>>());
    nothing(&broker, &queue, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_keep_their_order_in_one_batch_and_do_not_wait_for_each_other() {
    let lab = PubsubLab::new().await;
    let (broker, queue) = (lab.broker(|options| options.is_ordered = true), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    let (one, two) = (keyed("one", 0..40), keyed("two", 0..40));
    let mixed: Vec<Message> =
        one.iter().zip(&two).flat_map(|(one, two)| [one.clone(), two.clone()]).collect();
    send(&broker, &queue, &mixed).await;
    let (mut came, mut deadline) = (Vec::new(), 200);
    while came.len() < mixed.len() && deadline > 0 {
        let taken = take(&broker, &queue, 1).await;
        came.extend(ids(&taken));
        settle(&broker, &queue, &taken, Verdict::Ack).await;
        deadline -= 1;
    }
    for messages in [&one, &two] {
        let key = messages[0].key.as_deref().unwrap();
        let of_key: Vec<&String> = came.iter().filter(|id| id.starts_with(key)).collect();
        assert_eq!(of_key, messages.iter().map(|message| &message.id).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_leaves_its_pull_to_the_next() {
    let lab = PubsubLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    for _ in 0..20 {
        // Over before there was a message: a pull that ended with it would hold the message for a claim.
        assert_eq!(broker.receive(&queue, 1, Duration::from_millis(5)).await, Ok(Vec::new()));
    }
    let dropped = broker.receive(&queue, 10, Duration::from_secs(60));
    assert!(tokio::time::timeout(Duration::from_millis(50), dropped).await.is_err());
    send(&broker, &queue, &[message("one")]).await;
    let start = Instant::now();
    let taken = take(&broker, &queue, 1).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    settle(&broker, &queue, &taken, Verdict::Ack).await;
    // Nobody takes it here, so another may have it long before the claim is over.
    assert_eq!(broker.receive(&queue, 1, Duration::from_millis(50)).await, Ok(Vec::new()));
    send(&broker, &queue, &[message("two")]).await;
    let start = Instant::now();
    let taken = take(&lab.broker(|_| ()), &queue, 1).await;
    assert_eq!(ids(&taken), ["two"]);
    assert!(start.elapsed() < PubsubLab::CLAIM * 2 / 3, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_receive_at_once_and_each_message_comes_once() {
    let lab = PubsubLab::new().await;
    let (broker, queue) = (Arc::new(lab.broker(|_| ())), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let receivers: Vec<_> = (0..8)
        .map(|_| {
            let (broker, queue, count) = (Arc::clone(&broker), queue.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let (mut came, start) = (Vec::new(), Instant::now());
                while count.load(Ordering::Relaxed) < 400 && start.elapsed() < Duration::from_secs(40) {
                    let taken = broker.receive(&queue, 7, Duration::from_secs(1)).await.unwrap();
                    settle(&*broker, &queue, &taken, Verdict::Ack).await;
                    count.fetch_add(taken.len(), Ordering::Relaxed);
                    came.extend(ids(&taken));
                }
                came
            })
        })
        .collect();
    let sent: Vec<Message> = (0..400).map(|id| message(&format!("m-{id:05}"))).collect();
    send(&*broker, &queue, &sent).await;
    let mut came = Vec::new();
    for receiver in receivers {
        came.extend(receiver.await.unwrap());
    }
    came.sort();
    assert_eq!(came, sent.iter().map(|message| message.id.clone()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_not_extended_is_over() {
    let lab = PubsubLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    send(&broker, &queue, &[message("one")]).await;
    let late = take(&broker, &queue, 1).await;
    let over = Instant::now() + PubsubLab::CLAIM;
    // The same process gets it again, with another receipt.
    let again = take(&broker, &queue, 1).await;
    assert_ne!(late[0].receipt, again[0].receipt);
    // The server's clock began before ours.
    tokio::time::sleep_until(over.into()).await;
    assert_eq!(settle(&broker, &queue, &late, Verdict::Extend).await, [Err(BrokerError::ClaimOver)]);
    assert_eq!(settle(&broker, &queue, &late, Verdict::Ack).await, [Err(BrokerError::ClaimOver)]);
    assert_eq!(settle(&broker, &queue, &again, Verdict::Ack).await, [Ok(())]);
    assert_eq!(settle(&broker, &queue, &again, Verdict::Ack).await, [Err(BrokerError::ClaimOver)]);
    nothing(&broker, &queue, PubsubLab::CLAIM + Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_unreachable_and_the_client_goes_on_when_it_is_back() {
    let lab = PubsubLab::alone().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    send(&broker, &queue, &[message("before")]).await;
    let taken = take(&broker, &queue, 1).await;
    lab.hang();
    let start = Instant::now();
    let one = [message("while")];
    let (sent, settled, healthy, ensured, received) = tokio::join!(
        broker.send(&queue, &one),
        settle(&broker, &queue, &taken, Verdict::Extend),
        broker.health(),
        broker.ensure(&queue),
        broker.receive(&queue, 1, Duration::from_secs(60)),
    );
    // The longest is a pull, which is looked after for the first time after ten seconds.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let unknown = |result: Result<(), BrokerError>| {
        assert!(
            matches!(result, Err(BrokerError::Unreachable { effect: Effect::Unknown, .. })),
            "{result:?}"
        );
    };
    unknown(sent[0].clone().map(drop));
    unknown(settled[0].clone());
    unknown(healthy.map(drop));
    unknown(ensured);
    unknown(received.map(drop));
    lab.go_on();
    send(&broker, &queue, &[message("after")]).await;
    let mut left = vec!["after".to_owned()];
    while !left.is_empty() {
        let taken = take(&broker, &queue, 1).await;
        left.retain(|id| !ids(&taken).contains(id));
        settle(&broker, &queue, &taken, Verdict::Ack).await;
    }
}

/// Waits until it is told that nobody listens. A connection that was there may be written to before it is
/// seen that it broke.
async fn is_gone(broker: &dyn Broker, queue: &QueueName) {
    let start = Instant::now();
    loop {
        let sent = broker.send(queue, &[message("unsent")]).await;
        let Err(BrokerError::Unreachable { effect, .. }) = &sent[0] else { panic!("{sent:?}") };
        if *effect == Effect::None {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_goes_on_after_a_restart_of_the_server() {
    let lab = PubsubLab::alone().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    send(&broker, &queue, &[message("lost")]).await;
    lab.server.kill();
    is_gone(&broker, &queue).await;
    let received = broker.receive(&queue, 1, Duration::from_secs(5)).await;
    assert!(matches!(received, Err(BrokerError::Unreachable { .. })), "{received:?}");
    lab.restart();
    // The emulator has forgotten the queue.
    assert_refused(&broker.send(&queue, &[message("unsent")]).await[0], "NOT_FOUND");
    assert_refused(&broker.receive(&queue, 1, Duration::from_secs(5)).await, "NOT_FOUND");
    broker.ensure(&queue).await.unwrap();
    send(&broker, &queue, &[message("one")]).await;
    assert_eq!(ids(&take(&broker, &queue, 1).await), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_said_before_anything_is_asked() {
    let lab = PubsubLab::new().await;
    let reserved = QueueName::parse("google-jobs").unwrap();
    assert_refused(&lab.broker(|_| ()).ensure(&reserved).await, "goog");
    assert_refused(&lab.broker(|_| ()).depth(&fresh_queue()).await, "Cloud Monitoring");
    let refused = |change: fn(&mut Options), words: &str| {
        let mut options = lab.options();
        change(&mut options);
        assert_refused(&PubsubBroker::new(options, Timestamp::now), words);
    };
    refused(|options| options.project = "a/b".to_owned(), "project");
    refused(|options| options.claim = Duration::from_secs(9), "10 to 600");
    refused(|options| options.claim = Duration::from_secs(601), "10 to 600");
    refused(|options| options.claim = Duration::from_millis(10_500), "whole seconds");
    refused(|options| options.endpoint = "127.0.0.1:8085".to_owned(), "https");
    let secret = |options: &mut Options| {
        options.endpoint = "http://pubsub.example.com".to_owned();
        options.credentials = Credentials::Metadata { host: "metadata.google.internal".to_owned() };
    };
    refused(secret, "without TLS");
}
