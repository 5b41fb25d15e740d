//! The ledger on real files.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::{
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    run::{Cause, Outcome, Reached, RunId, RunKey},
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
        then: Then::RunEnds,
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

/// An empty ledger of each kind.
fn both() -> [(Ledger, Option<Files>); 2] {
    let files = Files::new();
    let file = open(&files.path());
    [(Ledger::open(&Location::Memory).unwrap(), None), (file, Some(files))]
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
        ledger.decide(vec![run("a", 20)]).await.unwrap();
        ledger.pause(job("a"), Some("why".to_owned()), at(21)).await.unwrap();
    }
    let ledger = open(&files.path());
    let placements = ledger.placements().await.unwrap();
    assert_eq!(placements.len(), 1);
    assert_eq!((placements[0].cursor, placements[0].digest), (at(20), Digest::of(&spec("a"))));
    let open_runs = ledger.unfinished().await.unwrap();
    assert_eq!(open_runs.len(), 1);
    assert_eq!((open_runs[0].id, &open_runs[0].reached), (id("a", 20), &Reached::Decided { at: at(20) }));
    assert_eq!(ledger.paused().await.unwrap()[0].reason.as_deref(), Some("why"));
    let runs = ledger.runs(RunQuery { job: Some(job("a")), before: None, limit: 10 }).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.fire_time).collect::<Vec<_>>(), [at(20), at(10)]);
    assert_eq!(runs[1].outcome, Some(Outcome::ExitNonzero { code: 3 }));
    assert_eq!(ledger.last_runs().await.unwrap()[&job("a")].id, id("a", 20));
}

#[tokio::test]
async fn a_run_key_is_decided_once() {
    for (ledger, _files) in both() {
        ledger.record_applied(applied("a", Restart::From(at(0)))).await.unwrap();
        assert_eq!(
            ledger.decide(vec![run("a", 10), run("a", 20)]).await.unwrap(),
            [Decided::New, Decided::New]
        );
        assert_eq!(
            ledger.decide(vec![run("a", 10), run("a", 30)]).await.unwrap(),
            [Decided::Already, Decided::New]
        );
        assert_eq!(ledger.runs(RunQuery { job: None, before: None, limit: 10 }).await.unwrap().len(), 3);
        // The cursor never goes back.
        assert_eq!(ledger.placements().await.unwrap()[0].cursor, at(30));
    }
}

/// F20: what a cursor has passed is decided, whatever its id.
#[tokio::test]
async fn an_occurrence_at_or_before_the_cursor_was_decided_before() {
    for (ledger, _files) in both() {
        ledger.record_applied(applied("a", Restart::From(at(50)))).await.unwrap();
        let decided =
            ledger.decide(vec![run("a", 40), run("a", 50), run("a", 51), run("b", 40)]).await.unwrap();
        assert_eq!(decided, [Decided::Already, Decided::Already, Decided::New, Decided::New]);
    }
}

/// F5: what a run had come to is known after a crash at any point.
#[tokio::test]
async fn an_open_run_says_how_far_it_had_come() {
    for (ledger, _files) in both() {
        let reached = async || ledger.unfinished().await.unwrap().pop().map(|open| open.reached);
        ledger.decide(vec![run("a", 10)]).await.unwrap();
        assert_eq!(reached().await, Some(Reached::Decided { at: at(10) }));
        let start = |n| AttemptStart { run_id: id("a", 10), n, started_at: at(10), output: None };
        ledger.attempt_started(start(1)).await.unwrap();
        assert_eq!(reached().await, Some(Reached::Begun { attempt: 1 }));
        let failed = Outcome::ExitNonzero { code: 3 };
        let again = AttemptEnd { then: Then::Again, ..end("a", 10, failed.clone()) };
        ledger.attempt_ended(again).await.unwrap();
        assert_eq!(reached().await, Some(Reached::Ended { attempt: 1, outcome: failed, at: at(11) }));
        ledger.attempt_started(start(2)).await.unwrap();
        assert_eq!(reached().await, Some(Reached::Begun { attempt: 2 }));
        ledger.attempt_ended(AttemptEnd { n: 2, ..end("a", 10, Outcome::Success) }).await.unwrap();
        assert_eq!(reached().await, None, "the run ends with its last attempt");
        assert_eq!(ledger.run(id("a", 10)).await.unwrap().unwrap().outcome, Some(Outcome::Success));
    }
}

fn paused(second: i64) -> NewDecision {
    let (fire, id) = (at(second), id("a", second));
    NewDecision::skip(id, job("a"), (fire, fire), 1, Skip::Paused, fire)
}

/// Rows of `a`, oldest first: the seconds they stand for, how many, and why.
async fn rows(ledger: &Ledger) -> Vec<String> {
    let runs = ledger.runs(RunQuery { job: Some(job("a")), before: None, limit: 100 }).await.unwrap();
    let second = |time: Timestamp| time.duration_since(at(0)).as_secs();
    let show = |row: &RunRow| {
        let (first, last) = (second(row.fire_time), second(row.last_fire_time));
        let more = if row.counted == Counted::AtLeast { "+" } else { "" };
        format!("{first}-{last} {}{more} {}", row.count, row.skipped.as_deref().unwrap_or("run"))
    };
    runs.iter().rev().map(show).collect()
}

