//! Decides which fires of a schedule are to start now, and which have been missed.
//!
//! Pure: the caller passes the last decided fire and `now`. A schedule that is far behind is not
//! walked fire by fire: the latest fire is found directly, and what lies before it becomes one
//! record.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Fire, Schedule, trigger::just_before};

/// Fires that may be on time at once. With more, the oldest count as missed, so that a long
/// grace and a schedule of every second cannot start a thousand runs.
pub const ON_TIME_MAX: usize = 64;

/// Missed fires of a cron expression that are counted one by one: enough for every minute of most
/// of a day, and less than a millisecond of work. Those of an interval are counted at once.
pub const COUNT_MAX: u64 = 1_000;

/// How late a fire may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfire {
    /// A fire that is less late than this is on time.
    pub grace: Duration,
    /// When nothing is on time, the latest missed fire still starts if it is at most this late.
    pub catch_up: Duration,
}

impl Default for Misfire {
    /// A second of grace, and an hour to catch up.
    fn default() -> Self {
        Self { grace: Duration::from_secs(1), catch_up: Duration::from_secs(3600) }
    }
}

/// What to do about a schedule now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The fires to start, in order.
    pub fires: Vec<Fire>,
    /// The fires that were missed and do not start; they are older than all of `fires`.
    pub dropped: Option<Dropped>,
    /// The next fire, later than `now` and than the last decided one.
    pub next: Option<Fire>,
}

/// Fires that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them; the same for one.
    pub last: Timestamp,
    /// How many there are.
    pub count: Count,
}

/// A number of fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// This many.
    Exactly(u64),
    /// This many were counted, and there are more.
    AtLeast(u64),
}

impl Count {
    /// The number that was counted.
    #[must_use]
    pub fn counted(self) -> u64 {
        match self {
            Self::Exactly(count) | Self::AtLeast(count) => count,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => write!(f, "{count}"),
            Self::AtLeast(count) => write!(f, "at least {count}"),
        }
    }
}

/// Splits the fires in `(last, now]` into those that start and those that are dropped.
///
/// `last` is the last fire that was decided, or the time at which the job was first seen: nothing
/// before that is made up for. When the clock has gone back behind `last`, nothing is due until
/// it has passed it again.
#[must_use]
pub fn due(schedule: &Schedule, last: Timestamp, now: Timestamp, misfire: Misfire) -> Due {
    let next = schedule.next_after(last.max(now));
    let mut fires = on_time(schedule, last, now, misfire.grace);
    let missed_until = fires.first().map_or(now, |oldest| just_before(oldest.time));
    let mut missed = schedule.latest_at_or_before(missed_until).filter(|fire| last < fire.time);
    if fires.is_empty()
        && let Some(latest) = missed.filter(|fire| lateness(*fire, now) <= misfire.catch_up)
    {
        fires.push(latest);
        missed = schedule.latest_at_or_before(just_before(latest.time)).filter(|fire| last < fire.time);
    }
    let dropped = missed.and_then(|latest| dropped(schedule, last, latest.time));
    Due { fires, dropped, next }
}

/// The fires that are late by less than the grace, oldest first; at most [`ON_TIME_MAX`].
fn on_time(schedule: &Schedule, last: Timestamp, now: Timestamp, grace: Duration) -> Vec<Fire> {
    let latest = schedule.latest_at_or_before(now);
    let mut fires: Vec<Fire> =
        std::iter::successors(latest, |fire| schedule.latest_at_or_before(just_before(fire.time)))
            .take_while(|fire| last < fire.time && lateness(*fire, now) < grace)
            .take(ON_TIME_MAX)
            .collect();
    fires.reverse();
    fires
}

/// The record of the fires in `(after, latest]`, the last of which is known.
fn dropped(schedule: &Schedule, after: Timestamp, latest: Timestamp) -> Option<Dropped> {
    let first = schedule.next_after(after)?.time;
    Some(Dropped { first, last: latest, count: count_between(schedule, after, latest) })
}

