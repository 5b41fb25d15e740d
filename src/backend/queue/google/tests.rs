use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::*};
use jiff::Timestamp;
use ring::{
    rsa::{KeyPair, PublicKeyComponents},
    signature::RSA_PKCS1_2048_8192_SHA256,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    api::{Api, Failure, REQUEST_MAX, Service},
    credentials::{Credentials, sign},
    http::base_url,
};
use crate::backend::queue::broker::{BrokerError, Effect};

mod keys;

pub(in crate::backend::queue) use keys::{KEY_ONE, KEY_TWO};

static SERVICE: Service = Service { name: "Example", role: "roles/example.editor" };

/// A time at which the tests run.
pub(in crate::backend::queue) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// A server that answers as it is told, in turn, the last for ever, and remembers what it was asked.
#[derive(Clone, Default)]
pub(in crate::backend::queue) struct Fake {
    pub(in crate::backend::queue) asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
}

/// A request.
#[derive(Debug, Clone)]
pub(in crate::backend::queue) struct Asked {
    pub(in crate::backend::queue) what: String,
    headers: HeaderMap,
    body: String,
}

impl Fake {
    /// Starts one; gives its URL.
    pub(in crate::backend::queue) async fn start(answers: &[(u16, Value)]) -> (Self, String) {
        let fake = Self::default();
        fake.answer(answers);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(ask).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, url)
    }

    pub(in crate::backend::queue) fn answer(&self, answers: &[(u16, Value)]) {
        *self.answers.lock().unwrap() =
            answers.iter().map(|(status, body)| (*status, body.to_string())).collect();
    }

    pub(in crate::backend::queue) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn header(&self, at: usize, name: &str) -> Option<String> {
        self.asked.lock().unwrap()[at].headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}

