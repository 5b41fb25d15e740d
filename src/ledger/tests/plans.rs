//! How `SQLite` finds what hot statements ask for. A condition that it cannot prove for an index makes it
//! read the whole table, a thousand times slower, and nobody would see it in a small ledger.

use super::*;

/// What `SQLite` does for a statement, step by step.
fn plan(connection: &rusqlite::Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let nothing = rusqlite::params_from_iter(vec![None::<i64>; statement.parameter_count()]);
    let steps = statement.query_map(nothing, |row| row.get(3)).unwrap();
    steps.collect::<rusqlite::Result<_>>().unwrap()
}

#[test]
fn hot_statements_look_nothing_through() {
    let files = Files::new();
    drop(open(&files.path()));
    let connection = rusqlite::Connection::open(files.path()).unwrap();
    for (name, sql, index) in [
        ("staged", route::rows::STAGED, "routed USING INTEGER PRIMARY KEY"),
        ("unrouted", route::rows::UNROUTED, "routed USING INTEGER PRIMARY KEY"),
        ("rerouted", route::rows::REROUTED, "run USING INDEX sqlite_autoindex_run_1"),
        ("dropped", route::rows::DROPPED, "run USING INDEX sqlite_autoindex_run_1"),
        ("open runs", &read::unfinished_sql(), "run USING INDEX run_open"),
        ("runs of a job", &read::runs_of_job_sql(), "run USING INDEX run_by_job"),
        ("a run", &read::run_sql(), "run USING INDEX sqlite_autoindex_run_1"),
        (
            "letters that are done with",
            letter::rows::PRUNE,
            "dead_letter USING COVERING INDEX dead_letter_resolved",
        ),
        (
            "whether a letter is open",
            letter::rows::IS_OPEN,
            "dead_letter USING INDEX sqlite_autoindex_dead_letter_1",
        ),
        ("an attempt of a worker", handled::rows::FIND, "handled USING INDEX sqlite_autoindex_handled_1"),
        ("old attempts of workers", handled::rows::FORGET, "handled USING COVERING INDEX handled_by_time"),
        ("claim", queue::rows::CLAIM, "message USING INDEX message_by_due"),
        ("next due", queue::rows::NEXT_DUE, "message USING COVERING INDEX message_by_due"),
        ("ready", queue::rows::READY, "message USING COVERING INDEX message_by_due"),
        ("later", queue::rows::LATER, "message USING COVERING INDEX message_by_due"),
        ("settle", queue::rows::SETTLE, "message USING INTEGER PRIMARY KEY"),
        ("forget one", queue::rows::FORGET, "message USING INDEX sqlite_autoindex_message_1"),
        ("forget many", queue::rows::LOOK, "message USING INTEGER PRIMARY KEY"),
    ] {
        let steps = plan(&connection, sql);
        assert!(steps.iter().any(|step| step.contains(index)), "{name}: {steps:#?}");
        // That index has the open runs only.
        let looks_through = |step: &&String| step.contains("SCAN") && !step.ends_with("run_open");
        let is_slow = |step: &&String| looks_through(step) || step.contains("TEMP B-TREE");
        assert_eq!(steps.iter().find(is_slow), None, "{name}: {steps:#?}");
    }
    // In the order of the table, as long as it takes.
    for sql in [read::runs_sql(), letter::rows::letters_sql()] {
        let steps = plan(&connection, &sql);
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:#?}");
    }
}
