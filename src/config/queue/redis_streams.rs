//! `redis-streams`: Redis, Valkey, and what speaks their protocol.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use url::Url;

use super::{
    login::Login,
    options::{DEDUPE_MAX, Options},
    tls::{TlsFile, TlsSettings},
};
use crate::manifest::{action::SecretRef, code::Code, text::DurationText};

/// The server when nobody names one.
const URL: &str = "redis://127.0.0.1:6379";

/// How a URL may begin; `rediss` is TLS.
const SCHEMES: [&str; 2] = ["redis", "rediss"];

/// How long a message is known again by its id.
const DEDUPE: Duration = Duration::from_secs(24 * 3600);

/// Redis streams: one server, a cluster, or servers that sentinels watch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisStreamsFile {
    /// The server: `redis://HOST:PORT/DATABASE`; `rediss` is TLS. Default: `redis://127.0.0.1:6379`.
    #[schemars(length(min = 1, max = 2048), extend("examples" = ["redis://redis.example.com:6379/0"]))]
    pub url: Option<String>,
    /// Some nodes of a cluster, in place of `url`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 2048)))]
    pub urls: Option<Vec<String>>,
    /// Sentinels that know the server, in place of `url`.
    pub sentinel: Option<SentinelFile>,
    /// Name of an ACL user.
    #[schemars(length(min = 1, max = 255))]
    pub username: Option<String>,
    /// Where the password is looked up.
    pub password: Option<SecretRef>,
    /// TLS towards the server. Default: none.
    pub tls: Option<TlsFile>,
    /// How long a message is known again by its id. Default: `24h`.
    pub dedupe: Option<DurationText>,
    /// Name of the consumer group. Default: `tintal`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub group: Option<String>,
    /// How long a claim on a message holds that nobody extends: then another worker takes it. Default:
    /// `30s`.
    pub claim: Option<DurationText>,
    /// The queue that results go back on. Default: `tintal-results`.
    #[schemars(length(min = 3, max = 40), regex(pattern = r"^[a-z][a-z0-9-]*[a-z0-9]$"))]
    pub results: Option<String>,
}

/// Sentinels that know the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SentinelFile {
    /// The sentinels: `redis://HOST:26379`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 2048)))]
    pub urls: Vec<String>,
    /// The name that they know the server by.
    #[schemars(length(min = 1, max = 255), extend("examples" = ["mymaster"]))]
    pub service: String,
}

/// The options of Redis streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisStreamsSettings {
    /// Where the server is.
    pub servers: RedisServers,
    /// Who we are to it.
    pub login: Login,
    /// TLS towards it.
    pub tls: Option<TlsSettings>,
    /// How long a message is known again by its id.
    pub dedupe: Duration,
    /// Name of the consumer group.
    pub group: String,
}

/// Where a Redis server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisServers {
    /// One server.
    One {
        /// Its URL.
        url: String,
    },
    /// A cluster.
    Cluster {
        /// URLs of some of its nodes.
        urls: Vec<String>,
    },
    /// The one that sentinels name.
    Sentinel {
        /// URLs of the sentinels.
        urls: Vec<String>,
        /// The name that they know it by.
        service: String,
    },
}

/// Reads them; none when something in them cannot be used.
pub(super) fn read(options: &mut Options<'_, '_>) -> Option<RedisStreamsSettings> {
    let (servers, wants_tls) = servers(options)?;
    let login = options.login();
    let tls = options.tls().or_else(|| wants_tls.then(TlsSettings::default));
    let dedupe = options.duration("dedupe", DEDUPE, Duration::from_secs(1)..=DEDUPE_MAX)?;
    let group = options.value("group", "tintal".to_owned())?;
    Some(RedisStreamsSettings { servers, login, tls, dedupe, group })
}

/// Where the server is, and whether the URL asks for TLS.
fn servers(options: &mut Options<'_, '_>) -> Option<(RedisServers, bool)> {
    let mut given = ["url", "urls", "sentinel"].into_iter().filter(|key| options.is_given(key));
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        let message = format!(
            "`redis-streams` takes one of `url`, `urls` and `sentinel`, not `{first}` and `{second}`"
        );
        let help = "keep `url` for one server, `urls` for a cluster, or `sentinel`";
        options.fault(second, Code::OptionsClash, message, "and this one", help);
        return None;
    }
    let asks = |urls: &[Url]| urls.iter().any(|url| url.scheme() == "rediss");
    if let Some(SentinelFile { urls, service }) = options.optional("sentinel") {
        let parsed = options.urls("sentinel.urls", &urls, &SCHEMES)?;
        return Some((RedisServers::Sentinel { urls, service }, asks(&parsed)));
    }
    if let Some(urls) = options.optional::<Vec<String>>("urls") {
        let parsed = options.urls("urls", &urls, &SCHEMES)?;
        return Some((RedisServers::Cluster { urls }, asks(&parsed)));
    }
    let url = options.value("url", URL.to_owned())?;
    let parsed = options.url("url", &url, &SCHEMES)?;
    Some((RedisServers::One { url }, asks(&[parsed])))
}
