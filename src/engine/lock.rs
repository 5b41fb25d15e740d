//! The exclusive use of a state directory.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;
use tokio::time::{Instant, sleep};

/// Name of the lock's file.
const LOCK_FILE: &str = "lock";

/// How often it is looked at whether the directory is still there.
const LOOK: Duration = Duration::from_secs(5);

/// How long a lock that is held is asked for again. A process that is killed while it starts another one
/// leaves its lock to that one, until that has become its program.
const HELD_MAX: Duration = Duration::from_millis(500);

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(10);

/// Why a state directory cannot be used.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process uses it.
    #[error("the state directory `{}` is in use by the process {pid}; stop that daemon, or give this one another with `--state DIR`", .state.display())]
    Held {
        /// The directory.
        state: PathBuf,
        /// The process, as it wrote itself down.
        pid: String,
    },
    /// It cannot be made, or not be written.
    #[error("the state directory `{}` cannot be used", .state.display())]
    Unusable {
        /// The directory.
        state: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The exclusive use of a state directory. It ends when the value is dropped, or the process ends,
/// however that comes.
#[derive(Debug)]
pub struct StateLock {
    file: File,
    path: PathBuf,
}

impl StateLock {
    /// Takes a state directory, which is made (0700) when it is missing.
    ///
    /// # Errors
    ///
    /// When another process has it, or it cannot be written.
    pub fn take(state: &Path) -> Result<Self, LockError> {
        let unusable = |source| LockError::Unusable { state: state.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(unusable)?;
        let path = state.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(LockError::Held { state: state.to_owned(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(unusable)?;
        Ok(Self { file, path })
    }

    /// Like [`Self::take`], but waits half a second for one that is held.
    ///
    /// # Errors
    ///
    /// When another process has it still, or it cannot be written.
    pub async fn wait_for(state: &Path) -> Result<Self, LockError> {
        let until = Instant::now() + HELD_MAX;
        loop {
            match Self::take(state) {
                Err(LockError::Held { .. }) if Instant::now() < until => sleep(AGAIN).await,
                taken => return taken,
            }
        }
    }

    /// Whether the directory is still the one that was taken: it was not removed, nor another put in
    /// its place. While that cannot be told, it is.
    #[must_use]
    pub fn holds(&self) -> bool {
        let Ok(own) = self.file.metadata() else { return true };
        match fs::metadata(&self.path) {
            Ok(there) => (there.dev(), there.ino()) == (own.dev(), own.ino()),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Waits until the directory is no longer the one that was taken.
    pub async fn lost(&self) {
        while self.holds() {
            sleep(LOOK).await;
        }
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        // To close the file would leave the lock to a process that is just being started.
        let _ = self.file.unlock();
    }
}

/// The process that has a state directory now, when one has it and the system tells.
///
/// The lock is not touched: whoever takes it at this moment is not to find it in use.
#[must_use]
pub fn holder(state: &Path) -> Option<u32> {
    let path = state.join(LOCK_FILE);
    let inode = fs::metadata(&path).ok()?.ino();
    let pid = fs::read_to_string(&path).ok()?.trim().parse().ok()?;
    holds_lock(&fs::read_to_string("/proc/locks").ok()?, pid, inode).then_some(pid)
}

/// Whether the lines of `/proc/locks` tell that a process has locked a file. Its device is not looked
/// at: some file systems tell another one there.
fn holds_lock(locks: &str, pid: u32, inode: u64) -> bool {
    let is_it = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, by, file, ..] = words[..] else { return false };
        by.parse() == Ok(pid) && file.rsplit(':').next().and_then(|inode| inode.parse().ok()) == Some(inode)
    };
    locks.lines().any(is_it)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_lock_that_is_let_go_of_is_not_kept_by_a_copy_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let first = StateLock::take(directory.path()).unwrap();
        let _copy = first.file.try_clone().unwrap();
        drop(first);
        assert!(StateLock::take(directory.path()).is_ok());
    }

    #[tokio::test]
    async fn a_lock_that_is_held_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let first = StateLock::take(directory.path()).unwrap();
        let mut second = std::pin::pin!(StateLock::wait_for(directory.path()));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.await.is_ok());
    }

    #[test]
    #[rustfmt::skip]
    fn holds_lock_table() {
        let check = |line: &str, expected: bool| {
            assert_eq!(holds_lock(&format!("1: POSIX  ADVISORY  READ 7 08:01:9 0 9\n{line}\n"), 7, 42), expected, "{line}");
        };
        check("2: FLOCK  ADVISORY  WRITE 7 fd:01:42 0 EOF",    true);
        check("2: FLOCK  ADVISORY  WRITE 8 fd:01:42 0 EOF",    false);
        check("2: FLOCK  ADVISORY  WRITE 7 fd:01:43 0 EOF",    false);
        check("2: POSIX  ADVISORY  WRITE 7 fd:01:42 0 EOF",    false);
        check("2: -> FLOCK  ADVISORY  WRITE 7 fd:01:42 0 EOF", false);
        check("",                                              false);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_holder_of_a_directory_is_told_while_it_has_it() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(holder(directory.path()), None);
        let lock = StateLock::take(directory.path()).unwrap();
        assert_eq!(holder(directory.path()), Some(std::process::id()));
        drop(lock);
        assert_eq!(holder(directory.path()), None);
    }

    /// F27.
    #[test]
    fn a_directory_that_is_removed_or_replaced_is_no_longer_held() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("a");
        let first = StateLock::take(&state).unwrap();
        assert!(first.holds());
        fs::remove_dir_all(&state).unwrap();
        assert!(!first.holds());
        let second = StateLock::take(&state).unwrap();
        assert_eq!((first.holds(), second.holds()), (false, true));
    }

    #[test]
    fn a_second_taker_is_told_the_pid_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("a/b");
        let first = StateLock::take(&state).unwrap();
        let error = StateLock::take(&state).unwrap_err();
        assert!(
            matches!(&error, LockError::Held { pid, .. } if *pid == std::process::id().to_string()),
            "{error}"
        );
        drop(first);
        assert!(StateLock::take(&state).is_ok());
    }
}
