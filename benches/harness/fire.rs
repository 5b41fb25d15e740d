//! G1 to G3: how late no-op jobs start that are due in the same second, and whether each does.
//!
//! Ours through manifests and the control socket; the probe is a heap, one sleep and one task a job.

use std::{
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    corpus::{self, Kind},
    daemon::{self, Daemon},
    line::{Lines, quantile},
    peer,
};

/// Seconds between two fires.
pub const EVERY: u64 = 10;

/// Fires that one round looks at.
pub const FIRES: u64 = 3;

pub fn run(lines: &Lines, rounds: usize) {
    for (goal, count) in [("G1", 1_000), ("G2", 10_000)] {
        for round in 1..=rounds {
            lines.round(round);
            ours(lines, goal, "ours", count, "memory");
            if goal == "G2" {
                ours(lines, "G3", "ours", count, "file");
            }
            others(lines, goal, count);
        }
    }
}

fn others(lines: &Lines, goal: &str, count: usize) {
    let jobs = count.to_string();
    let fires = FIRES.to_string();
    let mut peers: Vec<(&str, Option<Command>)> = vec![
        ("probe", Some(peer::probe(&["fire", &jobs, &fires]))),
        ("APScheduler 3", peer::python("apscheduler_fire.py", &[&jobs, &fires])),
        ("robfig/cron 3", peer::program("BENCH_ROBFIG").map(Command::new)),
    ];
    if let (_, Some(robfig)) = &mut peers[2] {
        robfig.args([&jobs, &fires]);
    }
    for (who, command) in peers {
        let Some(mut command) = command else {
            lines.skipped(goal, "p99", who, "not installed");
            continue;
        };
        let answer = peer::json(&mut command);
        for fire in answer["fires"].as_array().unwrap() {
            let late: Vec<f64> = fire.as_array().unwrap().iter().map(|ms| ms.as_f64().unwrap()).collect();
            figures(lines, goal, who, count, late);
        }
    }
}

fn ours(lines: &Lines, goal: &str, who: &str, count: usize, ledger: &str) {
    let tree = TempDir::new().unwrap();
    corpus::write(tree.path(), count, Kind::EveryTenSeconds);
    let daemon = daemon::serve(tree.path(), &[("TINTAL_LEDGER", ledger)]);
    for fire_time in coming() {
        let late = lateness(&daemon, fire_time, count);
        figures(lines, goal, who, count, late);
    }
}

/// The next fires, in seconds since 1970.
pub fn coming() -> impl Iterator<Item = u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    (1..=FIRES).map(move |fire| (now / EVERY + fire) * EVERY)
}

/// How late each job of one fire started, in milliseconds. Whether one started twice cannot be told
/// from the records: they hold one run of each occurrence.
pub fn lateness(daemon: &Daemon, fire_time: u64, count: usize) -> Vec<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // The runs are over when they are read; reading does not disturb the next ones.
    thread::sleep((Duration::from_secs(fire_time) + Duration::from_secs(4)).saturating_sub(now));
    let before = jiff::Timestamp::from_second(i64::try_from(fire_time + 1).unwrap()).unwrap();
    let view = daemon.json(&format!("/v1/runs?limit={count}&before={before}"));
    let due = jiff::Timestamp::from_second(i64::try_from(fire_time).unwrap()).unwrap();
    let started = |run: &Value| -> Option<jiff::Timestamp> {
        let fire: jiff::Timestamp = run["fire_time"].as_str()?.parse().ok()?;
        (fire == due).then(|| run["attempts"][0]["started_at"].as_str()?.parse().ok())?
    };
    let starts = view["runs"].as_array().unwrap().iter().filter_map(started);
    starts.map(|started| started.duration_since(due).as_millis_f64()).collect()
}

/// The figures of one fire.
#[expect(clippy::cast_precision_loss)]
fn figures(lines: &Lines, goal: &str, who: &str, count: usize, mut late: Vec<f64>) {
    lines.figure(goal, "lost", who, count as f64 - late.len() as f64, "runs");
    if late.is_empty() {
        return;
    }
    late.sort_by(f64::total_cmp);
    for (what, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        lines.figure(goal, what, who, quantile(&late, share), "ms");
    }
}
