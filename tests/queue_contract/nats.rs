//! NATS `JetStream`: the contract against an old server and a new one, and what is about `JetStream` only.
//!
//! `TEST_NATS_SERVER` names the old one, `nats-server` by default, which is Debian's 2.9;
//! `TEST_NATS_SERVER_NEW` one from 2.12.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::{
    self,
    consumer::{self, AckPolicy},
    stream::{self, RetentionPolicy},
};

use super::{
    broker::{Broker, BrokerError, Capabilities, Delivery, Effect, Message, QueueName, Sent, Verdict},
    queues::nats::{CAPABILITIES, Identity, Login, NatsBroker, Options, Tls},
    server::{self, Server},
    suite::{Lab, fresh_queue, message, nothing, send, settle, take},
};

/// How long a claim lasts here.
const CLAIM: Duration = Duration::from_secs(3);

/// A claim that no test outlasts.
const LONG: Duration = Duration::from_secs(120);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Old,
    New,
}

impl Age {
    fn program(self) -> String {
        match self {
            Self::Old => server::program("TEST_NATS_SERVER", "nats-server"),
            Self::New => server::program("TEST_NATS_SERVER_NEW", "nats-server-new"),
        }
    }
}

/// A server with further arguments, and a configuration if it has any; `{dir}` in it is its directory.
fn start(age: Age, arguments: &[&str], config: &str) -> Server {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let config = config.to_owned();
    let command = move |directory: &tempfile::TempDir, port: u16| {
        let directory = directory.path().to_str().unwrap();
        let path = format!("{directory}/nats.conf");
        fs::write(&path, config.replace("{dir}", directory)).unwrap();
        let mut command = Command::new(age.program());
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-sd", directory, "-c", &path]);
        command.args(&arguments);
        command
    };
    Server::start(command, server::answers)
}

fn options(port: u16) -> Options {
    Options { servers: vec![format!("nats://127.0.0.1:{port}")], claim: CLAIM, ..Options::default() }
}

fn broker(options: Options) -> Arc<NatsBroker> {
    Arc::new(NatsBroker::new(options).unwrap())
}

async fn raw(port: u16) -> jetstream::Context {
    jetstream::new(async_nats::connect(format!("nats://127.0.0.1:{port}")).await.unwrap())
}

/// An old server.
pub struct NatsLab {
    server: Server,
}

impl Lab for NatsLab {
    const CAPABILITIES: Capabilities = CAPABILITIES;
    const CLAIM: Duration = CLAIM;

    async fn new() -> Self {
        Self { server: start(Age::Old, &["-js"], "") }
    }

    async fn client(&self) -> Arc<dyn Broker> {
        broker(options(self.server.port))
    }

    async fn crash(&self) -> bool {
        // A server 2.9 that is alone writes acknowledgements to its file a tenth of a second after it
        // confirmed them, and hands those out again that it lost: its promise, and so ours, is no more.
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.server.kill();
        self.server.run();
        true
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        let raw = raw(self.server.port).await;
        raw.publish(queue.as_str().to_owned(), body.to_owned().into()).await.unwrap().await.unwrap();
        true
    }
}

contract!(NatsLab);
// Without `a_worker_that_ends_leaves_nothing_undone`: a client that was dropped in this process, and does not
// end with it, now and then keeps a message for longer than the case waits.
worker_contract!(@cases NatsLab:
    a_run_is_run_and_its_outcome_comes_back,
    a_run_that_is_sent_twice_runs_once,
    a_run_that_takes_longer_than_a_claim_runs_once,
    what_is_not_due_or_expired_is_not_run,
    what_nobody_vouches_for_is_not_run_and_is_told,
    what_other_programs_send_is_left_alone,
    a_run_that_a_worker_had_to_stop_is_run_by_another,
);

/// A new server.
pub struct NewNatsLab(NatsLab);

impl Lab for NewNatsLab {
    const CAPABILITIES: Capabilities = CAPABILITIES;
    const CLAIM: Duration = CLAIM;

    async fn new() -> Self {
        Self(NatsLab { server: start(Age::New, &["-js"], "") })
    }

    async fn client(&self) -> Arc<dyn Broker> {
        self.0.client().await
    }

    async fn crash(&self) -> bool {
        self.0.server.kill();
        self.0.server.run();
        true
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        self.0.foreign(queue, body).await
    }
}

mod new_server {
    contract!(super::NewNatsLab);
}

/// A case that runs on both servers.
macro_rules! on_both {
    ($($case:ident,)*) => {
        mod on_old {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    super::$case(super::Age::Old).await;
                }
            )*
        }
        mod on_new {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    super::$case(super::Age::New).await;
                }
            )*
        }
    };
}

