//! What the daemon does when it is killed, stopped at a bad moment, or kept from writing.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use common::{Daemon, Tree, wait_for};
use rusqlite::Connection;
use serde_json::Value;

/// A job that runs by hand only: a line of shell, with a policy.
fn by_hand(shell: &str, policy: &str) -> String {
    format!("run: {{shell: {}}}\npolicy: {{{policy}}}\n", serde_json::to_string(shell).unwrap())
}

/// The ledger of a tree, as another process sees it.
fn ledger(tree: &Tree) -> Connection {
    let connection = Connection::open(tree.path(".tintal/ledger.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

/// Makes the ledger refuse what is written of runs, as a full disk does.
fn refuse_writes(tree: &Tree) {
    let refuse = |when: &str, name: &str| {
        format!("CREATE TRIGGER {name} BEFORE {when} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;")
    };
    let all = [
        refuse("INSERT ON run", "one"),
        refuse("UPDATE ON run", "two"),
        refuse("INSERT ON attempt", "three"),
        refuse("UPDATE ON attempt", "four"),
    ];
    ledger(tree).execute_batch(&all.concat()).unwrap();
}

fn allow_writes(tree: &Tree) {
    ledger(tree)
        .execute_batch("DROP TRIGGER one; DROP TRIGGER two; DROP TRIGGER three; DROP TRIGGER four;")
        .unwrap();
}

/// A lock of git in the tree: nothing is read while it is there, so there is no first pass.
fn lock_git(tree: &Tree) -> PathBuf {
    tree.write("jobs.d/.git/index.lock", "");
    tree.path("jobs.d/.git/index.lock")
}

/// Makes what the ledger knows of this start of the machine be of one before it.
fn new_start_of_the_machine(tree: &Tree) {
    let sql = "UPDATE meta SET value = 'before'; UPDATE boot SET boot_id = 'before'";
    ledger(tree).execute_batch(sql).unwrap();
}

fn lines(tree: &Tree, file: &str) -> usize {
    fs::read_to_string(tree.path(file)).unwrap_or_default().lines().count()
}

#[track_caller]
fn wait_for_line(tree: &Tree, file: &str) {
    wait_for(&format!("a line in {file}"), || (lines(tree, file) > 0).then_some(()));
}

/// Waits for the end of a daemon; gives its code and how long that took.
fn wait(daemon: Daemon) -> (Option<i32>, Duration) {
    let begin = Instant::now();
    (daemon.wait(), begin.elapsed())
}

fn outcomes(tree: &Tree, job: &str) -> Vec<String> {
    let word = |run: &Value| run["outcome"].as_str().or(run["reason"].as_str()).unwrap().to_owned();
    tree.runs(job).iter().map(word).collect()
}

/// F23: neither what was left of the daemon before nor `@reboot` begins once the end is asked for.
#[test]
fn a_daemon_that_is_stopped_before_its_first_pass_starts_nothing() {
    let left = by_hand(
        "echo x >> runs; [ $TINTAL_ATTEMPT != 1 ] || exec sleep 600",
        "retry: {max_attempts: 3, initial: 1ms}",
    );
    let boot = "schedule: {cron: \"@reboot\"}\nrun: {shell: \"echo x >> boots\"}\n";
    let tree = Tree::with(&[("jobs.d/left.yaml", &left), ("jobs.d/boot.yaml", boot)]);
    let daemon = tree.serve(&[]);
    tree.ok(&["trigger", "left"]);
    wait_for_line(&tree, "runs");
    tree.wait_for_runs("boot", 1);
    daemon.kill();
    new_start_of_the_machine(&tree);
    let lock = lock_git(&tree);
    let daemon = tree.start(&[]);
    wait_for("it answers", || tree.run(&["status"]).stdout.contains("starting, and").then_some(()));
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!((lines(&tree, "runs"), lines(&tree, "boots")), (1, 1));
    // The next daemon sees to both.
    fs::remove_file(lock).unwrap();
    let _daemon = tree.serve(&[]);
    tree.wait_for_runs("boot", 2);
    wait_for("the second attempt", || (outcomes(&tree, "left") == ["success"]).then_some(()));
    assert_eq!((lines(&tree, "runs"), lines(&tree, "boots")), (2, 2));
}

/// F5: the end of the last attempt is known, and what follows from it is done.
#[test]
fn a_run_whose_last_attempt_had_ended_is_not_run_again_after_a_crash() {
    let tree = Tree::with(&[
        ("jobs.d/good.yaml", &by_hand("echo x >> good", "retry: {max_attempts: 3, initial: 1ms}")),
        ("jobs.d/bad.yaml", &by_hand("echo x >> bad; exit 1", "retry: {max_attempts: 2, initial: 1ms}")),
        (
            "jobs.d/long.yaml",
            &by_hand("echo x >> long; exec sleep 600", "retry: {max_attempts: 3, initial: 1ms}"),
        ),
    ]);
    let daemon = tree.serve(&[]);
    for job in ["good", "bad", "long"] {
        tree.ok(&["trigger", job]);
    }
    wait_for_line(&tree, "long");
    tree.ok(&["cancel", "long"]);
    for job in ["good", "bad", "long"] {
        tree.wait_for_runs(job, 1);
    }
    daemon.kill();
    // As a crash between the two records left them before they were one.
    ledger(&tree).execute("UPDATE run SET open = 1, outcome = NULL, ended_us = NULL", []).unwrap();
    let daemon = tree.serve(&[]);
    assert_eq!(outcomes(&tree, "good"), ["success"]);
    assert_eq!(outcomes(&tree, "bad"), ["exit-nonzero"]);
    assert_eq!(outcomes(&tree, "long"), ["cancelled"]);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!((lines(&tree, "good"), lines(&tree, "bad"), lines(&tree, "long")), (1, 2, 1));
}

/// F5, F20: an attempt is recorded before it starts, so what has no record did not start.
#[test]
fn a_run_that_was_decided_and_not_begun_is_begun_by_the_next_daemon() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("echo x >> runs", ""))]);
    let daemon = tree.serve(&[]);
    tree.ok(&["trigger", "a"]);
    tree.wait_for_runs("a", 1);
    daemon.kill();
    let sql = "DELETE FROM attempt; UPDATE run SET open = 1, outcome = NULL, ended_us = NULL";
    ledger(&tree).execute_batch(sql).unwrap();
    let _daemon = tree.serve(&[]);
    assert_eq!(tree.wait_for_runs("a", 1)[0]["outcome"], "success");
    assert_eq!(lines(&tree, "runs"), 2);
}

