use std::{cell::Cell, collections::BTreeMap};

use super::*;
use crate::{
    backend::{
        drive::Driver,
        queue::{
            fake::{CAPABILITIES, Call, FakeBroker},
            outbox::Outbox,
            remote::Remote,
            signature::Keyring,
        },
        running::{Place, Running},
    },
    execute::Executor,
    ledger::{Ledger, Location, NewDecision, Route, RunQuery},
    manifest::{characteristics::Tier, digest::Digest, spec::Spec},
    run::{Cause, RunKey},
    tier::queues::BackendKind,
};

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(1_800_000_000) };
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW.get()).unwrap()
}

fn later(seconds: i64) {
    NOW.set(NOW.get() + seconds);
}

struct Given {
    lane: Lane,
    broker: Arc<FakeBroker>,
    ledger: Ledger,
    running: Arc<Running>,
    remote: Arc<Remote>,
}

fn given() -> Given {
    let ledger = Ledger::open(&Location::Memory).unwrap();
    let (running, remote) = (Arc::new(Running::default()), Arc::new(Remote::default()));
    let driver = Driver::new(Executor::new([], 1), ledger.clone(), Arc::clone(&running), "".into(), now);
    let broker = Arc::new(FakeBroker::default());
    let queue = |name| QueueName::parse(name).unwrap();
    let connection = Connection {
        name: "fake".into(),
        kind: BackendKind::Embedded,
        broker: Arc::clone(&broker) as Arc<dyn crate::backend::queue::broker::Broker>,
        capabilities: CAPABILITIES,
        results: queue("results-1"),
        refusals: queue("results"),
    };
    let shared = Shared {
        ledger: ledger.clone(),
        running: Arc::clone(&running),
        remote: Arc::clone(&remote),
        driver,
        keys: Arc::new(Keyring::new(Vec::new())),
        now,
    };
    let (_, mut lanes) = Outbox::new(vec![connection], shared);
    Given { lane: lanes.remove(0), broker, ledger, running, remote }
}