on_both! {
    what_is_settled_is_gone_when_it_is_confirmed,
    a_claim_that_is_over_is_not_spoken_of,
    the_server_would_take_an_acknowledgement_of_an_earlier_delivery,
    a_message_wakes_one_of_many_who_wait,
    who_waits_for_nothing_gets_what_is_there,
    a_receive_that_is_dropped_delays_nothing,
    at_the_limit_of_claims_nothing_more_comes_until_one_is_settled,
    a_domain_of_its_own_is_reached,
    who_asks_for_less_gets_no_more_and_loses_nothing,
    large_messages_come_in_parts,
    a_message_that_no_batch_holds_comes_alone,
    a_stream_of_another_kind_is_refused_and_left,
    a_consumer_of_another_kind_is_refused_and_left,
    what_is_made_is_as_it_was_asked_for,
    a_queue_that_is_gone_is_refused,
    a_message_goes_to_no_other_stream,
    jetstream_that_is_off_is_refused,
    a_full_stream_is_busy,
    a_server_that_takes_less_refuses_more,
    a_wrong_login_is_refused_and_a_right_one_is_not,
    a_permission_that_lacks_is_named,
    tls_needs_the_right_certificates,
    credentials_are_read_again_when_the_connection_is_lost,
    a_server_that_hangs_is_unreachable_and_comes_back,
    a_server_that_is_not_there_is_unreachable,
    a_receive_that_waits_ends_when_the_server_does,
    a_cluster_loses_nothing_with_its_leader,
}

async fn queue_on(broker: &NatsBroker) -> QueueName {
    let queue = fresh_queue();
    broker.ensure(&queue).await.unwrap();
    queue
}

fn messages(count: usize) -> Vec<Message> {
    (0..count).map(|n| message(&format!("m-{n:05}"))).collect()
}

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.body.to_vec()).unwrap()).collect()
}

async fn ack(broker: &NatsBroker, queue: &QueueName, deliveries: &[Delivery]) {
    let results = settle(broker, queue, deliveries, Verdict::Ack).await;
    assert_eq!(results, vec![Ok(()); deliveries.len()]);
}

#[track_caller]
fn reason(error: Option<&BrokerError>) -> String {
    match error {
        Some(BrokerError::Refused { reason }) => reason.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, BrokerError>, said: &str) {
    match result {
        Err(BrokerError::Refused { reason }) => assert!(reason.contains(said), "{reason}"),
        other => panic!("not refused: {other:?}"),
    }
}

async fn what_is_settled_is_gone_when_it_is_confirmed(age: Age) {
    let server = start(age, &["-js"], "");
    let broker = broker(Options { claim: LONG, ..options(server.port) });
    let queue = queue_on(&broker).await;
    send(&*broker, &queue, &messages(3_000)).await;
    let taken = take(&*broker, &queue, 3_000).await;
    assert_eq!(broker.depth(&queue).await.unwrap().claimed, Some(3_000));
    ack(&broker, &queue, &taken).await;
    assert_eq!(broker.depth(&queue).await.unwrap().claimed, Some(0));
    // A second word on a claim that was given up is none.
    let again = settle(&*broker, &queue, &taken[..2], Verdict::Retry { after: Duration::ZERO }).await;
    assert_eq!(again, [Err(BrokerError::ClaimOver), Err(BrokerError::ClaimOver)]);
    let mut stream = raw(server.port).await.get_stream(queue.as_str()).await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 0);
}

async fn a_claim_that_is_over_is_not_spoken_of(age: Age) {
    let server = start(age, &["-js"], "");
    let (slow, other) = (broker(options(server.port)), broker(options(server.port)));
    let queue = queue_on(&slow).await;
    send(&*slow, &queue, &messages(1)).await;
    let late = take(&*slow, &queue, 1).await;
    let theirs = take(&*other, &queue, 1).await;
    assert_eq!(bodies(&late), bodies(&theirs));
    // A busy machine may have been late to see what came first.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for verdict in [Verdict::Ack, Verdict::Extend, Verdict::Retry { after: Duration::ZERO }, Verdict::Leave] {
        assert_eq!(settle(&*slow, &queue, &late, verdict).await, [Err(BrokerError::ClaimOver)]);
    }
    nothing(&*slow, &queue, Duration::from_millis(500)).await;
    let after = Duration::ZERO;
    assert_eq!(settle(&*other, &queue, &theirs, Verdict::Retry { after }).await, [Ok(())]);
    let again = take(&*slow, &queue, 1).await;
    assert_eq!(again[0].deliveries, 3);
    ack(&slow, &queue, &again).await;
}

/// Why our own clock has to say when a claim is over.
async fn the_server_would_take_an_acknowledgement_of_an_earlier_delivery(age: Age) {
    let server = start(age, &["-js"], "");
    let (first, second) = (broker(options(server.port)), broker(options(server.port)));
    let queue = queue_on(&first).await;
    send(&*first, &queue, &messages(1)).await;
    let early = take(&*first, &queue, 1).await;
    let theirs = take(&*second, &queue, 1).await;
    let raw = raw(server.port).await;
    let reply = early[0].receipt.0.to_string();
    let answer = raw.client().request(reply, "+ACK".into()).await.unwrap();
    assert!(answer.payload.is_empty() && answer.status.is_none(), "{answer:?}");
    let mut stream = raw.get_stream(queue.as_str()).await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 0);
    // Nor is the other told.
    ack(&second, &queue, &theirs).await;
}

