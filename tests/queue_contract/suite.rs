//! What every queue system must do, whatever its kind: each case runs against the real server.
//!
//! A case gets a [`Lab`]: the server, and clients of it that stand for processes.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;

use super::broker::{
    Broker, BrokerError, Capabilities, Delivery, Message, Order, QueueName, Receipt, Sent, Settlement,
    Verdict,
};

/// A server that a test has for itself, or shares with others under names of its own.
#[allow(async_fn_in_trait, reason = "the tests know their types")]
pub trait Lab: Send + Sync + Sized {
    /// What the queue system can do.
    const CAPABILITIES: Capabilities;
    /// How long a claim lasts.
    const CLAIM: Duration;

    /// A new server, or a share in one.
    async fn new() -> Self;
    /// A client of it, as another process would have.
    async fn client(&self) -> Arc<dyn Broker>;
    /// Kills the server as `kill -9` does and starts it again on its data; `false` when it forgets all
    /// by its nature.
    async fn crash(&self) -> bool;
    /// Puts a message there that is not ours, as another program would; `false` when nobody else can.
    async fn foreign(&self, queue: &QueueName, body: &str) -> bool;
}

/// Longest time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A name that no other test uses.
pub fn fresh_queue() -> QueueName {
    let id = uuid::Uuid::now_v7().simple().to_string();
    QueueName::parse(&format!("q-{id}")).unwrap()
}

pub fn message(id: &str) -> Message {
    // Ids of one test must not meet those of another on a server that remembers them.
    Message { id: id.to_owned(), body: Bytes::from(id.to_owned()), not_before: None, key: None }
}

fn messages(count: usize) -> Vec<Message> {
    let run = uuid::Uuid::now_v7().simple().to_string();
    (0..count).map(|n| message(&format!("{run}-{n:05}"))).collect()
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.to_vec()).unwrap()
}

pub async fn send(broker: &dyn Broker, queue: &QueueName, messages: &[Message]) {
    let sent = broker.send(queue, messages).await;
    assert_eq!(sent.len(), messages.len());
    for result in sent {
        assert_eq!(result, Ok(Sent::New));
    }
}

/// Receives until there are `count`, without settling.
pub async fn take(broker: &dyn Broker, queue: &QueueName, count: usize) -> Vec<Delivery> {
    let start = Instant::now();
    let mut taken = Vec::new();
    while taken.len() < count {
        assert!(start.elapsed() < PATIENCE, "{} of {count} came within {PATIENCE:?}", taken.len());
        let more = broker.receive(queue, count - taken.len(), Duration::from_secs(2)).await.unwrap();
        assert!(more.len() <= count - taken.len(), "more than asked for");
        taken.extend(more);
    }
    taken
}

/// Asserts that nothing comes for as long as this.
pub async fn nothing(broker: &dyn Broker, queue: &QueueName, wait: Duration) {
    let start = Instant::now();
    while start.elapsed() < wait {
        let came = broker.receive(queue, 10, wait.saturating_sub(start.elapsed())).await.unwrap();
        assert_eq!(came.iter().map(text).collect::<Vec<_>>(), Vec::<String>::new(), "nothing was to come");
    }
}

pub async fn settle(
    broker: &dyn Broker,
    queue: &QueueName,
    deliveries: &[Delivery],
    verdict: Verdict,
) -> Vec<Result<(), BrokerError>> {
    let settlement = |delivery: &Delivery| Settlement { receipt: delivery.receipt.clone(), verdict };
    let settlements: Vec<Settlement> = deliveries.iter().map(settlement).collect();
    let results = broker.settle(queue, &settlements).await;
    assert_eq!(results.len(), settlements.len());
    results
}

async fn ack(broker: &dyn Broker, queue: &QueueName, deliveries: &[Delivery]) {
    for result in settle(broker, queue, deliveries, Verdict::Ack).await {
        assert_eq!(result, Ok(()));
    }
}

async fn setup<L: Lab>(lab: &L) -> (Arc<dyn Broker>, QueueName) {
    let (broker, queue) = (lab.client().await, fresh_queue());
    broker.ensure(&queue).await.unwrap();
    (broker, queue)
}

