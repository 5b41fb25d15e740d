use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use axum::http::{HeaderValue, StatusCode};
use base64::{Engine as _, prelude::*};
use bytes::Bytes;
use jiff::{Span, Timestamp};
use ring::rsa::PublicKeyComponents;
use serde_json::{Value, json};

use super::{
    CloudTasksBroker, Oidc, Options,
    ensure::Queue,
    task::{Parcel, Target, task_id},
    verifier::Verifier,
};
use crate::backend::queue::{
    broker::{BrokerError, QueueName},
    google::{
        credentials::Credentials,
        http::Http,
        tests::{Fake, KEY_ONE, KEY_TWO, key_pair, now, signed},
    },
};

const ACCOUNT: &str = "pusher@example.iam.gserviceaccount.com";
const TARGET: &str = "https://worker.example.com";

fn options() -> Options {
    Options {
        project: "the-project".to_owned(),
        location: "europe-west1".to_owned(),
        endpoint: super::ENDPOINT.to_owned(),
        credentials: Credentials::Anonymous,
        claim: Duration::from_millis(90_500),
        target_url: TARGET.to_owned(),
        listen: (Ipv4Addr::LOCALHOST, 8_080).into(),
        oidc: None,
        waiting_max: 10,
    }
}

fn oidc(issuer: &str) -> Oidc {
    Oidc { service_account: ACCOUNT.to_owned(), audience: None, issuer: issuer.to_owned() }
}

#[track_caller]
fn check_task(change: impl FnOnce(&mut Options), not_before: Option<Timestamp>) -> Value {
    let mut options = options();
    change(&mut options);
    let (queue, body) = (QueueName::parse("the-queue").unwrap(), Bytes::from_static(b"x"));
    let parcel = Parcel { task: task_id("1"), id: Some("1"), deliveries: 2, body: &body, not_before };
    serde_json::from_str(&Target::new(&options).request("q", &queue, &parcel, now())).unwrap()
}

#[test]
fn a_task_is_written_as_cloud_tasks_reads_it() {
    let task = check_task(|_| (), None);
    let id = task_id("1");
    assert_eq!(id.len(), 64);
    let expected = json!({ "task": {
        "name": format!("q/tasks/{id}"),
        "httpRequest": {
            "httpMethod": "POST",
            "url": "https://worker.example.com/v1/tasks/the-queue",
            "headers": {
                "Content-Type": "application/octet-stream",
                "x-tintal-deliveries": "2",
                "x-tintal-id": "1",
            },
            "body": "eA==",
        },
        "dispatchDeadline": "90.500s",
        "retryConfig": { "maxAttempts": -1, "minBackoff": "1s", "maxBackoff": "60s", "maxDoublings": 6 },
    } });
    assert_eq!(task, expected);
}

#[test]
fn a_task_carries_a_token_and_a_time_where_there_is_one() {
    let task = check_task(|options| options.oidc = Some(oidc(super::ISSUER)), None);
    let token = &task["task"]["httpRequest"]["oidcToken"];
    assert_eq!(*token, json!({ "serviceAccountEmail": ACCOUNT, "audience": TARGET }));
    let audience = |options: &mut Options| {
        options.oidc = Some(Oidc { audience: Some("us".to_owned()), ..oidc(super::ISSUER) });
    };
    assert_eq!(check_task(audience, None)["task"]["httpRequest"]["oidcToken"]["audience"], "us");

    let at = |secs: i64| Some(now().checked_add(Span::new().seconds(secs)).unwrap());
    let scheduled = |secs| check_task(|_| (), at(secs))["task"]["scheduleTime"].clone();
    assert_eq!(scheduled(-1), Value::Null);
    assert_eq!(scheduled(0), Value::Null);
    assert_eq!(scheduled(60), at(60).unwrap().to_string());
    // What is later than Cloud Tasks can is given earlier; who sent it holds it.
    assert_eq!(scheduled(60 * 24 * 3_600), at(719 * 3_600).unwrap().to_string());
}

