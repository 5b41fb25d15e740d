//! Fires outside of the nights when a clock changes are those of croniter and cronsim, save for
//! the differences that docs/cron.md lists.
//!
//! tests/oracle/vectors.py made the vectors. F25.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tintal::{
    manifest::{
        name::JobName,
        schedule::{DayMatch, DstOverlap, Gap},
        shared::Shared,
        spec::{CronSpec, ScheduleSpec, TriggerSpec},
    },
    schedule::{Schedule, compile::CompileFault},
};

/// Fires that a vector holds at most.
const FIRES: usize = 8;

/// What a program says of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// Seconds from the start to the first fire, and from each to the next.
    Fires(Vec<i64>),
    /// It reads the expression, and finds no fire.
    Never,
    /// It does not read the expression.
    Refused,
    /// It was not asked.
    NotAsked,
}

impl Said {
    fn parse(text: &str) -> Self {
        match text {
            "never" => Self::Never,
            "refused" => Self::Refused,
            "-" => Self::NotAsked,
            fires => Self::Fires(fires.split(' ').map(|fire| fire.parse().unwrap()).collect()),
        }
    }

    fn fires(&self) -> bool {
        matches!(self, Self::Fires(_))
    }
}

#[derive(Debug)]
struct Vector {
    text: String,
    days: DayMatch,
    zone: String,
    start: Timestamp,
    croniter: Said,
    cronsim: Said,
}

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn vectors() -> Vec<Vector> {
    let text = fs::read_to_string(root("tests/oracle/vectors.tsv")).unwrap();
    let line = |line: &str| {
        let [text, days, zone, start, croniter, cronsim] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        Vector {
            text: text.to_owned(),
            days: if days == "all" { DayMatch::All } else { DayMatch::Any },
            zone: zone.to_owned(),
            start: Timestamp::from_second(start.parse().unwrap()).unwrap(),
            croniter: Said::parse(croniter),
            cronsim: Said::parse(if cronsim == "=" { croniter } else { cronsim }),
        }
    };
    text.lines().map(line).collect()
}

/// What we say of an expression that stands in the place of a vector's own.
fn ours(vector: &Vector, text: &str, days: DayMatch) -> Said {
    let cron = CronSpec {
        expression: text.to_owned(),
        timezone: vector.zone.clone(),
        gap: Gap::default(),
        overlap: DstOverlap::default(),
        day_match: days,
    };
    let entry = ScheduleSpec { trigger: TriggerSpec::Cron(cron), jitter: None, start: None, end: None };
    let schedule = match Schedule::compile(&JobName::parse("job").unwrap(), &Shared::of([entry])) {
        Ok(schedule) => schedule,
        Err(errors) if errors.iter().all(|error| error.kind == CompileFault::NeverFires) => {
            return Said::Never;
        }
        Err(_) => return Said::Refused,
    };
    let zone = TimeZone::get(&vector.zone).unwrap();
    let day = SignedDuration::from_hours(24);
    let end: Timestamp = "2100-01-01T00:00:00Z".parse().unwrap();
    let mut last = vector.start;
    let fires: Vec<i64> = schedule
        .fires_after(vector.start)
        .map(|fire| fire.time)
        .take_while(|&fire| fire < end)
        .filter(|&fire| zone.to_offset(fire - day) == zone.to_offset(fire + day))
        .take(FIRES)
        .map(|fire| fire.as_second() - std::mem::replace(&mut last, fire).as_second())
        .collect();
    if fires.is_empty() { Said::Never } else { Said::Fires(fires) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    Croniter,
    Cronsim,
}

use Library::{Croniter, Cronsim};

/// An intended difference; docs/cron.md has a row for it under its name.
struct Rule {
    name: &'static str,
    library: Library,
    difference: Difference,
}

enum Difference {
    /// We fire, and the library refuses expressions of this form.
    TheyRefuse(fn(&Fields) -> bool),
    /// The library fires, and we refuse expressions of this form.
    WeRefuse(fn(&Fields) -> bool),
    /// The library takes expressions of this form for what we read in one of these.
    TheyMean(fn(&Fields) -> Vec<Fields>),
}

use Difference::{TheyMean, TheyRefuse, WeRefuse};

/// The fields of an expression, in capitals, with how the days combine. A name is one field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fields {
    /// Before the days: minute and hour, and second if there is one.
    times: Vec<String>,
    day: String,
    month: String,
    weekday: String,
    year: Option<String>,
    days: DayMatch,
}

