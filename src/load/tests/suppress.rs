//! What `# tintal: ignore` holds for.

use super::{check, load, load_part, load_with, loader, told};
use crate::manifest::problem::PROBLEMS_MAX;

const BOTH_DAYS: &str = "cron: \"0 9 1 * MON\"";

#[test]
fn scopes_table() {
    let run = "run: {command: [a]}\n";
    // At the end of a line, that line.
    check(&format!("schedule:\n  {BOTH_DAYS} # tintal: ignore TIN036 -- meant\n{run}"), &[]);
    check(
        &format!("schedule: # tintal: ignore TIN036 -- meant\n  {BOTH_DAYS}\n{run}"),
        &["1 TIN070", "2 TIN036 /schedule/cron"],
    );
    // On a line of its own, the key that follows with all that is in it.
    check(&format!("# tintal: ignore TIN036 -- meant\nschedule:\n  {BOTH_DAYS}\n{run}"), &[]);
    check(&format!("schedule:\n  # tintal: ignore TIN036 -- meant\n  {BOTH_DAYS}\n{run}"), &[]);
    check(
        &format!("# tintal: ignore TIN036 -- meant\n{run}schedule:\n  {BOTH_DAYS}\n"),
        &["1 TIN070", "4 TIN036 /schedule/cron"],
    );
    // Before an item, and after its dash.
    let list = |before: &str, inner: &str| {
        format!("schedule:\n{before}  - {inner}{BOTH_DAYS}\n  - {BOTH_DAYS}\n{run}")
    };
    check(&list("  # tintal: ignore TIN036 -- meant\n", ""), &["4 TIN036 /schedule/1/cron"]);
    check(&list("", "# tintal: ignore TIN036 -- meant\n    "), &["4 TIN036 /schedule/1/cron"]);
    check(
        &format!(
            "schedule:\n  - # tintal: ignore TIN036 -- meant\n    timezone: UTC\n    {BOTH_DAYS}\n{run}"
        ),
        &[],
    );
    // In a text it is a part of the text.
    check("run:\n  shell: |\n    # tintal: ignore TIN036 -- no\n    true\n", &[]);
    // Errors are not waved away.
    check(
        "# tintal: ignore TIN033 -- fine\nschedule: {every: 1ms}\nrun: {command: [a]}\n",
        &["1 TIN070", "2 TIN033 /schedule/every"],
    );
}

#[test]
fn a_misspelt_suppression_is_told() {
    for comment in [
        "# tintal ignore TIN036 -- meant",
        "# Tintal: Ignore TIN036 -- meant",
        "# TINTAL: ignore TIN036 -- meant",
        "# tintal : ignore TIN036 -- meant",
        "# tintal: Ignore TIN036 -- meant",
        "# tintal: ignore TIN036",
        "# tintal: ignore TIN036 --",
        "# tintal: ignore -- meant",
        "# tintal: ignore TIN999 -- meant",
        "# tintal:",
    ] {
        check(&format!("run: {{command: [a]}} {comment}\n"), &["1 TIN071"]);
    }
    for comment in
        ["# tintal is ours", "# see tintal: ignore", "# tintal ignores it", "# tintall: ignore", "#"]
    {
        check(&format!("run: {{command: [a]}} {comment}\n"), &[]);
    }
}

/// In defaults, a suppression is about what jobs take over.
#[test]
fn a_warning_that_is_taken_over_is_suppressed_where_it_is_written_or_where_it_ends_up() {
    let defaults = |comment: &str| format!("kind: defaults\npolicy: {{timeout: 2h}} {comment}\n");
    let job = "schedule: {every: 1h}\nrun: {command: [a]}\n";
    let plain = load(&[("_defaults.yaml", &defaults("")), ("a.yaml", job), ("b.yaml", job)]);
    assert_eq!(told(&plain), ["_defaults.yaml:2 TIN040 /policy/timeout"]);
    let text = defaults("# tintal: ignore TIN040 -- skipped runs are fine");
    let there = load(&[("_defaults.yaml", &text), ("a.yaml", job), ("b.yaml", job)]);
    assert_eq!(told(&there), Vec::<String>::new());
    // In the job it is about that job alone.
    let own = format!("# tintal: ignore TIN040 -- skipped runs are fine\n{job}");
    let here = load(&[("_defaults.yaml", &defaults("")), ("a.yaml", &own), ("b.yaml", job)]);
    let [problem] = here.problems.as_slice() else { panic!("{:?}", told(&here)) };
    assert_eq!((problem.job.as_ref().unwrap().as_str(), problem.also.len()), ("b", 0));
}

#[test]
fn a_suppression_in_defaults_that_no_job_needs_is_told() {
    let text = "kind: defaults\npolicy: {timeout: 2h} # tintal: ignore TIN040, TIN036 -- fine\n";
    let often = ("a.yaml", "schedule: {every: 1h}\nrun: {command: [a]}\n");
    let seldom = ("a.yaml", "schedule: {every: 1d}\nrun: {command: [a]}\n");
    let mut loader = loader();
    for (job, expected) in [(often, 1), (seldom, 2), (often, 1)] {
        let tree = load_with(&mut loader, &[("_defaults.yaml", text), job]);
        assert_eq!(told(&tree), vec!["_defaults.yaml:2 TIN070"; expected], "{job:?}");
    }
    let bad = load(&[("_defaults.yaml", "kind: defaults # tintal: ignore TIN040\n")]);
    assert_eq!(told(&bad), ["_defaults.yaml:1 TIN071"]);
}

#[test]
fn a_suppression_above_a_part_may_be_needed_elsewhere() {
    let text = "kind: defaults\npolicy: {timeout: 2h} # tintal: ignore TIN040 -- meant\n";
    let seldom = "schedule: {every: 1d}\nrun: {command: [a]}\n";
    let part = load_part(&[("_defaults.yaml", text)], "b/", &[("x.yaml", seldom)]);
    assert_eq!(told(&part), Vec::<String>::new());
    // Of the part itself all is there.
    let part = load_part(&[], "b/", &[("_defaults.yaml", text), ("x.yaml", seldom)]);
    assert_eq!(told(&part), ["b/_defaults.yaml:2 TIN070"]);
}

#[test]
fn a_file_full_of_suppressions_is_read_in_one_go() {
    // With a look through the file for each, this would be some hundred million looks.
    let comment = "# tintal: ignore TIN036 -- meant\n";
    let params: String = (0..10_000).map(|index| format!("    {comment}    k{index}: 1\n")).collect();
    let text = format!(
        "{}schedule: {{{BOTH_DAYS}}}\nrun: {{command: [a]}}\nparams:\n  p:\n{params}",
        comment.repeat(9_000)
    );
    let tree = load(&[("a.yaml", &text)]);
    let unused = |line: &String| line.contains("TIN070");
    // Those before the schedule are all about it; the others are about nothing.
    assert_eq!(told(&tree).iter().filter(|line| unused(line)).count(), PROBLEMS_MAX);
    assert_eq!(tree.problems.len(), PROBLEMS_MAX + 1);
    assert!(tree.problems.iter().any(|problem| problem.message.starts_with("9800 more problems")));
    assert_eq!(tree.jobs.len(), 1);
}