pub async fn what_is_sent_comes_once_and_is_gone_when_acknowledged<L: Lab>() {
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    let sent = messages(25);
    send(&*broker, &queue, &sent).await;
    let taken = take(&*broker, &queue, 25).await;
    let bodies: BTreeSet<String> = taken.iter().map(text).collect();
    assert_eq!(bodies, sent.iter().map(|message| message.id.clone()).collect());
    assert!(taken.iter().all(|delivery| delivery.deliveries == 1));
    ack(&*broker, &queue, &taken).await;
    nothing(&*broker, &queue, L::CLAIM + Duration::from_secs(2)).await;
    nothing(&*lab.client().await, &queue, Duration::from_secs(1)).await;
}

pub async fn what_is_sent_before_anybody_receives_is_kept<L: Lab>() {
    let lab = L::new().await;
    let (sender, queue) = setup(&lab).await;
    send(&*sender, &queue, &messages(3)).await;
    drop(sender);
    let receiver = lab.client().await;
    receiver.ensure(&queue).await.unwrap();
    let taken = take(&*receiver, &queue, 3).await;
    ack(&*receiver, &queue, &taken).await;
}

pub async fn order_is_kept_where_it_is_promised<L: Lab>() {
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    let keyed = |message: Message| Message { key: Some("one".to_owned()), ..message };
    let sent: Vec<Message> = messages(30).into_iter().map(keyed).collect();
    for message in &sent {
        send(&*broker, &queue, std::slice::from_ref(message)).await;
    }
    let mut came = Vec::new();
    while came.len() < sent.len() {
        let taken = take(&*broker, &queue, 1).await;
        came.extend(taken.iter().map(text));
        ack(&*broker, &queue, &taken).await;
    }
    if L::CAPABILITIES.order != Order::None {
        assert_eq!(came, sent.iter().map(|message| message.id.clone()).collect::<Vec<_>>());
    }
}

pub async fn what_is_to_be_tried_again_comes_again_after_its_delay<L: Lab>() {
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    send(&*broker, &queue, &messages(2)).await;
    let taken = take(&*broker, &queue, 2).await;
    let at = Instant::now();
    let after = Duration::from_secs(3);
    assert_eq!(settle(&*broker, &queue, &taken[..1], Verdict::Retry { after }).await, [Ok(())]);
    ack(&*broker, &queue, &taken[1..]).await;
    let again = take(&*broker, &queue, 1).await;
    assert_eq!(text(&again[0]), text(&taken[0]));
    let waited = at.elapsed();
    assert!(waited >= Duration::from_millis(2_500), "{waited:?}");
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    if L::CAPABILITIES.counts {
        assert_eq!(again[0].deliveries, 2);
    }
    let at = Instant::now();
    let now = Verdict::Retry { after: Duration::ZERO };
    assert_eq!(settle(&*broker, &queue, &again, now).await, [Ok(())]);
    let third = take(&*broker, &queue, 1).await;
    assert!(at.elapsed() < Duration::from_secs(3), "{:?}", at.elapsed());
    ack(&*broker, &queue, &third).await;
    nothing(&*broker, &queue, Duration::from_secs(1)).await;
}

pub async fn a_claim_lasts_while_it_is_extended<L: Lab>() {
    if !L::CAPABILITIES.extends {
        return;
    }
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    send(&*broker, &queue, &messages(1)).await;
    let taken = take(&*broker, &queue, 1).await;
    let other = lab.client().await;
    let start = Instant::now();
    while start.elapsed() < L::CLAIM * 5 / 2 {
        assert_eq!(settle(&*broker, &queue, &taken, Verdict::Extend).await, [Ok(())]);
        nothing(&*other, &queue, L::CLAIM / 3).await;
    }
    ack(&*broker, &queue, &taken).await;
    nothing(&*other, &queue, L::CLAIM + Duration::from_secs(1)).await;
}