impl Fields {
    fn of(vector: &Vector) -> Option<Self> {
        let words: Vec<String> = vector.text.split_whitespace().map(str::to_uppercase).collect();
        let empty = String::new;
        if words.len() == 1 {
            let (day, month, weekday) = (empty(), empty(), empty());
            return Some(Self { times: words, day, month, weekday, year: None, days: vector.days });
        }
        let before = if words.len() > 5 { 3 } else { 2 };
        let [times @ .., day, month, weekday] = &words[..words.len().min(before + 3)] else { return None };
        let [day, month, weekday] = [day, month, weekday].map(Clone::clone);
        let year = words.get(before + 3).cloned();
        Some(Self { times: times.to_vec(), day, month, weekday, year, days: vector.days })
    }

    fn text(&self) -> String {
        let rest = [&self.day, &self.month, &self.weekday].into_iter().chain(&self.year);
        self.times.iter().chain(rest).cloned().collect::<Vec<_>>().join(" ")
    }

    /// Each item of each field, with its place; years are left out.
    fn items(&self) -> impl Iterator<Item = (Place, &str)> {
        let places = [Place::Hour, Place::Minute, Place::Minute];
        let times = self.times.iter().rev().zip(places).map(|(field, place)| (place, field));
        let days = [(Place::Day, &self.day), (Place::Month, &self.month), (Place::Weekday, &self.weekday)];
        times.chain(days).flat_map(|(place, field)| field.split(',').map(move |item| (place, item)))
    }

    /// The same with other items in a field.
    fn with(&self, change: impl Fn(Place, &str) -> Option<String>) -> Option<Self> {
        let each = |place: Place, field: &str| {
            let items = field.split(',').map(|item| change(place, item).unwrap_or_else(|| item.to_owned()));
            items.collect::<Vec<_>>().join(",")
        };
        let mut new = self.clone();
        for (field, place) in new.times.iter_mut().rev().zip([Place::Hour, Place::Minute, Place::Minute]) {
            *field = each(place, field);
        }
        new.day = each(Place::Day, &new.day);
        new.month = each(Place::Month, &new.month);
        new.weekday = each(Place::Weekday, &new.weekday);
        (new != *self).then_some(new)
    }
}

/// Which field an item stands in; seconds count as minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

impl Place {
    /// First and last value; Sunday is the first day of the week.
    fn bounds(self) -> (u16, u16) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 6),
        }
    }

    fn value(self, text: &str) -> Option<u16> {
        let names: &[&str] = match self {
            Self::Month => {
                &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
            }
            Self::Weekday => &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
            _ => &[],
        };
        let named = names.iter().position(|&name| name == text);
        let named = named.map(|index| self.bounds().0 + u16::try_from(index).unwrap());
        named.or_else(|| text.parse().ok())
    }
}

/// First and last value of a range, and its step.
fn range(place: Place, item: &str) -> Option<(u16, u16, u16)> {
    let (values, step) = item.split_once('/').unwrap_or((item, "1"));
    let (first, last) = values.split_once('-')?;
    Some((place.value(first)?, place.value(last)?, step.parse().ok()?))
}

/// Values from the first one on, to the last.
fn list(first: u16, last: u16, step: u16) -> String {
    let values: Vec<String> =
        (first..=last).step_by(usize::from(step)).map(|value| value.to_string()).collect();
    values.join(",")
}

/// Whether the step of an item is longer than what it steps through.
fn is_long_step(place: Place, item: &str) -> bool {
    let Some((base, step)) = item.split_once('/') else { return false };
    let (low, high) = if place == Place::Weekday { (0, 7) } else { place.bounds() };
    let end = if place == Place::Weekday && base == "*" { 6 } else { high };
    let (first, last) = match base.split_once('-') {
        _ if base == "*" => (low, end),
        Some((first, last)) => (place.value(first).unwrap(), place.value(last).unwrap()),
        None => (place.value(base).unwrap(), end),
    };
    step.parse::<u16>().unwrap() > last - first
}

/// What croniter makes of the day fields of an expression whose other day field is special: the
/// special one alone counts, and nothing when no day could match both.
fn special_alone(fields: &Fields, alone: Fields) -> Vec<Fields> {
    vec![Fields { days: DayMatch::All, ..fields.clone() }, alone]
}

