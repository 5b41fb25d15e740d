//! Google Cloud Pub/Sub: a topic and a pull subscription for each queue, both under its name.
//!
//! A message stays in the subscription until it is acknowledged, seven days at most. Pub/Sub gives it
//! again when that does not happen within the claim, and now and then without a reason; it neither
//! delays messages nor knows their ids, and does not say how many there are.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use reqwest::Method;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use self::{
    claims::{Claim, Claims},
    line::Line,
    pulls::Pulls,
    wire::{Published, ack_body, deadline_body, publish_body},
};
use super::{
    broker::{
        Broker, BrokerError, Capabilities, Delivery, Depth, Effect, Health, Message, Order, QueueName, Sent,
        Settlement, Verdict,
    },
    google::{
        api::{Api, Failure, Service},
        credentials::Credentials,
    },
};

mod claims;
mod ensure;
mod line;
mod lots;
mod pulls;
mod wire;

#[cfg(test)]
mod tests;

/// Where Pub/Sub is. For order across regions a regional endpoint is better.
pub const ENDPOINT: &str = "https://pubsub.googleapis.com";

/// Shortest claim: Pub/Sub's limit of an acknowledgement deadline.
pub const CLAIM_MIN: Duration = Duration::from_secs(10);

/// Longest claim: Pub/Sub's limit of an acknowledgement deadline. It is the longest wait until a message
/// is tried again, too.
pub const CLAIM_MAX: Duration = Duration::from_secs(600);

/// How long a message that is not ours is left alone.
const LEAVE: Duration = Duration::from_secs(60);

/// Longest wait of one call; a longer one is no use to anybody.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Requests of one call that are under way at once.
const WINDOW: usize = 8;

/// What Pub/Sub does by itself.
///
/// A request may have ten million bytes, a quarter of which base64 takes.
pub const CAPABILITIES: Capabilities = Capabilities {
    delay: Duration::ZERO,
    dedupe: Duration::ZERO,
    order: Order::None,
    extends: true,
    counts: false,
    body_max: 7_400_000,
};

/// What Pub/Sub does by itself with [`Options::is_ordered`].
pub const CAPABILITIES_ORDERED: Capabilities = Capabilities { order: Order::PerKey, ..CAPABILITIES };

/// How Pub/Sub is reached, and how it is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// The project's id, as in `my-project-123`.
    pub project: String,
    /// Where Pub/Sub is: [`ENDPOINT`], a regional endpoint, or an emulator as in `http://127.0.0.1:8085`.
    pub endpoint: String,
    /// Who asks. [`Credentials::Anonymous`] for an emulator.
    pub credentials: Credentials,
    /// How long a claim lasts: from [`CLAIM_MIN`] to [`CLAIM_MAX`], in whole seconds.
    pub claim: Duration,
    /// Whether messages of one key stay in order. It cannot be changed for a queue that is there, each
    /// key needs a request of its own, and with a message that comes again all later ones of its key
    /// come again, also those that were acknowledged.
    pub is_ordered: bool,
}

/// Pub/Sub's service.
static SERVICE: Service = Service { name: "Pub/Sub", role: "roles/pubsub.editor" };

/// Pub/Sub as a [`Broker`].
pub struct PubsubBroker {
    shared: Arc<Shared>,
    pulls: Pulls,
    lines: Mutex<HashMap<QueueName, Arc<Line>>>,
}

/// What the adapter's tasks share.
#[derive(Debug)]
struct Shared {
    options: Options,
    claim_secs: u16,
    api: Api,
    claims: Claims,
}

