//! The signals that ask a command to stop.

use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, Ctrl-\, SIGTERM, and the end of the terminal. While the value lives, none of them ends
/// the process by itself.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Ear,
    interrupt: Ear,
    quit: Ear,
    terminate: Ear,
}

/// Hears one signal; nothing when whoever started the process told it to ignore that one, as `nohup`
/// does with the end of the terminal: to listen would undo it.
#[derive(Debug)]
pub(super) struct Ear(Option<Signal>);

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: Ear::new(SignalKind::hangup())?,
            interrupt: Ear::new(SignalKind::interrupt())?,
            quit: Ear::new(SignalKind::quit())?,
            terminate: Ear::new(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one; gives its number.
    pub(super) async fn next(&mut self) -> u8 {
        let kind = tokio::select! {
            () = self.hangup.next() => SignalKind::hangup(),
            () = self.interrupt.next() => SignalKind::interrupt(),
            () = self.quit.next() => SignalKind::quit(),
            () = self.terminate.next() => SignalKind::terminate(),
        };
        u8::try_from(kind.as_raw_value()).unwrap_or_default()
    }
}

impl Ear {
    /// Begins to listen to a signal that this process did not listen to before.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(super) fn new(kind: SignalKind) -> io::Result<Self> {
        // Where there is no `/proc`, none counts as ignored.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let heard = if is_ignored(&status, kind) { None } else { Some(signal(kind)?) };
        Ok(Self(heard))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Whether a process ignores a signal, by its `/proc/PID/status`.
fn is_ignored(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\ttintal\nSigBlk:\t0000000000000007\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert!(is_ignored(status, SignalKind::hangup()) && is_ignored(status, SignalKind::pipe()));
        assert!(!is_ignored(status, SignalKind::interrupt()) && !is_ignored("", SignalKind::hangup()));
    }
}
