//! What the processes of an attempt are known by, and the end of those that a daemon before this
//! one left.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;

use super::census::{self, Process};
use crate::run::RunId;

/// The variable that names the run.
const RUN_ID: &str = "TINTAL_RUN_ID";

/// What processes have in their environment: all of these variables, with these values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(Vec<String>);

impl Mark {
    /// Every process of a run.
    #[must_use]
    pub fn of_run(run_id: RunId) -> Self {
        Self(vec![format!("{RUN_ID}={run_id}")])
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
    pub(super) fn is_in(&self, environment: &[u8]) -> bool {
        let has = |wanted: &String| variables(environment).any(|own| own == wanted.as_bytes());
        self.0.iter().all(has)
    }
}

/// Whether an environment is that of a process of some run.
pub(super) fn is_marked(environment: &[u8]) -> bool {
    let begin = format!("{RUN_ID}=").into_bytes();
    variables(environment).any(|own| own.starts_with(&begin))
}

fn variables(environment: &[u8]) -> impl Iterator<Item = &[u8]> {
    environment.split(|byte| *byte == 0)
}

/// Kills every process with the mark that is left; gives how many. What other attempts of the run left
/// behind is let be. May be called again.
#[must_use]
pub fn end_leftovers(mark: &Mark) -> usize {
    let marked = others().into_iter().filter(|process| mark.is_in(&process.environment()));
    marked.filter(kill).count()
}

/// Kills every process of some runs, and the groups that they are in; gives how many of each run
/// had its mark. Looks through the processes of the machine once. May be called again.
#[must_use]
pub fn end_leftovers_of(runs: &BTreeSet<RunId>) -> BTreeMap<RunId, usize> {
    // Not asked of the system: in a container it may be the group of nobody that is seen.
    let own_group = census::one(own()).map(|process| process.group);
    let all: Vec<(Process, Option<RunId>)> = others()
        .into_iter()
        .map(|process| {
            let run = run_of(&process.environment()).filter(|run| runs.contains(run));
            (process, run)
        })
        .collect();
    // Every process of a run was started in a group of its own, or of its parent's.
    let groups: BTreeSet<i32> = all
        .iter()
        .filter(|(process, run)| run.is_some() && Some(process.group) != own_group)
        .map(|(process, _)| process.group)
        .collect();
    let mut killed = BTreeMap::new();
    for (process, run) in &all {
        if (run.is_some() || groups.contains(&process.group))
            && kill(process)
            && let Some(run) = run
        {
            *killed.entry(*run).or_default() += 1;
        }
    }
    killed
}

/// The processes that run, but for this one.
fn others() -> Vec<Process> {
    let all = census::all().into_iter();
    all.filter(|process| process.pid != own() && !process.is_zombie).collect()
}

fn own() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Whether a process could be killed. One that may not be signalled is not ours.
fn kill(process: &Process) -> bool {
    process.signal(Signal::KILL).is_ok()
}

/// The run that a process says it belongs to.
fn run_of(environment: &[u8]) -> Option<RunId> {
    let begin = format!("{RUN_ID}=").into_bytes();
    let value = variables(environment).find_map(|own| own.strip_prefix(begin.as_slice()))?;
    std::str::from_utf8(value).ok()?.parse().ok().map(RunId)
}