impl fmt::Debug for PubsubBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubsubBroker").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl PubsubBroker {
    /// An adapter. It asks for nothing before it is used.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Refused`] for options that cannot be.
    pub fn new(options: Options, now: fn() -> Timestamp) -> Result<Self, BrokerError> {
        if !is_project(&options.project) {
            let reason = format!("`{}` is no id of a Google Cloud project", options.project);
            return Err(BrokerError::Refused { reason });
        }
        let (claim, claim_secs) = (options.claim, u16::try_from(options.claim.as_secs()).unwrap_or(0));
        if !(CLAIM_MIN..=CLAIM_MAX).contains(&claim) || claim.subsec_nanos() > 0 {
            let (min, max) = (CLAIM_MIN.as_secs(), CLAIM_MAX.as_secs());
            let reason = format!("Pub/Sub's claim must be {min} to {max} whole seconds, not {claim:?}");
            return Err(BrokerError::Refused { reason });
        }
        let api = Api::new(&SERVICE, &options.endpoint, options.credentials.clone(), now)?;
        let shared = Arc::new(Shared { options, claim_secs, api, claims: Claims::default() });
        Ok(Self { pulls: Pulls::new(Arc::clone(&shared)), shared, lines: Mutex::default() })
    }

    fn line(&self, queue: &QueueName) -> Arc<Line> {
        let mut lines: MutexGuard<'_, _> = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(queue) {
            return Arc::clone(line);
        }
        let line = Arc::new(Line::new(queue.clone()));
        lines.insert(queue.clone(), Arc::clone(&line));
        line
    }
}

/// Whether a text can be a project's id; a path is made of it.
pub(super) fn is_project(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.');
    (1..=100).contains(&text.len()) && text.bytes().all(is_word) && !text.starts_with('.')
}

#[async_trait]
impl Broker for PubsubBroker {
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.shared.ensure(queue).await
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        let mut results: Vec<_> = messages.iter().map(lots::fits).collect();
        let fit = (0..messages.len()).filter(|&index| results[index].is_ok());
        let lanes = lots::lanes(messages, fit, self.shared.options.is_ordered);
        let requests: Vec<_> = lanes.iter().map(|lane| self.shared.publish(queue, messages, lane)).collect();
        let sent: Vec<_> = stream::iter(requests).buffer_unordered(WINDOW).collect().await;
        for (index, error) in sent.into_iter().flatten() {
            results[index] = Err(error);
        }
        results
    }

    /// What came from Pub/Sub while nobody waited is kept for a moment, so a call that is dropped, or
    /// whose time is over, delays nothing.
    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        let line = self.line(queue);
        let _seat = line.sit();
        loop {
            let arrived = line.arrived();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if let Some(result) = line.take(max, Instant::now()) {
                return Ok(self.shared.claims.open(result?));
            }
            self.pulls.start(&line, max);
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn settle(&self, queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        let now = Instant::now();
        let mut results = vec![Ok(()); settlements.len()];
        let mut groups: BTreeMap<Wish, Vec<(usize, Claim<'_>)>> = BTreeMap::new();
        for (index, settlement) in settlements.iter().enumerate() {
            match self.shared.claims.claim(&settlement.receipt, now) {
                Some(claim) => {
                    let wish = Wish::from(settlement.verdict);
                    groups.entry(wish).or_default().push((index, claim));
                }
                None => results[index] = Err(BrokerError::ClaimOver),
            }
        }
        let mut requests = Vec::new();
        for (wish, claims) in &groups {
            requests.extend(lots::by_size(claims).map(|lot| self.shared.settle_lot(queue, *wish, lot)));
        }
        let settled: Vec<_> = stream::iter(requests).buffer_unordered(WINDOW).collect().await;
        for (index, error) in settled.into_iter().flatten() {
            results[index] = Err(error);
        }
        results
    }

    /// Pub/Sub does not say it; only Cloud Monitoring does, minutes later.
    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        let reason = format!(
            "Pub/Sub does not tell how many messages there are; see `num_undelivered_messages` of the \
             subscription `{queue}` in Cloud Monitoring"
        );
        Err(BrokerError::Refused { reason })
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        let Options { project, endpoint, .. } = &self.shared.options;
        let path = format!("/v1/projects/{project}/topics?pageSize=1");
        let _: IgnoredAny = self.shared.api.ask_for(Method::GET, &path, "").await?;
        Ok(Health { server: format!("Pub/Sub v1 at {endpoint}, project {project}") })
    }
}

/// What Pub/Sub is asked for with a message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    /// It goes.
    Ack,
    /// It comes again in so many seconds.
    Again(u16),
    /// The claim lasts for as long as a new one.
    Extend,
}

