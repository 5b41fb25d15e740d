//! What starts, with what, and what does not.

use std::{fs, time::Duration};

use super::{Bench, run};
use crate::{
    execute::{OutputSize, step},
    run::Outcome,
};

#[tokio::test]
async fn a_program_ends_as_it_says() {
    assert_eq!(run("run: {command: [\"true\"]}").await.outcome, Outcome::Success);
    assert_eq!(run("run: {shell: exit 3}").await.outcome, Outcome::ExitNonzero { code: 3 });
    assert_eq!(run("run: {shell: kill -KILL $$}").await.outcome, Outcome::Signal { signal: 9 });
    let both = run("run: {shell: \"echo out; echo err >&2; echo out\"}").await;
    assert_eq!(both.output, "out\nerr\nout\n");
    assert_eq!(both.size, OutputSize { seen: 12, kept: 12 });
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    for (yaml, part) in [
        ("run: {command: [no-such-program]}", "there is no program `no-such-program` in the PATH"),
        ("run: {command: [/etc/passwd]}", "is not executable"),
        ("run: {command: [pwd], cwd: /no/such/place}", "there is no directory `/no/such/place`"),
        (
            "run: {command: [pwd], secrets: {T: {env: NO_SUCH_VARIABLE_HERE}}}",
            "has no variable `NO_SUCH_VARIABLE_HERE`",
        ),
        ("run: {command: [pwd], secrets: {T: {file: /no/such/file}}}", "the secret `T` is not there"),
    ] {
        let ran = run(yaml).await;
        let Outcome::NotStarted { reason, .. } = &ran.outcome else { panic!("{yaml}: {:?}", ran.outcome) };
        assert!(reason.contains(part), "{yaml}: {reason}");
        assert!(ran.output.contains(part), "{yaml}: {}", ran.output);
    }
}

#[tokio::test]
async fn a_secret_is_read_from_a_regular_file_of_a_bounded_size_only() {
    let bench = Bench::new();
    let pipe = bench.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    fs::write(bench.path("large"), "x".repeat(64 * 1024 + 1)).unwrap();
    fs::write(bench.path("largest"), "x".repeat(64 * 1024)).unwrap();
    for (file, part) in [
        // Nobody writes to it, and it has no end.
        (pipe, "is not a regular file"),
        ("/dev/zero".to_owned(), "is not a regular file"),
        (bench.path("."), "is not a regular file"),
        (bench.path("large"), "has more than 65536 bytes"),
    ] {
        let ran = bench.run(&format!("run: {{command: [pwd], secrets: {{T: {{file: {file}}}}}}}")).await;
        let Outcome::NotStarted { reason, .. } = &ran.outcome else { panic!("{file}: {:?}", ran.outcome) };
        assert_eq!(*reason, format!("the secret `T` is not there: `{file}` {part}"));
    }
    for file in [bench.path("largest"), "/proc/self/comm".to_owned()] {
        let ran = bench.run(&format!("run: {{command: [pwd], secrets: {{T: {{file: {file}}}}}}}")).await;
        assert_eq!(ran.outcome, Outcome::Success, "{file}: {}", ran.output);
    }
}

#[tokio::test]
async fn the_environment_is_clean_and_says_what_runs() {
    let ran = run("run: {command: [env], env: {A: \"{{ job.name }}\"}}").await;
    let names: Vec<&str> =
        ran.output.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    for name in ["PATH", "A", "TINTAL_JOB", "TINTAL_RUN_ID", "TINTAL_FIRE_TIME", "TINTAL_ATTEMPT"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(!names.contains(&"CARGO_MANIFEST_DIR"), "{names:?}");
    assert!(ran.output.contains("TINTAL_FIRE_TIME=2026-11-24T03:00:00Z") && ran.output.contains("A=job"));
}

/// What cannot be started is not tried either, so neither is what could.
#[tokio::test]
async fn nothing_is_started_once_the_end_is_asked_for_or_the_time_is_up() {
    let bench = Bench::new();
    bench.stop.send_replace(true);
    for action in [
        "command: [no-such-program]",
        "http: {url: \"http://127.0.0.1:1/\"}",
        "steps: [{id: a, command: [no-such-program]}]",
    ] {
        assert_eq!(bench.run(&format!("run: {{{action}}}")).await.outcome, Outcome::Cancelled, "{action}");
    }
    let (asked, now) = (bench.stop.subscribe(), tokio::time::Instant::now());
    bench.stop.send_replace(false);
    let at = |deadline| step::Stop { asked: asked.clone(), deadline }.now();
    assert_eq!(at(Some(now)), Some(Outcome::Timeout));
    assert_eq!((at(Some(now + Duration::from_secs(60))), at(None)), (None, None));
}

#[tokio::test]
async fn a_person_stops_a_run() {
    let bench = Bench::new();
    bench.stop.send_replace(true);
    assert_eq!(bench.run("run: {shell: sleep 60}").await.outcome, Outcome::Cancelled);
    assert_eq!(
        bench
            .run("run: {steps: [{id: a, shell: sleep 60}, {id: b, needs: [a], shell: echo no}]}")
            .await
            .outcome,
        Outcome::Cancelled
    );
}
