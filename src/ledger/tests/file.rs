//! A ledger in a file: what is there after a restart, and files that are none.

use super::*;

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
    let runs = ledger.runs(RunQuery { job: Some(job("a")), limit: 10, ..RunQuery::default() }).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.fire_time).collect::<Vec<_>>(), [at(20), at(10)]);
    assert_eq!(runs[1].outcome, Some(Outcome::ExitNonzero { code: 3 }));
    assert_eq!(ledger.last_runs().await.unwrap()[&job("a")].id, id("a", 20));
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
    let runs = ledger.runs(RunQuery { limit: 9, ..RunQuery::default() }).await.unwrap();
    assert_eq!((runs.len(), runs[0].counted), (1, Counted::All));
    assert_eq!(ledger.pruned_to(job("a")).await.unwrap(), None);
}

/// What an older version wrote is there for who only looks, and is not changed by it; the daemon brings
/// it to the newest format.
#[tokio::test]
async fn a_ledger_of_each_older_format_is_looked_at_and_migrated() {
    for (format, script) in
        [(1, schema::FORMAT_1.to_owned()), (2, format!("{}{}", schema::FORMAT_1, schema::FORMAT_2))]
    {
        let files = Files::new();
        let connection = rusqlite::Connection::open(files.path()).unwrap();
        connection.execute_batch(&script).unwrap();
        connection
            .execute_batch(&format!(
                "INSERT INTO job (id, name, cursor_us) VALUES (1, 'a', 5);
                 INSERT INTO run (seq, id, job_id, fire_us, last_fire_us, count, cause, decided_us, open)
                 VALUES (1, x'00112233445566778899aabbccddeeff', 1, 5, 5, 1, 'schedule', 5, 1);
                 INSERT INTO attempt (run_seq, n, started_us) VALUES (1, 1, 6);
                 INSERT INTO pause VALUES (1, 'why', 7);
                 PRAGMA user_version = {format}"
            ))
            .unwrap();
        drop(connection);
        let query = RunQuery { job: Some(job("a")), limit: 9, ..RunQuery::default() };
        let looked_at = Ledger::peek_runs(&files.path(), &query).unwrap();
        assert_eq!((looked_at.len(), looked_at[0].attempts.len()), (1, 1), "{format}");
        assert!(looked_at[0].route.is_none() && looked_at[0].attempts[0].worker.is_none());
        let run = Ledger::peek_run(&files.path(), looked_at[0].id).unwrap();
        assert_eq!(format!("{run:?}"), format!("{:?}", looked_at.first()));
        assert!(Ledger::peek_letters(&files.path(), &LetterQuery::all(at(0))).unwrap().is_empty());
        assert!(Ledger::peek_letter(&files.path(), looked_at[0].id.0, at(0)).unwrap().is_none());
        assert!(Ledger::peek_placements(&files.path()).unwrap().is_empty());
        assert_eq!(Ledger::peek_last_runs(&files.path()).unwrap().len(), 1);
        assert_eq!(Ledger::peek_paused(&files.path()).unwrap().len(), 1);
        let connection = rusqlite::Connection::open(files.path()).unwrap();
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(found, format, "looking changes nothing");
        let ledger = open(&files.path());
        assert_eq!(format!("{:?}", ledger.runs(query).await.unwrap()), format!("{looked_at:?}"));
        let open_runs = ledger.unfinished().await.unwrap();
        assert_eq!(open_runs[0].reached, Reached::Begun { attempt: 1 });
        ledger
            .rerouted(
                open_runs[0].id,
                Some(Route { tier: Tier::Queue, backend: "b".into(), queue: "q".into() }),
            )
            .await
            .unwrap();
        assert!(ledger.unfinished().await.unwrap()[0].route.is_some());
    }
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

/// A part that is read first long after the start.
#[tokio::test]
async fn damage_that_a_write_finds_is_told_with_the_way_out() {
    let files = Files::new();
    drop(open(&files.path()));
    let page = |name: &str| -> u32 {
        let ledger = rusqlite::Connection::open(files.path()).unwrap();
        let page =
            ledger.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0));
        ledger.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        page.unwrap()
    };
    let start = u64::from(page("run") - 1) * 4_096;
    let file = std::fs::File::options().write(true).open(files.path()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 4_096], start).unwrap();
    let ledger = open(&files.path());
    let error = ledger.decide(vec![run("a", 1)]).await.unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error:?}");
    assert!(ledger.trouble().unwrap().contains("move it away"), "{:?}", ledger.trouble());
}

#[test]
fn what_a_start_that_was_cut_short_left_of_a_ledger_is_made_anew() {
    let files = Files::new();
    let draft = files.path().with_extension("draft");
    std::fs::write(&draft, "half a ledger").unwrap();
    drop(open(&files.path()));
    assert!(files.path().is_file() && !draft.exists());
}

#[tokio::test]
async fn a_log_of_a_ledger_that_was_taken_away_is_none_of_the_next() {
    let files = Files::new();
    let log = files.directory.path().join("ledger.db-wal");
    let ledger = open(&files.path());
    ledger.decide(vec![run("a", 1)]).await.unwrap();
    let kept = std::fs::read(&log).unwrap();
    drop(ledger);
    std::fs::remove_file(files.path()).unwrap();
    std::fs::write(&log, kept).unwrap();
    assert_eq!(rows(&open(&files.path())).await, Vec::<String>::new());
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
    let runs = ledger.runs(RunQuery { limit: 2_000, ..RunQuery::default() }).await.unwrap();
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
        Ledger::peek_runs(&files.path(), &RunQuery { limit: 1, ..RunQuery::default() }).unwrap().is_empty()
    );
    assert!(!files.path().exists(), "looking makes nothing");
}
