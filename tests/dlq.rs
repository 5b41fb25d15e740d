//! Dead letters, as their users see them: a real daemon with the queue that needs no server.

#![allow(clippy::unwrap_used, clippy::too_many_lines)]

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use common::{Tree, wait_for};
use expect_test::{Expect, expect};
use serde_json::Value;
use tintal::{
    backend::queue::{
        broker::{Broker as _, Message, QueueName},
        embedded::EmbeddedBroker,
    },
    engine::clock,
    ledger::{Ledger, Location},
};

/// A job of the queue tier that fails as long as there is no file `ok`.
const FAILS: &str =
    "tier: queue\nparams: {day: monday}\nrun: {shell: \"echo {{ params.day }}; test -e ok\"}\n";

/// A word without what differs from one time to the next: ids, times, names made of digits.
fn steady_word(word: &str) -> String {
    let is_hex = |text: &str| text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let last = word.rsplit('-').next().unwrap_or_default();
    match word {
        _ if word.len() == 36 && word.split('-').count() == 5 => "ID".to_owned(),
        _ if word.len() > 19 && word.ends_with('Z') && word.contains('T') => "TIME".to_owned(),
        _ if word.starts_with("00-") => "TRACE".to_owned(),
        _ if is_hex(last) => format!("{}HEX", word.strip_suffix(last).unwrap_or_default()),
        _ => word.to_owned(),
    }
}

/// A text of such words, whose columns are as wide as any.
fn steady(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-:.".contains(c);
    let line = |line: &str| {
        let mut out = String::new();
        let mut rest = line;
        while let Some(start) = rest.find(is_part) {
            let (between, word) = rest.split_at(start);
            // What stands at the beginning of a line is no column.
            out += if out.is_empty() || between.trim() != "" || between.len() < 2 { between } else { "  " };
            let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            let plain = word.trim_end_matches(':');
            out += &steady_word(plain);
            out += &word[plain.len()..];
            rest = after;
        }
        out + rest + "\n"
    };
    text.lines().map(line).collect()
}

#[track_caller]
fn check(tree: &Tree, arguments: &[&str], expected: &Expect) {
    expected.assert_eq(&steady(&tree.run(arguments).shown()));
}

/// The letters in these states, those that were given up last first.
fn letters(tree: &Tree, states: &str) -> Vec<Value> {
    match tree.json(&["dlq", "list", "--is", states, "--json"])["letters"].take() {
        Value::Array(letters) => letters,
        other => panic!("{other}"),
    }
}

const OPEN: &str = "pending,held,exhausted";

/// Runs a job that fails; gives the id of its letter.
#[track_caller]
fn given_up(tree: &Tree, job: &str) -> String {
    let before = letters(tree, OPEN).len();
    let id = tree.ok(&["trigger", job]).trim().to_owned();
    wait_for("its letter", || (letters(tree, OPEN).len() > before).then_some(()));
    id
}

#[track_caller]
fn wait_for_state(tree: &Tree, id: &str, state: &str) {
    wait_for(state, || {
        let shown = tree.json(&["dlq", "show", id, "--json"]);
        (shown["letter"]["state"] == state).then_some(())
    });
}

/// What a probe is answered.
fn health(tree: &Tree) -> (u16, Value) {
    let mut stream = UnixStream::connect(tree.path(".tintal/control.sock")).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap())
}

