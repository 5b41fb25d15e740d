//! `tintal run`: one job in the foreground, without the daemon.

use std::{collections::BTreeMap, io::Write as _, sync::Arc, time::Duration};

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{Exit, Failure, hand::params, tree};
use crate::{
    config::Settings,
    engine::clock,
    execute::{Attempt, Echo, Executor, adoption::adopt_orphans, attempt},
    manifest::spec::Spec,
    run::{self, Cause, Next, Outcome, RunKey},
};

/// Run one job in the foreground, with its output live
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the run succeeded, 1 it failed, 2 it could not be told. No daemon is asked, and nothing is recorded."
)]
pub(super) struct Run {
    /// The job
    job: String,

    /// A value in place of the manifest's; may be given again
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE")]
    params: Vec<String>,

    /// The fire time that the run sees, instead of now (RFC 3339)
    #[arg(long, value_name = "TIME")]
    fire_time: Option<Timestamp>,

    /// Make one attempt only, whatever the retry policy says
    #[arg(long)]
    no_retry: bool,
}

impl Run {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let view = tree::load(settings)?;
        let spec = Arc::clone(&view.job(&self.job)?.spec);
        let params = params(&self.params, &spec.name, &spec.params)?;
        let fire_time = self.fire_time.unwrap_or_else(clock::now);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome =
            runtime.block_on(attempts(&spec, fire_time, params, settings.output_bytes_max, self.no_retry))?;
        let mut err = std::io::stderr();
        if outcome.is_success() {
            writeln!(err, "tintal: `{}` succeeded", spec.name)?;
            return Ok(Exit::Clean);
        }
        writeln!(err, "tintal: `{}` failed: {outcome}", spec.name)?;
        Ok(Exit::Found)
    }
}

async fn attempts(
    spec: &Arc<Spec>,
    fire_time: Timestamp,
    params: BTreeMap<String, Value>,
    output_bytes_max: u64,
    no_retry: bool,
) -> Result<Outcome, Failure> {
    adopt_orphans();
    let stop = stopped_by_signal()?;
    let executor = Executor::new(tree::environment(), output_bytes_max);
    let run_id = RunKey { job: spec.name.clone(), fire_time, cause: Cause::Manual }.id();
    let echo = Echo(Arc::new(|bytes| {
        // A closed terminal is no reason to stop the job.
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }));
    let mut number = 1;
    loop {
        let one = Attempt {
            spec: Arc::clone(spec),
            run_id,
            fire_time,
            attempt: number,
            params: params.clone(),
            output: "/dev/null".into(),
            echo: Some(echo.clone()),
        };
        let outcome = attempt(&executor, one, stop.clone()).await.outcome;
        match run::next(number, &outcome, &spec.policy.retry, rand::random()) {
            Next::RetryAfter(wait) if !no_retry => {
                writeln!(
                    std::io::stderr(),
                    "tintal: attempt {number}: {outcome}; trying again in {}",
                    told(wait)
                )?;
                let mut asked = stop.clone();
                tokio::select! {
                    _ = asked.wait_for(|stop| *stop) => return Ok(Outcome::Cancelled),
                    () = tokio::time::sleep(wait) => number += 1,
                }
            }
            _ => return Ok(outcome),
        }
    }
}

fn told(wait: Duration) -> String {
    crate::manifest::text::format_duration(wait)
}

/// Ctrl-C and SIGTERM stop the run as a timeout does: TERM, grace, KILL.
fn stopped_by_signal() -> Result<watch::Receiver<bool>, Failure> {
    let (stop, stopped) = watch::channel(false);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = stop.send(true);
        stop.closed().await;
    });
    Ok(stopped)
}