#[rustfmt::skip]
const RULES: &[Rule] = &[
    Rule { name: "all days of the week beside a star", library: Croniter, difference: TheyMean(|fields| {
        let is_whole = fields.weekday.split(',').any(|item| {
            range(Place::Weekday, item).is_some_and(|(first, last, step)| step == 1 && (last + 7 - first) % 7 == 6)
        });
        let starred = Fields { weekday: "*".to_owned(), ..fields.clone() };
        if is_whole && fields.day.contains('*') && fields.day != "*" { vec![starred] } else { Vec::new() }
    }) },
    Rule { name: "days that begin with a star", library: Croniter, difference: TheyMean(|fields| {
        fields.with(|place, item| match (place, item.strip_prefix("*/")) {
            (Place::Day, Some(step)) => Some(format!("1-31/{step}")),
            (Place::Weekday, Some(step)) => Some(format!("0-6/{step}")),
            _ => None,
        }).into_iter().collect()
    }) },
    Rule { name: "`4/2` as a day of the week", library: Croniter, difference: TheyMean(|fields| {
        fields.with(|place, item| {
            let (first, step) = item.split_once('/').filter(|_| place == Place::Weekday)?;
            Some(list(place.value(first)? % 7, 6, step.parse().ok()?))
        }).into_iter().collect()
    }) },
    Rule { name: "`1#4` beside a day of the month", library: Croniter, difference: TheyMean(|fields| {
        let is_it = fields.weekday.contains('#') && fields.day != "*" && fields.days == DayMatch::Any;
        let alone = Fields { day: "*".to_owned(), ..fields.clone() };
        if is_it { special_alone(fields, alone) } else { Vec::new() }
    }) },
    Rule { name: "`15W` beside a day of the week", library: Croniter, difference: TheyMean(|fields| {
        let is_it = fields.day.ends_with('W') && fields.weekday != "*" && fields.days == DayMatch::Any;
        let alone = Fields { weekday: "*".to_owned(), ..fields.clone() };
        if is_it { special_alone(fields, alone) } else { Vec::new() }
    }) },
    Rule { name: "`31W` in a short month", library: Croniter, difference: TheyMean(|fields| {
        fields.with(|_, item| (item == "31W").then(|| "LW".to_owned())).into_iter().collect()
    }) },
    Rule { name: "a range of one value", library: Croniter, difference: TheyMean(|fields| {
        fields.with(|place, item| {
            let (first, last, step) = range(place, item)?;
            let (low, high) = place.bounds();
            (first == last).then(|| list(low, high, step))
        }).into_iter().collect()
    }) },
    Rule { name: "a range of one value", library: Cronsim, difference: TheyMean(|fields| {
        fields.with(|place, item| {
            let (first, last, step) = range(place, item)?;
            (first == last && item.contains('/')).then(|| list(first, if place == Place::Weekday { 7 } else { place.bounds().1 }, step))
        }).into_iter().collect()
    }) },
    Rule { name: "a step over the end", library: Croniter, difference: TheyMean(|fields| {
        fields.with(|place, item| {
            let (first, last, step) = range(place, item).filter(|(first, last, step)| last < first && *step > 1)?;
            let (low, high) = place.bounds();
            let before = list(first, high, step);
            let next = (first..).step_by(usize::from(step)).find(|&value| high < value)? - (high - low);
            Some(if low <= next && next <= last { format!("{before},{}", list(next, last, step)) } else { before })
        }).into_iter().collect()
    }) },
    Rule { name: "`@daily` and its like", library: Cronsim, difference: TheyRefuse(|fields| fields.text().starts_with('@')) },
    Rule { name: "years", library: Cronsim, difference: TheyRefuse(|fields| fields.year.is_some()) },
    Rule { name: "`?`", library: Cronsim, difference: TheyRefuse(|fields| fields.day == "?" || fields.weekday == "?") },
    Rule { name: "ranges over the end", library: Cronsim, difference: TheyRefuse(|fields| {
        fields.items().any(|(place, item)| range(place, item).is_some_and(|(first, last, _)| last < first))
    }) },
    Rule { name: "`15W`", library: Cronsim, difference: TheyRefuse(|fields| {
        fields.items().any(|(place, item)| place == Place::Day && item.ends_with('W') && item != "LW")
    }) },
    Rule { name: "`LW`", library: Croniter, difference: TheyRefuse(|fields| fields.day.contains("LW")) },
    Rule { name: "`15W` in a list", library: Croniter, difference: TheyRefuse(|fields| {
        fields.day.contains(',') && fields.day.contains('W')
    }) },
    Rule { name: "`5L`", library: Croniter, difference: TheyRefuse(|fields| {
        fields.items().any(|(place, item)| place == Place::Weekday && item.ends_with('L'))
    }) },
    Rule { name: "`1#2` in a list with plain days", library: Croniter, difference: TheyRefuse(|fields| {
        fields.weekday.contains('#') && fields.weekday.split(',').any(|item| !item.contains('#'))
    }) },
    Rule { name: "steps past the end", library: Croniter, difference: WeRefuse(has_long_step) },
    Rule { name: "steps past the end", library: Cronsim, difference: WeRefuse(has_long_step) },
    Rule { name: "`L5`", library: Croniter, difference: WeRefuse(|fields| {
        fields.items().any(|(place, item)| place == Place::Weekday && item.starts_with('L'))
    }) },
    Rule { name: "`L` and `LW` in one list", library: Cronsim, difference: WeRefuse(|fields| fields.day == "L,LW") },
];

fn has_long_step(fields: &Fields) -> bool {
    fields.items().any(|(place, item)| is_long_step(place, item))
}

