//! Runs that go to another tier.

use super::*;

fn route(queue: &str) -> Route {
    Route { tier: Tier::Queue, backend: "redis".into(), queue: queue.into() }
}

fn routed(second: i64) -> NewDecision {
    run("a", second).with_route(Some(Arc::new(route("jobs"))))
}

fn staged(second: i64, attempt: u32, stage: Stage, worker: Option<&str>) -> Staged {
    Staged { run_id: id("a", second), attempt, stage, at: at(second + 1), worker: worker.map(Into::into) }
}

/// The stage of a run: attempt, stage, worker.
async fn stage(ledger: &Ledger, second: i64) -> String {
    let row = ledger.run(id("a", second)).await.unwrap().unwrap();
    let Some(StageRow { attempt, stage, worker, .. }) = row.stage else { return "none".to_owned() };
    format!("{attempt} {} {}", stage.as_str(), worker.as_deref().unwrap_or("-"))
}

#[tokio::test]
async fn a_run_goes_on_from_stage_to_stage_and_never_back() {
    for (ledger, _files) in both() {
        ledger.decide(vec![routed(1), run("a", 2)]).await.unwrap();
        assert_eq!(stage(&ledger, 1).await, "1 enqueued -");
        assert_eq!(stage(&ledger, 2).await, "none");
        let open = ledger.unfinished().await.unwrap();
        assert_eq!(
            open.iter().map(|open| open.route.clone()).collect::<Vec<_>>(),
            [Some(route("jobs")), None]
        );
        for (attempt, to, worker, expected) in [
            (1, Stage::PickedUp, Some("w1"), "1 picked-up w1"),
            (1, Stage::Acknowledged, None, "1 picked-up w1"),
            (1, Stage::PickedUp, Some("w2"), "1 picked-up w1"),
            (1, Stage::Running, None, "1 running w1"),
            (2, Stage::Enqueued, None, "2 enqueued -"),
            (1, Stage::Running, Some("w1"), "2 enqueued -"),
            (2, Stage::Running, Some("w3"), "2 running w3"),
        ] {
            ledger
                .staged(vec![staged(1, attempt, to, worker), staged(2, attempt, to, worker)])
                .await
                .unwrap();
            assert_eq!(stage(&ledger, 1).await, expected);
        }
        assert_eq!(stage(&ledger, 2).await, "none", "it goes nowhere");
        ledger.run_ended(id("a", 1), Outcome::Success, at(9)).await.unwrap();
        ledger.staged(vec![staged(1, 3, Stage::Enqueued, None)]).await.unwrap();
        assert_eq!(stage(&ledger, 1).await, "2 running w3", "it has ended");
    }
}

#[tokio::test]
async fn a_run_that_goes_elsewhere_begins_anew_in_the_outbox() {
    for (ledger, _files) in both() {
        ledger.decide(vec![routed(1)]).await.unwrap();
        ledger.staged(vec![staged(1, 1, Stage::Acknowledged, None)]).await.unwrap();
        for (to, expected) in [
            (Some(route("jobs")), "1 acknowledged -"),
            (Some(route("others")), "1 enqueued -"),
            (None, "none"),
            (Some(route("others")), "1 enqueued -"),
        ] {
            ledger.rerouted(id("a", 1), to.clone()).await.unwrap();
            assert_eq!(stage(&ledger, 1).await, expected);
            assert_eq!(ledger.run(id("a", 1)).await.unwrap().unwrap().route, to);
        }
        ledger.run_ended(id("a", 1), Outcome::Success, at(9)).await.unwrap();
        ledger.rerouted(id("a", 1), None).await.unwrap();
        assert_eq!(stage(&ledger, 1).await, "1 enqueued -", "it has ended");
    }
}

#[tokio::test]
async fn a_run_that_was_never_handed_over_becomes_a_skip() {
    for (ledger, _files) in both() {
        ledger.decide((1..=5).map(routed).collect()).await.unwrap();
        ledger.staged(vec![staged(3, 1, Stage::Acknowledged, None)]).await.unwrap();
        let start = AttemptStart { run_id: id("a", 4), n: 1, started_at: at(4), output: None, worker: None };
        ledger.attempt_started(start).await.unwrap();
        ledger.run_ended(id("a", 5), Outcome::Success, at(5)).await.unwrap();
        let mut dropped = Vec::new();
        for second in [1, 2, 2, 3, 4, 5, 6] {
            dropped.push(ledger.dropped(id("a", second), Skip::Superseded, at(8)).await.unwrap());
        }
        assert_eq!(dropped, [true, true, false, false, false, false, false]);
        let expected = ["1-1 1 superseded", "2-2 1 superseded", "3-3 1 run", "4-4 1 run", "5-5 1 run"];
        assert_eq!(rows(&ledger).await, expected);
        let open: Vec<_> = ledger.unfinished().await.unwrap().iter().map(|open| open.fire_time).collect();
        assert_eq!(open, [at(3), at(4)]);
        assert_eq!(ledger.run(id("a", 1)).await.unwrap().unwrap().decided_at, at(8));
    }
}

/// What was a run is no longer counted with them.
#[tokio::test]
async fn history_is_held_to_its_limits_when_runs_become_skips() {
    for (ledger, _files) in both() {
        let limits = HistoryLimits { keep_last: 2, max_age: Duration::from_secs(1_000) };
        let prune = async || while ledger.prune_history(limits, at(20)).await.unwrap().more {};
        ledger.decide((1..=4).map(routed).collect()).await.unwrap();
        prune().await;
        for second in 1..=3 {
            ledger.dropped(id("a", second), Skip::Expired, at(8)).await.unwrap();
        }
        prune().await;
        assert_eq!(rows(&ledger).await, ["2-2 1 expired", "3-3 1 expired", "4-4 1 run"]);
        ledger.decide((5..=6).map(routed).collect()).await.unwrap();
        for second in 4..=6 {
            ledger.run_ended(id("a", second), Outcome::Success, at(8)).await.unwrap();
        }
        prune().await;
        assert_eq!(rows(&ledger).await, ["2-2 1 expired", "3-3 1 expired", "5-5 1 run", "6-6 1 run"]);
    }
}

#[tokio::test]
async fn who_made_an_attempt_is_known_also_when_its_start_was_not_recorded() {
    for (ledger, _files) in both() {
        ledger.decide(vec![routed(1)]).await.unwrap();
        let worker = || Some(Arc::from("w1"));
        let again = AttemptEnd { then: Then::Again, worker: worker(), ..end("a", 1, Outcome::Lost) };
        ledger.attempt_ended(again).await.unwrap();
        let start =
            AttemptStart { run_id: id("a", 1), n: 2, started_at: at(4), output: None, worker: worker() };
        ledger.attempt_started(start).await.unwrap();
        ledger.attempt_ended(AttemptEnd { n: 2, ..end("a", 1, Outcome::Success) }).await.unwrap();
        let run = ledger.run(id("a", 1)).await.unwrap().unwrap();
        assert!(run.attempts.iter().all(|attempt| attempt.worker == worker()), "{:?}", run.attempts);
        assert_eq!((run.attempts.len(), run.outcome), (2, Some(Outcome::Success)));
    }
}

#[tokio::test]
async fn a_ledger_keeps_its_name() {
    let files = Files::new();
    let name = open(&files.path()).instance().await.unwrap();
    assert_eq!(open(&files.path()).instance().await.unwrap(), name);
    assert_ne!(open(&Files::new().path()).instance().await.unwrap(), name);
}
