//! `tintal run`: one job in the foreground, without the daemon.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Exit, Failure,
    console::{self, block_on},
    hand::params,
    said::Said,
    signals::Signals,
    tree,
};
use crate::{
    config::Settings,
    control::{given, render},
    engine::clock,
    execute::{Attempt, Echo, Executor, adoption::adopt_orphans, attempt, leftover::end_leftovers_of},
    ledger::{AttemptRow, Counted, RunRow},
    manifest::{
        param,
        shared::Shared,
        spec::{PolicySpec, RetrySpec},
        text::format_duration,
    },
    run::{self, Cause, Next, Outcome, RunKey},
    schedule::told::{self, Answers},
};

/// Run one job in the foreground, with its output live
#[derive(Debug, Args)]
#[command(
    after_help = "No daemon is asked, and nothing is recorded. Ctrl-C, SIGTERM and a closed terminal stop the \
                  job as a timeout does: SIGTERM, its grace, SIGKILL; a second one kills it at once. One that \
                  `nohup` or a script's `&` keeps away is not heard. Output and error output of the job are one \
                  stream, on stdout; with JSON, which is printed at the end as by `runs`, on stderr."
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

    #[command(flatten)]
    said: Said,
}

/// How the run ended, and what asked for it to end early.
struct Ended {
    outcome: Outcome,
    attempts: Vec<AttemptRow>,
    signal: Option<u8>,
}

/// Where the output goes, and whether its last line is open.
#[derive(Debug, Clone)]
struct Screen {
    to: Stream,
    line_is_open: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy)]
enum Stream {
    Out,
    Err,
}

impl Run {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let view = tree::load(settings)?;
        let mut spec = (*view.job(&self.job)?.spec).clone();
        let params = param::read(&spec.params, params(&self.params)?)?;
        if self.no_retry {
            let retry = RetrySpec { max_attempts: 1, ..spec.policy.retry.clone() };
            spec.policy = Shared::of(PolicySpec { retry, ..(*spec.policy).clone() });
        }
        let fire_time = self.fire_time.unwrap_or_else(clock::now);
        let key = RunKey { job: spec.name.clone(), fire_time, cause: Cause::Manual };
        let screen = Screen {
            to: if self.said.is_json() { Stream::Err } else { Stream::Out },
            line_is_open: Arc::new(AtomicBool::new(false)),
        };
        let timezone = told::zone(&spec.name, &spec.schedule, fire_time, Answers::Instant).to_owned();
        let first = Attempt {
            spec: Arc::new(spec),
            run_id: key.id(),
            fire_time,
            timezone,
            attempt: 1,
            params,
            output: "/dev/null".into(),
            echo: Some(screen.echo()),
        };
        let (spec, values) = (Arc::clone(&first.spec), first.params.clone());
        // A terminal that takes no more output must not keep a signal from being seen: two threads.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let executor = Executor::new(tree::environment(), settings.output_bytes_max);
        let ended = runtime.block_on(until_stopped(executor, first, &screen));
        runtime.shutdown_background();
        let ended = ended?;
        screen.say(&match &ended.outcome {
            Outcome::Success => format!("`{}` succeeded", key.job),
            // The reason stands in the output.
            Outcome::NotStarted { .. } => format!("`{}` failed: not started", key.job),
            outcome => format!("`{}` failed: {outcome}", key.job),
        });
        if self.said.is_json() {
            let mut view = render::runs(&[row(&key, values, &ended)]);
            block_on(given::conceal(&mut view, |_| Some(Arc::clone(&spec))))?;
            console::json(&view)?;
        }
        Ok(match (ended.signal, ended.outcome.is_success()) {
            (Some(signal), _) => Exit::Signalled(signal),
            (None, true) => Exit::Clean,
            (None, false) => Exit::Found,
        })
    }
}

/// Makes the attempts of a run. The first signal stops it as a timeout does; the second one kills.
async fn until_stopped(executor: Executor, first: Attempt, screen: &Screen) -> Result<Ended, Failure> {
    adopt_orphans();
    let mut signals = Signals::new()?;
    let run_id = first.run_id;
    let (stop, stopped) = watch::channel(false);
    let mut work = tokio::spawn(attempts(executor, first, screen.clone(), stopped));
    let signal = tokio::select! {
        ended = &mut work => return Ok(ended?),
        signal = signals.next() => signal,
    };
    let _ = stop.send(true);
    screen.say("stopping; once more to kill");
    tokio::select! {
        ended = &mut work => Ok(Ended { signal: Some(signal), ..ended? }),
        _ = signals.next() => {
            let _ = end_leftovers_of(&BTreeSet::from([run_id]));
            Ok(Ended { outcome: Outcome::Cancelled, attempts: Vec::new(), signal: Some(signal) })
        }
    }
}

async fn attempts(
    executor: Executor,
    mut next: Attempt,
    screen: Screen,
    mut stop: watch::Receiver<bool>,
) -> Ended {
    let mut attempts = Vec::new();
    loop {
        let n = next.attempt;
        let started_at = clock::now();
        let outcome = attempt(&executor, next.clone(), stop.clone()).await.outcome;
        attempts.push(AttemptRow {
            n,
            started_at,
            ended_at: Some(clock::now()),
            outcome: Some(outcome.clone()),
            output: None,
            worker: None,
        });
        let Next::RetryAfter(wait) = run::next(n, &outcome, &next.spec.policy.retry, rand::random()) else {
            return Ended { outcome, attempts, signal: None };
        };
        screen.say(&format!("attempt {n}: {outcome}; trying again in {}", format_duration(wait)));
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {
                return Ended { outcome: Outcome::Cancelled, attempts, signal: None };
            }
            () = tokio::time::sleep(wait) => next.attempt += 1,
        }
    }
}

fn row(key: &RunKey, params: BTreeMap<String, Value>, ended: &Ended) -> RunRow {
    RunRow {
        id: key.id(),
        job: key.job.clone(),
        fire_time: key.fire_time,
        last_fire_time: key.fire_time,
        count: 1,
        counted: Counted::All,
        cause: key.cause,
        params,
        skipped: None,
        decided_at: key.fire_time,
        outcome: Some(ended.outcome.clone()),
        ended_at: ended.attempts.last().and_then(|attempt| attempt.ended_at),
        attempts: ended.attempts.clone(),
        route: None,
        stage: None,
    }
}

impl Screen {
    fn echo(&self) -> Echo {
        let screen = self.clone();
        Echo(Arc::new(move |bytes| {
            if let Some(last) = bytes.last() {
                screen.line_is_open.store(*last != b'\n', Ordering::Relaxed);
            }
            // A closed terminal is no reason to stop the job.
            let _ = match screen.to {
                Stream::Out => put(&mut std::io::stdout().lock(), bytes),
                Stream::Err => put(&mut std::io::stderr().lock(), bytes),
            };
        }))
    }

    /// Says a line of our own on stderr, on a line of its own.
    fn say(&self, line: &str) {
        let start = if self.line_is_open.swap(false, Ordering::Relaxed) { "\n" } else { "" };
        // A closed terminal is no reason to stop the job.
        let _ = writeln!(std::io::stderr(), "{start}tintal: {line}");
    }
}

fn put(to: &mut dyn Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
