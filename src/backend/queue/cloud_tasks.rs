//! Google Cloud Tasks: a message is a task, and the service pushes it to a listener of ours, which
//! answers when the message is settled.
//!
//! A task stays in its queue until a listener answers that it is done, 31 days at most. Cloud Tasks
//! pushes it again when that does not happen within the claim, and now and then without a reason.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use jiff::{Span, Timestamp};
use reqwest::{Method, StatusCode};
use tokio::{sync::Semaphore, time::Instant};

use self::{
    desk::{Desk, Held},
    listener::Listener,
    task::{Parcel, Target, task_id},
    verifier::Verifier,
};
use super::{
    broker::{
        Broker, BrokerError, Capabilities, Delivery, Depth, Health, Message, Order, QueueName, Receipt, Sent,
        Settlement, Verdict,
    },
    google::{
        api::{Api, REQUEST_MAX, Service},
        credentials::Credentials,
        http::{base_url, is_here},
    },
    pubsub::is_project,
};

mod desk;
mod ensure;
mod listener;
mod task;
mod verifier;

#[cfg(test)]
mod tests;

/// Where Cloud Tasks is.
pub const ENDPOINT: &str = "https://cloudtasks.googleapis.com";

/// Who signs the tokens that Cloud Tasks sends with a push.
pub const ISSUER: &str = "https://accounts.google.com";

/// Shortest claim: Cloud Tasks' limit of a dispatch deadline.
pub const CLAIM_MIN: Duration = Duration::from_secs(15);

/// Longest claim: Cloud Tasks' limit of a dispatch deadline.
pub const CLAIM_MAX: Duration = Duration::from_secs(30 * 60);

/// Tasks that are made at once: Cloud Tasks makes one with each request, and takes some milliseconds.
const WINDOW: usize = 64;

/// Longest wait of one call; a longer one is no use to anybody.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long a task that is not ours is left alone.
const LEAVE: Duration = Duration::from_secs(60);

/// How long Cloud Tasks may not know a queue that was made: it says a minute at least.
const NEW: Duration = Duration::from_secs(180);

/// Longest path of a target: with it, the id and the token a task stays within Cloud Tasks' limit.
const TARGET_URL_LEN_MAX: usize = 1_024;

/// What Cloud Tasks does by itself.
///
/// It delays for 720 hours; one of them is for clocks that differ. It remembers names for an hour at
/// least. A task may have a mebibyte, 16 KiB of which are for what is around the body.
pub const CAPABILITIES: Capabilities = Capabilities {
    delay: Duration::from_secs(719 * 3_600),
    dedupe: Duration::from_secs(3_600),
    order: Order::None,
    extends: false,
    counts: true,
    body_max: (1 << 20) - 16 * 1_024,
};

/// How Cloud Tasks is reached, and how it reaches us.
#[derive(Debug, Clone)]
pub struct Options {
    /// The project's id, as in `my-project-123`.
    pub project: String,
    /// Where the queues are, as in `europe-west1`.
    pub location: String,
    /// Where Cloud Tasks is: [`ENDPOINT`], or an emulator as in `http://127.0.0.1:8123`.
    pub endpoint: String,
    /// Who asks. [`Credentials::Anonymous`] for an emulator.
    pub credentials: Credentials,
    /// How long a claim lasts: from [`CLAIM_MIN`] to [`CLAIM_MAX`]. A run must end within it.
    pub claim: Duration,
    /// Where Cloud Tasks finds the workers, as in `https://worker.example.com`: a push goes to
    /// `<target_url>/v1/tasks/<queue>`.
    pub target_url: String,
    /// Where this worker listens, from its first [`Broker::receive`] on. Without [`Options::oidc`] only
    /// on the loopback.
    pub listen: SocketAddr,
    /// The token that a push must carry. Without one, everybody who reaches the listener can push.
    pub oidc: Option<Oidc>,
    /// Pushes of one queue that are held while nobody receives. Each has up to a mebibyte; what comes
    /// when there are so many is told to come later.
    pub waiting_max: usize,
}

/// The token that pushes carry: who asks for it, and what it must say.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// The service account that Cloud Tasks signs for. Who makes tasks must be allowed to act as it
    /// (`roles/iam.serviceAccountUser`).
    pub service_account: String,
    /// Whom the token is for; the target URL when there is none.
    pub audience: Option<String>,
    /// Who signs it; usually [`ISSUER`].
    pub issuer: String,
}

/// Cloud Tasks' service.
static SERVICE: Service = Service {
    name: "Cloud Tasks",
    role: "roles/cloudtasks.admin` (or enqueuer and viewer, once the queue is there), `roles/iam.serviceAccountUser",
};

/// Cloud Tasks as a [`Broker`].
pub struct CloudTasksBroker {
    options: Options,
    api: Api,
    target: Target,
    /// Requests that make tasks.
    window: Semaphore,
    desk: Arc<Desk>,
    listener: Listener,
    now: fn() -> Timestamp,
}

impl fmt::Debug for CloudTasksBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudTasksBroker").field("options", &self.options).finish_non_exhaustive()
    }
}

impl CloudTasksBroker {
    /// An adapter. It asks for nothing and does not listen before it is used.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Refused`] for options that cannot be.
    pub fn new(options: Options, now: fn() -> Timestamp) -> Result<Self, BrokerError> {
        check(&options)?;
        let api = Api::new(&SERVICE, &options.endpoint, options.credentials.clone(), now)?;
        let verifier = match &options.oidc {
            Some(oidc) => Some(Verifier::new(oidc, &options.target_url, Arc::clone(api.http()), now)?),
            None => None,
        };
        let desk = Arc::new(Desk::new(options.claim, options.waiting_max));
        let target = Target::new(&options);
        let listener = Listener::new(options.listen, verifier, Arc::clone(&desk));
        Ok(Self { options, api, target, window: Semaphore::new(WINDOW), desk, listener, now })
    }

