//! Processes of a run that are left over: those that left its process group, or outlived the
//! daemon.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::run::RunId;

/// The variable that names the run to every process in it.
pub const RUN_ID: &str = "TINTAL_RUN_ID";

/// Kills every process of a run that is left; gives how many. They are known by the variable
/// that each process of a run has in its environment. May be called again.
#[must_use]
pub fn end_leftovers(run_id: RunId) -> usize {
    let left = find(run_id);
    for pid in &left {
        // One that has ended meanwhile is none of ours any more.
        let _ = kill_process(*pid, Signal::KILL);
    }
    left.len()
}

/// The processes of a run.
#[must_use]
pub fn find(run_id: RunId) -> Vec<Pid> {
    let wanted = format!("{RUN_ID}={run_id}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = rustix::process::getpid();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok().and_then(Pid::from_raw))
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}