async fn a_message_wakes_one_of_many_who_wait(age: Age) {
    let server = start(age, &["-js"], "");
    let broker = broker(options(server.port));
    let queue = queue_on(&broker).await;
    let (told, mut came) = tokio::sync::mpsc::unbounded_channel();
    let tasks: Vec<_> = (0..40)
        .map(|_| {
            let (broker, queue, told) = (Arc::clone(&broker), queue.clone(), told.clone());
            tokio::spawn(async move {
                loop {
                    let taken = broker.receive(&queue, 100, Duration::from_secs(20)).await.unwrap();
                    assert!(!taken.is_empty(), "nothing came in 20 s");
                    ack(&broker, &queue, &taken).await;
                    told.send(bodies(&taken)).unwrap();
                }
            })
        })
        .collect();
    for message in messages(200) {
        let start = Instant::now();
        send(&*broker, &queue, std::slice::from_ref(&message)).await;
        assert_eq!(came.recv().await.unwrap(), [message.id]);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    assert_eq!(broker.depth(&queue).await.unwrap().claimed, Some(0));
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn who_waits_for_nothing_gets_what_is_there(age: Age) {
    let server = start(age, &["-js"], "");
    let broker = broker(options(server.port));
    let queue = queue_on(&broker).await;
    assert_eq!(broker.receive(&queue, 10, Duration::ZERO).await, Ok(Vec::new()));
    assert_eq!(broker.receive(&queue, 0, Duration::from_secs(1)).await, Ok(Vec::new()));
    send(&*broker, &queue, &messages(3)).await;
    let (start, mut came) = (Instant::now(), 0);
    // A consumer may learn of a message a moment after its sender does.
    while came < 3 {
        came += broker.receive(&queue, 10, Duration::ZERO).await.unwrap().len();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    send(&*broker, &queue, &[message("later")]).await;
    let start = Instant::now();
    assert_eq!(broker.receive(&queue, 10, Duration::from_secs(30)).await.unwrap().len(), 1);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(broker.receive(&queue, 10, Duration::from_millis(700)).await.unwrap().len(), 0);
    assert!((600..3_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

async fn a_receive_that_is_dropped_delays_nothing(age: Age) {
    let server = start(age, &["-js"], "");
    let broker = broker(Options { claim: LONG, ..options(server.port) });
    let queue = queue_on(&broker).await;
    let all = messages(400);
    let (sender, sent_queue, sent) = (Arc::clone(&broker), queue.clone(), all.clone());
    let sending = tokio::spawn(async move {
        for message in sent.chunks(4) {
            send(&*sender, &sent_queue, message).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    });
    let mut came = BTreeSet::new();
    let start = Instant::now();
    let mut patience = 0;
    while came.len() < all.len() {
        assert!(start.elapsed() < Duration::from_secs(60), "{} came", came.len());
        // From at once to a while: cut off in every state it can be in.
        patience = (patience + 137) % 4_000;
        let receive = broker.receive(&queue, 10, Duration::from_secs(20));
        if let Ok(taken) = tokio::time::timeout(Duration::from_micros(patience), receive).await {
            let taken = taken.unwrap();
            came.extend(bodies(&taken));
            ack(&broker, &queue, &taken).await;
        }
    }
    sending.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

async fn who_asks_for_less_gets_no_more_and_loses_nothing(age: Age) {
    let server = start(age, &["-js"], "");
    let broker = broker(Options { claim: LONG, ..options(server.port) });
    let queue = queue_on(&broker).await;
    // One who asked for many has gone before they came.
    let many = broker.receive(&queue, 10, Duration::from_secs(20));
    assert!(tokio::time::timeout(Duration::from_millis(300), many).await.is_err());
    send(&*broker, &queue, &messages(6)).await;
    let mut came = BTreeSet::new();
    let start = Instant::now();
    while came.len() < 6 {
        assert!(start.elapsed() < Duration::from_secs(20), "{came:?}");
        let taken = broker.receive(&queue, 2, Duration::from_secs(2)).await.unwrap();
        assert!(taken.len() <= 2, "{taken:?}");
        came.extend(bodies(&taken));
        ack(&broker, &queue, &taken).await;
    }
}

async fn at_the_limit_of_claims_nothing_more_comes_until_one_is_settled(age: Age) {
    let server = start(age, &["-js"], "");
    let broker = broker(Options { claims_max: 5, claim: LONG, ..options(server.port) });
    let queue = queue_on(&broker).await;
    send(&*broker, &queue, &messages(12)).await;
    let start = Instant::now();
    let taken = broker.receive(&queue, 10, Duration::from_secs(20)).await.unwrap();
    assert_eq!(taken.len(), 5);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    nothing(&*broker, &queue, Duration::from_millis(500)).await;
    ack(&broker, &queue, &taken[..2]).await;
    assert_eq!(bodies(&take(&*broker, &queue, 2).await), ["m-00005", "m-00006"]);
    ack(&broker, &queue, &taken[2..]).await;
    assert_eq!(take(&*broker, &queue, 3).await.len(), 3);
}

async fn a_domain_of_its_own_is_reached(age: Age) {
    let server = start(age, &[], "jetstream { domain: hub }");
    let broker = broker(Options { domain: Some("hub".to_owned()), ..options(server.port) });
    let queue = queue_on(&broker).await;
    send(&*broker, &queue, &messages(2)).await;
    let taken = take(&*broker, &queue, 2).await;
    ack(&broker, &queue, &taken).await;
    assert_eq!(broker.depth(&queue).await.unwrap().claimed, Some(0));
    let elsewhere = Options { domain: Some("rim".to_owned()), ..options(server.port) };
    refused(self::broker(elsewhere).ensure(&queue).await, "name its domain");
}

async fn large_messages_come_in_parts(age: Age) {
    let server = start(age, &["-js"], "");
    let broker = broker(Options { claim: LONG, ..options(server.port) });
    let queue = queue_on(&broker).await;
    let body = bytes::Bytes::from(vec![b'x'; CAPABILITIES.body_max]);
    let sent = messages(80).into_iter().map(|message| Message { body: body.clone(), ..message });
    send(&*broker, &queue, &sent.collect::<Vec<_>>()).await;
    let mut came = 0;
    while came < 80 {
        let taken = broker.receive(&queue, 1_000, Duration::from_secs(5)).await.unwrap();
        assert!((1..=16).contains(&taken.len()), "{}", taken.len());
        came += taken.len();
        ack(&broker, &queue, &taken).await;
    }
}

async fn a_message_that_no_batch_holds_comes_alone(age: Age) {
    let server = start(age, &["-js"], "max_payload: 20MB");
    let broker = broker(options(server.port));
    let queue = queue_on(&broker).await;
    let raw = raw(server.port).await;
    let body = bytes::Bytes::from(vec![b'x'; 17 << 20]);
    raw.publish(queue.as_str().to_owned(), body).await.unwrap().await.unwrap();
    send(&*broker, &queue, &messages(1)).await;
    let taken = broker.receive(&queue, 10, Duration::from_secs(5)).await.unwrap();
    assert_eq!(taken.iter().map(|delivery| delivery.body.len()).collect::<Vec<_>>(), [17 << 20]);
    let taken = broker.receive(&queue, 10, Duration::from_secs(5)).await.unwrap();
    assert_eq!(bodies(&taken), ["m-00000"]);
}

async fn a_stream_of_another_kind_is_refused_and_left(age: Age) {
    let server = start(age, &["-js"], "");
    let (broker, raw) = (broker(options(server.port)), raw(server.port).await);
    let kinds = [
        (
            stream::Config { retention: RetentionPolicy::Limits, ..Default::default() },
            "retention is `limits`",
        ),
        (
            stream::Config {
                retention: RetentionPolicy::WorkQueue,
                subjects: vec!["others.>".to_owned()],
                ..Default::default()
            },
            "subjects are `others.>`",
        ),
        (
            stream::Config {
                retention: RetentionPolicy::WorkQueue,
                storage: stream::StorageType::Memory,
                ..Default::default()
            },
            "storage is `memory`",
        ),
        (
            stream::Config {
                retention: RetentionPolicy::WorkQueue,
                max_messages: 5,
                discard: stream::DiscardPolicy::Old,
                ..Default::default()
            },
            "drops its oldest messages",
        ),
    ];
    for (kind, said) in kinds {
        let queue = fresh_queue();
        let kind = stream::Config { name: queue.as_str().to_owned(), ..kind };
        let mut made = raw.create_stream(kind).await.unwrap();
        let before = made.info().await.unwrap().config.clone();
        refused(broker.ensure(&queue).await, said);
        assert_eq!(made.info().await.unwrap().config, before);
        assert_eq!(made.info().await.unwrap().state.consumer_count, 0);
    }
    // A subject that another stream has.
    let queue = fresh_queue();
    let other = format!("other-{queue}");
    raw.create_stream(stream::Config {
        name: other,
        subjects: vec![queue.as_str().to_owned()],
        ..Default::default()
    })
    .await
    .unwrap();
    refused(broker.ensure(&queue).await, "subjects overlap");
}

async fn a_consumer_of_another_kind_is_refused_and_left(age: Age) {
    let server = start(age, &["-js"], "");
    let (ours, raw) = (broker(options(server.port)), raw(server.port).await);
    let queue = fresh_queue();
    let stream = raw
        .create_stream(stream::Config { name: queue.as_str().to_owned(), ..Default::default() })
        .await
        .unwrap();
    stream
        .create_consumer(consumer::pull::Config {
            durable_name: Some("tintal".to_owned()),
            ack_policy: AckPolicy::None,
            ..Default::default()
        })
        .await
        .unwrap();
    refused(ours.ensure(&queue).await, "retention is `limits`");

    let queue = queue_on(&ours).await;
    let longer = Options { claim: CLAIM * 2, ..options(server.port) };
    refused(broker(longer).ensure(&queue).await, "ack wait is 3s, where a claim is to last 6s");
    let stream = raw.get_stream(queue.as_str()).await.unwrap();
    let found = stream.consumer_info("tintal").await.unwrap().config;
    assert_eq!(found.ack_wait, CLAIM);

    // One that gives messages up, and one beside which no other can be.
    for (name, said) in [("tintal", "gives a message up after 3 deliveries"), ("somebody", "workqueue")] {
        let queue = fresh_queue();
        let name_of_stream = queue.as_str().to_owned();
        let kind = stream::Config {
            name: name_of_stream,
            retention: RetentionPolicy::WorkQueue,
            ..Default::default()
        };
        let config = consumer::pull::Config {
            durable_name: Some(name.to_owned()),
            ack_wait: CLAIM,
            max_deliver: 3,
            ..Default::default()
        };
        raw.create_stream(kind).await.unwrap().create_consumer(config).await.unwrap();
        refused(ours.ensure(&queue).await, said);
    }
}

async fn what_is_made_is_as_it_was_asked_for(age: Age) {
    let server = start(age, &["-js"], "");
    let raw = raw(server.port).await;
    let asked = Options {
        duplicate_window: Duration::from_secs(1),
        max_bytes: Some(1 << 20),
        claims_max: 77,
        ..options(server.port)
    };
    let queue = queue_on(&broker(asked)).await;
    let stream = raw.get_stream(queue.as_str()).await.unwrap();
    let config = &stream.cached_info().config;
    assert_eq!(config.retention, RetentionPolicy::WorkQueue);
    assert_eq!(config.storage, stream::StorageType::File);
    assert_eq!(config.discard, stream::DiscardPolicy::New);
    assert_eq!(config.subjects, [queue.as_str()]);
    assert_eq!(config.max_bytes, 1 << 20);
    assert_eq!(config.duplicate_window, Duration::from_secs(1));
    let consumer = stream.consumer_info("tintal").await.unwrap().config;
    assert_eq!((consumer.ack_policy, consumer.ack_wait), (AckPolicy::Explicit, CLAIM));
    assert_eq!((consumer.max_deliver, consumer.max_ack_pending), (-1, 77));
    // Another setting changes nothing that is there, and does no harm.
    broker(options(server.port)).ensure(&queue).await.unwrap();
    assert_eq!(stream.consumer_info("tintal").await.unwrap().config.max_ack_pending, 77);
    // More replicas than there are servers.
    let more = broker(Options { replicas: 3, ..options(server.port) });
    refused(more.ensure(&fresh_queue()).await, "replicas");
}

async fn a_queue_that_is_gone_is_refused(age: Age) {
    let server = start(age, &["-js"], "");
    let (broker, raw) = (broker(options(server.port)), raw(server.port).await);
    let never = fresh_queue();
    let start = Instant::now();
    refused(broker.send(&never, &messages(2)).await.remove(1), "has no stream");
    refused(broker.depth(&never).await, "not found");
    refused(broker.receive(&never, 1, Duration::from_millis(200)).await, "has no consumer");
    let queue = queue_on(&broker).await;
    send(&*broker, &queue, &messages(1)).await;
    let taken = take(&*broker, &queue, 1).await;
    let (waiter, waited_for) = (Arc::clone(&broker), queue.clone());
    let waiting = tokio::spawn(async move { waiter.receive(&waited_for, 1, Duration::from_secs(20)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    raw.delete_stream(queue.as_str()).await.unwrap();
    refused(waiting.await.unwrap(), "onsumer");
    let results = settle(&*broker, &queue, &taken, Verdict::Ack).await;
    assert_eq!(results, [Err(BrokerError::ClaimOver)]);
    broker.ensure(&queue).await.unwrap();
    send(&*broker, &queue, &messages(1)).await;
    let taken = take(&*broker, &queue, 1).await;
    ack(&broker, &queue, &taken).await;
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

async fn a_message_goes_to_no_other_stream(age: Age) {
    let server = start(age, &["-js"], "");
    let (broker, raw) = (broker(options(server.port)), raw(server.port).await);
    let queue = fresh_queue();
    raw.create_stream(stream::Config {
        name: "everything".to_owned(),
        subjects: vec!["*".to_owned()],
        ..Default::default()
    })
    .await
    .unwrap();
    refused(broker.send(&queue, &messages(1)).await.remove(0), "stream does not match");
}

async fn jetstream_that_is_off_is_refused(age: Age) {
    let server = start(age, &[], "");
    let broker = broker(options(server.port));
    refused(broker.health().await, "JetStream");
    refused(broker.ensure(&fresh_queue()).await, "JetStream");
    refused(broker.send(&fresh_queue(), &messages(1)).await.remove(0), "JetStream");
}

async fn a_full_stream_is_busy(age: Age) {
    let server = start(age, &["-js"], "");
    let broker = broker(Options { max_bytes: Some(20_000), ..options(server.port) });
    let queue = queue_on(&broker).await;
    let body = bytes::Bytes::from(vec![b'x'; 1_000]);
    let all: Vec<Message> =
        messages(30).into_iter().map(|message| Message { body: body.clone(), ..message }).collect();
    let sent = broker.send(&queue, &all).await;
    let stored = sent.iter().take_while(|result| **result == Ok(Sent::New)).count();
    assert!((10..20).contains(&stored), "{stored}");
    let said = sent[stored..].iter().all(|result| {
        matches!(result, Err(BrokerError::Busy { reason }) if reason.contains("maximum bytes exceeded"))
    });
    assert!(said, "{sent:?}");
    let taken = take(&*broker, &queue, stored).await;
    ack(&broker, &queue, &taken).await;
    send(&*broker, &queue, &all[stored..stored + 5]).await;
}

async fn a_server_that_takes_less_refuses_more(age: Age) {
    let server = start(age, &["-js"], "max_payload: 10000");
    let broker = broker(options(server.port));
    let queue = queue_on(&broker).await;
    let [large, small]: [Message; 2] = messages(2).try_into().unwrap();
    let large = Message { body: vec![b'x'; 10_000].into(), ..large };
    let sent = broker.send(&queue, &[large, small]).await;
    assert!(reason(sent[0].as_ref().err()).contains("max_payload"));
    assert_eq!(sent[1], Ok(Sent::New));
}

async fn a_wrong_login_is_refused_and_a_right_one_is_not(age: Age) {
    let keys = nkeys::KeyPair::new_user();
    let users = format!(
        "{{user: anna, password: hush}}, {{nkey: {}}}, {{user: bob, password: other}}",
        keys.public_key()
    );
    let server = start(age, &["-js"], &format!("authorization {{ users: [{users}] }}"));
    let with = |login: Login| broker(Options { login, ..options(server.port) });
    let password = |user: &str, password: &str| Login::Password {
        user: user.to_owned(),
        password: password.to_owned().into(),
    };
    for right in [password("anna", "hush"), Login::Nkey(keys.seed().unwrap().into())] {
        queue_on(&with(right)).await;
    }
    let stranger = nkeys::KeyPair::new_user().seed().unwrap();
    let wrong = [
        password("anna", "s3cret"),
        Login::None,
        Login::Token("s3cret".to_owned().into()),
        Login::Nkey(stranger.clone().into()),
        Login::Nkey("s3cret".to_owned().into()),
        Login::Credentials("missing.creds".into()),
    ];
    for login in wrong {
        let broker = with(login);
        let start = Instant::now();
        let said = broker.ensure(&fresh_queue()).await;
        let reason = reason(said.as_ref().err());
        assert!(!reason.contains("s3cret") && !reason.contains(&stranger), "{reason}");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        refused(broker.receive(&fresh_queue(), 1, Duration::from_secs(1)).await, "does not let us in");
    }

    let server = start(age, &["-js"], "authorization { token: open-sesame }");
    let with = |login: Login| broker(Options { login, ..options(server.port) });
    queue_on(&with(Login::Token("open-sesame".to_owned().into()))).await;
    refused(with(Login::Token("close".to_owned().into())).health().await, "does not let us in");
}

async fn a_permission_that_lacks_is_named(age: Age) {
    let queue = fresh_queue();
    let denials = [
        ("api", "publish: { deny: [\"$JS.API.>\"] }"),
        ("subject", &*format!("publish: {{ deny: [\"{queue}\"] }}")),
        ("pull", "publish: { deny: [\"$JS.API.CONSUMER.MSG.NEXT.>\"] }"),
        ("ack", "publish: { deny: [\"$JS.ACK.>\"] }"),
        ("inbox", "subscribe: { deny: [\"_INBOX.>\"] }"),
        ("own", "subscribe: { allow: [\"own.>\"] }"),
        (
            "least",
            &*format!(
                "publish: {{ allow: [\"{queue}\", \"$JS.API.INFO\", \"$JS.API.STREAM.INFO.{queue}\", \
                 \"$JS.API.CONSUMER.INFO.{queue}.tintal\", \"$JS.API.CONSUMER.MSG.NEXT.{queue}.tintal\", \
                 \"$JS.ACK.{queue}.tintal.>\"] }}, subscribe: {{ allow: [\"_INBOX.>\"] }}"
            ),
        ),
    ];
    let users = denials
        .map(|(user, denial)| format!("{{user: {user}, password: p, permissions: {{ {denial} }} }}"))
        .join(", ");
    let config = format!("authorization {{ users: [{{user: all, password: p}}, {users}] }}");
    let server = start(age, &["-js"], &config);
    let with = |user: &str| {
        let login = Login::Password { user: user.to_owned(), password: "p".to_owned().into() };
        Options { login, ..options(server.port) }
    };
    broker(with("all")).ensure(&queue).await.unwrap();
    let start = Instant::now();
    refused(broker(with("api")).ensure(&queue).await, "$JS.API.STREAM.INFO");
    refused(broker(with("subject")).send(&queue, &messages(3)).await.remove(2), queue.as_str());
    refused(broker(with("pull")).receive(&queue, 1, Duration::from_secs(5)).await, "MSG.NEXT");
    refused(broker(with("inbox")).health().await, "_INBOX");
    let ours = broker(Options { inbox_prefix: Some("own".to_owned()), ..with("own") });
    ours.ensure(&queue).await.unwrap();

    let (ack_denied, least) = (broker(with("ack")), broker(with("least")));
    least.health().await.unwrap();
    least.ensure(&queue).await.unwrap();
    send(&*least, &queue, &messages(1)).await;
    let taken = take(&*ack_denied, &queue, 1).await;
    refused(settle(&*ack_denied, &queue, &taken, Verdict::Ack).await.remove(0), "$JS.ACK");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let taken = take(&*least, &queue, 1).await;
    let results = settle(&*least, &queue, &taken, Verdict::Ack).await;
    assert_eq!(results, [Ok(())]);
    assert_eq!(least.depth(&queue).await.unwrap().claimed, Some(0));
    refused(least.ensure(&fresh_queue()).await, "$JS.API.STREAM.INFO");
}

/// Runs `openssl`.
fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority with a certificate of a server, and of a client, in a directory.
fn certificates() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for ca in ["ca", "stranger"] {
        openssl(path, &format!("req -x509 {key} -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.pem"));
    }
    for (name, more) in [("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")]
    {
        openssl(path, &format!("req -new {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        fs::write(path.join("extensions"), format!("{more}\n")).unwrap();
        openssl(
            path,
            &format!(
                "x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
                 -extfile extensions -out {name}.pem"
            ),
        );
    }
    directory
}

async fn tls_needs_the_right_certificates(age: Age) {
    let directory = certificates();
    let file = |name: &str| directory.path().join(name);
    let config = format!(
        "tls {{ cert_file: {0}/server.pem, key_file: {0}/server.key, ca_file: {0}/ca.pem, verify: true }}",
        directory.path().display()
    );
    let server = start(age, &["-js"], &config);
    let with = |tls: Tls| broker(Options { tls, ..options(server.port) });
    let identity = Identity { certificate: file("client.pem"), key: file("client.key") };
    let right = Tls {
        required: true,
        authority: Some(file("ca.pem")),
        identity: Some(identity.clone()),
        first: false,
    };
    let broker_with_tls = with(right.clone());
    let queue = queue_on(&broker_with_tls).await;
    send(&*broker_with_tls, &queue, &messages(600)).await;
    let taken = take(&*broker_with_tls, &queue, 600).await;
    ack(&broker_with_tls, &queue, &taken).await;
    let wrong = [
        Tls { authority: Some(file("stranger.pem")), ..right.clone() },
        Tls { authority: Some(file("missing.pem")), ..right.clone() },
        Tls { authority: None, ..right.clone() },
        Tls { identity: None, ..right.clone() },
        Tls { identity: Some(Identity { key: file("ca.key"), ..identity }), ..right.clone() },
    ];
    for tls in wrong {
        let said = format!("{tls:?}");
        let (broker, start) = (with(tls), Instant::now());
        let mut error = broker.health().await;
        // A handshake may take longer than a call, on a busy machine.
        while matches!(error, Err(BrokerError::Unreachable { .. })) && start.elapsed() < CLAIM * 10 {
            error = broker.health().await;
        }
        assert!(matches!(error, Err(BrokerError::Refused { .. })), "{said}: {error:?}");
    }
    if age == Age::New {
        let first = config.replace("verify: true", "verify: true, handshake_first: true");
        let server = start(age, &["-js"], &first);
        let tls = Tls { first: true, ..right.clone() };
        broker(Options { tls, ..options(server.port) }).health().await.unwrap();
    }
    // A server without TLS, where it is asked for: no word of ours goes out in the clear.
    let plain = start(age, &["-js"], "");
    let error = broker(Options { tls: right, ..options(plain.port) }).health().await;
    assert!(error.is_err(), "{error:?}");
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().chain(&[0, 0]).take(3).fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let letters = (0..=chunk.len()).map(|n| char::from(ALPHABET[number >> (18 - 6 * n) & 63]));
        text.extend(letters);
    }
    text
}

/// A JWT of NATS: what `issuer` says of `subject`.
fn jwt(issuer: &nkeys::KeyPair, subject: &nkeys::KeyPair, says: &serde_json::Value) -> String {
    let head = base64(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let claims = serde_json::json!({
        "jti": "test", "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(),
        "name": "test", "nats": says,
    });
    let signed = format!("{head}.{}", base64(claims.to_string().as_bytes()));
    let signature = base64(&issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// A server that knows its users by JWTs, and a way to make files of credentials for it.
fn operated_server(age: Age) -> (Server, impl Fn(&Path)) {
    let (operator, system, account) =
        (nkeys::KeyPair::new_operator(), nkeys::KeyPair::new_account(), nkeys::KeyPair::new_account());
    let limits = serde_json::json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
        "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let says = serde_json::json!({"limits": limits, "type": "account", "version": 2});
    let mut system_says = says.clone();
    system_says["limits"]["mem_storage"] = 0.into();
    system_says["limits"]["disk_storage"] = 0.into();
    let config = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
        jwt(&operator, &operator, &serde_json::json!({"type": "operator", "version": 2})),
        system.public_key(),
        system.public_key(),
        jwt(&operator, &system, &system_says),
        account.public_key(),
        jwt(&operator, &account, &says),
    );
    let make = move |path: &Path| {
        let user = nkeys::KeyPair::new_user();
        let says = serde_json::json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            jwt(&account, &user, &says),
            user.seed().unwrap()
        );
        fs::write(path, text).unwrap();
    };
    (start(age, &["-js"], &config), make)
}

async fn credentials_are_read_again_when_the_connection_is_lost(age: Age) {
    let (server, make) = operated_server(age);
    let path = server.directory.path().join("tintal.creds");
    let broker = broker(Options { login: Login::Credentials(path.clone()), ..options(server.port) });
    refused(broker.health().await, "tintal.creds");
    make(&path);
    let start = Instant::now();
    while let Err(error) = broker.health().await {
        assert!(start.elapsed() < Duration::from_secs(30), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let queue = queue_on(&broker).await;
    send(&*broker, &queue, &messages(1)).await;
    fs::remove_file(&path).unwrap();
    server.kill();
    server.run();
    let start = Instant::now();
    while !matches!(broker.health().await, Err(BrokerError::Refused { .. })) {
        assert!(start.elapsed() < Duration::from_secs(30));
    }
    make(&path);
    let taken = loop {
        assert!(start.elapsed() < Duration::from_secs(60));
        match broker.receive(&queue, 1, Duration::from_secs(1)).await {
            Ok(taken) if taken.len() == 1 => break taken,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    ack(&broker, &queue, &taken).await;
}

fn signal(server: &Server, signal: &str) {
    let status = Command::new("kill").args([signal, &server.pid().to_string()]).status().unwrap();
    assert!(status.success());
}

#[track_caller]
fn unreachable<T: std::fmt::Debug>(result: Result<T, BrokerError>) -> Effect {
    match result {
        Err(BrokerError::Unreachable { effect, .. }) => effect,
        other => panic!("{other:?}"),
    }
}

async fn a_server_that_hangs_is_unreachable_and_comes_back(age: Age) {
    let server = start(age, &["-js"], "");
    let broker = broker(options(server.port));
    let queue = queue_on(&broker).await;
    send(&*broker, &queue, &[message("held")]).await;
    let held = take(&*broker, &queue, 1).await;
    signal(&server, "-STOP");
    let start = Instant::now();
    let sent = [message("sent")];
    let (sent, received, settled, health, ensured, depth) = tokio::join!(
        broker.send(&queue, &sent),
        broker.receive(&queue, 1, Duration::from_secs(2)),
        settle(&*broker, &queue, &held, Verdict::Ack),
        broker.health(),
        broker.ensure(&queue),
        broker.depth(&queue),
    );
    assert_eq!(unreachable(sent.into_iter().next().unwrap()), Effect::Unknown);
    assert_eq!(unreachable(settled.into_iter().next().unwrap()), Effect::Unknown);
    unreachable(received);
    unreachable(health);
    unreachable(ensured);
    unreachable(depth);
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    // Until the client notices by itself that the connection is dead.
    let start = Instant::now();
    while unreachable(broker.send(&queue, &[message("late")]).await.remove(0)) == Effect::Unknown {
        assert!(start.elapsed() < Duration::from_secs(45), "{:?}", start.elapsed());
    }
    signal(&server, "-CONT");
    let start = Instant::now();
    while broker.health().await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let results = settle(&*broker, &queue, &held, Verdict::Ack).await;
    assert_eq!(results, [Err(BrokerError::ClaimOver)]);
    let again = broker.send(&queue, &[message("sent")]).await;
    assert!(again[0].is_ok(), "{again:?}");
    // The server worked off what was sent to it, so the acknowledgement of `held` counts.
    let mut came = Vec::new();
    while !came.contains(&"sent".to_owned()) {
        let taken = take(&*broker, &queue, 1).await;
        came.extend(bodies(&taken));
        ack(&broker, &queue, &taken).await;
    }
    assert_eq!(came.iter().filter(|body| *body == "sent").count(), 1);
    assert!(!came.contains(&"held".to_owned()));
}

async fn a_server_that_is_not_there_is_unreachable(_: Age) {
    let broker = broker(options(server::free_port()));
    let queue = fresh_queue();
    let start = Instant::now();
    assert_eq!(unreachable(broker.ensure(&queue).await), Effect::None);
    assert_eq!(unreachable(broker.send(&queue, &messages(1)).await.remove(0)), Effect::None);
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    let start = Instant::now();
    unreachable(broker.receive(&queue, 1, Duration::from_millis(300)).await);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

async fn a_receive_that_waits_ends_when_the_server_does(age: Age) {
    let server = start(age, &["-js"], "");
    let broker = broker(options(server.port));
    let queue = queue_on(&broker).await;
    let (waiter, waited_for) = (Arc::clone(&broker), queue.clone());
    let waiting = tokio::spawn(async move { waiter.receive(&waited_for, 1, Duration::from_secs(60)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let start = Instant::now();
    server.kill();
    unreachable(waiting.await.unwrap());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    server.run();
    let start = Instant::now();
    while broker.send(&queue, &[message("after")]).await[0].is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
    let taken = take(&*broker, &queue, 1).await;
    ack(&broker, &queue, &taken).await;
}

/// Three servers of one cluster.
fn cluster(age: Age) -> Vec<Server> {
    let ports: Vec<u16> = (0..3).map(|_| server::free_port()).collect();
    let routes: Vec<String> = ports.iter().map(|port| format!("nats-route://127.0.0.1:{port}")).collect();
    let node = |(n, port): (usize, &u16)| {
        let routes = routes.join(", ");
        let config = format!(
            "server_name: n{n}\ncluster {{ name: c, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}"
        );
        start(age, &["-js"], &config)
    };
    ports.iter().enumerate().map(node).collect()
}

async fn a_cluster_loses_nothing_with_its_leader(age: Age) {
    let servers = cluster(age);
    let addresses = servers.iter().map(|server| format!("nats://127.0.0.1:{}", server.port)).collect();
    let asked =
        Options { servers: addresses, replicas: 3, claim: Duration::from_secs(5), ..Options::default() };
    let broker = broker(asked);
    let queue = fresh_queue();
    let start = Instant::now();
    while let Err(error) = broker.ensure(&queue).await {
        assert!(start.elapsed() < Duration::from_secs(30), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let all = messages(300);
    send(&*broker, &queue, &all[..100]).await;
    let taken = take(&*broker, &queue, 60).await;
    ack(&broker, &queue, &taken[..50]).await;
    let mut done: BTreeSet<String> = bodies(&taken[..50]).into_iter().collect();

    let raw = raw(servers[0].port).await;
    let mut stream = raw.get_stream(queue.as_str()).await.unwrap();
    let leader = stream.info().await.unwrap().cluster.clone().unwrap().leader.unwrap();
    servers[leader[1..].parse::<usize>().unwrap()].kill();

    let start = Instant::now();
    for message in &all[100..] {
        while let Err(error) = &broker.send(&queue, std::slice::from_ref(message)).await[0] {
            assert!(!matches!(error, BrokerError::Refused { .. }), "{error}");
            assert!(start.elapsed() < Duration::from_secs(60), "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    while done.len() < all.len() {
        assert!(start.elapsed() < Duration::from_secs(90), "{} of {}", done.len(), all.len());
        let Ok(taken) = broker.receive(&queue, 50, Duration::from_secs(2)).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        for (delivery, result) in taken.iter().zip(settle(&*broker, &queue, &taken, Verdict::Ack).await) {
            let body = bodies(std::slice::from_ref(delivery)).remove(0);
            assert!(!done.contains(&body), "{body} came once more, though acknowledged");
            if result == Ok(()) {
                done.insert(body);
            }
        }
    }
    nothing(&*broker, &queue, Duration::from_secs(7)).await;
}
