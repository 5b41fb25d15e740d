//! The ledger on real files.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::{
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    run::{Cause, Outcome, RunId, RunKey},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn job(name: &str) -> JobName {
    JobName::parse(name).unwrap()
}

fn id(name: &str, second: i64) -> RunId {
    RunKey { job: job(name), fire_time: at(second), cause: Cause::Schedule }.id()
}

fn run(name: &str, second: i64) -> NewDecision {
    NewDecision::run(id(name, second), job(name), at(second), Cause::Schedule, at(second))
}

fn spec(name: &str) -> Arc<Spec> {
    let json = serde_json::json!({
        "name": name, "enabled": true, "run": {"action": {"command": ["true"]}},
        "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
        "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s",
                   "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
    });
    Arc::new(serde_json::from_value(json).unwrap())
}

fn applied(name: &str, restart: Restart) -> Applied {
    let spec = spec(name);
    Applied { tier: Tier::InProcess, digest: Digest::of(&spec), spec, at: at(0), restart }
}

fn end(name: &str, second: i64, outcome: Outcome) -> AttemptEnd {
    AttemptEnd {
        run_id: id(name, second),
        n: 1,
        ended_at: at(second + 1),
        outcome,
        bytes_seen: 5,
        bytes_kept: 5,
    }
}

fn open(path: &Path) -> Ledger {
    Ledger::open(&Location::File(path.to_owned())).unwrap()
}

struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("ledger.db")
    }
}

#[tokio::test]
async fn what_is_recorded_is_there_after_a_restart() {
    let files = Files::new();
    {
        let ledger = open(&files.path());
        ledger.record_applied(applied("a", Restart::From(at(0)))).await.unwrap();
        ledger.record_applied(applied("b", Restart::From(at(0)))).await.unwrap();
        ledger.record_pruned(job("b"), Tier::InProcess).await.unwrap();
        ledger.decide(vec![run("a", 10)]).await.unwrap();
        ledger.attempt_ended(end("a", 10, Outcome::ExitNonzero { code: 3 })).await.unwrap();
        ledger.run_ended(id("a", 10), Outcome::ExitNonzero { code: 3 }, at(11)).await.unwrap();
        ledger.decide(vec![run("a", 20)]).await.unwrap();
        ledger.pause(job("a"), Some("why".to_owned()), at(21)).await.unwrap();
    }
    let ledger = open(&files.path());
    let placements = ledger.placements().await.unwrap();
    assert_eq!(placements.len(), 1);
    assert_eq!((placements[0].cursor, placements[0].digest), (at(20), Digest::of(&spec("a"))));
    let open_runs = ledger.unfinished().await.unwrap();
    assert_eq!(open_runs.len(), 1);
    assert_eq!((open_runs[0].id, open_runs[0].attempt, open_runs[0].attempt_ended), (id("a", 20), 1, false));
    assert_eq!(ledger.paused().await.unwrap()[0].reason.as_deref(), Some("why"));
    let runs = ledger.runs(RunQuery { job: Some(job("a")), before: None, limit: 10 }).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.fire_time).collect::<Vec<_>>(), [at(20), at(10)]);
    assert_eq!(runs[1].outcome, Some(Outcome::ExitNonzero { code: 3 }));
    assert_eq!(ledger.last_runs().await.unwrap()[&job("a")].id, id("a", 20));
}

#[tokio::test]
async fn a_run_key_is_decided_once() {
    let ledger = Ledger::open(&Location::Memory).unwrap();
    ledger.record_applied(applied("a", Restart::From(at(0)))).await.unwrap();
    assert_eq!(ledger.decide(vec![run("a", 10), run("a", 20)]).await.unwrap(), [Decided::New, Decided::New]);
    assert_eq!(
        ledger.decide(vec![run("a", 10), run("a", 30)]).await.unwrap(),
        [Decided::Already, Decided::New]
    );
    assert_eq!(ledger.runs(RunQuery { job: None, before: None, limit: 10 }).await.unwrap().len(), 3);
    // The cursor never goes back.
    assert_eq!(ledger.placements().await.unwrap()[0].cursor, at(30));
}