#[tokio::test]
async fn skips_of_one_reason_in_a_row_are_one_row() {
    for (ledger, _files) in both() {
        ledger.record_applied(applied("a", Restart::From(at(0)))).await.unwrap();
        for decision in [paused(1), paused(2), paused(2), paused(3), run("a", 4), paused(5), paused(6)] {
            ledger.decide(vec![decision]).await.unwrap();
        }
        let missed = NewDecision::skip(id("a", 7), job("a"), (at(7), at(20)), 9, Skip::Misfire, at(21));
        ledger.decide(vec![missed.counted(Counted::AtLeast)]).await.unwrap();
        let missed = NewDecision::skip(id("a", 22), job("a"), (at(22), at(25)), 4, Skip::Misfire, at(26));
        ledger.decide(vec![missed]).await.unwrap();
        assert_eq!(rows(&ledger).await, ["1-3 3 paused", "4-4 1 run", "5-6 2 paused", "7-25 13+ misfire"]);
        assert_eq!(ledger.cursor(job("a")).await.unwrap(), Some(at(25)));
    }
}

/// F2.
#[tokio::test]
async fn a_cursor_that_goes_back_keeps_what_ran_decided() {
    for (ledger, _files) in both() {
        ledger.record_applied(applied("a", Restart::From(at(0)))).await.unwrap();
        let missed = NewDecision::skip(id("a", 1), job("a"), (at(1), at(99)), 99, Skip::ClockJump, at(100));
        ledger.decide(vec![missed, run("a", 100)]).await.unwrap();
        assert_eq!(
            ledger.ranges_past(job("a"), at(7)).await.unwrap(),
            [Range { id: id("a", 1), first: at(1) }]
        );
        let back = NewDecision::back(crate::run::back_id(&job("a"), at(7)), job("a"), at(100), at(7));
        let cut = Cut { id: id("a", 1), last: at(7), count: 7, counted: Counted::All };
        ledger.go_back(back, vec![cut]).await.unwrap();
        assert_eq!(ledger.cursor(job("a")).await.unwrap(), Some(at(7)));
        let decided = ledger.decide(vec![run("a", 7), run("a", 8), run("a", 100)]).await.unwrap();
        assert_eq!(decided, [Decided::Already, Decided::New, Decided::Already]);
        assert_eq!(
            rows(&ledger).await,
            ["1-7 7 clock-jump", "100-100 1 run", "7-100 0 clock-jump", "8-8 1 run"]
        );
    }
}

