//! G10: the next fire time, in a zone with clock changes, walked from fire to fire.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use jiff::{Timestamp, tz::TimeZone};
use tintal::{
    manifest::{name::JobName, shared::Shared, spec::TriggerSpec},
    schedule::Schedule,
};

use crate::{line::Lines, peer, spawn};

/// The patterns: from every minute to once in four years.
pub const PATTERNS: [&str; 8] = [
    "* * * * *",
    "*/5 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "0 9 * * 1-5",
    "0 0 1 * *",
    "0 0 29 2 *",
    "15 10 * * 0",
];

/// How long each pattern is walked.
const WALK: Duration = Duration::from_millis(600);

/// Where a walk begins, and begins again when it comes to the end of the walk's years.
const FROM: &str = "2026-01-01T00:00:00Z";

pub fn run(lines: &Lines, rounds: usize) {
    for round in 1..=rounds {
        lines.round(round);
        for pattern in PATTERNS {
            lines.figure("G10", pattern, "ours", ours(pattern), "1/s");
            lines.figure("G10", pattern, "croner", croner(pattern), "1/s");
        }
        match peer::python("apscheduler_next.py", &PATTERNS) {
            None => lines.skipped("G10", "all", "APScheduler 3", "not installed"),
            Some(mut command) => {
                let answer = peer::json(&mut command);
                for pattern in PATTERNS {
                    lines.figure("G10", pattern, "APScheduler 3", answer[pattern].as_f64().unwrap(), "1/s");
                }
            }
        }
        let begun = Instant::now();
        let never = spawn_spec("0 0 30 2 *");
        lines.figure("G10", "a pattern that never fires", "ours", begun.elapsed().as_secs_f64() * 1e3, "ms");
        assert!(never.is_err(), "30 February");
    }
}

/// Whether a cron expression compiles.
fn spawn_spec(pattern: &str) -> Result<Schedule, usize> {
    let spec = spawn::spec("name: a\nschedule: {cron: '0 0 * * *'}\nrun: {shell: a}\n");
    let mut entry = spec.schedule[0].clone();
    if let TriggerSpec::Cron(cron) = &mut entry.trigger {
        pattern.clone_into(&mut cron.expression);
        "Europe/Berlin".clone_into(&mut cron.timezone);
    }
    let name = JobName::parse("a").unwrap();
    Schedule::compile(&name, &Shared::of([entry])).map_err(|errors| errors.len())
}

fn ours(pattern: &str) -> f64 {
    let schedule = spawn_spec(pattern).unwrap();
    let from: Timestamp = FROM.parse().unwrap();
    walk(from, |at| schedule.next_after(at).map(|fire| fire.time))
}

fn croner(pattern: &str) -> f64 {
    let cron: croner::Cron = pattern.parse().unwrap();
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let from: Timestamp = FROM.parse().unwrap();
    walk(from, |at| {
        let zoned = at.to_zoned(zone.clone());
        cron.find_next_occurrence(&zoned, false).ok().map(|next| next.timestamp())
    })
}

/// Steps a second.
fn walk(from: Timestamp, next: impl Fn(Timestamp) -> Option<Timestamp>) -> f64 {
    let end: Timestamp = "2090-01-01T00:00:00Z".parse().unwrap();
    let begun = Instant::now();
    let mut at = from;
    let mut steps = 0.0;
    loop {
        for _ in 0..64 {
            at = black_box(next(at)).filter(|next| *next < end).unwrap_or(from);
            steps += 1.0;
        }
        if begun.elapsed() >= WALK {
            return steps / begun.elapsed().as_secs_f64();
        }
    }
}
