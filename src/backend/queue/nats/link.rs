//! The connection to the servers: made when it is first used, and again whenever it is lost.
//!
//! The first one is made by a task of ours, since only there the client says why it fails; later ones by
//! the client, which tries for ever. Callers wait for either as long as they may.

use std::{
    collections::VecDeque,
    future,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ClientError, Event, HeaderMap, Message, ServerError, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use super::{
    super::broker::{BrokerError, Effect},
    Options, fault, login,
};

/// Longest wait for an answer. An election of a leader in a cluster takes about four seconds, a server
/// with many streams some to start; past this the connection is taken for half open.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Longest wait for a connection that is being made: as long as one attempt at one server may take.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Longest pause between two attempts to connect: a server that is back is to be found soon, and a
/// thousand workers that try every two seconds are no load.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How often an idle connection is tried. The client gives one up at the third try that is not answered,
/// so a connection that is half open is made anew within half a minute.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Inboxes that are kept for those who come next: one for each task that sends, receives or settles at a
/// time, up to a number that costs a server nothing.
const IDLE_MAX: usize = 64;

/// Denials that are kept for those who wait: each concerns a request that was sent a moment ago.
const DENIALS_MAX: usize = 32;

/// What the client told of the connection.
#[derive(Debug, Default)]
struct Seen {
    /// The client is there.
    made: bool,
    /// It is connected.
    connected: bool,
    /// How often the connection was lost.
    losses: u64,
    /// Why the last attempt to connect failed.
    trouble: Option<BrokerError>,
    /// How often the server denied something.
    denials: u64,
    /// What it said, the last ones.
    denied: VecDeque<Arc<str>>,
}

impl Seen {
    fn is_ready(&self) -> bool {
        self.made && self.connected
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Connected => {
                self.connected = true;
                self.trouble = None;
            }
            Event::Disconnected | Event::Closed => {
                self.connected = false;
                self.losses += 1;
            }
            Event::ServerError(ServerError::Other(said)) if is_denial(said) => {
                self.denials += 1;
                self.denied.push_back(said.as_str().into());
                if self.denied.len() > DENIALS_MAX {
                    self.denied.pop_front();
                }
            }
            Event::ServerError(error) => self.trouble = Some(fault::said_by_server(&error.to_string())),
            Event::ClientError(ClientError::Other(said)) if !self.connected => {
                self.trouble = Some(fault::not_connected(said));
            }
            _ => {}
        }
    }
}

fn is_denial(said: &str) -> bool {
    said.to_ascii_lowercase().starts_with("permissions violation")
}

/// The connection, and how it is made.
#[derive(Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    started: AtomicBool,
}

#[derive(Debug)]
struct Shared {
    options: Arc<Options>,
    client: OnceLock<Client>,
    seen: Arc<watch::Sender<Seen>>,
    /// Inboxes that nobody uses now.
    idle: Mutex<Vec<Inbox>>,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Inbox>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    pub(super) fn new(options: Arc<Options>) -> Self {
        let seen = Arc::new(watch::Sender::new(Seen::default()));
        let shared = Shared { options, client: OnceLock::new(), seen, idle: Mutex::default() };
        Self { shared: Arc::new(shared), started: AtomicBool::new(false) }
    }

    /// The client, once it is connected; waits for that no longer than `wait`, and in no case longer
    /// than [`CONNECT_MAX`].
    pub(super) async fn session(&self, wait: Duration) -> Result<Session<'_>, BrokerError> {
        if let Some(session) = self.connected() {
            return Ok(session);
        }
        if !self.started.swap(true, Ordering::Relaxed) {
            tokio::spawn(connect(Arc::downgrade(&self.shared)));
        }
        let mut seen = self.shared.seen.subscribe();
        let deadline = Instant::now() + wait.min(CONNECT_MAX);
        let is_decided = |seen: &Seen| {
            let is_refused = matches!(seen.trouble, Some(BrokerError::Refused { .. }));
            seen.is_ready() || is_refused
        };
        // What it has come to is looked at below, also when the time is over.
        let _ = timeout_at(deadline, seen.wait_for(is_decided)).await.is_ok();
        self.connected().ok_or_else(|| {
            let trouble = self.shared.seen.borrow().trouble.clone();
            trouble.unwrap_or_else(|| fault::not_connected("no connection yet"))
        })
    }

    fn connected(&self) -> Option<Session<'_>> {
        let client = self.shared.client.get()?;
        self.shared.seen.borrow().is_ready().then_some(Session { client, shared: &self.shared })
    }
}

