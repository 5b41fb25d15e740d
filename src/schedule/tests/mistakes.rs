//! What is said of entries that mean nothing.

use super::compile;

/// Expected is `KIND 'wrong part': message (help)` for each mistake, separated by ` & `.
#[track_caller]
fn check(text: &str, expected: &str) {
    let source = text.split('|').next().unwrap_or_default().trim();
    let errors = compile(text).err().unwrap_or_default();
    let shown: Vec<String> = errors
        .into_iter()
        .map(|error| {
            let part = error.range.map_or(String::new(), |range| format!(" '{}'", &source[range]));
            let help = error.help.map_or(String::new(), |help| format!(" ({help})"));
            format!("{:?}{part}: {}{help}", error.kind, error.message)
        })
        .collect();
    assert_eq!(shown.join(" & "), expected, "`{text}`");
}

/// Whether an entry compiles at all.
#[track_caller]
fn compiles(text: &str) {
    assert_eq!(compile(text).err(), None, "`{text}`");
}

#[test]
fn a_month_by_name_is_no_special_whatever_stands_beside_it() {
    for month in ["jul", "JUL", "jul-12", "5-jul", "jul-8", "jul-dec", "jul/2", "1,jul", "jan-jul/3"] {
        compiles(&format!("0 0 1 {month} *"));
    }
}

#[test]
#[rustfmt::skip]
fn specials_outside_of_the_day_fields_are_told() {
    let help = "(`L`, `W` and `#` belong in the day fields)";
    check("0 0 1 L *",    &format!("Cron 'L': `L` has no meaning in the month field {help}"));
    check("0 0 1 LW *",   &format!("Cron 'LW': `L` has no meaning in the month field {help}"));
    check("0 0 1 7L *",   &format!("Cron '7L': `L` has no meaning in the month field {help}"));
    check("0 15W * * *",  &format!("Cron '15W': `W` has no meaning in the hour field {help}"));
    check("5#2 0 * * *",  &format!("Cron '5#2': `#` has no meaning in the minute field {help}"));
    check("0 0 1 jul#2 *", &format!("Cron 'jul#2': `#` has no meaning in the month field {help}"));
    check("0 0 1 julw *", "Cron 'julw': in the month field, `julw` is not a value (did you mean `jul`?)");
}

#[test]
#[rustfmt::skip]
fn an_expression_that_no_clock_ever_shows_never_fires() {
    check("0 30 2 28 3 * 2027 | Europe/Berlin skip",
          "NeverFires: the expression never fires: the clock of Europe/Berlin jumps over 2027-03-28T02:30:00, and `gap: skip` drops it (write `dst: {gap: run-after}` or `dst: {gap: shift}`, or choose another time)");
    check("0 0 12 30 12 * 2011 | Pacific/Apia skip",
          "NeverFires: the expression never fires: the clock of Pacific/Apia jumps over 2011-12-30T12:00:00, and `gap: skip` drops it (write `dst: {gap: run-after}` or `dst: {gap: shift}`, or choose another time)");
    check("0 0 * 30 12 * 2011 | Pacific/Apia",
          "NeverFires: the expression never fires: the clock of Pacific/Apia jumps over 2011-12-30T00:00:00 (choose another day, or name the hours: then `dst` says what becomes of them)");
    check("0 0 0 1 1 * 1970 | Asia/Tokyo",
          "NeverFires: the expression never fires: in Asia/Tokyo its times lie before 1970 or after 2199 UTC (change the year)");
    check("0 0 23 31 12 * 2199 | America/New_York",
          "NeverFires: the expression never fires: in America/New_York its times lie before 1970 or after 2199 UTC (change the year)");
    compiles("0 30 2 28 3 * 2027 | Europe/Berlin");
    compiles("0 30 2 28 3 * 2027 | Europe/Berlin shift");
    compiles("0 0 12 30 12 * 2011 | Pacific/Apia");
    compiles("0 30 2 28 3 * 2027-2028 | Europe/Berlin skip");
    compiles("0 0 9 1 1 * 1970 | Asia/Tokyo");
}

#[test]
#[rustfmt::skip]
fn a_variable_in_front_of_an_expression_is_told_whatever_the_count_of_words() {
    let expected = |name| format!("Cron '{name}=Europe/Berlin': `{name}=` is not part of a cron expression (write `timezone: Europe/Berlin` beside `cron`)");
    check("TZ=Europe/Berlin 0 0 * * *",        &expected("TZ"));
    check("CRON_TZ=Europe/Berlin 0 0 * * *",   &expected("CRON_TZ"));
    check("CRON_TZ=Europe/Berlin 0 0 0 * * *", &expected("CRON_TZ"));
    check("TZ=Europe/Berlin 0 0 0 * * * 2026", &expected("TZ"));
    check("TZ=Europe/Berlin @daily",           &expected("TZ"));
}