/// F5: what became of each is recorded, in groups: a record by itself costs a write of the disk.
#[test]
fn thousands_of_open_runs_are_seen_to_before_the_daemon_is_ready() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("echo x >> runs", ""))]);
    let daemon = tree.serve(&[]);
    tree.ok(&["trigger", "a"]);
    tree.wait_for_runs("a", 1);
    daemon.kill();
    let copies = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO run (id, job_id, fire_us, last_fire_us, count, cause, decided_us, open)
        SELECT randomblob(16), job_id, fire_us + i, last_fire_us + i, 1, cause, decided_us, 1 FROM run, n;
        INSERT INTO attempt (run_seq, n, started_us) SELECT seq, 1, decided_us FROM run WHERE open = 1;";
    ledger(&tree).execute_batch(copies).unwrap();
    let _daemon = tree.serve(&[]);
    let count = |what: &str| {
        let sql = format!("SELECT count(*) FROM run WHERE {what}");
        ledger(&tree).query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((count("open = 1"), count("outcome LIKE '%abandoned%'")), (0, 5000));
    assert_eq!(lines(&tree, "runs"), 1);
}

/// A daemon that is stopped must not lose more than one that is killed.
#[test]
fn a_run_that_waits_for_its_next_attempt_does_not_hold_up_the_end_and_goes_on_after_it() {
    let job = by_hand("echo x >> runs; exit 1", "retry: {max_attempts: 2, initial: 2s, jitter: 0}");
    let tree = Tree::with(&[("jobs.d/a.yaml", &job)]);
    let daemon = tree.serve(&[]);
    tree.ok(&["trigger", "a"]);
    wait_for("the first attempt ends", || {
        (!tree.runs("a")[0]["attempts"][0]["ended_at"].is_null()).then_some(())
    });
    daemon.signal("TERM");
    let (code, took) = wait(daemon);
    assert!(code == Some(0) && took < Duration::from_millis(1_500), "{code:?} after {took:?}");
    assert!(tree.runs("a")[0]["outcome"].is_null(), "it is open");
    let _daemon = tree.serve(&[]);
    assert_eq!(tree.wait_for_runs("a", 1)[0]["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(lines(&tree, "runs"), 2);
}

#[test]
fn a_second_signal_kills_what_does_not_heed_the_first() {
    let deaf = by_hand("trap '' TERM; echo $$ > pid; while :; do sleep 1; done", "kill_grace: 10m");
    let tree = Tree::with(&[("jobs.d/deaf.yaml", &deaf)]);
    let daemon = tree.serve(&[]);
    tree.ok(&["trigger", "deaf"]);
    wait_for_line(&tree, "pid");
    let pid = fs::read_to_string(tree.path("pid")).unwrap().trim().to_owned();
    daemon.signal("TERM");
    wait_for("it waits", || daemon.log().contains("a second signal stops them").then_some(()));
    daemon.signal("TERM");
    let (code, took) = wait(daemon);
    assert!(code == Some(0) && took < Duration::from_secs(5), "{code:?} after {took:?}");
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    assert_eq!(outcomes(&tree, "deaf"), ["cancelled"]);
}

/// A pass that waits for the ledger ends when that gives up, seconds later.
#[test]
fn a_second_signal_is_heard_while_the_loops_end() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("echo one", ""))]);
    let daemon = tree.serve(&[]);
    let source = || tree.json(&["status", "--json"])["source"].clone();
    let before = source();
    let ledger = ledger(&tree);
    ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    tree.write("jobs.d/a.yaml", &by_hand("echo two", ""));
    wait_for("the pass begins", || (source()["tree"] != before["tree"]).then_some(()));
    assert_eq!(source()["generation"], before["generation"], "it waits for the ledger");
    daemon.signal("TERM");
    wait_for("it stops", || (!tree.run(&["status"]).stdout.contains("running, process")).then_some(()));
    daemon.signal("TERM");
    let (code, took) = wait(daemon);
    assert!(code == Some(0) && took < Duration::from_secs(2), "{code:?} after {took:?}");
}

