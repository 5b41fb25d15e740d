//! Where the control socket is, and how to bind it.

use std::{
    fs, io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

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
pub fn bind(state: &Path) -> io::Result<UnixListener> {
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
