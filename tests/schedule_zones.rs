//! Fires over every zone of the tz database from 1970 to 2037, against an oracle that knows
//! nothing of ours: it walks the clock on the wall around each change and asks `jiff` what each
//! time stands for.
//!
//! F1. Zones that share a change share its check. Changes that differ only by the
//! year, as those of a rule do, are checked in full once, and then with one expression and one
//! policy each, in turn.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use jiff::{
    SignedDuration, Timestamp,
    civil::{self, DateTime},
    tz::{AmbiguousOffset, Offset, TimeZone},
};
use tintal::{
    manifest::{
        name::JobName,
        schedule::{DayMatch, DstOverlap, Gap},
        shared::Shared,
        spec::{CronSpec, ScheduleSpec, TriggerSpec},
    },
    schedule::Schedule,
};

/// Around a change, fires are compared this far in both directions: the longest gap is a day.
const NEAR: SignedDuration = SignedDuration::from_hours(30);
/// The oracle walks this far, so that what is shifted into the compared time is seen.
const WALK: SignedDuration = SignedDuration::from_hours(60);
/// Minutes from one time on the wall to the next in that walk; all expressions keep to them.
const STEP_MINUTES: i64 = 5;
/// Threads that share the zones.
const THREADS: usize = 4;

const POLICIES: [(Gap, DstOverlap); 3] =
    [(Gap::RunAfter, DstOverlap::First), (Gap::Shift, DstOverlap::Last), (Gap::Skip, DstOverlap::Both)];

/// An expression, and the same as a question to a time on the wall.
struct Case {
    cron: &'static str,
    matches: fn(DateTime) -> bool,
    /// Whether it leaves hours out, so that the policies hold for it.
    fixed: bool,
}

#[rustfmt::skip]
const CASES: [Case; 8] = [
    Case { cron: "30 2 * * *",         fixed: true,  matches: |t| t.hour() == 2 && t.minute() == 30 },
    Case { cron: "0 0 * * *",          fixed: true,  matches: |t| t.hour() == 0 && t.minute() == 0 },
    Case { cron: "15,45 1,2 * * *",    fixed: true,  matches: |t| matches!(t.hour(), 1 | 2) && matches!(t.minute(), 15 | 45) },
    Case { cron: "*/20 0,23 * * *",    fixed: true,  matches: |t| matches!(t.hour(), 0 | 23) && t.minute() % 20 == 0 },
    Case { cron: "30 */3 * * *",       fixed: true,  matches: |t| t.hour() % 3 == 0 && t.minute() == 30 },
    Case { cron: "0 0-3 * * SAT,SUN",  fixed: true,  matches: |t| t.hour() <= 3 && t.minute() == 0 && is_weekend(t) },
    Case { cron: "45 * * * *",         fixed: false, matches: |t| t.minute() == 45 },
    Case { cron: "*/30 * 1,31 * *",    fixed: false, matches: |t| t.minute() % 30 == 0 && matches!(t.day(), 1 | 31) },
];

fn is_weekend(time: DateTime) -> bool {
    matches!(time.weekday(), civil::Weekday::Saturday | civil::Weekday::Sunday)
}

fn first_second() -> Timestamp {
    "1970-01-01T00:00:00Z".parse().unwrap()
}

fn last_second() -> Timestamp {
    "2037-12-31T23:59:59Z".parse().unwrap()
}

/// The schedule of one expression in a zone; `entries` are `(expression, jitter)`.
fn schedule(zone: &str, entries: &[(&str, Duration)], (gap, overlap): (Gap, DstOverlap)) -> Schedule {
    let entry = |&(cron, jitter): &(&str, Duration)| {
        let cron = CronSpec {
            expression: cron.to_owned(),
            timezone: zone.to_owned(),
            gap,
            overlap,
            day_match: DayMatch::Any,
        };
        let jitter = Some(jitter).filter(|jitter| !jitter.is_zero());
        ScheduleSpec { trigger: TriggerSpec::Cron(cron), jitter, start: None, end: None }
    };
    let entries: Vec<ScheduleSpec> = entries.iter().map(entry).collect();
    Schedule::compile(&job(), &Shared::of(entries)).unwrap()
}

fn job() -> JobName {
    JobName::parse("job").unwrap()
}

/// A change of a zone's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    at: Timestamp,
    before: Offset,
    after: Offset,
}

/// The zone's changes of offset from 1970 to 2037.
fn changes(zone: &TimeZone) -> Vec<Change> {
    let second = SignedDuration::from_secs(1);
    zone.following(first_second())
        .map(|change| change.timestamp())
        .take_while(|&at| at <= last_second())
        .map(|at| Change { at, before: zone.to_offset(at - second), after: zone.to_offset(at) })
        .filter(|change| change.before != change.after)
        .collect()
}

/// Names of the tz database that mean the same everywhere.
fn zones() -> Vec<String> {
    let local = ["localtime", "posixrules", "Factory"];
    let names = jiff::tz::db().available().map(|name| name.as_str().to_owned());
    names
        .filter(|name| !local.contains(&name.as_str()))
        .filter(|name| !name.starts_with("posix/") && !name.starts_with("right/"))
        .filter(|name| TimeZone::get(name).is_ok_and(|zone| zone.iana_name() == Some(name)))
        .collect()
}

