//! When an entry runs, in the words of a manifest. Pure.

use std::{borrow::Cow, time::Duration};

use super::scalar::{quoted, scalar};
use crate::{
    manifest::{
        name::JobName,
        schedule::{DayMatch, DstOverlap, Gap},
        shared::Shared,
        spec::{CronSpec, ScheduleSpec, TriggerSpec},
        text::{format_duration, parse_duration},
    },
    schedule::Schedule,
};

/// When an entry runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    /// At the start of the machine.
    Reboot,
    /// By a cron expression.
    Cron {
        /// As the manifest says it.
        expression: String,
        /// Set when both day fields are restricted.
        day_match: Option<DayMatch>,
    },
    /// At an interval.
    Every(Duration),
}

/// The first and the last value of each field, as cron counts them.
const BOUNDS: [(u16, u16); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];

/// Days of the week by their names; Sunday is 0.
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Months by their names; January is 1.
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Reads when an entry runs. The second of the pair is something to know about it.
///
/// # Errors
///
/// All that is wrong with it.
pub(super) fn when(text: &str, zone: &str) -> Result<(When, Option<String>), String> {
    if let Some(interval) = text.strip_prefix("@every ") {
        return every(interval).map(|when| (when, None));
    }
    match text {
        "@reboot" => return Ok((When::Reboot, None)),
        // FreeBSD has names for these.
        "@every_minute" => return cron("* * * * *", zone),
        "@every_second" => return Ok((When::Every(Duration::from_secs(1)), None)),
        _ => {}
    }
    cron(text, zone)
}

/// Why this is no time zone.
pub(super) fn zone_fault(zone: &str) -> Option<String> {
    compile(cron_spec("0 0 * * *", zone)).err()
}

fn every(interval: &str) -> Result<When, String> {
    let length = parse_duration(interval).map_err(|error| error.to_string())?;
    compile(TriggerSpec::Every(length))?;
    Ok(When::Every(length))
}

fn cron(text: &str, zone: &str) -> Result<(When, Option<String>), String> {
    let fields: Vec<&str> = text.split(' ').collect();
    let is_named = fields.len() != BOUNDS.len();
    let expression = if is_named {
        text.to_owned()
    } else {
        let read: Vec<String> = fields.iter().zip(BOUNDS).map(|(text, bounds)| field(text, bounds)).collect();
        read.join(" ")
    };
    let schedule = compile(cron_spec(&expression, zone)).map_err(|error| format!("`{text}`: {error}"))?;
    let day_match = schedule.fires_on_either_day(0).then(|| {
        // For cron a field that begins with `*` restricts nothing, whatever its step; one that was
        // read as a single value no longer shows it.
        let had_star = [fields[2], fields[4]].iter().any(|field| field.starts_with('*'));
        if had_star { DayMatch::All } else { DayMatch::Any }
    });
    let notes: Vec<String> =
        if is_named { Vec::new() } else { backwards(&fields).into_iter().chain(foreign(&fields)).collect() };
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Ok((When::Cron { expression, day_match }, note))
}

fn cron_spec(expression: &str, zone: &str) -> TriggerSpec {
    TriggerSpec::Cron(CronSpec {
        expression: expression.to_owned(),
        timezone: zone.to_owned(),
        gap: Gap::default(),
        overlap: DstOverlap::default(),
        day_match: DayMatch::Any,
    })
}

fn compile(trigger: TriggerSpec) -> Result<Schedule, String> {
    // The name decides which value `H` stands for, not whether it stands for one.
    let Ok(name) = JobName::parse("job") else { unreachable!("it is a name") };
    let spec = ScheduleSpec { trigger, jitter: None, start: None, end: None };
    Schedule::compile(&name, &Shared::of([spec]))
        .map_err(|errors| errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; "))
}

/// A field in our words: `0~30` is `H(0-30)`, and a step past the end is the one value it leaves.
fn field(text: &str, bounds: (u16, u16)) -> String {
    let items: Vec<Cow<'_, str>> = text.split(',').map(|item| one(item, bounds)).collect();
    items.join(",")
}

fn one(item: &str, (first, last): (u16, u16)) -> Cow<'_, str> {
    if let Some((from, to)) = item.split_once('~') {
        let shown =
            |text: &str, bound: u16| if text.is_empty() { bound.to_string() } else { text.to_owned() };
        return match (from.is_empty() && to.is_empty(), shown(from, first), shown(to, last)) {
            (true, ..) => Cow::Borrowed("H"),
            (false, from, to) if from == to => Cow::Owned(from),
            (false, from, to) => Cow::Owned(format!("H({from}-{to})")),
        };
    }
    let Some((base, step)) = item.split_once('/') else { return Cow::Borrowed(item) };
    if step.is_empty() || !step.bytes().all(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(item);
    }
    let step = step.parse().unwrap_or(u16::MAX);
    let range = match base.split_once('-') {
        None if base == "*" => Some((first, last, first.to_string())),
        None => None,
        Some((from, to)) => value(from).zip(value(to)).map(|(low, high)| (low, high, from.to_owned())),
    };
    // Both ends of `*` among the days of the week are Sunday.
    let count = if last == 7 { 7 } else { last - first + 1 };
    match range {
        Some((from, to, only))
            if step > (if from <= to { to } else { to.saturating_add(count) }).saturating_sub(from) =>
        {
            Cow::Owned(only)
        }
        Some((0, 7, only)) if step == 7 => Cow::Owned(only),
        _ => Cow::Borrowed(item),
    }
}

