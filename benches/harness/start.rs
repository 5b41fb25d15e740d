//! G21 and G22: from the start of the process to ready; the size of the binary.

use std::{path::Path, thread, time::Duration};

use tempfile::TempDir;

use crate::{
    corpus::{self, Kind},
    cpu, daemon,
    line::Lines,
};

/// For how long a tree was not written when its daemon starts: what that daemon needs to take it for one
/// at rest, and some more.
const REST: Duration = Duration::from_millis(3_500);

pub fn run(lines: &Lines, rounds: usize) {
    lines.round(1);
    lines.figure("G22", "binary", "ours", cpu::size_mb(Path::new(daemon::TINTAL)), "MB");
    for round in 1..=rounds {
        lines.round(round);
        for (count, name) in [(0, "0 jobs"), (1_000, "1 000 jobs"), (10_000, "10 000 jobs")] {
            let tree = TempDir::new().unwrap();
            std::fs::create_dir(tree.path().join("jobs.d")).unwrap();
            corpus::write(tree.path(), count, Kind::Hourly);
            // As after a start of the machine: a tree that was just written is waited for.
            thread::sleep(REST);
            for state in ["cold", "warm"] {
                let daemon = daemon::serve(tree.path(), &[]);
                let ready = daemon.ready_after.as_secs_f64() * 1e3;
                lines.figure("G21", &format!("ready, {name}, {state}"), "ours", ready, "ms");
            }
        }
    }
}