/// F20: what happens at a start of the machine is decided once, with its row.
#[tokio::test]
async fn a_start_of_the_machine_is_decided_once_for_each_job() {
    for (ledger, _files) in both() {
        let at_boot = |name: &str, second| NewDecision {
            cause: Cause::Reboot,
            cursor: Move::Stay,
            ..run(name, second)
        };
        let decide =
            async |decision, boot: &str| ledger.decide_at_boot(decision, boot.to_owned()).await.unwrap();
        let waiting = async |boot: &str| ledger.waiting_at_boot(boot.to_owned()).await.unwrap();
        assert_eq!(ledger.boot().await.unwrap(), None);
        ledger.record_boot("one".to_owned(), vec![job("a"), job("b")]).await.unwrap();
        assert_eq!(decide(at_boot("a", 1), "one").await, Decided::New);
        assert_eq!(decide(at_boot("a", 2), "one").await, Decided::Already);
        assert_eq!(decide(at_boot("later", 2), "one").await, Decided::Already, "it was not there then");
        assert_eq!(waiting("one").await, [job("b")]);
        assert_eq!(decide(at_boot("b", 2).skipped(Skip::Paused), "one").await, Decided::New);
        assert_eq!(decide(at_boot("b", 3), "one").await, Decided::Already);
        ledger.record_boot("two".to_owned(), vec![job("a")]).await.unwrap();
        assert_eq!(
            (ledger.boot().await.unwrap().as_deref(), waiting("two").await),
            (Some("two"), vec![job("a")])
        );
        assert_eq!(decide(at_boot("a", 4), "two").await, Decided::New);
        assert_eq!(ledger.runs(RunQuery { job: None, before: None, limit: 9 }).await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_cursor_stays_or_is_set_as_the_record_says() {
    for (ledger, _files) in both() {
        ledger.record_applied(applied("a", Restart::From(at(5)))).await.unwrap();
        ledger.decide(vec![run("a", 10)]).await.unwrap();
        ledger.record_applied(applied("a", Restart::Keep)).await.unwrap();
        assert_eq!(ledger.placements().await.unwrap()[0].cursor, at(10));
        ledger.record_applied(applied("a", Restart::From(at(50)))).await.unwrap();
        assert_eq!(ledger.placements().await.unwrap()[0].cursor, at(50));
    }
}

#[tokio::test]
async fn a_range_of_skips_is_one_row() {
    for (ledger, _files) in both() {
        let skip = NewDecision::skip(id("a", 1), job("a"), (at(1), at(9)), 9, Skip::Misfire, at(10));
        ledger.decide(vec![skip]).await.unwrap();
        let runs = ledger.runs(RunQuery { job: None, before: None, limit: 10 }).await.unwrap();
        assert_eq!((runs.len(), runs[0].count, runs[0].skipped.as_deref()), (1, 9, Some("misfire")));
        assert!(ledger.unfinished().await.unwrap().is_empty());
        assert!(ledger.last_runs().await.unwrap().is_empty(), "a skip is no run");
    }
}

/// F20: the row of a gap that is told before an earlier fire is decided does not pass that fire.
#[tokio::test]
async fn a_skip_without_a_cursor_leaves_what_is_due_before_it_due() {
    for (ledger, _files) in both() {
        ledger.record_applied(applied("a", Restart::From(at(0)))).await.unwrap();
        let skip = NewDecision::skip(id("a", 9), job("a"), (at(9), at(9)), 1, Skip::Dst, at(9));
        ledger.decide(vec![skip.without_cursor()]).await.unwrap();
        assert_eq!(ledger.placements().await.unwrap()[0].cursor, at(0));
    }
}

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
}

/// F7: a record of another version, or a spoilt one, keeps no daemon from starting.
#[tokio::test]
async fn a_record_that_cannot_be_read_is_left_out_and_the_others_are_there() {
    let files = Files::new();
    let ledger = open(&files.path());
    for name in ["a", "b"] {
        ledger.record_applied(applied(name, Restart::From(at(0)))).await.unwrap();
        ledger.decide(vec![run(name, 10)]).await.unwrap();
    }
    let other = rusqlite::Connection::open(files.path()).unwrap();
    let spoil = "UPDATE placement SET spec = json_remove(spec, '$.policy.kill_grace') WHERE job_id = 1;
                 UPDATE run SET params = '{' WHERE job_id = 1";
    other.execute_batch(spoil).unwrap();
    let names: Vec<_> = ledger.placements().await.unwrap().iter().map(|row| row.spec.name.clone()).collect();
    assert_eq!(names, [job("b")]);
    let open: Vec<_> = ledger.unfinished().await.unwrap().iter().map(|open| open.job.clone()).collect();
    assert_eq!(open, [job("b")]);
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

#[tokio::test]
async fn a_ledger_of_the_format_before_is_read() {
    let files = Files::new();
    let connection = rusqlite::Connection::open(files.path()).unwrap();
    connection.execute_batch(schema::FORMAT_1).unwrap();
    connection
        .execute_batch(
            "INSERT INTO job (id, name, cursor_us) VALUES (1, 'a', 5);
             INSERT INTO run VALUES (1, x'00112233445566778899aabbccddeeff', 1, 5, 5, 1, 'schedule', 'overlap', 5, NULL, 0, NULL, NULL);
             PRAGMA user_version = 1",
        )
        .unwrap();
    drop(connection);
    let ledger = open(&files.path());
    let runs = ledger.runs(RunQuery { job: None, before: None, limit: 9 }).await.unwrap();
    assert_eq!((runs.len(), runs[0].counted), (1, Counted::All));
    assert_eq!(ledger.pruned_to(job("a")).await.unwrap(), None);
}

#[test]
fn a_path_is_a_file_whatever_it_is_called() {
    let files = Files::new();
    for name in ["file:x", "file:y?mode=memory", ":memory:"] {
        let directory = files.directory.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        drop(open(&directory.join("ledger.db")));
        assert!(directory.join("ledger.db").is_file(), "{name}");
    }
    assert_eq!(store::file(Path::new("file:x/ledger.db")), Path::new("./file:x/ledger.db"));
}

/// F22: a full disk is known until something is written again.
#[tokio::test]
async fn trouble_is_known_until_a_write_succeeds() {
    let files = Files::new();
    let ledger = open(&files.path());
    ledger.decide(vec![run("a", 1)]).await.unwrap();
    assert_eq!(ledger.trouble(), None);
    let other = rusqlite::Connection::open(files.path()).unwrap();
    other.execute_batch("ALTER TABLE run RENAME TO gone").unwrap();
    ledger.decide(vec![run("a", 2)]).await.unwrap_err();
    assert!(ledger.trouble().unwrap().contains("no such table"), "{:?}", ledger.trouble());
    // A transaction that writes nothing does not end it.
    ledger.resume(job("a")).await.unwrap();
    assert!(ledger.trouble().is_some());
    other.execute_batch("ALTER TABLE gone RENAME TO run").unwrap();
    ledger.decide(vec![run("a", 3)]).await.unwrap();
    assert_eq!(ledger.trouble(), None);
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
    let refused = Ledger::open(&Location::File(files.path())).unwrap_err();
    assert!(matches!(refused, LedgerError::Damaged { .. }), "{refused}");
    let looked_at = Ledger::peek_paused(&files.path()).unwrap_err();
    for error in [refused, looked_at] {
        let said = crate::execute::causes::with_causes(&error);
        assert_eq!(said.matches("not a database").count(), 1, "{said}");
        assert!(said.contains("move it away") && said.contains("`ledger: memory`"), "{said}");
    }
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