/// A worker that dies without a word: its process is gone, and so are its connections.
pub async fn what_a_dead_worker_held_is_taken_over<L: Lab>() {
    let lab = L::new().await;
    let (dead, queue) = setup(&lab).await;
    send(&*dead, &queue, &messages(3)).await;
    let held = take(&*dead, &queue, 3).await;
    ack(&*dead, &queue, &held[..1]).await;
    drop(dead);
    let other = lab.client().await;
    let taken = take(&*other, &queue, 2).await;
    let held: BTreeSet<String> = held[1..].iter().map(text).collect();
    assert_eq!(taken.iter().map(text).collect::<BTreeSet<_>>(), held);
    if L::CAPABILITIES.counts {
        assert!(taken.iter().all(|delivery| delivery.deliveries == 2), "{taken:?}");
    }
    ack(&*other, &queue, &taken).await;
    nothing(&*other, &queue, L::CLAIM + Duration::from_secs(1)).await;
}

pub async fn a_second_message_of_one_id_is_no_second_message_where_that_is_promised<L: Lab>() {
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    let one = messages(1);
    send(&*broker, &queue, &one).await;
    let other = lab.client().await;
    let again = other.send(&queue, &one).await;
    if L::CAPABILITIES.dedupe.is_zero() {
        assert_eq!(again, [Ok(Sent::New)]);
        return;
    }
    assert_eq!(again, [Ok(Sent::Duplicate)]);
    let taken = take(&*broker, &queue, 1).await;
    ack(&*broker, &queue, &taken).await;
    assert_eq!(other.send(&queue, &one).await, [Ok(Sent::Duplicate)], "also when it is done with");
    nothing(&*broker, &queue, Duration::from_secs(1)).await;
}

