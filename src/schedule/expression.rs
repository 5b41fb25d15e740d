//! A cron expression: text to seven fields, with every mistake at its place.
//!
//! Pure. The language is that of docs/cron.md.

use std::ops::Range;

use super::field::{Field, Flaw, Unit};
use crate::manifest::{name::JobName, nearest::nearest, schedule::DayMatch, text::parse_duration};

/// Expressions that have a name, and what they stand for.
const NICKNAMES: [(&str, &str); 8] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("@reboot", ""),
];

/// The fields of an expression without seconds and year.
const FIVE: [Unit; 5] = [Unit::Minute, Unit::Hour, Unit::Day, Unit::Month, Unit::Weekday];
/// The fields of an expression with seconds.
const SIX: [Unit; 6] = [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Month, Unit::Weekday];
/// The fields of an expression with seconds and year.
const SEVEN: [Unit; 7] =
    [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Month, Unit::Weekday, Unit::Year];

/// What a text stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    /// Once per start of the machine.
    Reboot,
    /// Times on the wall.
    Times(Box<Expression>),
}

/// The fields of a cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) second: Field,
    pub(super) minute: Field,
    pub(super) hour: Field,
    pub(super) day: Field,
    pub(super) month: Field,
    pub(super) weekday: Field,
    pub(super) year: Field,
    /// The bytes of the fields that name a day.
    days: Range<usize>,
}

/// How the two day fields of an expression combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DayRule {
    /// A day must match both. One that begins with `*` makes it so, as in Debian's cron.
    Both,
    /// A day that matches one is enough.
    Either,
}

impl Expression {
    /// Reads an expression. The name of the job decides what `H` means.
    pub(super) fn parse(text: &str, job: &JobName) -> Result<Parsed, Vec<Flaw>> {
        let words = split(text);
        let Some((first, _)) = words.first() else {
            let flaw = Flaw::new(None, "the expression is empty");
            return Err(vec![flaw.help("write five fields, as in `30 2 * * *`")]);
        };
        if first.starts_with('@') {
            let whole = text.trim();
            let start = text.len() - text.trim_start().len();
            let named = nickname(whole)
                .map_err(|flaw| vec![Flaw { range: Some(start..start + whole.len()), ..flaw }])?;
            return match named {
                "" => Ok(Parsed::Reboot),
                expansion => fields(&split(expansion), FIVE.as_slice(), job),
            };
        }
        if let Some(flaw) = assignment(first, words[0].1) {
            return Err(vec![flaw]);
        }
        match words.len() {
            5 => fields(&words, &FIVE, job),
            6 => fields(&words, &SIX, job),
            7 => fields(&words, &SEVEN, job),
            _ => Err(vec![wrong_count(text, &words)]),
        }
    }

    /// How the two day fields combine under a policy.
    pub(super) fn day_rule(&self, policy: DayMatch) -> DayRule {
        if policy == DayMatch::All || self.day.star || self.weekday.star {
            DayRule::Both
        } else {
            DayRule::Either
        }
    }

    /// The fields as the shortest text that means the same: six for `croner`, which knows a
    /// leading `+` as "both days", and the year.
    pub(super) fn canonical(&self, rule: DayRule) -> (String, String) {
        let mut text = String::with_capacity(32);
        for field in [&self.second, &self.minute, &self.hour, &self.day, &self.month] {
            field.write(&mut text);
            text.push(' ');
        }
        if rule == DayRule::Both && !self.day.is_star() && !self.weekday.is_star() {
            text.push('+');
        }
        self.weekday.write(&mut text);
        let mut year = String::new();
        self.year.write(&mut year);
        (text, year)
    }

    /// Whether the hour field leaves hours out: then the clock changes matter.
    pub(super) fn has_fixed_hours(&self) -> bool {
        !self.hour.is_full()
    }

    /// The bytes of the fields that name a day; none for an expression that has a name.
    pub(super) fn days(&self) -> Option<Range<usize>> {
        (!self.days.is_empty()).then(|| self.days.clone())
    }
}

/// The words of a text with the byte at which each begins.
fn split(text: &str) -> Vec<(&str, usize)> {
    let start_of = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split_whitespace().map(|word| (word, start_of(word))).collect()
}

