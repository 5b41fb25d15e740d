//! Requests, against a real server.

use std::{fs, path::Path, time::Duration};

use axum::{
    Router,
    extract::RawQuery,
    http::{StatusCode, header::LOCATION},
    response::Response,
    routing::get,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Bench, run};
use crate::{execute::http, run::Outcome};

/// A server on a port of its own. Those under `/to/` redirect to the query.
async fn server() -> String {
    let redirect = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        axum::routing::any(async move |RawQuery(query): RawQuery| {
            (status, [(LOCATION, query.unwrap_or_default())])
        })
    };
    let router = Router::new()
        .route("/to/302", redirect(302))
        .route("/to/307", redirect(307))
        .route("/to/itself", redirect(302).layer(axum::middleware::map_response(to_itself)))
        .route(
            "/mirror",
            axum::routing::any(async |request: axum::extract::Request| {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1024).await.unwrap();
                format!("{} {} {:?} {body:?}", parts.method, parts.uri, parts.headers)
            }),
        )
        .route("/ok", get(async || "all is well"))
        .route("/down", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .route("/gone", get(async || StatusCode::GONE))
        .route(
            "/slow",
            get(async || {
                std::future::pending::<()>().await;
                "late"
            }),
        )
        .route(
            "/echo",
            axum::routing::post(async |headers: axum::http::HeaderMap, body: String| {
                format!(
                    "{} {body}",
                    headers.get("x-token").and_then(|token| token.to_str().ok()).unwrap_or_default()
                )
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn to_itself(mut response: Response) -> Response {
    response.headers_mut().insert(LOCATION, "/to/itself".parse().unwrap());
    response
}

#[tokio::test]
async fn a_request_is_judged_by_what_comes_back() {
    let url = server().await;
    let get =
        async |path: &str, more: &str| run(&format!("run: {{http: {{url: \"{url}{path}\"{more}}}}}")).await;
    let ok = get("/ok", "").await;
    assert_eq!(ok.outcome, Outcome::Success);
    assert!(ok.output.ends_with("all is well"), "{}", ok.output);
    assert_eq!(get("/ok", ", expect: {body_contains: well}").await.outcome, Outcome::Success);
    assert!(matches!(
        get("/ok", ", expect: {body_contains: bad}").await.outcome,
        Outcome::HttpUnexpected { status: 200, .. }
    ));
    assert_eq!(get("/down", "").await.outcome, Outcome::Http5xx { status: 503 });
    assert_eq!(get("/down", ", expect: {status: [503]}").await.outcome, Outcome::Success);
    assert!(matches!(get("/gone", "").await.outcome, Outcome::HttpUnexpected { status: 410, .. }));
    assert!(matches!(
        run("run: {http: {url: \"http://127.0.0.1:1/\"}}").await.outcome,
        Outcome::Connect { .. }
    ));
    let slow = run(&format!("run: {{http: {{url: \"{url}/slow\"}}}}\npolicy: {{timeout: 200ms}}")).await;
    assert_eq!(slow.outcome, Outcome::Timeout);
}

#[tokio::test]
async fn a_request_carries_templates_and_secrets_and_shows_none() {
    let url = server().await;
    let bench = Bench::new();
    fs::write(bench.path("token"), "hunter22-very-secret").unwrap();
    let ran = bench
        .run(&format!(
            "params: {{day: monday}}\nrun:\n  http:\n    method: POST\n    url: \"{url}/echo\"\n    headers: {{X-Token: \"{{{{ secrets.TOKEN }}}}\"}}\n    body: {{day: \"{{{{ params.day }}}}\"}}\n  secrets: {{TOKEN: {{file: {}}}}}\n",
            bench.path("token")
        ))
        .await;
    assert_eq!(ran.outcome, Outcome::Success, "{}", ran.output);
    assert!(ran.output.ends_with("*** {\"day\":\"monday\"}"), "{}", ran.output);
}

#[tokio::test]
async fn keys_of_a_body_and_what_an_answer_must_hold_are_templates_too() {
    let url = server().await;
    let post = async |more: &str| {
        run(&format!(
            "params: {{day: monday, on: true}}\nrun:\n  http: {{method: POST, url: \"{url}/echo\", {more}}}\n"
        ))
        .await
    };
    let ran = post(
        "body: {\"{{ params.day }}\": \"{{ params.on }}\"}, expect: {body_contains: \"{{ params.day }}\"}",
    )
    .await;
    assert_eq!(ran.outcome, Outcome::Success, "{}", ran.output);
    assert!(ran.output.ends_with("{\"monday\":\"true\"}"), "{}", ran.output);
    let ran = post("body: {\"{{ params.day }}\": 1, monday: 2}").await;
    assert!(ran.output.contains("two keys of the body are `monday`"), "{}", ran.output);
    assert!(matches!(ran.outcome, Outcome::NotStarted { .. }), "{:?}", ran.outcome);
}

#[tokio::test]
async fn a_password_in_a_url_is_not_shown() {
    let url = server().await.replace("http://", "http://me:hunter22@");
    for (to, shown) in [
        (format!("{url}/ok"), "GET http://me:***@"),
        ("http://me:hunter22@127.0.0.1:1/".to_owned(), "GET http://me:***@127.0.0.1:1/: "),
        (format!("{url}/to/302?{url}/ok"), "302 Found, to http://me:***@"),
    ] {
        let ran = run(&format!("run: {{http: {{url: \"{to}\"}}}}")).await;
        let head = ran.output.split("all is well").next().unwrap_or_default();
        assert!(head.contains(shown) && !head.contains("hunter22"), "{}", ran.output);
        assert!(!format!("{:?}", ran.outcome).contains("hunter22"), "{:?}", ran.outcome);
    }
}

/// F19.
#[tokio::test]
async fn a_request_shows_a_secret_in_no_form() {
    let url = server().await;
    let bench = Bench::new();
    fs::write(bench.path("token"), "p@ss w0rd/+\"x").unwrap();
    let get = async |url: &str| {
        let yaml = format!(
            "run:\n  http: {{url: \"{url}\", headers: {{X-Token: \"{{{{ secrets.TOKEN }}}}\"}}, expect: {{body_contains: \"of course not\"}}}}\n  secrets: {{TOKEN: {{file: {}}}}}\n",
            bench.path("token")
        );
        bench.run(&yaml).await
    };
    for path in ["/mirror?q={{ secrets.TOKEN }}", "/to/302?/mirror?{{ secrets.TOKEN }}"] {
        let ran = get(&format!("{url}{path}")).await;
        assert!(matches!(ran.outcome, Outcome::HttpUnexpected { status: 200, .. }), "{:?}", ran.outcome);
        assert!(!ran.output.contains("w0rd") && ran.output.contains("***"), "{}", ran.output);
    }
    let ran = get("http://127.0.0.1:1/{{ secrets.TOKEN }}").await;
    assert!(ran.output.starts_with("tintal: GET http://127.0.0.1:1/***: "), "{}", ran.output);
    let told = format!("{:?} {}", ran.outcome, ran.output);
    assert!(matches!(ran.outcome, Outcome::Connect { .. }) && !told.contains("w0rd"), "{told}");
    // The password goes as base64.
    fs::write(bench.path("token"), "hunter22-very-secret").unwrap();
    let ran = get(&(url.replace("http://", "http://me:{{ secrets.TOKEN }}@") + "/mirror")).await;
    assert!(ran.output.contains("Basic bWU6***") && !ran.output.contains("hunter22"), "{}", ran.output);
}

#[tokio::test]
async fn what_a_manifest_sends_does_not_follow_to_another_origin() {
    let (url, other) = (server().await, server().await);
    let send = async |method: &str, path: &str| {
        run(&format!(
            "run: {{http: {{method: {method}, url: \"{url}{path}\", headers: {{X-Key: of-the-house}}, body: words}}}}"
        ))
        .await
    };
    let here = send("POST", "/to/307?/mirror").await;
    assert_eq!(here.outcome, Outcome::Success, "{}", here.output);
    assert!(here.output.contains("POST /mirror") && here.output.contains("of-the-house"), "{}", here.output);
    assert!(here.output.contains("words"), "{}", here.output);
    let there = send("POST", &format!("/to/302?{other}/mirror")).await;
    assert_eq!(there.outcome, Outcome::Success, "{}", there.output);
    assert!(there.output.contains("GET /mirror"), "{}", there.output);
    for secret in ["of-the-house", "words", "referer"] {
        assert!(!there.output.contains(secret), "{}", there.output);
    }
    let refused = send("POST", &format!("/to/307?{other}/mirror")).await.outcome;
    assert!(matches!(refused, Outcome::HttpUnexpected { status: 307, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_when_it_is_expected() {
    let url = server().await;
    let get = async |path: &str, more: &str| {
        run(&format!("run: {{http: {{url: \"{url}{path}\"{more}}}}}")).await.outcome
    };
    assert_eq!(get("/to/302?/ok", ", expect: {body_contains: well}").await, Outcome::Success);
    assert_eq!(get("/to/302?/gone", ", expect: {status: [302]}").await, Outcome::Success);
    assert_eq!(get("/to/302?/gone", ", expect: {status: [307, 410]}").await, Outcome::Success);
    let Outcome::HttpUnexpected { status: 302, reason } = get("/to/itself", "").await else { panic!() };
    assert_eq!(reason, "it redirects more than 10 times");
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_not_started() {
    for (url, part) in [
        ("http://[", "its URL is of no use: invalid IPv6 address"),
        ("nowhere", "its URL is of no use: relative URL without a base"),
        ("ftp://127.0.0.1/x", "its URL has the scheme `ftp`"),
    ] {
        let outcome =
            run(&format!("params: {{to: \"{url}\"}}\nrun: {{http: {{url: \"{{{{ params.to }}}}\"}}}}"))
                .await
                .outcome;
        let Outcome::NotStarted { reason, .. } = &outcome else { panic!("{url}: {outcome:?}") };
        assert!(reason.contains(part), "{url}: {reason}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_lost_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    });
    let ran = run(&format!("run: {{http: {{url: \"http://{address}/\"}}}}")).await;
    assert!(matches!(ran.outcome, Outcome::Connect { .. }), "{:?}", ran.outcome);
    assert!(ran.output.contains("half\ntintal: GET http://"), "{}", ran.output);
}

#[tokio::test]
async fn a_request_without_a_timeout_has_a_limit_of_its_own() {
    let now = tokio::time::Instant::now();
    let after = |secs| now + Duration::from_secs(secs);
    assert_eq!(http::deadline(None, now), after(300));
    assert_eq!(http::deadline(Some(after(7200)), now), after(7200));
}

#[tokio::test]
async fn a_request_goes_to_a_socket() {
    let bench = Bench::new();
    let socket = bench.path("s.sock");
    let listener = tokio::net::UnixListener::bind(Path::new(&socket)).unwrap();
    let router = Router::new().route("/ok", get(async || "by socket"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let ran =
        bench.run(&format!("run: {{http: {{url: \"http://localhost/ok\", unix_socket: {socket}}}}}")).await;
    assert_eq!(ran.outcome, Outcome::Success, "{}", ran.output);
    assert!(ran.output.ends_with("by socket"));
}
