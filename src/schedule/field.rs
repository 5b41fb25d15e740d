//! One field of a cron expression: text to values, with every mistake at its place.
//!
//! Pure. `expression` splits the text into fields; what is left here is read into plain values
//! and the few specials that depend on the month, so that `croner` sees only what it knows.

use std::ops::Range;

use crate::manifest::name::JobName;

/// First year that a year field may name, and first year that expressions are evaluated in.
pub(super) const YEAR_MIN: u16 = 1970;
/// Last year that a year field may name, and last year that expressions are evaluated in.
pub(super) const YEAR_MAX: u16 = 2199;

/// Version of the hash behind `H`. Another one would move the jobs of every user.
const HASH_FORM: &str = "tintal-h-1";

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
    fn bounds(self) -> (u16, u16) {
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
    fn all(self) -> Range<u16> {
        match self {
            Self::Weekday => 0..7,
            unit => unit.bounds().0..unit.bounds().1 + 1,
        }
    }

    /// What `H` alone chooses from: days that every month has.
    fn hashed(self) -> Range<u16> {
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

    fn is_day(self) -> bool {
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

/// One part of a list, with all that its meaning depends on.
#[derive(Clone, Copy)]
struct Item<'a> {
    unit: Unit,
    text: &'a str,
    at: usize,
    job: &'a JobName,
}

impl Item<'_> {
    /// Adds what the item stands for to the field.
    fn read(self, field: &mut Field) -> Result<(), Flaw> {
        let word = self.unit.word();
        if self.text.is_empty() {
            // There is no character to point at but the comma before or after.
            let message = format!("the {word} field has an empty place in its list");
            return Err(Flaw::new(self.at.saturating_sub(1)..self.at + 1, message).help("remove the comma"));
        }
        let (base, step) = match self.text.split_once('/') {
            None => (self.text, None),
            Some((base, step)) => (base, Some(self.step(step, self.at + base.len() + 1)?)),
        };
        let lower = base.to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix('h') {
            field.values.extend(self.hashed(rest, step)?);
        } else if let Some(special) = self.special(&lower)? {
            if step.is_some() {
                let message = format!("`{base}` is one day, so it cannot have a step");
                return Err(self.flaw(message).help(format!("write `{base}`")));
            }
            field.specials.push(special);
        } else {
            let run = self.run(base, &lower, step)?;
            let step = step.unwrap_or(1);
            let span = u16::try_from(run.len() - 1).unwrap_or(u16::MAX);
            if step > 1 && step > span {
                return Err(self.step_too_long(step, run[0]));
            }
            let values = run.into_iter().step_by(usize::from(step));
            field.values.extend(values.map(|value| match self.unit {
                Unit::Weekday => value % 7,
                _ => value,
            }));
        }
        Ok(())
    }

    /// The values from which a step chooses, in the order in which it counts.
    fn run(self, base: &str, lower: &str, step: Option<u16>) -> Result<Vec<u16>, Flaw> {
        let all = self.unit.all();
        let (_, last) = self.unit.bounds();
        if lower == "*" {
            return Ok(all.collect());
        }
        if lower == "?" {
            let message = if !self.unit.is_day() {
                format!("`?` has no meaning in the {} field", self.unit.word())
            } else if step.is_some() || self.text != "?" {
                "`?` cannot have a step".to_owned()
            } else {
                return Ok(all.collect());
            };
            return Err(self.flaw(message).help("write `*` for every value"));
        }
        let Some((from, to)) = lower.split_once('-') else {
            let from = self.value(base, lower, self.at)?;
            return Ok(if step.is_some() { (from..=last).collect() } else { vec![from] });
        };
        let from = self.value(&base[..from.len()], from, self.at)?;
        let to = self.value(&base[base.len() - to.len()..], to, self.at + base.len() - to.len())?;
        let from = if self.unit == Unit::Weekday && from == 7 && to != 7 { 0 } else { from };
        if from <= to {
            return Ok((from..=to).collect());
        }
        if self.unit == Unit::Year {
            let message = format!("the years of `{base}` run backwards");
            return Err(self.flaw(message).help(format!("write `{to}-{from}`")));
        }
        Ok((from..all.end).chain(all.start..=to).collect())
    }

    /// The step after the slash, which stands at this byte.
    fn step(self, text: &str, at: usize) -> Result<u16, Flaw> {
        let range = at..at + text.len();
        match text.parse::<u16>() {
            Ok(0) => {
                let message = format!("in the {} field, a step of 0 never moves on", self.unit.word());
                Err(Flaw::new(range, message).help("write a step of 1 or more"))
            }
            Ok(step) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(step),
            _ if text.is_empty() => {
                let message = format!("in the {} field, the step after `/` is missing", self.unit.word());
                Err(Flaw::new(at.saturating_sub(1)..at, message)
                    .help("write a number after the slash, as in `*/5`"))
            }
            _ => {
                let message = format!("in the {} field, `{text}` is not a step", self.unit.word());
                Err(Flaw::new(range, message).help("write one number after the slash, as in `*/5`"))
            }
        }
    }

    fn step_too_long(self, step: u16, only: u16) -> Flaw {
        let word = self.unit.word();
        let message =
            format!("in the {word} field, a step of {step} goes past the end, so only {only} would match");
        let every = match self.unit {
            Unit::Second => Some(format!("{step}s")),
            Unit::Minute => Some(format!("{step}m")),
            Unit::Hour => Some(format!("{step}h")),
            Unit::Day => Some(format!("{step}d")),
            _ => None,
        };
        let help = match every {
            Some(every) => format!(
                "write `{only}` if that is meant; for an interval, `every: {every}` instead of `cron`"
            ),
            None => format!("write `{only}` if that is meant"),
        };
        self.flaw(message).help(help)
    }

    /// What `H` stands for; `rest` is what follows the letter.
    fn hashed(self, rest: &str, step: Option<u16>) -> Result<Vec<u16>, Flaw> {
        let how = "write `H`, `H/15`, `H(0-29)` or `H(0-29)/10`";
        if self.unit == Unit::Year {
            return Err(self
                .flaw("`H` has no meaning in the year field")
                .help("write the years, or leave the field out"));
        }
        let from = if rest.is_empty() {
            self.unit.hashed()
        } else {
            let inner = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let Some((from, to)) = inner.and_then(|inner| inner.split_once('-')) else {
                return Err(self.flaw(format!("`{}` is not a form of `H`", self.text)).help(how));
            };
            let at = self.at + 2;
            let first = self.value(from, from, at)?;
            let last = self.value(to, to, at + from.len() + 1)?;
            if last < first {
                let message = format!("`H` cannot choose from a range that runs backwards, `{from}-{to}`");
                return Err(self.flaw(message).help(format!("write `H({to}-{from})`")));
            }
            first..last + 1
        };
        let width = match step {
            Some(step) if usize::from(step) >= from.len() && step > 1 => {
                let message =
                    format!("a step of {step} goes past the end, so `{}` would match once", self.text);
                let base = &self.text[..=rest.len()];
                return Err(self.flaw(message).help(format!("write `{base}`")));
            }
            Some(step) => step,
            None => from.end - from.start,
        };
        let first = from.start + share(self.job, self.unit, width);
        Ok((first..from.end)
            .step_by(usize::from(width))
            .map(|value| if self.unit == Unit::Weekday { value % 7 } else { value })
            .collect())
    }

    /// The special that the item is, if it has the form of one.
    fn special(self, lower: &str) -> Result<Option<Special>, Flaw> {
        match self.unit {
            Unit::Day => self.special_day(lower),
            Unit::Weekday => self.special_weekday(lower),
            _ => match lower.chars().find(|&c| matches!(c, 'l' | 'w' | '#')) {
                Some(c) if lower.len() <= 2 || lower.bytes().any(|byte| byte.is_ascii_digit()) => {
                    let message = format!(
                        "`{}` has no meaning in the {} field",
                        c.to_ascii_uppercase(),
                        self.unit.word()
                    );
                    Err(self.flaw(message).help("`L`, `W` and `#` belong in the day fields"))
                }
                _ => Ok(None),
            },
        }
    }

    fn special_day(self, lower: &str) -> Result<Option<Special>, Flaw> {
        match lower {
            "l" => return Ok(Some(Special::Last)),
            "lw" | "wl" => return Ok(Some(Special::LastWorkday)),
            "w" => {
                let message = "`W` needs a day of the month before it";
                return Err(self.flaw(message).help("write `15W` for the Monday to Friday nearest to the 15th, or `1-5` in the day-of-week field for all of them"));
            }
            _ => {}
        }
        if lower.contains('#') {
            let message = "`#` belongs in the day-of-week field";
            return Err(self.flaw(message).help("write `*` here and, say, `mon#2` in the day-of-week field"));
        }
        if let Some(day) = lower.strip_suffix('w') {
            if day.contains('-') {
                return Err(self
                    .flaw("`W` takes one day, not a range")
                    .help("list the days, as in `14W,15W`"));
            }
            return Ok(Some(Special::Nearest(self.value(day, day, self.at)?)));
        }
        if lower.starts_with("l-") {
            let message = format!("`{}`, so many days before the last, is not supported", self.text);
            return Err(self
                .flaw(message)
                .help("write `L` for the last day of the month, or the days themselves"));
        }
        if lower.ends_with('l') {
            let message = "a number before `L` belongs in the day-of-week field";
            return Err(self.flaw(message).help("write `L` for the last day of the month"));
        }
        Ok(None)
    }

    fn special_weekday(self, lower: &str) -> Result<Option<Special>, Flaw> {
        if lower == "l" {
            let message = "`L` alone has no meaning in the day-of-week field";
            return Err(self
                .flaw(message)
                .help("write `sat` for every Saturday, or `5L` for the last Friday of the month"));
        }
        if lower.ends_with('w') && !Unit::Weekday.names().contains(&lower) && lower.len() <= 3 {
            let message = "`W` belongs in the day-of-month field";
            return Err(self.flaw(message).help("write `1-5` here for Monday to Friday"));
        }
        if let Some((weekday, nth)) = lower.split_once('#') {
            let at = self.at + weekday.len() + 1;
            let weekday = self.value(&self.text[..weekday.len()], weekday, self.at)?;
            return match nth.parse::<u16>() {
                Ok(nth @ 1..=5) => Ok(Some(Special::Nth(weekday % 7, nth))),
                _ => {
                    let message = format!("in the day-of-week field, `{nth}` after `#` is not 1 to 5");
                    let help = "write `#1` to `#5` for the first to the fifth of the month, `L` for the last";
                    Err(Flaw::new(at..at + nth.len().max(1), message).help(help))
                }
            };
        }
        if let Some(weekday) = lower.strip_suffix('l') {
            if weekday.contains('-') {
                return Err(self.flaw("`L` takes one weekday, not a range").help("list them, as in `4L,5L`"));
            }
            let weekday = self.value(&self.text[..weekday.len()], weekday, self.at)?;
            return Ok(Some(Special::LastOf(weekday % 7)));
        }
        Ok(None)
    }

    /// A number or a name that stands at this byte.
    fn value(self, text: &str, lower: &str, at: usize) -> Result<u16, Flaw> {
        let word = self.unit.word();
        let (first, last) = self.unit.bounds();
        if text.is_empty() {
            let message = format!("in the {word} field, a value is missing in `{}`", self.text);
            return Err(self.flaw(message).help(format!("values are {first} to {last}")));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse::<u16>() {
                Ok(value) if (first..=last).contains(&value) => Ok(value),
                _ => {
                    let message = format!("in the {word} field, `{text}` is not between {first} and {last}");
                    Err(Flaw { range: Some(at..at + text.len()), message, help: self.out_of_range() })
                }
            };
        }
        if let Some(index) = self.unit.names().iter().position(|&name| name == lower) {
            return Ok(self.unit.all().start + u16::try_from(index).unwrap_or_default());
        }
        let message = format!("in the {word} field, `{text}` is not a value");
        Err(Flaw { range: Some(at..at + text.len()), message, help: Some(self.not_a_value(lower)) })
    }

    fn out_of_range(self) -> Option<String> {
        match self.unit {
            Unit::Second | Unit::Minute => Some("the last is 59; the next is 0".to_owned()),
            Unit::Hour => Some("midnight is 0".to_owned()),
            Unit::Day => Some("days are counted from 1".to_owned()),
            Unit::Month => Some("months are counted from 1, or named `jan` to `dec`".to_owned()),
            Unit::Weekday => Some(
                "0 and 7 are Sunday, 1 is Monday, or `sun` to `sat`; a year needs all 7 fields".to_owned(),
            ),
            Unit::Year => None,
        }
    }

    /// What could have been meant.
    fn not_a_value(self, lower: &str) -> String {
        let (first, last) = self.unit.bounds();
        let names = self.unit.names();
        let (Some(from), Some(to)) = (names.first(), names.last()) else {
            return format!("values are {first} to {last}");
        };
        // `monday` and `tues` begin with the name; a slip of the keys is close to it.
        let near = names.iter().find(|name| lower.starts_with(*name)).or_else(|| {
            names
                .iter()
                .max_by(|a, b| similarity(lower, a).total_cmp(&similarity(lower, b)))
                .filter(|name| similarity(lower, name) > 0.7)
        });
        match near {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("values are {first} to {last}, or `{from}` to `{to}`"),
        }
    }

    /// A flaw of the whole item.
    fn flaw(self, message: impl Into<String>) -> Flaw {
        Flaw::new(self.at..self.at + self.text.len(), message)
    }
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}

/// The share of `0..width` that this job has in this field: the same on every machine, today and
/// after an upgrade.
fn share(job: &JobName, unit: Unit, width: u16) -> u16 {
    let mut hasher = blake3::Hasher::new();
    for part in [HASH_FORM, job.as_str(), unit.word()] {
        hasher.update(part.as_bytes());
        hasher.update(b"\n");
    }
    let bytes = hasher.finalize();
    let number = bytes.as_bytes()[..8].iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    u16::try_from(number % u64::from(width.max(1))).unwrap_or_default()
}
