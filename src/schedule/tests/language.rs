//! What expressions mean.

use super::{at, compile, job, schedule};
use crate::{
    manifest::{schedule::DayMatch, shared::Shared},
    schedule::{
        Schedule,
        expression::{Expression, Parsed},
    },
};

/// Expected are the values of second to weekday and, where the years are restricted, the year.
#[track_caller]
fn check(text: &str, expected: &str) {
    let policy = if text.ends_with("| all") { DayMatch::All } else { DayMatch::Any };
    let source = text.split('|').next().unwrap_or_default();
    let meaning = match Expression::parse(source, &job()) {
        Ok(Parsed::Reboot) => "reboot".to_owned(),
        Ok(Parsed::Times(expression)) => {
            let (fields, years) = expression.canonical(expression.day_rule(policy));
            if years == "*" { fields } else { format!("{fields} {years}") }
        }
        Err(flaws) => format!("{flaws:?}"),
    };
    assert_eq!(meaning, expected, "`{text}`");
}

#[test]
#[rustfmt::skip]
fn fields_are_five_or_six_with_seconds_or_seven_with_a_year() {
    //    expression             seconds to weekday, year
    check("30 2 * * *",          "0 30 2 * * *");
    check("15 30 2 * * *",       "15 30 2 * * *");
    check("15 30 2 * * * 2027",  "15 30 2 * * * 2027");
    check("  30\t2 *  * * ",     "0 30 2 * * *");
    check("@yearly",             "0 0 0 1 1 *");
    check("@annually",           "0 0 0 1 1 *");
    check("@monthly",            "0 0 0 1 * *");
    check("@weekly",             "0 0 0 * * 0");
    check("@daily",              "0 0 0 * * *");
    check("@midnight",           "0 0 0 * * *");
    check("@Hourly",             "0 0 * * * *");
    check("@reboot",             "reboot");
}

#[test]
#[rustfmt::skip]
fn a_field_is_a_list_of_values_ranges_and_steps() {
    check("1,2,3,9 0 * * *",     "0 1-3,9 0 * * *");
    check("9,1,1 0 * * *",       "0 1,9 0 * * *");
    check("10-12,11-14 0 * * *", "0 10-14 0 * * *");
    check("*/20 0 * * *",        "0 0,20,40 0 * * *");
    check("5/20 0 * * *",        "0 5,25,45 0 * * *");
    check("8-18/4 0 * * *",      "0 8,12,16 0 * * *");
    check("0-59 0-23 1-31 1-12 0-6", "0 * * 1-31 * 0-6");
    check("0 22-2 * * *",        "0 0 0-2,22-23 * * *");
    check("0 22-4/3 * * *",      "0 0 1,4,22 * * *");
    check("55-4/5 * * * *",      "0 0,55 * * * *");
    check("0 0 * nov-feb *",     "0 0 0 * 1-2,11-12 *");
    check("0 0 * jul-12 *",      "0 0 0 * 7-12 *");
    check("0 0 * JUL/2 *",       "0 0 0 * 7,9,11 *");
    check("0 0 0 1 1 ? 2027-2029,2035", "0 0 0 1 1 * 2027-2029,2035");
    check("0 0 0 1 1 * 2190/4",  "0 0 0 1 1 * 2190,2194,2198");
}

#[test]
#[rustfmt::skip]
fn weekdays_count_from_sunday_which_is_0_and_7() {
    check("0 0 * * 0",           "0 0 0 * * 0");
    check("0 0 * * 7",           "0 0 0 * * 0");
    check("0 0 * * sun",         "0 0 0 * * 0");
    check("0 0 * * mon-fri",     "0 0 0 * * 1-5");
    check("0 0 * * 5-7",         "0 0 0 * * 0,5-6");
    check("0 0 * * 7-2",         "0 0 0 * * 0-2");
    check("0 0 * * sat-mon",     "0 0 0 * * 0-1,6");
    check("0 0 * * fri-sun",     "0 0 0 * * 0,5-6");
    check("0 0 * * */2",         "0 0 0 * * 0,2,4,6");
    check("0 0 * * 7#2",         "0 0 0 * * 0#2");
    check("0 0 * * fri#1,friL",  "0 0 0 * * 5L,5#1");
}

#[test]
#[rustfmt::skip]
fn specials_name_days_that_depend_on_the_month() {
    check("0 0 L * *",           "0 0 0 L * *");
    check("0 0 lw * *",          "0 0 0 LW * *");
    check("0 0 WL * *",          "0 0 0 LW * *");
    check("0 0 15w * *",         "0 0 0 15W * *");
    check("0 0 1,L * *",         "0 0 0 1,L * *");
    check("0 0 * * 5l",          "0 0 0 * * 5L");
    check("0 0 * * mon#2",       "0 0 0 * * 1#2");
}

#[test]
#[rustfmt::skip]
fn both_day_fields_count_together_when_one_begins_with_a_star_or_when_asked() {
    // A `+` stands for "both".
    check("0 0 1 * mon",         "0 0 0 1 * 1");
    check("0 0 1 * mon | all",   "0 0 0 1 * +1");
    check("0 0 */2 * mon",       "0 0 0 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31 * +1");
    check("0 0 1 * */2",         "0 0 0 1 * +0,2,4,6");
    check("0 0 1-31 * mon",      "0 0 0 1-31 * 1");
    check("0 0 ? * mon",         "0 0 0 * * 1");
    check("0 0 1 * ?",           "0 0 0 1 * *");
    check("0 0 * * mon | all",   "0 0 0 * * 1");
}

