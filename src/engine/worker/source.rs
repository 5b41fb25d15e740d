//! Takes messages off one queue of one queue system, and has them run.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::sleep,
};
use tracing::{info, warn};

use super::{
    claims::{Claims, Stops, UnderWay},
    counts::Counts,
    intake::{Intake, look},
    outgoing::{Outgoing, Word},
    rate::Rate,
    vouch::{Task, Vouch},
    work,
};
use crate::{
    backend::queue::{
        broker::{BrokerError, Delivery, QueueName, Receipt, Settlement, Verdict},
        envelope::Envelope,
        outbox::Connection,
        report::{AttemptId, Report},
        signature::Keyring,
    },
    execute::Executor,
    ledger::{Handled, Ledger},
};

/// Messages that are taken at once while all of them are over as soon as they begin.
const BATCH_MAX: usize = 500;

/// How long an empty queue is waited at.
const WAIT: Duration = Duration::from_secs(10);

/// Time between two tries when the queue system does not answer; doubled up to [`AGAIN_MAX`].
const AGAIN: Duration = Duration::from_millis(500);

/// Longest time between two tries.
const AGAIN_MAX: Duration = Duration::from_secs(15);

/// Claims that are extended together.
const EXTEND_BATCH: usize = 500;

/// How often it is said again that an attempt runs.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What all queues of a worker share.
#[derive(Debug)]
pub struct Shared {
    /// The worker's name, unique among workers.
    pub name: Arc<str>,
    /// What makes attempts.
    pub executor: Executor,
    /// What vouches for messages.
    pub vouch: Vouch,
    /// Keys that are believed; the first signs reports.
    pub keys: Arc<Keyring>,
    /// The worker's memory of what it ran.
    pub memory: Ledger,
    /// Where attempts write their output.
    pub output: PathBuf,
    /// Whether that is the daemon's own place for it, so that no report carries output.
    pub is_at_daemon: bool,
    /// As many attempts go on at once.
    pub permits: Arc<Semaphore>,
    /// The attempts that go on.
    pub stops: Stops,
    /// Those whose end is not told yet.
    pub under_way: Arc<UnderWay>,
    /// What is counted.
    pub counts: Arc<Counts>,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// One queue that a worker takes from.
pub struct Source {
    /// The queue system.
    pub connection: Connection,
    /// The queue.
    pub queue: QueueName,
    /// How long a claim lasts.
    pub claim: Duration,
    /// How many messages may begin in a while; none: any number.
    pub rate: Option<Rate>,
}

/// What an attempt of one queue gives its end to.
#[derive(Debug)]
pub struct Desk {
    /// The claims.
    pub claims: Arc<Claims>,
    /// How long one lasts.
    pub claim: Duration,
    /// Where outcomes go of messages that do not say, as they cannot be read.
    pub fallback: Arc<str>,
    words: Mutex<Option<mpsc::UnboundedSender<Word>>>,
    health: Mutex<SourceHealth>,
}

/// How one queue does.
#[derive(Debug, Clone, Default)]
pub struct SourceHealth {
    /// What the last call failed with, until one is answered.
    pub failure: Option<String>,
}

impl Desk {
    /// Has something said.
    pub fn say(&self, word: Word) {
        if let Some(words) = &*self.words.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = words.send(word);
        }
    }

    /// Nobody has anything more to say.
    pub fn close(&self) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// An attempt is over, or none is made.
    pub fn finish(&self, receipt: Receipt, attempt: Option<AttemptId>, to: Option<&str>, report: Report) {
        let said = to.map(|to| (Arc::from(to), report));
        self.say(Word::Done { receipt, attempt, said, verdict: Verdict::Ack });
    }

    /// A message is not run now.
    pub fn set_aside(&self, receipt: Receipt, verdict: Verdict) {
        self.say(Word::Done { receipt, attempt: None, said: None, verdict });
    }

    /// An attempt is left to another worker.
    pub fn give_back(&self, receipt: Receipt, attempt: AttemptId, to: Option<&str>, at: Timestamp) {
        let said = to.map(|to| (Arc::from(to), Report::Returned { attempt, at }));
        let verdict = Verdict::Retry { after: Duration::ZERO };
        self.say(Word::Done { receipt, attempt: Some(attempt), said, verdict });
    }

    /// How the queue does.
    #[must_use]
    pub fn health(&self) -> SourceHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_failure(&self, failure: Option<String>) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).failure = failure;
    }
}