#[test]
#[rustfmt::skip]
fn a_zone_that_differs_by_machine_is_refused() {
    let help = "(write a name of the IANA tz database, as in `Europe/Berlin` or `UTC`)";
    for name in ["localtime", "posixrules", "Factory"] {
        check(&format!("@daily | {name}"), &format!("TimeZone: `{name}` means another clock on another machine {help}"));
    }
    check("@daily | right/Europe/Berlin", "TimeZone: not every machine has the time zone `right/Europe/Berlin` (write `Europe/Berlin`)");
    check("@daily | posix/UTC", "TimeZone: not every machine has the time zone `posix/UTC` (write `UTC`)");
}

#[test]
#[rustfmt::skip]
fn mistakes_in_fields_are_told_at_their_place() {
    check("61 0 * * *",     "Cron '61': in the minute field, `61` is not between 0 and 59 (the last is 59; the next is 0)");
    check("0 24 * * *",     "Cron '24': in the hour field, `24` is not between 0 and 23 (midnight is 0)");
    check("0 0 0 * *",      "Cron '0': in the day-of-month field, `0` is not between 1 and 31 (days are counted from 1)");
    check("0 0 * 13 *",     "Cron '13': in the month field, `13` is not between 1 and 12 (months are counted from 1, or named `jan` to `dec`)");
    check("0 0 * * mon-8",  "Cron '8': in the day-of-week field, `8` is not between 0 and 7 (0 and 7 are Sunday, 1 is Monday, or `sun` to `sat`; a year needs all 7 fields)");
    check("0 0 * * monday", "Cron 'monday': in the day-of-week field, `monday` is not a value (did you mean `mon`?)");
    check("0 0 1,,2 * *",   "Cron ',,': the day-of-month field has an empty place in its list (remove the comma)");
    check("*/0 * * * *",    "Cron '0': in the minute field, a step of 0 never moves on (write a step of 1 or more)");
    check("*/ * * * *",     "Cron '/': in the minute field, the step after `/` is missing (write a number after the slash, as in `*/5`)");
    check("*/60 * * * *",   "Cron '*/60': in the minute field, a step of 60 goes past the end, so only 0 would match (write `0` if that is meant; for an interval, `every: 60m` instead of `cron`)");
    check("*/99999 * * * *", "Cron '*/99999': in the minute field, a step of 99999 goes past the end, so only 0 would match (write `0` if that is meant; for an interval, `every: 99999m` instead of `cron`)");
    check("0 0 5/65536 * *", "Cron '5/65536': in the day-of-month field, a step of 65536 goes past the end, so only 5 would match (write `5` if that is meant; for an interval, `every: 65536d` instead of `cron`)");
    check("H/99999 * * * *", "Cron 'H/99999': a step of 99999 goes past the end, so `H/99999` would match once (write `H`)");
    check("*/+5 * * * *",   "Cron '+5': in the minute field, `+5` is not a step (write one number after the slash, as in `*/5`)");
    check("? 0 * * *",      "Cron '?': `?` has no meaning in the minute field (write `*` for every value)");
    check("0 0 L-3 * *",    "Cron 'L-3': `L-3`, so many days before the last, is not supported (write `L` for the last day of the month, or the days themselves)");
    check("0 0 W * *",      "Cron 'W': `W` needs a day of the month before it (write `15W` for the Monday to Friday nearest to the 15th, or `1-5` in the day-of-week field for all of them)");
    check("0 0 L,LW * *",   "Cron 'L,LW': `L` and `LW` cannot stand in one list (give the job two entries, one for each)");
    check("0 0 * * L",      "Cron 'L': `L` alone has no meaning in the day-of-week field (write `sat` for every Saturday, or `5L` for the last Friday of the month)");
    check("0 0 * * 1#6",    "Cron '6': in the day-of-week field, `6` after `#` is not 1 to 5 (write `#1` to `#5` for the first to the fifth of the month, `L` for the last)");
    check("0 0 0 1 1 * 2030-2027", "Cron '2030-2027': the years of `2030-2027` run backwards (write `2027-2030`)");
    check("H(5-1) 0 * * *", "Cron 'H(5-1)': `H` cannot choose from a range that runs backwards, `5-1` (write `H(1-5)`)");
    // Each mistake, and not the first alone.
    check("61 24 * * *",    "Cron '61': in the minute field, `61` is not between 0 and 59 (the last is 59; the next is 0) & Cron '24': in the hour field, `24` is not between 0 and 23 (midnight is 0)");
}