async fn ask(
    State(fake): State<Fake>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    fake.asked.lock().unwrap().push(Asked { what: format!("{method} {uri}"), headers, body });
    let mut answers = fake.answers.lock().unwrap();
    let (status, body) = answers.pop_front().unwrap();
    if answers.is_empty() {
        answers.push_back((status, body.clone()));
    }
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

pub(in crate::backend::queue) fn key_pair(key: &str) -> KeyPair {
    KeyPair::from_pkcs8(&BASE64_STANDARD.decode(key).unwrap()).unwrap()
}

/// A token as somebody signs it with a key.
pub(in crate::backend::queue) fn signed(key: &str, id: &str, claims: &Value) -> String {
    sign(&key_pair(key), Some(id), claims).unwrap()
}

fn key_file(key: &str) -> String {
    let pem = format!("-----BEGIN {0}-----\n{key}\n-----END {0}-----\n", "PRIVATE KEY");
    let file = json!({
        "type": "service_account",
        "project_id": "example",
        "private_key_id": "the-key",
        "private_key": pem,
        "client_email": "jobs@example.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    file.to_string()
}

fn person(token_uri: &str) -> Credentials {
    let file = json!({
        "type": "authorized_user",
        "client_id": "the-client",
        "client_secret": "the-secret",
        "refresh_token": "the&refresh",
        "token_uri": token_uri,
        "quota_project_id": "the-project",
    });
    Credentials::Text(file.to_string().into())
}

fn granted(token: &str, secs: u64) -> (u16, Value) {
    (200, json!({ "access_token": token, "expires_in": secs, "token_type": "Bearer" }))
}

fn api(endpoint: &str, credentials: Credentials) -> Api {
    Api::new(&SERVICE, endpoint, credentials, now).unwrap()
}

async fn get(api: &Api) -> Result<Value, Failure> {
    api.ask_for(Method::GET, "/v1/things", "").await
}

#[tokio::test]
async fn a_service_account_signs_its_own_tokens_and_keeps_them() {
    let (fake, url) = Fake::start(&[(200, json!({}))]).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.json");
    std::fs::write(&path, key_file(KEY_ONE)).unwrap();
    let api = api(&url, Credentials::File(path));
    assert_eq!(get(&api).await, Ok(json!({})));
    get(&api).await.unwrap();
    let authorization = fake.header(0, "authorization").unwrap();
    assert_eq!(fake.header(1, "authorization").unwrap(), authorization);

    let token = authorization.strip_prefix("Bearer ").unwrap();
    let (text, signature) = token.rsplit_once('.').unwrap();
    let public: PublicKeyComponents<Vec<u8>> = key_pair(KEY_ONE).public().into();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    public.verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), &signature).unwrap();
    let (head, claims) = text.split_once('.').unwrap();
    let part = |text| serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    assert_eq!(part(head), json!({ "alg": "RS256", "typ": "JWT", "kid": "the-key" }));
    let email = "jobs@example.iam.gserviceaccount.com";
    let issued = now().as_second() - 10;
    let expected = json!({
        "iss": email,
        "sub": email,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "iat": issued,
        "exp": issued + 3_600,
    });
    assert_eq!(part(claims), expected);
}

#[tokio::test]
async fn many_who_need_a_token_have_one_made_for_all() {
    let (fake, url) = Fake::start(&[(200, json!({}))]).await;
    let (tokens, token_url) = Fake::start(&[granted("first", 3_600)]).await;
    let api = api(&url, person(&token_url));
    let asked = futures_util::future::join_all((0..20).map(|_| get(&api))).await;
    assert!(asked.iter().all(Result::is_ok));
    assert_eq!(tokens.count(), 1);
    let body = tokens.asked.lock().unwrap()[0].body.clone();
    let expected = "grant_type=refresh_token&client_id=the-client&client_secret=the-secret\
                    &refresh_token=the%26refresh";
    assert_eq!(body, expected);
    assert_eq!(fake.header(7, "authorization").unwrap(), "Bearer first");
    assert_eq!(fake.header(7, "x-goog-user-project").unwrap(), "the-project");
}

#[tokio::test]
async fn a_token_is_made_anew_before_it_is_over_and_the_old_one_holds_meanwhile() {
    let (fake, url) = Fake::start(&[(200, json!({}))]).await;
    // So near its end, each request tries for a new one.
    let (tokens, token_url) =
        Fake::start(&[granted("first", 200), (503, json!({})), granted("second", 3_600)]).await;
    let api = api(&url, person(&token_url));
    get(&api).await.unwrap();
    get(&api).await.unwrap();
    assert_eq!(fake.header(1, "authorization").unwrap(), "Bearer first");
    assert_eq!(tokens.count(), 2);
    // The next try is not at once.
    get(&api).await.unwrap();
    assert_eq!((tokens.count(), fake.header(2, "authorization").unwrap()), (2, "Bearer first".to_owned()));
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_made_anew_once() {
    let no = (401, json!({ "error": { "code": 401, "message": "no", "status": "UNAUTHENTICATED" } }));
    let (fake, url) = Fake::start(&[no.clone(), (200, json!({})), no]).await;
    let (tokens, token_url) = Fake::start(&[granted("first", 3_600), granted("next", 3_600)]).await;
    let api = api(&url, person(&token_url));
    get(&api).await.unwrap();
    assert_eq!(fake.header(1, "authorization").unwrap(), "Bearer next");
    let refused = BrokerError::from(get(&api).await.unwrap_err());
    assert!(
        matches!(&refused, BrokerError::Refused { reason } if reason.contains("credentials")),
        "{refused}"
    );
    assert_eq!((fake.count(), tokens.count()), (4, 3));
}

#[tokio::test]
async fn the_metadata_server_gives_the_machines_token() {
    let (fake, url) = Fake::start(&[(200, json!({}))]).await;
    let (metadata, metadata_url) = Fake::start(&[granted("machine", 3_600)]).await;
    let host = metadata_url.strip_prefix("http://").unwrap().to_owned();
    get(&api(&url, Credentials::Metadata { host })).await.unwrap();
    let path = "GET /computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!(metadata.asked.lock().unwrap()[0].what, path);
    assert_eq!(metadata.header(0, "metadata-flavor").unwrap(), "Google");
    assert_eq!(fake.header(0, "authorization").unwrap(), "Bearer machine");
}

#[tokio::test]
async fn nobody_sends_no_token() {
    let (fake, url) = Fake::start(&[(200, json!({}))]).await;
    get(&api(&url, Credentials::Anonymous)).await.unwrap();
    assert_eq!(fake.header(0, "authorization"), None);
}

#[tokio::test]
async fn credentials_that_cannot_be_used_are_refused_without_their_secrets() {
    let (fake, url) = Fake::start(&[(200, json!({}))]).await;
    let text = |text: String| Credentials::Text(text.into());
    let mut other: Value = serde_json::from_str(&key_file(KEY_ONE)).unwrap();
    other["type"] = "external_account".into();
    let denied = (400, json!({ "error": "invalid_grant", "error_description": "Token has been revoked." }));
    let (_tokens, token_url) = Fake::start(&[denied]).await;
    let cases = [
        (text("{\"type\": \"service_account\", \"private_key\": 7".to_owned()), "no credentials file"),
        (text(key_file("c2VjcmV0")), "no RSA key"),
        (text(other.to_string()), "`external_account`"),
        (Credentials::File("/nowhere/key.json".into()), "`/nowhere/key.json` cannot be read"),
        (person(&token_url), "invalid_grant (Token has been revoked.)"),
        (person("http://token.example.com"), "without TLS"),
    ];
    for (credentials, words) in cases {
        let error = BrokerError::from(get(&api(&url, credentials)).await.unwrap_err());
        let BrokerError::Refused { reason } = error else { panic!("{words}: {error}") };
        assert!(reason.contains(words), "{reason}");
        for secret in ["c2VjcmV0", "the-secret", "the&refresh", KEY_ONE] {
            assert!(!reason.contains(secret), "{reason}");
        }
    }
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn a_token_that_cannot_be_had_says_that_nothing_was_sent() {
    let (fake, url) = Fake::start(&[(200, json!({}))]).await;
    let error = BrokerError::from(get(&api(&url, person("http://127.0.0.1:1"))).await.unwrap_err());
    assert!(matches!(error, BrokerError::Unreachable { effect: Effect::None, .. }), "{error}");
    let (_tokens, token_url) = Fake::start(&[(500, json!({}))]).await;
    let error = BrokerError::from(get(&api(&url, person(&token_url))).await.unwrap_err());
    assert!(matches!(error, BrokerError::Busy { .. }), "{error}");
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn an_answer_that_is_an_error_means_what_its_status_says() {
    let (fake, url) = Fake::start(&[(200, json!({}))]).await;
    let api = api(&url, Credentials::Anonymous);
    #[rustfmt::skip]
    let cases = [
        (400, "INVALID_ARGUMENT",    "refused"),
        (401, "UNAUTHENTICATED",     "refused"),
        (403, "PERMISSION_DENIED",   "refused"),
        (404, "NOT_FOUND",           "refused"),
        (409, "ABORTED",             "busy"),
        (412, "FAILED_PRECONDITION", "refused"),
        (429, "RESOURCE_EXHAUSTED",  "busy"),
        (403, "RESOURCE_EXHAUSTED",  "busy"),
        (500, "INTERNAL",            "unreachable"),
        (501, "UNIMPLEMENTED",       "refused"),
        (502, "",                    "unreachable"),
        (503, "UNAVAILABLE",         "busy"),
        (504, "DEADLINE_EXCEEDED",   "unreachable"),
        (302, "",                    "refused"),
    ];
    for (status, code, expected) in cases {
        fake.answer(&[(
            status,
            json!({ "error": { "code": status, "message": "why it is", "status": code } }),
        )]);
        let error = BrokerError::from(get(&api).await.unwrap_err());
        let (kind, reason) = match &error {
            BrokerError::Refused { reason } => ("refused", reason),
            BrokerError::Busy { reason } => ("busy", reason),
            BrokerError::Unreachable { effect: Effect::Unknown, reason } => ("unreachable", reason),
            other => panic!("{other:?}"),
        };
        assert_eq!(kind, expected, "{status} {code}");
        assert!(reason.starts_with("Example says ") && reason.contains("why it is"), "{reason}");
        assert_eq!(reason.contains("roles/example.editor"), status == 403 && kind == "refused", "{reason}");
    }
    // A page of a proxy, longer than anybody wants to read.
    fake.answer(&[(502, json!("<html>".repeat(1_000)))]);
    let error = BrokerError::from(get(&api).await.unwrap_err());
    assert!(error.to_string().len() < 700, "{error}");
}

#[tokio::test]
async fn no_server_and_a_silent_one_are_unreachable() {
    let api_of = |url: &str| api(url, Credentials::Anonymous);
    let error = BrokerError::from(get(&api_of("http://127.0.0.1:1")).await.unwrap_err());
    assert!(matches!(error, BrokerError::Unreachable { effect: Effect::None, .. }), "{error}");
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let within = Duration::from_millis(200);
    let asked = api_of(&url).ask(Method::GET, "/v1/things", "", within).await;
    let error = BrokerError::from(asked.unwrap_err());
    assert!(matches!(error, BrokerError::Unreachable { effect: Effect::Unknown, .. }), "{error}");
    assert!(within < REQUEST_MAX);
}

#[test]
fn secrets_go_by_tls_or_stay_on_this_machine() {
    let case = |url: &str, is_secret| base_url(url, "endpoint", is_secret).is_ok();
    assert!(case("https://pubsub.googleapis.com", true));
    assert!(case("http://127.0.0.1:8085", true));
    assert!(case("http://[::1]:8085", true));
    assert!(case("http://localhost:8085/prefix", true));
    assert!(case("http://emulator:8085", false));
    assert!(!case("http://emulator:8085", true));
    assert!(!case("http://127.0.0.1.example.com", true));
    assert!(!case("http://localhost@example.com", true));
    assert!(!case("https://somebody:secret@example.com", true));
    assert!(!case("https://example.com/?a=b", true));
    assert!(!case("ftp://example.com", false));
    assert!(!case("example.com:443", false));
}
