//! A run is stopped wherever it has come to.

use super::*;
use crate::{
    engine::worker::{claims::Stops, counts::Counts, source, vouch::Vouch},
    ledger::{Handled, Stage},
};

/// Where a run of a queue system elsewhere has come to when it is stopped.
#[derive(Debug, Clone, Copy)]
enum At {
    /// The queue system does not answer.
    Outbox,
    /// It waits for its second attempt.
    Retry,
    /// It is a message.
    Queue,
    /// A worker has it.
    Worker,
}

/// Waits until an attempt of a run has come so far.
async fn reaches(site: &Site, run: RunId, reached: (u32, Stage)) {
    soon(&format!("{reached:?}"), async || {
        let stage = site.row(run).await.stage?;
        ((stage.attempt, stage.stage) == reached).then_some(())
    })
    .await;
}

async fn run_at(site: &Site, at: At) -> RunId {
    site.set_down(matches!(at, At::Outbox));
    let run = site.trigger().await;
    match at {
        At::Outbox => {}
        At::Retry => {
            site.work(Outcome::ExitNonzero { code: 1 }).await;
            reaches(site, run, (2, Stage::Enqueued)).await;
        }
        At::Queue => reaches(site, run, (1, Stage::Acknowledged)).await,
        At::Worker => {
            let attempt = AttemptId { run_id: site.message().await.run_id, n: 1 };
            site.say(Report::Running { attempt, started_at: clock::now() }).await;
            reaches(site, run, (1, Stage::Running)).await;
        }
    }
    run
}

#[tokio::test]
async fn a_run_is_over_wherever_it_is_and_it_is_said_what_is_not_stopped() {
    for (at, said) in [
        (At::Outbox, "cancelled RUN, before it began"),
        (
            At::Queue,
            "cancelled RUN, and nothing is tried again; its message is on the queue `jobs` of `redis`, and a worker that takes it runs it all the same",
        ),
        (At::Worker, "cancelled RUN, and nothing is tried again; what runs on the worker w is not stopped"),
    ] {
        let site = Site::new(BackendKind::RedisStreams).await;
        let run = run_at(&site, at).await;
        let handled = site.daemon.cancel_run(run).await.unwrap();
        assert_eq!(handled.message.replace(&run.to_string(), "RUN"), said);
        assert_eq!((site.outcome(run).await, site.daemon.running().len()), (Outcome::Cancelled, 0), "{at:?}");
        assert!(site.daemon.cancel_run(run).await.is_err(), "{at:?}: it does not go on");
        assert_eq!(site.letter(run).await, None, "{at:?}");
    }
}

#[tokio::test]
async fn what_waited_in_the_outbox_is_never_sent() {
    let site = Site::new(BackendKind::RedisStreams).await;
    let run = run_at(&site, At::Outbox).await;
    let handled = site.daemon.cancel_job(&job()).await.unwrap();
    assert_eq!(handled.message, format!("cancelled {run} of `a`, before it began"));
    site.set_down(false);
    let next = site.trigger().await;
    assert_eq!(site.message().await.run_id, next);
    assert_eq!(site.depth().await, 0);
}

#[tokio::test]
async fn what_waits_for_its_next_attempt_makes_none() {
    let site = Site::new(BackendKind::RedisStreams).await;
    site.put(&json!({"retry": {"max_attempts": 2, "backoff": "fixed", "initial": "1h", "factor": 2.0, "max": "1h", "jitter": 0.0, "on": ["exit-nonzero"]}})).await;
    let run = run_at(&site, At::Retry).await;
    let handled = site.daemon.cancel_run(run).await.unwrap();
    assert_eq!(handled.message, format!("cancelled {run}, before it began"));
    assert_eq!(site.outcome(run).await, Outcome::Cancelled);
}

/// A person has said that it is not wanted; what its worker says later is told of the attempt.
#[tokio::test]
async fn what_a_worker_says_later_does_not_undo_it() {
    let site = Site::new(BackendKind::RedisStreams).await;
    let run = run_at(&site, At::Worker).await;
    site.daemon.cancel_run(run).await.unwrap();
    site.say(done(run, 1, Outcome::Success)).await;
    let row = soon("the outcome of the attempt", async || {
        let row = site.row(run).await;
        row.attempts.first().is_some_and(|attempt| attempt.outcome.is_some()).then_some(row)
    })
    .await;
    assert_eq!(row.outcome, Some(Outcome::Cancelled));
    assert_eq!(row.attempts[0].outcome, Some(Outcome::Success));
    assert_eq!(row.attempts[0].worker.as_deref(), Some("w"));
}

/// The worker of a daemon, without one that takes messages.
fn own_worker(site: &Site) -> Arc<source::Shared> {
    let parts = site.daemon.parts();
    Arc::new(source::Shared {
        name: Arc::clone(&parts.worker),
        executor: parts.executor.clone(),
        vouch: Vouch::Own,
        keys: Arc::clone(&site.daemon.outbox().shared().keys),
        memory: parts.ledger.clone(),
        output: parts.output.clone(),
        is_at_daemon: true,
        permits: Arc::new(tokio::sync::Semaphore::new(1)),
        under_way: Arc::default(),
        stops: Stops::default(),
        counts: Arc::new(Counts::default()),
        now: clock::now,
    })
}

#[tokio::test]
async fn the_worker_in_the_daemon_is_told() {
    let site = Site::new(BackendKind::Embedded).await;
    let own = own_worker(&site);
    site.daemon.set_own_worker(Arc::clone(&own));
    // It runs.
    let run = run_at(&site, At::Worker).await;
    let stop = own.stops.enter(run).unwrap();
    let handled = site.daemon.cancel_run(run).await.unwrap();
    assert_eq!(handled.message, format!("stopping {run}"));
    assert!(*stop.borrow());
    own.stops.leave(run);
    site.say(done(run, 1, Outcome::Cancelled)).await;
    assert_eq!(site.outcome(run).await, Outcome::Cancelled);
}

#[tokio::test]
async fn a_message_that_the_worker_in_the_daemon_does_not_have_yet_is_not_run() {
    let site = Site::new(BackendKind::Embedded).await;
    let own = own_worker(&site);
    site.daemon.set_own_worker(Arc::clone(&own));
    let run = run_at(&site, At::Queue).await;
    let handled = site.daemon.cancel_run(run).await.unwrap();
    assert_eq!(handled.message, format!("cancelled {run}, before it began"));
    assert_eq!(site.outcome(run).await, Outcome::Cancelled);
    // Also not by the next daemon's: it is in the ledger.
    let known = site.daemon.ledger().handled_begin(vec![(run, 1, clock::now())]).await.unwrap();
    assert_eq!(known, [Handled::Ended { report: Vec::new() }]);
}

#[tokio::test]
async fn a_message_that_the_worker_in_the_daemon_is_about_to_run_stops_as_it_begins() {
    let site = Site::new(BackendKind::Embedded).await;
    let own = own_worker(&site);
    site.daemon.set_own_worker(Arc::clone(&own));
    let run = run_at(&site, At::Queue).await;
    site.daemon.ledger().handled_begin(vec![(run, 1, clock::now())]).await.unwrap();
    site.daemon.cancel_run(run).await.unwrap();
    assert_eq!(site.outcome(run).await, Outcome::Cancelled);
    assert!(*own.stops.enter(run).unwrap().borrow());
    own.stops.leave(run);
    assert!(!*own.stops.enter(run).unwrap().borrow(), "once");
}
