//! What a worker must do with messages, whatever queue system carries them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;
use tintal::{
    backend::queue::{
        envelope::{Envelope, VERSION, Work, traceparent},
        outbox::Connection,
        report::{Report, Reports},
        signature::{Key, Keyring},
    },
    engine::worker::{
        claims::Stops,
        counts::Counts,
        crew::Crew,
        source::{Shared, Source},
        vouch::Vouch,
    },
    execute::Executor,
    ledger::{Ledger, Location},
    manifest::{digest::Digest, spec::Spec},
    run::{Cause, Outcome, RunId, run_id},
    tier::queues::BackendKind,
};
use tokio::sync::Semaphore;

use super::{
    broker::{Broker, Message, QueueName, Verdict},
    suite::{Lab, fresh_queue, send, settle, take},
};

/// Longest time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn keys() -> Arc<Keyring> {
    Arc::new(Keyring::new(vec![Key::new("k1".to_owned(), &"secret".to_owned().into())]))
}

/// A queue system with a worker, and what stands for the daemon.
struct Site<L> {
    lab: L,
    broker: Arc<dyn Broker>,
    queue: QueueName,
    results: QueueName,
    directory: TempDir,
}

impl<L: Lab> Site<L> {
    async fn new() -> Self {
        let lab = L::new().await;
        let broker = lab.client().await;
        let (queue, results) = (fresh_queue(), fresh_queue());
        broker.ensure(&queue).await.unwrap();
        broker.ensure(&results).await.unwrap();
        Self { lab, broker, queue, results, directory: tempfile::tempdir().unwrap() }
    }

