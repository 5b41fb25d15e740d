//! One HTTP request.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use reqwest::{Client, Response, StatusCode, Url, header::LOCATION, redirect::Policy};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    attempt::Shared,
    causes::with_causes,
    fill,
    printed::Stream,
    redirect::{self, Carries, Hop},
    sink::Sink,
};
use crate::{
    manifest::{
        action::Method,
        spec::HttpSpec,
        template::{self, Kind, Values},
        userinfo::{MASK, without_password},
    },
    run::Outcome,
};

/// Most bytes of an answer that are read; the rest is not waited for.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long the way to a server may take.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// How long a request may take when neither the job nor the step has a timeout: a server that
/// takes it and never answers must not hold the job for ever.
const REQUEST_MAX: Duration = Duration::from_secs(5 * 60);

/// Redirects of one request: browsers follow 20, honest servers send one or two.
const REDIRECTS_MAX: u32 = 10;

/// A request with its templates filled in.
pub(super) struct Filled {
    request: HttpSpec,
    /// The request's method and URL, as they may be shown.
    shown: String,
}

/// The request with its templates filled in.
pub(super) fn filled(
    request: &HttpSpec,
    values: &Values,
    secrets: &BTreeMap<String, String>,
) -> Result<Filled, String> {
    let hidden = secrets.keys().map(|name| (name.clone(), MASK.to_owned())).collect();
    let shown = template::render(&request.url, Kind::Plain, &Values { secrets: hidden, ..values.clone() });
    // A template that takes a secret apart cannot be filled with its mask.
    let shown = shown.unwrap_or(Cow::Borrowed(&request.url));
    let shown = format!("{} {}", method(request.method), without_password(&shown));

    let values = Values { secrets: secrets.clone(), ..values.clone() };
    let fill_in = |text: &str| fill::text(text, &values);
    let headers = request.headers.iter().map(|(name, value)| Ok((name.clone(), fill_in(value)?)));
    let request = HttpSpec {
        url: fill_in(&request.url)?,
        unix_socket: request.unix_socket.as_deref().map(fill_in).transpose()?,
        headers: headers.collect::<Result<_, String>>()?,
        body: request.body.as_ref().map(|body| fill::each(body, &fill_in)).transpose()?,
        expect_body_contains: request.expect_body_contains.as_deref().map(fill_in).transpose()?,
        ..request.clone()
    };
    Ok(Filled { request, shown })
}

/// When a request is given up: at `deadline`, or after a while when nothing else limits it.
pub(super) fn deadline(deadline: Option<Instant>, now: Instant) -> Instant {
    deadline.unwrap_or(now + REQUEST_MAX)
}

/// Sends the request, and says what came of it.
pub(super) async fn run(shared: &Shared, filled: &Filled, sink: &mut Sink<'_>) -> Outcome {
    let Filled { request, shown } = filled;
    let (response, way) = match answer(shared, filled, sink).await {
        Ok(answer) => answer,
        Err(outcome) => return outcome,
    };
    let status = response.status();
    sink.say(&format!("{shown}: {status}{way}"));
    match read(response, sink).await {
        Ok(body) => judge(request, status, &body, sink),
        Err(error) => failed(shown, &way, error, sink),
    }
}

/// The answer at the end of the redirects, and the way that it came by. A redirect that is expected is
/// an answer.
async fn answer(
    shared: &Shared,
    filled: &Filled,
    sink: &mut Sink<'_>,
) -> Result<(Response, String), Outcome> {
    let Filled { request, shown } = filled;
    let mut hop = first(request).map_err(|reason| not_started(&reason, sink))?;
    let mut redirects = 0;
    loop {
        let way = way(shared, request, &hop.url);
        let response = send(shared, &hop, request).await.map_err(|error| failed(shown, &way, error, sink))?;
        let status = response.status();
        let location = response.headers().get(LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()));
        let Some(location) = location else { return Ok((response, way)) };
        if !redirect::is_redirect(status) || request.expect_status.contains(&status.as_u16()) {
            return Ok((response, way));
        }
        redirects += 1;
        let next = if redirects > REDIRECTS_MAX {
            Err(format!("it redirects more than {REDIRECTS_MAX} times"))
        } else {
            redirect::next(&hop, status, &location)
        };
        let next = next.and_then(|next| match (&request.unix_socket, next.carries) {
            (Some(_), Carries::Nothing) => Err("it redirects away from the socket".to_owned()),
            _ => Ok(next),
        });
        hop = next.map_err(|reason| {
            sink.say(&format!("{shown}: {status}: {reason}"));
            Outcome::HttpUnexpected { status: status.as_u16(), reason }
        })?;
        sink.say(&format!("{shown}: {status}{way}, to {}", without_password(&location)));
    }
}