/// Makes the first connection; gives up when the link is gone.
async fn connect(link: Weak<Shared>) {
    let mut attempt = 0;
    loop {
        let Some(shared) = link.upgrade() else { return };
        let seen = Arc::clone(&shared.seen);
        let options = Arc::clone(&shared.options);
        drop(shared);
        let client = dial(&options, Arc::clone(&seen)).await;
        let Some(shared) = link.upgrade() else { return };
        match client {
            Ok(client) => {
                // No other task sets it.
                let _ = shared.client.set(client);
                seen.send_modify(|seen| seen.made = true);
                return;
            }
            Err(error) => seen.send_modify(|seen| seen.trouble = Some(error)),
        }
        drop(shared);
        attempt += 1;
        sleep(pause(attempt)).await;
    }
}

/// How long to wait before an attempt.
fn pause(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    if attempt <= 1 {
        Duration::ZERO
    } else {
        (Duration::from_millis(5) * 2_u32.pow(doublings)).min(PAUSE_MAX)
    }
}

async fn dial(options: &Options, seen: Arc<watch::Sender<Seen>>) -> Result<Client, BrokerError> {
    let servers = login::addresses(options)?;
    let mut settings = login::connect_options(options)
        .name(&options.name)
        .connection_timeout(CONNECT_MAX)
        .ping_interval(PING_EVERY)
        // Subjects are made of names that were checked, or come from the server.
        .skip_subject_validation(true)
        .reconnect_delay_callback(pause)
        .event_callback(move |event| {
            seen.send_modify(|seen| seen.hear(&event));
            future::ready(())
        });
    if let Some(prefix) = &options.inbox_prefix {
        settings = settings.custom_inbox_prefix(prefix);
    }
    settings.connect(servers).await.map_err(|error| fault::of_connecting(&error))
}

/// A client that was connected a moment ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session<'a> {
    client: &'a Client,
    shared: &'a Shared,
}

/// Where answers come to. Requests are numbered, so that an answer that comes too late is for nobody; the
/// client's own way of asking keeps a place for each answer that never came.
#[derive(Debug)]
pub(super) struct Inbox {
    /// First words of the subjects of answers; their number comes after.
    subject: String,
    /// The number of the first request of this caller.
    first: u64,
    /// The number of the next request.
    next: u64,
    client: Client,
    answers: Subscriber,
    seen: watch::Receiver<Seen>,
    losses: u64,
    denials: u64,
    connects: u64,
}

/// Why no answer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Silence {
    /// It took too long.
    Late,
    /// The connection was lost.
    Lost,
    /// The server denied the request or the answer, and said so.
    Denied(String),
}

impl From<Silence> for BrokerError {
    fn from(silence: Silence) -> Self {
        let reason = match silence {
            Silence::Late => format!("no answer of the server within {ANSWER_MAX:?}"),
            Silence::Lost => "the connection was lost before the answer came".to_owned(),
            Silence::Denied(said) => return fault::denied(&said),
        };
        Self::Unreachable { effect: Effect::Unknown, reason }
    }
}

impl Session<'_> {
    /// Version of the server.
    pub(super) fn version(self) -> String {
        self.client.try_server_info().map_or_else(|| "?".to_owned(), |server| server.version)
    }

    /// An inbox for one caller: one that was handed back, or a new one.
    pub(super) async fn inbox(self) -> Result<Inbox, BrokerError> {
        let idle = self.shared.idle().pop();
        let mut inbox = match idle {
            Some(inbox) => inbox,
            None => self.new_inbox().await?,
        };
        inbox.first = inbox.next;
        inbox.connects = connects(self.client);
        let seen = inbox.seen.borrow_and_update();
        (inbox.losses, inbox.denials) = (seen.losses, seen.denials);
        drop(seen);
        Ok(inbox)
    }

    async fn new_inbox(self) -> Result<Inbox, BrokerError> {
        let seen = self.shared.seen.subscribe();
        let subject = self.client.new_inbox();
        let listening = self.client.subscribe(format!("{subject}.*"));
        let answers = timeout_at(Instant::now() + ANSWER_MAX, listening)
            .await
            .map_err(|_| not_sent())?
            .map_err(|error| fault::not_connected(&error.to_string()))?;
        let client = self.client.clone();
        Ok(Inbox { subject, first: 0, next: 0, client, answers, seen, losses: 0, denials: 0, connects: 0 })
    }

    /// Takes an inbox back for the next caller. No message may come to it any more but late answers.
    pub(super) fn hand_back(self, inbox: Inbox) {
        let mut idle = self.shared.idle();
        if idle.len() < IDLE_MAX {
            idle.push(inbox);
        }
    }

    /// Sends one request and waits for its answer.
    pub(super) async fn ask(self, subject: &str, payload: Bytes) -> Result<Message, BrokerError> {
        let mut inbox = self.inbox().await?;
        let reply = inbox.address(0);
        inbox.send(subject.into(), Some(reply), None, payload).await?;
        let answer = inbox.answer(0, subject).await?;
        self.hand_back(inbox);
        Ok(answer)
    }
}

