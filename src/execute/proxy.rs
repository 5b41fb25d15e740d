//! Which client makes a request: one that goes by a proxy of the daemon's environment, or straight.
//!
//! `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` hold, in either case of letters, as they do
//! for other programs. What is on this machine is never asked for elsewhere: a proxy's `localhost` is
//! another.

use std::sync::OnceLock;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Client, ClientBuilder, Url};
use url::Host;

use crate::manifest::userinfo::without_password;

/// The clients of all requests to servers, made when they are first needed.
#[derive(Debug, Default)]
pub(super) struct Clients {
    proxied: OnceLock<Client>,
    straight: OnceLock<Client>,
    proxies: OnceLock<Matcher>,
}

impl Clients {
    /// The client for a request to a URL. It is built by `builder`.
    pub(super) fn of(&self, url: &Url, builder: impl FnOnce() -> ClientBuilder) -> reqwest::Result<Client> {
        let (made, is_straight) = match self.proxy(url) {
            Some(_) => (&self.proxied, false),
            None => (&self.straight, true),
        };
        if let Some(client) = made.get() {
            return Ok(client.clone());
        }
        let builder = if is_straight { builder().no_proxy() } else { builder() };
        let client = builder.build()?;
        Ok(made.get_or_init(|| client).clone())
    }

    /// The proxy that a request to a URL goes by, as it may be shown; none when it goes straight.
    pub(super) fn proxy(&self, url: &Url) -> Option<String> {
        if is_here(url) {
            return None;
        }
        let uri: Uri = url.as_str().parse().ok()?;
        let proxies = self.proxies.get_or_init(Matcher::from_system);
        proxies.intercept(&uri).map(|proxy| without_password(&proxy.uri().to_string()).into_owned())
    }
}

/// Whether a URL leads to this machine by its name or number.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => {
            let v4 = address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback() || v4.is_unspecified());
            v4 || address.is_loopback() || address.is_unspecified()
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_this_machine_table() {
        for (url, expected) in [
            ("http://localhost:80/x", true),
            ("http://LOCALHOST./", true),
            ("http://a.localhost", true),
            ("http://127.0.0.1", true),
            ("http://127.1/", true),
            ("http://0.0.0.0/", true),
            ("http://[::1]:80/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://notlocalhost/", false),
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_here(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
