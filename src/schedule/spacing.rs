//! The smallest distance between two fires of a schedule, and the frequency class it means.
//!
//! Pure, and the same at any time: nothing here depends on now. Clock changes are left out, as
//! they happen on two nights a year and would make a daily job one of every 23 hours.

use std::time::Duration;

use jiff::{Timestamp, civil};

use super::{
    Schedule,
    pattern::Pattern,
    trigger::{Entry, Trigger, just_before},
    zone::{SECOND_MIN, Wall},
};
use crate::manifest::characteristics::Frequency;

/// Where samples begin, unless the schedule itself begins later.
const SAMPLE_FROM: civil::DateTime = civil::datetime(2026, 1, 1, 0, 0, 0, 0);
/// Days of an expression that are looked at for a short night between two of them, and fires of
/// an entry that are looked at for a short way to another entry: a year of weekly fires.
const SAMPLES: usize = 53;

/// Seconds of a minute.
const MINUTE: u64 = 60;
/// Seconds of a day.
const DAY: i64 = 86_400;

impl Schedule {
    /// The smallest distance between two fires, clock changes left out; none when there are not
    /// two: by hand, once, or at the start of the machine. Entries that fire once do not count.
    ///
    /// Exact for one entry, save where days are so far apart that only a sample of them can be
    /// looked at; for several, the distance between them is that of a sample.
    #[must_use]
    pub fn min_interval(&self) -> Option<Duration> {
        let own = self.entries.iter().filter_map(Entry::spacing).min();
        let recurring: Vec<&Entry> = self.entries.iter().filter(|entry| entry.recurs()).collect();
        if recurring.len() < 2 {
            return own;
        }
        let between = recurring.iter().filter_map(|entry| nearest_other(entry, &recurring)).min();
        own.into_iter().chain(between).min()
    }

    /// How often the job fires, from [`Self::min_interval`]: less than a minute apart is high, up
    /// to an hour is medium, and more, once or by hand is low.
    #[must_use]
    pub fn frequency(&self) -> Frequency {
        match self.min_interval() {
            Some(interval) if interval < Duration::from_secs(60) => Frequency::High,
            Some(interval) if interval <= Duration::from_secs(3600) => Frequency::Medium,
            _ => Frequency::Low,
        }
    }
}

impl Entry {
    /// Whether it can fire more than once by the clock.
    fn recurs(&self) -> bool {
        self.spacing().is_some()
    }

    /// The smallest distance between two fires of this entry alone.
    fn spacing(&self) -> Option<Duration> {
        match self.spacing_in_window() {
            Some(spacing) => spacing,
            None => self.spacing_without_window(),
        }
    }

    /// The smallest distance between two fires, where a window leaves so few that all can be
    /// looked at; none where it does not.
    #[expect(clippy::option_option, reason = "few fires, and no two of them, is an answer too")]
    fn spacing_in_window(&self) -> Option<Option<Duration>> {
        self.window.as_deref().and_then(|window| window.end)?;
        let first = self.next_on_even_clock(Timestamp::MIN);
        let fires: Vec<Timestamp> =
            std::iter::successors(first, |&fire| self.next_on_even_clock(fire)).take(SAMPLES + 1).collect();
        let is_all = fires.len() <= SAMPLES;
        is_all.then(|| fires.windows(2).map(|pair| pair[1].duration_since(pair[0]).unsigned_abs()).min())
    }

    /// The smallest distance between two fires, were there no window.
    fn spacing_without_window(&self) -> Option<Duration> {
        match &self.trigger {
            Trigger::Cron(cron) => *cron.spacing.get_or_init(|| of_pattern(cron.pattern())),
            Trigger::Every(interval) => Some(*interval),
            Trigger::At(_) | Trigger::Reboot => None,
        }
    }

    /// The first fire strictly after a time, were the zone's clock to stay as it is when samples
    /// begin.
    fn next_on_even_clock(&self, after: Timestamp) -> Option<Timestamp> {
        let start = self.window.as_deref().and_then(|window| window.start);
        let after = start.map_or(after, |start| after.max(just_before(start)));
        let next = match &self.trigger {
            Trigger::Cron(cron) => {
                let offset = cron.zone().offset_at(sample_from().as_second());
                let from = Wall::at(after.as_second().max(SECOND_MIN - 1) + 1, offset);
                let second = cron.pattern().at_or_after(from)?.second(offset);
                Timestamp::from_second(second).ok()?
            }
            _ => self.next_after(after)?.time,
        };
        self.window.as_deref().is_none_or(|window| window.holds(next)).then_some(next)
    }