/// What a name stands for; the empty text for `@reboot`.
fn nickname(text: &str) -> Result<&'static str, Flaw> {
    let lower = text.to_ascii_lowercase();
    if let Some((_, expansion)) = NICKNAMES.iter().find(|(name, _)| *name == lower) {
        return Ok(expansion);
    }
    if let Some(interval) = lower.strip_prefix("@every") {
        let flaw = Flaw::new(None, "`@every` is not a cron expression");
        return Err(match interval_of(interval) {
            Some(interval) => flaw.help(format!("write `every: {interval}` instead of `cron`")),
            None => flaw.help("write an interval instead of `cron`, as in `every: 5m`"),
        });
    }
    let flaw = Flaw::new(None, format!("there is no expression with the name `{text}`"));
    // What they all begin with says nothing of which is meant.
    let words = NICKNAMES.iter().map(|(name, _)| name.trim_start_matches('@'));
    Err(match nearest(lower.trim_start_matches('@'), words) {
        Some(name) => flaw.help(format!("did you mean `@{name}`?")),
        None => {
            let names: Vec<String> = NICKNAMES.iter().map(|(name, _)| format!("`{name}`")).collect();
            flaw.help(format!("the names are {}", names.join(", ")))
        }
    })
}

/// The duration that stands after `@every`, as a manifest has it: `5m` of `5 minutes`, `1m` of `_minute`.
fn interval_of(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !matches!(c, ' ' | '\t' | '_' | '-')).collect();
    if parse_duration(&text).is_ok() {
        return Some(text);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim_end_matches('s') {
        "second" | "sec" => "s",
        "minute" | "min" => "m",
        "hour" => "h",
        "day" => "d",
        "week" => "w",
        _ => return None,
    };
    let number = if number.is_empty() { "1" } else { number };
    Some(format!("{number}{unit}")).filter(|interval| parse_duration(interval).is_ok())
}

fn fields(words: &[(&str, usize)], units: &[Unit], job: &JobName) -> Result<Parsed, Vec<Flaw>> {
    let mut expression = Expression {
        second: Field::only(Unit::Second, 0),
        minute: Field::every(Unit::Minute),
        hour: Field::every(Unit::Hour),
        day: Field::every(Unit::Day),
        month: Field::every(Unit::Month),
        weekday: Field::every(Unit::Weekday),
        year: Field::every(Unit::Year),
        days: 0..0,
    };
    let mut flaws = Vec::new();
    for (&(word, at), &unit) in words.iter().zip(units) {
        match Field::parse(unit, word, at, job) {
            Ok(field) => *expression.field(unit) = field,
            Err(found) => flaws.extend(found),
        }
        match unit {
            Unit::Day => expression.days = at..at + word.len(),
            Unit::Month | Unit::Weekday | Unit::Year => expression.days.end = at + word.len(),
            Unit::Second | Unit::Minute | Unit::Hour => {}
        }
    }
    if flaws.is_empty() { Ok(Parsed::Times(Box::new(expression))) } else { Err(flaws) }
}

impl Expression {
    fn field(&mut self, unit: Unit) -> &mut Field {
        match unit {
            Unit::Second => &mut self.second,
            Unit::Minute => &mut self.minute,
            Unit::Hour => &mut self.hour,
            Unit::Day => &mut self.day,
            Unit::Month => &mut self.month,
            Unit::Weekday => &mut self.weekday,
            Unit::Year => &mut self.year,
        }
    }
}

/// What to say of a first word that sets a variable, as in a crontab: `CRON_TZ=Europe/Berlin`.
fn assignment(first: &str, at: usize) -> Option<Flaw> {
    let (name, zone) = first.split_once('=')?;
    let flaw = Flaw::new(at..at + first.len(), format!("`{name}=` is not part of a cron expression"));
    Some(flaw.help(format!("write `timezone: {zone}` beside `cron`")))
}

/// What to say of a text that has neither 5 nor 6 nor 7 fields.
fn wrong_count(text: &str, words: &[(&str, usize)]) -> Flaw {
    let count = words.len();
    let plural = if count == 1 { "field" } else { "fields" };
    let message = format!("the expression has {count} {plural}, not 5, 6 or 7");
    if count < 5 {
        let flaw = Flaw::new(None, message);
        return flaw.help("the five are minute, hour, day of month, month, day of week, as in `30 2 * * *`");
    }
    let (_, eighth) = words[7];
    let flaw = Flaw::new(eighth..text.trim_end().len(), message);
    flaw.help("seven are second, minute, hour, day of month, month, day of week, year; a command belongs under `run`")
}