/// F20: what is decided at the moment of the end is run to its end, or left to the next daemon.
#[test]
fn a_daemon_that_is_stopped_while_it_fires_leaves_nothing_behind() {
    let tree = Tree::new();
    for number in 0..40 {
        let job = "schedule: {every: 1s}\nrun: {shell: \"sleep 0.1; echo x >> runs\"}\n";
        tree.write(&format!("jobs.d/j{number}.yaml"), job);
    }
    for _ in 0..4 {
        let daemon = tree.serve(&[]);
        let before = lines(&tree, "runs");
        wait_for("it fires", || (lines(&tree, "runs") > before).then_some(()));
        assert_eq!(daemon.stop(), Some(0));
    }
    let open: i64 =
        ledger(&tree).query_row("SELECT count(*) FROM run WHERE open = 1", [], |row| row.get(0)).unwrap();
    let started: i64 = ledger(&tree).query_row("SELECT count(*) FROM attempt", [], |row| row.get(0)).unwrap();
    assert_eq!((open, usize::try_from(started).unwrap()), (0, lines(&tree, "runs")));
}

/// F20: what was due under the old schedule is decided under it.
#[test]
fn an_edit_loses_nothing_that_was_missed_before_it() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "schedule: {every: 10m}\nrun: {shell: \"echo x >> runs\"}\n")]);
    let daemon = tree.serve(&[]);
    daemon.kill();
    ledger(&tree).execute("UPDATE job SET cursor_us = cursor_us - 1800000000", []).unwrap();
    tree.write("jobs.d/a.yaml", "schedule: {every: 10m, jitter: 1s}\nrun: {shell: \"echo x >> runs\"}\n");
    let daemon = tree.serve(&[]);
    wait_for_line(&tree, "runs");
    let runs = tree.wait_for_runs("a", 1);
    let reasons: Vec<&str> =
        tree.runs("a").iter().map(|run| if run["decision"] == "run" { "run" } else { "missed" }).collect();
    assert_eq!((runs.len(), reasons), (1, vec!["run", "missed"]));
    assert_eq!(tree.runs("a")[1]["count"], 2);
    assert_eq!(daemon.stop(), Some(0));
}

