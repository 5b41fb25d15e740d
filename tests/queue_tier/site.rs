//! A tree with its daemon's settings, servers, and workers.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::{
    common::{Tree, pause, wait_for},
    server::{Server, answers, program},
};

/// Numbers: the small one usually, the large one in a soak.
pub fn many(usually: usize, soak: usize) -> usize {
    if std::env::var_os("TEST_SOAK").is_some() { soak } else { usually }
}

pub fn redis() -> Server {
    Server::start(
        |directory, port| {
            let mut command = Command::new(program("TEST_REDIS_SERVER", "redis-server"));
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
            command.args(["--appendfsync", "always", "--daemonize", "no"]);
            command.arg("--port").arg(port.to_string()).arg("--dir").arg(directory.path());
            command
        },
        answers,
    )
}

pub fn nats() -> Server {
    Server::start(
        |directory, port| {
            let mut command = Command::new(program("TEST_NATS_SERVER", "nats-server"));
            command.args(["-a", "127.0.0.1", "-js", "-p"]).arg(port.to_string());
            command.arg("-sd").arg(directory.path().join("js"));
            command
        },
        answers,
    )
}

/// A worker. It is killed when the value is dropped.
pub struct WorkerProcess(Child);

impl WorkerProcess {
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }

    /// Ends it by SIGTERM; gives its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(self.0.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Settings with these backends, and a key.
pub fn settings(default: &str, backends: &str) -> String {
    format!(
        "queue:\n  backend: {default}\n  keys: [{{id: k1, secret: {{file: key}}}}]\n  backends:\n{backends}"
    )
}

pub fn redis_backend(name: &str, port: u16) -> String {
    format!("    {name}: {{redis-streams: {{url: \"redis://127.0.0.1:{port}\", claim: 3s}}}}\n")
}

pub fn nats_backend(name: &str, port: u16) -> String {
    format!("    {name}: {{nats: {{servers: [\"nats://127.0.0.1:{port}\"], claim: 3s}}}}\n")
}

/// A tree with these settings and the key that they name.
pub fn tree(settings: &str) -> Tree {
    Tree::with(&[("tintal.yaml", settings), ("key", "a secret that nobody knows\n")])
}

/// Starts a worker of the tree's settings, with a state directory of this name.
pub fn worker(tree: &Tree, name: &str, arguments: &[&str]) -> WorkerProcess {
    let log = tree.path(&format!("{name}.log"));
    let mut all = vec!["worker", "--listen", "none", "--state", name, "--name", name];
    all.extend(arguments);
    let file = fs::File::create(&log).unwrap();
    let child = tree.command(&all).stdout(Stdio::null()).stderr(file).spawn().unwrap();
    let worker = WorkerProcess(child);
    wait_for("the worker is ready", || fs::read_to_string(&log).unwrap().contains("ready").then_some(()));
    worker
}

/// The lines of a file, and how often each is there.
pub fn counted(tree: &Tree, path: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string(tree.path(path)).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Waits until no run of a job is open; gives all of its rows, newest first.
pub fn settled(tree: &Tree, job: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    for _ in 0..2_000 {
        let view = tree.json(&["runs", job, "-n", "10000", "--json"]);
        rows.clone_from(view["runs"].as_array().unwrap());
        let is_open = |run: &&Value| run["decision"] == "run" && run["outcome"].is_null();
        if !rows.iter().any(|run| is_open(&run)) {
            return rows;
        }
        pause();
    }
    panic!("runs of {job} are open still: {rows:#?}");
}
