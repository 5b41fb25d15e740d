//! A cron expression in a time zone: times on the wall to instants, by the policy for the nights
//! when the clock changes.
//!
//! Pure. `pattern` finds times on the wall and knows nothing of zones; what a clock change does
//! is decided here, stretch by stretch of even clock. docs/cron.md has the rules with examples.

use std::{
    ops::Range,
    sync::{Arc, LazyLock, OnceLock},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    DstNote, Fire, SkippedGap,
    expression::{DayRule, Expression},
    field::{Flaw, YEAR_MAX, YEAR_MIN},
    pattern::{Backward, Forward, Pattern},
    pool::Pool,
    zone::{SECOND_MAX, SECOND_MIN, Stretch, Wall, Zone},
};
use crate::manifest::schedule::{DayMatch, DstOverlap, Gap};

static CRONS: LazyLock<Pool<Key, Cron>> = LazyLock::new(Pool::new);

/// What happens in the nights when the clock changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Policies {
    pub(super) gap: Gap,
    pub(super) overlap: DstOverlap,
}

/// How an expression takes a clock change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Clock {
    /// Its hour field matches every hour: it goes by elapsed time, and nothing special happens.
    Elapsed,
    /// It names times of day, and the policies say what becomes of them.
    Fixed(Policies),
}

/// All that the fire times of an expression depend on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Six fields in canonical form.
    fields: String,
    /// The year field in canonical form.
    years: String,
    zone: String,
    clock: Clock,
}

/// A cron expression in a time zone.
#[derive(Debug)]
pub(super) struct Cron {
    key: Key,
    pattern: Pattern,
    zone: Arc<Zone>,
    rule: DayRule,
    /// Found when it is asked for; see `spacing`.
    pub(super) spacing: OnceLock<Option<Duration>>,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

/// A fire in seconds of the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    second: i64,
    dst: Option<DstNote>,
}

impl Cron {
    /// The expression in the zone, shared with all entries that mean the same.
    ///
    /// # Errors
    ///
    /// When it never fires: no day matches, or the zone's clock shows none of the times.
    pub(super) fn shared(
        expression: &Expression,
        days: DayMatch,
        zone: &Arc<Zone>,
        policies: Policies,
    ) -> Result<Arc<Self>, Flaw> {
        let rule = expression.day_rule(days);
        let (fields, years) = expression.canonical(rule);
        let clock = if expression.has_fixed_hours() { Clock::Fixed(policies) } else { Clock::Elapsed };
        let key = Key { fields, years, zone: zone.name().to_owned(), clock };
        CRONS.get_or_make(&key, || {
            let pattern = Pattern::new(expression, rule, &key.fields, &key.years)?;
            let zone = Arc::clone(zone);
            let cron = Self { key: key.clone(), pattern, zone, rule, spacing: OnceLock::new() };
            match cron.next_after(Timestamp::MIN) {
                Some(_) => Ok(cron),
                None => Err(cron.never()),
            }
        })
    }

    /// What to say of an expression that matches times on the wall, none of which this zone's
    /// clock shows in the years that are looked at.
    fn never(&self) -> Flaw {
        let zone = self.zone.name();
        let mut stretches = (1..).map_while(|index| self.zone.stretch(index));
        let jumped_over = stretches.find_map(|stretch| {
            let walls = missing_walls(&stretch)?;
            Forward::new(&self.pattern).first_in(walls.start, walls.end)?.civil()
        });
        let (message, help) = match (jumped_over, self.key.clock) {
            (Some(first), Clock::Fixed(_)) => (
                format!(
                    "the expression never fires: the clock of {zone} jumps over {first}, and `gap: skip` drops it"
                ),
                "write `dst: {gap: run-after}` or `dst: {gap: shift}`, or choose another time",
            ),
            (Some(first), Clock::Elapsed) => (
                format!("the expression never fires: the clock of {zone} jumps over {first}"),
                "choose another day, or name the hours: then `dst` says what becomes of them",
            ),
            (None, _) => (
                format!(
                    "the expression never fires: in {zone} its times lie before {YEAR_MIN} or after {YEAR_MAX} UTC"
                ),
                "change the year",
            ),
        };
        Flaw::new(None, message).help(help)
    }

