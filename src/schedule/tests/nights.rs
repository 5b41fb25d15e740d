//! What becomes of times of day when a zone's clock changes. F1.

use jiff::tz::TimeZone;

use super::{at, schedule};
use crate::schedule::DstNote;

/// Expected are the fires after a time, on the zone's clock: `29T03:00+02:00`; a `!` marks one
/// that stands for times that the clock jumped over, a `*` one that the clock shows twice.
#[track_caller]
fn check(text: &str, after: &str, expected: &str) {
    let zone = text.split_once('|').unwrap().1.split_whitespace().next().unwrap();
    let zone = TimeZone::get(zone).unwrap();
    let shown: Vec<String> = schedule(text)
        .fires_after(at(after))
        .take(expected.split(' ').count())
        .map(|fire| {
            let mark = match fire.dst {
                Some(DstNote::Gap) => "!",
                Some(DstNote::Overlap) => "*",
                None => "",
            };
            format!("{}{mark}", fire.time.to_zoned(zone.clone()).strftime("%dT%H:%M%:z"))
        })
        .collect();
    assert_eq!(shown.join(" "), expected, "`{text}` after {after}");
}

#[test]
#[rustfmt::skip]
fn a_gap_of_an_hour_in_berlin() {
    // 2026-03-29: 02:00 becomes 03:00.
    let after = "2026-03-27T23:00:00Z";
    check("30 2 * * * | Europe/Berlin",          after, "28T02:30+01:00 29T03:00+02:00! 30T02:30+02:00");
    check("30 2 * * * | Europe/Berlin shift",    after, "28T02:30+01:00 29T03:30+02:00! 30T02:30+02:00");
    check("30 2 * * * | Europe/Berlin skip",     after, "28T02:30+01:00 30T02:30+02:00");
    // Several times in one gap are one fire, and it is one with what fires then anyway.
    check("*/20 2 * * * | Europe/Berlin",        after, "28T02:00+01:00 28T02:20+01:00 28T02:40+01:00 29T03:00+02:00! 30T02:00+02:00");
    check("*/20 2 * * * | Europe/Berlin shift",  "2026-03-28T12:00:00Z", "29T03:00+02:00! 29T03:20+02:00! 29T03:40+02:00! 30T02:00+02:00");
    check("0,30 2-3 * * * | Europe/Berlin",       "2026-03-28T12:00:00Z", "29T03:00+02:00! 29T03:30+02:00 30T02:00+02:00");
    check("0,30 2-3 * * * | Europe/Berlin shift", "2026-03-28T12:00:00Z", "29T03:00+02:00! 29T03:30+02:00! 30T02:00+02:00");
    check("0,30 2-3 * * * | Europe/Berlin skip",  "2026-03-28T12:00:00Z", "29T03:00+02:00 29T03:30+02:00 30T02:00+02:00");
    // Every hour goes by elapsed time, whatever the policy.
    check("30 * * * * | Europe/Berlin skip",     "2026-03-28T23:31:00Z", "29T01:30+01:00 29T03:30+02:00 29T04:30+02:00");
}

#[test]
#[rustfmt::skip]
fn an_overlap_of_an_hour_in_berlin() {
    // 2026-10-25: 03:00 becomes 02:00.
    let after = "2026-10-24T12:00:00Z";
    check("30 2 * * * | Europe/Berlin",          after, "25T02:30+02:00* 26T02:30+01:00");
    check("30 2 * * * | Europe/Berlin last",     after, "25T02:30+01:00* 26T02:30+01:00");
    check("30 2 * * * | Europe/Berlin both",     after, "25T02:30+02:00* 25T02:30+01:00* 26T02:30+01:00");
    check("0 2,3 * * * | Europe/Berlin",         after, "25T02:00+02:00* 25T03:00+01:00 26T02:00+01:00");
    check("*/30 2 * * * | Europe/Berlin both",   after, "25T02:00+02:00* 25T02:30+02:00* 25T02:00+01:00* 25T02:30+01:00* 26T02:00+01:00");
    check("30 * * * * | Europe/Berlin",          "2026-10-24T23:31:00Z", "25T02:30+02:00* 25T02:30+01:00* 25T03:30+01:00");
}

