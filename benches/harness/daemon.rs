//! `tintal serve` on a tree of its own, and its control socket.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The release binary.
pub const TINTAL: &str = env!("CARGO_BIN_EXE_tintal");

/// Longest wait for a daemon to be ready: a million jobs load within it.
const READY_MAX: Duration = Duration::from_secs(300);

/// A daemon; it is ended with the value.
pub struct Daemon {
    child: Child,
    socket: PathBuf,
    /// From the start of the process until it was ready.
    pub ready_after: Duration,
}

/// Starts a daemon in `root`, and waits until it is ready.
pub fn serve(root: &Path, settings: &[(&str, &str)]) -> Daemon {
    let mut command = Command::new(TINTAL);
    command.arg("serve").current_dir(root).env("TINTAL_LOG__LEVEL", "warn");
    for (name, value) in settings {
        command.env(name, value);
    }
    let log = fs::File::create(root.join("serve.log")).unwrap();
    let begun = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let mut daemon = Daemon { child, socket: root.join(".tintal/control.sock"), ready_after: Duration::ZERO };
    while daemon.ask("GET", "/readyz").is_none_or(|(status, _)| status != 200) {
        assert!(begun.elapsed() < READY_MAX, "the daemon of {} is not ready", root.display());
        thread::sleep(Duration::from_millis(1));
    }
    daemon.ready_after = begun.elapsed();
    daemon
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the control socket answers.
    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path).expect("the control socket answers");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    fn ask(&self, method: &str, path: &str) -> Option<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        write!(stream, "{method} {path} HTTP/1.0\r\nhost: tintal\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
