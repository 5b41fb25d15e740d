//! `tintal run`: output, parameters, and how signals end it.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

use common::{Tree, wait_for};

/// A `tintal run` that goes on.
struct Going {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Going {
    fn start(tree: &Tree, job: &str) -> Self {
        // Whatever started the tests may have them ignored.
        Self::with_signals("--default-signal=HUP,INT,QUIT,TERM", tree, job)
    }

    /// With an option of `env` that says which signals the process is born with.
    fn with_signals(option: &str, tree: &Tree, job: &str) -> Self {
        let plain = tree.command(&["run", job]);
        let mut command = Command::new("env");
        command.arg(option).arg(plain.get_program()).args(plain.get_args()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(tree.root()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, out: BufReader::new(out), err: BufReader::new(err) }
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    fn said(&mut self) -> String {
        let mut line = String::new();
        self.err.read_line(&mut line).unwrap();
        line
    }

    /// Its end: the code, and what came after what was read.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.err.read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

fn is_alive(pid: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("kill -0 {pid}")])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[test]
fn each_signal_stops_the_job_and_is_the_exit_code() {
    let job = "run: {shell: \"trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done\"}\n";
    let tree = Tree::with(&[("jobs.d/loop.yaml", job)]);
    for (signal, code) in [("HUP", 129), ("INT", 130), ("QUIT", 131), ("TERM", 143)] {
        let mut going = Going::start(&tree, "loop");
        // The output is there while the job runs.
        assert_eq!(going.line(), "up\n");
        going.signal(signal);
        let (ended, out, err) = going.end();
        // Some shells tell that their `sleep` was terminated too.
        let told = out.ends_with("bye\ntintal: cancelled\n");
        assert!(ended == Some(code) && told, "{signal}: {ended:?} {out} {err}");
        assert_eq!(
            err, "tintal: stopping; once more to kill\ntintal: `loop` failed: cancelled\n",
            "{signal}"
        );
    }
}

/// As `nohup` and the `&` of a script have it.
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_so() {
    let job = "run: {shell: \"trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done\"}\n";
    let tree = Tree::with(&[("jobs.d/loop.yaml", job)]);
    let mut going = Going::with_signals("--ignore-signal=HUP,INT", &tree, "loop");
    assert_eq!(going.line(), "up\n");
    going.signal("HUP");
    going.signal("INT");
    going.signal("TERM");
    // One that was heard before would have its own code.
    let (code, _, err) = going.end();
    assert_eq!((code, err.lines().count()), (Some(143), 2), "{err}");
}

#[test]
fn a_second_signal_kills_the_job_at_once() {
    let job =
        "run: {shell: \"trap '' TERM; echo $$; while :; do sleep 0.05; done\"}\npolicy: {kill_grace: 1h}\n";
    let tree = Tree::with(&[("jobs.d/deaf.yaml", job)]);
    let mut going = Going::start(&tree, "deaf");
    let pid = going.line().trim().to_owned();
    going.signal("INT");
    assert_eq!(going.said(), "tintal: stopping; once more to kill\n");
    assert!(is_alive(&pid));
    going.signal("TERM");
    let (code, ..) = going.end();
    assert_eq!(code, Some(130));
    wait_for("the job is gone", || (!is_alive(&pid)).then_some(()));
}

#[test]
fn a_signal_while_it_waits_to_try_again_ends_the_run() {
    let job = "run: {command: [\"false\"]}\npolicy: {retry: {max_attempts: 2, initial: 1h}}\n";
    let tree = Tree::with(&[("jobs.d/flaky.yaml", job)]);
    let mut going = Going::start(&tree, "flaky");
    assert!(going.said().contains("attempt 1: exit status 1; trying again in "));
    going.signal("INT");
    assert_eq!(going.end().0, Some(130));
}

#[test]
fn parameters_have_the_types_of_the_manifest() {
    let tree = Tree::with(&[(
        "jobs.d/typed.yaml",
        "params: {flag: true, limit: 10, list: [a], day: mon}\nrun: {command: [echo, \"{{ 'on' if params.flag else 'off' }} {{ params.limit + 1 }} {{ params.list | length }} {{ params.day }}\"]}\n",
    )]);
    assert_eq!(tree.ok(&["run", "typed"]), "on 11 1 mon\n");
    let given = ["run", "typed", "-p", "flag=false", "-p", "limit=5", "-p", "list=[x, y]", "-p", "day=01"];
    assert_eq!(tree.ok(&given), "off 6 2 01\n");
    let _daemon = tree.serve(&[]);
    for (given, expected) in [
        ("flag=no", "the parameter `flag` takes `true` or `false`, as in `flag=true`, not `no`"),
        ("limit=abc", "the parameter `limit` takes a number, as in `limit=10`, not `abc`"),
        ("dya=1", "there is no parameter `dya`; did you mean `day`?"),
        ("day", "`day` is not a parameter; write `--param NAME=VALUE`"),
    ] {
        for command in ["run", "trigger"] {
            let ran = tree.run(&[command, "typed", "--param", given]);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{command} {given}");
            assert!(ran.stderr.contains(expected), "{command} {given}: {}", ran.stderr);
        }
    }
    let ran = tree.run(&["trigger", "typed", "-p", "flag=false", "-p", "list=[x, y]", "--follow"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("off 11 2 mon\n", Some(0)), "{}", ran.stderr);
}

#[test]
fn the_fire_time_and_the_attempts_can_be_said() {
    let tree = Tree::with(&[
        ("jobs.d/day.yaml", "run: {command: [echo, \"{{ fire_time.date }}\"]}\n"),
        (
            "jobs.d/bad.yaml",
            "run: {shell: \"echo $TINTAL_ATTEMPT; exit 3\"}\npolicy: {retry: {max_attempts: 3, initial: 1ms}}\n",
        ),
    ]);
    assert_eq!(tree.ok(&["run", "day", "--fire-time", "2026-12-24T18:00:00+01:00"]), "2026-12-24\n");
    assert_eq!(tree.run(&["run", "day", "--fire-time", "tomorrow"]).code, Some(2));
    let bad = tree.run(&["run", "bad", "--no-retry"]);
    assert_eq!((bad.stdout.as_str(), bad.code), ("1\n", Some(1)), "{}", bad.stderr);
}

#[test]
fn json_tells_the_run_and_leaves_the_output_on_stderr() {
    let tree = Tree::with(&[(
        "jobs.d/bad.yaml",
        "run: {shell: \"echo out; exit 3\"}\npolicy: {retry: {max_attempts: 2, initial: 1ms}}\n",
    )]);
    let ran = tree.run(&["run", "bad", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["v"], 1);
    let run = &json["runs"][0];
    assert_eq!((run["job"].clone(), run["outcome"].clone()), ("bad".into(), "exit-nonzero".into()));
    assert_eq!(run["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(run["attempts"][1]["exit_code"], 3);
    assert!(ran.stderr.starts_with("out\n") && ran.code == Some(1), "{}", ran.stderr);
}

#[test]
fn what_we_say_stands_on_a_line_of_its_own_and_once() {
    let tree = Tree::with(&[
        ("jobs.d/open.yaml", "run: {command: [printf, abc]}\n"),
        ("jobs.d/none.yaml", "run: {command: [no-such-program]}\n"),
    ]);
    let open = tree.run(&["run", "open"]);
    assert_eq!((open.stdout.as_str(), open.stderr.as_str()), ("abc", "\ntintal: `open` succeeded\n"));
    let none = tree.run(&["run", "none"]);
    assert!(none.stdout.contains("there is no program `no-such-program`"), "{}", none.stdout);
    assert_eq!(none.stderr, "tintal: `none` failed: not started\n");
}

#[test]
fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "run: {command: [echo, hi]}\n")]);
    for arguments in
        [&["list"][..], &["--help"], &["run", "a"], &["schema"], &["validate", "--format", "json"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = tree.command(arguments).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(0) && !said.contains("error"), "{arguments:?}: {said}");
    }
    for arguments in [&["list"][..], &["--help"], &["--version"], &["schema"], &["config", "--json"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = tree.command(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("No space left"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_fire_time_is_told_in_the_zone_of_the_entry_that_fires_then() {
    let schedule = "schedule:\n  - {cron: \"0 3 * * *\", timezone: Europe/Berlin}\n  - {cron: \"0 22 * * *\", timezone: America/New_York}\n";
    let job = format!(
        "{schedule}run: {{command: [echo, \"{{{{ fire_time.date }}}} {{{{ fire_time.hour }}}}\"]}}\n"
    );
    let tree = Tree::with(&[("jobs.d/two.yaml", &job)]);
    for (fire_time, told) in [
        ("2026-06-01T01:00:00Z", "2026-06-01 3\n"),
        ("2026-06-02T02:00:00Z", "2026-06-01 22\n"),
        // Nothing fires then: the first cron entry.
        ("2026-06-02T02:00:01Z", "2026-06-02 4\n"),
    ] {
        assert_eq!(tree.ok(&["run", "two", "--fire-time", fire_time]), told, "{fire_time}");
    }
}

#[test]
fn a_proxy_of_the_environment_is_named_and_never_used_for_this_machine() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let here = format!("run: {{http: {{url: \"http://localhost:{}/\"}}}}\n", address.port());
    let tree = Tree::with(&[
        ("jobs.d/here.yaml", &here),
        ("jobs.d/there.yaml", "run: {http: {url: \"http://there.example/\"}}\n"),
    ]);
    let run = |job: &str| {
        let mut command = tree.command(&["run", job]);
        command.env("http_proxy", "http://me:hunter22@127.0.0.1:1/");
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut request = [0; 4096];
        let count = std::io::Read::read(&mut stream, &mut request).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        std::io::Write::write_all(&mut stream, answer).unwrap();
        String::from_utf8_lossy(&request[..count]).into_owned()
    });
    assert!(run("here").contains("200 OK\nhi"));
    assert!(answers.join().unwrap().starts_with("GET / HTTP/1.1"));
    let there = run("there");
    assert!(there.contains("by the proxy http://127.0.0.1:1/ of the environment"), "{there}");
    assert!(!there.contains("hunter22"), "{there}");
}
