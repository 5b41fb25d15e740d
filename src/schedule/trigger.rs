//! One compiled entry of a `schedule`: a source of fire times, its window and its spread.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Fire, SkippedGap, cron::Cron};

/// Nanoseconds of a second.
const NANOS: i128 = 1_000_000_000;

/// A source of fire times with its window and spread.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The source.
    pub(super) trigger: Trigger,
    /// When it may fire; none: always. Boxed, as few entries have one.
    pub(super) window: Option<Box<Window>>,
    /// Starts are spread over this long; zero: not at all.
    pub(super) jitter: Duration,
}

/// A source of fire times.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trigger {
    /// A cron expression, shared with all entries that say the same.
    Cron(Arc<Cron>),
    /// A fixed interval from the Unix epoch, never zero.
    Every(Duration),
    /// Once.
    At(Timestamp),
    /// Once per start of the machine; never by the clock.
    Reboot,
}

/// When an entry may fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Window {
    /// No fires before.
    pub(super) start: Option<Timestamp>,
    /// No fires at or after.
    pub(super) end: Option<Timestamp>,
}

impl Window {
    /// Whether it lies in the window.
    pub(super) fn holds(&self, time: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time < end)
    }
}

impl Entry {
    /// The first fire strictly after a time.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Fire> {
        let Some(window) = self.window.as_deref() else {
            return self.trigger.next_after(after);
        };
        let after = match window.start {
            Some(start) if after < start => just_before(start),
            _ => after,
        };
        self.trigger.next_after(after).filter(|fire| window.holds(fire.time))
    }

    /// The last fire at or before a time.
    pub(super) fn latest_at_or_before(&self, at: Timestamp) -> Option<Fire> {
        let Some(window) = self.window.as_deref() else {
            return self.trigger.latest_at_or_before(at);
        };
        let at = match window.end {
            Some(end) if end <= at => just_before(end),
            _ => at,
        };
        self.trigger.latest_at_or_before(at).filter(|fire| window.holds(fire.time))
    }

    /// How many fires of an interval there are in `(after, until]`; none for another trigger.
    pub(super) fn interval_fires(&self, after: Timestamp, until: Timestamp) -> Option<u64> {
        let Trigger::Every(interval) = &self.trigger else {
            return None;
        };
        let (first, last) = match (self.next_after(after), self.latest_at_or_before(until)) {
            (Some(first), Some(last)) if first.time <= last.time => (first.time, last.time),
            _ => return Some(0),
        };
        let steps = (last.as_nanosecond() - first.as_nanosecond()) / nanos(*interval);
        Some(u64::try_from(steps).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// What `gap: skip` drops in `(after, until]`.
    pub(super) fn skipped_between(&self, after: Timestamp, until: Timestamp) -> Vec<SkippedGap> {
        let Trigger::Cron(cron) = &self.trigger else {
            return Vec::new();
        };
        let mut skipped = cron.skipped_between(after, until);
        if let Some(window) = self.window.as_deref() {
            skipped.retain(|gap| window.holds(gap.at));
        }
        skipped
    }

    /// Whether it fires for a start of the machine at this time.
    pub(super) fn fires_at_boot(&self, now: Timestamp) -> bool {
        self.is_reboot() && self.window.as_deref().is_none_or(|window| window.holds(now))
    }

    /// Whether it is `@reboot`.
    pub(super) fn is_reboot(&self) -> bool {
        self.trigger == Trigger::Reboot
    }

    /// Whether both day fields are restricted, and either is enough.
    pub(super) fn fires_on_either_day(&self) -> bool {
        matches!(&self.trigger, Trigger::Cron(cron) if cron.fires_on_either_day())
    }
}

impl Trigger {
    /// The first fire strictly after a time.
    fn next_after(&self, after: Timestamp) -> Option<Fire> {
        match self {
            Self::Cron(cron) => cron.next_after(after),
            Self::Every(interval) => {
                let step = nanos(*interval);
                instant((after.as_nanosecond().div_euclid(step) + 1) * step)
            }
            Self::At(time) => (after < *time).then_some(Fire { time: *time, dst: None }),
            Self::Reboot => None,
        }
    }

    /// The last fire at or before a time.
    fn latest_at_or_before(&self, at: Timestamp) -> Option<Fire> {
        match self {
            Self::Cron(cron) => cron.latest_at_or_before(at),
            Self::Every(interval) => {
                let step = nanos(*interval);
                instant(at.as_nanosecond().div_euclid(step) * step)
            }
            Self::At(time) => (*time <= at).then_some(Fire { time: *time, dst: None }),
            Self::Reboot => None,
        }
    }
}

/// The last instant before this one that can be told apart from it.
pub(super) fn just_before(time: Timestamp) -> Timestamp {
    Timestamp::from_nanosecond(time.as_nanosecond() - 1).unwrap_or(Timestamp::MIN)
}

/// The interval as a step that is never zero.
fn nanos(interval: Duration) -> i128 {
    (i128::from(interval.as_secs()) * NANOS + i128::from(interval.subsec_nanos())).max(1)
}

/// The fire at this many nanoseconds from the epoch, if the calendar reaches that far.
fn instant(nanoseconds: i128) -> Option<Fire> {
    Timestamp::from_nanosecond(nanoseconds).ok().map(|time| Fire { time, dst: None })
}