impl Source {
    /// What speaks for this queue, and the task that does.
    pub fn desk(&self, shared: &Shared) -> (Arc<Desk>, impl Future<Output = ()> + Send + use<>) {
        let (words, spoken) = mpsc::unbounded_channel();
        let claims = Arc::new(Claims::default());
        let outgoing = Outgoing {
            connection: self.connection.clone(),
            queue: self.queue.clone(),
            worker: Arc::clone(&shared.name),
            keys: Arc::clone(&shared.keys),
            memory: shared.memory.clone(),
            claims: Arc::clone(&claims),
            under_way: Arc::clone(&shared.under_way),
            counts: Arc::clone(&shared.counts),
        };
        let fallback = self.connection.refusals.as_str().into();
        let desk = Desk {
            claims,
            claim: self.claim,
            fallback,
            words: Mutex::new(Some(words)),
            health: Mutex::default(),
        };
        (Arc::new(desk), outgoing.run(spoken))
    }

    /// Takes messages until `stop` says so. What runs then goes on.
    pub async fn run(mut self, shared: Arc<Shared>, desk: Arc<Desk>, mut stop: watch::Receiver<bool>) {
        let is_brisk = Arc::new(AtomicBool::new(false));
        let mut again = AGAIN;
        let mut is_ensured = false;
        loop {
            let round = async {
                if !is_ensured {
                    self.connection.broker.ensure(&self.queue).await?;
                    is_ensured = true;
                }
                self.receive(&shared, &is_brisk).await
            };
            let came = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                came = round => came,
            };
            match came {
                Ok(deliveries) => {
                    again = AGAIN;
                    desk.set_failure(None);
                    self.take_in(&shared, &desk, deliveries, &is_brisk, &stop).await;
                }
                Err(error) => {
                    is_ensured = false;
                    shared.counts.errors.add();
                    if desk.health().failure.is_none() {
                        warn!(backend = %self.connection.name, queue = %self.queue, %error, "messages cannot be taken");
                    }
                    desk.set_failure(Some(error.to_string()));
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => return,
                        () = sleep(again) => {}
                    }
                    again = (again * 2).min(AGAIN_MAX);
                }
            }
        }
    }

    /// Takes as many messages as may begin now.
    async fn receive(
        &mut self,
        shared: &Shared,
        is_brisk: &AtomicBool,
    ) -> Result<Vec<Delivery>, BrokerError> {
        // Dropped at once: it is only waited until there is one.
        drop(shared.permits.acquire().await);
        let free = shared.permits.available_permits().max(1);
        let mut most = if is_brisk.load(Ordering::Relaxed) { BATCH_MAX } else { free.min(BATCH_MAX) };
        if let Some(rate) = &mut self.rate {
            loop {
                match rate.take(most, Instant::now()) {
                    Ok(taken) => break most = taken,
                    Err(wait) => sleep(wait).await,
                }
            }
        }
        let came = self.connection.broker.receive(&self.queue, most, WAIT).await;
        if let Some(rate) = &mut self.rate {
            rate.give_back(most - came.as_ref().map_or(0, Vec::len).min(most));
        }
        came
    }

    async fn take_in(
        &self,
        shared: &Arc<Shared>,
        desk: &Arc<Desk>,
        deliveries: Vec<Delivery>,
        is_brisk: &Arc<AtomicBool>,
        stop: &watch::Receiver<bool>,
    ) {
        if deliveries.is_empty() {
            return;
        }
        let now = (shared.now)();
        let mut to_run = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            shared.counts.received.add();
            desk.claims.add(delivery.receipt.clone());
            let counts = self.connection.capabilities.counts;
            let vouch = (&*shared.keys, &shared.vouch);
            match look(&delivery, self.queue.as_str(), counts, vouch, now) {
                Intake::Run(task) => to_run.push((delivery.receipt, *task)),
                other => aside(shared, desk, delivery.receipt, other, now),
            }
        }
        let all_brief = to_run.iter().all(|(_, (_, task))| work::is_brief(task));
        is_brisk.store(all_brief && !to_run.is_empty(), Ordering::Relaxed);
        for (receipt, task, handled) in self.remembered(shared, to_run, now).await {
            begin(shared, desk, receipt, task, handled, stop);
        }
    }

    /// Says of each attempt whether this worker has made it before.
    async fn remembered(
        &self,
        shared: &Shared,
        to_run: Vec<(Receipt, (Envelope, Task))>,
        now: Timestamp,
    ) -> Vec<(Receipt, (Envelope, Task), Handled)> {
        let begins = to_run.iter().map(|(_, (envelope, _))| (envelope.run_id, envelope.attempt, now));
        let handled = match shared.memory.handled_begin(begins.collect()).await {
            Ok(handled) => handled,
            Err(error) => {
                // A worker that cannot remember runs what it is asked to: at least once.
                warn!(error = &error as &dyn std::error::Error, "the worker cannot remember what it runs");
                vec![Handled::New; to_run.len()]
            }
        };
        to_run.into_iter().zip(handled).map(|((receipt, task), handled)| (receipt, task, handled)).collect()
    }

    /// Keeps claims while their attempts go on, and says that they do, until `stop` says so.
    pub async fn keep_claims(
        connection: Connection,
        queue: QueueName,
        desk: Arc<Desk>,
        shared: Arc<Shared>,
        mut stop: watch::Receiver<bool>,
    ) {
        let every = desk.claim / 3;
        let mut said_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep(every) => {}
            }
            if said_at.elapsed() >= SAY_EVERY {
                said_at = Instant::now();
                for going in desk.claims.going() {
                    let Some(to) = going.reply_to else { continue };
                    let (attempt, started_at) = (going.attempt, going.started_at);
                    desk.say(Word::Note { to, attempt, report: Report::Running { attempt, started_at } });
                }
            }
            if !connection.capabilities.extends {
                continue;
            }
            let receipts = desk.claims.receipts();
            for batch in receipts.chunks(EXTEND_BATCH) {
                let extend =
                    |receipt: &Receipt| Settlement { receipt: receipt.clone(), verdict: Verdict::Extend };
                let settlements: Vec<Settlement> = batch.iter().map(extend).collect();
                let results = connection.broker.settle(&queue, &settlements).await;
                for (receipt, result) in batch.iter().zip(results) {
                    if result == Err(BrokerError::ClaimOver) {
                        shared.counts.claims_lost.add();
                        desk.claims.remove(receipt);
                    }
                }
            }
        }
    }
}

