use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Wish,
    ensure::Subscription,
    lots::lanes,
    of_one,
    wire::{Pulled, publish_body, size},
};
use crate::backend::queue::{
    broker::{Broker as _, BrokerError, Message, QueueName, Receipt, Settlement, Verdict},
    google::{credentials::Credentials, tests::Fake, tests::now},
    pubsub::{Options, PubsubBroker, SERVICE, claims::Claims, is_project, line::Arrived},
};

fn message(key: &str) -> Message {
    let key = Some(key.to_owned()).filter(|key| !key.is_empty());
    Message { id: "the-id".to_owned(), body: Bytes::from_static(b"x"), not_before: None, key }
}

/// Messages by their keys, as in `a - b`; lanes by the places of their messages, `|` between requests.
#[track_caller]
fn check_lanes(keys: &str, is_ordered: bool, expected: &[&str]) {
    let messages: Vec<Message> = keys.split_whitespace().map(|key| message(key.trim_matches('-'))).collect();
    let lanes = lanes(&messages, 0..messages.len(), is_ordered);
    let shown = lanes.iter().map(|lane| {
        let lots = lane.lots.iter().map(|lot| lot.iter().map(usize::to_string).collect::<Vec<_>>().join(" "));
        lots.collect::<Vec<_>>().join(" | ")
    });
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[test]
fn a_key_has_requests_of_its_own_where_there_is_order() {
    check_lanes("", true, &[]);
    check_lanes("- - -", true, &["0 1 2"]);
    check_lanes("a - b a - b", true, &["1 4", "0 3", "2 5"]);
    check_lanes("a - b a - b", false, &["0 1 2 3 4 5"]);
}

#[test]
fn a_request_has_a_thousand_messages_and_ten_megabytes_at_most() {
    let many: Vec<Message> = (0..2_500).map(|_| message("a")).collect();
    let keyed = lanes(&many, 0..many.len(), true);
    assert_eq!(keyed.len(), 1);
    assert_eq!(keyed[0].lots.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    let loose = lanes(&many, 0..many.len(), false);
    assert_eq!(loose.iter().map(|lane| lane.lots[0].len()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    let large: Vec<Message> =
        (0..5).map(|_| Message { body: Bytes::from(vec![0; 3_000_000]), ..message("") }).collect();
    let lots = lanes(&large, 0..large.len(), false);
    assert_eq!(lots.iter().map(|lane| lane.lots[0].len()).collect::<Vec<_>>(), [2, 2, 1]);
    for lane in lots {
        let body = publish_body(lane.lots[0].iter().map(|&place| &large[place]), false);
        assert!(body.len() < 10_000_000);
    }
}

#[test]
fn a_message_is_written_as_pubsub_reads_it() {
    let messages = [message("a\"\n\u{1F600}\u{1}"), Message { body: Bytes::new(), ..message("") }];
    let body = publish_body(messages.iter(), true);
    let expected = json!({ "messages": [
        { "data": "eA==", "attributes": { "id": "the-id" }, "orderingKey": "a\"\n\u{1F600}\u{1}" },
        { "data": "", "attributes": { "id": "the-id" } },
    ] });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    assert!(body.len() <= messages.iter().map(size).sum::<usize>());
}

#[test]
fn what_was_pulled_is_read_as_pubsub_writes_it() {
    let read = |text: &str| {
        let pulled: Pulled<'_> = serde_json::from_str(text).unwrap();
        pulled.arrived(Instant::now(), 1)
    };
    assert!(read("{}").unwrap().is_empty());
    let text = r#"{"receivedMessages":[
        {"ackId":"a\/b","message":{"data":"eA==","messageId":"1"},"deliveryAttempt":3},
        {"ackId":"c","message":{"attributes":{"id":"x"}}}]}"#;
    let arrived = read(text).unwrap();
    let shown: Vec<_> =
        arrived.iter().map(|message| (&*message.ack_id, &*message.body, message.deliveries)).collect();
    assert_eq!(shown, [("a/b", &b"x"[..], 3), ("c", &b""[..], 1)]);
    assert!(read(r#"{"receivedMessages":[{"ackId":"a","message":{"data":"?"}}]}"#).is_none());
}

#[test]
fn a_wait_is_told_in_whole_seconds_and_ends_with_pubsubs_longest() {
    let wish = |after| Wish::from(Verdict::Retry { after });
    assert_eq!(wish(Duration::ZERO), Wish::Again(0));
    assert_eq!(wish(Duration::from_millis(1)), Wish::Again(1));
    assert_eq!(wish(Duration::from_secs(3)), Wish::Again(3));
    assert_eq!(wish(Duration::from_millis(599_001)), Wish::Again(600));
    assert_eq!(wish(Duration::MAX), Wish::Again(600));
}

#[test]
fn a_subscription_that_will_not_do_is_told_from_one_that_will() {
    #[track_caller]
    fn check(more: &Value, is_ordered: bool, expected: Option<&str>) {
        let mut subscription = json!({ "name": "s", "topic": "t", "pushConfig": {}, "state": "ACTIVE" });
        subscription.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let subscription: Subscription = serde_json::from_value(subscription).unwrap();
        let misfit = subscription.misfit("t", is_ordered);
        assert_eq!(
            misfit.as_deref().map(|why| why.contains(expected.unwrap_or("nothing"))),
            expected.map(|_| true)
        );
    }
    check(&json!({}), false, None);
    check(&json!({ "enableMessageOrdering": true }), false, None);
    check(&json!({ "enableMessageOrdering": true }), true, None);
    check(&json!({ "deadLetterPolicy": { "maxDeliveryAttempts": 5 } }), false, None);
    check(&json!({}), true, Some("in order"));
    check(&json!({ "topic": "_deleted-topic_" }), false, Some("_deleted-topic_"));
    check(&json!({ "detached": true }), false, Some("detached"));
    check(&json!({ "pushConfig": { "pushEndpoint": "https://x" } }), false, Some("https://x"));
    check(&json!({ "bigqueryConfig": { "table": "x" } }), false, Some("elsewhere"));
    check(&json!({ "cloudStorageConfig": { "bucket": "x" } }), false, Some("elsewhere"));
    check(&json!({ "filter": "attributes:x" }), false, Some("attributes:x"));
}

#[test]
fn a_project_is_part_of_a_path() {
    assert!(is_project("my-project-123") && is_project("example.com:my-project"));
    assert!(!is_project("") && !is_project("a/b") && !is_project("..") && !is_project("a?b"));
}

#[test]
fn claims_that_nobody_settles_are_forgotten() {
    let claims = Claims::default();
    let over = Instant::now();
    for _ in 0..10_000 {
        let arrived = Arrived { ack_id: "a".into(), body: Bytes::new(), deliveries: 1, until: over, pull: 1 };
        claims.open(vec![arrived]);
    }
    assert!(claims.len() <= 1_024, "{}", claims.len());
}

#[test]
fn exactly_once_delivery_says_what_became_of_each() {
    use crate::backend::queue::google::api::{Complaint, Failure};
    let said = |notes: &[(&str, &str)]| {
        let notes = notes.iter().map(|(id, note)| ((*id).to_owned(), (*note).to_owned())).collect();
        let status = reqwest::StatusCode::BAD_REQUEST;
        let (code, message) = ("FAILED_PRECONDITION".to_owned(), "some failed".to_owned());
        Failure::Said(&SERVICE, Complaint { status, code, message, notes })
    };
    let some =
        said(&[("a", "PERMANENT_FAILURE_INVALID_ACK_ID"), ("b", "TRANSIENT_FAILURE_UNORDERED_ACK_ID")]);
    assert_eq!(of_one(&some, "a"), Some(BrokerError::ClaimOver));
    assert!(matches!(of_one(&some, "b"), Some(BrokerError::Busy { .. })));
    assert_eq!(of_one(&some, "c"), None);
    let all = said(&[("service", "pubsub.googleapis.com")]);
    assert!(matches!(of_one(&all, "c"), Some(BrokerError::Refused { .. })));
}

fn broker(endpoint: String) -> PubsubBroker {
    let options = Options {
        project: "the-project".to_owned(),
        endpoint,
        credentials: Credentials::Anonymous,
        claim: Duration::from_secs(10),
        is_ordered: false,
    };
    PubsubBroker::new(options, now).unwrap()
}

#[tokio::test]
async fn a_server_that_says_at_once_that_there_is_nothing_is_not_asked_all_the_time() {
    let (fake, endpoint) = Fake::start(&[(200, json!({}))]).await;
    let queue = QueueName::parse("queue").unwrap();
    let received = broker(endpoint).receive(&queue, 1, Duration::from_millis(600)).await;
    assert_eq!(received, Ok(Vec::new()));
    assert!((1..=3).contains(&fake.count()), "{}", fake.count());
}

/// The claim is still this process's when Pub/Sub could not be told.
#[tokio::test]
async fn what_could_not_be_settled_may_be_settled_again() {
    let pulled = json!({ "receivedMessages": [{ "ackId": "a", "message": { "data": "eA==" } }] });
    let (fake, endpoint) = Fake::start(&[(200, pulled), (503, json!({})), (200, json!({}))]).await;
    let broker = broker(endpoint);
    let queue = QueueName::parse("queue").unwrap();
    let taken = broker.receive(&queue, 1, Duration::from_secs(5)).await.unwrap();
    let settle = async |receipt: &Receipt| {
        let settlement = Settlement { receipt: receipt.clone(), verdict: Verdict::Ack };
        broker.settle(&queue, &[settlement]).await.remove(0)
    };
    assert!(matches!(settle(&taken[0].receipt).await, Err(BrokerError::Busy { .. })));
    assert_eq!(settle(&taken[0].receipt).await, Ok(()));
    assert_eq!(settle(&taken[0].receipt).await, Err(BrokerError::ClaimOver));
    let asked: Vec<String> = fake.asked.lock().unwrap().iter().map(|asked| asked.what.clone()).collect();
    let subscription = "POST /v1/projects/the-project/subscriptions/queue";
    let expected = ["pull", "acknowledge", "acknowledge"].map(|verb| format!("{subscription}:{verb}"));
    assert_eq!(asked, expected);
}
