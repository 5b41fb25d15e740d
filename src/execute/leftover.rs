//! Processes of a run that are left over: those that left its process group, or outlived the
//! daemon.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::run::RunId;

/// What processes have in their environment: all of these variables, with these values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(Vec<String>);

impl Mark {
    /// Every process of a run.
    #[must_use]
    pub fn of_run(run_id: RunId) -> Self {
        Self(vec![format!("TINTAL_RUN_ID={run_id}")])
    }

    /// Of them, those of one attempt, counted from 1.
    #[must_use]
    pub fn and_attempt(mut self, attempt: u32) -> Self {
        self.0.push(format!("TINTAL_ATTEMPT={attempt}"));
        self
    }

    /// Of them, those of one step.
    #[must_use]
    pub fn and_step(mut self, id: &str) -> Self {
        self.0.push(format!("TINTAL_STEP={id}"));
        self
    }

    /// Whether an environment, as `/proc` gives it, has the variables.
    fn is_in(&self, environment: &[u8]) -> bool {
        let has = |wanted: &String| environment.split(|byte| *byte == 0).any(|own| own == wanted.as_bytes());
        self.0.iter().all(has)
    }
}

/// Kills every process with the mark that is left; gives how many. May be called again.
#[must_use]
pub fn end_leftovers(mark: &Mark) -> usize {
    let left = find(mark);
    for pid in &left {
        // One that has ended meanwhile is none of ours any more.
        let _ = kill_process(*pid, Signal::KILL);
    }
    left.len()
}

/// The processes with the mark.
fn find(mark: &Mark) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = rustix::process::getpid();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok().and_then(Pid::from_raw))
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
            mark.is_in(&environment)
        })
        .collect()
}