/// Sees to a message that is not run.
fn aside(shared: &Shared, desk: &Desk, receipt: Receipt, intake: Intake, now: Timestamp) {
    match intake {
        Intake::Run(_) => {}
        Intake::Later(after) => {
            shared.counts.returned.add();
            desk.set_aside(receipt, Verdict::Retry { after });
        }
        Intake::Expired(envelope) => {
            shared.counts.failed.add();
            desk.finish(receipt, None, envelope.reply_to.as_deref(), work::expired(&envelope, now));
        }
        Intake::Refuse(refused) => {
            shared.counts.refused.add();
            warn!(queue = refused.queue, outcome = %refused.outcome, "a message is not run");
            desk.finish(receipt, None, Some(&desk.fallback), Report::Refused(refused));
        }
        Intake::Leave => {
            if shared.counts.foreign.get() == 0 {
                info!("a message of another program is on the queue; it is left alone");
            }
            shared.counts.foreign.add();
            desk.set_aside(receipt, Verdict::Leave);
        }
    }
}

/// Has an attempt made, unless this worker has made it before.
fn begin(
    shared: &Arc<Shared>,
    desk: &Arc<Desk>,
    receipt: Receipt,
    (envelope, task): (Envelope, Task),
    handled: Handled,
    stop: &watch::Receiver<bool>,
) {
    let attempt = work::attempt_of(&envelope);
    if !shared.under_way.enter(attempt) {
        // Once its end is told, it is known.
        shared.counts.repeated.add();
        return desk.set_aside(receipt, Verdict::Retry { after: desk.claim });
    }
    if let Handled::Ended { report } = handled {
        shared.counts.repeated.add();
        let said = serde_json::from_slice(&report).ok().zip(envelope.reply_to.as_deref().map(Arc::from));
        let said = said.map(|(report, to)| (to, report));
        desk.say(Word::Done { receipt, attempt: Some(attempt), said, verdict: Verdict::Ack });
        return;
    }
    if work::is_brief(&task) {
        return work::run_brief(desk, shared, receipt, &envelope);
    }
    let (desk, shared) = (Arc::clone(desk), Arc::clone(shared));
    let mut stop = stop.clone();
    tokio::spawn(async move {
        if shared.permits.available_permits() == 0 {
            picked_up(&desk, &envelope, attempt, (shared.now)());
        }
        let permit = tokio::select! {
            biased;
            permit = Arc::clone(&shared.permits).acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop) => {
                // The worker ends, and this has not begun: another one is to run it.
                shared.counts.returned.add();
                return desk.give_back(receipt, attempt, envelope.reply_to.as_deref(), (shared.now)());
            }
        };
        if let Ok(permit) = permit {
            work::run(desk, shared, receipt, (envelope, task), permit).await;
        }
    });
}

fn picked_up(desk: &Desk, envelope: &Envelope, attempt: AttemptId, at: Timestamp) {
    if let Some(to) = envelope.reply_to.as_deref() {
        desk.say(Word::Note { to: to.into(), attempt, report: Report::PickedUp { attempt, at } });
    }
}
