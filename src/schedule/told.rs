//! The zone that a fire time is told in: that of the entry that fires then.
//!
//! Pure. Who makes an attempt asks, for its templates.

use jiff::Timestamp;

use super::Schedule;
use crate::manifest::{
    name::JobName,
    shared::Shared,
    spec::{ScheduleSpec, TriggerSpec},
};

/// The zone of `every` and `at`, and of jobs without a schedule.
const NONE: &str = "UTC";

/// What a run answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// An instant: one at which a trigger fires, or at which a person asked.
    Instant,
    /// A start of the machine.
    Boot,
}

/// The zone in which the parts of a fire time are told.
///
/// It is that of the first entry that fires then; `every` and `at` have none, and are told in UTC. When
/// no entry fires then, as when a person asks, or the schedule was edited meanwhile, it is that of the
/// first `cron` entry, else UTC.
#[must_use]
pub fn zone<'s>(
    job: &JobName,
    entries: &'s Shared<[ScheduleSpec]>,
    fire_time: Timestamp,
    answers: Answers,
) -> &'s str {
    let first = entries.iter().find_map(zone_of).unwrap_or(NONE);
    if entries.iter().all(|entry| zone_of(entry).unwrap_or(NONE) == first) {
        return first;
    }
    // It was compiled before it was applied.
    let Ok(schedule) = Schedule::compile(job, entries) else { return first };
    let fires = schedule.entries.iter().position(|entry| match answers {
        Answers::Boot => entry.fires_at_boot(fire_time),
        Answers::Instant => entry.latest_at_or_before(fire_time).is_some_and(|fire| fire.time == fire_time),
    });
    fires.and_then(|index| entries.get(index)).map_or(first, |entry| zone_of(entry).unwrap_or(NONE))
}

fn zone_of(entry: &ScheduleSpec) -> Option<&str> {
    match &entry.trigger {
        TriggerSpec::Cron(cron) => Some(&cron.timezone),
        TriggerSpec::Every(_) | TriggerSpec::At(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::manifest::{
        schedule::{DayMatch, DstOverlap, Gap},
        spec::CronSpec,
    };

    /// An entry is `EXPRESSION in ZONE`, `every SECONDS` or `at TIME`.
    fn entry(text: &str) -> ScheduleSpec {
        let trigger = match text.split_once(" in ") {
            Some((expression, timezone)) => TriggerSpec::Cron(CronSpec {
                expression: expression.to_owned(),
                timezone: timezone.to_owned(),
                gap: Gap::RunAfter,
                overlap: DstOverlap::First,
                day_match: DayMatch::Any,
            }),
            None => match text.split_once(' ').unwrap() {
                ("every", seconds) => TriggerSpec::Every(Duration::from_secs(seconds.parse().unwrap())),
                (_, time) => TriggerSpec::At(time.parse().unwrap()),
            },
        };
        ScheduleSpec { trigger, jitter: None, start: None, end: None }
    }

    #[track_caller]
    fn check(entries: &[&str], fire_time: &str, answers: Answers, expected: &str) {
        let specs: Vec<ScheduleSpec> = entries.iter().map(|text| entry(text)).collect();
        let job = JobName::parse("a").unwrap();
        let entries = Shared::of(specs);
        assert_eq!(zone(&job, &entries, fire_time.parse().unwrap(), answers), expected, "{fire_time}");
    }

    #[test]
    #[rustfmt::skip]
    fn zone_table() {
        use Answers::{Boot, Instant};
        let two = ["0 3 * * * in Europe/Berlin", "0 3 * * * in America/New_York"];
        check(&two, "2026-06-01T01:00:00Z", Instant, "Europe/Berlin");
        check(&two, "2026-06-01T07:00:00Z", Instant, "America/New_York");
        // By hand, or of an older schedule.
        check(&two, "2026-06-01T12:34:56.789Z", Instant, "Europe/Berlin");
        // Both fire: the first one.
        let both = ["0 1 * * * in UTC", "0 3 * * * in Europe/Berlin"];
        check(&both, "2026-06-01T01:00:00Z", Instant, "UTC");
        check(&both, "2026-12-01T02:00:00Z", Instant, "Europe/Berlin");
        let mixed = ["every 3600", "30 3 * * * in Europe/Berlin", "at 2026-06-01T05:15:00Z"];
        check(&mixed, "2026-06-01T05:00:00Z", Instant, "UTC");
        check(&mixed, "2026-06-01T01:30:00Z", Instant, "Europe/Berlin");
        check(&mixed, "2026-06-01T05:15:00Z", Instant, "UTC");
        check(&mixed, "2026-06-01T05:16:00Z", Instant, "Europe/Berlin");
        let boot = ["0 3 * * * in Europe/Berlin", "@reboot in Asia/Tokyo"];
        check(&boot, "2026-06-01T01:00:00Z", Boot,    "Asia/Tokyo");
        check(&boot, "2026-06-01T01:00:00Z", Instant, "Europe/Berlin");
        check(&["0 3 * * * in Europe/Berlin"], "2026-06-01T05:16:00Z", Instant, "Europe/Berlin");
        check(&["every 60"], "2026-06-01T05:16:00Z", Instant, "UTC");
        check(&[], "2026-06-01T05:16:00Z", Instant, "UTC");
    }
}
