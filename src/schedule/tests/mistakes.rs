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
