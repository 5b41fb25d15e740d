//! The token that requests carry: made when it is first needed, and anew before it is over.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{
    RequestBuilder, Response, Url,
    header::{HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::{
    sync::{Mutex as Turn, MutexGuard as TurnGuard},
    time::Instant,
};
use tracing::warn;

use super::{
    credentials::{Credentials, Identity, Person, SIGNED_SECS, parse},
    http::{Http, base_url, failed},
};
use crate::backend::queue::broker::{BrokerError, Effect};

/// A token is made anew when it is good for less than this. The metadata server gives out the same one
/// until five minutes before its end, so an earlier try would be for nothing.
const RENEW_BEFORE: Duration = Duration::from_secs(225);

/// How long a new token may take.
const TOKEN_MAX: Duration = Duration::from_secs(10);

/// How long one that still holds is used after a new one could not be had.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// Most bytes of a credentials file: a key has two thousand.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where the metadata server has the token.
const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// Names the project that a person's requests count for.
pub(crate) const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// A token, as requests carry it.
#[derive(Debug)]
pub(crate) struct Token {
    /// The `Authorization` header.
    pub(crate) authorization: HeaderValue,
    /// The [`QUOTA_PROJECT`] header.
    pub(crate) quota_project: Option<HeaderValue>,
    renew_at: Instant,
    over_at: Instant,
}

/// The tokens of one identity. One is made at a time, however many ask.
#[derive(Debug)]
pub(crate) struct Tokens {
    credentials: Credentials,
    http: Arc<Http>,
    now: fn() -> Timestamp,
    held: Mutex<Option<Arc<Token>>>,
    turn: Turn<()>,
}

/// What a token endpoint answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

/// What a token endpoint answers when it grants nothing.
#[derive(Deserialize)]
struct Denied {
    error: String,
    error_description: Option<String>,
}

impl Tokens {
    pub(crate) fn new(credentials: Credentials, http: Arc<Http>, now: fn() -> Timestamp) -> Self {
        Self { credentials, http, now, held: Mutex::default(), turn: Turn::default() }
    }

    /// The token; none for nobody.
    pub(crate) async fn token(&self) -> Result<Option<Arc<Token>>, BrokerError> {
        if matches!(self.credentials, Credentials::Anonymous) {
            return Ok(None);
        }
        let now = Instant::now();
        let held = self.held().clone();
        let turn = match held {
            Some(token) if now < token.renew_at => return Ok(Some(token)),
            // It holds: who has the turn renews it, and nobody else waits for that.
            Some(token) if now < token.over_at => match self.turn.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(Some(token)),
            },
            _ => self.turn.lock().await,
        };
        self.renewed(&turn).await.map(Some)
    }

    /// Forgets a token that was not accepted, so that the next request has a new one.
    pub(crate) fn forget(&self, token: &Arc<Token>) {
        let mut held = self.held();
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, token)) {
            *held = None;
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<Token>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new token, unless somebody made one while this one waited for its turn.
    async fn renewed(&self, _turn: &TurnGuard<'_, ()>) -> Result<Arc<Token>, BrokerError> {
        let now = Instant::now();
        let held = self.held().clone();
        if let Some(token) = &held
            && now < token.renew_at
        {
            return Ok(Arc::clone(token));
        }
        let made = tokio::time::timeout(TOKEN_MAX, self.make()).await.unwrap_or_else(|_| {
            let reason = format!("no token within {TOKEN_MAX:?}");
            Err(BrokerError::Unreachable { effect: Effect::None, reason })
        });
        let token = match (made, held) {
            (Ok(token), _) => token,
            (Err(error), Some(old)) if now < old.over_at => {
                warn!(%error, "no new token for Google; the old one still holds");
                let Token { authorization, quota_project, over_at, .. } = &*old;
                let (authorization, quota_project) = (authorization.clone(), quota_project.clone());
                Token { authorization, quota_project, renew_at: now + TRY_AGAIN, over_at: *over_at }
            }
            (Err(error), _) => return Err(error),
        };
        let token = Arc::new(token);
        *self.held() = Some(Arc::clone(&token));
        Ok(token)
    }

    async fn make(&self) -> Result<Token, BrokerError> {
        match &self.credentials {
            // Not asked for; a token that says nothing does no harm.
            Credentials::Anonymous => token(&SecretString::default(), 0, None),
            Credentials::File(path) => {
                let place = format!("the credentials file `{}`", path.display());
                let refused = |why| BrokerError::Refused { reason: format!("{place} {why}") };
                let unread = |error: std::io::Error| refused(format!("cannot be read: {error}"));
                let size = tokio::fs::metadata(path).await.map_err(unread)?.len();
                if size > FILE_BYTES_MAX {
                    return Err(refused(format!("has more than {FILE_BYTES_MAX} bytes")));
                }
                let text: SecretString = tokio::fs::read_to_string(path).await.map_err(unread)?.into();
                self.of(parse(text.expose_secret().as_bytes(), &place)?).await
            }
            Credentials::Text(text) => {
                self.of(parse(text.expose_secret().as_bytes(), "the text of the credentials")?).await
            }
            Credentials::Metadata { host } => self.of_metadata(host).await,
        }
    }

    async fn of(&self, identity: Identity) -> Result<Token, BrokerError> {
        match identity {
            Identity::ServiceAccount(account) => {
                let signed = account.signed_token((self.now)()).ok_or_else(|| BrokerError::Refused {
                    reason: "the service account's key cannot sign".to_owned(),
                })?;
                token(&signed, SIGNED_SECS.unsigned_abs(), None)
            }
            Identity::Person(person) => self.of_person(&person).await,
        }
    }

    async fn of_person(&self, person: &Person) -> Result<Token, BrokerError> {
        let what = "the token endpoint";
        let url = base_url(&person.token_uri, what, true)?;
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &person.client_id),
            ("client_secret", person.client_secret.expose_secret()),
            ("refresh_token", person.refresh_token.expose_secret()),
        ];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.client(&url)?.post(url).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let granted = granted(request, what).await?;
        token(&granted.access_token.into(), granted.expires_in, person.quota_project.as_deref())
    }

    async fn of_metadata(&self, host: &str) -> Result<Token, BrokerError> {
        let what = "the metadata server";
        let url = format!("http://{host}{METADATA_PATH}");
        let url = Url::parse(&url).map_err(|_| BrokerError::Refused {
            reason: format!("`{host}` is no name of a metadata server"),
        })?;
        let request = self.http.client(&url)?.get(url).header("metadata-flavor", "Google");
        let granted = granted(request, what).await?;
        token(&granted.access_token.into(), granted.expires_in, None)
    }
}

