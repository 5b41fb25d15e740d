//! A job that moves from tier to tier, and from one queue system to another.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{
    common::pause,
    site::{counted, many, nats, nats_backend, redis, redis_backend, settings, settled, tree, worker},
};

const PLACES: [&str; 4] = [
    "tier: in-process",
    "tier: queue\nqueue: {backend: embedded}",
    "tier: queue\nqueue: {backend: red}",
    "tier: queue\nqueue: {backend: nat}",
];

fn manifest(place: usize) -> String {
    format!(
        "name: job\nschedule: {{every: 1s}}\nrun: {{shell: 'echo $TINTAL_FIRE_TIME >> \"$RAN\"', env: {{RAN: \"../ran\"}}, cwd: jobs.d}}\npolicy: {{overlap: allow, max_running: 64}}\n{}\n",
        PLACES[place]
    )
}

/// Issue 3, item 7.
#[test]
fn a_job_that_moves_under_a_one_second_schedule_loses_no_occurrence_and_doubles_none() {
    let (red, nat) = (redis(), nats());
    let backends = redis_backend("red", red.port) + &nats_backend("nat", nat.port);
    let tree = tree(&settings("embedded", &backends));
    tree.write("jobs.d/job.yaml", &manifest(0));
    let daemon = tree.serve(&[]);
    let worker = worker(&tree, "w", &[]);
    for turn in 1..=many(24, 200) {
        // Not always the next one, and not always after the same time.
        let place = (turn * 7 + turn / 4) % PLACES.len();
        tree.write("jobs.d/job.yaml", &manifest(place));
        let until = std::time::Instant::now() + Duration::from_millis(350 + (turn as u64 * 137) % 700);
        while std::time::Instant::now() < until {
            pause();
        }
    }
    tree.write("jobs.d/job.yaml", &manifest(0).replace("every: 1s", "at: 2030-01-01T00:00:00Z"));
    let rows = settled(&tree, "job");
    assert_eq!(worker.stop(), Some(0));
    assert_eq!(daemon.stop(), Some(0));

    let decided: BTreeSet<i64> = rows
        .iter()
        .filter(|row| row["decision"] == "run")
        .map(|row| row["fire_time"].as_str().unwrap().parse::<Timestamp>().unwrap().as_second())
        .collect();
    let skipped: Vec<_> = rows.iter().filter(|row| row["decision"] != "run").collect();
    assert!(skipped.is_empty(), "{skipped:#?}");
    let (first, last) = (*decided.first().unwrap(), *decided.last().unwrap());
    let lost: Vec<i64> = (first..=last).filter(|second| !decided.contains(second)).collect();
    assert_eq!(lost, Vec::<i64>::new(), "not decided");
    let failed: Vec<_> = rows.iter().filter(|row| row["outcome"] != "success").collect();
    assert!(failed.is_empty(), "{failed:#?}");

    let ran = counted(&tree, "ran");
    let doubled: Vec<_> = ran.iter().filter(|(_, count)| **count != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert_eq!(ran.len(), decided.len());
    let places: BTreeSet<&str> = rows.iter().filter_map(|row| row["backend"].as_str()).collect();
    assert_eq!(places, BTreeSet::from(["embedded", "in-process", "nat", "red"]));
}