    /// The first fire strictly after a time.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Fire> {
        let from = (whole_seconds(after) + 1).max(SECOND_MIN);
        let mut search = Forward::new(&self.pattern);
        let mut stretches = (self.zone.index_at(from)..).map_while(|index| self.zone.stretch(index));
        stretches.find_map(|stretch| self.first_in(&stretch, from, &mut search)).and_then(Found::fire)
    }

    /// The last fire at or before a time.
    pub(super) fn latest_at_or_before(&self, at: Timestamp) -> Option<Fire> {
        let until = whole_seconds(at).min(SECOND_MAX);
        if until < SECOND_MIN {
            return None;
        }
        let mut search = Backward::new(&self.pattern);
        let mut stretches =
            (0..=self.zone.index_at(until)).rev().filter_map(|index| self.zone.stretch(index));
        stretches.find_map(|stretch| self.last_in(&stretch, until, &mut search)).and_then(Found::fire)
    }

    /// What `gap: skip` drops in `(after, until]`: one for each clock change.
    pub(super) fn skipped_between(&self, after: Timestamp, until: Timestamp) -> Vec<SkippedGap> {
        let Clock::Fixed(Policies { gap: Gap::Skip, .. }) = self.key.clock else {
            return Vec::new();
        };
        let [first, last] = [after, until].map(|time| self.zone.index_at(whole_seconds(time)));
        (first + 1..=last)
            .filter_map(|index| self.zone.stretch(index))
            .filter_map(|stretch| {
                let walls = missing_walls(&stretch)?;
                let first = Forward::new(&self.pattern).first_in(walls.start, walls.end)?;
                let last = Backward::new(&self.pattern).last_in(walls.start, walls.end)?;
                Some(SkippedGap {
                    at: Timestamp::from_second(stretch.start).ok()?,
                    first: first.civil()?,
                    last: last.civil()?,
                    timezone: self.zone.name().to_owned(),
                })
            })
            .collect()
    }

    /// Whether both day fields are restricted, and either is enough.
    pub(super) fn fires_on_either_day(&self) -> bool {
        self.rule == DayRule::Either
    }

    /// The times on the wall that match.
    pub(super) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The zone that the expression is read in.
    pub(super) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The first fire in a stretch, at this second or later.
    fn first_in(&self, stretch: &Stretch, from: i64, search: &mut Forward<'_>) -> Option<Found> {
        let from = from.max(stretch.start);
        let made_up = self.gap_policy(stretch).and_then(|(gap, walls)| match gap {
            Gap::RunAfter if from == stretch.start => {
                search.first_in(walls.start, walls.end).map(|_| stretch.start)
            }
            Gap::Shift => {
                let first = search.first_in(walls.start.max(Wall::at(from, stretch.before)), walls.end)?;
                Some(first.second(stretch.before)).filter(|&second| second < stretch.end)
            }
            Gap::RunAfter | Gap::Skip => None,
        });
        let walls = self.plain_walls(stretch);
        let plain = search.first_in(walls.start.max(Wall::at(from, stretch.offset)), walls.end);
        match (plain, made_up) {
            (Some(plain), None) => Some(Found::plain(plain, stretch)),
            (Some(plain), Some(second)) if plain.second(stretch.offset) < second => {
                Some(Found::plain(plain, stretch))
            }
            (_, Some(second)) => Some(Found { second, dst: Some(DstNote::Gap) }),
            (None, None) => None,
        }
    }

    /// The last fire in a stretch, at this second or earlier.
    fn last_in(&self, stretch: &Stretch, until: i64, search: &mut Backward<'_>) -> Option<Found> {
        // One past the last second that counts.
        let end = stretch.end.min(until + 1);
        let walls = self.plain_walls(stretch);
        let plain = search.last_in(walls.start, walls.end.min(Wall::at(end, stretch.offset)));
        let made_up = self.gap_policy(stretch).and_then(|(gap, walls)| match gap {
            Gap::RunAfter => search.last_in(walls.start, walls.end).map(|_| stretch.start),
            Gap::Shift => {
                let last = search.last_in(walls.start, walls.end.min(Wall::at(end, stretch.before)))?;
                Some(last.second(stretch.before))
            }
            Gap::Skip => None,
        });
        match (plain, made_up) {
            (Some(plain), None) => Some(Found::plain(plain, stretch)),
            (Some(plain), Some(second)) if second < plain.second(stretch.offset) => {
                Some(Found::plain(plain, stretch))
            }
            (_, Some(second)) => Some(Found { second, dst: Some(DstNote::Gap) }),
            (None, None) => None,
        }
    }

    /// The times on the wall at which it fires when the clock of the stretch shows them.
    fn plain_walls(&self, stretch: &Stretch) -> Range<Wall> {
        let mut walls = stretch.start_on_wall()..stretch.end_on_wall();
        if let Clock::Fixed(policies) = self.key.clock {
            if policies.overlap == DstOverlap::First {
                walls.start = walls.start.max(stretch.start_on_old_clock());
            }
            if policies.overlap == DstOverlap::Last {
                walls.end = walls.end.min(stretch.end_on_new_clock());
            }
        }
        walls
    }

    /// What becomes of the times that the clock jumped over at the start of a stretch.
    fn gap_policy(&self, stretch: &Stretch) -> Option<(Gap, Range<Wall>)> {
        match self.key.clock {
            Clock::Elapsed => None,
            Clock::Fixed(policies) => Some((policies.gap, missing_walls(stretch)?)),
        }
    }
}

impl Found {
    /// The fire at a time that the clock of the stretch shows.
    fn plain(wall: Wall, stretch: &Stretch) -> Self {
        let twice = stretch.repeats_at_start(wall) || stretch.repeats_at_end(wall);
        Self { second: wall.second(stretch.offset), dst: twice.then_some(DstNote::Overlap) }
    }

    fn fire(self) -> Option<Fire> {
        Some(Fire { time: Timestamp::from_second(self.second).ok()?, dst: self.dst })
    }
}

/// The times on the wall that the clock jumped over at the start of a stretch.
fn missing_walls(stretch: &Stretch) -> Option<Range<Wall>> {
    (stretch.before < stretch.offset).then(|| stretch.start_on_old_clock()..stretch.start_on_wall())
}

/// The last whole second at or before a time.
fn whole_seconds(time: Timestamp) -> i64 {
    let before_epoch = i64::from(time.subsec_nanosecond() < 0);
    time.as_second() - before_epoch
}
