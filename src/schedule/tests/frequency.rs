//! The smallest distance between two fires, and the frequency that it means.

use super::schedule;
use crate::manifest::{characteristics::Frequency, text::format_duration};

/// Expected is `DISTANCE frequency`.
#[track_caller]
fn check(text: &str, expected: &str) {
    let schedule = schedule(text);
    let interval = schedule.min_interval().map_or("none".to_owned(), format_duration);
    let frequency = match schedule.frequency() {
        Frequency::High => "high",
        Frequency::Medium => "medium",
        Frequency::Low => "low",
    };
    assert_eq!(format!("{interval} {frequency}"), expected, "`{text}`");
}

#[test]
#[rustfmt::skip]
fn frequency_table() {
    check("* * * * * *",                 "1s high");
    check("*/30 * * * * *",              "30s high");
    check("0,59 * * * * *",              "1s high");
    check("0,59 0 * * * *",              "59s high");
    check("every 59s",                   "59s high");
    check("* * * * *",                   "1m medium");
    check("every 1h",                    "1h medium");
    check("0 * * * *",                   "1h medium");
    check("58,2 * * * *",                "4m medium");
    check("59 23 * * *; 0 0 * * *",      "1m medium");
    check("0 9 * * *; 59 8 1 1 *",       "1m medium");
    check("0 * * * *; 30 0 0 15 * *",    "30s high");
    check("30 0 0 15 * *; 0 * * * *",    "30s high");
    check("30 59 23 15 * *; 0 * * * *",  "30s high");
    check("every 1h; 30 0 0 15 * *",     "30s high");
    check("0 */2 * * *",                 "2h low");
    check("30 2 * * * | Europe/Berlin",  "1d low");
    check("0 9 * * mon,fri",             "3d low");
    check("0 0 1 * *",                   "28d low");
    check("0 0 0 1 1 * 2027",            "none low");
    check("at 2026-05-05T10:00:00Z",     "none low");
    check("@reboot",                     "none low");
}

#[test]
#[rustfmt::skip]
fn the_window_counts() {
    check("every 10s | from=2026-05-04T06:00:00Z to=2026-05-04T06:00:05Z",  "none low");
    check("every 10s | from=2026-05-04T06:00:00Z to=2026-05-04T06:00:15Z",  "10s high");
    check("every 10s | from=2026-05-04T06:00:00Z",                          "10s high");
    check("every 10s | to=2026-05-04T06:00:05Z",                            "10s high");
    check("* * * * * | from=2026-05-04T06:00:00Z to=2026-05-04T06:01:00Z",  "none low");
    check("0,1 0 * * * | from=2026-05-04T00:01:00Z to=2026-05-05T00:01:00Z", "23h59m low");
    check("0 * * * * | to=2026-05-15T00:00:00Z; 30 0 0 15 5 * 2026-2027",     "1h medium");
    check("0 * * * * | to=2026-05-15T00:00:01Z; 30 0 0 15 5 * 2026-2027",     "30s high");
    check("every 10s | from=2026-05-04T06:00:00Z to=2026-05-04T06:00:05Z; 1 6 * * *", "1d low");
}
