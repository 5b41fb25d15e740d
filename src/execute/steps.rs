//! A DAG of steps: those whose needs are met run at once.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};

use super::{
    sink::Capture,
    step::{Done, Leaf, Stop},
};
use crate::{
    manifest::{
        spec::StepSpec,
        template::{StepResult, Values},
    },
    run::{self, Next, Outcome},
};

/// Runs the steps; a failed one does not stop its siblings, and those that need it are skipped.
pub(super) async fn run(leaf: &Leaf<'_>, steps: &[StepSpec], values: Values, stop: Stop) -> Outcome {
    let mut state = State::new(steps, values);
    let mut going: FuturesUnordered<BoxFuture<'_, (usize, Done)>> = FuturesUnordered::new();
    let mut timed_out = false;
    loop {
        for index in state.take_ready() {
            let values = state.visible(index);
            let (step, stop) = (&steps[index], stop.clone());
            let capture = capture(steps, step);
            going.push(Box::pin(async move { (index, one(leaf, step, capture, values, stop).await) }));
        }
        let Some((index, done)) = going.next().await else { break };
        timed_out |= done.outcome == Outcome::Timeout && stop.now().is_some();
        for (id, failed) in state.finish(index, done) {
            leaf.output.say("", &format!("the step `{id}` is skipped, since `{failed}` did not succeed"));
        }
    }
    // A step's own timeout is a failed step; that of the whole attempt ends all that go on.
    if timed_out { Outcome::Timeout } else { state.outcome() }
}

/// What is kept of a step's output: nothing when no other step needs it, and so none can use it.
fn capture(steps: &[StepSpec], step: &StepSpec) -> Capture {
    let is_needed = steps.iter().any(|other| other.needs.contains(&step.id));
    if is_needed { Capture::Whole } else { Capture::Nothing }
}

/// One step through its attempts.
async fn one(leaf: &Leaf<'_>, step: &StepSpec, capture: Capture, values: Values, stop: Stop) -> Done {
    let mut attempt = 1;
    loop {
        let limit = step.timeout.map(|timeout| Instant::now() + timeout);
        let done = leaf.run(&step.action, Some(&step.id), capture, &values, stop.by(limit)).await;
        // The end of the whole attempt is no reason to try again.
        let over = stop.now().is_some();
        match run::next(attempt, &done.outcome, &step.retry, rand::random()) {
            Next::RetryAfter(wait) if !over => {
                let id = &step.id;
                leaf.output.say("", &format!("the step `{id}` failed ({}); it is tried again", done.outcome));
                let mut waiting = stop.clone();
                tokio::select! {
                    why = waiting.reached() => return Done { outcome: why, captured: done.captured },
                    () = sleep(wait) => attempt += 1,
                }
            }
            _ => return done,
        }
    }
}

/// Which steps are done, and how.
struct State<'a> {
    steps: &'a [StepSpec],
    values: Values,
    started: BTreeSet<usize>,
    outcomes: BTreeMap<&'a str, Outcome>,
    /// Skipped steps, in the order in which that was known.
    skipped: BTreeSet<&'a str>,
}

impl<'a> State<'a> {
    fn new(steps: &'a [StepSpec], values: Values) -> Self {
        Self { steps, values, started: BTreeSet::new(), outcomes: BTreeMap::new(), skipped: BTreeSet::new() }
    }

    /// Steps that can start now; each is given once.
    fn take_ready(&mut self) -> Vec<usize> {
        let succeeded = |id: &String| self.outcomes.get(id.as_str()).is_some_and(Outcome::is_success);
        let ready: Vec<usize> = (0..self.steps.len())
            .filter(|index| !self.started.contains(index))
            .filter(|index| !self.skipped.contains(self.steps[*index].id.as_str()))
            .filter(|index| self.steps[*index].needs.iter().all(succeeded))
            .collect();
        self.started.extend(&ready);
        ready
    }

    /// What a step sees: the steps that it needs, and those that they need.
    fn visible(&self, index: usize) -> Values {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = self.steps[index].needs.iter().map(String::as_str).collect();
        while let Some(id) = open.pop() {
            if seen.insert(id)
                && let Some(step) = self.steps.iter().find(|step| step.id == id)
            {
                open.extend(step.needs.iter().map(String::as_str));
            }
        }
        let mut values = self.values.clone();
        values.steps.retain(|id, _| seen.contains(id.as_str()));
        values
    }

    /// Takes in the end of a step; gives the steps that are skipped now, with the one that failed.
    fn finish(&mut self, index: usize, done: Done) -> Vec<(&'a str, &'a str)> {
        let id = self.steps[index].id.as_str();
        let result = StepResult { output: done.captured, status: done.outcome.as_str().to_owned() };
        self.values.steps.insert(id.to_owned(), result);
        let failed = !done.outcome.is_success();
        self.outcomes.insert(id, done.outcome);
        let mut skipped = Vec::new();
        if failed {
            let mut open = vec![id];
            while let Some(failed) = open.pop() {
                for step in self.steps.iter().filter(|step| step.needs.iter().any(|need| need == failed)) {
                    if self.skipped.insert(&step.id) {
                        skipped.push((step.id.as_str(), failed));
                        open.push(&step.id);
                    }
                }
            }
        }
        skipped
    }

    fn outcome(&self) -> Outcome {
        let in_order = |ids: &dyn Fn(&str) -> bool| -> Vec<String> {
            self.steps.iter().filter(|step| ids(&step.id)).map(|step| step.id.clone()).collect()
        };
        if self.outcomes.values().any(|outcome| *outcome == Outcome::Cancelled) {
            return Outcome::Cancelled;
        }
        let failed = in_order(&|id| self.outcomes.get(id).is_some_and(|outcome| !outcome.is_success()));
        if failed.is_empty() {
            return Outcome::Success;
        }
        Outcome::StepsFailed { failed, skipped: in_order(&|id| self.skipped.contains(id)) }
    }
}
