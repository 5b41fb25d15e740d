//! Trees of manifests: the same for the same arguments.

use std::{fmt::Write as _, fs, path::Path};

/// Files in one directory.
const FILES_PER_DIRECTORY: usize = 100;

/// What the manifests of a tree are.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// About 530 bytes, all well.
    Report,
    /// The same with one mistake each.
    Mistaken,
    /// A no-op that is due every ten seconds.
    EveryTenSeconds,
    /// A no-op that is due once an hour.
    Hourly,
    /// A program that writes the time it was started at, due every ten seconds.
    Stamp,
}

/// Writes a tree of `count` files under `root/jobs.d`, one job each.
pub fn write(root: &Path, count: usize, kind: Kind) {
    for index in 0..count {
        let directory = root.join("jobs.d").join(format!("{:04}", index / FILES_PER_DIRECTORY));
        if index % FILES_PER_DIRECTORY == 0 {
            fs::create_dir_all(&directory).unwrap();
        }
        fs::write(directory.join(format!("job-{index:07}.yaml")), manifest(index, kind)).unwrap();
    }
}

/// Writes `count` jobs in files of a thousand documents each.
pub fn write_packed(root: &Path, count: usize, kind: Kind) {
    fs::create_dir_all(root.join("jobs.d")).unwrap();
    for first in (0..count).step_by(1000) {
        let mut text = String::new();
        for index in first..(first + 1000).min(count) {
            write!(text, "---\n{}", manifest(index, kind)).unwrap();
        }
        fs::write(root.join(format!("jobs.d/pack-{first:07}.yaml")), text).unwrap();
    }
}

/// One manifest.
pub fn manifest(index: usize, kind: Kind) -> String {
    match kind {
        Kind::Report | Kind::Mistaken => report(index, matches!(kind, Kind::Mistaken)),
        Kind::EveryTenSeconds => no_op(index, "*/10 * * * * *"),
        Kind::Hourly => no_op(index, &format!("{} * * * *", index % 60)),
        Kind::Stamp => format!(
            "name: job-{index:07}\nschedule: {{cron: \"*/10 * * * * *\", timezone: Europe/Berlin}}\nrun: {{command: [./stamp, stamps]}}\n"
        ),
    }
}

fn no_op(index: usize, cron: &str) -> String {
    format!(
        "name: job-{index:07}\nschedule: {{cron: \"{cron}\", timezone: Europe/Berlin}}\nrun: {{builtin: {{noop: {{}}}}}}\n"
    )
}

fn report(index: usize, mistaken: bool) -> String {
    let zone = ["Europe/Berlin", "America/New_York", "UTC", "Asia/Tokyo"][index % 4];
    let policy = if mistaken { "polcy" } else { "policy" };
    format!(
        "\
name: job-{index:07}
description: Build and mail report number {index} to the team that asked for it
labels: {{team: team-{team}, stage: production}}
schedule:
  cron: \"{minute} {hour} * * *\"
  timezone: {zone}
  jitter: 30s
run:
  command: [python3, report.py, --day, \"{{{{ fire_time.date }}}}\", --number, \"{index}\"]
  cwd: /srv/report
  env:
    LANG: C.UTF-8
    REPORT_KIND: kind-{kind}
    REPORT_TARGET: \"https://reports.example.com/{index}\"
characteristics: {{visibility: internal, durability: ephemeral}}
{policy}:
  timeout: {timeout}m
  retry: {{max_attempts: 3, initial: 10s}}
",
        team = index % 17,
        minute = index % 60,
        hour = index % 24,
        kind = index * 7919 % 1000,
        timeout = 5 + index % 50,
    )
}
