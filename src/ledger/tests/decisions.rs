//! What is decided, once, and where the cursor is then.

use super::*;

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
        assert_eq!(ledger.runs(RunQuery { limit: 10, ..RunQuery::default() }).await.unwrap().len(), 3);
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
        let start =
            |n| AttemptStart { run_id: id("a", 10), n, started_at: at(10), output: None, worker: None };
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
        assert_eq!(ledger.runs(RunQuery { limit: 9, ..RunQuery::default() }).await.unwrap().len(), 3);
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
        let runs = ledger.runs(RunQuery { limit: 10, ..RunQuery::default() }).await.unwrap();
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
