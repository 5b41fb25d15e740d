//! One action without steps: the whole of a run, or one step of it.

use std::{borrow::Cow, path::PathBuf};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    attempt::Shared,
    environment::Surroundings,
    http,
    leftover::Mark,
    mask::Masks,
    output::Output,
    process::{self, Program},
    program,
    sink::{Capture, Sink},
};
use crate::{
    manifest::{
        spec::{Action, Spec},
        template::{self, Kind, StepOutput, Values},
    },
    run::Outcome,
};

/// What the actions of an attempt share.
pub(super) struct Leaf<'a> {
    pub(super) shared: &'a Shared,
    pub(super) spec: &'a Spec,
    pub(super) surroundings: &'a Surroundings,
    pub(super) masks: Masks,
    pub(super) output: &'a Output,
    /// What its processes are known by.
    pub(super) mark: Mark,
}

/// When an action is to be stopped.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    /// A person, or the end of the daemon.
    pub(super) asked: watch::Receiver<bool>,
    /// The time is up.
    pub(super) deadline: Option<Instant>,
}

impl Stop {
    /// The outcome that it means, when it is reached already.
    pub(super) fn now(&self) -> Option<Outcome> {
        if *self.asked.borrow() {
            return Some(Outcome::Cancelled);
        }
        let is_over = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        is_over.then_some(Outcome::Timeout)
    }

    /// Waits for it; gives the outcome that it means.
    pub(super) async fn reached(&mut self) -> Outcome {
        let deadline = self.deadline;
        let time_is_up = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let asked = async {
            // Who could ask is gone with the daemon: then nobody asks.
            if self.asked.wait_for(|stop| *stop).await.map(drop).is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = asked => Outcome::Cancelled,
            () = time_is_up => Outcome::Timeout,
        }
    }

    /// The same with a deadline that is not later than this.
    pub(super) fn by(&self, deadline: Option<Instant>) -> Self {
        let deadline = match (self.deadline, deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { asked: self.asked.clone(), deadline }
    }
}

/// What came of an action.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// What it printed on stdout, for later steps, if that was to be captured.
    pub(super) captured: StepOutput,
}

impl Leaf<'_> {
    /// Runs an action. `step` is its id, when it is one of several.
    pub(super) async fn run(
        &self,
        action: &Action,
        step: Option<&str>,
        capture: Capture,
        values: &Values,
        stop: Stop,
    ) -> Done {
        let mut sink = Sink::new(self.output, self.masks.clone(), step, capture);
        let outcome = match stop.now() {
            // Nothing is started only to be ended.
            Some(why) => why,
            None => self.act(action, step, values, stop, &mut sink).await,
        };
        let outcome = self.masked(outcome);
        if let Outcome::Timeout | Outcome::Cancelled = outcome {
            sink.say(&outcome.to_string());
        }
        Done { outcome, captured: sink.finish() }
    }

    async fn act(
        &self,
        action: &Action,
        step: Option<&str>,
        values: &Values,
        mut stop: Stop,
        sink: &mut Sink<'_>,
    ) -> Outcome {
        match self.start(action, step, values) {
            Ok(Ready::Program(program)) => {
                let grace = self.spec.policy.kill_grace;
                // A step's siblings go on when it is ended.
                let mark = step.map_or_else(|| self.mark.clone(), |id| self.mark.clone().and_step(id));
                process::run(program, mark, grace, &mut stop, sink).await
            }
            Ok(Ready::Request(request)) => {
                stop.deadline = Some(http::deadline(stop.deadline, Instant::now()));
                tokio::select! {
                    outcome = http::run(self.shared, &request, sink) => outcome,
                    why = stop.reached() => why,
                }
            }
            Ok(Ready::Nothing) => Outcome::Success,
            Err(reason) => {
                let reason = self.masks.text(&reason);
                sink.say(&reason);
                Outcome::not_started(reason)
            }
        }
    }

    /// The same outcome without secrets in its reason.
    fn masked(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Connect { reason } => Outcome::Connect { reason: self.masks.text(&reason) },
            Outcome::HttpUnexpected { status, reason } => {
                Outcome::HttpUnexpected { status, reason: self.masks.text(&reason) }
            }
            Outcome::NotStarted { reason, errno } => {
                Outcome::NotStarted { reason: self.masks.text(&reason), errno }
            }
            other => other,
        }
    }

    fn start(&self, action: &Action, step: Option<&str>, values: &Values) -> Result<Ready, String> {
        match action {
            Action::Command(words) => {
                let words = words
                    .iter()
                    .map(|word| template::render(word, Kind::Plain, values).map(Cow::into_owned))
                    .collect::<Result<Vec<_>, _>>()?;
                self.program(words, step, values).map(Ready::Program)
            }
            Action::Shell(line) => {
                let line = template::render(line, Kind::Shell, values)?.into_owned();
                self.program(vec!["sh".to_owned(), "-c".to_owned(), line], step, values).map(Ready::Program)
            }
            Action::Http(request) => {
                http::filled(request, values, &self.surroundings.secrets).map(Ready::Request)
            }
            Action::Builtin(_) | Action::Steps(_) | Action::Message(_) => Ok(Ready::Nothing),
        }
    }

    fn program(&self, words: Vec<String>, step: Option<&str>, values: &Values) -> Result<Program, String> {
        let mut environment = self.surroundings.base.clone();
        for (name, value) in &self.surroundings.env {
            environment.insert(name.clone(), template::render(value, Kind::Plain, values)?.into_owned());
        }
        environment.extend(self.surroundings.secrets.clone());
        for (name, value) in [
            ("TINTAL_JOB", values.job.as_str().to_owned()),
            ("TINTAL_RUN_ID", values.run_id.clone()),
            ("TINTAL_FIRE_TIME", values.fire_time.to_string()),
            ("TINTAL_ATTEMPT", values.attempt.to_string()),
        ] {
            environment.insert(name.to_owned(), value);
        }
        if let Some(step) = step {
            environment.insert("TINTAL_STEP".to_owned(), step.to_owned());
        }
        let directory = match &self.spec.run.cwd {
            Some(cwd) => Some(PathBuf::from(template::render(cwd, Kind::Plain, values)?.into_owned())),
            None => None,
        };
        let here = match &directory {
            Some(directory) if !directory.is_dir() => {
                return Err(format!("there is no directory `{}` to run in", directory.display()));
            }
            Some(directory) => std::path::absolute(directory),
            None => std::env::current_dir(),
        };
        let here = here.map_err(|error| format!("the working directory cannot be told: {error}"))?;
        let mut words = words.into_iter();
        let name = words.next().unwrap_or_default();
        let path = environment.get("PATH").cloned().unwrap_or_default();
        let file = program::find(&name, &path, &here)?;
        Ok(Program {
            file,
            name,
            arguments: words.collect(),
            environment: environment.into_iter().collect(),
            directory,
        })
    }
}

enum Ready {
    Program(Program),
    Request(http::Filled),
    Nothing,
}
