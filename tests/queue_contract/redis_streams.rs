//! Redis Streams: the contract against Redis, Valkey and a cluster, and what is about Redis Streams only.
//!
//! `TEST_REDIS_SERVER` names a server from 7.0, Debian's `redis-server` by default; `TEST_VALKEY_SERVER`
//! one of Valkey, 9 here.

mod access;
mod cluster;
mod sentinels;

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use redis::{AsyncConnectionConfig, FromRedisValue, aio::MultiplexedConnection};
use tempfile::TempDir;

use super::{
    broker::{
        Broker, BrokerError, Capabilities, Delivery, Depth, Message, QueueName, Sent, Settlement, Verdict,
    },
    queues::redis_streams::{CAPABILITIES, Options, RedisBroker, Servers},
    server::{self, Server},
    suite::{Lab, fresh_queue, message, nothing, send, settle, take},
};

/// How long a claim lasts here.
const CLAIM: Duration = Duration::from_secs(3);

/// Longest time that a call may take when the server does not answer.
const BOUND: Duration = Duration::from_secs(9);

/// Keeps all that it confirmed.
const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

fn redis_server() -> String {
    server::program("TEST_REDIS_SERVER", "redis-server")
}

fn valkey_server() -> String {
    server::program("TEST_VALKEY_SERVER", "valkey-server")
}

/// Whether a server answers there, with what it was asked for or with that it wants a password.
fn answers(port: u16) -> bool {
    says(port, "PING").is_some_and(|said| said.starts_with("+PONG") || said.starts_with("-NOAUTH"))
}

/// What a server says to a word.
fn says(port: u16, word: &str) -> Option<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    connection.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    connection.write_all(format!("{word}\r\n").as_bytes()).ok()?;
    let mut said = vec![0; 4_096];
    let len = connection.read(&mut said).ok()?;
    said.truncate(len);
    String::from_utf8(said).ok()
}

/// A server with further arguments.
fn start(program: &str, arguments: &[&str]) -> Server {
    let (program, arguments) = (program.to_owned(), arguments.iter().map(|&text| text.to_owned()));
    let arguments: Vec<String> = arguments.collect();
    let command = move |directory: &TempDir, port: u16| {
        let mut command = Command::new(&program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
        command.arg("--dir").arg(directory.path());
        command.args(&arguments);
        command
    };
    Server::start(command, answers)
}

fn options(port: u16) -> Options {
    let servers = Servers::One(format!("redis://127.0.0.1:{port}"));
    Options { servers, claim: CLAIM, ..Options::default() }
}

fn broker(options: Options) -> Arc<RedisBroker> {
    Arc::new(RedisBroker::new(options, Timestamp::now).unwrap())
}

async fn raw(port: u16) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    // Its own limit of an answer's time is half a second.
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(BOUND));
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// Asks a server in its own words.
async fn ask<T: FromRedisValue>(port: u16, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut raw(port).await).await.unwrap()
}

fn signal(server: &Server, signal: &str) {
    let done =
        Command::new("kill").args([&format!("-{signal}"), &server.pid().to_string()]).status().unwrap();
    assert!(done.success());
}

/// Messages whose ids no other has.
fn fresh(count: usize) -> Vec<Message> {
    let run = uuid::Uuid::now_v7().simple().to_string();
    (0..count).map(|n| message(&format!("{run}-{n:05}"))).collect()
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.to_vec()).unwrap()
}

/// A server of Redis.
pub struct RedisLab {
    server: Server,
}

impl RedisLab {
    fn with(arguments: &[&str]) -> Self {
        Self { server: start(&redis_server(), arguments) }
    }

    fn port(&self) -> u16 {
        self.server.port
    }

    fn broker(&self) -> Arc<RedisBroker> {
        broker(options(self.port()))
    }
}

impl Lab for RedisLab {
    const CAPABILITIES: Capabilities = CAPABILITIES;
    const CLAIM: Duration = CLAIM;

