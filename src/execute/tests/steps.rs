//! The steps of a DAG, with real processes.

use std::fs;

use super::{Bench, is_gone, run};
use crate::run::Outcome;

#[tokio::test]
async fn steps_run_as_their_needs_allow() {
    let ran = run("
run:
  steps:
    - {id: a, shell: 'echo 41'}
    - {id: b, needs: [a], shell: 'n={{ steps.a.output }}; echo $((n + 1))'}
    - {id: bad, shell: 'echo oops; exit 1'}
    - {id: after_bad, needs: [bad], shell: 'echo never'}
    - {id: c, needs: [b], command: [echo, 'b said {{ steps.b.output }}']}
")
    .await;
    let expected =
        Outcome::StepsFailed { failed: vec!["bad".to_owned()], skipped: vec!["after_bad".to_owned()] };
    assert_eq!(ran.outcome, expected, "{}", ran.output);
    for line in [
        "a | 41\n",
        "b | 42\n",
        "bad | oops\n",
        "c | b said 42\n",
        "the step `after_bad` is skipped, since `bad` did not succeed",
    ] {
        assert!(ran.output.contains(line), "{line}: {}", ran.output);
    }
    assert!(!ran.output.contains("never"));
}

#[tokio::test]
async fn the_output_of_a_step_is_what_it_prints_on_stdout() {
    let ran = run("
run:
  steps:
    - {id: v, shell: 'echo warning >&2; echo 42; echo late >&2'}
    - {id: w, needs: [v], command: [echo, 'v said <{{ steps.v.output }}>, {{ steps.v.json }}']}
")
    .await;
    assert_eq!(ran.outcome, Outcome::Success, "{}", ran.output);
    for line in ["v | warning\n", "v | 42\n", "v | late\n", "w | v said <42>, 42\n"] {
        assert!(ran.output.contains(line), "{line}: {}", ran.output);
    }
}

#[tokio::test]
async fn an_output_that_cannot_be_used_is_an_error_and_no_part_of_it_is_used() {
    // All of the log is kept.
    let bench = Bench { output_bytes_max: 8 << 20, ..Bench::new() };
    let ran = bench
        .run(
            "
run:
  steps:
    - {id: fits, shell: 'head -c 1048576 /dev/zero | tr \"\\0\" x; echo'}
    - {id: flood, shell: 'head -c 1048577 /dev/zero | tr \"\\0\" x'}
    - {id: text, shell: echo no JSON}
    - {id: a, needs: [fits], command: [echo, '{{ steps.fits.output | length }}']}
    - {id: b, needs: [flood], command: [echo, '{{ steps.flood.output | length }}']}
    - {id: c, needs: [text], command: [echo, '{{ steps.text.json.rows }}']}
    - {id: d, needs: [flood], command: [echo, '{{ steps.flood.status }}']}
",
        )
        .await;
    let failed = vec!["b".to_owned(), "c".to_owned()];
    let expected = Outcome::StepsFailed { failed, skipped: Vec::new() };
    let told: Vec<&str> = ran.output.lines().filter(|line| line.len() < 1000).collect();
    assert_eq!(ran.outcome, expected, "{told:?}");
    for part in [
        "a | 1048576",
        "the output of `flood` has more than 1048576 bytes",
        "the output of `text` is not JSON",
        "d | success",
    ] {
        assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:?}");
    }
}

#[tokio::test]
async fn independent_steps_run_at_once() {
    // Each waits for the other's file: one after the other they would never end.
    let bench = Bench::new();
    let (one, two) = (bench.path("one"), bench.path("two"));
    let ran = bench
        .run(&format!(
            "run:\n  steps:\n    - {{id: a, shell: 'touch {one}; until [ -e {two} ]; do sleep 0.01; done'}}\n    - {{id: b, shell: 'touch {two}; until [ -e {one} ]; do sleep 0.01; done'}}\npolicy: {{timeout: 20s}}\n"
        ))
        .await;
    assert_eq!(ran.outcome, Outcome::Success, "{}", ran.output);
}

#[tokio::test]
async fn a_step_has_a_timeout_and_a_retry_of_its_own() {
    let bench = Bench::new();
    let marker = bench.path("marker");
    let ran = bench
        .run(&format!(
            "run:\n  steps:\n    - {{id: flaky, shell: '[ -e {marker} ] || {{ touch {marker}; exit 1; }}', retry: {{max_attempts: 2, initial: 1ms}}}}\n    - {{id: slow, shell: sleep 60, timeout: 200ms}}\npolicy: {{kill_grace: 100ms}}\n"
        ))
        .await;
    let expected = Outcome::StepsFailed { failed: vec!["slow".to_owned()], skipped: Vec::new() };
    assert_eq!(ran.outcome, expected, "{}", ran.output);
    assert!(
        ran.output.contains("the step `flaky` failed (exit status 1); it is tried again"),
        "{}",
        ran.output
    );
}

#[tokio::test]
async fn a_step_that_times_out_does_not_end_its_siblings() {
    // The sibling ends by itself once the other has timed out.
    let bench = Bench::new();
    let marker = bench.path("marker");
    let ran = bench
        .run(&format!(
            "run:\n  steps:\n    - {{id: quick, shell: 'trap \"touch {marker}; exit\" TERM; sleep 60 & wait', timeout: 300ms}}\n    - {{id: other, shell: 'until [ -e {marker} ]; do sleep 0.01; done; sleep 0.5; echo lived'}}\n    - {{id: last, needs: [other], shell: echo on}}\npolicy: {{kill_grace: 100ms, timeout: 30s}}\n"
        ))
        .await;
    let expected = Outcome::StepsFailed { failed: vec!["quick".to_owned()], skipped: Vec::new() };
    assert_eq!(ran.outcome, expected, "{}", ran.output);
    assert!(ran.output.contains("other | lived\n") && ran.output.contains("last | on\n"), "{}", ran.output);
}

#[tokio::test]
async fn a_cancelled_attempt_ends_what_earlier_steps_left_behind() {
    let bench = Bench::new();
    let pid = bench.path("pid");
    let ran = bench
        .run(&format!(
            "run:\n  steps:\n    - {{id: a, shell: 'setsid sleep 60 >/dev/null 2>&1 & echo $! > {pid}'}}\n    - {{id: b, needs: [a], shell: sleep 60}}\npolicy: {{timeout: 1s, kill_grace: 100ms}}\n"
        ))
        .await;
    assert_eq!(ran.outcome, Outcome::Timeout, "{}", ran.output);
    assert!(is_gone(fs::read_to_string(pid).unwrap().trim()));
}