fn token(secret: &SecretString, good_secs: u64, quota: Option<&str>) -> Result<Token, BrokerError> {
    let unfit = |_| BrokerError::Refused { reason: "the token is none that a request can carry".to_owned() };
    let mut authorization =
        HeaderValue::try_from(format!("Bearer {}", secret.expose_secret())).map_err(unfit)?;
    authorization.set_sensitive(true);
    let quota_project = quota.map(HeaderValue::try_from).transpose().map_err(unfit)?;
    let (now, good) = (Instant::now(), Duration::from_secs(good_secs.min(24 * 3_600)));
    let renew_at = now + good.saturating_sub(RENEW_BEFORE);
    Ok(Token { authorization, quota_project, renew_at, over_at: now + good })
}

async fn granted(request: RequestBuilder, what: &str) -> Result<Granted, BrokerError> {
    // Whatever goes wrong here, what the token is for was not sent.
    let unsent = |error| match failed(error, what) {
        BrokerError::Unreachable { reason, .. } => BrokerError::Unreachable { effect: Effect::None, reason },
        other => other,
    };
    let response = request.send().await.map_err(unsent)?;
    let status = response.status();
    if status.is_success() {
        return response.json().await.map_err(unsent);
    }
    let said = denied(response).await;
    let reason = format!("{what} gives no token: {status}{said}");
    if status.is_server_error() || status.as_u16() == 429 {
        return Err(BrokerError::Busy { reason });
    }
    Err(BrokerError::Refused { reason: format!("{reason}; look at the credentials") })
}

async fn denied(response: Response) -> String {
    match response.json::<Denied>().await {
        Ok(Denied { error, error_description: Some(more) }) => format!(": {error} ({more})"),
        Ok(Denied { error, .. }) => format!(": {error}"),
        Err(_) => String::new(),
    }
}