#[test]
#[rustfmt::skip]
fn half_an_hour_in_lord_howe() {
    // 2026-10-04: 02:00 becomes 02:30; 2026-04-05: 02:00 becomes 01:30.
    let (spring, autumn) = ("2026-10-03T12:00:00Z", "2026-04-04T12:00:00Z");
    check("15 2 * * * | Australia/Lord_Howe",       spring, "04T02:30+11:00! 05T02:15+11:00");
    check("15 2 * * * | Australia/Lord_Howe shift", spring, "04T02:45+11:00! 05T02:15+11:00");
    check("15 2 * * * | Australia/Lord_Howe skip",  spring, "05T02:15+11:00");
    check("45 1 * * * | Australia/Lord_Howe",       autumn, "05T01:45+11:00* 06T01:45+10:30");
    check("45 1 * * * | Australia/Lord_Howe last",  autumn, "05T01:45+10:30* 06T01:45+10:30");
    check("45 1 * * * | Australia/Lord_Howe both",  autumn, "05T01:45+11:00* 05T01:45+10:30* 06T01:45+10:30");
    check("15 1 * * * | Australia/Lord_Howe both",  autumn, "05T01:15+11:00 06T01:15+10:30");
}

#[test]
#[rustfmt::skip]
fn a_day_that_apia_never_had() {
    // 2011-12-29 was followed by 2011-12-31.
    let after = "2011-12-29T12:00:00Z";
    check("0 12 * * * | Pacific/Apia",              after, "29T12:00-10:00 31T00:00+14:00! 31T12:00+14:00");
    check("0 12 * * * | Pacific/Apia shift",        after, "29T12:00-10:00 31T12:00+14:00! 01T12:00+14:00");
    check("0 12 * * * | Pacific/Apia skip",         after, "29T12:00-10:00 31T12:00+14:00 01T12:00+14:00");
    check("0 */8 * * * | Pacific/Apia",             after, "29T08:00-10:00 29T16:00-10:00 31T00:00+14:00! 31T08:00+14:00");
    check("0 * * * * | Pacific/Apia",               "2011-12-30T08:30:00Z", "29T23:00-10:00 31T00:00+14:00 31T01:00+14:00");
}

#[test]
#[rustfmt::skip]
fn clocks_that_jump_over_midnight() {
    // Beirut 2026-03-29, Havana 2026-03-08, Santiago 2026-09-06, Cairo 2026-04-24: 00:00 becomes 01:00.
    check("0 0 * * * | Asia/Beirut",             "2026-03-28T12:00:00Z", "29T01:00+03:00! 30T00:00+03:00");
    check("0 0 * * * | Asia/Beirut shift",       "2026-03-28T12:00:00Z", "29T01:00+03:00! 30T00:00+03:00");
    check("0 0 * * * | Asia/Beirut skip",        "2026-03-28T12:00:00Z", "30T00:00+03:00");
    check("20 0 * * * | America/Havana",         "2026-03-07T12:00:00Z", "08T01:00-04:00! 09T00:20-04:00");
    check("20 0 * * * | America/Havana shift",   "2026-03-07T12:00:00Z", "08T01:20-04:00! 09T00:20-04:00");
    check("20 0 * * * | America/Havana skip",    "2026-03-07T12:00:00Z", "09T00:20-04:00");
    check("20 0 * * * | America/Santiago",       "2026-09-05T12:00:00Z", "06T01:00-03:00! 07T00:20-03:00");
    check("20 0 * * * | America/Santiago shift", "2026-09-05T12:00:00Z", "06T01:20-03:00! 07T00:20-03:00");
    check("20 0 * * * | Africa/Cairo",           "2026-04-23T12:00:00Z", "24T01:00+03:00! 25T00:20+03:00");
    check("20 0 * * * | Africa/Cairo skip",      "2026-04-23T12:00:00Z", "25T00:20+03:00");
    // A day of the week that begins at 01:00 is the same day.
    check("0 0 * * sun | America/Santiago",      "2026-09-05T12:00:00Z", "06T01:00-03:00! 13T00:00-03:00");
}

