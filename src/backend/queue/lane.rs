//! A lane of the outbox: the runs that wait for one queue system, and what sends them.

mod order;
mod status;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

pub use self::{
    order::{Order, Waited},
    status::{LaneState, LaneStatus},
};
use super::{
    breaker::Circuit,
    broker::{BrokerError, Effect, Message, QueueName, Sent},
    making,
    outbox::{Connection, Shared},
    remote::{Tracked, expires_at},
    waiting::{Item, Waiting, is_first_of_fire},
};
use crate::{
    backend::Submission,
    ledger::{AttemptEnd, AttemptStart, LedgerError, RETRY, Skip, Stage, Staged, Then},
    manifest::{characteristics::Infrastructure, queue::Fallback, spec::Action},
    run::{Outcome, RunId},
};

/// Messages that are sent together.
const BATCH: usize = 500;

/// A fire that could not be delivered is not delivered later than this after it was due: what a daemon
/// that was down would not make up for either.
const LATE_MAX: Duration = Duration::from_secs(3600);

/// How often a queue system is asked how it is while nothing is sent to it.
const LOOK: Duration = Duration::from_secs(30);

/// How long the answer to that may take.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Time between two tries while the circuit is closed.
const AGAIN: Duration = Duration::from_secs(1);

/// What sends the runs of one queue system.
#[derive(Debug)]
pub struct Lane {
    to: Connection,
    shared: Arc<Shared>,
    orders: mpsc::UnboundedReceiver<Order>,
    status: Arc<LaneStatus>,
    waiting: Waiting,
    ensured: BTreeSet<QueueName>,
    /// When the queue system was last asked for anything.
    asked_at: Timestamp,
}

impl Lane {
    pub(super) fn new(
        to: Connection,
        shared: Arc<Shared>,
        orders: mpsc::UnboundedReceiver<Order>,
        status: Arc<LaneStatus>,
    ) -> Self {
        let (waiting, ensured) = (Waiting::default(), BTreeSet::new());
        Self { to, shared, orders, status, waiting, ensured, asked_at: Timestamp::MIN }
    }