/// F20: an occurrence whose fire time has passed and that waits for its share of the jitter is
/// decided when its schedule is edited, and starts when it would have.
#[test]
fn an_edit_loses_nothing_that_waits_for_its_jitter() {
    let job = |year: u32| {
        format!(
            "schedule: {{every: 3s, jitter: 2500ms, end: \"{year}-01-01T00:00:00Z\"}}\nrun: {{shell: \"echo x >> runs\"}}\n"
        )
    };
    let tree = Tree::with(&[("jobs.d/a.yaml", &job(2090))]);
    let daemon = tree.serve(&[]);
    let begin = Instant::now();
    for year in 2091..2096 {
        let next = wait_for("the next fire", || {
            let status = tree.json(&["list", "--json"]);
            status["jobs"][0]["next_fire"].as_str().map(str::to_owned)
        });
        let next: jiff::Timestamp = next.parse().unwrap();
        wait_for("it passes", || (tintal::engine::clock::now() > next).then_some(()));
        tree.write("jobs.d/a.yaml", &job(year));
        wait_for("the edit is live", || {
            let rows = ledger(&tree)
                .query_row("SELECT spec FROM placement", [], |row| row.get::<_, String>(0))
                .unwrap();
            rows.contains(&year.to_string()).then_some(())
        });
        if begin.elapsed() > Duration::from_secs(7) {
            break;
        }
    }
    daemon.kill();
    let mut decided: Vec<i64> = tree
        .runs("a")
        .iter()
        .map(|run| run["fire_time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second())
        .collect();
    decided.sort_unstable();
    assert!(decided.len() >= 2 && decided.windows(2).all(|pair| pair[1] - pair[0] == 3), "{decided:?}");
}

/// F22: a ledger that cannot be written is said aloud, and does not keep the daemon from ending.
#[test]
fn a_ledger_that_cannot_be_written_is_told_and_does_not_hold_up_the_end() {
    let tree = Tree::with(&[
        ("jobs.d/tick.yaml", "schedule: {every: 1s}\nrun: {command: [\"true\"]}\n"),
        (
            "jobs.d/slow.yaml",
            &by_hand("echo x >> slow; while [ -e hold ]; do sleep 0.05; done", "kill_grace: 1s"),
        ),
    ]);
    tree.write("hold", "");
    let daemon = tree.serve(&[]);
    tree.ok(&["trigger", "slow"]);
    wait_for_line(&tree, "slow");
    refuse_writes(&tree);
    fs::remove_file(tree.path("hold")).unwrap();
    wait_for("status says so", || {
        let status = tree.run(&["status"]);
        (status.code == Some(1) && status.stdout.contains("the disk is full")).then_some(())
    });
    let status = tree.json(&["status", "--json"]);
    assert!(status["daemon"]["ledger_failure"].as_str().unwrap().contains("the disk is full"), "{status}");
    wait_for("the run wants to end", || daemon.log().contains("cannot be recorded yet").then_some(()));
    // Told once, however often it is tried: once a second.
    wait_for("three fires are overdue", || {
        let jobs = tree.json(&["list", "--json"])["jobs"].take();
        let tick = jobs.as_array()?.iter().find(|job| job["job"] == "tick")?;
        let due: jiff::Timestamp = tick["next_fire"].as_str()?.parse().ok()?;
        (tintal::engine::clock::now().duration_since(due).as_secs() >= 3).then_some(())
    });
    assert!(daemon.log().lines().filter(|line| line.contains("cannot be")).count() <= 3, "{}", daemon.log());
    // Space is back: the run ends with its attempt, and jobs fire.
    allow_writes(&tree);
    let runs = tree.wait_for_runs("slow", 1);
    assert_eq!(
        (&runs[0]["outcome"], &runs[0]["attempts"][0]["outcome"]),
        (&"success".into(), &"success".into())
    );
    wait_for("status is clean", || (tree.run(&["status"]).code == Some(0)).then_some(()));
    // Full again, and the end is asked for.
    tree.write("hold", "");
    tree.ok(&["trigger", "slow"]);
    wait_for("it goes on", || (lines(&tree, "slow") == 2).then_some(()));
    refuse_writes(&tree);
    fs::remove_file(tree.path("hold")).unwrap();
    daemon.signal("TERM");
    wait_for("it waits", || daemon.log().contains("stopping: waiting").then_some(()));
    daemon.signal("TERM");
    let (code, took) = wait(daemon);
    assert!(code == Some(2) && took < Duration::from_secs(15), "{code:?} after {took:?}");
}

/// A full disk under the log, and a reader of it that went away.
#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let full = || fs::File::options().write(true).open("/dev/full").unwrap().into();
    let closed = || std::io::pipe().unwrap().1.into();
    let ways: [(&str, &dyn Fn() -> Stdio); 2] = [("a full disk", &full), ("a closed pipe", &closed)];
    for (what, stderr) in ways {
        for format in ["text", "json"] {
            let tree =
                Tree::with(&[("jobs.d/a.yaml", "schedule: {every: 1s}\nrun: {shell: echo x >> runs}\n")]);
            let daemon = tree.start_logging_to(stderr(), &["--log-format", format]);
            wait_for(&format!("runs with {what} under the log, as {format}"), || {
                (lines(&tree, "runs") >= 3).then_some(())
            });
            assert_eq!(tree.run(&["status"]).code, Some(0), "{what}");
            assert_eq!(daemon.stop(), Some(0), "{what}");
        }
    }
}

/// F20.
#[test]
fn a_start_of_the_machine_is_decided_by_the_first_daemon_and_by_no_later_one() {
    let at_boot =
        |file: &str| format!("schedule: {{cron: \"@reboot\"}}\nrun: {{shell: \"echo x >> {file}\"}}\n");
    let tree = Tree::with(&[("jobs.d/a.yaml", &at_boot("a"))]);
    let daemon = tree.serve(&[]);
    wait_for_line(&tree, "a");
    tree.write("jobs.d/late.yaml", &at_boot("late"));
    wait_for("it is live", || tree.ok(&["list"]).contains("late").then_some(()));
    assert_eq!(daemon.stop(), Some(0));
    let daemon = tree.serve(&[]);
    tree.ok(&["trigger", "a"]);
    tree.wait_for_runs("a", 2);
    assert_eq!(tree.runs("late"), Vec::<Value>::new());
    // The next start of the machine finds one of them paused.
    tree.ok(&["pause", "a"]);
    assert_eq!(daemon.stop(), Some(0));
    new_start_of_the_machine(&tree);
    let daemon = tree.serve(&[]);
    wait_for_line(&tree, "late");
    wait_for("the skip", || (outcomes(&tree, "a")[0] == "paused").then_some(()));
    tree.ok(&["resume", "a"]);
    assert_eq!(daemon.stop(), Some(0));
    let daemon = tree.serve(&[]);
    tree.ok(&["trigger", "a"]);
    tree.wait_for_runs("a", 3);
    assert_eq!(outcomes(&tree, "a"), ["success", "paused", "success", "success"]);
    assert_eq!(daemon.stop(), Some(0));
}

/// F20: a job that cannot be applied keeps its own start of the machine waiting, and no other's.
#[test]
fn one_job_that_cannot_be_applied_keeps_no_other_from_a_start_of_the_machine() {
    let at_boot =
        |file: &str| format!("schedule: {{cron: \"@reboot\"}}\nrun: {{shell: \"echo x >> {file}\"}}\n");
    let tree = Tree::with(&[("jobs.d/a.yaml", &at_boot("a")), ("jobs.d/edited.yaml", &at_boot("before"))]);
    let daemon = tree.serve(&[]);
    tree.wait_for_runs("edited", 1);
    tree.wait_for_runs("a", 1);
    assert_eq!(daemon.stop(), Some(0));
    new_start_of_the_machine(&tree);
    tree.write("jobs.d/edited.yaml", &at_boot("edited"));
    tree.write("jobs.d/new.yaml", &at_boot("new"));
    let refuse = "CREATE TRIGGER one BEFORE INSERT ON placement
        WHEN EXISTS (SELECT 1 FROM job WHERE id = NEW.job_id AND name IN ('edited', 'new'))
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;";
    ledger(&tree).execute_batch(refuse).unwrap();
    let daemon = tree.serve(&[]);
    tree.wait_for_runs("a", 2);
    // What waits is not lost when the daemon ends, either.
    daemon.kill();
    let daemon = tree.serve(&[]);
    assert_eq!((lines(&tree, "before"), lines(&tree, "edited"), lines(&tree, "new")), (1, 0, 0));
    ledger(&tree).execute_batch("DROP TRIGGER one").unwrap();
    tree.wait_for_runs("edited", 2);
    tree.wait_for_runs("new", 1);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!((lines(&tree, "a"), lines(&tree, "before")), (2, 1));
    assert_eq!((lines(&tree, "edited"), lines(&tree, "new")), (1, 1));
}

/// F20: a directory that is mounted after the daemon's start is no empty one.
#[test]
fn a_start_of_the_machine_is_settled_when_the_manifests_were_seen() {
    let tree =
        Tree::with(&[("later/a.yaml", "schedule: {cron: \"@reboot\"}\nrun: {shell: \"echo x >> a\"}\n")]);
    fs::remove_dir(tree.path("jobs.d")).unwrap();
    tree.write("tintal.yaml", "ledger: memory\n");
    let daemon = tree.serve(&[]);
    assert!(daemon.log().contains("ready without the manifests"), "{}", daemon.log());
    fs::rename(tree.path("later"), tree.path("jobs.d")).unwrap();
    wait_for_line(&tree, "a");
    // One that is added later waits for the next start.
    tree.write("jobs.d/late.yaml", "schedule: {cron: \"@reboot\"}\nrun: {shell: \"echo x >> late\"}\n");
    wait_for("it is live", || tree.ok(&["list"]).contains("late").then_some(()));
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!((lines(&tree, "a"), lines(&tree, "late")), (1, 0));
}

/// F27: another daemon could use a directory of the same name.
#[test]
fn a_daemon_whose_state_directory_is_taken_away_ends() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("echo x", ""))]);
    let daemon = tree.serve(&[]);
    fs::remove_dir_all(tree.path(".tintal")).unwrap();
    let second = tree.start(&[]);
    assert_eq!(wait(daemon).0, Some(2));
    wait_for("the second one goes on", || (tree.run(&["trigger", "a"]).code == Some(0)).then_some(()));
    assert_eq!(second.stop(), Some(0));
}