    /// The last fire at or before a time, on the same clock.
    fn latest_on_even_clock(&self, at: Timestamp) -> Option<Timestamp> {
        let end = self.window.as_deref().and_then(|window| window.end);
        let at = end.map_or(at, |end| at.min(just_before(end)));
        let latest = match &self.trigger {
            Trigger::Cron(cron) => {
                let offset = cron.zone().offset_at(sample_from().as_second());
                let until = Wall::at(at.as_second(), offset);
                let second = cron.pattern().at_or_before(until)?.second(offset);
                Timestamp::from_second(second).ok()?
            }
            _ => self.latest_at_or_before(at)?.time,
        };
        self.window.as_deref().is_none_or(|window| window.holds(latest)).then_some(latest)
    }
}

/// The smallest distance from a sample of an entry's fires to the fires of any entry before and after
/// them. Both ways are looked at: a rare entry may fire soon after a frequent one, of which the
/// sample ends long before.
fn nearest_other(entry: &Entry, all: &[&Entry]) -> Option<Duration> {
    let first = entry.next_on_even_clock(sample_from());
    std::iter::successors(first, |&fire| entry.next_on_even_clock(fire))
        .take(SAMPLES)
        .filter_map(|fire| {
            let next = all.iter().filter_map(|other| other.next_on_even_clock(fire)).min();
            let before = just_before(fire);
            let last = all.iter().filter_map(|other| other.latest_on_even_clock(before)).max();
            let distance = |other: Timestamp| other.duration_since(fire).unsigned_abs();
            next.into_iter().chain(last).map(distance).min()
        })
        .min()
}

/// The smallest distance between two matches of an expression on an even clock.
fn of_pattern(pattern: &Pattern) -> Option<Duration> {
    let within = within_a_day(pattern).map(Duration::from_secs);
    let across = across_days(pattern).map(Duration::from_secs);
    within.into_iter().chain(across).min()
}

/// The smallest distance in seconds between two times of one day; exact, as a day's times are all
/// combinations of its hours, minutes and seconds.
fn within_a_day(pattern: &Pattern) -> Option<u64> {
    let [seconds, minutes, hours] = pattern.times_of_day();
    let minutes_of_day: Vec<u64> = hours
        .iter()
        .flat_map(|&hour| minutes.iter().map(move |&minute| u64::from(hour) * MINUTE + u64::from(minute)))
        .collect();
    let width = u64::from(seconds.last()? - seconds.first()?);
    let in_minute = seconds.windows(2).map(|pair| u64::from(pair[1] - pair[0])).min();
    let over_minutes = minutes_of_day.windows(2).map(|pair| (pair[1] - pair[0]) * MINUTE - width).min();
    in_minute.into_iter().chain(over_minutes).min()
}

/// The smallest distance in seconds from the last time of a day to the first of the next day that
/// matches, in a sample of days.
fn across_days(pattern: &Pattern) -> Option<u64> {
    let start = Wall::of(SAMPLE_FROM)?;
    let mut first = pattern.at_or_after(start).or_else(|| pattern.at_or_after(Wall(0)))?;
    let mut smallest: Option<u64> = None;
    for _ in 0..SAMPLES {
        let midnight = Wall(first.0 - first.0.rem_euclid(DAY) + DAY);
        let last = pattern.at_or_before(midnight.previous())?;
        let Some(next) = pattern.at_or_after(midnight) else {
            break;
        };
        let distance = u64::try_from(next.0 - last.0).unwrap_or(u64::MAX);
        smallest = Some(smallest.map_or(distance, |known| known.min(distance)));
        if next.0 < midnight.0 + DAY {
            // No two days are closer than neighbours.
            break;
        }
        first = next;
    }
    smallest
}

fn sample_from() -> Timestamp {
    Wall::of(SAMPLE_FROM)
        .and_then(|wall| Timestamp::from_second(wall.0).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