/// The rules that explain what a library says; none when it is what we say.
fn explain(vector: &Vector, library: Library, said: &Said) -> Result<Vec<&'static str>, String> {
    let agree = |mine: &Said| mine == said || !mine.fires() && !said.fires();
    let mine = ours(vector, &vector.text, vector.days);
    if agree(&mine) {
        return Ok(Vec::new());
    }
    let unexplained = || format!("{vector:?}: {library:?} says {said:?}, we say {mine:?}");
    let Some(fields) = Fields::of(vector) else { return Err(unexplained()) };
    let rules = || RULES.iter().filter(|rule| rule.library == library);
    let refused = rules().find(|rule| match rule.difference {
        TheyRefuse(form) => mine.fires() && *said == Said::Refused && form(&fields),
        WeRefuse(form) => mine == Said::Refused && said.fires() && form(&fields),
        TheyMean(_) => false,
    });
    if let Some(rule) = refused {
        return Ok(vec![rule.name]);
    }
    let mut meanings: Vec<(Fields, Vec<&'static str>)> = vec![(fields, Vec::new())];
    for rule in rules() {
        let TheyMean(change) = rule.difference else { continue };
        let changed = |(fields, names): &(Fields, Vec<&'static str>)| {
            let names: Vec<&'static str> = names.iter().copied().chain([rule.name]).collect();
            change(fields).into_iter().map(|meant| (meant, names.clone())).collect::<Vec<_>>()
        };
        let new: Vec<_> = meanings.iter().flat_map(changed).collect();
        if !new.is_empty() {
            meanings = new;
        }
    }
    let meant = meanings
        .iter()
        .find(|(fields, names)| !names.is_empty() && agree(&ours(vector, &fields.text(), fields.days)));
    meant.map(|(_, names)| names.clone()).ok_or_else(|| format!("{}; {meanings:?}", unexplained()))
}

#[test]
fn fires_are_those_of_croniter_and_cronsim_save_for_the_differences_that_are_listed() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut agreed = 0;
    let mut unexplained = Vec::new();
    for vector in vectors() {
        for (library, said) in [(Croniter, &vector.croniter), (Cronsim, &vector.cronsim)] {
            if *said == Said::NotAsked {
                continue;
            }
            match explain(&vector, library, said) {
                Ok(names) if names.is_empty() => agreed += usize::from(said.fires()),
                Ok(names) => names.into_iter().for_each(|name| *counts.entry(name).or_default() += 1),
                Err(what) => unexplained.push(what),
            }
        }
    }
    assert!(unexplained.is_empty(), "{} are not explained:\n{}", unexplained.len(), unexplained.join("\n"));
    let unused: Vec<&str> =
        RULES.iter().map(|rule| rule.name).filter(|name| !counts.contains_key(name)).collect();
    assert_eq!(unused, Vec::<&str>::new(), "differences that no vector shows");
    assert!(agreed > 3_500, "only {agreed} answers are the same");
}

#[test]
fn there_are_vectors_of_two_thousand_expressions_in_several_zones() {
    let vectors = vectors();
    let texts: BTreeSet<&str> = vectors.iter().map(|vector| vector.text.as_str()).collect();
    let zones: BTreeSet<&str> = vectors.iter().map(|vector| vector.zone.as_str()).collect();
    assert!(texts.len() >= 2_000 && zones.len() >= 5, "{} in {}", texts.len(), zones.len());
    let shown = |says: fn(&Vector) -> bool| vectors.iter().filter(|vector| says(vector)).count();
    assert!(shown(|vector| vector.croniter.fires()) >= 2_000);
    assert!(shown(|vector| vector.cronsim.fires()) >= 1_500);
    assert!(shown(|vector| vector.days == DayMatch::All) >= 200);
}

#[test]
fn every_difference_has_a_row_in_the_documents_and_every_row_is_one() {
    let page = fs::read_to_string(root("docs/cron.md")).unwrap();
    let (_, table) = page.split_once("| form | here | croniter 7.0 | cronsim 2.8 |").unwrap();
    let table = table.split("\n\n").next().unwrap();
    let rows: BTreeSet<&str> =
        table.lines().skip(2).map(|row| row.trim_start_matches("| ").split(" | ").next().unwrap()).collect();
    let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(rows, names);
}

#[test]
#[cfg(feature = "servers")]
fn the_vectors_are_those_that_the_script_makes() {
    let python = std::env::var("TEST_PYTHON").unwrap();
    let output = std::process::Command::new(python).arg(root("tests/oracle/vectors.py")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = String::from_utf8(output.stdout).unwrap();
    let kept = fs::read_to_string(root("tests/oracle/vectors.tsv")).unwrap();
    let different = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert_eq!(different, None, "run tests/oracle/vectors.py > tests/oracle/vectors.tsv");
    assert_eq!(made.len(), kept.len());
}