#[test]
fn whoever_could_push_without_a_token_must_be_on_this_machine() {
    let refused = |change: fn(&mut Options), words: &str| {
        let mut options = options();
        change(&mut options);
        let result = CloudTasksBroker::new(options, now);
        let Err(BrokerError::Refused { reason }) = result else { panic!("{result:?}") };
        assert!(reason.contains(words), "{reason}");
    };
    refused(|options| options.listen = "0.0.0.0:8080".parse().unwrap(), "set `oidc`");
    refused(|options| options.listen = "192.168.1.7:8080".parse().unwrap(), "set `oidc`");
    refused(|options| options.listen = "[::]:8080".parse().unwrap(), "set `oidc`");
    let plain = |options: &mut Options| {
        options.target_url = "http://worker.example.com".to_owned();
        options.oidc = Some(oidc(super::ISSUER));
    };
    refused(plain, "https only");
    refused(|options| options.oidc = Some(oidc("http://issuer.example.com")), "without TLS");
    refused(|options| options.project = "a/b".to_owned(), "project");
    refused(|options| options.location = "a/b".to_owned(), "location");
    refused(|options| options.claim = Duration::from_secs(14), "15 to 1800");
    refused(|options| options.claim = Duration::from_secs(1_801), "15 to 1800");
    refused(|options| options.waiting_max = 0, "at least one");
    refused(|options| options.target_url = "worker".to_owned(), "is not a URL");
    refused(|options| options.target_url = format!("https://x/{}", "y".repeat(2_000)), "longer");
    let allowed =
        Options { listen: "0.0.0.0:8080".parse().unwrap(), oidc: Some(oidc(super::ISSUER)), ..options() };
    CloudTasksBroker::new(allowed, now).unwrap();
}

#[test]
fn a_queue_that_sends_tasks_elsewhere_will_not_do() {
    let queue = QueueName::parse("the-queue").unwrap();
    let misfit = |written: Value| serde_json::from_value::<Queue>(written).unwrap().misfit(&queue).is_some();
    assert!(!misfit(json!({ "state": "RUNNING", "rateLimits": { "maxBurstSize": 100 } })));
    assert!(!misfit(json!({ "state": "PAUSED", "httpTarget": { "headerOverrides": [] } })));
    assert!(!misfit(json!({ "httpTarget": { "httpMethod": "POST" } })));
    assert!(misfit(json!({ "httpTarget": { "httpMethod": "GET" } })));
    assert!(misfit(json!({ "httpTarget": { "uriOverride": { "host": "example.com" } } })));
    let trouble = |state: &str| {
        let queue_found: Queue = serde_json::from_value(json!({ "state": state })).unwrap();
        queue_found.trouble(&queue)
    };
    assert_eq!(trouble("RUNNING"), None);
    assert!(trouble("PAUSED").unwrap().contains("gcloud tasks queues resume the-queue"));
    assert!(trouble("DISABLED").unwrap().contains("queue.yaml"));
}

fn key_set(keys: &[(&str, &str)]) -> Value {
    let keys = keys.iter().map(|(id, key)| {
        let public: PublicKeyComponents<Vec<u8>> = key_pair(key).public().into();
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        json!({ "kid": id, "kty": "RSA", "alg": "RS256", "n": encode(&public.n), "e": encode(&public.e) })
    });
    json!({ "keys": keys.collect::<Vec<_>>() })
}

/// An issuer with keys.
async fn issuer(keys: &[(&str, &str)]) -> (Fake, String) {
    let (fake, url) = Fake::start(&[(500, json!({}))]).await;
    turn_to(&fake, &url, keys);
    (fake, url)
}

fn turn_to(fake: &Fake, url: &str, keys: &[(&str, &str)]) {
    let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
    fake.answer(&[(200, discovery), (200, key_set(keys))]);
}

fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer,
        "aud": TARGET,
        "email": ACCOUNT,
        "email_verified": true,
        "iat": now().as_second(),
        "exp": now().as_second() + 3_600,
    })
}

async fn check(verifier: &Verifier, token: &str) -> Result<(), StatusCode> {
    verifier.check(Some(&HeaderValue::try_from(format!("Bearer {token}")).unwrap())).await
}

fn verifier(issuer: &str) -> Verifier {
    Verifier::new(&oidc(issuer), TARGET, Arc::new(Http::default()), now).unwrap()
}

