//! The HTTP clients of the Google adapters, and how an error of theirs is said.

use std::{sync::OnceLock, time::Duration};

use reqwest::{Client, ClientBuilder, Url, redirect::Policy};
use url::Host;

use crate::{
    backend::queue::broker::{BrokerError, Effect},
    execute::{causes::with_causes, install_crypto},
};

/// Longest time until a connection is there: Google's front ends are a few milliseconds away, a proxy
/// may be busy.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long a connection that is not used is kept. Google's front ends close it after four minutes, and
/// a firewall on the way may forget it sooner.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How often a connection that waits for an answer is looked after.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The clients, made when they are first needed.
#[derive(Debug, Default)]
pub(crate) struct Http {
    proxied: OnceLock<Client>,
    straight: OnceLock<Client>,
}

impl Http {
    /// The client for a URL. What is asked for without TLS is an emulator or this machine's own metadata
    /// server, and no proxy knows it.
    pub(crate) fn client(&self, url: &Url) -> Result<&Client, BrokerError> {
        let is_straight = url.scheme() == "http";
        let made = if is_straight { &self.straight } else { &self.proxied };
        if let Some(client) = made.get() {
            return Ok(client);
        }
        install_crypto();
        let builder = if is_straight { builder().no_proxy() } else { builder() };
        let client = builder.build().map_err(|error| failed(error, "cannot make an HTTP client"))?;
        Ok(made.get_or_init(|| client))
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("tintal/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_MAX)
        .pool_idle_timeout(IDLE_MAX)
        .tcp_keepalive(KEEP_ALIVE)
        .redirect(Policy::none())
}

/// What an error of the client means. Its URL is not said: `what` is.
pub(crate) fn failed(error: reqwest::Error, what: &str) -> BrokerError {
    let error = error.without_url();
    let reason = format!("{what}: {}", with_causes(&error));
    if error.is_builder() {
        BrokerError::Refused { reason }
    } else if error.is_connect() {
        BrokerError::Unreachable { effect: Effect::None, reason }
    } else {
        BrokerError::Unreachable { effect: Effect::Unknown, reason }
    }
}

/// A base URL that secrets may be sent to: by TLS, or to this machine.
pub(crate) fn base_url(text: &str, what: &str, is_secret: bool) -> Result<Url, BrokerError> {
    let refused = |why: &str| {
        let reason = format!("the {what} `{text}` {why}");
        Err(BrokerError::Refused { reason })
    };
    let Ok(url) = Url::parse(text) else { return refused("is not a URL, as in `https://example.com`") };
    match url.scheme() {
        "https" => {}
        "http" if !is_secret || is_here(&url) => {}
        "http" => return refused("would be told a secret without TLS; use https"),
        _ => return refused("is neither https nor http"),
    }
    if url.cannot_be_a_base() || url.query().is_some() || url.fragment().is_some() {
        return refused("must be scheme, host and path only");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refused("must not hold a user or a password");
    }
    Ok(url)
}

/// Whether a URL leads to this machine, or to the metadata server that stands for it.
pub(crate) fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name == "metadata.google.internal",
        // The metadata server's address is link-local.
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