/// Counts the fires in `(after, until]`.
#[must_use]
pub fn count_between(schedule: &Schedule, after: Timestamp, until: Timestamp) -> Count {
    if let Some(count) = schedule.interval_fires(after, until) {
        return Count::Exactly(count);
    }
    let mut counted = 0;
    for _ in schedule.fires_after(after).take_while(|fire| fire.time <= until) {
        if counted == COUNT_MAX {
            return Count::AtLeast(counted);
        }
        counted += 1;
    }
    Count::Exactly(counted)
}

/// How long ago it was; zero in the future.
fn lateness(fire: Fire, now: Timestamp) -> Duration {
    now.duration_since(fire.time).max(SignedDuration::ZERO).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::{
            name::JobName,
            schedule::{DayMatch, DstOverlap, Gap},
            shared::Shared,
            spec::{CronSpec, ScheduleSpec, TriggerSpec},
        },
        schedule::Schedule,
    };

    fn schedule(cron: &str) -> Schedule {
        let spec = CronSpec {
            expression: cron.to_owned(),
            timezone: "UTC".to_owned(),
            gap: Gap::default(),
            overlap: DstOverlap::default(),
            day_match: DayMatch::default(),
        };
        let entry = ScheduleSpec { trigger: TriggerSpec::Cron(spec), jitter: None, start: None, end: None };
        Schedule::compile(&JobName::parse("job").unwrap(), &Shared::of([entry])).unwrap()
    }

    /// `06:00` and `06:00:30` are times of 2026-11-23.
    fn at(text: &str) -> Timestamp {
        let seconds = if text.len() == 5 { ":00Z" } else { "Z" };
        format!("2026-11-23T{text}{seconds}").parse().unwrap()
    }

    fn show(time: Timestamp) -> String {
        let text = time.to_string();
        let text = text["2026-11-23T".len()..].trim_end_matches('Z');
        if text.len() > 5 { text.strip_suffix(":00").unwrap_or(text).to_owned() } else { text.to_owned() }
    }

    /// Expected is `fires | dropped | next`.
    #[track_caller]
    fn check(cron: &str, last: &str, now: &str, misfire: Misfire, expected: &str) {
        let due = due(&schedule(cron), at(last), at(now), misfire);
        let fires: Vec<String> = due.fires.iter().map(|fire| show(fire.time)).collect();
        let dropped = due.dropped.map(|dropped| match dropped.count {
            Count::Exactly(1) => show(dropped.first),
            count => format!("{count} from {} to {}", show(dropped.first), show(dropped.last)),
        });
        let next = due.next.map_or("never".to_owned(), |fire| show(fire.time));
        let shown = format!("{} | {} | {next}", fires.join(" "), dropped.unwrap_or_default());
        assert_eq!(shown, expected, "`{cron}` from {last} at {now}");
    }

    #[test]
    #[rustfmt::skip]
    fn due_table() {
        let hour = Misfire::default();
        let ten = Misfire { grace: Duration::from_secs(10), ..hour };
        let never = Misfire { grace: Duration::from_secs(1), catch_up: Duration::ZERO };
        //    cron           last     now         misfire  fires      dropped                  next
        check("0 * * * *",   "06:00", "06:59",    hour,    " |  | 07:00");
        check("0 * * * *",   "06:00", "07:00",    hour,    "07:00 |  | 08:00");
        check("0 * * * *",   "06:00", "07:10",    hour,    "07:00 |  | 08:00");
        check("0 * * * *",   "06:00", "07:10",    never,   " | 07:00 | 08:00");
        check("0 * * * *",   "06:00", "09:30",    hour,    "09:00 | 2 from 07:00 to 08:00 | 10:00");
        check("0 * * * *",   "06:00", "09:30",    never,   " | 3 from 07:00 to 09:00 | 10:00");
        check("0 */6 * * *", "00:00", "13:00",    hour,    "12:00 | 06:00 | 18:00");
        check("0 */6 * * *", "00:00", "13:01",    hour,    " | 2 from 06:00 to 12:00 | 18:00");
        check("0 * * * *",   "07:00", "06:30",    hour,    " |  | 08:00");
        check("* * * * * *", "06:00", "06:00:05", ten,
              "06:00:01 06:00:02 06:00:03 06:00:04 06:00:05 |  | 06:00:06");
        check("* * * * * *", "06:00", "06:00:05", hour,    "06:00:05 | 4 from 06:00:01 to 06:00:04 | 06:00:06");
        check("* * * * *",   "06:00", "22:40",    hour,    "22:40 | 999 from 06:01 to 22:39 | 22:41");
        check("* * * * *",   "06:00", "22:41",    hour,    "22:41 | 1000 from 06:01 to 22:40 | 22:42");
        check("* * * * *",   "06:00", "22:42",    hour,    "22:42 | at least 1000 from 06:01 to 22:41 | 22:43");
    }

    /// F3.
    #[test]
    fn the_missed_fires_of_an_interval_are_counted_however_many() {
        let every = |interval, window: (Option<&str>, Option<&str>)| {
            let (start, end) = (window.0.map(at), window.1.map(at));
            let trigger = TriggerSpec::Every(Duration::from_secs(interval));
            let entry = ScheduleSpec { trigger, jitter: None, start, end };
            Schedule::compile(&JobName::parse("job").unwrap(), &Shared::of([entry])).unwrap()
        };
        for schedule in [
            every(1, (None, None)),
            every(7, (None, None)),
            every(1, (Some("06:10"), None)),
            every(1, (Some("06:10"), Some("07:10"))),
            every(1, (Some("13:00"), None)),
            every(1, (None, Some("05:00"))),
        ] {
            let (after, until) = (at("06:00"), at("12:00"));
            let walked = schedule.fires_after(after).take_while(|fire| fire.time <= until).count();
            let expected = Count::Exactly(walked.try_into().unwrap());
            assert_eq!(count_between(&schedule, after, until), expected, "{schedule:?}");
        }
    }

    #[test]
    fn a_schedule_of_every_second_that_is_a_month_behind_is_one_record_at_once() {
        // F3.
        let schedule = schedule("* * * * * *");
        let now = at("12:00:00");
        let last = now - SignedDuration::from_hours(30 * 24);
        let due = due(&schedule, last, now, Misfire::default());
        assert_eq!(due.fires.iter().map(|fire| fire.time).collect::<Vec<_>>(), [now]);
        let dropped = due.dropped.unwrap();
        assert_eq!(dropped.count, Count::AtLeast(COUNT_MAX));
        assert_eq!(dropped.first, last + SignedDuration::from_secs(1));
        assert_eq!(dropped.last, now - SignedDuration::from_secs(1));
    }

    #[test]
    fn more_than_the_most_that_may_be_on_time_is_dropped_from_the_oldest_on() {
        let misfire = Misfire { grace: Duration::from_secs(600), catch_up: Duration::from_secs(3600) };
        let due = due(&schedule("* * * * * *"), at("06:00"), at("06:05"), misfire);
        assert_eq!(due.fires.len(), ON_TIME_MAX);
        assert_eq!(due.fires.last().unwrap().time, at("06:05"));
        assert_eq!(due.dropped.unwrap().count, Count::Exactly(300 - 64));
    }

    #[test]
    fn every_fire_is_decided_exactly_once_however_the_ticks_fall() {
        let schedule = schedule("*/7 * * * * *");
        let mut last = at("06:00");
        let mut now = last;
        let mut decided = 0;
        for step in (1..40).cycle().take(500) {
            now += SignedDuration::from_secs(step);
            let due = due(&schedule, last, now, Misfire::default());
            let dropped = due.dropped.map_or(0, |dropped| dropped.count.counted());
            decided += usize::try_from(dropped).unwrap() + due.fires.len();
            if let Some(fire) = due.fires.last() {
                last = fire.time;
            }
        }
        let all = schedule.fires_after(at("06:00")).take_while(|fire| fire.time <= now).count();
        assert_eq!(decided, all);
    }
}