    fn location(&self) -> String {
        format!("projects/{}/locations/{}", self.options.project, self.options.location)
    }

    fn queue(&self, queue: &QueueName) -> String {
        format!("{}/queues/{queue}", self.location())
    }

    async fn send_one(&self, queue: &QueueName, message: &Message) -> Result<Sent, BrokerError> {
        let (bytes, bytes_max) = (message.body.len(), CAPABILITIES.body_max);
        if bytes > bytes_max {
            let reason = format!("the message has {bytes} bytes, and Cloud Tasks takes {bytes_max}");
            return Err(BrokerError::Refused { reason });
        }
        let parcel = Parcel {
            task: task_id(&message.id),
            id: Some(&message.id),
            deliveries: 0,
            body: &message.body,
            not_before: message.not_before,
        };
        self.create(queue, &parcel).await
    }

    /// Makes a task. One that is there, or was not long ago, is no error.
    async fn create(&self, queue: &QueueName, parcel: &Parcel<'_>) -> Result<Sent, BrokerError> {
        let name = self.queue(queue);
        // The semaphore is never closed.
        let _place = self.window.acquire().await;
        let body = self.target.request(&name, queue, parcel, (self.now)());
        match self.api.ask(Method::POST, &format!("/v2/{name}/tasks"), body, REQUEST_MAX).await {
            Ok(_) => Ok(Sent::New),
            Err(failure) if failure.is_there() => Ok(Sent::Duplicate),
            Err(failure) if failure.is_missing() && self.desk.is_new(queue, NEW) => {
                let reason =
                    format!("the queue `{queue}` was just made, and Cloud Tasks does not know it yet");
                Err(BrokerError::Busy { reason })
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn settle_one(&self, queue: &QueueName, settlement: &Settlement) -> Result<(), BrokerError> {
        let Settlement { receipt, verdict } = settlement;
        match *verdict {
            Verdict::Ack => self.desk.answer(receipt, StatusCode::OK),
            Verdict::Leave => {
                self.desk.leave(receipt, LEAVE);
                self.desk.answer(receipt, StatusCode::NOT_FOUND)
            }
            // It lasts no longer than it does.
            Verdict::Extend => self.desk.held(receipt).map(drop),
            Verdict::Retry { after } => {
                let held = self.desk.held(receipt)?;
                self.again(queue, receipt, &held, after).await?;
                // A push that was given up meanwhile comes again, too; that is no harm.
                let _ = self.desk.answer(receipt, StatusCode::OK);
                Ok(())
            }
        }
    }

    /// Makes a new task of one that is to come again: Cloud Tasks itself would choose when, and slow the
    /// queue down.
    async fn again(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        held: &Held,
        after: Duration,
    ) -> Result<(), BrokerError> {
        // What is too far away to be said is later than Cloud Tasks can, and that is seen to below.
        let at = Span::try_from(after).ok().and_then(|span| (self.now)().checked_add(span).ok());
        let not_before = (!after.is_zero()).then(|| at.unwrap_or(Timestamp::MAX));
        // Asked for again, it is the same task; and it is no task of another time, whose name Cloud Tasks
        // may remember.
        let parcel = Parcel {
            task: task_id(&receipt.0),
            id: held.id.as_deref(),
            deliveries: held.deliveries,
            body: &held.body,
            not_before,
        };
        self.create(queue, &parcel).await.map(drop)
    }
}

fn check(options: &Options) -> Result<(), BrokerError> {
    let refused = |reason: String| Err(BrokerError::Refused { reason });
    let Options { project, location, claim, listen, .. } = options;
    if !is_project(project) {
        return refused(format!("`{project}` is no id of a Google Cloud project"));
    }
    if !is_project(location) {
        return refused(format!("`{location}` is no location of Google Cloud"));
    }
    if !(CLAIM_MIN..=CLAIM_MAX).contains(claim) {
        let (min, max) = (CLAIM_MIN.as_secs(), CLAIM_MAX.as_secs());
        return refused(format!("Cloud Tasks' claim must be {min} to {max} seconds, not {claim:?}"));
    }
    if options.waiting_max == 0 {
        return refused("Cloud Tasks pushes, so at least one push must be able to wait".to_owned());
    }
    let target = base_url(&options.target_url, "target URL", false)?;
    if target.as_str().len() > TARGET_URL_LEN_MAX {
        return refused(format!("the target URL is longer than {TARGET_URL_LEN_MAX} characters"));
    }
    // Cloud Tasks sends no token without TLS; emulators do, on this machine.
    if options.oidc.is_some() && target.scheme() == "http" && !is_here(&target) {
        return refused(format!("a token goes to https only, and the target URL is `{target}`"));
    }
    if options.oidc.is_none() && !listen.ip().is_loopback() {
        return refused(format!(
            "whoever reaches {listen} could run jobs: set `oidc`, so that only Cloud Tasks can, or listen on \
             the loopback"
        ));
    }
    Ok(())
}

#[async_trait]
impl Broker for CloudTasksBroker {
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.make(queue).await
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        let places = stream::iter(0..messages.len());
        places.map(|place| self.send_one(queue, &messages[place])).buffered(WINDOW).collect().await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        let line = self.desk.line(queue);
        self.listener.open()?;
        loop {
            let arrived = line.arrived();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let taken = self.desk.take(&line, max);
            if !taken.is_empty() || max == 0 {
                return Ok(taken);
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn settle(&self, queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        let places = stream::iter(0..settlements.len());
        places.map(|place| self.settle_one(queue, &settlements[place])).buffered(WINDOW).collect().await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        self.counted(queue).await
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        self.looked_after().await
    }
}