/// F2: over a restart, with the real clock.
#[test]
fn a_cursor_that_a_wrong_clock_left_in_the_future_does_not_stop_a_job() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "schedule: {every: 1s}\nrun: {command: [\"true\"]}\n")]);
    let daemon = tree.serve(&[]);
    tree.wait_for_runs("a", 1);
    daemon.kill();
    ledger(&tree).execute("UPDATE job SET cursor_us = cursor_us + 315360000000000", []).unwrap();
    let _daemon = tree.serve(&[]);
    let before = outcomes(&tree, "a").iter().filter(|word| *word == "success").count();
    wait_for("it fires", || {
        (outcomes(&tree, "a").iter().filter(|word| *word == "success").count() > before + 1).then_some(())
    });
    assert!(outcomes(&tree, "a").contains(&"clock-jump".to_owned()));
    assert!(tree.ok(&["status"]).contains("clock     jumped by -"), "{}", tree.ok(&["status"]));
}

#[test]
fn a_long_pause_is_one_row_and_leaves_the_runs_in_the_history() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "schedule: {every: 1s}\nrun: {command: [\"true\"]}\n")]);
    let _daemon = tree.serve(&[]);
    tree.wait_for_runs("a", 1);
    tree.ok(&["pause", "a"]);
    let skip = wait_for("three are skipped", || {
        tree.runs("a").into_iter().find(|run| run["reason"] == "paused" && run["count"].as_u64() >= Some(3))
    });
    assert_eq!(tree.runs("a").iter().filter(|run| run["reason"] == "paused").count(), 1);
    assert!(skip["last_fire_time"].as_str() > skip["fire_time"].as_str(), "{skip}");
}

