//! Attempts with real processes and a real server.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::RawQuery,
    http::{StatusCode, header::LOCATION},
    response::Response,
    routing::get,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::watch,
};

use super::*;
use crate::{
    manifest::{file::Content, file::ManifestFile, spec::Spec},
    run::{Cause, Outcome, RunKey},
};

/// The spec that a manifest makes.
fn spec(yaml: &str) -> Arc<Spec> {
    use crate::{
        load::{Input, Loader},
        manifest::characteristics::Tier,
        tier::{LedgerKind, Tiers},
    };
    let file = ManifestFile {
        path: "job.yaml".to_owned(),
        content_hash: [0; 32],
        content: Content::Text(yaml.into()),
    };
    let tiers = Tiers { configured: vec![Tier::InProcess], ledger: LedgerKind::File };
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    let tree = Loader::new(tiers, 1).load(&Input {
        files: &[Arc::new(file)],
        above: &[],
        unreadable: &[],
        prefix: "",
        now,
    });
    let job = tree.jobs.into_values().next().unwrap_or_else(|| panic!("{:?}", tree.problems));
    Arc::clone(&job.spec)
}

struct Ran {
    outcome: Outcome,
    output: String,
    size: OutputSize,
}

struct Bench {
    directory: TempDir,
    stop: watch::Sender<bool>,
    output_bytes_max: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            stop: watch::Sender::new(false),
            output_bytes_max: 1 << 20,
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    async fn run(&self, yaml: &str) -> Ran {
        let environment = std::env::vars();
        let executor = Executor::new(environment, self.output_bytes_max);
        let spec = spec(yaml);
        let fire_time = "2026-11-24T03:00:00Z".parse().unwrap();
        // Each directory is another, so that leftovers of one test are not those of another.
        let job = crate::manifest::name::JobName::parse("job").unwrap();
        let seed = u64::from(std::process::id()) << 20 | u64::from(rand::random::<u16>());
        let seeded = jiff::Timestamp::from_microsecond(i64::try_from(seed).unwrap()).unwrap();
        let run_id = RunKey { job, fire_time: seeded, cause: Cause::Manual }.id();
        let output = self.directory.path().join("out.log");
        let one = Attempt {
            spec,
            run_id,
            fire_time,
            attempt: 1,
            params: BTreeMap::new(),
            output: output.clone(),
            echo: None,
        };
        let report = attempt(&executor, one, self.stop.subscribe()).await;
        let output = fs::read_to_string(output).unwrap_or_default();
        Ran { outcome: report.outcome, output, size: report.output }
    }
}

async fn run(yaml: &str) -> Ran {
    Bench::new().run(yaml).await
}

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
        let Outcome::NotStarted { reason } = &ran.outcome else { panic!("{yaml}: {:?}", ran.outcome) };
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
        let Outcome::NotStarted { reason } = &ran.outcome else { panic!("{file}: {:?}", ran.outcome) };
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

/// Whether a process is gone, or waits only for whoever inherits it to look.
fn is_gone(pid: &str) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::yield_now();
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
    let gone = async {
        while Path::new(&stat).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), gone).await;
    assert!(in_time.is_ok(), "{}", fs::read_to_string(&stat).unwrap_or_default());
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