pub async fn what_is_not_due_is_not_received_where_that_is_promised<L: Lab>() {
    if L::CAPABILITIES.delay.is_zero() {
        return;
    }
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    // To join those who receive may take as long as the delay itself.
    send(&*broker, &queue, &messages(1)).await;
    let first = take(&*broker, &queue, 1).await;
    ack(&*broker, &queue, &first).await;
    let start = Instant::now();
    let due = Timestamp::now() + Duration::from_secs(3);
    let [late, now]: [Message; 2] = messages(2).try_into().unwrap();
    let late = Message { not_before: Some(due), ..late };
    send(&*broker, &queue, &[late.clone(), now.clone()]).await;
    let first = take(&*broker, &queue, 1).await;
    assert_eq!(text(&first[0]), now.id);
    assert!(start.elapsed() < Duration::from_secs(2));
    ack(&*broker, &queue, &first).await;
    let second = take(&*broker, &queue, 1).await;
    assert_eq!(text(&second[0]), late.id);
    assert!(start.elapsed() >= Duration::from_millis(2_500), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    ack(&*broker, &queue, &second).await;
}

pub async fn a_body_may_be_as_large_as_is_said<L: Lab>() {
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    let size = L::CAPABILITIES.body_max.min(1 << 20);
    let [fits, too_large]: [Message; 2] = messages(2).try_into().unwrap();
    let fits = Message { body: Bytes::from(vec![b'x'; size]), ..fits };
    send(&*broker, &queue, std::slice::from_ref(&fits)).await;
    let taken = take(&*broker, &queue, 1).await;
    assert_eq!(taken[0].body.len(), size);
    ack(&*broker, &queue, &taken).await;
    let too_large = Message { body: Bytes::from(vec![b'x'; L::CAPABILITIES.body_max + 1]), ..too_large };
    let refused = broker.send(&queue, std::slice::from_ref(&too_large)).await;
    assert!(matches!(refused[..], [Err(BrokerError::Refused { .. })]), "{refused:?}");
    // It has done no harm to the connection.
    send(&*broker, &queue, &messages(1)).await;
}

pub async fn nothing_is_lost_when_the_server_is_killed<L: Lab>() {
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    send(&*broker, &queue, &messages(10)).await;
    let taken = take(&*broker, &queue, 4).await;
    ack(&*broker, &queue, &taken[..2]).await;
    if !lab.crash().await {
        return;
    }
    // The same client, and a new one.
    let start = Instant::now();
    let more = messages(1);
    while broker.send(&queue, &more).await.iter().any(Result::is_err) {
        assert!(start.elapsed() < PATIENCE, "no connection within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let done: BTreeSet<String> = taken[..2].iter().map(text).collect();
    let (mut left, mut again) = (BTreeSet::new(), Vec::new());
    let other = lab.client().await;
    while left.len() < 9 {
        assert!(start.elapsed() < PATIENCE, "{} of 9 within {PATIENCE:?}", left.len());
        let Ok(came) = other.receive(&queue, 10, Duration::from_secs(1)).await else { continue };
        for delivery in &came {
            if !left.insert(text(delivery)) || done.contains(&text(delivery)) {
                again.push(text(delivery));
            }
        }
        settle(&*other, &queue, &came, Verdict::Ack).await;
    }
    assert_eq!(again, Vec::<String>::new(), "came once more, though acknowledged");
}

pub async fn how_many_there_are_is_told<L: Lab>() {
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    assert_eq!(broker.depth(&queue).await.unwrap().ready, 0);
    send(&*broker, &queue, &messages(5)).await;
    let taken = take(&*broker, &queue, 2).await;
    let depth = broker.depth(&queue).await.unwrap();
    // Some queue systems do not tell those that are claimed from those that wait.
    assert!(depth.ready == 3 || (depth.claimed.is_none() && depth.ready == 5), "{depth:?}");
    assert!(depth.claimed.is_none_or(|claimed| claimed == 2), "{depth:?}");
    ack(&*broker, &queue, &taken).await;
}

pub async fn a_server_that_answers_is_healthy<L: Lab>() {
    let lab = L::new().await;
    let health = lab.client().await.health().await.unwrap();
    assert!(!health.server.is_empty());
}

pub async fn a_queue_may_be_made_again_and_by_many_at_once<L: Lab>() {
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    send(&*broker, &queue, &messages(1)).await;
    let other = lab.client().await;
    let (a, b, c) = tokio::join!(broker.ensure(&queue), other.ensure(&queue), other.ensure(&queue));
    assert_eq!((a, b, c), (Ok(()), Ok(()), Ok(())));
    let taken = take(&*other, &queue, 1).await;
    ack(&*other, &queue, &taken).await;
}

pub async fn two_queues_do_not_meet<L: Lab>() {
    let lab = L::new().await;
    let (broker, one) = setup(&lab).await;
    let two = fresh_queue();
    broker.ensure(&two).await.unwrap();
    send(&*broker, &one, &messages(1)).await;
    nothing(&*broker, &two, Duration::from_secs(1)).await;
    let taken = take(&*broker, &one, 1).await;
    ack(&*broker, &one, &taken).await;
}

pub async fn what_is_not_ours_stays_and_does_not_come_back_at_once<L: Lab>() {
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    if !lab.foreign(&queue, "not ours").await {
        return;
    }
    let taken = take(&*broker, &queue, 1).await;
    assert_eq!(text(&taken[0]), "not ours");
    assert_eq!(settle(&*broker, &queue, &taken, Verdict::Leave).await, [Ok(())]);
    send(&*broker, &queue, &messages(1)).await;
    let next = take(&*broker, &queue, 1).await;
    assert_ne!(text(&next[0]), "not ours", "it must not stand in the way");
    ack(&*broker, &queue, &next).await;
    nothing(&*broker, &queue, Duration::from_secs(2)).await;
}

pub async fn a_receipt_that_is_none_settles_nothing<L: Lab>() {
    let lab = L::new().await;
    let (broker, queue) = setup(&lab).await;
    let settlement = Settlement { receipt: Receipt("no such".into()), verdict: Verdict::Ack };
    assert_eq!(broker.settle(&queue, &[settlement]).await, [Err(BrokerError::ClaimOver)]);
}

/// The cases, for one kind of queue system.
#[macro_export]
macro_rules! contract {
    ($lab:ty) => {
        $crate::contract!(@cases $lab:
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
            how_many_there_are_is_told,
            a_server_that_answers_is_healthy,
            a_queue_may_be_made_again_and_by_many_at_once,
            two_queues_do_not_meet,
            what_is_not_ours_stays_and_does_not_come_back_at_once,
            a_receipt_that_is_none_settles_nothing,
        );
    };
    (@cases $lab:ty: $($case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::suite::$case::<$lab>().await;
            }
        )*
    };
}
