//! Where the control socket is, and how to bind it.

use std::{
    fs, io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    net::{UnixListener, UnixStream, unix::SocketAddr},
    time::timeout,
};
use tracing::{error, warn};

use crate::engine::lock::StateLock;

/// Name of the socket in the state directory.
pub const SOCKET_FILE: &str = "control.sock";

/// Longest path of a Unix socket: `sockaddr_un` holds 108 bytes with the closing zero.
const PATH_LEN_MAX: usize = 107;

/// A path that a socket call takes, for a socket in `state`.
///
/// A directory whose path is too long is reached through a file descriptor of it; `Address` keeps
/// that open.
#[derive(Debug)]
pub struct Address {
    path: PathBuf,
    _directory: Option<fs::File>,
}

impl Address {
    /// The address of the control socket in a state directory.
    ///
    /// # Errors
    ///
    /// When the directory cannot be opened.
    pub fn of(state: &Path) -> io::Result<Self> {
        let path = state.join(SOCKET_FILE);
        if path.as_os_str().len() <= PATH_LEN_MAX {
            return Ok(Self { path, _directory: None });
        }
        let directory = fs::File::open(state)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET_FILE}", directory.as_raw_fd()));
        Ok(Self { path, _directory: Some(directory) })
    }

    /// The path to hand to `bind` or `connect`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// How often it is looked at whether the socket is still there.
const LOOK: Duration = Duration::from_secs(5);

/// The control socket of a daemon. One that somebody takes away is made anew, while the state directory is
/// ours.
#[derive(Debug)]
pub struct Lasting {
    listener: UnixListener,
    state: PathBuf,
    lock: Arc<StateLock>,
    /// Whether the next one that cannot be made is news.
    is_told: bool,
}

impl Lasting {
    /// Binds the control socket.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn bind(state: &Path, lock: Arc<StateLock>) -> io::Result<Self> {
        Ok(Self { listener: bind(state)?, state: state.to_owned(), lock, is_told: false })
    }

    /// Makes the socket anew when nothing is at its path.
    fn see_to(&mut self) {
        let is_gone = Address::of(&self.state).and_then(|address| address.path().symlink_metadata());
        let is_gone = is_gone.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        // In a directory that is no longer ours another daemon may be about to make its own.
        if !is_gone || !self.lock.holds() {
            return;
        }
        match bind(&self.state) {
            Ok(listener) => {
                warn!("the control socket was taken away; it is made anew");
                self.listener = listener;
                self.is_told = false;
            }
            Err(error) if !self.is_told => {
                error!(%error, "the control socket was taken away, and cannot be made anew");
                self.is_told = true;
            }
            Err(_) => {}
        }
    }
}

impl Listener for Lasting {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok(accepted) = timeout(LOOK, Listener::accept(&mut self.listener)).await {
                return accepted;
            }
            self.see_to();
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Takes the control socket away, so that nobody waits at it. One that is gone is no error.
pub fn unbind(state: &Path) {
    if let Ok(address) = Address::of(state) {
        let _ = fs::remove_file(address.path());
    }
}

/// Binds the control socket with mode 0600, in place of one that a dead daemon left.
///
/// The caller holds the lock of the state directory, so nobody listens on the old one.
///
/// # Errors
///
/// When the socket cannot be made.
fn bind(state: &Path) -> io::Result<UnixListener> {
    let address = Address::of(state)?;
    match fs::remove_file(address.path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Until the mode is set, the directory (0700) keeps others out.
    let listener = UnixListener::bind(address.path())?;
    fs::set_permissions(address.path(), fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
