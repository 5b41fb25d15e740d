//! Whether a push is Cloud Tasks': the token that it carries, and the keys of who signs such tokens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::{HeaderValue, StatusCode};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use reqwest::{Response, Url, header::CACHE_CONTROL};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    sync::Mutex as Turn,
    time::{Instant, timeout},
};
use tracing::warn;

use super::Oidc;
use crate::backend::queue::{
    broker::BrokerError,
    google::http::{Http, base_url, failed},
};

/// Clocks may differ by this.
const LEEWAY_SECS: i64 = 60;

/// Most characters of a token: Google's have about eight hundred.
const TOKEN_LEN_MAX: usize = 8 * 1_024;

/// How long the keys may take.
const FETCH_MAX: Duration = Duration::from_secs(10);

/// Most bytes of a document of the issuer.
const DOCUMENT_BYTES_MAX: usize = 256 * 1_024;

/// Keys are not asked for more often than this, whatever tokens name.
const FETCH_EVERY: Duration = Duration::from_secs(10);

/// How long keys hold when the issuer does not say.
const HOLD: Duration = Duration::from_secs(3_600);

/// Keys hold no longer than this, whatever the issuer says: one that was stolen is withdrawn by it.
const HOLD_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Checks tokens.
#[derive(Debug)]
pub(super) struct Verifier {
    service_account: String,
    audience: String,
    issuer: String,
    discovery: Url,
    http: Arc<Http>,
    now: fn() -> Timestamp,
    keys: Mutex<Option<Arc<Keys>>>,
    turn: Turn<()>,
}

/// The keys of the issuer.
#[derive(Debug)]
struct Keys {
    by_id: HashMap<String, PublicKey>,
    fetched_at: Instant,
    hold_until: Instant,
}

#[derive(Debug)]
struct PublicKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<WrittenKey>,
}

#[derive(Deserialize)]
struct WrittenKey {
    kid: Option<String>,
    kty: String,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Said {
    iss: String,
    aud: Value,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    iat: Option<i64>,
    #[serde(default)]
    email: String,
    #[serde(default)]
    email_verified: bool,
}

impl Verifier {
    pub(super) fn new(
        oidc: &Oidc,
        target_url: &str,
        http: Arc<Http>,
        now: fn() -> Timestamp,
    ) -> Result<Self, BrokerError> {
        let issuer = oidc.issuer.trim_end_matches('/').to_owned();
        // What the issuer says is as good as a secret: who can change it can push.
        let discovery = base_url(&format!("{issuer}/.well-known/openid-configuration"), "issuer", true)?;
        Ok(Self {
            service_account: oidc.service_account.clone(),
            audience: oidc.audience.clone().unwrap_or_else(|| target_url.to_owned()),
            issuer,
            discovery,
            http,
            now,
            keys: Mutex::default(),
            turn: Turn::default(),
        })
    }

    /// Whether a push may be taken in; the status of the answer when it may not. It says no more: who
    /// has no token is told nothing.
    pub(super) async fn check(&self, authorization: Option<&HeaderValue>) -> Result<(), StatusCode> {
        let said = self.said(authorization).await?;
        let now = (self.now)().as_second();
        let is_timely = now - LEEWAY_SECS < said.exp
            && said.nbf.is_none_or(|from| from <= now + LEEWAY_SECS)
            && said.iat.is_none_or(|from| from <= now + LEEWAY_SECS);
        let is_issuer = said.iss == self.issuer || self.issuer.strip_prefix("https://") == Some(&said.iss);
        if !is_timely || !is_issuer {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let is_for_us = match &said.aud {
            Value::String(audience) => *audience == self.audience,
            Value::Array(audiences) => audiences.iter().any(|audience| *audience == self.audience),
            _ => false,
        };
        let is_account = said.email_verified && said.email == self.service_account;
        if is_for_us && is_account { Ok(()) } else { Err(StatusCode::FORBIDDEN) }
    }

    /// What a token says, if its signature is good.
    async fn said(&self, authorization: Option<&HeaderValue>) -> Result<Said, StatusCode> {
        let no = StatusCode::UNAUTHORIZED;
        let text = authorization.and_then(|value| value.to_str().ok()).ok_or(no)?;
        let (scheme, token) = text.split_once(' ').ok_or(no)?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > TOKEN_LEN_MAX {
            return Err(no);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(no)?;
        let (head, claims) = signed.split_once('.').ok_or(no)?;
        let head: Head = part(head).ok_or(no)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| no)?;
        // Whoever chooses the algorithm chooses whether there is a signature.
        if head.alg != "RS256" {
            return Err(no);
        }
        let keys = self.keys(&head.kid).await?;
        let key = keys.by_id.get(&head.kid).ok_or(no)?;
        let key = RsaPublicKeyComponents { n: &key.modulus, e: &key.exponent };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).map_err(|_| no)?;
        part(claims).ok_or(no)
    }

