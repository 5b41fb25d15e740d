//! What the processes of an attempt are known by, and the end of those that a daemon before this
//! one left.

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
