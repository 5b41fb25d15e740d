//! G4 to G6: processor and memory of a daemon while nothing is due.

use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;

use crate::{
    corpus::{self, Kind},
    cpu,
    daemon::{self, Daemon},
    fire,
    line::{Lines, quantile},
    peer,
};

/// How long a daemon is watched: no hourly job of the corpus is due within a minute.
const WATCH: Duration = Duration::from_secs(45);

/// From ready until memory is read.
const REST: Duration = Duration::from_secs(5);

pub fn run(lines: &Lines, rounds: usize) {
    for round in 1..=rounds {
        lines.round(round);
        at_rest(lines, "G5", 0, corpus::write);
        at_rest(lines, "G5", 10_000, corpus::write);
        match peer::python("apscheduler_idle.py", &["10000", &WATCH.as_secs().to_string()]) {
            None => lines.skipped("G4", "CPU, 10 000 jobs", "APScheduler 3", "not installed"),
            Some(mut command) => {
                let answer = peer::json(&mut command);
                let value = |key: &str| answer[key].as_f64().unwrap();
                lines.figure("G4", "CPU, 10 000 jobs", "APScheduler 3", value("cpu_percent"), "%");
                lines.figure("G5", "resident, 10 000 jobs", "APScheduler 3", value("resident_mb"), "MB");
            }
        }
    }
    lines.round(1);
    at_rest(lines, "G6", 100_000, corpus::write);
    at_rest(lines, "G6", 1_000_000, corpus::write_packed);
    among_many(lines);
}

/// A daemon with `count` hourly jobs.
fn at_rest(lines: &Lines, goal: &str, count: usize, write: fn(&std::path::Path, usize, Kind)) {
    let tree = TempDir::new().unwrap();
    std::fs::create_dir_all(tree.path().join("jobs.d")).unwrap();
    write(tree.path(), count, Kind::Hourly);
    let daemon = daemon::serve(tree.path(), &[]);
    let jobs = format!("{} jobs", spaced(count));
    lines.figure(goal, &format!("ready, {jobs}"), "ours", daemon.ready_after.as_secs_f64(), "s");
    thread::sleep(REST);
    let resident = cpu::usage(daemon.pid()).resident_mb;
    lines.figure(goal, &format!("resident, {jobs}"), "ours", resident, "MB");
    lines.figure(goal, &format!("peak, {jobs}"), "ours", cpu::peak_mb(daemon.pid()), "MB");
    if count >= 10_000 {
        watch(lines, if goal == "G5" { "G4" } else { goal }, &daemon, &jobs);
    }
}

/// What a daemon uses within a minute in which nothing is due.
fn watch(lines: &Lines, goal: &str, daemon: &Daemon, jobs: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let into_minute = Duration::new(now.as_secs() % 60, now.subsec_nanos());
    // The fires of this minute are over, those of the next one are not due before the end.
    let wait = if into_minute > Duration::from_secs(10) { 70 } else { 10 };
    thread::sleep(Duration::from_secs(wait).saturating_sub(into_minute));
    let before = cpu::usage(daemon.pid());
    thread::sleep(WATCH);
    let after = cpu::usage(daemon.pid());
    let per_second = |before: f64, after: f64| (after - before) / WATCH.as_secs_f64();
    let cpu = per_second(before.seconds, after.seconds) * 100.0;
    #[expect(clippy::cast_precision_loss)]
    let sleeps = per_second(0.0, after.sleeps_since(&before) as f64);
    lines.figure(goal, &format!("CPU, {jobs}"), "ours", cpu, "%");
    lines.figure(goal, &format!("wake-ups, {jobs}"), "ours", sleeps, "1/s");
}

/// A thousand jobs that are due together beside 99,000 that are not.
fn among_many(lines: &Lines) {
    let tree = TempDir::new().unwrap();
    corpus::write(tree.path(), 99_000, Kind::Hourly);
    let due: String = (0..1_000)
        .map(|index| {
            corpus::manifest(index, Kind::EveryTenSeconds).replacen("name: job-", "---\nname: due-", 1)
        })
        .collect();
    std::fs::write(tree.path().join("jobs.d/due.yaml"), due).unwrap();
    let daemon = daemon::serve(tree.path(), &[("TINTAL_LEDGER", "memory")]);
    for fire_time in fire::coming() {
        let mut late = fire::lateness(&daemon, fire_time, 10_000);
        late.sort_by(f64::total_cmp);
        if !late.is_empty() {
            lines.figure("G6", "p99, 1 000 due of 100 000", "ours", quantile(&late, 0.99), "ms");
        }
    }
}

fn spaced(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(" ")
}