async fn send(shared: &Shared, hop: &Hop, request: &HttpSpec) -> reqwest::Result<Response> {
    let client = client(shared, request, &hop.url)?;
    client.execute(build(&client, hop, request)?).await
}

/// By which proxy a request goes, in words; nothing when it goes straight.
fn way(shared: &Shared, request: &HttpSpec, url: &Url) -> String {
    let proxy = if request.unix_socket.is_some() { None } else { shared.clients.proxy(url) };
    proxy.map(|proxy| format!(", by the proxy {proxy} of the environment")).unwrap_or_default()
}

fn first(request: &HttpSpec) -> Result<Hop, String> {
    let url = Url::parse(&request.url).map_err(|error| format!("its URL is of no use: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("its URL has the scheme `{}`, which is neither http nor https", url.scheme()));
    }
    Ok(Hop { method: method(request.method), url, carries: Carries::All })
}

async fn read(mut response: Response, sink: &mut Sink<'_>) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while body.len() < BODY_BYTES_MAX {
        let Some(chunk) = response.chunk().await? else { break };
        sink.write(Stream::Out, &chunk);
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn judge(request: &HttpSpec, status: StatusCode, body: &[u8], sink: &mut Sink<'_>) -> Outcome {
    let code = status.as_u16();
    let expected = if request.expect_status.is_empty() {
        status.is_success()
    } else {
        request.expect_status.contains(&code)
    };
    if !expected {
        if status.is_server_error() {
            return Outcome::Http5xx { status: code };
        }
        return Outcome::HttpUnexpected { status: code, reason: "not an expected status".to_owned() };
    }
    match &request.expect_body_contains {
        Some(wanted) if !String::from_utf8_lossy(body).contains(wanted.as_str()) => {
            let reason = format!("the body does not hold `{wanted}`");
            sink.say(&reason);
            Outcome::HttpUnexpected { status: code, reason }
        }
        _ => Outcome::Success,
    }
}

fn not_started(reason: &str, sink: &mut Sink<'_>) -> Outcome {
    let reason = format!("the request cannot be made: {reason}");
    sink.say(&reason);
    Outcome::not_started(reason)
}

/// `way` is that of [`way`].
fn failed(shown: &str, way: &str, error: reqwest::Error, sink: &mut Sink<'_>) -> Outcome {
    // The URL of the error has the secrets in it.
    let error = error.without_url();
    let reason = with_causes(&error) + way;
    if error.is_builder() {
        return not_started(&reason, sink);
    }
    sink.say(&format!("{shown}: {reason}"));
    Outcome::Connect { reason }
}

/// The client for a URL; one of its own for a request to a socket.
fn client(shared: &Shared, request: &HttpSpec, url: &Url) -> reqwest::Result<Client> {
    match &request.unix_socket {
        Some(socket) => builder().no_proxy().unix_socket(socket.as_str()).build(),
        None => shared.clients.of(url, builder),
    }
}

fn builder() -> reqwest::ClientBuilder {
    super::install_crypto();
    Client::builder()
        .connect_timeout(CONNECT_MAX)
        // Redirects are followed here, since what goes along is decided here.
        .redirect(Policy::none())
        .user_agent(concat!("tintal/", env!("CARGO_PKG_VERSION")))
}

fn build(client: &Client, hop: &Hop, request: &HttpSpec) -> reqwest::Result<reqwest::Request> {
    let mut builder = client.request(hop.method.clone(), hop.url.clone());
    if hop.carries != Carries::Nothing {
        for (name, value) in &request.headers {
            let of_body = ["content-type", "content-encoding"].iter().any(|of| name.eq_ignore_ascii_case(of));
            if hop.carries == Carries::All || !of_body {
                builder = builder.header(name, value);
            }
        }
    }
    if hop.carries == Carries::All {
        builder = match &request.body {
            None => builder,
            Some(Value::String(text)) => builder.body(text.clone()),
            Some(json) => builder.json(json),
        };
    }
    builder.build()
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
        Method::Options => reqwest::Method::OPTIONS,
    }
}