    /// A worker that remembers what it ran in the directory of this name.
    async fn worker(&self, name: &str, concurrency: usize) -> Crew {
        let state = self.directory.path().join(name);
        fs::create_dir_all(&state).unwrap();
        let shared = Shared {
            name: name.into(),
            executor: Executor::new(std::env::vars(), 1 << 20),
            vouch: Vouch::Outside { checkout: None },
            keys: keys(),
            memory: Ledger::open(&Location::File(state.join("ledger.db"))).unwrap(),
            output: state.join("output"),
            is_at_daemon: false,
            permits: Arc::new(Semaphore::new(concurrency)),
            stops: Stops::default(),
            under_way: Arc::default(),
            counts: Arc::new(Counts::default()),
            now: Timestamp::now,
        };
        let mut crew = Crew::new(Arc::new(shared));
        crew.take_from(Source {
            connection: Connection {
                name: "lab".into(),
                kind: BackendKind::Embedded,
                broker: self.lab.client().await,
                capabilities: L::CAPABILITIES,
                results: self.results.clone(),
                refusals: self.results.clone(),
            },
            queue: self.queue.clone(),
            claim: L::CLAIM,
            rate: None,
        });
        crew
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The first attempt of a run that appends a line to a file, and does `more`.
    fn envelope(&self, job: &str, more: &str) -> Envelope {
        let script = format!("echo \"$TINTAL_JOB\" >> '{}'; {more}", self.file("ran").display());
        let spec: Spec = serde_json::from_value(json!({
            "name": job, "enabled": true, "run": {"action": {"command": ["sh", "-c", script]}},
            "characteristics": {"visibility": "internal", "durability": "persistent", "infrastructure": "distributed"},
            "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "1s",
                       "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
        }))
        .unwrap();
        let now = Timestamp::now();
        let run_id = run_id(&spec.name, now, Cause::Schedule);
        Envelope {
            v: VERSION,
            run_id,
            job: spec.name.clone(),
            fire_time: now,
            cause: Cause::Schedule,
            attempt: 1,
            max_attempts: 1,
            not_before: None,
            expires_at: now + Duration::from_secs(3600),
            enqueued_at: now,
            digest: Digest::of(&spec),
            action: Some(Work::of(&spec, &BTreeMap::new(), "UTC".to_owned())),
            reply_to: Some(self.results.to_string()),
            traceparent: traceparent(run_id, 1),
            workflow: job.to_owned(),
            workflow_provider: None,
            context: json!({}),
            metadata: json!({}),
            queued_at: now,
        }
    }

    async fn send(&self, id: &str, body: String) {
        let message = Message { id: id.to_owned(), body: Bytes::from(body), not_before: None, key: None };
        send(&*self.broker, &self.queue, &[message]).await;
    }

    async fn send_envelope(&self, envelope: &Envelope) {
        self.send(&envelope.message_id(), envelope.sign(&keys())).await;
    }

    /// Waits for the reports that `pick` picks something of, until there are so many.
    async fn reports<T>(&self, count: usize, pick: impl Fn(Report) -> Option<T>) -> Vec<T> {
        let start = Instant::now();
        let mut picked = Vec::new();
        while picked.len() < count {
            assert!(start.elapsed() < PATIENCE, "{} of {count} reports within {PATIENCE:?}", picked.len());
            let taken = take(&*self.broker, &self.results, 1).await;
            for delivery in &taken {
                let reports = Reports::read(&delivery.body, &keys()).unwrap();
                picked.extend(reports.reports.into_iter().filter_map(&pick));
            }
            settle(&*self.broker, &self.results, &taken, Verdict::Ack).await;
        }
        picked
    }

    /// Waits for the ends of so many attempts.
    async fn outcomes(&self, count: usize) -> Vec<(RunId, Outcome)> {
        self.reports(count, |report| match report {
            Report::Done(done) => Some((done.attempt.run_id, done.outcome)),
            _ => None,
        })
        .await
    }

    /// Waits for so many messages that were not run; gives why.
    async fn refusals(&self, count: usize) -> Vec<String> {
        self.reports(count, |report| match report {
            Report::Refused(refused) => Some(refused.outcome.to_string()),
            _ => None,
        })
        .await
    }

    fn ran(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file("ran")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn is_empty(&self) {
        super::suite::nothing(&*self.broker, &self.queue, Duration::from_secs(1)).await;
    }
}

async fn end(crew: Crew) {
    crew.drain(Duration::from_secs(10), std::future::pending()).await;
}

async fn until(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < PATIENCE, "{} is not there", path.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn a_run_is_run_and_its_outcome_comes_back<L: Lab>() {
    let site = Site::<L>::new().await;
    let crew = site.worker("w", 4).await;
    let (good, bad) = (site.envelope("good", "echo out"), site.envelope("bad", "echo why >&2; exit 3"));
    site.send_envelope(&good).await;
    site.send_envelope(&bad).await;
    let mut done = site
        .reports(2, |report| match report {
            Report::Done(done) => Some(*done),
            _ => None,
        })
        .await;
    done.sort_by_key(|done| done.outcome.is_success());
    assert_eq!(done[0].outcome, Outcome::ExitNonzero { code: 3 });
    assert!(done[0].tail.contains("why"), "{:?}", done[0].tail);
    assert_eq!((done[1].attempt.run_id, &done[1].outcome), (good.run_id, &Outcome::Success));
    assert!(done[1].tail.contains("out"), "{:?}", done[1].tail);
    end(crew).await;
    site.is_empty().await;
}

/// The last defence: the worker's own memory.
pub async fn a_run_that_is_sent_twice_runs_once<L: Lab>() {
    let site = Site::<L>::new().await;
    let crew = site.worker("w", 4).await;
    let envelope = site.envelope("once", "true");
    site.send_envelope(&envelope).await;
    assert_eq!(site.outcomes(1).await, [(envelope.run_id, Outcome::Success)]);
    // Of another id, so that no queue system can tell.
    site.send("another-id", envelope.sign(&keys())).await;
    assert_eq!(site.outcomes(1).await, [(envelope.run_id, Outcome::Success)], "its outcome is told again");
    end(crew).await;
    // Also after a restart of the worker.
    let crew = site.worker("w", 4).await;
    site.send("a-third-id", envelope.sign(&keys())).await;
    assert_eq!(site.outcomes(1).await, [(envelope.run_id, Outcome::Success)]);
    assert_eq!(site.ran(), ["once"]);
    end(crew).await;
}

pub async fn a_run_that_takes_longer_than_a_claim_runs_once<L: Lab>() {
    if !L::CAPABILITIES.extends {
        return;
    }
    let site = Site::<L>::new().await;
    let (one, other) = (site.worker("one", 4).await, site.worker("other", 4).await);
    let envelope = site.envelope("long", &format!("sleep {}", (L::CLAIM * 5 / 2).as_secs()));
    site.send_envelope(&envelope).await;
    assert_eq!(site.outcomes(1).await, [(envelope.run_id, Outcome::Success)]);
    assert_eq!(site.ran(), ["long"]);
    end(one).await;
    end(other).await;
    site.is_empty().await;
}

pub async fn what_is_not_due_or_expired_is_not_run<L: Lab>() {
    let site = Site::<L>::new().await;
    let crew = site.worker("w", 4).await;
    let now = Timestamp::now();
    let expired = Envelope { expires_at: now - Duration::from_secs(1), ..site.envelope("expired", "true") };
    let due = now + Duration::from_secs(3);
    let later = Envelope { not_before: Some(due), ..site.envelope("later", "true") };
    site.send_envelope(&later).await;
    site.send_envelope(&expired).await;
    let outcomes = site.outcomes(2).await;
    assert!(outcomes.contains(&(expired.run_id, Outcome::Expired)), "{outcomes:?}");
    assert!(outcomes.contains(&(later.run_id, Outcome::Success)), "{outcomes:?}");
    assert!(Timestamp::now() >= due);
    assert_eq!(site.ran(), ["later"]);
    end(crew).await;
}

pub async fn what_nobody_vouches_for_is_not_run_and_is_told<L: Lab>() {
    let site = Site::<L>::new().await;
    let crew = site.worker("w", 4).await;
    let forged = site.envelope("forged", "true").sign(&keys()).replace("forged", "sorted");
    site.send("forged", forged).await;
    let strange = Keyring::new(vec![Key::new("k2".to_owned(), &"other".to_owned().into())]);
    site.send("strange", site.envelope("strange", "true").sign(&strange)).await;
    site.send("unsigned", site.envelope("unsigned", "true").sign(&Keyring::new(Vec::new()))).await;
    let version = Envelope { v: 2, ..site.envelope("version", "true") };
    site.send("version", version.sign(&keys())).await;
    let mut reasons = site.refusals(4).await;
    reasons.sort();
    let begins = [
        "it has version 2",
        "it is signed by the key `k2`",
        "its signature by the key `k1`",
        "nobody vouches for it",
    ];
    for (reason, begin) in reasons.iter().zip(begins) {
        assert!(reason.contains(begin), "{reason} | {begin}");
    }
    assert_eq!(site.ran(), Vec::<String>::new());
    end(crew).await;
    site.is_empty().await;
}

pub async fn what_other_programs_send_is_left_alone<L: Lab>() {
    let site = Site::<L>::new().await;
    if !site.lab.foreign(&site.queue, "{\"workflow\": \"etl\"}").await {
        return;
    }
    let crew = site.worker("w", 4).await;
    let ours = site.envelope("ours", "true");
    site.send_envelope(&ours).await;
    assert_eq!(site.outcomes(1).await, [(ours.run_id, Outcome::Success)]);
    let start = Instant::now();
    while crew.shared().counts.foreign.get() == 0 {
        assert!(start.elapsed() < PATIENCE, "it was not seen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(site.ran(), ["ours"]);
    end(crew).await;
}

/// A worker that ends lets its runs end, and gives back what it has not begun.
pub async fn a_worker_that_ends_leaves_nothing_undone<L: Lab>() {
    let site = Site::<L>::new().await;
    let first = site.worker("first", 1).await;
    let begun = site.file("begun");
    let long = site.envelope("long", &format!("touch '{}'; sleep 2", begun.display()));
    site.send_envelope(&long).await;
    until(&begun).await;
    let waits = site.envelope("waits", "true");
    site.send_envelope(&waits).await;
    end(first).await;
    assert_eq!(site.outcomes(1).await, [(long.run_id, Outcome::Success)]);
    let second = site.worker("second", 1).await;
    assert_eq!(site.outcomes(1).await, [(waits.run_id, Outcome::Success)]);
    end(second).await;
    assert_eq!(site.ran(), ["long", "waits"]);
}

/// One that is stopped hard gives its run back, too.
pub async fn a_run_that_a_worker_had_to_stop_is_run_by_another<L: Lab>() {
    let site = Site::<L>::new().await;
    let first = site.worker("first", 1).await;
    let begun = site.file("begun");
    let more = format!("test -e '{0}' && exit 0; touch '{0}'; sleep 600", begun.display());
    let envelope = site.envelope("long", &more);
    site.send_envelope(&envelope).await;
    until(&begun).await;
    first.drain(Duration::ZERO, std::future::pending()).await;
    let second = site.worker("second", 1).await;
    assert_eq!(site.outcomes(1).await, [(envelope.run_id, Outcome::Success)]);
    end(second).await;
    assert_eq!(site.ran(), ["long", "long"]);
}

/// The cases, for one kind of queue system.
#[macro_export]
macro_rules! worker_contract {
    ($lab:ty) => {
        $crate::worker_contract!(@cases $lab:
            a_run_is_run_and_its_outcome_comes_back,
            a_run_that_is_sent_twice_runs_once,
            a_run_that_takes_longer_than_a_claim_runs_once,
            what_is_not_due_or_expired_is_not_run,
            what_nobody_vouches_for_is_not_run_and_is_told,
            what_other_programs_send_is_left_alone,
            a_worker_that_ends_leaves_nothing_undone,
            a_run_that_a_worker_had_to_stop_is_run_by_another,
        );
    };
    (@cases $lab:ty: $($case:ident,)*) => {
        mod worker {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    $crate::worker::$case::<$lab>().await;
                }
            )*
        }
    };
}