/// The number that a number or a name of a day or month stands for.
fn value(text: &str) -> Option<u16> {
    let named = |names: &[&str]| names.iter().position(|name| text.eq_ignore_ascii_case(name));
    let index = named(&WEEKDAYS).or_else(|| named(&MONTHS).map(|index| index + 1));
    text.parse().ok().or_else(|| index.and_then(|index| u16::try_from(index).ok()))
}

/// What to know of a range that runs backwards.
fn backwards(fields: &[&str]) -> Option<String> {
    let item = fields.iter().flat_map(|field| field.split(',')).find(|item| {
        let base = item.split_once('/').map_or(*item, |(base, _)| base);
        let range = base.split_once('-').and_then(|(from, to)| value(from).zip(value(to)));
        range.is_some_and(|(from, to)| from > to)
    })?;
    Some(format!(
        "`{item}` runs backwards: Debian's cron finds no value in it and cronie refuses it; the job takes it as going over the end"
    ))
}

/// What to know of a field that is ours and not cron's: in one that can be read, a word that is no
/// name is `L`, `W` or `H`.
fn foreign(fields: &[&str]) -> Option<String> {
    let is_ours = |word: &str| !word.is_empty() && value(word).is_none();
    let field = fields.iter().find(|field| {
        field.contains(['#', '?']) || field.split(|c: char| !c.is_ascii_alphabetic()).any(is_ours)
    })?;
    Some(format!(
        "`{field}` is refused by Debian's cron and by cronie, so the line has never run under them; the job runs"
    ))
}

