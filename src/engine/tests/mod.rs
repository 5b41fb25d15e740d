//! A daemon in this process with one queue system, which can be told not to answer; the tests are its
//! workers.

mod cancel;
mod replay;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use super::{
    clock,
    daemon::{Daemon, Parts},
    decide::Decider,
    pauses::Pauses,
};
use crate::{
    backend::{
        Backend as _,
        drive::Driver,
        live::Decide,
        queue::{
            broker::{
                Broker, BrokerError, Capabilities, Delivery, Depth, Effect, Health, Message, QueueName, Sent,
                Settlement, Verdict,
            },
            embedded::{self, EmbeddedBroker},
            envelope::Envelope,
            outbox::{Connection, Outbox, Shared},
            remote::Remote,
            report::{AttemptId, Done, Report, Reports, VERSION},
            signature::Keyring,
        },
        running::Running,
        takers::Takers,
        timed::{TimedJobs, TimedTier},
    },
    execute::Executor,
    ledger::{Ledger, LetterState, Location, RunRow},
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    plan::diff::{Change, Placement, Step, Why},
    run::{Outcome, RunId},
    tier::queues::BackendKind,
};

/// How long a thing that will happen is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A queue system that does not answer while it is told so.
#[derive(Debug)]
pub(super) struct Flaky {
    inner: EmbeddedBroker,
    is_down: AtomicBool,
}

impl Flaky {
    fn check(&self) -> Result<(), BrokerError> {
        if self.is_down.load(Ordering::Acquire) {
            let reason = "it is told so".to_owned();
            return Err(BrokerError::Unreachable { effect: Effect::None, reason });
        }
        Ok(())
    }
}

#[async_trait]
impl Broker for Flaky {
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.check()?;
        self.inner.ensure(queue).await
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        match self.check() {
            Ok(()) => self.inner.send(queue, messages).await,
            Err(error) => vec![Err(error); messages.len()],
        }
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        self.check()?;
        self.inner.receive(queue, max, wait).await
    }

    async fn settle(&self, queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        self.inner.settle(queue, settlements).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        self.inner.depth(queue).await
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        self.check()?;
        self.inner.health().await
    }
}

/// The daemon, with a job `a` on the queue tier.
pub(super) struct Site {
    pub(super) daemon: Arc<Daemon>,
    broker: Arc<Flaky>,
    stop: watch::Sender<bool>,
    _output: TempDir,
}

fn queue() -> QueueName {
    QueueName::parse("jobs").unwrap()
}

fn results() -> QueueName {
    QueueName::parse("results").unwrap()
}

pub(super) fn job() -> JobName {
    JobName::parse("a").unwrap()
}

/// Waits until there is something.
pub(super) async fn soon<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come");
        tokio::task::yield_now().await;
    }
}

fn daemon(broker: Arc<Flaky>, kind: BackendKind, ledger: &Ledger, output: &TempDir) -> (Daemon, Outgoing) {
    let running = Arc::new(Running::default());
    let executor = Executor::new([], 1_000);
    let output = output.path().to_owned();
    let driver =
        Driver::new(executor.clone(), ledger.clone(), Arc::clone(&running), output.clone(), clock::now);
    let connection = Connection {
        name: "redis".into(),
        kind,
        broker,
        // What is not due waits here.
        capabilities: Capabilities { delay: Duration::ZERO, ..embedded::CAPABILITIES },
        results: results(),
        refusals: QueueName::parse("refusals").unwrap(),
    };
    let remote = Arc::new(Remote::default());
    let shared = Shared {
        ledger: ledger.clone(),
        running: Arc::clone(&running),
        remote: Arc::clone(&remote),
        driver: driver.clone(),
        keys: Arc::new(Keyring::new(Vec::new())),
        now: clock::now,
    };
    let (outbox, lanes) = Outbox::new(vec![connection.clone()], shared);
    let outbox = Arc::new(outbox);
    let takers = Arc::new(Takers::new(driver, Arc::clone(&outbox)));
    let pauses = Arc::new(Pauses::default());
    let decider = Arc::new(Decider::new(ledger.clone(), Arc::clone(&running), Arc::clone(&pauses)));
    let above = Arc::clone(&decider) as Arc<dyn Decide>;
    let (tell, _) = mpsc::unbounded_channel();
    let (ask, _) = mpsc::channel(1);
    let parts = Parts {
        root: "jobs.d".into(),
        output,
        ledger: ledger.clone(),
        jobs: Arc::new(TimedJobs::new(ledger.clone(), takers, above, tell, clock::now)),
        outbox,
        remote,
        executor,
        worker: "serve-x".into(),
        letters_max: 3,
        running,
        pauses,
        decider,
        jumps: Arc::default(),
    };
    (Daemon::new(parts, ask, clock::now()), (lanes, connection))
}

type Outgoing = (Vec<crate::backend::queue::lane::Lane>, Connection);

