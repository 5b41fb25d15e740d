//! One request to a Google service, and what an answer that is an error means.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Method, Response, StatusCode, Url, header::AUTHORIZATION};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    credentials::Credentials,
    http::{Http, base_url, failed},
    token::{QUOTA_PROJECT, Token, Tokens},
};
use crate::backend::queue::broker::{BrokerError, Effect};

/// How long a request may take, from its first byte to the answer's last: ten megabytes go through a line
/// of six megabits a second in this time, and a connection that is held half open ends with it.
pub(crate) const REQUEST_MAX: Duration = Duration::from_secs(15);

/// Most characters that are said of what a server said.
const SAID_CHARS_MAX: usize = 500;

/// A service of Google's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: &'static str,
    /// The role that an account needs for all that we do.
    pub(crate) role: &'static str,
}

/// A way to a service.
#[derive(Debug)]
pub(crate) struct Api {
    service: &'static Service,
    base: Url,
    http: Arc<Http>,
    tokens: Tokens,
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// Google's name of it, as in `ALREADY_EXISTS`; empty when it gave none.
    pub(crate) code: String,
    /// What it said.
    pub(crate) message: String,
    /// What it said of single things, by their names.
    pub(crate) notes: BTreeMap<String, String>,
}

/// Why a request did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The service answered, and said so.
    Said(&'static Service, Complaint),
    /// It did not answer, or was not asked.
    Unheard(BrokerError),
}

/// The body of an answer that is an error.
#[derive(Deserialize)]
struct Wrapped {
    error: Written,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

impl Api {
    /// A way to a service at an endpoint. Nothing is asked yet.
    pub(crate) fn new(
        service: &'static Service,
        endpoint: &str,
        credentials: Credentials,
        now: fn() -> Timestamp,
    ) -> Result<Self, BrokerError> {
        let is_secret = !matches!(credentials, Credentials::Anonymous);
        let base = base_url(endpoint, "endpoint", is_secret)?;
        let http = Arc::new(Http::default());
        let tokens = Tokens::new(credentials, Arc::clone(&http), now);
        Ok(Self { service, base, http, tokens })
    }

    /// The HTTP clients.
    pub(crate) fn http(&self) -> &Arc<Http> {
        &self.http
    }

    /// Asks for a path, and gives what is answered. A token that is not accepted is made anew, once.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        within: Duration,
    ) -> Result<Bytes, Failure> {
        let body = body.into();
        let url = self.url(path)?;
        let token = self.tokens.token().await?;
        let once = self.once(method.clone(), url.clone(), body.clone(), token.as_deref(), within);
        match (once.await, token) {
            (Err(Failure::Said(_, complaint)), Some(token))
                if complaint.status == StatusCode::UNAUTHORIZED =>
            {
                self.tokens.forget(&token);
                let token = self.tokens.token().await?;
                self.once(method, url, body, token.as_deref(), within).await
            }
            (result, _) => result,
        }
    }

    /// As [`Api::ask`], and reads the answer.
    pub(crate) async fn ask_for<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<T, Failure> {
        let answer = self.ask(method, path, body, REQUEST_MAX).await?;
        self.read(&answer)
    }

    /// What an answer says.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&self, answer: &'a [u8]) -> Result<T, Failure> {
        serde_json::from_slice(answer).map_err(|error| {
            let reason = format!("{} gave an answer that makes no sense: {error}", self.service.name);
            Failure::Unheard(BrokerError::Unreachable { effect: Effect::Unknown, reason })
        })
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        Url::parse(&url).map_err(|_| {
            let reason = format!("`{url}` is not a URL");
            Failure::Unheard(BrokerError::Refused { reason })
        })
    }

    async fn once(
        &self,
        method: Method,
        url: Url,
        body: Bytes,
        token: Option<&Token>,
        within: Duration,
    ) -> Result<Bytes, Failure> {
        let mut request = self.http.client(&url)?.request(method, url).timeout(within);
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token.authorization.clone());
            if let Some(project) = &token.quota_project {
                request = request.header(QUOTA_PROJECT, project.clone());
            }
        }
        let unheard = |error| Failure::Unheard(failed(error, self.service.name));
        let response = request.send().await.map_err(unheard)?;
        if response.status().is_success() {
            return response.bytes().await.map_err(unheard);
        }
        let complaint = complaint(response).await.map_err(unheard)?;
        Err(Failure::Said(self.service, complaint))
    }
}

async fn complaint(response: Response) -> reqwest::Result<Complaint> {
    let status = response.status();
    let body = response.bytes().await?;
    Ok(match serde_json::from_slice::<Wrapped>(&body) {
        Ok(Wrapped { error }) => Complaint {
            status,
            code: error.status,
            message: error.message,
            notes: error.details.into_iter().flat_map(|detail| detail.metadata).collect(),
        },
        // A page of a proxy, or of a service that is no Google's.
        Err(_) => Complaint {
            status,
            code: String::new(),
            message: String::from_utf8_lossy(&body).into_owned(),
            notes: BTreeMap::new(),
        },
    })
}

impl Failure {
    /// Whether the service said that something is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Said(_, Complaint { status: StatusCode::NOT_FOUND, .. }))
    }

    /// Whether the service said that something is there already.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self, Self::Said(_, complaint) if complaint.code == "ALREADY_EXISTS")
    }

    /// Whether the service is there: it said something.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::Said(..))
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message: Cow<'_, str> = match self.message.char_indices().nth(SAID_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &self.message[..end]).into(),
            None => self.message.trim().into(),
        };
        match (self.code.as_str(), &*message) {
            ("", "") => write!(f, "{}", self.status),
            ("", said) => write!(f, "{}: {said}", self.status),
            (code, said) => write!(f, "{code}: {said}"),
        }
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Self::Unheard(error)
    }
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        let (Service { name, role }, complaint) = match failure {
            Failure::Unheard(error) => return error,
            Failure::Said(service, complaint) => (service, complaint),
        };
        let reason = format!("{name} says {complaint}");
        let refused = |way_out: &str| Self::Refused { reason: format!("{reason}; {way_out}") };
        match (complaint.status.as_u16(), complaint.code.as_str()) {
            (_, "RESOURCE_EXHAUSTED" | "UNAVAILABLE" | "ABORTED") | (429 | 503, _) => Self::Busy { reason },
            (408 | 500 | 502 | 504, _) => Self::Unreachable { effect: Effect::Unknown, reason },
            (401, _) => refused("the credentials are not accepted: look at the key, or at the clock"),
            (403, _) => refused(&format!(
                "grant the account `{role}`, and see that the service is enabled in the project"
            )),
            (404, _) => refused("it was deleted, or never made; it is made at the start"),
            (413, _) => refused("what is sent is too large"),
            (300..=399, _) => refused("look at the endpoint"),
            _ => Self::Refused { reason },
        }
    }
}
