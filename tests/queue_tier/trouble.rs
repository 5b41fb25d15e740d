//! What may go wrong, and what is left of it.

use super::{
    common::{pause, wait_for},
    site::{counted, many, nats, nats_backend, redis, redis_backend, settings, settled, tree, worker},
};

/// A herd of jobs that are due at one instant, each of which leaves a line.
fn herd(count: usize, at: jiff::Timestamp) -> String {
    let job = |n: usize| {
        format!(
            "name: job-{n:05}\nschedule: {{at: {at}}}\nrun: {{shell: 'echo $TINTAL_JOB >> \"$RAN\"', env: {{RAN: ../ran}}, cwd: jobs.d}}\ntier: queue\n"
        )
    };
    (0..count).map(job).collect::<Vec<_>>().join("---\n")
}

fn soon(seconds: i64) -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second() + seconds).unwrap()
}

/// Kills the server in the middle of many runs and starts it again: none is lost, and none runs twice that
/// one worker made.
fn killed_server(name: &str, server: &super::server::Server, backend: &str) {
    let tree = tree(&settings("main", backend));
    let count = many(300, 10_000);
    tree.write("jobs.d/herd.yaml", &herd(count, soon(if many(0, 1) == 0 { 4 } else { 20 })));
    let daemon = tree.serve(&[]);
    let worker = worker(&tree, "w", &["--concurrency", "8"]);
    let ran = || counted(&tree, "ran").len();
    let until = |count: usize| {
        while ran() < count {
            pause();
        }
    };
    until(count / 4);
    server.kill();
    for _ in 0..20 {
        pause();
    }
    server.run();
    until(count / 2);
    server.kill();
    server.run();
    wait_for_all(&tree, count);
    let counts = counted(&tree, "ran");
    let doubled = counts.values().filter(|count| **count > 1).count();
    let lost = count - counts.len();
    println!("{name}: sent {count}, run {}, doubled {doubled}, lost {lost}", counts.values().sum::<usize>());
    assert_eq!((lost, doubled), (0, 0));
    assert_eq!(worker.stop(), Some(0));
    assert_eq!(daemon.stop(), Some(0));
}

fn wait_for_all(tree: &super::common::Tree, count: usize) {
    for _ in 0..10_000 {
        let view = tree.json(&["runs", "-n", "10000", "--json"]);
        let runs = view["runs"].as_array().unwrap();
        let done = runs.iter().filter(|run| run["outcome"] == "success").count();
        if done == count.min(10_000) {
            return;
        }
        pause();
    }
    panic!("not all of {count} runs succeeded: {}", tree.ok(&["status"]));
}

#[test]
fn redis_that_is_killed_in_the_middle_loses_no_run_and_doubles_none() {
    let server = redis();
    killed_server("redis-streams", &server, &redis_backend("main", server.port));
}

#[test]
fn nats_that_is_killed_in_the_middle_loses_no_run_and_doubles_none() {
    let server = nats();
    killed_server("nats", &server, &nats_backend("main", server.port));
}

/// Its message is taken over when its claim is over.
#[test]
fn a_run_of_a_worker_that_is_killed_is_run_by_another() {
    let server = redis();
    let tree = tree(&settings("main", &redis_backend("main", server.port)));
    tree.write(
        "jobs.d/job.yaml",
        "schedule: {at: 2030-01-01T00:00:00Z}\nrun: {shell: 'echo x >> ../ran; test -e ../again || sleep 600', cwd: jobs.d}\ntier: queue\n",
    );
    let daemon = tree.serve(&[]);
    let mut first = worker(&tree, "first", &[]);
    tree.ok(&["trigger", "job"]);
    wait_for("it runs", || counted(&tree, "ran").get("x").copied());
    tree.write("again", "");
    first.kill();
    let second = worker(&tree, "second", &[]);
    let rows = settled(&tree, "job");
    assert_eq!(rows[0]["outcome"], "success");
    assert_eq!(rows[0]["attempts"][0]["worker"], "second");
    assert_eq!(second.stop(), Some(0));
    assert_eq!(daemon.stop(), Some(0));
}

/// What was decided and sent is known to the next daemon.
#[test]
fn a_daemon_that_is_killed_finds_the_outcomes_of_its_runs() {
    let server = redis();
    let tree = tree(&settings("main", &redis_backend("main", server.port)));
    tree.write(
        "jobs.d/job.yaml",
        "run: {shell: 'echo x >> ../ran; while ! test -e ../go; do sleep 0.05; done; echo done', cwd: jobs.d}\ntier: queue\n",
    );
    let daemon = tree.serve(&[]);
    let worker = worker(&tree, "w", &[]);
    tree.ok(&["trigger", "job"]);
    wait_for("it runs", || counted(&tree, "ran").get("x").copied());
    daemon.kill();
    tree.write("go", "");
    let next = tree.serve(&[]);
    let rows = settled(&tree, "job");
    assert_eq!((&rows[0]["outcome"], rows[0]["attempts"].as_array().unwrap().len()), (&"success".into(), 1));
    assert_eq!(counted(&tree, "ran")["x"], 1);
    assert!(tree.ok(&["logs", "job"]).contains("done"));
    assert_eq!(worker.stop(), Some(0));
    assert_eq!(next.stop(), Some(0));
}

/// Two daemons with the same manifests and the same queue system.
#[test]
fn two_daemons_with_one_queue_run_each_occurrence_once() {
    let server = redis();
    let backend = redis_backend("main", server.port);
    let (one, other) = (tree(&settings("main", &backend)), tree(&settings("main", &backend)));
    let job = format!(
        "schedule: {{every: 1s}}\nrun: {{shell: 'echo $TINTAL_FIRE_TIME >> {}'}}\ntier: queue\npolicy: {{overlap: allow}}\n",
        one.path("ran").display()
    );
    one.write("jobs.d/job.yaml", &job);
    other.write("jobs.d/job.yaml", &job);
    let (first, second) = (one.serve(&[]), other.serve(&[]));
    let worker = worker(&one, "w", &[]);
    wait_for("some ran", || (counted(&one, "ran").len() >= 6).then_some(()));
    assert_eq!(first.stop(), Some(0));
    assert_eq!(second.stop(), Some(0));
    assert_eq!(worker.stop(), Some(0));
    let ran = counted(&one, "ran");
    assert!(ran.values().all(|count| *count == 1), "{ran:?}");
    let rows = |tree: &super::common::Tree| tree.json(&["runs", "-n", "100", "--json"])["runs"].clone();
    let elsewhere = |rows: &serde_json::Value| {
        rows.as_array().unwrap().iter().filter(|row| row["reason"] == "elsewhere").count()
    };
    assert!(elsewhere(&rows(&one)) + elsewhere(&rows(&other)) >= 5);
}
