//! How workers of a group share a queue, with Tansu.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
};
use tintal::backend::queue::kafka::{KafkaBroker, Options};
use tokio::time::timeout;

use super::{
    super::{
        broker::{Broker, BrokerError, Delivery, QueueName, Sent, Verdict},
        suite::{Lab as _, fresh_queue, nothing, send, settle, take},
    },
    CLAIM, TansuLab, ack, client, is_refused, is_unreachable, messages, options, spread, text,
};

/// Longest time until a group has settled anew: Tansu waits 3 seconds for others to join.
const REBALANCE_MAX: Duration = Duration::from_secs(30);

/// A server, a client of it and a queue.
async fn setup() -> (TansuLab, Arc<dyn Broker>, QueueName) {
    let (lab, queue) = (TansuLab::new().await, fresh_queue());
    let broker = lab.client().await;
    broker.ensure(&queue).await.unwrap();
    (lab, broker, queue)
}

fn texts(taken: &[Delivery]) -> BTreeSet<String> {
    taken.iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_worked_on_stays_when_another_worker_comes_and_what_follows_is_shared() {
    let (lab, one, queue) = setup().await;
    send(&*one, &queue, &spread(60)).await;
    let taken = take(&*one, &queue, 60).await;
    let two = lab.client().await;
    let start = Instant::now();
    while start.elapsed() < CLAIM * 2 {
        settle(&*one, &queue, &taken, Verdict::Extend).await.into_iter().for_each(|result| result.unwrap());
        nothing(&*two, &queue, Duration::from_secs(2)).await;
    }
    ack(&*one, &queue, &taken).await;
    let sent = spread(120);
    send(&*one, &queue, &sent).await;
    let (mut came, mut of_two) = (BTreeSet::new(), 0);
    while came.len() < sent.len() {
        assert!(start.elapsed() < REBALANCE_MAX + CLAIM * 2, "{} came", came.len());
        let wait = Duration::from_millis(500);
        let (a, b) = tokio::join!(one.receive(&queue, 10, wait), two.receive(&queue, 10, wait));
        let (a, b) = (a.unwrap(), b.unwrap());
        of_two += b.len();
        for delivery in a.iter().chain(&b) {
            assert!(came.insert(text(delivery)), "{} came twice", text(delivery));
        }
        ack(&*one, &queue, &a).await;
        ack(&*two, &queue, &b).await;
        // Left for the other, in case that the group has not settled yet.
        if of_two == 0 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    assert!(of_two > 0, "the second worker had its share");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_takes_too_long_loses_its_claims_to_another_and_nothing_is_lost() {
    let (lab, _, queue) = setup().await;
    let handover = Duration::from_secs(1);
    let one = client(Options { handover, ..lab.options() });
    let two = client(Options { handover, ..lab.options() });
    send(&*one, &queue, &spread(60)).await;
    let taken = take(&*one, &queue, 60).await;
    let start = Instant::now();
    let mut of_two: Vec<Delivery> = Vec::new();
    while of_two.is_empty() {
        assert!(start.elapsed() < REBALANCE_MAX);
        settle(&*one, &queue, &taken, Verdict::Extend).await;
        of_two.extend(two.receive(&queue, 60, Duration::from_secs(2)).await.unwrap());
    }
    let settled = settle(&*one, &queue, &taken, Verdict::Ack).await;
    let mut over = BTreeSet::new();
    for (delivery, result) in taken.iter().zip(settled) {
        match result {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, BrokerError::ClaimOver);
                over.insert(text(delivery));
            }
        }
    }
    while of_two.len() < over.len() {
        assert!(start.elapsed() < REBALANCE_MAX);
        of_two.extend(two.receive(&queue, 60, Duration::from_secs(2)).await.unwrap());
    }
    assert_eq!(texts(&of_two), over);
    ack(&*two, &queue, &of_two).await;
    nothing(&*two, &queue, Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_receives_no_more_leaves_its_part_to_others() {
    let (lab, one, queue) = setup().await;
    send(&*one, &queue, &spread(12)).await;
    let taken = take(&*one, &queue, 12).await;
    ack(&*one, &queue, &taken).await;
    let sent = spread(60);
    send(&*one, &queue, &sent).await;
    let two = lab.client().await;
    let taken = take(&*two, &queue, 60).await;
    assert_eq!(texts(&taken), sent.iter().map(|message| message.id.clone()).collect());
    ack(&*two, &queue, &taken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_closes_leaves_its_part_to_others_at_once() {
    let (lab, _, queue) = setup().await;
    let one = KafkaBroker::new(Options { claim: CLAIM * 3, ..lab.options() }, Timestamp::now);
    let one = one.unwrap();
    send(&one, &queue, &spread(12)).await;
    let taken = take(&one, &queue, 12).await;
    ack(&one, &queue, &taken[..6]).await;
    let start = Instant::now();
    one.close().await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let two = lab.client().await;
    take(&*two, &queue, 6).await;
    assert!(start.elapsed() < CLAIM * 2, "{:?}", start.elapsed());
}

/// Variable by which the test below is a worker that takes and never settles: `servers queue count`.
const WORKER: &str = "TINTAL_TEST_KAFKA_WORKER";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_its_own() {
    let Ok(task) = std::env::var(WORKER) else { return };
    let [servers, queue, count] = task.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let (broker, queue) = (client(options(servers)), QueueName::parse(queue).unwrap());
    let taken = take(&*broker, &queue, count.parse().unwrap()).await;
    ack(&*broker, &queue, &taken[..1]).await;
    println!("\ndone: {}", text(&taken[0]));
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_held_that_was_killed_comes_again_after_the_claim_time() {
    let (lab, broker, queue) = setup().await;
    let sent = messages(5);
    send(&*broker, &queue, &sent).await;
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::a_worker_of_its_own"), "--nocapture"])
        .env(WORKER, format!("{} {queue} 5", lab.servers()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let told = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("done: ").map(str::to_owned));
    worker.kill().unwrap();
    worker.wait().unwrap();
    let start = Instant::now();
    let taken = take(&*broker, &queue, 4).await;
    assert!(start.elapsed() < CLAIM + Duration::from_secs(10), "{:?}", start.elapsed());
    let mut left: BTreeSet<String> = sent.into_iter().map(|message| message.id).collect();
    assert!(left.remove(&told.unwrap()));
    assert_eq!(texts(&taken), left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_nobody_extends_ends() {
    let (_lab, broker, queue) = setup().await;
    send(&*broker, &queue, &messages(2)).await;
    let start = Instant::now();
    let taken = take(&*broker, &queue, 2).await;
    ack(&*broker, &queue, &taken[1..]).await;
    let again = take(&*broker, &queue, 1).await;
    assert!(start.elapsed() >= CLAIM, "{:?}", start.elapsed());
    assert_eq!((text(&again[0]), again[0].deliveries), (text(&taken[0]), 2));
    assert_eq!(settle(&*broker, &queue, &taken[..1], Verdict::Ack).await, [Err(BrokerError::ClaimOver)]);
    ack(&*broker, &queue, &again).await;
    // Twice is as good as once.
    ack(&*broker, &queue, &again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_nothing_unsettled_before_it_is_gone_for_good() {
    let (lab, broker, queue) = setup().await;
    let keyed = |n: usize| super::Message { key: Some("one".to_owned()), ..super::message(&format!("{n}")) };
    send(&*broker, &queue, &(0..6).map(keyed).collect::<Vec<_>>()).await;
    let taken = take(&*broker, &queue, 6).await;
    assert_eq!(taken.iter().map(text).collect::<String>(), "012345");
    // Of 0 1 2 3 4 5, all but 2.
    ack(&*broker, &queue, &taken[3..]).await;
    ack(&*broker, &queue, &taken[..2]).await;
    drop(broker);
    let other = lab.client().await;
    let again = take(&*other, &queue, 4).await;
    assert_eq!(again.iter().map(text).collect::<String>(), "2345");
    ack(&*other, &queue, &again[1..]).await;
    ack(&*other, &queue, &again[..1]).await;
    drop(other);
    nothing(&*lab.client().await, &queue, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receiving_may_be_given_up_at_any_time() {
    let (_lab, broker, queue) = setup().await;
    let sent = messages(400);
    let sending = async {
        for some in sent.chunks(10) {
            send(&*broker, &queue, some).await;
        }
    };
    let receiving = async {
        let (mut came, start) = (BTreeSet::new(), Instant::now());
        while came.len() < sent.len() {
            assert!(start.elapsed() < REBALANCE_MAX, "{} came", came.len());
            let receive = broker.receive(&queue, 3, Duration::from_secs(1));
            let Ok(taken) = timeout(Duration::from_micros(300), receive).await else { continue };
            let taken = taken.unwrap();
            for delivery in &taken {
                assert!(came.insert(text(delivery)), "{} came twice", text(delivery));
            }
            ack(&*broker, &queue, &taken).await;
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_receive_and_settle_at_once() {
    let (_lab, broker, queue) = setup().await;
    let sent = spread(2_000);
    send(&*broker, &queue, &sent).await;
    let worker = async || {
        let mut came = Vec::new();
        loop {
            let taken = broker.receive(&queue, 20, Duration::from_secs(5)).await.unwrap();
            if taken.is_empty() {
                return came;
            }
            ack(&*broker, &queue, &taken).await;
            came.extend(taken.iter().map(text));
        }
    };
    let (a, b, c, d) = tokio::join!(worker(), worker(), worker(), worker());
    let all: Vec<String> = [a, b, c, d].concat();
    assert_eq!(all.len(), sent.len());
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_held_half_open_ends_calls_and_afterwards_they_work() {
    let (lab, broker, queue) = setup().await;
    send(&*broker, &queue, &messages(1)).await;
    let taken = take(&*broker, &queue, 1).await;
    ack(&*broker, &queue, &taken).await;
    signal(&lab, "STOP");
    let start = Instant::now();
    let one = messages(1);
    let (sent, depth, health) =
        tokio::join!(broker.send(&queue, &one), broker.depth(&queue), broker.health());
    assert!(is_unreachable(sent[0].as_ref()), "{sent:?}");
    assert!(is_unreachable(depth.as_ref()), "{depth:?}");
    assert!(is_unreachable(health.as_ref()), "{health:?}");
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    while !is_unreachable(broker.receive(&queue, 1, Duration::from_secs(1)).await.as_ref()) {
        assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    }
    signal(&lab, "CONT");
    let start = Instant::now();
    while broker.health().await.is_err() || broker.send(&queue, &one).await != [Ok(Sent::New)] {
        assert!(start.elapsed() < REBALANCE_MAX, "{:?}", start.elapsed());
    }
    // What was sent into the silence may have been done, too.
    take(&*broker, &queue, 1).await;
}

fn signal(lab: &TansuLab, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), lab.server.pid().to_string()]).status();
    assert!(status.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_is_no_queue() {
    let (lab, queue) = (TansuLab::new().await, fresh_queue());
    let config = ClientConfig::new().set("bootstrap.servers", lab.servers()).clone();
    let admin: AdminClient<_> = config.create().unwrap();
    let topic = NewTopic::new(queue.as_str(), 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let made = lab.client().await.ensure(&queue).await;
    assert!(is_refused(made.as_ref(), "compacted"), "{made:?}");
}

#[test]
fn options_that_cannot_be_meant_are_refused_without_asking_a_server() {
    let check = |change: fn(&mut Options), why: &str| {
        let mut options = Options::at("127.0.0.1:1");
        change(&mut options);
        let made = KafkaBroker::new(options, Timestamp::now);
        assert!(is_refused(made.as_ref(), why), "{made:?}");
    };
    check(|options| options.servers = " ".to_owned(), "names no broker");
    check(|options| options.group = String::new(), "`group` is empty");
    check(|options| options.claim = Duration::from_secs(5), "`claim`");
    check(|options| options.handover = Duration::from_secs(4_000), "`handover`");
    check(|options| options.partitions = 0, "`partitions`");
}
