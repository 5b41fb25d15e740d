//! All problems of a document in one run: one mistake does not hide those that do not follow from it.

use super::check;

#[test]
fn a_mistake_of_shape_does_not_hide_the_meaning_of_its_siblings() {
    // The first entry is no entry: the others are checked, and told where they stand.
    check(
        "schedule:\n  - {cron: 5}\n  - {cron: \"61 * * * *\"}\n  - {cron: \"@daily\", timezone: Nowhere}\nrun: {command: [a]}\n",
        &["2 TIN011 /schedule/0/cron", "3 TIN030 /schedule/1/cron", "4 TIN032 /schedule/2/timezone"],
    );
    check(
        "run:\n  steps:\n    - {id: 1, shell: a}\n    - {id: b, shell: \"{{ nope }}\"}\n    - {id: b, http: {url: x}}\n",
        &[
            "3 TIN011 /run/steps/0/id",
            "4 TIN054 /run/steps/1/shell",
            "5 TIN052 /run/steps/2/id",
            "5 TIN056 /run/steps/2/http/url",
        ],
    );
    // A field that does not exist says nothing about templates.
    check(
        "zzz: 1\nrun: {command: [a, \"{{ params.b }}\", \"{{ nope }}\"]}\n",
        &["1 TIN010 /zzz", "2 TIN054 /run/command/1", "2 TIN054 /run/command/2"],
    );
}

#[test]
fn what_follows_from_a_mistake_is_not_told() {
    // Of the parameters not all are known, of other names they are.
    check(
        "params: {1a: 1}\nrun: {command: [a, \"{{ params.b }}\", \"{{ nope }}\"]}\n",
        &["1 TIN015 /params/1a", "2 TIN054 /run/command/2"],
    );
    check(
        "run:\n  steps:\n    - {id: 1, shell: a}\n    - {id: b, needs: [a], shell: \"{{ steps.a.output }}\"}\n",
        &["3 TIN011 /run/steps/0/id"],
    );
    check(
        "schedule: {cron: \"0 9 1 * MON\", day_match: bothh}\nrun: {command: [a]}\n",
        &["1 TIN013 /schedule/day_match"],
    );
    check(
        "schedule: {every: 1x}\ncharacteristics: {frequency: high}\nrun: {command: [a]}\ntests: [{after: \"2026-01-01T00:00:00Z\", fires: []}]\n",
        &["1 TIN015 /schedule/every"],
    );
}

#[test]
fn a_part_without_a_meaning_does_not_hide_the_others() {
    check(
        "schedule: [{every: 99999999w}, {cron: \"61 * * * *\"}]\nrun: {http: {url: nowhere}, env: {A: \"{{ nope }}\"}}\npolicy: {timeout: 0s}\n",
        &[
            "1 TIN033 /schedule/0/every",
            "1 TIN030 /schedule/1/cron",
            "2 TIN056 /run/http/url",
            "2 TIN054 /run/env/A",
            "3 TIN033 /policy/timeout",
        ],
    );
}

#[test]
fn every_circle_is_told_beside_needs_that_lead_nowhere() {
    check(
        "run:\n  steps:\n    - {id: a, needs: [b], shell: x}\n    - {id: b, needs: [a, zz], shell: x}\n    - {id: c, needs: [c], shell: x}\n    - {id: e, needs: [f], shell: x}\n    - {id: f, needs: [e, a], shell: x}\n",
        &[
            "3 TIN051 /run/steps/0/needs",
            "4 TIN050 /run/steps/1/needs/1",
            "5 TIN051 /run/steps/2/needs",
            "6 TIN051 /run/steps/3/needs",
        ],
    );
}

#[test]
fn two_circles_through_one_step_are_both_told() {
    check(
        "run:\n  steps:\n    - {id: a, needs: [b], shell: x}\n    - {id: b, needs: [a, c], shell: x}\n    - {id: c, needs: [b], shell: x}\n",
        &["3 TIN051 /run/steps/0/needs", "4 TIN051 /run/steps/1/needs"],
    );
}

#[test]
fn a_bad_time_in_one_schedule_test_does_not_stop_the_others() {
    check(
        "schedule: {cron: \"@daily\"}\nrun: {command: [a]}\ntests:\n  - {after: 2026-02-30T00:00:00Z, fires: []}\n  - {after: 2026-01-01T00:00:00Z, fires: [\"2026-01-01T01:00:00Z\"]}\n",
        &["4 TIN034 /tests/0/after", "5 TIN038 /tests/1/fires/0"],
    );
}