#[tokio::test]
async fn a_cursor_stays_or_is_set_as_the_record_says() {
    let ledger = Ledger::open(&Location::Memory).unwrap();
    ledger.record_applied(applied("a", Restart::From(at(5)))).await.unwrap();
    ledger.decide(vec![run("a", 10)]).await.unwrap();
    ledger.record_applied(applied("a", Restart::Keep)).await.unwrap();
    assert_eq!(ledger.placements().await.unwrap()[0].cursor, at(10));
    ledger.record_applied(applied("a", Restart::From(at(50)))).await.unwrap();
    assert_eq!(ledger.placements().await.unwrap()[0].cursor, at(50));
}

#[tokio::test]
async fn a_range_of_skips_is_one_row() {
    let ledger = Ledger::open(&Location::Memory).unwrap();
    let skip = NewDecision::skip(id("a", 1), job("a"), (at(1), at(9)), 9, Skip::Misfire, at(10));
    ledger.decide(vec![skip]).await.unwrap();
    let runs = ledger.runs(RunQuery { job: None, before: None, limit: 10 }).await.unwrap();
    assert_eq!((runs.len(), runs[0].count, runs[0].skipped.as_deref()), (1, 9, Some("misfire")));
    assert!(ledger.unfinished().await.unwrap().is_empty());
    assert!(ledger.last_runs().await.unwrap().is_empty(), "a skip is no run");
}

/// F20: the row of a gap that is told before an earlier fire is decided does not pass that fire.
#[tokio::test]
async fn a_skip_without_a_cursor_leaves_what_is_due_before_it_due() {
    let ledger = Ledger::open(&Location::Memory).unwrap();
    ledger.record_applied(applied("a", Restart::From(at(0)))).await.unwrap();
    let skip = NewDecision::skip(id("a", 9), job("a"), (at(9), at(9)), 1, Skip::Dst, at(9));
    ledger.decide(vec![skip.without_cursor()]).await.unwrap();
    assert_eq!(ledger.placements().await.unwrap()[0].cursor, at(0));
}

#[tokio::test]
async fn history_is_dropped_by_count_and_by_age_and_what_goes_on_stays() {
    let ledger = Ledger::open(&Location::Memory).unwrap();
    for second in 0..20 {
        ledger.decide(vec![run("a", second)]).await.unwrap();
        if second != 3 {
            ledger.run_ended(id("a", second), Outcome::Success, at(second)).await.unwrap();
        }
    }
    let seconds = async || {
        let runs = ledger.runs(RunQuery { job: None, before: None, limit: 100 }).await.unwrap();
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

#[tokio::test]
async fn a_ledger_of_a_later_version_is_refused_and_left_alone() {
    let files = Files::new();
    drop(open(&files.path()));
    let connection = rusqlite::Connection::open(files.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Ledger::open(&Location::File(files.path())).unwrap_err();
    assert!(matches!(error, LedgerError::TooNew { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("use the newer version"));
}

#[tokio::test]
async fn a_file_that_is_no_ledger_is_refused() {
    let files = Files::new();
    std::fs::write(files.path(), "this is no database, and never was one").unwrap();
    assert!(matches!(Ledger::open(&Location::File(files.path())), Err(LedgerError::Open { .. })));
    assert_eq!(std::fs::read_to_string(files.path()).unwrap(), "this is no database, and never was one");
}

#[tokio::test]
async fn records_in_flight_at_once_share_a_commit_and_keep_their_order() {
    let files = Files::new();
    let ledger = open(&files.path());
    // Handed over without waiting: the writer keeps the order.
    let waiting: Vec<_> = (0..1_000).map(|second| ledger.decide(vec![run("a", second)])).collect();
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), [Decided::New]);
    }
    let runs = ledger.runs(RunQuery { job: None, before: None, limit: 2_000 }).await.unwrap();
    assert_eq!(runs.len(), 1_000);
    assert!(
        runs.windows(2)
            .all(|pair| pair[0].fire_time.duration_since(pair[1].fire_time) == SignedDuration::from_secs(1))
    );
}

#[test]
fn looking_at_a_ledger_that_is_not_there_finds_nothing() {
    let files = Files::new();
    assert!(Ledger::peek_placements(&files.path()).unwrap().is_empty());
    assert!(
        Ledger::peek_runs(&files.path(), &RunQuery { job: None, before: None, limit: 1 }).unwrap().is_empty()
    );
    assert!(!files.path().exists(), "looking makes nothing");
}
