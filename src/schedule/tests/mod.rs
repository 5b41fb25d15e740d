//! Tables of what expressions mean, what is said of those that mean nothing, and when they fire.

use jiff::Timestamp;

use super::{Schedule, compile::CompileError};
use crate::manifest::{
    name::JobName,
    schedule::{DayMatch, DstOverlap, Gap},
    shared::Shared,
    spec::{CronSpec, ScheduleSpec, TriggerSpec},
};

mod frequency;
mod language;
mod mistakes;
mod nights;
mod windows;

/// The job that the tables are about.
fn job() -> JobName {
    JobName::parse("job").unwrap()
}

/// An entry written as `CRON | ZONE OPTION…`, `every DURATION | …` or `at TIME | …`. Options are
/// `skip`, `shift`, `last`, `both`, `all`, `from=TIME`, `to=TIME` and `jitter=DURATION`.
fn entry(text: &str) -> ScheduleSpec {
    let (trigger, options) = text.split_once('|').unwrap_or((text, ""));
    let mut cron = CronSpec {
        expression: trigger.trim().to_owned(),
        timezone: "UTC".to_owned(),
        gap: Gap::default(),
        overlap: DstOverlap::default(),
        day_match: DayMatch::default(),
    };
    let duration = |text: &str| crate::manifest::text::parse_duration(text.trim()).unwrap();
    let (mut jitter, mut start, mut end) = (None, None, None);
    for option in options.split_whitespace() {
        match option.split_once('=') {
            Some(("from", time)) => start = Some(time.parse().unwrap()),
            Some(("to", time)) => end = Some(time.parse().unwrap()),
            Some(("jitter", length)) => jitter = Some(duration(length)),
            _ => match option {
                "skip" => cron.gap = Gap::Skip,
                "shift" => cron.gap = Gap::Shift,
                "last" => cron.overlap = DstOverlap::Last,
                "both" => cron.overlap = DstOverlap::Both,
                "all" => cron.day_match = DayMatch::All,
                zone => zone.clone_into(&mut cron.timezone),
            },
        }
    }
    let trigger = match trigger.trim().split_once(' ') {
        Some(("every", interval)) => TriggerSpec::Every(duration(interval)),
        Some(("at", time)) => TriggerSpec::At(time.trim().parse().unwrap()),
        _ => TriggerSpec::Cron(cron),
    };
    ScheduleSpec { trigger, jitter, start, end }
}

/// The entries of a text, one to a line or separated by `;`.
fn compile(text: &str) -> Result<Schedule, Vec<CompileError>> {
    let entries: Vec<ScheduleSpec> = text.split(';').map(entry).collect();
    Schedule::compile(&job(), &Shared::of(entries))
}

#[track_caller]
fn schedule(text: &str) -> Schedule {
    compile(text).unwrap_or_else(|errors| panic!("`{text}`: {errors:?}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