/// One request to the control socket, as no client of ours makes it; gives the status and the body.
fn request(tree: &Tree, head: &str, body: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(tree.path(".tintal/control.sock")).unwrap();
    let length = body.len();
    let request = format!("{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    // In one piece: a daemon that refuses the head does not wait for the rest.
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("no document: {answer}")))
}

/// F22.
#[test]
fn a_daemon_that_does_not_fire_yet_is_not_well() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("echo x", ""))]);
    let lock = lock_git(&tree);
    let _daemon = tree.start(&[]);
    let status = wait_for("it answers", || {
        let status = tree.run(&["status"]);
        (!status.stdout.contains("none is running")).then_some(status)
    });
    assert!(status.stdout.contains("starting, and nothing fires yet, process"), "{}", status.stdout);
    assert_eq!(status.code, Some(1));
    let health = || request(&tree, "GET /healthz HTTP/1.1", "");
    let (code, document) = health();
    assert_eq!((code, &document["healthy"], &document["ready"]), (503, &false.into(), &false.into()));
    fs::remove_file(lock).unwrap();
    wait_for("it is well", || (health().0 == 200).then_some(()));
    assert_eq!(tree.run(&["status"]).code, Some(0));
}

#[test]
fn every_refusal_of_the_control_socket_is_a_document() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("echo x", ""))]);
    let _daemon = tree.serve(&[]);
    for (head, body, status) in [
        ("GET /nowhere HTTP/1.1", "", 404),
        ("POST /v1/status HTTP/1.1", "", 405),
        ("GET /v1/runs?limt=3 HTTP/1.1", "", 400),
        ("GET /v1/runs?limit=many HTTP/1.1", "", 400),
        ("GET /v1/runs?limit=10001 HTTP/1.1", "", 400),
        ("GET /v1/runs/%ff HTTP/1.1", "", 400),
        ("POST /v1/jobs/a/trigger HTTP/1.1", "{}", 415),
        ("POST /v1/jobs/a/trigger HTTP/1.1\r\nContent-Type: application/json", "{", 400),
        ("POST /v1/jobs/a/trigger HTTP/1.1\r\nContent-Type: application/json", "{\"x\": 1}", 422),
    ] {
        let (found, document) = request(&tree, head, body);
        assert_eq!(found, status, "{head}: {document}");
        assert!(document["v"] == 1 && !document["error"].as_str().unwrap().is_empty(), "{head}: {document}");
    }
    assert_eq!(tree.run(&["runs", "-n", "10001"]).code, Some(2));
}

