//! A time zone as the list of its clock changes from 1970 to 2199.
//!
//! Read once from the tz database and shared; from then on a look-up is a binary search. A zone
//! is a row of stretches with one offset each: the policies of `cron` are about their seams.

use std::sync::{Arc, LazyLock};

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use super::{field::Flaw, pool::Pool, unknown_zone::unknown_zone};

/// First second that is looked at: 1970-01-01T00:00:00Z.
pub(super) const SECOND_MIN: i64 = 0;
/// Last second that is looked at: 2199-12-31T23:59:59Z.
pub(super) const SECOND_MAX: i64 = 7_258_118_399;

/// Names that a tz database may hold and that mean another clock on another machine.
pub(super) const LOCAL: [&str; 3] = ["localtime", "posixrules", "Factory"];
/// Folders of a system's tz database with copies of it, which not every machine has; the second
/// counts leap seconds.
pub(super) const COPIES: [&str; 2] = ["posix/", "right/"];

static ZONES: LazyLock<Pool<String, Zone>> = LazyLock::new(Pool::new);

/// Seconds that a clock on the wall shows, counted from 1970-01-01T00:00:00 on that clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wall(pub(super) i64);

impl Wall {
    /// What the clock shows at this second of the epoch, with this offset.
    pub(super) fn at(second: i64, offset: i64) -> Self {
        Self(second + offset)
    }

    /// The second of the epoch at which a clock with this offset shows it.
    pub(super) fn second(self, offset: i64) -> i64 {
        self.0 - offset
    }

    /// The second before it.
    pub(super) fn previous(self) -> Self {
        Self(self.0 - 1)
    }

    /// The date and time of day; none outside the calendar.
    pub(super) fn civil(self) -> Option<DateTime> {
        Timestamp::from_second(self.0).ok().map(|time| Offset::UTC.to_datetime(time))
    }

    /// The time that a date and time of day stand for.
    pub(super) fn of(civil: DateTime) -> Option<Self> {
        Offset::UTC.to_timestamp(civil).ok().map(|time| Self(time.as_second()))
    }
}

/// A zone's clock changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Zone {
    name: String,
    /// Offset before the first change, in seconds east of UTC.
    first: i64,
    changes: Box<[Change]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    /// Second of the epoch from which the offset holds.
    at: i64,
    /// Seconds east of UTC.
    offset: i32,
}

/// A time in which a zone's clock goes evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// First second of the epoch.
    pub(super) start: i64,
    /// First second of the next stretch.
    pub(super) end: i64,
    /// Seconds east of UTC.
    pub(super) offset: i64,
    /// The offset before; the same at the beginning of what is looked at.
    pub(super) before: i64,
    /// The offset after; the same at the end of what is looked at.
    pub(super) after: i64,
}

impl Stretch {
    /// What the clock before the stretch would show at its start.
    pub(super) fn start_on_old_clock(&self) -> Wall {
        Wall::at(self.start, self.before)
    }

    /// What the clock shows at the start of the stretch.
    pub(super) fn start_on_wall(&self) -> Wall {
        Wall::at(self.start, self.offset)
    }

    /// What the clock would show at the end of the stretch, if it went on.
    pub(super) fn end_on_wall(&self) -> Wall {
        Wall::at(self.end, self.offset)
    }

    /// What the clock after the stretch shows at its end.
    pub(super) fn end_on_new_clock(&self) -> Wall {
        Wall::at(self.end, self.after)
    }

    /// Whether the clock of the stretch shows a time that the clock before has shown.
    pub(super) fn repeats_at_start(&self, wall: Wall) -> bool {
        wall < self.start_on_old_clock()
    }

    /// Whether the clock of the stretch shows a time that the clock after shows again.
    pub(super) fn repeats_at_end(&self, wall: Wall) -> bool {
        self.end_on_new_clock() <= wall
    }
}

impl Zone {
    /// The zone of this name, shared with all who hold it.
    ///
    /// # Errors
    ///
    /// When the tz database has no zone of exactly this name, or one that differs by machine.
    pub(super) fn named(name: &str) -> Result<Arc<Self>, Flaw> {
        if LOCAL.contains(&name) {
            let flaw = Flaw::new(None, format!("`{name}` means another clock on another machine"));
            return Err(flaw.help("write a name of the IANA tz database, as in `Europe/Berlin` or `UTC`"));
        }
        if let Some(plain) = COPIES.iter().find_map(|folder| name.strip_prefix(folder)) {
            let flaw = Flaw::new(None, format!("not every machine has the time zone `{name}`"));
            return Err(flaw.help(format!("write `{plain}`")));
        }
        ZONES.get_or_make(&name.to_owned(), || match TimeZone::get(name) {
            Ok(zone) if zone.iana_name() == Some(name) => Ok(Self::read(name, &zone)),
            _ => Err(unknown_zone(name)),
        })
    }

    fn read(name: &str, zone: &TimeZone) -> Self {
        let start = Timestamp::from_second(SECOND_MIN - 1).unwrap_or(Timestamp::UNIX_EPOCH);
        let first = zone.to_offset(start).seconds();
        let mut last = first;
        let changes = zone
            .following(start)
            .map(|change| Change { at: change.timestamp().as_second(), offset: change.offset().seconds() })
            .take_while(|change| change.at <= SECOND_MAX)
            .filter(|change| std::mem::replace(&mut last, change.offset) != change.offset)
            .collect();
        Self { name: name.to_owned(), first: i64::from(first), changes }
    }

    /// The name in the tz database.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether its clock shows one offset for all of the time that is looked at.
    pub(super) fn never_changes(&self) -> bool {
        self.changes.is_empty()
    }

    /// The index of the stretch that this second lies in.
    pub(super) fn index_at(&self, second: i64) -> usize {
        self.changes.partition_point(|change| change.at <= second)
    }

    /// The stretch of this index, the first being 0.
    pub(super) fn stretch(&self, index: usize) -> Option<Stretch> {
        let offset_of = |change: &Change| i64::from(change.offset);
        let begin = match index {
            0 => None,
            index => Some(self.changes.get(index - 1)?),
        };
        let end = self.changes.get(index);
        let offset = begin.map_or(self.first, offset_of);
        let before = match index {
            0 => offset,
            1 => self.first,
            index => self.changes.get(index - 2).map_or(self.first, offset_of),
        };
        Some(Stretch {
            start: begin.map_or(SECOND_MIN, |change| change.at),
            end: end.map_or(SECOND_MAX + 1, |change| change.at),
            offset,
            before,
            after: end.map_or(offset, offset_of),
        })
    }

    /// The seconds east of UTC at this second.
    pub(super) fn offset_at(&self, second: i64) -> i64 {
        match self.index_at(second) {
            0 => self.first,
            index => i64::from(self.changes[index - 1].offset),
        }
    }
}