    async fn new() -> Self {
        Self::with(DURABLE)
    }

    async fn client(&self) -> Arc<dyn Broker> {
        self.broker()
    }

    async fn crash(&self) -> bool {
        self.server.kill();
        self.server.run();
        true
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        let _: String = ask(self.port(), &["XADD", queue.as_str(), "*", "body", body]).await;
        true
    }
}

contract!(RedisLab);
worker_contract!(RedisLab);

/// A server of Valkey.
pub struct ValkeyLab(RedisLab);

impl Lab for ValkeyLab {
    const CAPABILITIES: Capabilities = CAPABILITIES;
    const CLAIM: Duration = CLAIM;

    async fn new() -> Self {
        Self(RedisLab { server: start(&valkey_server(), DURABLE) })
    }

    async fn client(&self) -> Arc<dyn Broker> {
        self.0.client().await
    }

    async fn crash(&self) -> bool {
        self.0.crash().await
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        self.0.foreign(queue, body).await
    }
}

mod valkey {
    contract!(super::ValkeyLab);
}

async fn setup(arguments: &[&str]) -> (RedisLab, Arc<RedisBroker>, QueueName) {
    setup_with(arguments, CLAIM).await
}

/// With a claim time of its own: a long one where no claim is to end, however slow the machine is.
async fn setup_with(arguments: &[&str], claim: Duration) -> (RedisLab, Arc<RedisBroker>, QueueName) {
    let lab = RedisLab::with(arguments);
    let (broker, queue) = (broker(Options { claim, ..options(lab.port()) }), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    (lab, broker, queue)
}

/// A claim time that is not over in a test.
const LONG_CLAIM: Duration = Duration::from_secs(600);

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, BrokerError>, word: &str) {
    let Err(BrokerError::Refused { reason }) = result else { panic!("{result:?}") };
    assert!(reason.contains(word), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_under_the_name_is_refused_and_stays() {
    let lab = RedisLab::with(&[]);
    let (broker, queue) = (lab.broker(), fresh_queue());
    let () = ask(lab.port(), &["SET", queue.as_str(), "mine"]).await;
    assert_refused(broker.ensure(&queue).await, "WRONGTYPE");
    assert_refused(broker.send(&queue, &fresh(1)).await.remove(0), "WRONGTYPE");
    assert_refused(broker.receive(&queue, 1, Duration::ZERO).await, "WRONGTYPE");
    assert_refused(broker.depth(&queue).await, "WRONGTYPE");
    assert_eq!(ask::<String>(lab.port(), &["GET", queue.as_str()]).await, "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_ends_calls_in_time_and_goes_on_later() {
    let (lab, broker, queue) = setup(&[]).await;
    send(&*broker, &queue, &fresh(2)).await;
    let taken = take(&*broker, &queue, 1).await;
    signal(&lab.server, "STOP");
    let unreachable = |error: &BrokerError| matches!(error, BrokerError::Unreachable { .. });
    let start = Instant::now();
    let message = fresh(1);
    let (sent, received, settled, depth, health) = tokio::join!(
        broker.send(&queue, &message),
        broker.receive(&queue, 1, Duration::from_secs(1)),
        settle(&*broker, &queue, &taken, Verdict::Ack),
        broker.depth(&queue),
        broker.health(),
    );
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    for error in [sent[0].clone().map(|_| ()), settled[0].clone(), received.map(|_| ()), depth.map(|_| ())] {
        assert!(unreachable(&error.unwrap_err()));
    }
    assert!(unreachable(&health.unwrap_err()));
    // A new connection is accepted, and not answered either.
    let start = Instant::now();
    assert!(unreachable(&lab.broker().health().await.unwrap_err()));
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    signal(&lab.server, "CONT");
    broker.health().await.unwrap();
    let again = broker.send(&queue, &message).await.remove(0).unwrap();
    let count = if again == Sent::New { 2 } else { 1 };
    assert!(take(&*broker, &queue, 1).await.len() <= count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_is_found_again_at_the_first_call() {
    let (lab, broker, queue) = setup(DURABLE).await;
    send(&*broker, &queue, &fresh(1)).await;
    lab.server.kill();
    let error = broker.send(&queue, &fresh(1)).await.remove(0).unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable { .. }), "{error:?}");
    lab.server.run();
    send(&*broker, &queue, &fresh(1)).await;
    assert_eq!(take(&*broker, &queue, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_the_server_has_forgotten_is_made_again() {
    let (lab, broker, queue) = setup(&[]).await;
    nothing(&*broker, &queue, Duration::from_millis(300)).await;
    let () = ask(lab.port(), &["FLUSHALL"]).await;
    let () = ask(lab.port(), &["SCRIPT", "FLUSH"]).await;
    send(&*broker, &queue, &fresh(2)).await;
    assert_eq!(take(&*broker, &queue, 2).await.len(), 2);
    // Also when it goes while somebody waits.
    let waiting = tokio::spawn({
        let (broker, queue) = (Arc::clone(&broker), queue.clone());
        async move { take(&*broker, &queue, 1).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let () = ask(lab.port(), &["FLUSHALL"]).await;
    send(&*broker, &queue, &fresh(1)).await;
    waiting.await.unwrap();
    let () = ask(lab.port(), &["FLUSHALL"]).await;
    assert_eq!(broker.depth(&queue).await.unwrap(), Depth { ready: 0, claimed: Some(0), delayed: Some(0) });
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_while_receiving_loses_nothing() {
    let (_lab, broker, queue) = setup_with(&[], LONG_CLAIM).await;
    let sent = fresh(400);
    let sending = tokio::spawn({
        let (broker, queue, sent) = (Arc::clone(&broker), queue.clone(), sent.clone());
        async move {
            for messages in sent.chunks(4) {
                send(&*broker, &queue, messages).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let (mut came, mut dropped, mut round) = (Vec::new(), 0, 0);
    let start = Instant::now();
    while came.len() < sent.len() {
        assert!(start.elapsed() < Duration::from_secs(60), "{} came", came.len());
        round += 1;
        let patience = Duration::from_micros(100 * (round % 40));
        let receive = broker.receive(&queue, 10, Duration::from_secs(1));
        let Ok(received) = tokio::time::timeout(patience, receive).await else {
            dropped += 1;
            continue;
        };
        let received = received.unwrap();
        settle(&*broker, &queue, &received, Verdict::Ack).await;
        came.extend(received);
    }
    sending.await.unwrap();
    assert!(dropped > 10, "{dropped}");
    assert!(came.iter().all(|delivery| delivery.deliveries == 1), "{came:?}");
    assert_eq!(came.iter().map(text).collect::<BTreeSet<_>>().len(), sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_for_somebody_who_went_away_is_given_to_others_in_time() {
    let lab = RedisLab::with(&[]);
    let long = || broker(Options { claim: LONG_CLAIM, ..options(lab.port()) });
    let (gone, other, queue) = (long(), long(), fresh_queue());
    gone.ensure(&queue).await.unwrap();
    let receive = gone.receive(&queue, 10, Duration::from_secs(10));
    assert!(tokio::time::timeout(Duration::from_millis(200), receive).await.is_err());
    // Its read still blocks, and gets them.
    send(&*gone, &queue, &fresh(5)).await;
    let start = Instant::now();
    let taken = take(&*other, &queue, 5).await;
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(taken.iter().all(|delivery| delivery.deliveries == 1), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_receive_at_once_share_what_comes() {
    let (_lab, broker, queue) = setup_with(&[], LONG_CLAIM).await;
    let receiving: Vec<_> = (0..50)
        .map(|_| {
            let (broker, queue) = (Arc::clone(&broker), queue.clone());
            tokio::spawn(async move { broker.receive(&queue, 2, Duration::from_secs(30)).await.unwrap() })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    send(&*broker, &queue, &fresh(100)).await;
    let (mut came, start) = (Vec::new(), Instant::now());
    for receiving in receiving {
        came.extend(receiving.await.unwrap());
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let left = 100 - came.len();
    came.extend(take(&*broker, &queue, left).await);
    assert_eq!(came.iter().map(text).collect::<BTreeSet<_>>().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_is_given_what_is_there() {
    let (_lab, broker, queue) = setup_with(&[], LONG_CLAIM).await;
    assert_eq!(broker.receive(&queue, 5, Duration::ZERO).await.unwrap(), []);
    assert_eq!(broker.receive(&queue, 0, Duration::from_secs(5)).await.unwrap(), []);
    send(&*broker, &queue, &fresh(3)).await;
    assert_eq!(broker.receive(&queue, 5, Duration::ZERO).await.unwrap().len(), 3);
    // Beside one who waits, too.
    let waiting = broker.receive(&queue, 5, Duration::from_secs(5));
    let brief = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let start = Instant::now();
        assert_eq!(broker.receive(&queue, 5, Duration::ZERO).await.unwrap(), []);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    };
    let (waited, ()) = tokio::join!(waiting, brief);
    assert_eq!(waited.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_asks_the_server_a_few_times_a_second() {
    let (lab, broker, queue) = setup(&[]).await;
    let count = async || -> u64 {
        let stats: String = ask(lab.port(), &["INFO", "stats"]).await;
        let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap();
        line.trim().parse().unwrap()
    };
    nothing(&*broker, &queue, Duration::from_millis(100)).await;
    let before = count().await;
    nothing(&*broker, &queue, Duration::from_secs(4)).await;
    let asked = count().await - before;
    // With a claim time of 3 s claims are looked at every 375 ms; a script counts as five commands.
    assert!(asked < 120, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_due_while_somebody_waits_comes_then() {
    let (lab, broker, queue) = setup(&[]).await;
    let after = |millis: u64| Some(Timestamp::now() + Duration::from_millis(millis));
    let [first, second]: [Message; 2] = fresh(2).try_into().unwrap();
    let start = Instant::now();
    send(&*broker, &queue, &[Message { not_before: after(1_500), ..first }]).await;
    assert_eq!(broker.depth(&queue).await.unwrap(), Depth { ready: 0, claimed: Some(0), delayed: Some(1) });
    let taken = broker.receive(&queue, 1, Duration::from_secs(5)).await.unwrap();
    let late = start.elapsed().saturating_sub(Duration::from_millis(1_500));
    assert_eq!(taken.len(), 1);
    assert!(start.elapsed() >= Duration::from_millis(1_500) && late < Duration::from_secs(2), "{late:?}");
    // Put there by another process while this one waits.
    let other = lab.broker();
    let sending = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        send(&*other, &queue, &[Message { not_before: after(200), ..second }]).await;
        Instant::now()
    };
    let (taken, sent) = tokio::join!(broker.receive(&queue, 1, Duration::from_secs(5)), sending);
    assert_eq!(taken.unwrap().len(), 1);
    assert!(sent.elapsed() < Duration::from_secs(3), "{:?}", sent.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_counted_through_delays_and_take_overs() {
    let (lab, broker, queue) = setup(&[]).await;
    send(&*broker, &queue, &fresh(1)).await;
    let retry = |millis| Verdict::Retry { after: Duration::from_millis(millis) };
    for (count, verdict) in [(1, retry(0)), (2, retry(300)), (3, retry(1))] {
        let taken = take(&*broker, &queue, 1).await;
        assert_eq!(taken[0].deliveries, count);
        assert_eq!(settle(&*broker, &queue, &taken, verdict).await, [Ok(())]);
        assert_eq!(settle(&*broker, &queue, &taken, verdict).await, [Err(BrokerError::ClaimOver)]);
    }
    assert_eq!(take(&*broker, &queue, 1).await[0].deliveries, 4);
    // Its claim ends.
    let other = lab.broker();
    let taken = take(&*other, &queue, 1).await;
    assert_eq!(taken[0].deliveries, 5);
    assert_eq!(settle(&*other, &queue, &taken, retry(0)).await, [Ok(())]);
    let taken = take(&*broker, &queue, 1).await;
    assert_eq!(taken[0].deliveries, 6);
    assert_eq!(settle(&*broker, &queue, &taken, Verdict::Ack).await, [Ok(())]);
    assert_eq!(broker.depth(&queue).await.unwrap(), Depth { ready: 0, claimed: Some(0), delayed: Some(0) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_another_took_over_settles_nothing() {
    let (lab, broker, queue) = setup(&[]).await;
    send(&*broker, &queue, &fresh(1)).await;
    let lost = take(&*broker, &queue, 1).await;
    let other = lab.broker();
    let taken = take(&*other, &queue, 1).await;
    let retry = Verdict::Retry { after: Duration::ZERO };
    for verdict in [Verdict::Ack, retry, Verdict::Extend, Verdict::Leave] {
        assert_eq!(
            settle(&*broker, &queue, &lost, verdict).await,
            [Err(BrokerError::ClaimOver)],
            "{verdict:?}"
        );
    }
    assert_eq!(settle(&*other, &queue, &taken, Verdict::Extend).await, [Ok(())]);
    assert_eq!(settle(&*other, &queue, &taken, Verdict::Ack).await, [Ok(())]);
    assert_eq!(settle(&*other, &queue, &taken, Verdict::Ack).await, [Err(BrokerError::ClaimOver)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settlements_of_all_kinds_go_together_and_each_has_its_result() {
    let (lab, broker, queue) = setup_with(&[], LONG_CLAIM).await;
    send(&*broker, &queue, &fresh(6)).await;
    let taken = take(&*broker, &queue, 6).await;
    // Somebody deletes one.
    let id = taken[4].receipt.0.split('/').next().unwrap();
    let _: u64 = ask(lab.port(), &["XDEL", queue.as_str(), id]).await;
    let retry = |millis| Verdict::Retry { after: Duration::from_millis(millis) };
    let never = Verdict::Retry { after: Duration::MAX };
    let verdicts = [never, Verdict::Ack, Verdict::Extend, Verdict::Leave, retry(0), Verdict::Ack];
    let settlement =
        |(delivery, verdict): (&Delivery, Verdict)| Settlement { receipt: delivery.receipt.clone(), verdict };
    let mut settlements: Vec<Settlement> = taken.iter().zip(verdicts).map(settlement).collect();
    settlements.push(settlements[1].clone());
    let over = Err(BrokerError::ClaimOver);
    let expected = [Ok(()), Ok(()), Ok(()), Ok(()), over.clone(), Ok(()), over];
    assert_eq!(broker.settle(&queue, &settlements).await, expected);
    assert_eq!(broker.depth(&queue).await.unwrap(), Depth { ready: 0, claimed: Some(1), delayed: Some(1) });
    // The one that is left, and the one that is claimed.
    assert_eq!(ask::<u64>(lab.port(), &["XLEN", queue.as_str()]).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_with_fields_that_are_not_ours_is_given_as_json_and_stays() {
    let (lab, broker, queue) = setup(&[]).await;
    let fields = ["XADD", queue.as_str(), "*", "workflow", "etl.sync", "context", "{}"];
    let _: String = ask(lab.port(), &fields).await;
    let taken = take(&*broker, &queue, 1).await;
    assert_eq!(text(&taken[0]), r#"{"workflow":"etl.sync","context":"{}"}"#);
    // To be tried again it waits where it is.
    let retry = Verdict::Retry { after: Duration::from_secs(1) };
    assert_eq!(settle(&*broker, &queue, &taken, retry).await, [Ok(())]);
    let taken = take(&*broker, &queue, 1).await;
    assert_eq!(taken[0].deliveries, 2);
    assert_eq!(settle(&*broker, &queue, &taken, Verdict::Leave).await, [Ok(())]);
    nothing(&*broker, &queue, CLAIM + Duration::from_secs(1)).await;
    assert_eq!(ask::<u64>(lab.port(), &["XLEN", queue.as_str()]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_of_the_dead_are_forgotten_once_they_hold_nothing() {
    let (lab, dead, queue) = setup(&[]).await;
    send(&*dead, &queue, &fresh(1)).await;
    take(&*dead, &queue, 1).await;
    drop(dead);
    let broker = lab.broker();
    let taken = take(&*broker, &queue, 1).await;
    let consumers = async || -> usize {
        let consumers: Vec<redis::Value> =
            ask(lab.port(), &["XINFO", "CONSUMERS", queue.as_str(), "tintal"]).await;
        consumers.len()
    };
    assert_eq!(consumers().await, 2);
    assert_eq!(settle(&*broker, &queue, &taken, Verdict::Ack).await, [Ok(())]);
    let start = Instant::now();
    while consumers().await > 1 {
        assert!(start.elapsed() < CLAIM * 7, "{:?}", start.elapsed());
        nothing(&*broker, &queue, Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_takes_nothing_and_can_be_emptied() {
    let (lab, broker, queue) = setup_with(&["--maxmemory-policy", "noeviction"], LONG_CLAIM).await;
    let sent = fresh(5);
    send(&*broker, &queue, &sent).await;
    let soon = Message { not_before: Some(Timestamp::now() + Duration::from_millis(100)), ..message("soon") };
    send(&*broker, &queue, std::slice::from_ref(&soon)).await;
    let () = ask(lab.port(), &["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = broker.send(&queue, &fresh(1)).await.remove(0);
    assert!(matches!(refused, Err(BrokerError::Busy { .. })), "{refused:?}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let taken = take(&*broker, &queue, 5).await;
    let retry = Verdict::Retry { after: Duration::from_secs(60) };
    let result = settle(&*broker, &queue, &taken[..1], retry).await.remove(0);
    assert!(matches!(result, Err(BrokerError::Busy { .. })), "{result:?}");
    for verdict in [Verdict::Extend, Verdict::Ack] {
        assert_eq!(settle(&*broker, &queue, &taken, verdict).await, [const { Ok(()) }; 5]);
    }
    let () = ask(lab.port(), &["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(text(&take(&*broker, &queue, 1).await[0]), "soon");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_remembered_within_a_batch_and_for_a_window_and_not_longer_than_two() {
    let lab = RedisLab::with(&[]);
    let window = Duration::from_secs(2);
    let (broker, queue) = (broker(Options { dedupe: window, ..options(lab.port()) }), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    let [a, b]: [Message; 2] = fresh(2).try_into().unwrap();
    let (new, duplicate) = (Ok(Sent::New), Ok(Sent::Duplicate));
    let sent = broker.send(&queue, &[a.clone(), b.clone(), a.clone()]).await;
    assert_eq!(sent, [new.clone(), new.clone(), duplicate.clone()]);
    let start = Instant::now();
    while start.elapsed() < window * 9 / 10 {
        let at = start.elapsed();
        // Others, so that the sets take turns.
        send(&*broker, &queue, &fresh(1)).await;
        let again = broker.send(&queue, std::slice::from_ref(&b)).await;
        assert_eq!(again, std::slice::from_ref(&duplicate), "{at:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // `a` was not sent again since.
    tokio::time::sleep((window * 21 / 10).saturating_sub(start.elapsed())).await;
    assert_eq!(broker.send(&queue, std::slice::from_ref(&a)).await, [new]);
    let keys: Vec<String> = ask(lab.port(), &["KEYS", "*ids*"]).await;
    assert!(keys.len() <= 2, "{keys:?}");
    for key in keys {
        // It may have ended since.
        let ttl: i64 = ask(lab.port(), &["PTTL", &key]).await;
        assert!(ttl == -2 || (0..=6_000).contains(&ttl), "{key}: {ttl}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_not_remembered_when_that_is_switched_off() {
    let lab = RedisLab::with(&[]);
    let options = Options { dedupe: Duration::ZERO, ..options(lab.port()) };
    assert_eq!(options.capabilities().dedupe, Duration::ZERO);
    let (broker, queue) = (broker(options), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    let one = fresh(1);
    send(&*broker, &queue, &one).await;
    send(&*broker, &queue, &one).await;
    assert_eq!(take(&*broker, &queue, 2).await.len(), 2);
    assert_eq!(ask::<Vec<String>>(lab.port(), &["KEYS", "*"]).await, [queue.as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_is_sent_and_each_has_its_result() {
    let (_lab, broker, queue) = setup_with(&[], LONG_CLAIM).await;
    let mut messages = fresh(1_700);
    messages[700].body = Bytes::from(vec![b'x'; CAPABILITIES.body_max + 1]);
    messages[800].id = "with a space".to_owned();
    for message in &mut messages[900..910] {
        message.body = Bytes::from(vec![b'x'; CAPABILITIES.body_max]);
    }
    messages[1_650] = messages[3].clone();
    let sent = broker.send(&queue, &messages).await;
    for (place, result) in sent.iter().enumerate() {
        match place {
            700 => assert_refused(result.clone(), "bytes"),
            800 => assert_refused(result.clone(), "no id"),
            1_650 => assert_eq!(*result, Ok(Sent::Duplicate)),
            _ => assert_eq!(*result, Ok(Sent::New), "{place}"),
        }
    }
    // They come in their order.
    let taken = take(&*broker, &queue, 1_697).await;
    let sent: Vec<&Bytes> = messages
        .iter()
        .enumerate()
        .filter(|(n, _)| ![700, 800, 1_650].contains(n))
        .map(|(_, m)| &m.body)
        .collect();
    assert!(taken.iter().map(|delivery| &delivery.body).eq(sent));
    assert!(settle(&*broker, &queue, &taken, Verdict::Ack).await.iter().all(Result::is_ok));
    assert_eq!(broker.depth(&queue).await.unwrap().ready, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_left_behind_is_found_behind_many_claims_that_hold() {
    let claim = CLAIM * 2;
    let (lab, dead, queue) = setup_with(&[], claim).await;
    let broker = broker(Options { claim, ..options(lab.port()) });
    // More than one look for claims goes over.
    send(&*dead, &queue, &fresh(1_200)).await;
    let start = Instant::now();
    let held = take(&*dead, &queue, 1_200).await;
    assert!(
        held.iter().all(|delivery| delivery.deliveries == 1),
        "not within a claim: {:?}",
        start.elapsed()
    );
    let start = Instant::now();
    while start.elapsed() < claim {
        let results = settle(&*dead, &queue, &held[..1_190], Verdict::Extend).await;
        assert!(results.iter().all(Result::is_ok));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let taken = take(&*broker, &queue, 10).await;
    assert_eq!(
        taken.iter().map(text).collect::<BTreeSet<_>>(),
        held[1_190..].iter().map(text).collect::<BTreeSet<_>>()
    );
    assert!(taken.iter().all(|delivery| delivery.deliveries == 2), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_busy() {
    let (lab, _, queue) = setup(&[]).await;
    let replica = RedisLab::with(&["--replicaof", "127.0.0.1", &lab.port().to_string()]);
    let sent = replica.broker().send(&queue, &fresh(1)).await.remove(0);
    assert!(matches!(&sent, Err(BrokerError::Busy { reason }) if reason.contains("READONLY")), "{sent:?}");
}