#[test]
fn a_control_socket_that_is_taken_away_is_made_anew() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("echo x", ""))]);
    let daemon = tree.serve(&[]);
    let socket = tree.path(".tintal/control.sock");
    let take_away = || std::fs::remove_file(&socket).unwrap();
    take_away();
    assert_eq!(tree.ok(&["trigger", "a", "--follow"]), "x\n");
    assert!(daemon.log().contains("the control socket was taken away; it is made anew"), "{}", daemon.log());
    // One that does not come is told, with the process that is to make it.
    daemon.signal("STOP");
    take_away();
    for arguments in [&["status"][..], &["list"], &["trigger", "a"]] {
        let ran = tree.run(arguments);
        let told = format!("though the process {} uses it", daemon.pid());
        assert!(ran.code == Some(2) && ran.stderr.contains(&told), "{arguments:?}: {}", ran.shown());
    }
    daemon.signal("CONT");
    assert_eq!(tree.run(&["status"]).code, Some(0));
    assert_eq!(daemon.stop(), Some(0));
    assert!(!socket.exists());
    assert!(tree.run(&["status"]).stdout.contains("none is running"));
}

/// F34.
#[test]
fn status_tells_the_commit_and_since_when_a_job_is_as_it_is() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("echo x", ""))]);
    let git = |arguments: &[&str]| {
        let name = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        let ran =
            std::process::Command::new("git").args(name).args(arguments).current_dir(tree.root()).output();
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["add", "jobs.d"]);
    git(&["commit", "-qm", "one"]);
    let first = git(&["rev-parse", "HEAD"]);
    let daemon = tree.serve(&[]);
    let is_at = |commit: &str, dirty: bool| {
        let what = format!("the commit {commit}, dirty: {dirty}");
        wait_for(&what, || {
            let source = tree.json(&["status", "--json"])["source"].clone();
            (source["commit"] == commit && source["dirty"] == dirty).then_some(())
        });
        let said = if dirty { ", dirty: files differ from it" } else { "" };
        let status = tree.run(&["status"]).stdout;
        assert!(status.contains(&format!("\ncommit    {commit}{said}\n")), "{status}");
    };
    is_at(&first, false);
    // A scan that finds nothing new is a look all the same.
    let age = || tree.json(&["status", "--json"])["source"]["age_seconds"].as_u64();
    wait_for("it was a while ago", || (age() >= Some(2)).then_some(()));
    daemon.signal("HUP");
    wait_for("it is looked at", || (age() <= Some(1)).then_some(()));
    let job = || tree.json(&["status", "--json"])["jobs"][0].clone();
    let since = job()["conditions"][0]["since"].clone();
    tree.write("jobs.d/a.yaml", &by_hand("echo y", ""));
    is_at(&first, true);
    wait_for("the job is another", || (job()["conditions"][0]["since"] != since).then_some(()));
    git(&["commit", "-qam", "two"]);
    daemon.signal("HUP");
    is_at(&git(&["rev-parse", "HEAD"]), false);
    // A manifest that breaks is still named with its place.
    tree.write("jobs.d/a.yaml", "name: a\nrun: {comand: [x]}\n");
    wait_for("it is degraded", || (job()["conditions"][0]["status"] == false).then_some(()));
    assert_eq!((job()["file"].clone(), job()["line"].clone()), ("a.yaml".into(), 1.into()));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn output_whose_run_is_gone_is_swept_at_the_start_and_no_other() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("echo x", ""))]);
    let daemon = tree.serve(&[]);
    let gone = tree.ok(&["trigger", "a"]).trim().to_owned();
    tree.wait_for_runs("a", 1);
    let kept = tree.ok(&["trigger", "a"]).trim().to_owned();
    tree.wait_for_runs("a", 2);
    daemon.kill();
    let file = |run: &str| tree.path(&format!(".tintal/output/{}/{run}.1.log", &run[..2]));
    let first = "DELETE FROM run WHERE seq = (SELECT min(seq) FROM run)";
    ledger(&tree).execute_batch(&format!("PRAGMA foreign_keys = true; {first}")).unwrap();
    tree.write(".tintal/output/note.txt", "not ours");
    assert!(file(&gone).exists() && file(&kept).exists());
    let _daemon = tree.serve(&[]);
    wait_for("it is swept", || (!file(&gone).exists()).then_some(()));
    assert!(file(&kept).exists() && tree.path(".tintal/output/note.txt").exists());
}