/// How much of a change is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Every expression with every policy.
    Full,
    /// This one of all expressions with all policies, counted round and round.
    Turn(usize),
}

/// Zones with changes that no zone before has; a change that has another one near it counts with
/// that one.
fn changes_once() -> Vec<(String, Vec<(Change, Depth)>)> {
    let mut seen = BTreeSet::new();
    let mut shapes = BTreeSet::new();
    let mut turn = 0;
    let mut found = Vec::new();
    for name in zones() {
        let zone = TimeZone::get(&name).unwrap();
        let all = changes(&zone);
        let is_near = |a: &Change, b: &Change| a.at.duration_since(b.at).abs() <= WALK;
        let mut new = Vec::new();
        for &change in &all {
            let around: Vec<Change> = all.iter().filter(|other| is_near(&change, other)).copied().collect();
            // On which weekday and at what time of day the clock goes from where to where.
            let old = change.before.to_datetime(change.at);
            let day = old.weekday().to_monday_zero_offset();
            let shape = (day, old.time(), change.before, change.after, around.len());
            if !seen.insert((change, around)) {
                continue;
            }
            turn += 1;
            let depth = if shapes.insert(shape) { Depth::Full } else { Depth::Turn(turn) };
            new.push((change, depth));
        }
        if !new.is_empty() {
            found.push((name, new));
        }
    }
    found
}

/// Times on the wall around a change that a case asks for, with what each stands for.
fn walls(zone: &TimeZone, change: Change) -> Vec<(DateTime, AmbiguousOffset)> {
    let midnight = |time: Timestamp| zone.to_datetime(time).date().to_datetime(civil::Time::midnight());
    let last = zone.to_datetime(change.at + WALK);
    let step = SignedDuration::from_mins(STEP_MINUTES);
    std::iter::successors(Some(midnight(change.at - WALK)), |&wall| wall.checked_add(step).ok())
        .take_while(|&wall| wall <= last)
        .filter(|wall| CASES.iter().any(|case| (case.matches)(*wall)))
        .map(|wall| (wall, zone.to_ambiguous_timestamp(wall).offset()))
        .collect()
}

/// When the case fires near a change.
fn oracle(
    case: &Case,
    (gap, overlap): (Gap, DstOverlap),
    walls: &[(DateTime, AmbiguousOffset)],
    changes: &[Change],
) -> BTreeSet<Timestamp> {
    let mut fires = BTreeSet::new();
    for &(wall, offset) in walls.iter().filter(|(wall, _)| (case.matches)(*wall)) {
        let at = |offset: Offset| offset.to_timestamp(wall).unwrap();
        match offset {
            AmbiguousOffset::Unambiguous { offset } => fires.extend([at(offset)]),
            AmbiguousOffset::Gap { .. } if !case.fixed => {}
            AmbiguousOffset::Gap { before, after } => match gap {
                Gap::Skip => {}
                Gap::Shift => fires.extend([at(before)]),
                Gap::RunAfter => {
                    fires.extend(changes.iter().map(|change| change.at).find(|&change| change > at(after)));
                }
            },
            AmbiguousOffset::Fold { before, after } => match overlap {
                _ if !case.fixed => fires.extend([at(before), at(after)]),
                DstOverlap::First => fires.extend([at(before)]),
                DstOverlap::Last => fires.extend([at(after)]),
                DstOverlap::Both => fires.extend([at(before), at(after)]),
            },
        }
    }
    fires
}

/// Checks one expression around one change; gives how many fires were compared.
fn check(
    name: &str,
    case: &Case,
    policies: (Gap, DstOverlap),
    change: Change,
    expected: &[Timestamp],
) -> usize {
    let schedule = schedule(name, &[(case.cron, Duration::ZERO)], policies);
    let told = || format!("{} in {name} around {}, {policies:?}", case.cron, change.at);
    let from = (change.at - NEAR).max(first_second());
    let fires: Vec<Timestamp> = schedule
        .fires_after(from)
        .map(|fire| fire.time)
        .take_while(|&fire| fire <= change.at + NEAR)
        .collect();
    assert_eq!(fires, expected, "{}", told());
    let nanosecond = SignedDuration::from_nanos(1);
    let latest = |time: Timestamp| schedule.latest_at_or_before(time).map(|fire| fire.time);
    for pair in fires.windows(2) {
        assert!(pair[0] < pair[1], "{} runs backwards", told());
        assert_eq!(latest(pair[1] - nanosecond), Some(pair[0]), "{} before {}", told(), pair[1]);
    }
    if let Some(&last) = fires.last() {
        assert_eq!(latest(last), Some(last), "{}", told());
        assert_eq!(latest(change.at + NEAR), Some(last), "{}", told());
    }
    fires.len()
}