#[tokio::test]
async fn only_what_cloud_tasks_signed_for_us_is_taken_in() {
    let (fake, url) = issuer(&[("one", KEY_ONE)]).await;
    let verifier = verifier(&url);
    let (no, not_you) = (Err(StatusCode::UNAUTHORIZED), Err(StatusCode::FORBIDDEN));
    let at = now().as_second();
    #[rustfmt::skip]
    let cases = [
        ("",               json!(null),                    Ok(())),
        ("exp",            json!(at - 59),                 Ok(())),
        ("exp",            json!(at - 61),                 no),
        ("iat",            json!(at + 61),                 no),
        ("nbf",            json!(at + 61),                 no),
        ("iss",            json!("https://example.com"),   no),
        ("aud",            json!("https://example.com"),   not_you),
        ("aud",            json!(["other", TARGET]),       Ok(())),
        ("aud",            json!(["other"]),               not_you),
        ("aud",            json!(7),                       not_you),
        ("email",          json!("other@example.com"),     not_you),
        ("email",          json!(""),                      not_you),
        ("email_verified", json!(false),                   not_you),
    ];
    for (claim, value, expected) in cases {
        let mut claims = claims(&url);
        if !claim.is_empty() {
            claims[claim] = value.clone();
        }
        assert_eq!(check(&verifier, &signed(KEY_ONE, "one", &claims)).await, expected, "{claim} {value}");
    }
    // Google's keys are asked for once.
    assert_eq!(fake.count(), 2);

    assert_eq!(verifier.check(None).await, no);
    let good = signed(KEY_ONE, "one", &claims(&url));
    let basic = HeaderValue::try_from(format!("Basic {good}")).unwrap();
    assert_eq!(verifier.check(Some(&basic)).await, no);
    assert_eq!(check(&verifier, "").await, no);
    assert_eq!(check(&verifier, "a.b.c").await, no);
    assert_eq!(check(&verifier, &"x".repeat(9_000)).await, no);
    // Signed by somebody else, under a name that is known and one that is not.
    assert_eq!(check(&verifier, &signed(KEY_TWO, "one", &claims(&url))).await, no);
    assert_eq!(check(&verifier, &signed(KEY_TWO, "two", &claims(&url))).await, no);
    // Other claims under a good signature, and no signature at all.
    let parts: Vec<&str> = good.split('.').collect();
    let mut more = claims(&url);
    more["exp"] = json!(at + 1_000_000);
    let more = BASE64_URL_SAFE_NO_PAD.encode(more.to_string());
    assert_eq!(check(&verifier, &format!("{}.{more}.{}", parts[0], parts[2])).await, no);
    for head in [json!({ "alg": "none", "kid": "one" }), json!({ "alg": "HS256", "kid": "one" })] {
        let head = BASE64_URL_SAFE_NO_PAD.encode(head.to_string());
        assert_eq!(check(&verifier, &format!("{head}.{}.", parts[1])).await, no);
        assert_eq!(check(&verifier, &format!("{head}.{}.{}", parts[1], parts[2])).await, no);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_turned_and_unknown_ones_are_not_asked_for_all_the_time() {
    let (fake, url) = issuer(&[("one", KEY_ONE)]).await;
    let verifier = verifier(&url);
    let (one, two) = (signed(KEY_ONE, "one", &claims(&url)), signed(KEY_TWO, "two", &claims(&url)));
    assert_eq!(check(&verifier, &one).await, Ok(()));
    turn_to(&fake, &url, &[("one", KEY_ONE), ("two", KEY_TWO)]);
    // Whoever names keys that are not there does not have us ask for each.
    assert_eq!(check(&verifier, &two).await, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(fake.count(), 2);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(check(&verifier, &two).await, Ok(()));
    assert_eq!(check(&verifier, &one).await, Ok(()));
    assert_eq!(fake.count(), 4);
    // One that is withdrawn is out an hour later.
    turn_to(&fake, &url, &[("two", KEY_TWO)]);
    tokio::time::advance(Duration::from_secs(3_601)).await;
    assert_eq!(check(&verifier, &one).await, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(check(&verifier, &two).await, Ok(()));
    assert_eq!(fake.count(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_away_does_not_stop_what_is_known() {
    let (fake, url) = issuer(&[("one", KEY_ONE)]).await;
    let verifier = verifier(&url);
    let (one, two) = (signed(KEY_ONE, "one", &claims(&url)), signed(KEY_TWO, "two", &claims(&url)));
    assert_eq!(check(&verifier, &one).await, Ok(()));
    fake.answer(&[(500, json!({}))]);
    tokio::time::advance(Duration::from_secs(3_601)).await;
    assert_eq!(check(&verifier, &one).await, Ok(()));
    // It cannot be told, and Cloud Tasks may ask again.
    assert_eq!(check(&verifier, &two).await, Err(StatusCode::SERVICE_UNAVAILABLE));
    tokio::time::advance(Duration::from_secs(24 * 3_600)).await;
    assert_eq!(check(&verifier, &one).await, Err(StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test]
async fn an_issuer_that_says_it_is_another_is_not_believed() {
    let (fake, url) = issuer(&[]).await;
    fake.answer(&[(200, json!({ "issuer": "https://example.com", "jwks_uri": format!("{url}/keys") }))]);
    let one = signed(KEY_ONE, "one", &claims(&url));
    assert_eq!(check(&verifier(&url), &one).await, Err(StatusCode::SERVICE_UNAVAILABLE));
    // Its keys do not come without TLS from elsewhere.
    fake.answer(&[(200, json!({ "issuer": url, "jwks_uri": "http://example.com/keys" }))]);
    assert_eq!(check(&verifier(&url), &one).await, Err(StatusCode::SERVICE_UNAVAILABLE));
}
