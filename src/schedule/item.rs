//! One part of a list in a field of a cron expression: `1-5/2`, `MON`, `L`, `H(0-29)`.

use crate::manifest::{name::JobName, nearest::nearest};

use super::{
    field::{Field, Flaw, Special, Unit},
    spread::number,
};

/// Version of the hash behind `H`. Another one would move the jobs of every user.
const HASH_FORM: &str = "tintal-h-1";

/// One part of a list, with all that its meaning depends on.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) unit: Unit,
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) job: &'a JobName,
}

impl Item<'_> {
    /// Adds what the item stands for to the field.
    pub(super) fn read(self, field: &mut Field) -> Result<(), Flaw> {
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
                return Err(self.step_too_long(run[0]));
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
            _ if text.is_empty() => {
                let message = format!("in the {} field, the step after `/` is missing", self.unit.word());
                Err(Flaw::new(at.saturating_sub(1)..at, message)
                    .help("write a number after the slash, as in `*/5`"))
            }
            // A number that is too large for any field is past its end like one that just is.
            step if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(step.unwrap_or(u16::MAX)),
            _ => {
                let message = format!("in the {} field, `{text}` is not a step", self.unit.word());
                Err(Flaw::new(range, message).help("write one number after the slash, as in `*/5`"))
            }
        }
    }

    fn step_too_long(self, only: u16) -> Flaw {
        let word = self.unit.word();
        let step = self.written_step();
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

    /// The step as it is written.
    fn written_step(&self) -> &str {
        self.text.split_once('/').map_or("", |(_, step)| step)
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
                let step = self.written_step();
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
            _ => match misplaced_special(lower) {
                Some(special) => {
                    let message = format!("`{special}` has no meaning in the {} field", self.unit.word());
                    Err(self.flaw(message).help("`L`, `W` and `#` belong in the day fields"))
                }
                None => Ok(None),
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
        let begun = names.iter().copied().find(|name| lower.starts_with(name));
        match begun.or_else(|| nearest(lower, names.iter().copied())) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("values are {first} to {last}, or `{from}` to `{to}`"),
        }
    }

    /// A flaw of the whole item.
    fn flaw(self, message: impl Into<String>) -> Flaw {
        Flaw::new(self.at..self.at + self.text.len(), message)
    }
}

/// The letter that would make a text a special in a day field: `L` and `W` where they stand
/// alone, and not in a name such as `jul`.
fn misplaced_special(lower: &str) -> Option<char> {
    let stands_alone = |word: &str| matches!(word, "l" | "w" | "lw" | "wl");
    let word = lower.split(|c: char| !c.is_ascii_alphabetic()).find(|word| stands_alone(word));
    word.and_then(|word| word.chars().next())
        .or_else(|| lower.contains('#').then_some('#'))
        .map(|letter| letter.to_ascii_uppercase())
}

/// The share of `0..width` that this job has in this field: the same on every machine, today and
/// after an upgrade.
fn share(job: &JobName, unit: Unit, width: u16) -> u16 {
    let mut hasher = blake3::Hasher::new();
    for part in [HASH_FORM, job.as_str(), unit.word()] {
        hasher.update(part.as_bytes());
        hasher.update(b"\n");
    }
    u16::try_from(number(&hasher.finalize()) % u64::from(width.max(1))).unwrap_or_default()
}