impl Site {
    pub(super) async fn new(kind: BackendKind) -> Self {
        let ledger = Ledger::open(&Location::Memory).unwrap();
        let inner = EmbeddedBroker::new(ledger.clone(), clock::now, Duration::from_secs(30));
        let broker = Arc::new(Flaky { inner, is_down: AtomicBool::new(false) });
        let output = TempDir::new().unwrap();
        let (daemon, (lanes, connection)) = daemon(Arc::clone(&broker), kind, &ledger, &output);
        let daemon = Arc::new(daemon);
        let stop = watch::Sender::new(false);
        for lane in lanes {
            tokio::spawn(lane.run(stop.subscribe()));
        }
        daemon.set_recovered();
        tokio::spawn(Arc::clone(&daemon).take_reports(connection, results(), stop.subscribe()));
        tokio::spawn(Arc::clone(&daemon).see_to_letters(stop.subscribe()));
        let site = Self { daemon, broker, stop, _output: output };
        site.put(&json!({})).await;
        site
    }

    /// Puts the job as a manifest with these values of its policy asks for it.
    pub(super) async fn put(&self, policy: &Value) {
        let mut spec = json!({
            "name": "a", "enabled": true, "params": {"day": "monday"},
            "run": {"action": {"command": ["true"]}},
            "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
            "queue": {"backend": "redis", "name": "jobs"},
            "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s",
                       "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": ["exit-nonzero"]}},
        });
        for (key, value) in policy.as_object().unwrap() {
            spec["policy"][key] = value.clone();
        }
        let spec: Arc<Spec> = Arc::new(serde_json::from_value(spec).unwrap());
        let digest = Digest::of(&spec);
        self.step(Change::Put { spec, digest, why: Why::New }).await;
    }

    /// Takes the job away.
    pub(super) async fn remove(&self) {
        self.step(Change::Prune).await;
    }

    async fn step(&self, change: Change) {
        let placement = Placement { job: job(), tier: Tier::Queue };
        let tier = TimedTier::new(Tier::Queue, Arc::clone(&self.daemon.parts().jobs));
        tier.apply(&Step { placement, change }).await.unwrap();
    }

    pub(super) fn set_down(&self, is_down: bool) {
        self.broker.is_down.store(is_down, Ordering::Release);
    }

    pub(super) async fn trigger(&self) -> RunId {
        self.daemon.trigger(&job(), BTreeMap::from([("day".to_owned(), "tuesday".into())])).await.unwrap()
    }

    /// Takes the next message, as a worker does.
    pub(super) async fn message(&self) -> Envelope {
        let came = self.broker.inner.receive(&queue(), 1, PATIENCE).await.unwrap();
        let [Delivery { receipt, body, .. }] = came.as_slice() else { panic!("no message came") };
        let settlement = Settlement { receipt: receipt.clone(), verdict: Verdict::Ack };
        self.broker.inner.settle(&queue(), &[settlement]).await[0].clone().unwrap();
        Envelope::read(body, &Keyring::new(Vec::new())).unwrap().0
    }

    /// How many messages there are.
    pub(super) async fn depth(&self) -> u64 {
        self.broker.inner.depth(&queue()).await.unwrap().ready
    }

    /// Says something as the worker `w`.
    pub(super) async fn say(&self, report: Report) {
        let reports = Reports { v: VERSION, worker: "w".to_owned(), reports: vec![report] };
        let body = reports.sign(&Keyring::new(Vec::new())).into_bytes().into();
        let message = Message { id: uuid::Uuid::now_v7().to_string(), body, not_before: None, key: None };
        self.broker.inner.send(&results(), &[message]).await[0].clone().unwrap();
    }

    /// Takes the next message, and says how its attempt ended; gives the attempt.
    pub(super) async fn work(&self, outcome: Outcome) -> u32 {
        let Envelope { run_id, attempt, .. } = self.message().await;
        self.say(done(run_id, attempt, outcome)).await;
        attempt
    }

    pub(super) async fn row(&self, run: RunId) -> RunRow {
        self.daemon.ledger().run(run).await.unwrap().unwrap()
    }

    /// Waits until a run is over; gives how.
    pub(super) async fn outcome(&self, run: RunId) -> Outcome {
        soon("the end of the run", async || self.row(run).await.outcome).await
    }

    /// The state of a letter, and how often it was given up; none when there is no letter.
    pub(super) async fn letter(&self, run: RunId) -> Option<(LetterState, u32)> {
        let letter = self.daemon.ledger().letter(run.0, clock::now()).await.unwrap()?;
        Some((letter.row.state, letter.row.times))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

pub(super) fn done(run_id: RunId, n: u32, outcome: Outcome) -> Report {
    let at: Timestamp = clock::now();
    let (attempt, bytes_seen, bytes_kept, tail) = (AttemptId { run_id, n }, 0, 0, String::new());
    Report::Done(Box::new(Done {
        attempt,
        started_at: at,
        ended_at: at,
        outcome,
        bytes_seen,
        bytes_kept,
        tail,
    }))
}
