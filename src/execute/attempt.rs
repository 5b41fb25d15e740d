//! One attempt, from its spec to its outcome.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use tokio::{sync::watch, task::spawn_blocking, time::Instant};

use super::{
    environment::{self, Surroundings},
    leftover::{Mark, end_leftovers},
    mask::Masks,
    output::Output,
    proxy::Clients,
    sink::Capture,
    step::{Leaf, Stop},
    steps,
};
use crate::{
    manifest::{
        spec::{Action, Spec},
        template::Values,
    },
    run::{Outcome, RunId},
};

/// How long the files of secrets may take when the job has no shorter timeout: a network disk that
/// hangs must not hold the job for ever.
const SECRETS_MAX: Duration = Duration::from_secs(30);

/// What attempts share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Executor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// Variables that every child sees.
    pub(super) base: BTreeMap<String, String>,
    /// Bytes of output that are kept of one attempt.
    pub(super) output_bytes_max: u64,
    pub(super) clients: Clients,
}

/// What is to be attempted.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The job.
    pub spec: Arc<Spec>,
    /// The run.
    pub run_id: RunId,
    /// The nominal instant.
    pub fire_time: Timestamp,
    /// The zone that templates tell it in.
    pub timezone: String,
    /// Counted from 1.
    pub attempt: u32,
    /// Values in place of the manifest's `params`.
    pub params: BTreeMap<String, Value>,
    /// Where the output goes. There is no file when there is no output.
    pub output: PathBuf,
    /// Sees the output as it comes, secrets masked.
    pub echo: Option<Echo>,
}

/// Sees the output of an attempt as it comes.
#[derive(Clone)]
pub struct Echo(pub Arc<Listen>);

/// Takes bytes as they come.
pub type Listen = dyn Fn(&[u8]) + Send + Sync;

impl fmt::Debug for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Echo")
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// How much it printed.
    pub output: OutputSize,
}

/// How much an attempt printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputSize {
    /// Bytes that came.
    pub seen: u64,
    /// Bytes that were kept.
    pub kept: u64,
}

impl Executor {
    /// An executor. `environment` is the daemon's: of it, children see the few variables that
    /// programs cannot do without.
    #[must_use]
    pub fn new(environment: impl IntoIterator<Item = (String, String)>, output_bytes_max: u64) -> Self {
        let base = environment::base(environment);
        Self { shared: Arc::new(Shared { base, output_bytes_max, clients: Clients::default() }) }
    }
}

/// Makes one attempt. It ends early, as cancelled, when `stop` becomes `true`.
///
/// Never fails: what goes wrong is an outcome.
pub async fn attempt(executor: &Executor, attempt: Attempt, stop: watch::Receiver<bool>) -> Report {
    if let Action::Builtin(_) = attempt.spec.run.action {
        return Report { outcome: Outcome::Success, output: OutputSize::default() };
    }
    if let Action::Message(_) = attempt.spec.run.action {
        let reason = "a `message` is for a consumer on a queue: nothing here can run it".to_owned();
        return Report {
            outcome: Outcome::NotStarted { reason, errno: None },
            output: OutputSize::default(),
        };
    }
    // In a box: what a program needs is large, and a no-op is not to carry it.
    Box::pin(begin(executor, attempt, stop)).await
}

async fn begin(executor: &Executor, attempt: Attempt, stop: watch::Receiver<bool>) -> Report {
    let output = Output::new(attempt.output.clone(), executor.shared.output_bytes_max, attempt.echo.clone());
    let stop = Stop { asked: stop, deadline: attempt.spec.policy.timeout.map(deadline) };
    let outcome = match surroundings(executor, &attempt.spec, stop.clone()).await {
        Ok(surroundings) => run(executor, &attempt, &surroundings, &output, stop).await,
        Err(outcome) => {
            let reason =
                if let Outcome::NotStarted { reason, .. } = &outcome { reason } else { &outcome.to_string() };
            output.say("", reason);
            outcome
        }
    };
    Report { outcome, output: output.finish() }
}

/// What the attempt works with, unless it is stopped before that is known, or it takes too long.
async fn surroundings(executor: &Executor, spec: &Spec, stop: Stop) -> Result<Surroundings, Outcome> {
    let mut stop = stop.by(Some(deadline(SECRETS_MAX)));
    tokio::select! {
        biased;
        found = Surroundings::of(spec, &executor.shared.base) => found.map_err(Outcome::not_started),
        why = stop.reached() => Err(match why {
            Outcome::Timeout => Outcome::not_started("the files of its secrets could not be read in time"),
            why => why,
        }),
    }
}

async fn run(
    executor: &Executor,
    attempt: &Attempt,
    surroundings: &Surroundings,
    output: &Output,
    stop: Stop,
) -> Outcome {
    let spec = &attempt.spec;
    let values = values(attempt);
    let leaf = Leaf {
        shared: &executor.shared,
        spec,
        surroundings,
        masks: Masks::of(surroundings.secrets.values()),
        output,
        mark: Mark::of_run(attempt.run_id).and_attempt(attempt.attempt),
    };
    match &spec.run.action {
        Action::Steps(list) => {
            let outcome = steps::run(&leaf, list, values, stop).await;
            if let Outcome::Timeout | Outcome::Cancelled = outcome {
                // What steps that had ended before left behind ends with the attempt.
                let mark = leaf.mark.clone();
                // Many small files are read. What cannot be ended here, a next daemon ends.
                let _ = spawn_blocking(move || end_leftovers(&mark)).await;
            }
            outcome
        }
        action => leaf.run(action, None, Capture::Nothing, &values, stop).await.outcome,
    }
}

fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}

fn values(attempt: &Attempt) -> Values {
    let spec = &attempt.spec;
    let mut params = spec.params.clone();
    params.extend(attempt.params.clone());
    Values {
        job: spec.name.clone(),
        labels: spec.labels.clone(),
        fire_time: attempt.fire_time,
        timezone: attempt.timezone.clone(),
        run_id: attempt.run_id.to_string(),
        attempt: attempt.attempt,
        params,
        steps: BTreeMap::new(),
        secrets: BTreeMap::new(),
    }
}
