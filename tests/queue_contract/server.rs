//! A real server for a test: a process of its own, on a free port of the loopback, in a directory of its
//! own. It ends with its owner.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Longest time until a server answers: RabbitMQ on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Whether somebody listens there.
pub fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// A program from outside, by the variable that names it or by its usual name. What is missing fails the
/// test: none is skipped in silence.
pub fn program(variable: &str, usual: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| usual.to_owned())
}

/// Makes the command that starts a server, of its directory and its port.
type Start = dyn Fn(&TempDir, u16) -> Command + Send + Sync;

/// Whether what listens at a port is ready.
type Look = dyn Fn(u16) -> bool + Send + Sync;

/// A server with its data.
pub struct Server {
    pub directory: TempDir,
    pub port: u16,
    command: Box<Start>,
    is_ready: Box<Look>,
    child: Mutex<Option<Child>>,
}

impl Server {
    /// Starts a server with a command that is made of its directory and its port, and waits until
    /// `is_ready` says so of the port.
    pub fn start(
        command: impl Fn(&TempDir, u16) -> Command + Send + Sync + 'static,
        is_ready: impl Fn(u16) -> bool + Send + Sync + 'static,
    ) -> Self {
        let server = Self {
            directory: tempfile::tempdir().unwrap(),
            port: free_port(),
            command: Box::new(command),
            is_ready: Box::new(is_ready),
            child: Mutex::new(None),
        };
        server.run();
        server
    }

    /// Starts it again after [`Server::kill`], on the same port and data.
    pub fn run(&self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("server.log"))
            .unwrap();
        let mut command = (self.command)(&self.directory, self.port);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        *self.child.lock().unwrap() = Some(child);
        let start = Instant::now();
        while !(self.is_ready)(self.port) {
            let ended = self.child.lock().unwrap().as_mut().unwrap().try_wait().unwrap();
            let log = || std::fs::read_to_string(self.directory.path().join("server.log")).unwrap();
            assert!(ended.is_none(), "{command:?} ended: {ended:?}\n{}", log());
            assert!(start.elapsed() < START_MAX, "{command:?} is not ready\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().as_ref().unwrap().id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
