//! One pull request: what is asked for, what comes, and how it ends.
//!
//! A request is of the kind that waits for a first message, takes with it what else is there, and is over:
//! so none stays behind at the server for messages that nobody here asked for.

use std::{mem, sync::Arc, time::Duration};

use async_nats::{Message, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{
    super::broker::{BrokerError, QueueName},
    CONSUMER,
    api::Api,
    fault::{busy, refused},
    link::{ANSWER_MAX, Inbox, Session, Silence},
    receive::Left,
    settle::NOT_NOW,
};

/// Most bytes that are taken at once; a server hangs up on a client for which more than 64 MiB wait.
pub(super) const BYTES_MAX: usize = 16 << 20;

/// Longest that one request waits at the server; a longer wait takes several.
const EXPIRES_MAX: Duration = Duration::from_secs(60);

/// Shortest that one request waits at the server; below, it asks only for what is there.
pub(super) const EXPIRES_MIN: Duration = Duration::from_millis(1);

/// A request that waits at least twice as long is to be told this often that it still does.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Longest wait for a further message, or for the end, once the first is there. The server sends both
/// without a pause, save when the consumer has reached its limit of claims.
const GATHER_MAX: Duration = Duration::from_secs(1);

/// By how much a request may outlast its caller: less than a caller notices.
const SLACK: Duration = Duration::from_millis(20);

/// How many messages a request was still to get when it ended, as the server says with the end.
const STILL_TO_GET: &str = "Nats-Pending-Messages";

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// Most messages.
    pub(super) batch: usize,
    /// Most bytes.
    pub(super) bytes: Option<usize>,
    /// Waits among others for the next message, where a request for all that is there is turned away
    /// since others wait already for as many.
    pub(super) with_waiting: bool,
}

/// A pull request in the words of the server. Times are in nanoseconds.
#[derive(Debug, Serialize)]
struct Request {
    batch: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    no_wait: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_heartbeat: Option<u64>,
}

impl Request {
    fn new(demand: Demand, expires: Duration) -> Self {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let waits = expires >= EXPIRES_MIN;
        Self {
            batch: demand.batch,
            max_bytes: demand.bytes,
            expires: waits.then(|| nanos(expires)),
            // With a time at which it expires, such a request waits for a first message.
            no_wait: !(waits && demand.with_waiting),
            idle_heartbeat: has_heartbeat(expires).then(|| nanos(HEARTBEAT)),
        }
    }
}

fn has_heartbeat(expires: Duration) -> bool {
    expires >= HEARTBEAT * 2
}

/// How a request ended, or why we look at it no more.
#[derive(Debug)]
pub(super) enum End {
    /// There are as many as it asked for.
    Enough,
    /// Some came, and then no more for a while.
    Paused,
    /// Its caller has waited long enough; it waits on.
    Waiting,
    /// Its time is over, or it has got what was there.
    Expired,
    /// Others wait already for as many as there are.
    Crowded,
    /// The next message has more bytes than it asked for.
    TooLarge,
    /// The server ended it for a reason that will pass.
    Early(String),
    /// The server ended it for another reason.
    Failed(BrokerError),
    /// Nobody took it.
    Unanswered,
    /// Nothing came, not even its end.
    Silent(Silence),
}

impl End {
    /// By the status that ended a request.
    fn of(status: StatusCode, said: &str) -> Self {
        match (status.as_u16(), said) {
            (503, _) => Self::Unanswered,
            (408, "Requests Pending") => Self::Crowded,
            (404 | 408, _) => Self::Expired,
            (409, said) if said.starts_with("Message Size Exceeds") => Self::TooLarge,
            (409, said) if said.starts_with("Leadership Change") || said.starts_with("Server Shutdown") => {
                Self::Early(said.to_owned())
            }
            (409, said) if said.starts_with("Exceeded MaxWaiting") => {
                Self::Failed(busy("as many pull requests wait as the consumer allows"))
            }
            (code, said) => Self::Failed(refused(format!("the consumer said: {said} ({code})"))),
        }
    }
}

/// A request at the server.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) queue: QueueName,
    /// Since when what came may have been here, while nobody looks.
    pub(super) kept_at: Instant,
    /// Messages that come for it, as far as is known: those that are there are among them.
    batch: usize,
    /// When the server is to end it.
    ends_at: Instant,
    inbox: Inbox,
    /// What was asked.
    subject: String,
    came: Vec<Message>,
    /// Longest silence before the first message.
    silence_max: Duration,
    /// When it was sent, or the server last said that it waits.
    heard_at: Instant,
}

