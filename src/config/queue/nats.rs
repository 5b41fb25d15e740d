//! `nats`: NATS JetStream.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    login::Login,
    options::{DEDUPE_MAX, Options},
    tls::{TlsFile, TlsSettings},
};
use crate::manifest::{action::SecretRef, code::Code, spec::SecretSource, text::DurationText};

/// How a URL may begin; `tls` is TLS.
const SCHEMES: [&str; 2] = ["nats", "tls"];

/// How long a message is known again by its id.
const DEDUPE: Duration = Duration::from_secs(120);

/// NATS JetStream. At most one of `username`, `token`, `nkey_seed` and `credentials` says who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NatsFile {
    /// Servers of one cluster: `nats://HOST:4222`; `tls` is TLS.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 2048)), extend("examples" = [["nats://nats.example.com:4222"]]))]
    pub servers: Vec<String>,
    /// A user's name; with `password`.
    #[schemars(length(min = 1, max = 255))]
    pub username: Option<String>,
    /// Where the password is looked up.
    pub password: Option<SecretRef>,
    /// Where a token is looked up.
    pub token: Option<SecretRef>,
    /// Where the seed of an nkey is looked up.
    pub nkey_seed: Option<SecretRef>,
    /// A file of credentials (`.creds`), relative to this file.
    #[schemars(length(min = 1, max = 4096))]
    pub credentials: Option<String>,
    /// TLS towards the servers. Default: as they ask for it.
    pub tls: Option<TlsFile>,
    /// Copies of each stream, when it is made. Default: 1.
    #[schemars(range(min = 1, max = 5))]
    pub replicas: Option<u8>,
    /// How long a message is known again by its id, when the stream is made. Default: `2m`.
    pub duplicate_window: Option<DurationText>,
    /// Bytes that a stream may hold, when it is made; a full one takes no more. Default: as many as the
    /// server has room for.
    #[schemars(range(min = 1_048_576))]
    pub max_bytes: Option<u64>,
    /// How long a claim on a message holds that nobody extends: then another worker takes it. Default:
    /// `30s`.
    pub claim: Option<DurationText>,
    /// The queue that results go back on. Default: `tintal-results`.
    #[schemars(length(min = 3, max = 40), regex(pattern = r"^[a-z][a-z0-9-]*[a-z0-9]$"))]
    pub results: Option<String>,
}

/// The options of NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsSettings {
    /// Servers of one cluster.
    pub servers: Vec<String>,
    /// Who we are to them.
    pub auth: NatsAuth,
    /// TLS towards them.
    pub tls: Option<TlsSettings>,
    /// Copies of each stream, when it is made.
    pub replicas: u8,
    /// How long a message is known again by its id, when the stream is made.
    pub duplicate_window: Duration,
    /// Bytes that a stream may hold, when it is made.
    pub max_bytes: Option<u64>,
}

/// Who we are to NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatsAuth {
    /// Nobody in particular.
    Nobody,
    /// A user with a password.
    Login(Login),
    /// Who has the token.
    Token(SecretSource),
    /// Who has the seed of the nkey.
    NkeySeed(SecretSource),
    /// Whom a file of credentials names.
    Credentials(PathBuf),
}

/// Reads them; none when something in them cannot be used.
pub(super) fn read(options: &mut Options<'_, '_>) -> Option<NatsSettings> {
    let servers: Option<Vec<String>> = options.required("servers");
    let parsed = servers.as_ref().and_then(|servers| options.urls("servers", servers, &SCHEMES));
    let auth = auth(options);
    let wants_tls = parsed.iter().flatten().any(|url| url.scheme() == "tls");
    let tls = options.tls().or_else(|| wants_tls.then(TlsSettings::default));
    let replicas = options.value("replicas", 1)?;
    let duplicate_window =
        options.duration("duplicate_window", DEDUPE, Duration::from_secs(1)..=DEDUPE_MAX)?;
    let max_bytes = options.optional("max_bytes");
    parsed?;
    Some(NatsSettings { servers: servers?, auth: auth?, tls, replicas, duplicate_window, max_bytes })
}

fn auth(options: &mut Options<'_, '_>) -> Option<NatsAuth> {
    let ways = ["username", "token", "nkey_seed", "credentials"];
    let given: Vec<&str> = ways.into_iter().filter(|key| options.is_given(key)).collect();
    if let [first, second, ..] = given.as_slice() {
        let message = format!("`nats` takes one of `{}`, not `{first}` and `{second}`", ways.join("`, `"));
        options.fault(
            second,
            Code::OptionsClash,
            message,
            "and this one",
            "keep the one that the servers ask for",
        );
        return None;
    }
    if options.is_given("password") && !options.is_given("username") {
        let message = "`password` has no effect without `username`".to_owned();
        options.fault("password", Code::OptionsClash, message, "alone", "add `username: ...`");
        return None;
    }
    match given.first() {
        None => Some(NatsAuth::Nobody),
        Some(&"username") => Some(NatsAuth::Login(options.login())),
        Some(&"token") => options.secret("token").map(NatsAuth::Token),
        Some(&"nkey_seed") => options.secret("nkey_seed").map(NatsAuth::NkeySeed),
        Some(_) => options.path("credentials").map(NatsAuth::Credentials),
    }
}
