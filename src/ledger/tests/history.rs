//! What is dropped of the history, and what stays.

use super::*;

#[tokio::test]
async fn history_is_dropped_by_count_and_by_age_and_what_goes_on_stays() {
    for (ledger, _files) in both() {
        for second in 0..20 {
            ledger.decide(vec![run("a", second)]).await.unwrap();
            if second != 3 {
                ledger.run_ended(id("a", second), Outcome::Success, at(second)).await.unwrap();
            }
        }
        let seconds = async || {
            let runs = ledger.runs(RunQuery { limit: 100, ..RunQuery::default() }).await.unwrap();
            let mut seconds: Vec<i64> =
                runs.iter().map(|run| run.fire_time.duration_since(at(0)).as_secs()).collect();
            seconds.sort_unstable();
            seconds
        };
        let limits = HistoryLimits { keep_last: 12, max_age: Duration::from_secs(1_000) };
        assert_eq!(ledger.prune_history(limits, at(20)).await.unwrap().rows, 7);
        assert_eq!(seconds().await, [vec![3], (8..20).collect()].concat());
        let limits = HistoryLimits { keep_last: 1_000, max_age: Duration::from_secs(5) };
        ledger.prune_history(limits, at(20)).await.unwrap();
        assert_eq!(seconds().await, [3, 15, 16, 17, 18, 19]);
        assert_eq!(ledger.prune_history(limits, at(20)).await.unwrap(), Pruned::default());
    }
}

/// What is kept of a job is counted once, not at each look: a full history costs no more than a new one.
#[tokio::test]
async fn history_of_a_daemon_before_is_held_to_the_limits_too() {
    let files = Files::new();
    for part in 0..2 {
        let ledger = open(&files.path());
        for name in ["a", "b"] {
            for second in 0..5 {
                let second = 10 * part + second;
                ledger.decide(vec![run(name, second)]).await.unwrap();
                ledger.run_ended(id(name, second), Outcome::Success, at(second)).await.unwrap();
            }
        }
    }
    let ledger = open(&files.path());
    let limits = HistoryLimits { keep_last: 3, max_age: Duration::from_secs(1_000) };
    let mut dropped = 0;
    loop {
        let pruned = ledger.prune_history(limits, at(100)).await.unwrap();
        dropped += pruned.rows;
        if !pruned.more {
            break;
        }
    }
    assert_eq!(dropped, 14);
    assert_eq!(rows(&ledger).await, ["12-12 1 run", "13-13 1 run", "14-14 1 run"]);
    // What is added from here on is counted with it.
    ledger.decide(vec![run("a", 20)]).await.unwrap();
    ledger.run_ended(id("a", 20), Outcome::Success, at(20)).await.unwrap();
    assert_eq!(ledger.prune_history(limits, at(100)).await.unwrap().rows, 1);
    assert_eq!(rows(&ledger).await, ["13-13 1 run", "14-14 1 run", "20-20 1 run"]);
}

#[tokio::test]
async fn a_run_that_goes_on_does_not_keep_what_is_past_the_limits() {
    for (ledger, _files) in both() {
        ledger.decide((0..1_200).map(|second| run("a", second)).collect()).await.unwrap();
        ledger
            .passed(
                (1..1_200).map(|second| Passed { run_id: id("a", second), n: 1, at: at(second) }).collect(),
            )
            .await
            .unwrap();
        let limits = HistoryLimits { keep_last: 10, max_age: Duration::from_secs(10_000) };
        while ledger.prune_history(limits, at(1_200)).await.unwrap().more {}
        assert_eq!(rows(&ledger).await.len(), 11);
    }
}

/// Nothing else is decided of the job after that.
#[tokio::test]
async fn a_run_that_went_on_is_dropped_once_it_ends() {
    for (ledger, _files) in both() {
        ledger.decide((0..5).map(|second| run("a", second)).collect()).await.unwrap();
        let limits = HistoryLimits { keep_last: 1, max_age: Duration::from_secs(1_000) };
        let prune = async || while ledger.prune_history(limits, at(9)).await.unwrap().more {};
        ledger.run_ended(id("a", 4), Outcome::Success, at(4)).await.unwrap();
        prune().await;
        assert_eq!(rows(&ledger).await.len(), 5, "four go on");
        let passed = |second| vec![Passed { run_id: id("a", second), n: 1, at: at(second) }];
        ledger.passed(passed(0)).await.unwrap();
        prune().await;
        assert_eq!(rows(&ledger).await.len(), 4);
        ledger.passed(passed(2)).await.unwrap();
        ledger.run_ended(id("a", 1), Outcome::Success, at(4)).await.unwrap();
        prune().await;
        assert_eq!(rows(&ledger).await, ["3-3 1 run", "4-4 1 run"]);
        ledger.run_ended(id("a", 3), Outcome::Success, at(4)).await.unwrap();
        prune().await;
        assert_eq!(rows(&ledger).await, ["4-4 1 run"]);
    }
}

#[tokio::test]
async fn skips_do_not_push_runs_out_of_the_history() {
    for (ledger, _files) in both() {
        for second in 1..=9 {
            ledger.decide(vec![run("a", 10 * second)]).await.unwrap();
            ledger.run_ended(id("a", 10 * second), Outcome::Success, at(10 * second)).await.unwrap();
            ledger.decide(vec![paused(10 * second + 1)]).await.unwrap();
        }
        let limits = HistoryLimits { keep_last: 2, max_age: Duration::from_secs(1_000) };
        while ledger.prune_history(limits, at(100)).await.unwrap().rows > 0 {}
        let kept = ["80-80 1 run", "81-81 1 paused", "90-90 1 run", "91-91 1 paused"];
        assert_eq!(rows(&ledger).await, kept);
        assert_eq!(ledger.pruned_to(job("a")).await.unwrap(), Some(at(70)), "the last run that is forgotten");
    }
}
