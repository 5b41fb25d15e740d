//! A temporary tree with the real binary, and a daemon that is stopped at the end.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::missing_panics_doc)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use serde_json::Value;
use tempfile::TempDir;

/// How long a thing that will happen is waited for: far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A temporary directory to run the binary in.
pub struct Tree {
    directory: TempDir,
}

/// A daemon. It is killed when the value is dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

/// What a command printed, and how it ended.
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Tree {
    /// An empty tree with an empty `jobs.d`.
    pub fn new() -> Self {
        let tree = Self { directory: TempDir::with_prefix("tintal-test-").unwrap() };
        fs::create_dir(tree.path("jobs.d")).unwrap();
        tree
    }

    /// A tree with these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let tree = Self::new();
        files.iter().for_each(|(path, text)| tree.write(path, text));
        tree
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a directory that nobody can list, the owner of the machine neither: its path is longer than
    /// the system takes.
    pub fn unlistable(&self, under: &str) {
        let name = "d".repeat(250);
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let mut above = fs::File::open(self.path(under)).unwrap();
        for _ in 0..18 {
            mkdirat(&above, &name, Mode::RWXU).unwrap();
            above = fs::File::from(openat(&above, &name, flags, Mode::empty()).unwrap());
        }
    }

    /// The binary with arguments, in a clean environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tintal"));
        command.args(arguments).current_dir(self.root()).env_clear().stdin(Stdio::null());
        for name in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("LANG", "C.UTF-8");
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs the binary, which succeeds; gives its stdout.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs the binary, which prints JSON, whatever it ends with.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).stdout).unwrap()
    }

    /// Starts the daemon, and waits until it is ready.
    #[track_caller]
    pub fn serve(&self, arguments: &[&str]) -> Daemon {
        let daemon = self.start(arguments);
        wait_for("the daemon is ready", || is_ready(&daemon.log()).then_some(()));
        daemon
    }

    /// Starts the daemon.
    pub fn start(&self, arguments: &[&str]) -> Daemon {
        let file = fs::File::create(self.path("serve.log")).unwrap();
        self.start_logging_to(file.into(), arguments)
    }

    /// Starts the daemon with another place for its log, which cannot be read then.
    pub fn start_logging_to(&self, stderr: Stdio, arguments: &[&str]) -> Daemon {
        let mut all = vec!["serve"];
        all.extend(arguments);
        let child = self.command(&all).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Daemon { child, log: self.path("serve.log") }
    }

    /// The runs of a job, newest first.
    pub fn runs(&self, job: &str) -> Vec<Value> {
        let mut view = self.json(&["runs", job, "-n", "1000", "--json"]);
        match view["runs"].take() {
            Value::Array(runs) => runs,
            other => panic!("{other}"),
        }
    }

    /// Waits until a job has run to an end this often; gives its runs.
    #[track_caller]
    pub fn wait_for_runs(&self, job: &str, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} runs of {job}"), || {
            let runs: Vec<Value> =
                self.runs(job).into_iter().filter(|run| !run["outcome"].is_null()).collect();
            (runs.len() >= count).then_some(runs)
        })
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code(),
        }
    }

    /// All of it, as a snapshot shows it.
    pub fn shown(&self) -> String {
        format!("{}--\n{}-- exit {}\n", self.stdout, self.stderr, self.code.unwrap_or(-1))
    }
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal by name, as in `TERM`.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// `kill -9`, and its end.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the code that it ends with.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }

    /// Waits for the end; gives the code.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until something is there.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come in {PATIENCE:?}");
        pause();
    }
}

/// The time between two looks.
#[expect(
    clippy::disallowed_methods,
    reason = "a look costs a process or a read; a thousand a second are too many"
)]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Whether a log says that the daemon is ready. Other lines have the word in them, too.
fn is_ready(log: &str) -> bool {
    log.lines().any(|line| line.contains(" ready jobs=") || line.contains(" ready without the manifests"))
}
