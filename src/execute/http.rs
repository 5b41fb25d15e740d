//! One HTTP request.

use std::{error::Error, time::Duration};

use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::{attempt::Shared, sink::Sink};
use crate::{
    manifest::{
        action::Method,
        spec::HttpSpec,
        template::{self, Kind, Values},
    },
    run::Outcome,
};

/// Most bytes of an answer that are read; the rest is not waited for.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long the way to a server may take.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// The request with its templates filled in.
pub(super) fn filled(request: &HttpSpec, values: &Values) -> Result<HttpSpec, String> {
    let fill = |text: &str| template::render(text, Kind::Plain, values).map(std::borrow::Cow::into_owned);
    let headers = request.headers.iter().map(|(name, value)| Ok((name.clone(), fill(value)?)));
    Ok(HttpSpec {
        url: fill(&request.url)?,
        unix_socket: request.unix_socket.as_deref().map(fill).transpose()?,
        headers: headers.collect::<Result<_, String>>()?,
        body: request.body.as_ref().map(|body| fill_value(body, &fill)).transpose()?,
        ..request.clone()
    })
}

fn fill_value(value: &Value, fill: &impl Fn(&str) -> Result<String, String>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(fill(text)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| fill_value(item, fill)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let filled = map.iter().map(|(key, value)| Ok((key.clone(), fill_value(value, fill)?)));
            Value::Object(filled.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

/// Sends the request, and says what came of it.
pub(super) async fn run(shared: &Shared, request: &HttpSpec, sink: &mut Sink<'_>) -> Outcome {
    let built = client(shared, request).and_then(|client| Ok((build(&client, request)?, client)));
    let (built, client) = match built {
        Ok(built) => built,
        Err(error) => {
            let reason = format!("the request cannot be made: {}", chain(&error));
            sink.say(&reason);
            return Outcome::NotStarted { reason };
        }
    };
    let line = format!("{} {}", built.method(), built.url());
    let mut response = match client.execute(built).await {
        Ok(response) => response,
        Err(error) => return failed(&line, &error, sink),
    };
    let status = response.status();
    sink.say(&format!("{line}: {status}"));
    let mut body = Vec::new();
    while body.len() < BODY_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                sink.write(&chunk);
                body.extend_from_slice(&chunk);
            }
            Ok(None) => break,
            Err(error) => return failed(&line, &error, sink),
        }
    }
    judge(request, status, &body, sink)
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

fn failed(line: &str, error: &reqwest::Error, sink: &mut Sink<'_>) -> Outcome {
    let reason = chain(error);
    sink.say(&format!("{line}: {reason}"));
    Outcome::Connect { reason }
}

/// The client of all requests; one of its own for a request to a socket.
fn client(shared: &Shared, request: &HttpSpec) -> reqwest::Result<Client> {
    if let Some(socket) = &request.unix_socket {
        return builder().unix_socket(socket.as_str()).build();
    }
    if let Some(client) = shared.http.get() {
        return Ok(client.clone());
    }
    let client = builder().build()?;
    Ok(shared.http.get_or_init(|| client).clone())
}

fn builder() -> reqwest::ClientBuilder {
    super::install_crypto();
    Client::builder().connect_timeout(CONNECT_MAX).user_agent(concat!("tintal/", env!("CARGO_PKG_VERSION")))
}

fn build(client: &Client, request: &HttpSpec) -> reqwest::Result<reqwest::Request> {
    let mut builder = client.request(method(request.method), &request.url);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    builder = match &request.body {
        None => builder,
        Some(Value::String(text)) => builder.body(text.clone()),
        Some(json) => builder.json(json),
    };
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

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