impl Open {
    /// Gives back what came for a caller who has gone, so that it need not wait until its claim is over.
    /// The server ends a request that nobody listens for; what it sends meanwhile comes again later.
    pub(super) async fn give_back(mut self) {
        let came = mem::take(&mut self.came);
        let mut replies: Vec<_> = came.into_iter().filter_map(|message| message.reply).collect();
        let (client, mut late) = self.inbox.into_parts();
        let giving = async move {
            if late.drain().await.is_ok() {
                while let Some(message) = late.next().await {
                    replies.extend(message.reply.filter(|_| message.status.is_none()));
                }
            }
            for reply in replies {
                if client.publish(reply, NOT_NOW).await.is_err() {
                    return;
                }
            }
        };
        // Past this the claims are as good as over.
        let _ = timeout(ANSWER_MAX, giving).await;
    }
}

/// A request that somebody waits for. When it is dropped, it is kept for the next caller.
#[derive(Debug)]
pub(super) struct Pull {
    open: Option<Open>,
    left: Arc<Left>,
    /// Since when what came has been here.
    since: Option<Instant>,
}

impl Pull {
    /// Sends a request.
    pub(super) async fn begin(
        api: Api<'_>,
        left: &Arc<Left>,
        queue: &QueueName,
        demand: Demand,
        wait: Duration,
    ) -> Result<Self, BrokerError> {
        let expires = wait.min(EXPIRES_MAX);
        let request = serde_json::to_vec(&Request::new(demand, expires));
        let request = request.map_err(|error| refused(format!("a request cannot be written: {error}")))?;
        let now = Instant::now();
        let mut open = Open {
            queue: queue.clone(),
            batch: demand.batch,
            ends_at: now + expires,
            inbox: api.session.inbox().await?,
            subject: api.options.api(&format!("CONSUMER.MSG.NEXT.{queue}.{CONSUMER}")),
            came: Vec::new(),
            silence_max: if has_heartbeat(expires) { HEARTBEAT * 2 } else { expires + ANSWER_MAX },
            heard_at: now,
            kept_at: now,
        };
        let reply = open.inbox.address(0);
        open.inbox.send(open.subject.as_str().into(), Some(reply), None, Bytes::from(request)).await?;
        Ok(Self { open: Some(open), left: Arc::clone(left), since: None })
    }

    /// Goes on with a request of a caller who has gone.
    pub(super) fn resume(left: &Arc<Left>, open: Open) -> Self {
        Self { since: Some(open.kept_at), open: Some(open), left: Arc::clone(left) }
    }

    /// Waits for what comes, until the request ends; or until then, if nothing has come. What came for a
    /// caller who has gone is enough.
    pub(super) async fn run(&mut self, until: Instant) -> End {
        let Some(open) = &mut self.open else { return End::Expired };
        if !open.came.is_empty() {
            return End::Paused;
        }
        let mut over = None;
        while open.came.len() < open.batch {
            let message = match open.inbox.ready() {
                Some(message) => message,
                None => {
                    if open.came.is_empty() {
                        self.since = None;
                    }
                    let (deadline, end) = open.patience(until, over.is_some());
                    match open.inbox.next(deadline, &open.subject).await {
                        Ok(message) => message,
                        Err(Silence::Late) => return over.unwrap_or(end),
                        Err(silence) => return End::Silent(silence),
                    }
                }
            };
            match message.status {
                None | Some(StatusCode::OK) => {
                    self.since.get_or_insert_with(Instant::now);
                    open.came.push(message);
                }
                Some(StatusCode::IDLE_HEARTBEAT) => open.heard_at = Instant::now(),
                // What ends another request, whose inbox this was, came too late.
                Some(_) if open.inbox.index(&message).is_none() => {}
                Some(status) => over = open.note(status, &message).or(over),
            }
        }
        over.unwrap_or(End::Enough)
    }