fn check_zone(name: &str, new: &[(Change, Depth)]) -> usize {
    let zone = TimeZone::get(name).unwrap();
    let all = changes(&zone);
    let every: Vec<(&Case, (Gap, DstOverlap))> =
        CASES.iter().flat_map(|case| POLICIES.iter().map(move |&policy| (case, policy))).collect();
    let mut compared = 0;
    for &(change, depth) in new {
        let walls = walls(&zone, change);
        let near = (change.at - NEAR).max(first_second())..=change.at + NEAR;
        let checked = match depth {
            Depth::Full => every.clone(),
            Depth::Turn(turn) => vec![every[turn % every.len()]],
        };
        for (case, policy) in checked {
            let expected: Vec<Timestamp> = oracle(case, policy, &walls, &all)
                .into_iter()
                .filter(|fire| near.contains(fire) && fire != near.start())
                .collect();
            compared += check(name, case, policy, change, &expected);
        }
    }
    compared
}

#[test]
fn around_every_change_of_every_zone_fires_are_those_of_the_oracle_forward_and_backward() {
    assert!(zones().len() > 400, "the tz database is not whole");
    let all = changes_once();
    let compared: usize = thread::scope(|scope| {
        let shares: Vec<_> = (0..THREADS)
            .map(|share| {
                let all = &all;
                scope.spawn(move || {
                    let mine = all.iter().skip(share).step_by(THREADS);
                    mine.map(|(name, new)| check_zone(name, new)).sum::<usize>()
                })
            })
            .collect();
        shares.into_iter().map(|share| share.join().unwrap()).sum()
    });
    assert!(compared > 100_000, "only {compared} fires were compared");
}

/// Fires for each date on the wall, 1970 to 2037; a date with none is left out.
fn fires_by_date(zone: &str, cron: &str, policy: (Gap, DstOverlap)) -> BTreeMap<civil::Date, usize> {
    let clock = TimeZone::get(zone).unwrap();
    let mut dates = BTreeMap::new();
    let schedule = schedule(zone, &[(cron, Duration::ZERO)], policy);
    for fire in schedule.fires_after(first_second()).take_while(|fire| fire.time <= last_second()) {
        *dates.entry(clock.to_datetime(fire.time).date()).or_default() += 1;
    }
    dates
}

#[test]
fn a_daily_job_fires_once_on_every_local_day_and_once_for_a_day_that_never_was() {
    // Zones whose clocks change in their own ways: half an hour, at midnight, by two hours, by a day.
    for (zone, lost) in [
        ("Europe/Berlin", None),
        ("Australia/Lord_Howe", None),
        ("Asia/Beirut", None),
        ("America/Havana", None),
        ("America/Santiago", None),
        ("Antarctica/Troll", None),
        ("Africa/Cairo", None),
        ("Pacific/Apia", Some("2011-12-30")),
    ] {
        for cron in ["30 2 * * *", "0 0 * * *", "10 0 * * *"] {
            let dates = fires_by_date(zone, cron, (Gap::RunAfter, DstOverlap::First));
            let lost: Option<civil::Date> = lost.map(|date: &str| date.parse().unwrap());
            let mut expected = civil::date(1970, 1, 3);
            while expected < civil::date(2037, 12, 30) {
                let count = match lost {
                    Some(lost) if expected == lost => None,
                    // Its own fire, and the one that stands for the lost day.
                    Some(lost) if expected == lost.tomorrow().unwrap() && cron != "0 0 * * *" => Some(2),
                    _ => Some(1),
                };
                assert_eq!(dates.get(&expected).copied(), count, "{cron} in {zone} on {expected}");
                expected = expected.tomorrow().unwrap();
            }
        }
    }
}

#[test]
fn a_delayed_start_never_reaches_the_next_fire_also_with_several_entries_and_at_a_clock_change() {
    let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3_600));
    let job = job();
    for (zone, around) in [
        ("Europe/Berlin", ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"]),
        ("Australia/Lord_Howe", ["2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z"]),
        ("Africa/Cairo", ["2026-04-23T22:00:00Z", "2026-10-29T21:00:00Z"]),
        ("Antarctica/Troll", ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"]),
        ("Pacific/Apia", ["2011-12-30T10:00:00Z", "2012-03-31T14:00:00Z"]),
    ] {
        for policy in POLICIES {
            let entries = [("30 2 * * *", day), ("*/20 1-3 * * *", hour), ("0 */2 * * *", Duration::ZERO)];
            for count in 1..=entries.len() {
                let schedule = schedule(zone, &entries[..count], policy);
                for around in around {
                    let around: Timestamp = around.parse().unwrap();
                    let fires = schedule.fires_after(around - SignedDuration::from_hours(72));
                    for fire in fires.take_while(|fire| fire.time < around + SignedDuration::from_hours(72)) {
                        let next = schedule.next_after(fire.time).unwrap().time;
                        let delay = schedule.start_delay(&job, fire.time);
                        assert!(
                            fire.time + delay < next,
                            "{zone} {policy:?}: {} + {delay:?} reaches {next}",
                            fire.time
                        );
                    }
                }
            }
        }
    }
}
