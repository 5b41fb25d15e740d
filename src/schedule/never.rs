//! Finds out whether an expression matches any day at all, and says why not.
//!
//! Pure. The calendar has 14 kinds of years, so that at most 14 years have to be looked at; a
//! search for a day that does not exist would walk through thousands.

use croner::{CronPattern, Weekday};
use jiff::civil::Date;

use super::{
    expression::{DayRule, Expression},
    field::{Flaw, Unit},
};

/// Kinds of years: leap or not, beginning on each weekday.
const KINDS: usize = 14;

/// Whether a day of a year that the expression names matches its day fields.
pub(super) fn some_day_matches(pattern: &CronPattern, expression: &Expression) -> bool {
    let mut seen = [false; KINDS];
    expression
        .year
        .values
        .iter()
        .filter_map(|&year| Date::new(i16::try_from(year).ok()?, 1, 1).ok())
        .filter(|first| {
            let weekday = usize::try_from(first.weekday().to_sunday_zero_offset()).unwrap_or_default();
            let kind = weekday * 2 + usize::from(first.in_leap_year());
            !std::mem::replace(&mut seen[kind], true)
        })
        .any(|first| some_day_of_year(pattern, expression, first))
}

fn some_day_of_year(pattern: &CronPattern, expression: &Expression, first: Date) -> bool {
    let months = expression.month.values.iter().filter_map(|&month| i8::try_from(month).ok());
    months.filter_map(|month| Date::new(first.year(), month, 1).ok()).any(|first| {
        first.series(jiff::ToSpan::day(1)).take(usize::try_from(first.days_in_month()).unwrap_or(31)).any(
            |day| {
                let weekday = u32::try_from(day.weekday().to_sunday_zero_offset()).unwrap_or_default();
                let [month, number] =
                    [day.month(), day.day()].map(|part| u32::try_from(part).unwrap_or_default());
                let weekday = Weekday::from_days_from_sunday(weekday);
                pattern.day_match(i32::from(day.year()), month, number, weekday).unwrap_or(false)
            },
        )
    })
}

/// What to say of an expression that matches no day.
pub(super) fn explain(expression: &Expression, rule: DayRule) -> Flaw {
    let month_name = |&month: &u16| Unit::Month.names().get(usize::from(month) - 1).copied().unwrap_or("?");
    let months: Vec<String> = expression.month.values.iter().map(month_name).map(capital).collect();
    let months = months.join(", ");
    let longest = expression.month.values.iter().map(|&month| days_max(month)).max().unwrap_or(31);
    let first_day = expression.day.values.first().copied();
    let message = match first_day {
        Some(day) if expression.day.specials.is_empty() && day > longest => {
            format!("the expression never fires: there is no day {day} in {months}")
        }
        Some(29) if expression.month.values == [2] && expression.weekday.is_star() => {
            "the expression never fires: none of its years has a 29 February".to_owned()
        }
        _ if rule == DayRule::Both && !expression.day.is_star() && !expression.weekday.is_star() => {
            "the expression never fires: no day matches both day fields".to_owned()
        }
        _ => "the expression never fires: no day matches its day and month fields".to_owned(),
    };
    let help = if rule == DayRule::Both && !expression.weekday.is_star() && !expression.day.is_star() {
        "a day has to match both day fields here; `day_match: any` and fields that do not begin with `*` make one enough"
    } else {
        "change the day, the month or the year; `L` is the last day of any month"
    };
    Flaw::new(expression.days(), message).help(help)
}

fn days_max(month: u16) -> u16 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn capital(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    format!("{}{rest}", first.to_ascii_uppercase())
}