    /// The keys; asked for anew when they are old, or do not hold the one that is looked for.
    async fn keys(&self, id: &str) -> Result<Arc<Keys>, StatusCode> {
        if let Some(keys) = self.fit(id) {
            return Ok(keys);
        }
        let _turn = self.turn.lock().await;
        if let Some(keys) = self.fit(id) {
            return Ok(keys);
        }
        let fetched = timeout(FETCH_MAX, self.fetch()).await;
        let error = match fetched {
            Ok(Ok(keys)) => {
                let keys = Arc::new(keys);
                *self.held() = Some(Arc::clone(&keys));
                return Ok(keys);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {FETCH_MAX:?}"),
        };
        warn!(issuer = self.issuer, error, "the keys of the tokens of Cloud Tasks cannot be had");
        // Those that are there are good until they are withdrawn.
        let held = self.held().clone();
        let old = held.filter(|keys| keys.fetched_at.elapsed() < HOLD_MAX && keys.by_id.contains_key(id));
        old.ok_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The keys that are held, if they do for a token.
    fn fit(&self, id: &str) -> Option<Arc<Keys>> {
        let keys = self.held().clone()?;
        let is_new = keys.fetched_at.elapsed() < FETCH_EVERY;
        let is_good = Instant::now() < keys.hold_until && keys.by_id.contains_key(id);
        (is_new || is_good).then_some(keys)
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<Keys>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) -> Result<Keys, BrokerError> {
        let (discovery, _): (Discovery, _) = self.document(self.discovery.clone()).await?;
        if discovery.issuer.trim_end_matches('/') != self.issuer {
            let reason = format!("`{}` says that it is `{}`", self.issuer, discovery.issuer);
            return Err(BrokerError::Refused { reason });
        }
        let url = base_url(&discovery.jwks_uri, "address of the issuer's keys", true)?;
        let (set, hold): (KeySet, _) = self.document(url).await?;
        let keys = set.keys.into_iter().filter_map(|key| {
            let decode = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
            let public = PublicKey { modulus: decode(key.n)?, exponent: decode(key.e)? };
            (key.kty == "RSA").then_some((key.kid?, public))
        });
        let fetched_at = Instant::now();
        Ok(Keys { by_id: keys.collect(), fetched_at, hold_until: fetched_at + hold })
    }

    /// A document of the issuer, and how long it holds.
    async fn document<T: DeserializeOwned>(&self, url: Url) -> Result<(T, Duration), BrokerError> {
        let what = "the issuer";
        let response = self.http.client(&url)?.get(url).send().await.map_err(|error| failed(error, what))?;
        let mut response = response.error_for_status().map_err(|error| failed(error, what))?;
        let hold = hold(&response);
        let mut bytes = Vec::new();
        while let Some(more) = response.chunk().await.map_err(|error| failed(error, what))? {
            bytes.extend_from_slice(&more);
            if bytes.len() > DOCUMENT_BYTES_MAX {
                return Err(BrokerError::Refused { reason: format!("{what} says too much") });
            }
        }
        let read = serde_json::from_slice(&bytes).map_err(|error| BrokerError::Refused {
            reason: format!("{what} gives a document that makes no sense: {error}"),
        })?;
        Ok((read, hold))
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// How long an answer says that it holds.
fn hold(response: &Response) -> Duration {
    let control = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
    let age = control.and_then(|control| {
        let age = control.split(',').find_map(|part| part.trim().strip_prefix("max-age="))?;
        age.parse().ok().map(Duration::from_secs)
    });
    age.unwrap_or(HOLD).clamp(FETCH_EVERY, HOLD_MAX)
}