/// A job whose runs go to the queue `jobs`; `more` goes over its spec.
fn spec(name: &str, more: &serde_json::Value) -> Arc<Spec> {
    let mut spec = serde_json::json!({
        "name": name, "enabled": true, "schedule": [], "run": {"action": {"builtin": "noop"}},
        "queue": {"backend": "fake", "name": "jobs"},
        "characteristics": {"visibility": "internal", "durability": "persistent", "infrastructure": "local"},
        "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s",
                   "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    Arc::new(serde_json::from_value(spec).unwrap())
}

impl Given {
    /// A fire now, decided and handed over as the engine does; `false` when it overlaps.
    async fn fire(&mut self, spec: &Arc<Spec>) -> bool {
        let key = RunKey { job: spec.name.clone(), fire_time: now(), cause: Cause::Schedule };
        let id = key.id();
        if self.running.enter(id, &spec.name, spec.policy.max_running) == Place::Full {
            return false;
        }
        let queue = spec.queue.as_ref().unwrap();
        let (backend, name) = (queue.backend.as_str().into(), queue.name.as_str().into());
        let route = Some(Arc::new(Route { tier: Tier::Queue, backend, queue: name }));
        let decision = NewDecision::run(id, key.job.clone(), now(), Cause::Schedule, now());
        self.ledger.decide(vec![decision.with_route(route.clone())]).await.unwrap();
        self.running.await_delivery(id, &key.job);
        let (digest, params, wait) = (Digest::of(spec), BTreeMap::new(), Duration::ZERO);
        let spec = Arc::clone(spec);
        let submission = Submission { id, key, route, spec, digest, params, attempt: 1, wait };
        self.lane.take(Order::Send(Box::new(submission))).await;
        true
    }

    async fn round(&mut self) {
        self.lane.drop_late().await;
        self.lane.round().await;
    }

    /// What the ledger says of each run, oldest first: why it was skipped, how it ended, or how far it is.
    async fn rows(&self) -> Vec<String> {
        let mut rows = self.ledger.runs(RunQuery { limit: 99, ..RunQuery::default() }).await.unwrap();
        rows.sort_by_key(|row| row.fire_time);
        let stage =
            |row: &crate::ledger::RunRow| row.stage.as_ref().map(|stage| stage.stage.as_str().to_owned());
        rows.iter()
            .map(|row| {
                let outcome = row.outcome.as_ref().map(|outcome| outcome.as_str().to_owned());
                row.skipped.clone().or(outcome).or_else(|| stage(row)).unwrap_or_default()
            })
            .collect()
    }

    fn circuit(&self) -> &'static str {
        self.lane.status.get().breaker.circuit(now()).as_str()
    }
}

#[tokio::test]
async fn what_is_sent_is_acknowledged_and_waits_for_a_worker() {
    let mut given = given();
    given.fire(&spec("a", &serde_json::Value::Null)).await;
    assert_eq!(given.rows().await, ["enqueued"]);
    given.round().await;
    assert_eq!(given.rows().await, ["acknowledged"]);
    assert_eq!((given.broker.sent().len(), given.remote.len()), (1, 1));
    later(60);
    assert!(!given.fire(&spec("a", &serde_json::Value::Null)).await, "it overlaps: the first goes on");
}

/// F24, ADR 0011.
#[tokio::test]
async fn while_the_queue_is_away_the_newest_fire_of_a_job_waits_and_each_other_has_its_record() {
    let mut given = given();
    given.broker.script([], Call::Lost);
    let job = spec("a", &serde_json::Value::Null);
    for _ in 0..4 {
        assert!(given.fire(&job).await);
        given.round().await;
        later(300);
    }
    assert_eq!(given.rows().await, ["superseded", "superseded", "superseded", "enqueued"]);
    given.broker.script([], Call::Answered);
    given.round().await;
    assert_eq!(given.rows().await.pop().as_deref(), Some("acknowledged"));
    assert_eq!(given.broker.sent().len(), 1);
    assert_eq!(given.running.len(), 1);
}

#[tokio::test]
async fn what_may_have_been_sent_is_sent_again_as_the_same_and_makes_no_way() {
    let mut given = given();
    let job = spec("a", &serde_json::Value::Null);
    given.fire(&job).await;
    // `ensure` is answered, the answer to `send` is lost.
    given.broker.script([Call::Answered, Call::ReplyLost], Call::Answered);
    given.round().await;
    assert_eq!(given.rows().await, ["enqueued"]);
    later(30);
    assert!(!given.fire(&job).await, "it may run by now");
    given.round().await;
    assert_eq!(given.rows().await, ["acknowledged"]);
    assert_eq!(given.broker.sent().len(), 1, "it was known again by its id");
}

#[tokio::test]
async fn a_run_that_another_daemon_has_sent_is_left_to_it() {
    let (mut one, mut other) = (given(), given());
    other.lane.to.broker = Arc::clone(&one.lane.to.broker);
    let job = spec("a", &serde_json::Value::Null);
    one.fire(&job).await;
    other.fire(&job).await;
    one.round().await;
    other.round().await;
    assert_eq!(
        (one.rows().await, other.rows().await),
        (vec!["acknowledged".into()], vec!["elsewhere".into()])
    );
    assert!(other.running.is_empty() && other.remote.is_empty());
}

#[tokio::test]
async fn after_five_failures_the_queue_is_left_alone_for_a_minute_and_one_message_decides() {
    let mut given = given();
    given.broker.script([], Call::Lost);
    for name in ["a", "b", "c"] {
        given.fire(&spec(name, &serde_json::Value::Null)).await;
    }
    for _ in 0..FAILURES {
        assert_eq!(given.circuit(), "closed");
        given.round().await;
    }
    assert_eq!(given.circuit(), "open");
    given.broker.script([], Call::Answered);
    given.round().await;
    assert_eq!(given.broker.sent().len(), 0, "it is not asked");
    later(60);
    assert_eq!(given.circuit(), "half-open");
    given.round().await;
    assert_eq!((given.broker.sent().len(), given.circuit()), (1, "closed"));
    given.round().await;
    assert_eq!(given.broker.sent().len(), 3);
}

/// As many as open the circuit.
const FAILURES: u32 = super::super::breaker::FAILURES_MAX;

#[tokio::test]
async fn what_may_degrade_runs_here_once_the_circuit_is_open_and_nothing_else_does() {
    let mut given = given();
    given.broker.script([], Call::Lost);
    given.fire(&spec("holds", &serde_json::Value::Null)).await;
    given.fire(&spec("degrades", &serde_json::json!({"fallback": "degrade"}))).await;
    let elsewhere = serde_json::json!({"visibility": "internal", "durability": "persistent", "infrastructure": "distributed"});
    given.fire(&spec("far", &serde_json::json!({"fallback": "degrade", "characteristics": elsewhere}))).await;
    for _ in 0..=FAILURES {
        given.round().await;
    }
    while given.running.len() > 2 {
        tokio::task::yield_now().await;
    }
    let mut rows = given.rows().await;
    rows.sort();
    assert_eq!(rows, ["enqueued", "enqueued", "success"]);
    assert_eq!(given.lane.status.get().degraded, 1);
}

#[tokio::test]
async fn a_fire_that_waited_for_an_hour_is_dropped_with_its_record() {
    let mut given = given();
    given.broker.script([], Call::Lost);
    given.fire(&spec("a", &serde_json::Value::Null)).await;
    given.round().await;
    later(3_601);
    given.round().await;
    assert_eq!(given.rows().await, ["expired"]);
    assert!(given.running.is_empty());
}

#[tokio::test]
async fn a_run_that_waits_here_can_be_cancelled() {
    let mut given = given();
    given.broker.script([], Call::Lost);
    given.fire(&spec("a", &serde_json::Value::Null)).await;
    given.round().await;
    let run = given.running.ids().into_iter().next().unwrap();
    let (answer, waited) = tokio::sync::oneshot::channel();
    given.lane.take(Order::Cancel(run, answer)).await;
    assert_eq!(waited.await, Ok(Waited::Unsent));
    assert_eq!(given.rows().await, ["cancelled"]);
    assert!(given.running.is_empty());
}

#[tokio::test]
async fn a_message_for_another_program_is_done_when_it_has_arrived() {
    let mut given = given();
    let message = serde_json::json!({"action": {"message": {"workflow": "etl.sync", "context": {"day": "{{ job }}"}, "metadata": {}}}});
    given.fire(&spec("a", &serde_json::json!({"run": message}))).await;
    given.round().await;
    assert_eq!(given.rows().await, ["success"]);
    assert!(given.running.is_empty() && given.remote.is_empty());
}

#[tokio::test]
async fn a_run_whose_message_is_too_large_ends_with_the_reason() {
    let mut given = given();
    let action = serde_json::json!({"action": {"command": ["true", "x".repeat(5_000)]}});
    given.fire(&spec("a", &serde_json::json!({"run": action}))).await;
    given.round().await;
    assert_eq!(given.rows().await, ["not-started"]);
}