#[test]
#[rustfmt::skip]
fn clocks_that_go_back_over_midnight() {
    // Beirut 2026-10-25, Santiago 2026-04-05 and Cairo 2026-10-30: 00:00 becomes 23:00 of the day before.
    check("30 23 * * * | Asia/Beirut",           "2026-10-24T12:00:00Z", "24T23:30+03:00* 25T23:30+02:00");
    check("30 23 * * * | Asia/Beirut last",      "2026-10-24T12:00:00Z", "24T23:30+02:00* 25T23:30+02:00");
    check("0 0 * * * | Asia/Beirut",             "2026-10-24T12:00:00Z", "25T00:00+02:00 26T00:00+02:00");
    check("30 23 * * * | America/Santiago both", "2026-04-04T12:00:00Z", "04T23:30-03:00* 04T23:30-04:00* 05T23:30-04:00");
    check("30 23 * * * | Africa/Cairo both",     "2026-10-29T12:00:00Z", "29T23:30+03:00* 29T23:30+02:00* 30T23:30+02:00");
    // Havana goes from 01:00 back to 00:00 within the day.
    check("0 0 * * * | America/Havana",          "2026-10-31T12:00:00Z", "01T00:00-04:00* 02T00:00-05:00");
    check("0 0 * * * | America/Havana last",     "2026-10-31T12:00:00Z", "01T00:00-05:00* 02T00:00-05:00");
}

#[test]
#[rustfmt::skip]
fn two_hours_at_once_in_troll() {
    // 2026-03-29: 01:00 becomes 03:00; 2026-10-25: 03:00 becomes 01:00.
    check("30 1 * * * | Antarctica/Troll",       "2026-03-28T12:00:00Z", "29T03:00+02:00! 30T01:30+02:00");
    check("30 1 * * * | Antarctica/Troll shift", "2026-03-28T12:00:00Z", "29T03:30+02:00! 30T01:30+02:00");
    check("0 1,2 * * * | Antarctica/Troll both", "2026-10-24T12:00:00Z", "25T01:00+02:00* 25T02:00+02:00* 25T01:00+00:00* 25T02:00+00:00* 26T01:00+00:00");
}

#[test]
fn what_a_gap_drops_is_told_once_for_each_change() {
    let told = |text: &str, after: &str, until: &str| {
        let skipped = schedule(text).skipped_between(at(after), at(until));
        let each =
            skipped.iter().map(|gap| format!("{} {} to {} in {}", gap.at, gap.first, gap.last, gap.timezone));
        each.collect::<Vec<_>>().join("; ")
    };
    let (after, until) = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(
        told("*/20 2 * * * | Europe/Berlin skip", after, until),
        "2026-03-29T01:00:00Z 2026-03-29T02:00:00 to 2026-03-29T02:40:00 in Europe/Berlin"
    );
    assert_eq!(told("*/20 2 * * * | Europe/Berlin", after, until), "");
    assert_eq!(told("30 * * * * | Europe/Berlin skip", after, until), "");
    assert_eq!(told("0 4 * * * | Europe/Berlin skip", after, until), "");
    // Just before, and from, the instant of the change.
    assert_eq!(told("30 2 * * * | Europe/Berlin skip", after, "2026-03-29T00:59:59Z"), "");
    assert_eq!(told("30 2 * * * | Europe/Berlin skip", "2026-03-29T01:00:00Z", until), "");
    // A window that is closed then.
    assert_eq!(told("30 2 * * * | Europe/Berlin skip from=2026-05-01T00:00:00Z", after, until), "");
}
