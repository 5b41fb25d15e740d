//! One field of a cron expression: text to values, with every mistake at its place.
//!
//! Pure. `expression` splits the text into fields; what is left here is read into plain values
//! and the few specials that depend on the month, so that `croner` sees only what it knows.

use std::ops::Range;

use super::item::Item;
use crate::manifest::name::JobName;

/// First year that a year field may name, and first year that expressions are evaluated in.
pub(super) const YEAR_MIN: u16 = 1970;
/// Last year that a year field may name, and last year that expressions are evaluated in.
pub(super) const YEAR_MAX: u16 = 2199;

/// What is wrong with an expression, without the entry it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    /// Bytes of the expression; none: all of it.
    pub(super) range: Option<Range<usize>>,
    /// What is wrong.
    pub(super) message: String,
    /// The way out.
    pub(super) help: Option<String>,
}

impl Flaw {
    /// A flaw without a way out.
    pub(super) fn new(range: impl Into<Option<Range<usize>>>, message: impl Into<String>) -> Self {
        Self { range: range.into(), message: message.into(), help: None }
    }

    /// The same with a way out.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Which field it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
    Year,
}

impl Unit {
    /// What people call it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day-of-month",
            Self::Month => "month",
            Self::Weekday => "day-of-week",
            Self::Year => "year",
        }
    }

    /// First and last number that may be written.
    pub(super) fn bounds(self) -> (u16, u16) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 7),
            Self::Year => (YEAR_MIN, YEAR_MAX),
        }
    }

    /// Every value, each once.
    pub(super) fn all(self) -> Range<u16> {
        match self {
            Self::Weekday => 0..7,
            unit => unit.bounds().0..unit.bounds().1 + 1,
        }
    }

    /// What `H` alone chooses from: days that every month has.
    pub(super) fn hashed(self) -> Range<u16> {
        match self {
            Self::Day => 1..29,
            unit => unit.all(),
        }
    }

    /// Names of values, the first being that of the lowest value.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => {
                &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
            }
            Self::Weekday => &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
            _ => &[],
        }
    }

    pub(super) fn is_day(self) -> bool {
        matches!(self, Self::Day | Self::Weekday)
    }
}

/// A value that depends on the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Special {
    /// `L`: the last day of the month.
    Last,
    /// `LW`: the last Monday to Friday of the month.
    LastWorkday,
    /// `15W`: the Monday to Friday that is nearest to a day, in the same month.
    Nearest(u16),
    /// `5L`: the last such weekday of the month.
    LastOf(u16),
    /// `5#2`: the second such weekday of the month.
    Nth(u16, u16),
}

/// What a field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Which field it is.
    unit: Unit,
    /// Plain values, sorted, each once.
    pub(super) values: Vec<u16>,
    /// Values that depend on the month, sorted, each once.
    pub(super) specials: Vec<Special>,
    /// Whether the text begins with `*` or is `?`: what cron takes as "not restricted".
    pub(super) star: bool,
}

impl Field {
    /// A field that stands for one value.
    pub(super) fn only(unit: Unit, value: u16) -> Self {
        Self { unit, values: vec![value], specials: Vec::new(), star: false }
    }

    /// A field that matches everything.
    pub(super) fn every(unit: Unit) -> Self {
        Self { unit, values: unit.all().collect(), specials: Vec::new(), star: true }
    }

    /// Reads a field that stands at this byte of the expression.
    pub(super) fn parse(unit: Unit, text: &str, at: usize, job: &JobName) -> Result<Self, Vec<Flaw>> {
        if text == "*" {
            return Ok(Self::every(unit));
        }
        let mut field = Self {
            unit,
            values: Vec::new(),
            specials: Vec::new(),
            star: text.starts_with('*') || (text == "?" && unit.is_day()),
        };
        let mut flaws = Vec::new();
        let mut start = at;
        for item in text.split(',') {
            let item = Item { unit, text: item, at: start, job };
            if let Err(flaw) = item.read(&mut field) {
                flaws.push(flaw);
            }
            start += item.text.len() + 1;
        }
        if field.specials.contains(&Special::Last) && field.specials.contains(&Special::LastWorkday) {
            let range = at..at + text.len();
            flaws.push(
                Flaw::new(range, "`L` and `LW` cannot stand in one list")
                    .help("give the job two entries, one for each"),
            );
        }
        field.values.sort_unstable();
        field.values.dedup();
        field.specials.sort_unstable();
        field.specials.dedup();
        if flaws.is_empty() { Ok(field) } else { Err(flaws) }
    }

    /// Whether it matches whatever the value is.
    pub(super) fn is_full(&self) -> bool {
        self.values.len() == self.unit.all().len()
    }

    /// Whether cron takes it as not there: it begins with `*` and matches everything.
    pub(super) fn is_star(&self) -> bool {
        self.star && self.is_full()
    }

    /// The shortest text that means the same, for `croner` and as a key.
    pub(super) fn write(&self, text: &mut String) {
        use std::fmt::Write as _;
        if self.is_star() || (self.is_full() && !self.unit.is_day()) {
            text.push('*');
            return;
        }
        let start = text.len();
        let mut rest = self.values.as_slice();
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|&(&value, expected)| value == expected).count();
            let last = rest[run - 1];
            let written = if run == 1 { write!(text, "{first},") } else { write!(text, "{first}-{last},") };
            debug_assert!(written.is_ok(), "a String takes all text");
            rest = &rest[run..];
        }
        for special in if self.is_full() { &[] } else { self.specials.as_slice() } {
            let written = match special {
                Special::Last => write!(text, "L,"),
                Special::LastWorkday => write!(text, "LW,"),
                Special::Nearest(day) => write!(text, "{day}W,"),
                Special::LastOf(weekday) => write!(text, "{weekday}L,"),
                Special::Nth(weekday, nth) => write!(text, "{weekday}#{nth},"),
            };
            debug_assert!(written.is_ok(), "a String takes all text");
        }
        text.truncate(text.len().max(start + 1) - 1);
    }
}
