//! G14 and G15: one file of 10,000 changes; a rescan that finds nothing.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    corpus::{self, Kind},
    cpu,
    daemon::{self, Daemon},
    line::{Lines, quantile},
};

/// Files of the tree.
const FILES: usize = 10_000;

/// Edits of one round.
const EDITS: usize = 40;

/// Rescans of one round.
const RESCANS: u32 = 20;

/// Between two rescans: each is over by then.
const APART: Duration = Duration::from_millis(300);

pub fn run(lines: &Lines, rounds: usize) {
    let tree = TempDir::new().unwrap();
    corpus::write(tree.path(), FILES, Kind::Hourly);
    let daemon = daemon::serve(tree.path(), &[]);
    for round in 1..=rounds {
        lines.round(round);
        // Files that have just been written are read again until their stamps can be trusted.
        thread::sleep(Duration::from_secs(5));
        let parsed = parsed(&daemon);
        let mut took: Vec<f64> =
            (0..EDITS).map(|edit| edit_one(&daemon, tree.path(), round * EDITS + edit)).collect();
        took.sort_by(f64::total_cmp);
        lines.figure("G14", "edit to live, p50", "ours", quantile(&took, 0.5), "ms");
        lines.figure("G14", "edit to live, p99", "ours", quantile(&took, 0.99), "ms");
        #[expect(clippy::cast_precision_loss)]
        let files_parsed = (self::parsed(&daemon) - parsed) as f64 / EDITS as f64;
        lines.figure("G14", "files parsed for each edit", "ours", files_parsed, "files");
        rescans(lines, &daemon);
    }
}

/// From the rename of one file until the new version is live, in milliseconds.
fn edit_one(daemon: &Daemon, root: &std::path::Path, edit: usize) -> f64 {
    let generation = |daemon: &Daemon| daemon.json("/v1/source")["generation"].as_u64().unwrap();
    let before = generation(daemon);
    let text = corpus::manifest(0, Kind::Hourly).replace("\"0 ", &format!("\"{} ", 1 + edit % 58));
    let aside = root.join("aside");
    fs::write(&aside, text).unwrap();
    let begun = Instant::now();
    fs::rename(aside, root.join("jobs.d/0000/job-0000000.yaml")).unwrap();
    while generation(daemon) == before {
        assert!(begun.elapsed() < Duration::from_secs(10), "the edit does not become live");
        thread::sleep(Duration::from_micros(500));
    }
    begun.elapsed().as_secs_f64() * 1e3
}

fn parsed(daemon: &Daemon) -> u64 {
    daemon.json("/v1/source")["files_parsed"].as_u64().unwrap()
}

fn rescans(lines: &Lines, daemon: &Daemon) {
    thread::sleep(Duration::from_secs(3));
    let (parsed_before, before) = (parsed(daemon), cpu::usage(daemon.pid()));
    for _ in 0..RESCANS {
        daemon.signal(Signal::HUP);
        thread::sleep(APART);
    }
    let after = cpu::usage(daemon.pid());
    let each = (after.own_seconds - before.own_seconds) / f64::from(RESCANS) * 1e3;
    lines.figure("G15", "CPU of a rescan without a change", "ours", each, "ms");
    #[expect(clippy::cast_precision_loss)]
    lines.figure("G15", "files parsed by rescans", "ours", (parsed(daemon) - parsed_before) as f64, "files");
}