impl Inbox {
    /// Where the answer to this caller's request of this index is to go.
    pub(super) fn address(&mut self, index: usize) -> Subject {
        let number = self.first + u64::try_from(index).unwrap_or(u64::MAX);
        self.next = self.next.max(number + 1);
        format!("{}.{number}", self.subject).into()
    }

    /// The index of this caller's request that this is the answer to; none if it was another caller's.
    pub(super) fn index(&self, answer: &Message) -> Option<usize> {
        let number: u64 = answer.subject.rsplit('.').next()?.parse().ok()?;
        number.checked_sub(self.first)?.try_into().ok()
    }

    /// Waits for the answer to the request of this index.
    pub(super) async fn answer(&mut self, index: usize, subject: &str) -> Result<Message, Silence> {
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            let answer = self.next(deadline, subject).await?;
            if self.index(&answer) == Some(index) {
                return Ok(answer);
            }
        }
    }

    /// Sends a message to the server, with the subject that its answer goes to, if it is to have one.
    pub(super) async fn send(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<(), BrokerError> {
        let client = &self.client;
        let deadline = Instant::now() + ANSWER_MAX;
        let sent = match (reply, headers) {
            (Some(reply), Some(headers)) => {
                let sending = client.publish_with_reply_and_headers(subject, reply, headers, payload);
                timeout_at(deadline, sending).await
            }
            (Some(reply), None) => {
                timeout_at(deadline, client.publish_with_reply(subject, reply, payload)).await
            }
            (None, _) => timeout_at(deadline, client.publish(subject, payload)).await,
        };
        sent.map_err(|_| not_sent())?.map_err(|error| fault::of_sending(&error))
    }

    /// The next answer, if it comes before `deadline`. `subject` is what was asked, by which a denial is
    /// known to be of this request.
    pub(super) async fn next(&mut self, deadline: Instant, subject: &str) -> Result<Message, Silence> {
        loop {
            tokio::select! {
                biased;
                answer = self.answers.next() => return answer.ok_or(Silence::Lost),
                changed = self.seen.changed() => self.look(changed.is_ok(), subject)?,
                () = tokio::time::sleep_until(deadline) => return Err(Silence::Late),
            }
        }
    }

    /// An answer that is there already.
    pub(super) fn ready(&mut self) -> Option<Message> {
        self.answers.next().now_or_never().flatten()
    }

    /// Whether all that this caller sent, and that was answered, went over one connection.
    pub(super) fn is_unbroken(&self) -> bool {
        connects(&self.client) == self.connects
    }

    fn look(&mut self, is_there: bool, subject: &str) -> Result<(), Silence> {
        let seen = self.seen.borrow_and_update();
        if !is_there || seen.losses > self.losses {
            return Err(Silence::Lost);
        }
        let fresh = usize::try_from(seen.denials - self.denials).unwrap_or(usize::MAX).min(seen.denied.len());
        let quoted = [format!("\"{subject}\""), format!("\"{}", self.subject)];
        let mut said = seen.denied.iter().rev().take(fresh);
        match said.find(|said| quoted.iter().any(|quoted| said.contains(quoted.as_str()))) {
            Some(said) => Err(Silence::Denied(said.as_ref().to_owned())),
            None => Ok(()),
        }
    }

    /// The parts that outlive a call that was dropped.
    pub(super) fn into_parts(self) -> (Client, Subscriber) {
        (self.client, self.answers)
    }
}

/// How often the client connected.
fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Acquire)
}

fn not_sent() -> BrokerError {
    let reason = "the connection takes no more requests".to_owned();
    BrokerError::Unreachable { effect: Effect::None, reason }
}
