//! Processes of a run that are left over: those that left its process group, or outlived the
//! daemon.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use rustix::process::{Pid, Signal, getpgid, getpid, kill_process, kill_process_group};

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

/// Kills every process of some runs, and the groups that they are in; gives how many each run had.
/// Looks through the processes of the machine once. May be called again.
#[must_use]
pub fn end_leftovers_of(runs: &BTreeSet<RunId>) -> BTreeMap<RunId, usize> {
    let own_group = getpgid(None).ok();
    let mut killed = BTreeMap::new();
    for (pid, run) in processes().filter(|(_, run)| runs.contains(run)) {
        // Every process of a run was started in a group of its own, or of its parent's.
        if let Some(group) = getpgid(Some(pid)).ok().filter(|group| Some(*group) != own_group) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = kill_process(pid, Signal::KILL);
        *killed.entry(run).or_default() += 1;
    }
    killed
}

/// The processes of a run.
#[must_use]
pub fn find(run_id: RunId) -> Vec<Pid> {
    processes().filter(|(_, run)| *run == run_id).map(|(pid, _)| pid).collect()
}

/// Every process of the machine that belongs to a run, save this one.
fn processes() -> impl Iterator<Item = (Pid, RunId)> {
    let own = getpid();
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok().and_then(Pid::from_raw))
        .filter(move |pid| *pid != own)
        .filter_map(|pid| Some((pid, run_of(pid)?)))
}

/// The run that a process says it belongs to.
fn run_of(pid: Pid) -> Option<RunId> {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let value = environment.split(|byte| *byte == 0).find_map(|variable| {
        let (name, value) = std::str::from_utf8(variable).ok()?.split_once('=')?;
        (name == RUN_ID).then_some(value)
    })?;
    value.parse().ok().map(RunId)
}
