//! What the processes of an attempt are known by, and the end of those that a daemon before this
//! one left.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;

use super::census;
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

/// Kills every process with the mark that is left; gives how many. May be called again.
#[must_use]
pub fn end_leftovers(mark: &Mark) -> usize {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let left = census::all()
        .into_iter()
        .filter(|process| process.pid != own && !process.is_zombie)
        .filter(|process| mark.is_in(&process.environment()));
    // One that may not be signalled is not ours.
    left.filter(|process| process.signal(Signal::KILL).is_ok()).count()
}

/// Kills every process of some runs, and the groups that they are in; gives how many of each run
/// had its mark. Looks through the processes of the machine once. May be called again.
#[must_use]
pub fn end_leftovers_of(runs: &BTreeSet<RunId>) -> BTreeMap<RunId, usize> {
    let all = census::all();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let own_group = all.iter().find(|process| process.pid == own).map(|process| process.group);
    let mut marked = BTreeMap::new();
    for process in all.iter().filter(|process| process.pid != own && !process.is_zombie) {
        if let Some(run) = run_of(&process.environment()).filter(|run| runs.contains(run)) {
            marked.insert(process.pid, (run, process.group));
        }
    }
    // Every process of a run was started in a group of its own, or of its parent's.
    let groups: BTreeSet<i32> =
        marked.values().map(|(_, group)| *group).filter(|group| Some(*group) != own_group).collect();
    let mut killed = BTreeMap::new();
    for process in all.iter().filter(|process| process.pid != own) {
        let run = marked.get(&process.pid).map(|(run, _)| *run);
        let is_of_group = groups.contains(&process.group);
        // One that may not be signalled is not ours.
        if (run.is_some() || is_of_group)
            && process.signal(Signal::KILL).is_ok()
            && let Some(run) = run
        {
            *killed.entry(run).or_default() += 1;
        }
    }
    killed
}

/// The run that a process says it belongs to.
fn run_of(environment: &[u8]) -> Option<RunId> {
    let begin = format!("{RUN_ID}=").into_bytes();
    let value = variables(environment).find_map(|own| own.strip_prefix(begin.as_slice()))?;
    std::str::from_utf8(value).ok()?.parse().ok().map(RunId)
}
