//! `rabbitmq`: RabbitMQ, LavinMQ, and what speaks AMQP 0.9.1.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    login::Login,
    options::Options,
    tls::{TlsFile, TlsSettings},
};
use crate::manifest::{action::SecretRef, text::DurationText};

/// How a URL may begin; `amqps` is TLS.
const SCHEMES: [&str; 2] = ["amqp", "amqps"];

/// How often either side is told that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// RabbitMQ, or LavinMQ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RabbitmqFile {
    /// The server with its virtual host, without a password: `amqp://HOST:5672/VHOST`; `amqps` is TLS.
    #[schemars(length(min = 1, max = 2048), extend("examples" = ["amqps://rabbit.example.com/jobs"]))]
    pub url: String,
    /// A user's name. Default: that in the URL, or else `guest`.
    #[schemars(length(min = 1, max = 255))]
    pub username: Option<String>,
    /// Where the password is looked up. Default: `guest`, which servers take from their own machine only.
    pub password: Option<SecretRef>,
    /// TLS towards the server. Default: as the URL says.
    pub tls: Option<TlsFile>,
    /// How often either side is told that the other is there. Default: `10s`.
    pub heartbeat: Option<DurationText>,
    /// How long a claim on a message holds that nobody extends: then another worker takes it. Default:
    /// `30s`.
    pub claim: Option<DurationText>,
    /// The queue that results go back on. Default: `tintal-results`.
    #[schemars(length(min = 3, max = 40), regex(pattern = r"^[a-z][a-z0-9-]*[a-z0-9]$"))]
    pub results: Option<String>,
}

/// The options of RabbitMQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RabbitmqSettings {
    /// The server with its virtual host.
    pub url: String,
    /// Who we are to it.
    pub login: Login,
    /// TLS towards it.
    pub tls: Option<TlsSettings>,
    /// How often either side is told that the other is there.
    pub heartbeat: Duration,
}

/// Reads them; none when something in them cannot be used.
pub(super) fn read(options: &mut Options<'_, '_>) -> Option<RabbitmqSettings> {
    let url: Option<String> = options.required("url");
    let parsed = url.as_ref().and_then(|url| options.url("url", url, &SCHEMES));
    let login = options.login();
    let wants_tls = parsed.as_ref().is_some_and(|url| url.scheme() == "amqps");
    let tls = options.tls().or_else(|| wants_tls.then(TlsSettings::default));
    // The protocol counts in whole seconds, in 16 bits.
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
    let heartbeat = options.duration("heartbeat", HEARTBEAT, bounds)?;
    parsed?;
    Some(RabbitmqSettings { url: url?, login, tls, heartbeat })
}
