//! What `tintal validate` and `tintal next` say of schedules that are over, that ignore an option
//! or that the clock has nothing to do with.

#![allow(clippy::unwrap_used)]

mod common;

use common::Tree;

/// Expected are the problems of a job with this schedule: `CODE pointer: message`.
#[track_caller]
fn check(schedule: &str, expected: &[&str]) {
    let tree =
        Tree::with(&[("jobs.d/job.yaml", &format!("schedule: {schedule}\nrun: {{command: [echo, hi]}}\n"))]);
    let said = tree.run(&["validate", "--format", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let part = |problem: &serde_json::Value, key: &str| problem[key].as_str().unwrap().to_owned();
    let problems: Vec<String> = said["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| {
            format!("{} {}: {}", part(problem, "code"), part(problem, "pointer"), part(problem, "message"))
        })
        .collect();
    assert_eq!(problems, expected, "{schedule}");
}

#[test]
#[rustfmt::skip]
fn a_schedule_whose_last_fire_has_passed_is_told() {
    check(r#"{at: 2020-05-04T06:00:00Z}"#,
          &["TIN035 /schedule/at: 2020-05-04T06:00:00Z has passed: the job does not fire then"]);
    check(r#"{cron: "0 0 0 1 1 * 2020"}"#,
          &["TIN035 /schedule/cron: the last fire was at 2020-01-01T00:00:00Z: the entry does not fire again"]);
    check(r#"{cron: "0 6 * * *", end: 2020-05-04T07:00:00Z}"#,
          &["TIN035 /schedule/end: the last fire was at 2020-05-04T06:00:00Z: the entry does not fire again"]);
    check(r#"[{every: 1h, end: 2020-05-04T06:00:00Z}, {every: 1d}]"#,
          &["TIN035 /schedule/0/end: the last fire was at 2020-05-04T05:00:00Z: the entry does not fire again"]);
    check(r#"{cron: "@reboot", end: 2020-05-04T06:00:00Z}"#,
          &["TIN035 /schedule/end: the window has ended at 2020-05-04T06:00:00Z: the entry does not fire again"]);
    check(r#"{cron: "0 0 0 1 1 * 2190"}"#, &[]);
    check(r#"{every: 1h, end: 2190-05-04T06:00:00Z}"#, &[]);
}

#[test]
#[rustfmt::skip]
fn an_option_that_changes_nothing_is_told() {
    let reboot = "`@reboot` does not go by the clock";
    check(r#"{cron: "@reboot", timezone: Europe/Berlin, dst: {gap: skip}, day_match: all, jitter: 5m, start: 2020-01-01T00:00:00Z}"#, &[
        &format!("TIN041 /schedule/timezone: `timezone` has no effect: {reboot}"),
        &format!("TIN041 /schedule/dst: `dst` has no effect: {reboot}"),
        &format!("TIN041 /schedule/day_match: `day_match` has no effect: {reboot}"),
    ]);
    check(r#"{cron: "*/5 * * * *", timezone: Europe/Berlin, dst: {gap: skip}}"#,
          &["TIN041 /schedule/dst: `dst` has no effect: the expression matches every hour, so it runs on elapsed time"]);
    check(r#"{cron: "30 2 * * *", dst: {gap: skip}}"#,
          &["TIN041 /schedule/dst: `dst` has no effect: the clock of UTC never changes"]);
    check(r#"{cron: "30 2 * * *", timezone: Europe/Berlin, dst: {gap: skip}}"#, &[]);
    check(r#"{cron: "0 9 * * *", day_match: all}"#,
          &["TIN041 /schedule/day_match: `day_match` has no effect: no day field is set"]);
    check(r#"{cron: "0 9 * * MON", day_match: any}"#,
          &["TIN041 /schedule/day_match: `day_match` has no effect: only one day field is set"]);
    check(r#"{cron: "0 9 */2 * MON", day_match: any}"#,
          &["TIN041 /schedule/day_match: `day_match` has no effect: a day field that begins with `*` makes both count, as in cron"]);
    check(r#"{cron: "0 9 */2 * MON", day_match: all}"#, &[]);
    check(r#"{cron: "0 9 1 * MON", day_match: all}"#, &[]);
}

#[test]
fn options_of_a_directory_are_meant_for_those_entries_that_they_concern() {
    let tree = Tree::with(&[
        (
            "jobs.d/_defaults.yaml",
            "kind: defaults\nschedule: {timezone: Europe/Berlin, dst: {gap: skip}, day_match: all}\n",
        ),
        ("jobs.d/job.yaml", "schedule: {cron: \"*/5 * * * *\"}\nrun: {command: [echo, hi]}\n"),
    ]);
    let said = tree.run(&["validate"]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
}

#[test]
#[rustfmt::skip]
fn what_is_said_of_distances_and_lengths_is_true() {
    let fires = |schedule: &str, timeout: &str| {
        let manifest = format!("schedule: {schedule}\nrun: {{command: [echo, hi]}}\npolicy: {{timeout: {timeout}}}\n");
        let tree = Tree::with(&[("jobs.d/job.yaml", &manifest)]);
        tree.run(&["validate", "--format", "concise"]).stdout
    };
    assert!(fires(r#"[{cron: "0 9 * * *"}, {cron: "59 8 1 1 *"}]"#, "5m").contains("a run may take 5m, and two of its fires are 1m apart"));
    assert!(fires("{every: 1m}", "5m").contains("a run may take 5m, and the job fires every 1m"));
    assert!(fires("{every: 36500d}", "5m").contains("`36500d` is longer than ten years (write ten years (`3660d`) or less)"));
}

#[test]
fn a_reboot_job_is_spread_by_its_jitter_and_fires_once_for_a_start_of_the_machine() {
    let job =
        |jitter: &str| format!("schedule: {{cron: \"@reboot\"{jitter}}}\nrun: {{command: [echo, up]}}\n");
    let tree = Tree::with(&[
        ("jobs.d/at-once.yaml", &job("")),
        ("jobs.d/spread.yaml", &job(", jitter: 2s")),
        ("jobs.d/waits.yaml", &job(", jitter: 3000d")),
    ]);
    let daemon = tree.serve(&[]);
    assert_eq!(tree.wait_for_runs("at-once", 1)[0]["outcome"], "success");
    assert_eq!(tree.wait_for_runs("spread", 1)[0]["outcome"], "success");
    assert_eq!(tree.runs("waits").len(), 0);
    assert_eq!(daemon.stop(), Some(0));
    let daemon = tree.serve(&[]);
    // By hand, so that the daemon has had its turn with the others.
    assert_eq!(tree.run(&["trigger", "spread", "--follow"]).stdout.trim(), "up");
    assert_eq!((tree.runs("at-once").len(), tree.runs("spread").len()), (1, 2));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn next_marks_jobs_that_fire_for_a_start_of_the_machine_and_those_that_are_disabled() {
    let tree = Tree::with(&[
        ("jobs.d/boot.yaml", "schedule: {cron: \"@reboot\"}\nrun: {command: [echo, hi]}\n"),
        (
            "jobs.d/both.yaml",
            "schedule: [{cron: \"@reboot\"}, {every: 1h}]\nenabled: false\nrun: {command: [echo, hi]}\n",
        ),
        ("jobs.d/plain.yaml", "schedule: {every: 1h}\nrun: {command: [echo, hi]}\n"),
    ]);
    let marks = |job: &str| {
        let said = tree.json(&["next", job, "-n", "2", "--json"]);
        (
            said["reboot"].as_bool().unwrap(),
            said["enabled"].as_bool().unwrap(),
            said["fires"].as_array().unwrap().len(),
        )
    };
    assert_eq!(marks("boot"), (true, true, 0));
    assert_eq!(marks("both"), (true, false, 2));
    assert_eq!(marks("plain"), (false, true, 2));
    let both = tree.run(&["next", "both", "-n", "1"]);
    assert_eq!(both.stdout.lines().count(), 1);
    assert_eq!(
        both.stderr,
        "`both` fires once per start of the machine\n`both` is disabled: it does not fire\n"
    );
}

#[test]
fn next_shows_a_bounded_number_of_fires() {
    let tree = Tree::with(&[("jobs.d/job.yaml", "schedule: {every: 1s}\nrun: {command: [echo, hi]}\n")]);
    assert_eq!(tree.run(&["next", "job", "-n", "1000"]).stdout.lines().count(), 1000);
    for count in ["50000000", "0"] {
        let said = tree.run(&["next", "job", "-n", count]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
        assert!(said.stderr.contains("is not in 1..=100000"), "{}", said.stderr);
    }
}