impl When {
    /// The lines under `schedule:`, with the zone when it is known.
    pub(super) fn lines(&self, zone: Option<&str>) -> Vec<String> {
        match self {
            Self::Reboot => vec!["cron: \"@reboot\"".to_owned()],
            Self::Every(length) => vec![format!("every: {}", format_duration(*length))],
            Self::Cron { expression, day_match } => {
                let mut lines = vec![format!("cron: {}", quoted(expression))];
                lines.extend(zone.map(|zone| format!("timezone: {}", scalar(zone))));
                match day_match {
                    Some(DayMatch::Any) => lines.push("day_match: any".to_owned()),
                    Some(DayMatch::All) => lines.push("day_match: all".to_owned()),
                    None => {}
                }
                lines
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is what the manifest says, with ` ?` after it when there is something to know,
    /// or `!` and what is wrong.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match when(text, "Europe/Berlin") {
            Ok((when, note)) => format!("{}{}", when.lines(None).join(", "), note.map_or("", |_| " ?")),
            Err(reason) => format!("!{reason}"),
        };
        let is_right = match expected.strip_prefix('!') {
            Some(_) => found.starts_with(expected),
            None => found == expected,
        };
        assert!(is_right, "{text}: {found}");
    }

    #[test]
    #[rustfmt::skip]
    fn what_cron_says_is_what_the_manifest_says() {
        check("30 2 * * *",         r#"cron: "30 2 * * *""#);
        check("0 0 1 * 1",          r#"cron: "0 0 1 * 1", day_match: any"#);
        check("0 0 */2 * 1",        r#"cron: "0 0 */2 * 1""#);
        check("@daily",             r#"cron: "@daily""#);
        check("@reboot",            r#"cron: "@reboot""#);
        check("@every 5m",          "every: 5m");
        check("@every 90s",         "every: 1m30s");
        check("@every_minute",      r#"cron: "* * * * *""#);
        check("@every 1.5h",        "!`1.5h` is not a duration");
        check("@every 1ms",         "!`1ms` is too short");
        check("@yesterday",         "!`@yesterday`: ");
        check("61 * * * *",         "!`61 * * * *`: in the minute field, `61` is not");
        check("0 0 30 2 *",         "!`0 0 30 2 *`: ");
    }

    #[test]
    #[rustfmt::skip]
    fn random_values_are_hashed_ones() {
        check("0~30 * * * *",       r#"cron: "H(0-30) * * * *""#);
        check("~ ~ * * *",          r#"cron: "H H * * *""#);
        check("~30 4~ * * *",       r#"cron: "H(0-30) H(4-23) * * *""#);
        check("5~5,0~9 * * * *",    r#"cron: "5,H(0-9) * * * *""#);
        check("30~0 * * * *",       "!`30~0 * * * *`: ");
    }

    #[test]
    #[rustfmt::skip]
    fn a_step_past_the_end_leaves_the_first_value() {
        check("*/90 * * * *",       r#"cron: "0 * * * *""#);
        check("*/60,5 * * * *",     r#"cron: "0,5 * * * *""#);
        check("*/59 * * * *",       r#"cron: "*/59 * * * *""#);
        check("5-10/20 */24 * * *", r#"cron: "5 0 * * *""#);
        check("0 0 */40 * *",       r#"cron: "0 0 1 * *""#);
        check("0 0 * */13 *",       r#"cron: "0 0 * 1 *""#);
        check("0 0 * * */7",        r#"cron: "0 0 * * 0""#);
        check("0 0 * * mon-tue/5",  r#"cron: "0 0 * * mon""#);
        check("0 0 * * Sun-Sat/7",  r#"cron: "0 0 * * Sun""#);
        check("0 0 * jan-MAR/5 *",  r#"cron: "0 0 * jan *""#);
        check("*/99999 * * * *",    r#"cron: "0 * * * *""#);
        check("0 0 * * mon-fri/2",  r#"cron: "0 0 * * mon-fri/2""#);
        // A day field that begins with `*` restricts nothing for cron, so both must match.
        check("0 0 */40 * 1",       r#"cron: "0 0 1 * 1", day_match: all"#);
    }

    #[test]
    #[rustfmt::skip]
    fn a_range_that_runs_backwards_is_told() {
        check("0 22-2 * * *",       r#"cron: "0 22-2 * * *" ?"#);
        check("0 2 * * fri-mon",    r#"cron: "0 2 * * fri-mon" ?"#);
        check("0 2 * * sat-sun",    r#"cron: "0 2 * * sat-sun" ?"#);
        check("0 2 * nov-feb *",    r#"cron: "0 2 * nov-feb *" ?"#);
        check("0 22-2/3 * * *",     r#"cron: "0 22-2/3 * * *" ?"#);
        check("0 22-2/5 * * *",     r#"cron: "0 22 * * *" ?"#);
        check("65535-65530/9 * * * *", "!`65535-65530/9 * * * *`: ");
        check("0 2 * * sat-sun/2",  r#"cron: "0 2 * * sat" ?"#);
        check("0 2 * * 6-7",        r#"cron: "0 2 * * 6-7""#);
        check("0 2 * jan-mar *",    r#"cron: "0 2 * jan-mar *""#);
    }

    #[test]
    #[rustfmt::skip]
    fn what_cron_itself_refuses_is_told() {
        check("0 0 L * *",          r#"cron: "0 0 L * *" ?"#);
        check("0 0 LW * *",         r#"cron: "0 0 LW * *" ?"#);
        check("0 0 15W * *",        r#"cron: "0 0 15W * *" ?"#);
        check("0 0 ? * *",          r#"cron: "0 0 ? * *" ?"#);
        check("0 0 * * 5L",         r#"cron: "0 0 * * 5L" ?"#);
        check("0 0 * * friL",       r#"cron: "0 0 * * friL" ?"#);
        check("H * * * *",          r#"cron: "H * * * *" ?"#);
        check("H(0-29)/10 h * * *", r#"cron: "H(0-29)/10 h * * *" ?"#);
        check("0 0 1 1 1#2",        r#"cron: "0 0 1 1 1#2", day_match: any ?"#);
        // Names with these letters, and what is random under cronie, are cron's own.
        check("0~30 0 * jul,JUL wed,thu", r#"cron: "H(0-30) 0 * jul,JUL wed,thu""#);
        let both = when("0 22-2 L * *", "UTC").unwrap().1.unwrap();
        assert!(both.contains("runs backwards") && both.contains("`L` is refused"), "{both}");
    }
}