#[tokio::test]
async fn steps_run_as_their_needs_allow() {
    let ran = run("
run:
  steps:
    - {id: a, shell: 'echo 41'}
    - {id: b, needs: [a], shell: 'echo $(({{ steps.a.output }} + 1))'}
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

/// A server on a port of its own. Those under `/to/` redirect to the query.
async fn server() -> String {
    let redirect = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        axum::routing::any(async move |RawQuery(query): RawQuery| {
            (status, [(LOCATION, query.unwrap_or_default())])
        })
    };
    let router = Router::new()
        .route("/to/302", redirect(302))
        .route("/to/307", redirect(307))
        .route("/to/itself", redirect(302).layer(axum::middleware::map_response(to_itself)))
        .route(
            "/mirror",
            axum::routing::any(async |request: axum::extract::Request| {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1024).await.unwrap();
                format!("{} {} {:?} {body:?}", parts.method, parts.uri, parts.headers)
            }),
        )
        .route("/ok", get(async || "all is well"))
        .route("/down", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .route("/gone", get(async || StatusCode::GONE))
        .route(
            "/slow",
            get(async || {
                std::future::pending::<()>().await;
                "late"
            }),
        )
        .route(
            "/echo",
            axum::routing::post(async |headers: axum::http::HeaderMap, body: String| {
                format!(
                    "{} {body}",
                    headers.get("x-token").and_then(|token| token.to_str().ok()).unwrap_or_default()
                )
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_request_is_judged_by_what_comes_back() {
    let url = server().await;
    let get =
        async |path: &str, more: &str| run(&format!("run: {{http: {{url: \"{url}{path}\"{more}}}}}")).await;
    let ok = get("/ok", "").await;
    assert_eq!(ok.outcome, Outcome::Success);
    assert!(ok.output.ends_with("all is well"), "{}", ok.output);
    assert_eq!(get("/ok", ", expect: {body_contains: well}").await.outcome, Outcome::Success);
    assert!(matches!(
        get("/ok", ", expect: {body_contains: bad}").await.outcome,
        Outcome::HttpUnexpected { status: 200, .. }
    ));
    assert_eq!(get("/down", "").await.outcome, Outcome::Http5xx { status: 503 });
    assert_eq!(get("/down", ", expect: {status: [503]}").await.outcome, Outcome::Success);
    assert!(matches!(get("/gone", "").await.outcome, Outcome::HttpUnexpected { status: 410, .. }));
    assert!(matches!(
        run("run: {http: {url: \"http://127.0.0.1:1/\"}}").await.outcome,
        Outcome::Connect { .. }
    ));
    let slow = run(&format!("run: {{http: {{url: \"{url}/slow\"}}}}\npolicy: {{timeout: 200ms}}")).await;
    assert_eq!(slow.outcome, Outcome::Timeout);
}

#[tokio::test]
async fn a_request_carries_templates_and_secrets_and_shows_none() {
    let url = server().await;
    let bench = Bench::new();
    fs::write(bench.path("token"), "hunter22-very-secret").unwrap();
    let ran = bench
        .run(&format!(
            "params: {{day: monday}}\nrun:\n  http:\n    method: POST\n    url: \"{url}/echo\"\n    headers: {{X-Token: \"{{{{ secrets.TOKEN }}}}\"}}\n    body: {{day: \"{{{{ params.day }}}}\"}}\n  secrets: {{TOKEN: {{file: {}}}}}\n",
            bench.path("token")
        ))
        .await;
    assert_eq!(ran.outcome, Outcome::Success, "{}", ran.output);
    assert!(ran.output.ends_with("*** {\"day\":\"monday\"}"), "{}", ran.output);
}

async fn to_itself(mut response: Response) -> Response {
    response.headers_mut().insert(LOCATION, "/to/itself".parse().unwrap());
    response
}

/// F19.
#[tokio::test]
async fn a_request_shows_a_secret_in_no_form() {
    let url = server().await;
    let bench = Bench::new();
    fs::write(bench.path("token"), "p@ss w0rd/+\"x").unwrap();
    let get = async |url: &str| {
        let yaml = format!(
            "run:\n  http: {{url: \"{url}\", headers: {{X-Token: \"{{{{ secrets.TOKEN }}}}\"}}, expect: {{body_contains: \"of course not\"}}}}\n  secrets: {{TOKEN: {{file: {}}}}}\n",
            bench.path("token")
        );
        bench.run(&yaml).await
    };
    for path in ["/mirror?q={{ secrets.TOKEN }}", "/to/302?/mirror?{{ secrets.TOKEN }}"] {
        let ran = get(&format!("{url}{path}")).await;
        assert!(matches!(ran.outcome, Outcome::HttpUnexpected { status: 200, .. }), "{:?}", ran.outcome);
        assert!(!ran.output.contains("w0rd") && ran.output.contains("***"), "{}", ran.output);
    }
    let ran = get("http://127.0.0.1:1/{{ secrets.TOKEN }}").await;
    assert!(ran.output.starts_with("tintal: GET http://127.0.0.1:1/***: "), "{}", ran.output);
    let told = format!("{:?} {}", ran.outcome, ran.output);
    assert!(matches!(ran.outcome, Outcome::Connect { .. }) && !told.contains("w0rd"), "{told}");
    // The password goes as base64.
    fs::write(bench.path("token"), "hunter22-very-secret").unwrap();
    let ran = get(&(url.replace("http://", "http://me:{{ secrets.TOKEN }}@") + "/mirror")).await;
    assert!(ran.output.contains("Basic bWU6***") && !ran.output.contains("hunter22"), "{}", ran.output);
}

#[tokio::test]
async fn what_a_manifest_sends_does_not_follow_to_another_origin() {
    let (url, other) = (server().await, server().await);
    let send = async |method: &str, path: &str| {
        run(&format!(
            "run: {{http: {{method: {method}, url: \"{url}{path}\", headers: {{X-Key: of-the-house}}, body: words}}}}"
        ))
        .await
    };
    let here = send("POST", "/to/307?/mirror").await;
    assert_eq!(here.outcome, Outcome::Success, "{}", here.output);
    assert!(here.output.contains("POST /mirror") && here.output.contains("of-the-house"), "{}", here.output);
    assert!(here.output.contains("words"), "{}", here.output);
    let there = send("POST", &format!("/to/302?{other}/mirror")).await;
    assert_eq!(there.outcome, Outcome::Success, "{}", there.output);
    assert!(there.output.contains("GET /mirror"), "{}", there.output);
    for secret in ["of-the-house", "words", "referer"] {
        assert!(!there.output.contains(secret), "{}", there.output);
    }
    let refused = send("POST", &format!("/to/307?{other}/mirror")).await.outcome;
    assert!(matches!(refused, Outcome::HttpUnexpected { status: 307, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_when_it_is_expected() {
    let url = server().await;
    let get = async |path: &str, more: &str| {
        run(&format!("run: {{http: {{url: \"{url}{path}\"{more}}}}}")).await.outcome
    };
    assert_eq!(get("/to/302?/ok", ", expect: {body_contains: well}").await, Outcome::Success);
    assert_eq!(get("/to/302?/gone", ", expect: {status: [302]}").await, Outcome::Success);
    assert_eq!(get("/to/302?/gone", ", expect: {status: [307, 410]}").await, Outcome::Success);
    let Outcome::HttpUnexpected { status: 302, reason } = get("/to/itself", "").await else { panic!() };
    assert_eq!(reason, "it redirects more than 10 times");
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_not_started() {
    for (url, part) in [
        ("http://[", "its URL is of no use: invalid IPv6 address"),
        ("nowhere", "its URL is of no use: relative URL without a base"),
        ("ftp://127.0.0.1/x", "its URL has the scheme `ftp`"),
    ] {
        let outcome =
            run(&format!("params: {{to: \"{url}\"}}\nrun: {{http: {{url: \"{{{{ params.to }}}}\"}}}}"))
                .await
                .outcome;
        let Outcome::NotStarted { reason } = &outcome else { panic!("{url}: {outcome:?}") };
        assert!(reason.contains(part), "{url}: {reason}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_lost_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    });
    let ran = run(&format!("run: {{http: {{url: \"http://{address}/\"}}}}")).await;
    assert!(matches!(ran.outcome, Outcome::Connect { .. }), "{:?}", ran.outcome);
    assert!(ran.output.contains("half\ntintal: GET http://"), "{}", ran.output);
}

#[tokio::test]
async fn a_request_without_a_timeout_has_a_limit_of_its_own() {
    let now = tokio::time::Instant::now();
    let after = |secs| now + Duration::from_secs(secs);
    assert_eq!(http::deadline(None, now), after(300));
    assert_eq!(http::deadline(Some(after(7200)), now), after(7200));
}

#[tokio::test]
async fn a_request_goes_to_a_socket() {
    let bench = Bench::new();
    let socket = bench.path("s.sock");
    let listener = tokio::net::UnixListener::bind(Path::new(&socket)).unwrap();
    let router = Router::new().route("/ok", get(async || "by socket"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let ran =
        bench.run(&format!("run: {{http: {{url: \"http://localhost/ok\", unix_socket: {socket}}}}}")).await;
    assert_eq!(ran.outcome, Outcome::Success, "{}", ran.output);
    assert!(ran.output.ends_with("by socket"));
}
