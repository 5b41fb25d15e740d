//! Decides when a job fires: cron, every, at; time zones and their clock changes; what is due.
//!
//! Pure: the caller passes `now`. All times are instants; a time on the wall exists only inside
//! `cron`. `load` compiles, `plan` and `engine` ask. Every answer of [`Schedule::next_after`] is
//! later than what was asked for, so that a loop over fires always moves on.

pub mod compile;
pub mod due;
pub mod effect;
pub mod expectation;
pub mod spacing;
pub mod spread;
pub mod told;

mod cron;
mod expression;
mod field;
mod item;
mod never;
mod pattern;
mod pool;
mod trigger;
mod unknown_zone;
mod zone;

use std::sync::Arc;

use jiff::{Timestamp, civil};

use trigger::Entry;

/// A point in time at which a job starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fire {
    /// The instant.
    pub time: Timestamp,
    /// Set when a clock change has to do with it.
    pub dst: Option<DstNote>,
}

/// What a clock change has to do with a fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DstNote {
    /// The fire stands for times that the clock jumped over.
    Gap,
    /// The clock shows the time of the fire twice.
    Overlap,
}

/// Times of a schedule entry that the clock jumped over and that `gap: skip` drops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedGap {
    /// The instant at which the clock jumped.
    pub at: Timestamp,
    /// The first time on the wall that was dropped.
    pub first: civil::DateTime,
    /// The last time on the wall that was dropped.
    pub last: civil::DateTime,
    /// The zone whose clock jumped.
    pub timezone: String,
}

/// When a job fires: the compiled entries of its `schedule`. Cheap to clone.
///
/// Cron expressions are evaluated from 1970 to the end of 2199 and fire at no other time.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    entries: Arc<[Entry]>,
}

impl Schedule {
    /// The first fire strictly after a time; none when there is no further one. Entries are
    /// merged in order of time, and entries that agree on an instant fire once.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Fire> {
        self.entries
            .iter()
            .filter_map(|entry| entry.next_after(after))
            .reduce(|a, b| merge(a, b, Pick::Earlier))
    }

    /// The last fire at or before a time; none when there is no earlier one. Costs the same for
    /// any distance.
    #[must_use]
    pub fn latest_at_or_before(&self, at: Timestamp) -> Option<Fire> {
        self.entries
            .iter()
            .filter_map(|entry| entry.latest_at_or_before(at))
            .reduce(|a, b| merge(a, b, Pick::Later))
    }

    /// The fires strictly after a time, in order, each later than the one before.
    pub fn fires_after(&self, after: Timestamp) -> impl Iterator<Item = Fire> + '_ {
        std::iter::successors(self.next_after(after), |fire| self.next_after(fire.time))
    }

    /// How many fires there are in `(after, until]`, told without looking at each; none when that
    /// cannot be done: for more than one entry, or another than `every`.
    #[must_use]
    pub fn interval_fires(&self, after: Timestamp, until: Timestamp) -> Option<u64> {
        match &*self.entries {
            [entry] => entry.interval_fires(after, until),
            _ => None,
        }
    }

    /// What `gap: skip` drops in `(after, until]`, in order of time: one for each entry and clock
    /// change.
    #[must_use]
    pub fn skipped_between(&self, after: Timestamp, until: Timestamp) -> Vec<SkippedGap> {
        let mut skipped: Vec<SkippedGap> =
            self.entries.iter().flat_map(|entry| entry.skipped_between(after, until)).collect();
        skipped.sort_by_key(|a| (a.at, a.first));
        skipped
    }

    /// Whether the job fires once per start of the machine, beside what [`Self::next_after`]
    /// says: an entry is `@reboot` and its window is open.
    #[must_use]
    pub fn fires_at_boot(&self, now: Timestamp) -> bool {
        self.entries.iter().any(|entry| entry.fires_at_boot(now))
    }

    /// Whether an entry is `@reboot`.
    #[must_use]
    pub fn has_reboot(&self) -> bool {
        self.entries.iter().any(Entry::is_reboot)
    }

    /// Whether there is no entry at all: the job runs by hand only.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether both day fields of this entry's cron expression are restricted, and a day that
    /// matches one of them is enough: often not what was meant. False for an entry that is not
    /// there.
    #[must_use]
    pub fn fires_on_either_day(&self, entry: usize) -> bool {
        self.entries.get(entry).is_some_and(Entry::fires_on_either_day)
    }
}

/// Which of two fires wins.
#[derive(Clone, Copy)]
enum Pick {
    Earlier,
    Later,
}

/// The fire that wins; for one instant, the one that knows more.
fn merge(a: Fire, b: Fire, pick: Pick) -> Fire {
    if a.time == b.time {
        return Fire { time: a.time, dst: a.dst.or(b.dst) };
    }
    match (pick, a.time < b.time) {
        (Pick::Earlier, true) | (Pick::Later, false) => a,
        (Pick::Earlier, false) | (Pick::Later, true) => b,
    }
}

#[cfg(test)]
mod tests;