/// F12: what is in it may be anything.
#[test]
fn a_directory_that_cannot_be_listed_gives_no_plan_at_all_and_is_told() {
    let tree =
        Tree::with(&[("jobs.d/a.yaml", &by_hand("echo one", "")), ("jobs.d/b.yaml", &by_hand("echo b", ""))]);
    let daemon = tree.serve(&[]);
    tree.unlistable("jobs.d");
    tree.write("jobs.d/a.yaml", &by_hand("echo two", ""));
    fs::remove_file(tree.path("jobs.d/b.yaml")).unwrap();
    wait_for("it is told", || tree.run(&["status"]).stdout.contains("in it cannot be listed").then_some(()));
    assert!(daemon.log().contains("in it cannot be listed"));
    assert_eq!(tree.run(&["trigger", "a", "--follow"]).stdout, "one\n", "nothing is changed");
    assert_eq!(tree.run(&["trigger", "b", "--follow"]).stdout, "b\n", "nothing is removed");
    let plan = tree.run(&["plan"]);
    assert!(plan.code == Some(2) && plan.stderr.contains("in it cannot be listed"), "{}", plan.stderr);
    fs::remove_dir_all(tree.path(&format!("jobs.d/{}", "d".repeat(250)))).unwrap();
    wait_for("the edit is live", || {
        (tree.run(&["trigger", "a", "--follow"]).stdout == "two\n").then_some(())
    });
}