impl From<Verdict> for Wish {
    fn from(verdict: Verdict) -> Self {
        let secs = |time: Duration| {
            let time = time.min(CLAIM_MAX);
            // Not earlier than was asked for.
            let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            u16::try_from(whole).unwrap_or(u16::MAX)
        };
        match verdict {
            Verdict::Ack => Self::Ack,
            Verdict::Retry { after } => Self::Again(secs(after)),
            Verdict::Leave => Self::Again(secs(LEAVE)),
            Verdict::Extend => Self::Extend,
        }
    }
}

impl Shared {
    fn subscription(&self, queue: &QueueName) -> String {
        format!("/v1/projects/{}/subscriptions/{queue}", self.options.project)
    }

    fn topic(&self, queue: &QueueName) -> String {
        format!("/v1/projects/{}/topics/{queue}", self.options.project)
    }

    /// Publishes lots of messages one after the other; gives those that were not, by their places. What
    /// comes after a lot that failed is not sent: it would be before it.
    async fn publish(
        &self,
        queue: &QueueName,
        messages: &[Message],
        lane: &lots::Lane,
    ) -> Vec<(usize, BrokerError)> {
        let path = format!("{}:publish", self.topic(queue));
        for (at, lot) in lane.lots.iter().enumerate() {
            let body = publish_body(lot.iter().map(|&index| &messages[index]), lane.is_keyed);
            let result = self.api.ask_for::<Published>(Method::POST, &path, body).await;
            let error = match result {
                Ok(published) if published.message_ids.len() == lot.len() => continue,
                Ok(_) => BrokerError::Unreachable {
                    effect: Effect::Unknown,
                    reason: "Pub/Sub did not say what became of each message".to_owned(),
                },
                Err(failure) => failure.into(),
            };
            let rest = lane.lots[at + 1..].iter().flatten();
            let unsent = rest.map(|&index| (index, unsent(&error)));
            return lot.iter().map(|&index| (index, error.clone())).chain(unsent).collect();
        }
        Vec::new()
    }

    /// Settles claims; gives those that were not, by their places.
    async fn settle_lot(
        &self,
        queue: &QueueName,
        wish: Wish,
        lot: &[(usize, Claim<'_>)],
    ) -> Vec<(usize, BrokerError)> {
        let start = Instant::now();
        let ids = lot.iter().map(|(_, claim)| claim.ack_id);
        let (verb, body) = match wish {
            Wish::Ack => ("acknowledge", ack_body(ids)),
            Wish::Again(secs) => ("modifyAckDeadline", deadline_body(ids, secs)),
            Wish::Extend => ("modifyAckDeadline", deadline_body(ids, self.claim_secs)),
        };
        let path = format!("{}:{verb}", self.subscription(queue));
        let result = self.api.ask_for::<IgnoredAny>(Method::POST, &path, body).await;
        let until = (wish == Wish::Extend).then(|| start + self.options.claim);
        let mut unsettled = Vec::new();
        for (index, claim) in lot {
            match result.as_ref().err().and_then(|failure| of_one(failure, claim.ack_id)) {
                None => self.claims.settled(claim, until),
                Some(error) => unsettled.push((*index, error)),
            }
        }
        unsettled
    }
}

/// What a message gets that was not sent because one before it failed.
fn unsent(error: &BrokerError) -> BrokerError {
    match error {
        BrokerError::Unreachable { reason, .. } => {
            BrokerError::Unreachable { effect: Effect::None, reason: reason.clone() }
        }
        other => other.clone(),
    }
}

/// What a failure means for one of the claims that were settled together; none when it was settled.
///
/// A subscription with exactly-once delivery says what became of single ones, and nothing of those that
/// are well.
fn of_one(failure: &Failure, ack_id: &str) -> Option<BrokerError> {
    let Failure::Said(_, complaint) = failure else { return Some(failure.clone().into()) };
    if complaint.notes.values().all(|note| !note.contains("_FAILURE_")) {
        return Some(failure.clone().into());
    }
    match complaint.notes.get(ack_id)?.as_str() {
        note if note.starts_with("PERMANENT_FAILURE_") => Some(BrokerError::ClaimOver),
        note => Some(BrokerError::Busy { reason: format!("Pub/Sub says {note}") }),
    }
}
