//! What is kept and shown of the output.

use std::fs;

use super::{Bench, run};
use crate::run::Outcome;

#[tokio::test]
async fn a_flood_of_output_keeps_its_beginning_and_its_end() {
    let bench = Bench { output_bytes_max: 64 * 1024, ..Bench::new() };
    let ran = bench
        .run("run: {shell: \"echo first; head -c 20000000 /dev/zero | tr '\\\\0' x; echo; echo last\"}")
        .await;
    assert_eq!(ran.outcome, Outcome::Success);
    assert_eq!(ran.size.seen, 20_000_000 + 12);
    assert!(ran.output.starts_with("first\nxxx") && ran.output.ends_with("xxx\nlast\n"));
    assert!(ran.output.contains("bytes cut out here]"));
    assert!(ran.output.len() < 66 * 1024, "{}", ran.output.len());
}

#[tokio::test]
async fn secrets_are_given_and_never_shown() {
    let bench = Bench::new();
    fs::write(bench.path("token"), "hunter22-very-secret\n").unwrap();
    let yaml = format!(
        "run:\n  shell: |\n    echo \"it is $TOKEN\"\n    printf hunter22\n    sleep 0.4\n    printf -- -very-secret\n    [ \"$TOKEN\" = hunter22-very-secret ]\n  secrets: {{TOKEN: {{file: {}}}}}\n",
        bench.path("token")
    );
    let ran = bench.run(&yaml).await;
    assert_eq!(ran.outcome, Outcome::Success, "{}", ran.output);
    assert_eq!(ran.output, "it is ***\n***");
}

#[tokio::test]
async fn a_line_that_comes_in_parts_has_one_prefix() {
    let ran = run("run: {steps: [{id: a, shell: 'printf abc; sleep 0.4; echo def; printf end'}]}").await;
    assert_eq!(ran.output, "a | abcdef\na | end");
}

#[tokio::test]
async fn an_attempt_that_is_ended_says_so_in_its_output() {
    let ran = run("run: {shell: printf abc; sleep 60}\npolicy: {timeout: 200ms}").await;
    assert_eq!(ran.output, "abc\ntintal: timed out\n");
    let bench = Bench::new();
    bench.stop.send_replace(true);
    assert_eq!(bench.run("run: {shell: sleep 60}").await.output, "tintal: cancelled\n");
}