#[test]
fn a_hash_is_a_value_of_the_field_and_moves_with_the_name_of_the_job_only() {
    let canonical = |text: &str, name: &str| {
        let job = crate::manifest::name::JobName::parse(name).unwrap();
        match Expression::parse(text, &job).unwrap() {
            Parsed::Times(expression) => expression.canonical(expression.day_rule(DayMatch::Any)).0,
            Parsed::Reboot => unreachable!("no expression here is a name"),
        }
    };
    // A changed hash moves the jobs of every user.
    assert_eq!(canonical("H H * * *", "nightly-report"), "0 43 1 * * *");
    assert_eq!(canonical("H H * * *", "nightly-report"), canonical("h h * * *", "nightly-report"));
    for number in 0..200 {
        let name = format!("job-{number}");
        for (text, allowed) in [
            ("0 H * * *", 0..=23),
            ("0 H(1-5) * * *", 1..=5),
            ("0 0 H * *", 1..=28),
            ("0 0 * H *", 1..=12),
            ("0 0 * * H", 0..=6),
        ] {
            let canonical = canonical(text, &name);
            let values = canonical.split(' ').filter_map(|field| field.parse::<u8>().ok());
            let place = text.split(' ').position(|field| field.starts_with('H')).unwrap();
            let values: Vec<u8> = values.collect();
            // All other fields are zeros or stars.
            let value = values.iter().copied().max().unwrap();
            assert!(allowed.contains(&value), "{text} for {name}: {canonical} at {place}");
        }
        let quarters = canonical("H/15 0 * * *", &name);
        let first: u8 = quarters.split([' ', ',']).nth(1).unwrap().parse().unwrap();
        assert!(
            first < 15
                && quarters.starts_with(&format!("0 {first},{},{},{} ", first + 15, first + 30, first + 45))
        );
    }
}

/// The first days on which it fires, as `MM-DD`, from the year 2026 on.
#[track_caller]
fn days(text: &str, expected: &str) {
    let count = expected.split(' ').count();
    let schedule = schedule(text);
    let fires = schedule.fires_after(at("2025-12-31T23:59:59Z")).take(count);
    let days: Vec<String> = fires
        .map(|fire| fire.time.to_string()["2026-".len()..].split('T').next().unwrap().to_owned())
        .collect();
    assert_eq!(days.join(" "), expected, "`{text}`");
}

#[test]
#[rustfmt::skip]
fn days_table() {
    // 2026-01-01 is a Thursday.
    days("0 0 L * *",         "01-31 02-28 03-31 04-30");
    // The last weekday: 31 January is a Saturday, 28 February too.
    days("0 0 LW * *",        "01-30 02-27 03-31 04-30 05-29");
    // The weekday nearest to the 15th: 15 February is a Sunday, 15 August a Saturday.
    days("0 0 15W * *",       "01-15 02-16 03-16 04-15 05-15 06-15 07-15 08-14");
    // Never into another month: 1 February is a Sunday, 1 August a Saturday.
    days("0 0 1W 2,8 *",      "02-02 08-03");
    days("0 0 31W 1,5 *",     "01-30 05-29");
    days("0 0 * * 5L",        "01-30 02-27 03-27");
    days("0 0 * * 1#1",       "01-05 02-02 03-02");
    days("0 0 * * 5#5",       "01-30 05-29 07-31");
    days("0 0 13 * 5",        "01-02 01-09 01-13 01-16");
    days("0 0 13 * 5 | all",  "02-13 03-13 11-13");
    days("0 0 */2 1 mon",     "01-05 01-19");
    days("0 0 1-31/2 1 mon",  "01-01 01-03 01-05 01-07 01-09 01-11 01-12");
}

#[test]
fn a_leap_day_is_found_also_over_a_century_without_one() {
    let schedule = schedule("0 0 29 2 *");
    let years: Vec<String> = schedule
        .fires_after(at("2092-03-01T00:00:00Z"))
        .take(3)
        .map(|fire| fire.time.to_string()[..10].to_owned())
        .collect();
    assert_eq!(years, ["2096-02-29", "2104-02-29", "2108-02-29"]);
}

#[test]
fn fires_begin_with_1970_and_end_with_2199() {
    let schedule = schedule("0 0 1 1 *");
    let first = schedule.next_after(jiff::Timestamp::MIN).unwrap().time;
    let last = schedule.latest_at_or_before(jiff::Timestamp::MAX).unwrap().time;
    assert_eq!((first, last), (at("1970-01-01T00:00:00Z"), at("2199-01-01T00:00:00Z")));
    assert_eq!(schedule.next_after(last), None);
    assert_eq!(schedule.latest_at_or_before(at("1969-12-31T23:59:59Z")), None);
}

#[test]
fn expressions_that_mean_the_same_are_equal_schedules() {
    let same = |a: &str, b: &str| compile(a).unwrap() == compile(b).unwrap();
    assert!(same("0 0 * * mon-fri", "0 0 0 * * 1,2,3,4,5"));
    assert!(same("*/20 * * * *", "0,20,40 0-23 * * *"));
    assert!(!same("0 0 1 * 1", "0 0 1 * 1 | all"));
    assert!(!same("0 0 * * *", "0 0 * * * | Europe/Berlin"));
    // Every hour goes by elapsed time: the policies make no difference.
    assert!(same("0 * * * * | Europe/Berlin", "0 * * * * | Europe/Berlin skip both"));
    assert!(!same("0 2 * * * | Europe/Berlin", "0 2 * * * | Europe/Berlin skip"));
    let by_hand = Schedule::compile(&job(), &Shared::default()).unwrap();
    assert!(by_hand.is_empty() && by_hand.next_after(at("2026-01-01T00:00:00Z")).is_none());
}