    /// Up to `max` of what came, and since when it has been here. More is kept for the next caller.
    pub(super) fn finish(mut self, session: Session<'_>, end: &End, max: usize) -> (Vec<Message>, Instant) {
        let since = self.since.unwrap_or_else(Instant::now);
        let Some(mut open) = self.open.take() else { return (Vec::new(), since) };
        let more = open.came.split_off(max.min(open.came.len()));
        let came = mem::replace(&mut open.came, more);
        open.batch -= came.len().min(open.batch);
        open.kept_at = if open.came.is_empty() { Instant::now() } else { since };
        match end {
            _ if !open.came.is_empty() => self.left.keep(open),
            End::Paused | End::Waiting if open.batch > 0 => self.left.keep(open),
            // The server may know of the request when the connection is back: nobody is to listen then.
            End::Silent(Silence::Lost | Silence::Denied(_)) => {}
            // More may be on its way.
            End::Early(_) | End::Silent(_) => open.leave(),
            _ if open.batch > 0 => open.leave(),
            _ => session.hand_back(open.inbox),
        }
        (came, since)
    }
}

impl Open {
    /// Gives back what still comes.
    fn leave(self) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.give_back());
        }
    }

    /// Whether another caller may go on with it.
    pub(super) fn is_of_use(&self) -> bool {
        !self.came.is_empty() || Instant::now() < self.ends_at
    }

    /// How long to wait for what comes next, and what it means when nothing does.
    fn patience(&self, until: Instant, is_over: bool) -> (Instant, End) {
        if is_over || !self.came.is_empty() {
            return (Instant::now() + GATHER_MAX, End::Paused);
        }
        let silent_at = self.heard_at + self.silence_max;
        if until + SLACK < self.ends_at && until < silent_at {
            (until, End::Waiting)
        } else {
            (silent_at, End::Silent(Silence::Late))
        }
    }

    /// Takes note of a status; gives how the request ended, if it did.
    fn note(&mut self, status: StatusCode, message: &Message) -> Option<End> {
        let said = message.description.as_deref().unwrap_or_default();
        if said == "Batch Completed" {
            return None;
        }
        // In a cluster, what was sent before the end may come after it: until most servers know of it.
        let still_to_get = message.headers.as_ref().and_then(|headers| headers.get(STILL_TO_GET));
        let still_to_get = still_to_get.and_then(|number| number.as_str().parse::<usize>().ok());
        let sent = still_to_get.map_or(0, |number| self.batch.saturating_sub(number));
        self.batch = sent.max(self.came.len());
        Some(End::of(status, said))
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.kept_at = self.since.unwrap_or_else(Instant::now);
            self.left.keep(open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(demand: Demand, expires: Duration, expected: &str) {
        assert_eq!(serde_json::to_string(&Request::new(demand, expires)).unwrap(), expected);
    }

    #[test]
    #[rustfmt::skip]
    fn a_request_never_waits_for_ever() {
        let all = Demand { batch: 9, bytes: Some(1_000), with_waiting: false };
        let one = Demand { batch: 1, bytes: None, with_waiting: true };
        check(all, Duration::ZERO, r#"{"batch":9,"max_bytes":1000,"no_wait":true}"#);
        check(all, Duration::from_secs(2), r#"{"batch":9,"max_bytes":1000,"expires":2000000000,"no_wait":true}"#);
        check(one, Duration::ZERO, r#"{"batch":1,"no_wait":true}"#);
        check(one, Duration::from_nanos(9), r#"{"batch":1,"no_wait":true}"#);
        check(one, Duration::from_secs(20), r#"{"batch":1,"expires":20000000000,"no_wait":false,"idle_heartbeat":5000000000}"#);
    }

    #[test]
    fn ends_are_told_by_what_is_to_be_done() {
        let end = |code: u16, said: &str| format!("{:?}", End::of(code.try_into().unwrap(), said));
        assert_eq!(end(404, "No Messages"), "Expired");
        assert_eq!(end(408, "Request Timeout"), "Expired");
        assert_eq!(end(408, "Requests Pending"), "Crowded");
        assert_eq!(end(409, "Message Size Exceeds MaxBytes"), "TooLarge");
        assert_eq!(end(409, "Leadership Change"), "Early(\"Leadership Change\")");
        assert_eq!(end(503, ""), "Unanswered");
        assert!(end(409, "Exceeded MaxWaiting").starts_with("Failed(Busy"));
        assert!(end(409, "Consumer Deleted").starts_with("Failed(Refused"));
    }
}