#[test]
#[rustfmt::skip]
fn mistakes_of_the_whole_expression_are_told() {
    check("",               "Cron: the expression is empty (write five fields, as in `30 2 * * *`)");
    check("* * * *",        "Cron: the expression has 4 fields, not 5, 6 or 7 (the five are minute, hour, day of month, month, day of week, as in `30 2 * * *`)");
    check("0 0 0 * * * 2027 date", "Cron 'date': the expression has 8 fields, not 5, 6 or 7 (seven are second, minute, hour, day of month, month, day of week, year; a command belongs under `run`)");
    check("@every_minute",  "Cron '@every_minute': `@every` is not a cron expression (write `every: 1m` instead of `cron`)");
    check("@every 10 minutes", "Cron '@every 10 minutes': `@every` is not a cron expression (write `every: 10m` instead of `cron`)");
    check("@every",         "Cron '@every': `@every` is not a cron expression (write an interval instead of `cron`, as in `every: 5m`)");
    check("@everyfoo",      "Cron '@everyfoo': `@every` is not a cron expression (write an interval instead of `cron`, as in `every: 5m`)");
    check("@every 5m",      "Cron '@every 5m': `@every` is not a cron expression (write `every: 5m` instead of `cron`)");
    check("@dayly",         "Cron '@dayly': there is no expression with the name `@dayly` (did you mean `@daily`?)");
    check("0 0 * * * | Europe/Berln", "TimeZone: there is no time zone `Europe/Berln` (did you mean `Europe/Berlin`?)");
    check("0 0 * * * | CEST", "TimeZone: there is no time zone `CEST` (write a name of the IANA tz database, as in `Europe/Berlin` or `UTC`; an abbreviation can mean several zones)");
    check("0 0 * * * | +02:00", "TimeZone: there is no time zone `+02:00` (a zone has a name, as in `Europe/Berlin`; a clock that never changes is `Etc/GMT-2` (its sign is the other way round))");
    check("every 99ms",     "Duration: `99ms` is too short an interval (the shortest is `100ms`)");
}

#[test]
#[rustfmt::skip]
fn what_no_day_matches_is_told() {
    check("0 0 30 2 *",     "NeverFires '30 2 *': the expression never fires: there is no day 30 in Feb (change the day, the month or the year; `L` is the last day of any month)");
    check("0 0 31 4,6 *",   "NeverFires '31 4,6 *': the expression never fires: there is no day 31 in Apr, Jun (change the day, the month or the year; `L` is the last day of any month)");
    check("0 0 0 29 2 * 2027", "NeverFires '29 2 * 2027': the expression never fires: none of its years has a 29 February (change the day, the month or the year; `L` is the last day of any month)");
    check("0 0 31 * 1#1 | all", "NeverFires '31 * 1#1': the expression never fires: no day matches both day fields (a day has to match both day fields here; `day_match: any` and fields that do not begin with `*` make one enough)");
    compiles("0 0 29 2 *");
    compiles("0 0 29 2 0 | all");
}

#[test]
#[rustfmt::skip]
fn a_window_that_holds_no_fire_is_told() {
    let help = "change `start` or `end` so that a fire lies between them";
    check("0 6 * * * | from=2026-05-04T07:00:00Z to=2026-05-05T05:00:00Z", &format!("NeverFires: there is no fire between 2026-05-04T07:00:00Z and 2026-05-05T05:00:00Z ({help})"));
    check("0 0 0 1 1 * 2027 | from=2028-01-01T00:00:00Z", &format!("NeverFires: there is no fire at or after 2028-01-01T00:00:00Z ({help})"));
    check("0 0 0 1 1 * 2027 | to=2027-01-01T00:00:00Z", &format!("NeverFires: there is no fire before 2027-01-01T00:00:00Z ({help})"));
    check("at 2026-05-04T06:00:00Z | to=2026-05-04T06:00:00Z", &format!("NeverFires: 2026-05-04T06:00:00Z lies outside of the window ({help})"));
    check("0 6 * * * | from=2026-05-05T00:00:00Z to=2026-05-05T00:00:00Z", "Window: the window ends at 2026-05-05T00:00:00Z, which is not after its start at 2026-05-05T00:00:00Z (let `end` be later than `start`, or leave one of them out)");
}
