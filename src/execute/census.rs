//! The processes of the machine, as `/proc` shows them. Where there is no `/proc`, there are none.

use std::{fs, io};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// Clock ticks from the start of the machine: with it, an id that was given again is noticed.
    pub(super) started: u64,
    /// Ended, and waits only for its parent to look.
    pub(super) is_zombie: bool,
    /// Its program, in 15 bytes at most.
    pub(super) name: String,
}

/// Every process.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| one(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}

/// One process; `None` when it is gone.
pub(super) fn one(pid: i32) -> Option<Process> {
    parse(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
}

fn parse(stat: &str) -> Option<Process> {
    // The name may hold blanks and brackets.
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        started: fields.get(19)?.parse().ok()?,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        name: name.to_owned(),
    })
}

impl Process {
    /// Whether it still runs. An id that was given to another process meanwhile does not count.
    pub(super) fn is_living(&self) -> bool {
        one(self.pid).is_some_and(|now| now.started == self.started && !now.is_zombie)
    }

    /// Its environment as it was started with, variables ended by zero bytes. Empty when it may not
    /// be read.
    pub(super) fn environment(&self) -> Vec<u8> {
        fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default()
    }

    /// Whether it prints to a pipe of these inodes.
    pub(super) fn prints_to(&self, inodes: &[u64]) -> bool {
        let pipes: Vec<String> = inodes.iter().map(|inode| format!("pipe:[{inode}]")).collect();
        (1..=2).any(|fd| {
            let target = fs::read_link(format!("/proc/{}/fd/{fd}", self.pid));
            target.is_ok_and(|target| pipes.iter().any(|pipe| target.as_os_str() == pipe.as_str()))
        })
    }

    /// Sends it a signal, and never to one that was given its id. One that has ended is no error.
    ///
    /// # Errors
    ///
    /// When it belongs to somebody whom we may not signal.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(()) };
        let handle = pidfd_open(pid, PidfdFlags::empty());
        if !self.is_living() {
            return Ok(());
        }
        let sent = match handle {
            Ok(handle) => pidfd_send_signal(handle, signal),
            Err(_) => kill_process(pid, signal),
        };
        match sent {
            Err(Errno::SRCH) => Ok(()),
            sent => sent.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_whatever_the_program_is_called() {
        let line = "42 (a) b (c) S 1 40 39 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 7777 1 2 3";
        let process = parse(line).unwrap();
        assert_eq!((process.pid, process.parent, process.group, process.session), (42, 1, 40, 39));
        assert_eq!((process.started, process.is_zombie, process.name.as_str()), (7777, false, "a) b (c"));
        assert!(parse(&line.replace(" S ", " Z ")).unwrap().is_zombie);
        assert_eq!(parse("42 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_among_all() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(all().iter().any(|process| process.pid == own && process.is_living()));
    }
}
