//! Windows, `every`, `at`, several entries, and a manifest's own tests of its schedule.

use super::{at, compile, schedule};
use crate::schedule::expectation::{Expectation, check_tests};

/// Expected are the first fires after a time, as UTC without the year, and the last one before.
#[track_caller]
fn check(text: &str, after: &str, expected: &str) {
    let schedule = schedule(text);
    let show = |time: jiff::Timestamp| time.to_string()["2026-".len()..].trim_end_matches('Z').to_owned();
    let wanted = expected.split(" | ").next().unwrap_or_default().split(' ').count();
    let fires: Vec<String> =
        schedule.fires_after(at(after)).take(wanted).map(|fire| show(fire.time)).collect();
    let fires = if fires.is_empty() { "none".to_owned() } else { fires.join(" ") };
    let last = schedule.latest_at_or_before(at(after)).map_or("none".to_owned(), |fire| show(fire.time));
    assert_eq!(format!("{fires} | {last}"), expected, "`{text}` after {after}");
}

#[test]
#[rustfmt::skip]
fn triggers_table() {
    //    entry                          after                    next fires                        last
    check("every 6h",                    "2026-05-04T07:00:00Z",  "05-04T12:00:00 05-04T18:00:00 | 05-04T06:00:00");
    check("every 6h",                    "2026-05-04T06:00:00Z",  "05-04T12:00:00 | 05-04T06:00:00");
    check("every 700ms",                 "2026-05-04T06:00:00Z",  "05-04T06:00:00.4 05-04T06:00:01.1 | 05-04T05:59:59.7");
    check("at 2026-05-05T10:00:00Z",     "2026-05-04T06:00:00Z",  "05-05T10:00:00 | none");
    check("at 2026-05-05T10:00:00Z",     "2026-05-05T10:00:00Z",  "none | 05-05T10:00:00");
    check("@reboot",                     "2026-05-05T10:00:00Z",  "none | none");
    check("0 9 * * *; 0 9,10 * * *",     "2026-05-04T06:00:00Z",  "05-04T09:00:00 05-04T10:00:00 05-05T09:00:00 | 05-03T10:00:00");
    check("0 9 * * *; at 2026-05-04T09:00:00.5Z", "2026-05-04T09:00:00Z", "05-04T09:00:00.5 05-05T09:00:00 | 05-04T09:00:00");
}

#[test]
#[rustfmt::skip]
fn a_window_holds_its_start_and_not_its_end() {
    check("every 1h | from=2026-05-04T06:00:00Z to=2026-05-04T08:00:00Z", "2026-05-01T00:00:00Z", "05-04T06:00:00 05-04T07:00:00 | none");
    check("every 1h | from=2026-05-04T06:00:00Z to=2026-05-04T08:00:00Z", "2026-05-09T00:00:00Z", "none | 05-04T07:00:00");
    check("0 6 * * * | from=2026-05-04T06:00:00.5Z", "2026-05-01T00:00:00Z", "05-05T06:00:00 | none");
    check("0 6 * * * | to=2026-05-04T06:00:00.5Z",   "2026-05-03T12:00:00Z", "05-04T06:00:00 | 05-03T06:00:00");
}

#[test]
fn a_start_of_the_machine_fires_what_is_reboot_and_in_its_window() {
    let fires = |text: &str| schedule(text).fires_at_boot(at("2026-05-04T06:00:00Z"));
    assert!(fires("@reboot") && fires("0 0 * * *; @reboot"));
    assert!(!fires("0 0 * * *") && !fires("every 1h"));
    assert!(!fires("@reboot | from=2026-05-04T06:00:01Z") && !fires("@reboot | to=2026-05-04T06:00:00Z"));
    assert!(fires("@reboot | from=2026-05-04T06:00:00Z to=2026-05-04T06:00:01Z"));
}

#[test]
fn mistakes_of_all_entries_are_told_each_with_its_entry() {
    let errors = compile(
        "0 25 * * *; 0 0 * * *; every 1ms; 0 0 30 2 * | from=2026-01-02T00:00:00Z to=2026-01-01T00:00:00Z",
    );
    let entries: Vec<usize> = errors.unwrap_err().iter().map(|error| error.entry).collect();
    assert_eq!(entries, [0, 2, 3, 3]);
}

/// Expected is what is said of the first fire that differs: `TEST.FIRE: expected, came`.
#[track_caller]
fn check_expectation(after: &str, fires: &[&str], expected: &str) {
    let test = Expectation { after: at(after), fires: fires.iter().map(|fire| at(fire)).collect() };
    let shown: Vec<String> = check_tests(&schedule("0 9 * * * | to=2026-05-06T00:00:00Z"), &[test])
        .iter()
        .map(|mismatch| {
            let show =
                |time: Option<jiff::Timestamp>| time.map_or("nothing".to_owned(), |time| time.to_string());
            format!(
                "{}.{}: {}, {}",
                mismatch.test,
                mismatch.fire,
                show(mismatch.expected),
                show(mismatch.came)
            )
        })
        .collect();
    assert_eq!(shown.join(" "), expected);
}

#[test]
#[rustfmt::skip]
fn a_test_of_a_schedule_holds_or_tells_the_first_fire_that_differs() {
    let (fourth, fifth) = ("2026-05-04T09:00:00Z", "2026-05-05T09:00:00Z");
    check_expectation("2026-05-04T00:00:00Z", &[fourth, fifth], "");
    check_expectation("2026-05-04T00:00:00Z", &[fourth],        "");
    check_expectation("2026-05-04T09:00:00Z", &[fifth],         "");
    check_expectation("2026-05-05T09:00:00Z", &[],              "");
    check_expectation("2026-05-04T00:00:00Z", &[fifth],         "0.0: 2026-05-05T09:00:00Z, 2026-05-04T09:00:00Z");
    check_expectation("2026-05-04T09:00:00Z", &[fifth, fifth],  "0.1: 2026-05-05T09:00:00Z, nothing");
    check_expectation("2026-05-04T09:00:00Z", &[],              "0.0: nothing, 2026-05-05T09:00:00Z");
}

#[test]
fn a_start_of_the_machine_is_spread_by_the_least_jitter_of_what_fires_then() {
    use std::time::Duration;
    let now = at("2026-05-04T06:00:00Z");
    let delay = |text: &str| schedule(text).boot_delay(&super::job(), now);
    assert_eq!(delay("@reboot"), Duration::ZERO);
    assert_eq!(delay("0 0 * * * | jitter=1h"), Duration::ZERO);
    assert_eq!(delay("@reboot | jitter=1h; @reboot"), Duration::ZERO);
    let minute = delay("@reboot | jitter=1m");
    assert!(!minute.is_zero() && minute < Duration::from_secs(60));
    assert_eq!(delay("@reboot | jitter=1h; @reboot | jitter=1m"), minute);
    // Not that of an entry whose window is closed.
    assert_eq!(delay("@reboot | jitter=1m; @reboot | to=2026-01-01T00:00:00Z"), minute);
}