    /// Sends until `stop` says so. What waits then is sent by the next daemon.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            while let Ok(order) = self.orders.try_recv() {
                self.take(order).await;
            }
            self.drop_late().await;
            let wait = self.round().await;
            self.status.lock().waiting = self.waiting.len();
            let order = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                order = self.orders.recv() => match order {
                    Some(order) => order,
                    None => return,
                },
                () = sleep(wait) => continue,
            };
            self.take(order).await;
        }
    }

    async fn take(&mut self, order: Order) {
        match order {
            Order::Send(submission) => self.add(*submission, false).await,
            Order::Again(submission) => self.add(*submission, true).await,
            Order::Cancel(run, reply) => {
                let item = self.waiting.take_run(run);
                if item.is_some() {
                    self.end(run, Outcome::Cancelled).await;
                }
                // Who asked may have gone; the run is over all the same.
                let _ = reply.send(match item {
                    None => Waited::No,
                    Some(item) if item.may_be_sent => Waited::PerhapsSent,
                    Some(_) => Waited::Unsent,
                });
            }
        }
        self.status.lock().waiting = self.waiting.len();
    }

    /// Takes in a run. One of the same job that could not be delivered, and has lost its place to it, is
    /// over.
    async fn add(&mut self, submission: Submission, may_be_sent: bool) {
        let running = &self.shared.running;
        let lost = |item: &Item| item.is_fresh_fire() && !running.holds(item.submission.id);
        for older in self.waiting.take_of_job(&submission.key.job, lost) {
            self.give_up(&older, Skip::Superseded).await;
        }
        let now = (self.shared.now)();
        let due = now.checked_add(submission.wait).unwrap_or(now);
        self.waiting.add(Item { submission, due, may_be_sent });
    }

    /// Lets go of fires that it is too late for.
    async fn drop_late(&mut self) {
        let now = (self.shared.now)();
        let is_late = |item: &Item| {
            let last = item.due.checked_add(LATE_MAX).unwrap_or(Timestamp::MAX);
            item.is_fresh_fire() && last < now
        };
        // Only what is due can be late.
        if self.waiting.next().is_none_or(|due| due > now) {
            return;
        }
        for late in self.waiting.take_all(is_late) {
            self.give_up(&late, Skip::Expired).await;
        }
    }

    async fn give_up(&self, item: &Item, skip: Skip) {
        let (job, run) = (&item.submission.key.job, item.submission.id);
        warn!(%job, run_id = %run, backend = %self.to.name, reason = skip.as_str(), "skipped: it could not be delivered in time");
        let at = (self.shared.now)();
        self.record("a skip", || self.shared.ledger.dropped(run, skip, at)).await;
        self.shared.running.leave(run);
    }

    /// Sends what is due, if the queue system is to be asked now; gives how long there is nothing to do.
    async fn round(&mut self) -> Duration {
        let now = (self.shared.now)();
        let circuit = self.status.get().breaker.circuit(now);
        let until = |at: Timestamp| {
            Duration::try_from(at.duration_since(now).max(SignedDuration::ZERO)).unwrap_or_default()
        };
        let most = match circuit {
            Circuit::Open { until: at } => {
                self.degrade(now).await;
                return until(at).min(LOOK);
            }
            // One call decides.
            Circuit::HalfOpen => 1,
            Circuit::Closed if self.status.get().is_full => return AGAIN,
            Circuit::Closed => BATCH,
        };
        let due = self.waiting.take_due(self.native(now), most);
        let asked = !due.is_empty();
        if asked {
            self.send(due, now).await;
        } else if now.duration_since(self.asked_at) >= SignedDuration::try_from(LOOK).unwrap_or_default()
            || circuit == Circuit::HalfOpen
        {
            self.look().await;
        }
        if self.status.get().failure.is_some() {
            return AGAIN;
        }
        match self.waiting.next() {
            Some(_) if asked => Duration::ZERO,
            Some(due) => {
                let native = Duration::from_secs(0).max(self.to.capabilities.delay);
                until(due).saturating_sub(native).min(LOOK)
            }
            None => LOOK,
        }
    }

    /// What is due by then is sent at `now`, since the queue system can delay it so long.
    fn native(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.to.capabilities.delay).unwrap_or(Timestamp::MAX)
    }

    /// Runs what its manifest allows to run here, as the queue system does not answer.
    async fn degrade(&mut self, now: Timestamp) {
        let may = |item: &Item| {
            let spec = &item.submission.spec;
            item.due <= now
                && !item.may_be_sent
                && spec.fallback == Fallback::Degrade
                && spec.characteristics.infrastructure == Infrastructure::Local
                && !matches!(spec.run.action, Action::Message(_))
        };
        for item in self.waiting.take_all(may) {
            let Submission { id, key, .. } = &item.submission;
            warn!(job = %key.job, run_id = %id, backend = %self.to.name, "the queue does not answer: runs in-process, as `fallback: degrade` allows");
            let id = *id;
            self.record("where a run goes", || self.shared.ledger.rerouted(id, None)).await;
            self.status.lock().degraded += 1;
            let submission = Submission { route: None, wait: Duration::ZERO, ..item.submission };
            self.shared.driver.start(submission);
        }
    }

    /// Asks the queue system how it is.
    async fn look(&mut self) {
        self.asked_at = (self.shared.now)();
        let answer = timeout(LOOK_MAX, self.to.broker.health()).await;
        let answer = answer.unwrap_or_else(|_| Err(unanswered()));
        match answer {
            Ok(health) => {
                self.status.lock().server = Some(health.server);
                self.succeeded();
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn send(&mut self, items: Vec<Item>, now: Timestamp) {
        self.asked_at = now;
        let mut by_queue: Vec<(QueueName, Vec<(Item, Message)>)> = Vec::new();
        for item in items {
            if !self.begin(&item).await {
                continue;
            }
            let Some((queue, message)) = self.message(&item, now).await else { continue };
            match by_queue.iter_mut().find(|(name, _)| *name == queue) {
                Some((_, messages)) => messages.push((item, message)),
                None => by_queue.push((queue, vec![(item, message)])),
            }
        }
        for (queue, batch) in by_queue {
            self.send_to(&queue, batch).await;
        }
    }

    /// Has a run begin, unless it is over by now.
    async fn begin(&self, item: &Item) -> bool {
        let Submission { id, spec, .. } = &item.submission;
        let keeps_place = !item.is_fresh_fire() && self.shared.running.holds(*id);
        if !self.shared.running.begin_remote(*id) && !keeps_place {
            // A newer fire has taken its place, or the daemon stops and the next one sends it; or its
            // outcome came, though it was not known that it had been sent.
            let is_closed = *self.shared.running.closed().borrow();
            if item.is_fresh_fire() && !is_closed {
                self.give_up(item, Skip::Superseded).await;
            }
            return false;
        }
        let heard_at = (self.shared.now)();
        self.shared.remote.track(Tracked {
            submission: item.submission.clone(),
            stage: Stage::Enqueued,
            heard_at,
            expires_at: expires_at(spec, item.due),
            worker: None,
        });
        true
    }

    /// The message of a run; none when there is none to be made of it, and the run has ended then.
    async fn message(&self, item: &Item, now: Timestamp) -> Option<(QueueName, Message)> {
        let Submission { id, key, route, .. } = &item.submission;
        let name = route.as_ref().map(|route| &*route.queue).unwrap_or_default();
        let made = QueueName::parse(name).ok_or_else(|| format!("`{name}` is no name of a queue")).and_then(
            |queue| {
                let envelope = making::envelope(&item.submission, item.due, &self.to.results, now)?;
                let body = Bytes::from(envelope.sign(&self.shared.keys));
                let max = self.to.capabilities.body_max;
                if body.len() > max {
                    return Err(format!(
                        "its message has {} bytes, and `{}` takes {max}",
                        body.len(),
                        self.to.name
                    ));
                }
                let not_before = (item.due > now).then_some(item.due);
                let key = Some(key.job.to_string());
                Ok((queue, Message { id: envelope.message_id(), body, not_before, key }))
            },
        );
        match made {
            Ok(made) => Some(made),
            Err(reason) => {
                error!(job = %key.job, run_id = %id, reason, "no message can be made of the run");
                self.end(*id, Outcome::NotStarted { reason, errno: None }).await;
                None
            }
        }
    }

    async fn send_to(&mut self, queue: &QueueName, batch: Vec<(Item, Message)>) {
        let (items, messages): (Vec<Item>, Vec<Message>) = batch.into_iter().unzip();
        if !self.ensured.contains(queue) {
            match self.to.broker.ensure(queue).await {
                Ok(()) => {
                    self.ensured.insert(queue.clone());
                    self.status.add_queue(queue);
                }
                Err(error) => {
                    self.failed(&error);
                    items.into_iter().for_each(|item| self.put_back(item, Effect::None));
                    return;
                }
            }
        }
        let results = self.to.broker.send(queue, &messages).await;
        let mut sent = Vec::with_capacity(items.len());
        let mut failure = None;
        for (item, result) in items.into_iter().zip(results) {
            match result {
                Ok(Sent::Duplicate) if item.is_fresh_fire() => {
                    info!(job = %item.submission.key.job, run_id = %item.submission.id, "another daemon has sent the run");
                    self.shared.remote.forget(item.submission.id);
                    self.give_up_to_other(&item).await;
                }
                Ok(_) => sent.push(item),
                Err(error) => {
                    let effect = match &error {
                        BrokerError::Unreachable { effect, .. } => *effect,
                        _ => Effect::None,
                    };
                    failure = Some(error);
                    self.put_back(item, effect);
                }
            }
        }
        match failure {
            Some(error) => {
                // It may be gone with what it held.
                self.ensured.remove(queue);
                self.failed(&error);
            }
            None => self.succeeded(),
        }
        self.acknowledged(sent).await;
    }

    /// A run that another daemon has sent is that daemon's.
    async fn give_up_to_other(&self, item: &Item) {
        let (run, at) = (item.submission.id, (self.shared.now)());
        self.record("a skip", || self.shared.ledger.dropped(run, Skip::Elsewhere, at)).await;
        self.shared.running.leave(run);
    }

    /// Keeps a run that could not be sent for another try.
    fn put_back(&mut self, item: Item, effect: Effect) {
        let may_be_sent = item.may_be_sent || effect == Effect::Unknown;
        if !may_be_sent {
            self.shared.remote.forget(item.submission.id);
            if is_first_of_fire(&item.submission) {
                self.shared.running.await_delivery(item.submission.id, &item.submission.key.job);
            }
        }
        self.waiting.add(Item { may_be_sent, ..item });
    }

    /// Takes note of what the queue system has now.
    async fn acknowledged(&self, items: Vec<Item>) {
        if items.is_empty() {
            return;
        }
        let at = (self.shared.now)();
        self.status.lock().sent += items.len() as u64;
        let staged = |item: &Item| Staged {
            run_id: item.submission.id,
            attempt: item.submission.attempt,
            stage: Stage::Acknowledged,
            at,
            worker: None,
        };
        let all: Vec<Staged> = items.iter().map(staged).collect();
        self.record("what was sent", || self.shared.ledger.staged(all.clone())).await;
        for item in items {
            let run = item.submission.id;
            if matches!(item.submission.spec.run.action, Action::Message(_)) {
                // What becomes of it is for its own consumer to say.
                self.delivered(&item.submission, at).await;
            } else {
                self.shared.remote.acknowledged(run, at);
            }
        }
    }

    /// A message for another program has arrived: that is the end of its run.
    async fn delivered(&self, submission: &Submission, at: Timestamp) {
        let (run_id, n) = (submission.id, submission.attempt);
        let ledger = &self.shared.ledger;
        let start = AttemptStart { run_id, n, started_at: at, output: None, worker: None };
        let outcome = Outcome::Success;
        let (bytes_seen, bytes_kept, then, worker) = (0, 0, Then::RunEnds, None);
        let end = AttemptEnd { run_id, n, ended_at: at, outcome, bytes_seen, bytes_kept, then, worker };
        self.record("the start of the attempt", || ledger.attempt_started(start.clone())).await;
        self.record("the end of the attempt", || ledger.attempt_ended(end.clone())).await;
        self.shared.remote.forget(run_id);
        self.shared.running.leave(run_id);
    }

    async fn end(&self, run: RunId, outcome: Outcome) {
        let at = (self.shared.now)();
        self.record("the end of the run", || self.shared.ledger.run_ended(run, outcome.clone(), at)).await;
        self.shared.remote.forget(run);
        self.shared.running.leave(run);
    }

    fn succeeded(&self) {
        let mut status = self.status.lock();
        status.breaker.succeeded();
        status.failing_since = None;
        if status.failure.take().is_some() {
            info!(backend = %self.to.name, waiting = self.waiting.len(), "the queue answers again");
        }
    }

    fn failed(&self, error: &BrokerError) {
        let now = (self.shared.now)();
        let mut status = self.status.lock();
        status.breaker.failed(now);
        let said = error.to_string();
        if status.failure.as_ref() != Some(&said) {
            warn!(backend = %self.to.name, error = said, "the queue does not take messages; runs wait");
        }
        status.failing_since.get_or_insert(now);
        status.failure = Some(said);
    }

    /// Writes a record, and tries again until it is written.
    async fn record<T, F>(&self, what: &str, write: impl Fn() -> F)
    where
        F: Future<Output = Result<T, LedgerError>> + Send,
    {
        let mut told = false;
        while let Err(error) = write().await {
            if matches!(error, LedgerError::Closed) {
                return;
            }
            if !std::mem::replace(&mut told, true) {
                warn!(error = &error as &dyn std::error::Error, "{what} cannot be recorded yet");
            }
            sleep(RETRY).await;
        }
    }
}

fn unanswered() -> BrokerError {
    BrokerError::Unreachable { effect: Effect::None, reason: "it did not answer in time".to_owned() }
}

#[cfg(test)]
mod tests;