#[test]
fn a_run_that_is_given_up_is_kept_and_tried_again_by_hand() {
    let tree = Tree::with(&[("jobs.d/report.yaml", FAILS)]);
    let daemon = tree.serve(&[]);
    check(
        &tree,
        &["dlq", "list"],
        &expect![[r#"
        GIVEN UP  JOB  STATE  TIMES  CATEGORY  WHY  BACKEND  ID
        --
        -- exit 0
    "#]],
    );
    let id = tree.ok(&["trigger", "report", "-p", "day=tuesday"]).trim().to_owned();
    wait_for("its letter", || letters(&tree, OPEN).pop());
    check(
        &tree,
        &["dlq", "list"],
        &expect![[r#"
        GIVEN UP  JOB  STATE  TIMES  CATEGORY  WHY  BACKEND  ID
        TIME  report  pending  1  failure  exit status 1  embedded  ID
        --
        -- exit 0
    "#]],
    );
    check(
        &tree,
        &["dlq", "show", &id[..8]],
        &expect![[r#"
        letter  ID
        state  pending, since TIME; given up once
        job  report, of TIME
        why  exit status 1 (failure)
        when  TIME
        attempts  1
        queue  tintal on embedded
        go on     `tintal logs ID` shows what it printed
                  `tintal dlq replay ID` makes one more attempt, of the job as it is now
                  `tintal dlq resolve ID` says that it is done with
        message
          {
            "action": {
              "kill_grace": "10s",
              "params": {
                "day": "tuesday"
              },
              "run": {
                "action": {
                  "shell": "echo {{ params.day }}; test -e ok"
                }
              },
              "timezone": "UTC"
            },
            "attempt": 1,
            "cause": "manual",
            "context": {
              "day": "tuesday"
            },
            "digest": "HEX",
            "enqueued_at": "TIME",
            "expires_at": "TIME",
            "fire_time": "TIME",
            "job": "report",
            "max_attempts": 1,
            "metadata": {},
            "queued_at": "TIME",
            "reply_to": "tintal-results-HEX",
            "run_id": "ID",
            "traceparent": "TRACE",
            "v": 1,
            "workflow": "report",
            "workflow_provider": null
          }
        --
        -- exit 0
    "#]],
    );
    let status = tree.run(&["status"]);
    assert!(
        status.stdout.contains("\nletters   1 dead letter (1 pending); `tintal dlq list`\n"),
        "{}",
        status.stdout
    );
    assert_eq!(status.code, Some(0));
    // It fails once more.
    check(
        &tree,
        &["dlq", "replay", &id],
        &expect![[r#"
        ID is tried again, as attempt 2 of its run
        --
        -- exit 0
    "#]],
    );
    wait_for("it is given up again", || letters(&tree, OPEN).pop().filter(|letter| letter["times"] == 2));
    tree.write("ok", "");
    tree.ok(&["dlq", "replay", "--job", "report"]);
    wait_for_state(&tree, &id, "resolved");
    let runs = tree.runs("report");
    assert_eq!(
        (runs.len(), &runs[0]["outcome"], &runs[0]["run_id"]),
        (1, &"success".into(), &id.clone().into())
    );
    let attempts = runs[0]["attempts"].as_array().unwrap();
    let of = |key: &str| attempts.iter().map(|attempt| attempt[key].clone()).collect::<Vec<_>>();
    assert_eq!(
        (of("n"), of("exit_code")),
        (vec![1.into(), 2.into(), 3.into()], vec![1.into(), 1.into(), 0.into()])
    );
    assert_eq!(tree.ok(&["logs", &id]), "tuesday\n", "with what its run was given");
    check(
        &tree,
        &["dlq", "replay", &id],
        &expect![[r#"
        --
        ID is not tried again: it is resolved
        -- exit 1
    "#]],
    );
    check(
        &tree,
        &["dlq", "resolve", &id, "--note", "disk\nfull"],
        &expect![[r#"
        ID is resolved already; its note is replaced
        --
        -- exit 0
    "#]],
    );
    assert_eq!(letters(&tree, "resolved")[0]["note"], "disk\nfull");
    check(
        &tree,
        &["dlq", "purge", "--is", "resolved"],
        &expect![[r#"
        dropped 1 dead letter
        --
        -- exit 0
    "#]],
    );
    check(
        &tree,
        &["dlq", "show", &id],
        &expect![[r#"
        --
        error: there is no dead letter `ID`
        -- exit 2
    "#]],
    );
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn only_what_is_named_is_tried_again_or_purged() {
    let tree = Tree::with(&[("jobs.d/report.yaml", FAILS), ("jobs.d/mail.yaml", FAILS)]);
    let _daemon = tree.serve(&[]);
    given_up(&tree, "report");
    given_up(&tree, "mail");
    check(
        &tree,
        &["dlq", "replay"],
        &expect![[r#"
        --
        error: name the dead letters that are to be tried again, or a filter: `--is pending` is all that are pending
        -- exit 2
    "#]],
    );
    check(
        &tree,
        &["dlq", "purge"],
        &expect![[r#"
        --
        error: name a filter for the dead letters that are to go, as `--is resolved`; or all of them, by `--all --yes`
        -- exit 2
    "#]],
    );
    check(
        &tree,
        &["dlq", "purge", "--yes"],
        &expect![[r#"
        --
        error: the following required arguments were not provided:
          --all

        Usage: tintal dlq purge --yes --all

        For more information, try '--help'.
        -- exit 2
    "#]],
    );
    check(
        &tree,
        &["dlq", "purge", "--all"],
        &expect![[r#"
        --
        error: the following required arguments were not provided:
          --yes

        Usage: tintal dlq purge --all --yes

        For more information, try '--help'.
        -- exit 2
    "#]],
    );
    check(
        &tree,
        &["dlq", "replay", "0f0f", "report"],
        &expect![[r#"
        --
        error: `report` is not the id of a dead letter, nor the beginning of one
        -- exit 2
    "#]],
    );
    check(
        &tree,
        &["dlq", "replay", "0f0f"],
        &expect![[r#"
        --
        there is no dead letter `0f0f`
        -- exit 2
    "#]],
    );
    check(
        &tree,
        &["dlq", "replay", "--is", "held"],
        &expect![[r#"
        --
        no dead letter is all of this
        -- exit 0
    "#]],
    );
    check(
        &tree,
        &["dlq", "list", "--before", "1d"],
        &expect![[r#"
        GIVEN UP  JOB  STATE  TIMES  CATEGORY  WHY  BACKEND  ID
        --
        -- exit 0
    "#]],
    );
    check(
        &tree,
        &["dlq", "list", "--before", "soon"],
        &expect![[r#"
        --
        error: invalid value 'soon' for '--before <TIME>': neither a time such as `TIME` nor a duration such as `7d`

        For more information, try '--help'.
        -- exit 2
    "#]],
    );
    assert_eq!(letters(&tree, OPEN).len(), 2);
    check(
        &tree,
        &["dlq", "purge", "--job", "mail", "--category", "failure"],
        &expect![[r#"
        dropped 1 dead letter
        --
        -- exit 0
    "#]],
    );
    let left = letters(&tree, OPEN);
    assert_eq!((left.len(), &left[0]["job"]), (1, &"report".into()));
    check(
        &tree,
        &["dlq", "purge", "--all", "--yes"],
        &expect![[r#"
        dropped 1 dead letter
        --
        -- exit 0
    "#]],
    );
}

#[test]
fn what_fails_as_often_as_it_may_is_tried_again_only_when_it_is_named() {
    let tree = Tree::with(&[("jobs.d/report.yaml", FAILS)]);
    let _daemon = tree.serve(&[]);
    let id = given_up(&tree, "report");
    for times in 2..=6 {
        tree.ok(&["dlq", "replay", "--job", "report"]);
        wait_for("it is given up", || letters(&tree, OPEN).pop().filter(|letter| letter["times"] == times));
    }
    assert_eq!(letters(&tree, "exhausted").len(), 1);
    check(
        &tree,
        &["dlq", "replay", "--job", "report"],
        &expect![[r#"
        --
        no dead letter is all of this
        -- exit 0
    "#]],
    );
    tree.write("ok", "");
    tree.ok(&["dlq", "replay", &id]);
    wait_for_state(&tree, &id, "resolved");
}

#[test]
fn what_the_ledger_keeps_of_letters_is_shown_without_a_daemon() {
    let tree = Tree::with(&[("key", "tuesday\n")]);
    let secret = format!("secrets: {{KEY: {{file: {}}}}}", tree.path("key").display());
    tree.write(
        "jobs.d/report.yaml",
        &format!("tier: queue\nparams: {{day: monday}}\nrun:\n  shell: \"false\"\n  {secret}\n"),
    );
    let daemon = tree.serve(&[]);
    let id = tree.ok(&["trigger", "report", "-p", "day=tuesday"]).trim().to_owned();
    wait_for("its letter", || letters(&tree, OPEN).pop());
    let day = || tree.json(&["dlq", "show", &id, "--json"])["message"]["action"]["params"]["day"].clone();
    assert_eq!(day(), "***", "a secret of the job is not shown, wherever it stands");
    daemon.kill();
    assert_eq!(day(), "***");
    check(
        &tree,
        &["dlq", "list"],
        &expect![[r#"
        GIVEN UP  JOB  STATE  TIMES  CATEGORY  WHY  BACKEND  ID
        TIME  report  pending  1  failure  exit status 1  embedded  ID
        --
        no daemon is running; this is what the ledger in `.tintal` keeps
        -- exit 0
    "#]],
    );
    let shown = tree.run(&["dlq", "show", &id[..6]]);
    let go_on = "go on     start the daemon with `tintal serve`: it tries letters again, and resolves them\n";
    assert!(shown.stdout.contains(go_on), "{}", shown.shown());
    check(
        &tree,
        &["dlq", "show", "0f0f"],
        &expect![[r#"
        --
        no daemon is running; this is what the ledger in `.tintal` keeps
        error: there is no dead letter `0f0f`
        -- exit 2
    "#]],
    );
    check(
        &tree,
        &["dlq", "replay", &id],
        &expect![[r#"
        --
        error: no daemon is running on `.tintal`; start one with `tintal serve`
        -- exit 2
    "#]],
    );
    check(
        &tree,
        &["dlq", "purge", "--all", "--yes"],
        &expect![[r#"
        --
        error: no daemon is running on `.tintal`; start one with `tintal serve`
        -- exit 2
    "#]],
    );
    let status = tree.run(&["status"]);
    assert!(
        status.stdout.contains("\nletters   1 dead letter (1 pending); `tintal dlq list`\n"),
        "{}",
        status.stdout
    );
}

/// Puts a message on the queue, as another program could.
fn send(tree: &Tree, body: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = Ledger::open(&Location::File(tree.path(".tintal/ledger.db"))).unwrap();
        let broker = EmbeddedBroker::new(ledger, clock::now, Duration::from_secs(30));
        let message =
            Message { id: "x".to_owned(), body: body.to_owned().into(), not_before: None, key: None };
        broker.send(&QueueName::parse("tintal").unwrap(), &[message]).await[0].clone().unwrap();
    });
}

#[test]
fn a_message_that_no_worker_runs_can_be_seen_and_let_go() {
    let tree = Tree::with(&[("jobs.d/report.yaml", FAILS), ("ok", "")]);
    tree.serve(&[]).stop();
    send(&tree, r#"{"v": 7, "run_id": "x", "job": "report", "evil": "\u001b[31m"}"#);
    let _daemon = tree.serve(&[]);
    // The daemon's worker takes from the queue once there is a message of ours.
    tree.ok(&["trigger", "report"]);
    let id = wait_for("its letter", || letters(&tree, "held").pop())["id"].as_str().unwrap().to_owned();
    check(
        &tree,
        &["dlq", "show", &id],
        &expect![[r#"
        letter  ID
        state  held, since TIME; given up once
        job  not known
        why  refused: it has version 7, and this version of tintal reads 1 (input)
        when  TIME
        attempts  1
        queue  tintal on embedded
        go on  it cannot be tried again: it is none of this daemon's runs
                  `tintal dlq resolve ID` says that it is done with
        message
          {
            "v": 7,
            "run_id": "x",
            "job": "report",
            "evil": "\u001b[31m"
          }
        --
        -- exit 0
    "#]],
    );
    check(
        &tree,
        &["dlq", "replay", &id],
        &expect![[r#"
        --
        ID is not tried again: it is none of this daemon's runs; `tintal dlq resolve` and `purge` are its ways out
        -- exit 1
    "#]],
    );
    check(
        &tree,
        &["dlq", "resolve", &id, "--note", "an older sender"],
        &expect![[r#"
        resolved ID
        --
        -- exit 0
    "#]],
    );
    assert_eq!(letters(&tree, OPEN).len(), 0);
}

#[test]
fn without_room_for_dead_letters_nothing_is_sent_and_it_is_said_everywhere() {
    let tree = Tree::with(&[
        ("tintal.yaml", "queue: {dead_letters: {max: 1}}\n"),
        ("jobs.d/report.yaml", FAILS),
        ("jobs.d/mail.yaml", FAILS),
    ]);
    let daemon = tree.serve(&[]);
    assert_eq!(health(&tree).0, 200);
    let id = given_up(&tree, "report");
    let full = || {
        let (code, document) = health(&tree);
        (code == 503 && document["dead_letters_full"] == true).then_some(())
    };
    wait_for("it is told", full);
    let said = "letters   1 dead letter (1 pending), and no more than 1 are kept: nothing is sent until some are resolved or purged; `tintal dlq list`\n";
    let status = tree.run(&["status"]);
    assert!(status.stdout.contains(said) && status.code == Some(1), "{}", status.shown());
    tree.ok(&["trigger", "mail"]);
    let waits = || tree.runs("mail")[0]["stage"] == "enqueued";
    assert!(waits());
    let runs = tree.ok(&["runs", "mail"]);
    assert!(runs.contains("enqueued, embedded") && runs.contains("embedded/tintal"), "{runs}");
    assert!(daemon.log().contains("there is no room for dead letters"), "{}", daemon.log());
    // A daemon that starts knows it too.
    daemon.stop();
    let _daemon = tree.serve(&[]);
    wait_for("it is told", full);
    assert!(waits());
    tree.write("ok", "");
    tree.ok(&["dlq", "resolve", &id]);
    tree.wait_for_runs("mail", 1);
    wait_for("it is well", || (health(&tree).0 == 200).then_some(()));
}

/// Of a job that may run once at a time.
#[test]
fn letters_that_are_tried_again_at_once_take_turns() {
    let alone = "mkdir lock || exit 9; test -e ok; ok=$?; rmdir lock; exit $ok";
    let tree = Tree::with(&[("jobs.d/report.yaml", &format!("tier: queue\nrun: {{shell: \"{alone}\"}}\n"))]);
    let _daemon = tree.serve(&[]);
    (0..5).for_each(|_| drop(given_up(&tree, "report")));
    tree.write("ok", "");
    let ran = tree.run(&["dlq", "replay", "--is", "pending"]);
    assert_eq!((ran.stdout.lines().count(), ran.code), (5, Some(0)), "{}", ran.shown());
    assert!(ran.stdout.contains("is tried again, as attempt 2 of its run"), "{}", ran.shown());
    wait_for("all are resolved", || (letters(&tree, "resolved").len() == 5).then_some(()));
    assert!(tree.runs("report").iter().all(|run| run["outcome"] == "success"));
}

#[test]
fn runs_on_the_queue_tier_are_stopped_wherever_they_are() {
    let slow = "tier: queue\nrun: {shell: \"touch began; exec sleep 60\"}\n";
    let tree = Tree::with(&[
        ("tintal.yaml", "queue: {worker: {concurrency: 1}}\n"),
        ("jobs.d/slow.yaml", slow),
        ("jobs.d/after.yaml", "tier: queue\nrun: {shell: \"touch after\"}\n"),
        ("jobs.d/last.yaml", "tier: queue\nrun: {shell: \"touch last\"}\n"),
    ]);
    let daemon = tree.serve(&[]);
    tree.ok(&["trigger", "slow"]);
    wait_for("it runs", || tree.path("began").exists().then_some(()));
    tree.ok(&["trigger", "after"]);
    // The worker may have its message, and no room for it.
    let waits = ["acknowledged", "picked-up"];
    wait_for("it waits", || {
        let stage = tree.runs("after")[0]["stage"].clone();
        waits.iter().any(|waits| stage == *waits).then_some(())
    });
    check(
        &tree,
        &["cancel", "after"],
        &expect![[r#"
        cancelled ID of `after`, before it began
        --
        -- exit 0
    "#]],
    );
    assert_eq!(tree.runs("after")[0]["outcome"], "cancelled");
    wait_for("it is told to run", || (tree.runs("slow")[0]["stage"] == "running").then_some(()));
    let runs = tree.ok(&["runs", "slow"]);
    assert!(runs.contains("running, by serve-"), "{runs}");
    let worker = tree.runs("slow")[0]["worker"].as_str().unwrap().to_owned();
    // The worker may have had the message of the other run, too.
    let of_worker = tree.json(&["runs", "--worker", &worker, "--json"])["runs"].clone();
    assert!(of_worker.as_array().unwrap().iter().any(|run| run["job"] == "slow"), "{of_worker}");
    assert_eq!(tree.json(&["runs", "--worker", "other", "--json"])["runs"].as_array().unwrap().len(), 0);
    assert_eq!(tree.json(&["runs", "--backend", "embedded", "--json"])["runs"].as_array().unwrap().len(), 2);
    check(
        &tree,
        &["cancel", "slow"],
        &expect![[r#"
        stopping ID of `slow`
        --
        -- exit 0
    "#]],
    );
    let run = tree.wait_for_runs("slow", 1).remove(0);
    assert_eq!((&run["outcome"], &run["attempts"][0]["worker"]), (&"cancelled".into(), &worker.into()));
    tree.ok(&["trigger", "last"]);
    tree.wait_for_runs("last", 1);
    assert!(tree.path("last").exists() && !tree.path("after").exists(), "it was taken before, and not run");
    assert_eq!(letters(&tree, OPEN).len(), 0);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn jobs_and_tiers_say_which_queue_they_use() {
    let tree = Tree::with(&[
        ("jobs.d/report.yaml", "tier: queue\nqueue: {name: reports}\nrun: {shell: \"true\"}\n"),
        ("jobs.d/here.yaml", "run: {shell: \"true\"}\n"),
    ]);
    let shown = |state: &str| {
        let status = tree.json(&["status", "--json"]);
        let job = |name: &str| {
            status["jobs"].as_array().unwrap().iter().find(|job| job["job"] == name).unwrap().clone()
        };
        assert_eq!(
            (&job("report")["backend"], &job("report")["queue"]),
            (&"embedded".into(), &"reports".into())
        );
        assert_eq!((&job("here")["backend"], &job("here")["queue"]), (&"in-process".into(), &Value::Null));
        let row = status["tiers"].as_array().unwrap().iter().find(|tier| tier["tier"] == "queue").unwrap();
        assert_eq!(
            (&row["backend"], &row["kind"], &row["state"]),
            (&"embedded".into(), &"embedded".into(), &state.into())
        );
        let list = tree.ok(&["list"]);
        assert!(list.contains("queue on embedded"), "{list}");
    };
    shown("unseen");
    let daemon = tree.serve(&[]);
    shown("ready");
    let explained = tree.ok(&["explain", "report"]);
    assert!(
        explained.contains("\nqueue     reports on embedded\n          delivery: at least once"),
        "{explained}"
    );
    assert_eq!(tree.json(&["explain", "report", "--json"])["queue"]["name"], "reports");
    assert_eq!(tree.json(&["explain", "here", "--json"])["queue"], Value::Null);
    drop(daemon);
    let _ = fs::remove_dir_all(tree.path(".tintal"));
}
