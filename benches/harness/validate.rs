//! G11 to G13: whole processes that validate. The page cache is warm: one pass is thrown away.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use tempfile::TempDir;

use crate::{
    corpus::{self, Kind},
    daemon::TINTAL,
    line::Lines,
    peer,
};

/// Files of the corpus.
const FILES: usize = 10_000;

/// Starts of one file that a figure is the median of.
const COLD: usize = 8;

pub fn run(lines: &Lines, rounds: usize) {
    let good = TempDir::new().unwrap();
    corpus::write(good.path(), FILES, Kind::Report);
    let bad = TempDir::new().unwrap();
    corpus::write(bad.path(), FILES, Kind::Mistaken);
    let schema = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas/job.schema.json");
    time(&mut ours(good.path()));
    for round in 1..=rounds {
        lines.round(round);
        rate(lines, "G11", "10 000 files", "ours", &mut ours(good.path()));
        rate(lines, "G13", "10 000 files with a mistake each", "ours", &mut ours(bad.path()));
        lines.figure("G11", "peak, 10 000 files", "ours", peak(good.path()), "MB");
        let all = || files(good.path());
        match peer::program("BENCH_AJV") {
            None => lines.skipped("G11", "10 000 files", "ajv-cli 5", "not installed"),
            Some(ajv) => {
                let mut command = Command::new(&ajv);
                command.args(["validate", "--spec=draft2020", "--strict=false", "-s"]).arg(&schema);
                command.arg("-d").arg(good.path().join("jobs.d/*/*.yaml"));
                rate(lines, "G11", "10 000 files", "ajv-cli 5", &mut command);
                cold(lines, "ajv-cli 5", |one| {
                    let mut command = Command::new(&ajv);
                    command.args(["validate", "--spec=draft2020", "--strict=false", "-s"]).arg(&schema);
                    command.arg("-d").arg(one);
                    command
                });
            }
        }
        match peer::program("BENCH_CHECK_JSONSCHEMA") {
            None => lines.skipped("G11", "10 000 files", "check-jsonschema", "not installed"),
            Some(check) => {
                let mut command = Command::new(&check);
                command.arg("--schemafile").arg(&schema).args(all());
                rate(lines, "G11", "10 000 files", "check-jsonschema", &mut command);
                cold(lines, "check-jsonschema", |one| {
                    let mut command = Command::new(&check);
                    command.arg("--schemafile").arg(&schema).arg(one);
                    command
                });
            }
        }
        cold(lines, "ours", |one| {
            let mut command = Command::new(TINTAL);
            command.arg("validate").arg(one);
            command
        });
    }
}

fn ours(root: &Path) -> Command {
    let mut command = Command::new(TINTAL);
    command.arg("validate").current_dir(root);
    command
}

/// Seconds of one process.
fn time(command: &mut Command) -> f64 {
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.code().is_some_and(|code| code < 2), "{command:?}: {status}");
    begun.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss)]
fn rate(lines: &Lines, goal: &str, what: &str, who: &str, command: &mut Command) {
    lines.figure(goal, what, who, FILES as f64 / time(command), "files/s");
}

/// Highest resident memory of a validation, in MB, as the kernel accounts it.
fn peak(root: &Path) -> f64 {
    let mut child =
        ours(root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut highest = 0.0_f64;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
        let kilobytes: f64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0.0);
        highest = highest.max(kilobytes * 1.024 / 1000.0);
    }
    highest
}

/// One file, from the start of the process to its end.
fn cold(lines: &Lines, who: &str, command: impl Fn(&Path) -> Command) {
    let directory = TempDir::new().unwrap();
    let one = directory.path().join("one.yaml");
    std::fs::write(&one, corpus::manifest(1, Kind::Report)).unwrap();
    let mut times: Vec<f64> = (0..COLD).map(|_| time(&mut command(&one)) * 1e3).collect();
    times.sort_by(f64::total_cmp);
    lines.figure("G12", "one file, cold", who, times[COLD / 2], "ms");
}

fn files(root: &Path) -> Vec<PathBuf> {
    let directories = std::fs::read_dir(root.join("jobs.d")).unwrap();
    directories
        .flat_map(|directory| std::fs::read_dir(directory.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}
