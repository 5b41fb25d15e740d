//! How the processes of an attempt end, wherever they went.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::{Bench, is_gone, run, until};
use crate::{execute::adoption, run::Outcome};

#[tokio::test]
async fn a_timeout_ends_the_whole_group_even_when_it_ignores_term() {
    let bench = Bench::new();
    let pids = bench.path("pids");
    let begin = Instant::now();
    let ran = bench
        .run(&format!(
            "run:\n  shell: |\n    trap '' TERM\n    sh -c 'trap \"\" TERM; echo $$ >> {pids}; sleep 60' &\n    setsid sh -c 'echo $$ >> {pids}; sleep 60' &\n    echo $$ >> {pids}\n    while true; do sleep 1; done\npolicy: {{timeout: 1s, kill_grace: 200ms}}\n"
        ))
        .await;
    assert_eq!(ran.outcome, Outcome::Timeout);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let pids: Vec<String> = fs::read_to_string(pids).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(pids.len(), 3, "{pids:?}");
    for pid in pids {
        assert!(is_gone(&pid), "{pid} is left: {:?}", fs::read_to_string(format!("/proc/{pid}/cmdline")));
    }
}

#[tokio::test]
async fn term_is_enough_for_a_program_that_ends_on_it() {
    let begin = Instant::now();
    let ran = run("run: {shell: \"trap 'echo bye; exit 0' TERM; echo begun; sleep 60 & wait\"}\npolicy: {timeout: 500ms, kill_grace: 30s}").await;
    assert_eq!(ran.outcome, Outcome::Timeout);
    assert!(ran.output.contains("bye"), "{}", ran.output);
    assert!(begin.elapsed() < Duration::from_secs(10));
}

/// F17.
#[tokio::test]
async fn a_timeout_reaches_processes_that_hid_from_it() {
    adoption::adopt_orphans();
    let bench = Bench::new();
    let pids = bench.path("pids");
    // A child, one whose parent has ended, one that prints elsewhere: all without an environment
    // and in a session of their own.
    let ran = bench
        .run(&format!(
            "run:\n  shell: |\n    env -i setsid sh -c 'echo $$ >> {pids}; sleep 60' &\n    (env -i setsid sh -c 'echo $$ >> {pids}; sleep 60' &)\n    env -i setsid sh -c 'echo $$ >> {pids}; sleep 60 & wait' >/dev/null 2>&1 &\n    while true; do sleep 1; done\npolicy: {{timeout: 1s, kill_grace: 10s}}\n"
        ))
        .await;
    assert_eq!(ran.outcome, Outcome::Timeout);
    let pids: Vec<String> = fs::read_to_string(pids).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(pids.len(), 3, "{pids:?}");
    for pid in pids {
        assert!(is_gone(&pid), "{pid} is left: {:?}", fs::read_to_string(format!("/proc/{pid}/cmdline")));
    }
}

/// F17.
#[tokio::test]
async fn what_has_ended_takes_no_grace_though_nobody_has_looked_at_it() {
    // As process 1 inherits it, and does not look at it at once.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let begin = Instant::now();
    let ran = run("run: {shell: sleep 60 & sleep 60}\npolicy: {timeout: 300ms, kill_grace: 30s}").await;
    assert_eq!(ran.outcome, Outcome::Timeout);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

/// F17.
#[tokio::test]
async fn orphans_that_have_ended_are_seen_to() {
    adoption::adopt_orphans();
    let ran = run("run: {shell: '(sleep 0.3 & echo $!)'}").await;
    let pid = ran.output.lines().next().unwrap().to_owned();
    let stat = format!("/proc/{pid}/stat");
    let path = stat.clone();
    let gone = tokio::task::spawn_blocking(move || until(|| !Path::new(&path).exists())).await.unwrap();
    assert!(gone, "{}", fs::read_to_string(&stat).unwrap_or_default());
}

#[tokio::test]
async fn processes_left_behind_are_let_be_and_told_of() {
    let begin = Instant::now();
    for (shell, said) in [
        ("echo done; sleep 20 & echo $!", true),
        ("echo done; sleep 20 >/dev/null 2>&1 & echo $!", true),
        ("echo done; sleep 0.2 & echo $!", false),
        ("echo done; (exit 0) & echo $!", false),
    ] {
        let ran = run(&format!("run: {{shell: \"{shell}\"}}")).await;
        assert_eq!(ran.outcome, Outcome::Success, "{shell}: {}", ran.output);
        let pid = ran.output.lines().nth(1).unwrap();
        let told = format!(
            "done\n{pid}\ntintal: left running: sleep ({pid}); what is printed from here on is not kept\n"
        );
        assert_eq!(ran.output, if said { told } else { format!("done\n{pid}\n") }, "{shell}");
        if said {
            let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
