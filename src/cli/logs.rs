//! `tintal logs`: what a run printed.

use std::io::Write;

use clap::Args;

use super::{Exit, Failure, console::block_on, hand::run_of, runs::look};
use crate::{
    backend::drive::output_file,
    config::Settings,
    control::{
        client::{Client, ClientError},
        render,
        view::{RunView, RunsView},
    },
    engine::start::{LEDGER_FILE, OUTPUT_DIRECTORY},
    ledger::Ledger,
    manifest::name::JobName,
    run::RunId,
};

/// Runs that are looked through for the newest one that is no skip.
const LOOK_BACK: usize = 200;

/// Show what a run printed
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// A job (its newest run), or the id of a run
    target: String,

    /// Which attempt, from 1 [default: the last]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,

    /// Follow the output until the run is over, and exit as it ended
    #[arg(long, short = 'f')]
    follow: bool,
}

impl Logs {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let run_id = if self.target.parse::<uuid::Uuid>().is_ok() {
            self.target.clone()
        } else {
            newest(settings, &JobName::parse(&self.target)?)?
        };
        let mut out = std::io::stdout();
        if self.follow {
            let client = Client::new(&settings.state)?;
            let succeeded = follow(&client, &run_id, &mut out)?;
            return Ok(if succeeded { Exit::Clean } else { Exit::Found });
        }
        let id = RunId(run_id.parse()?);
        let attempt = match self.attempt {
            Some(attempt) => attempt,
            None => last_attempt(settings, id)?,
        };
        let path = settings.state.join(OUTPUT_DIRECTORY).join(output_file(id, attempt));
        match std::fs::File::open(&path) {
            Ok(mut file) => {
                std::io::copy(&mut file, &mut out)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                writeln!(std::io::stderr(), "attempt {attempt} of the run {run_id} printed nothing")?;
            }
            Err(error) => return Err(format!("`{}` cannot be read: {error}", path.display()).into()),
        }
        Ok(Exit::Clean)
    }
}

/// The newest run of a job that is no skip.
fn newest(settings: &Settings, job: &JobName) -> Result<String, Failure> {
    let runs = look(settings, Some(job), LOOK_BACK)?.runs;
    match runs.into_iter().find_map(|run| run.run_id) {
        Some(id) => Ok(id),
        None => Err(format!("`{job}` has not run yet").into()),
    }
}

fn last_attempt(settings: &Settings, id: RunId) -> Result<u32, Failure> {
    let asked = match Client::new(&settings.state) {
        Ok(client) => block_on(client.get::<RunsView>(&format!("/v1/runs/{id}")))?,
        Err(error) => Err(error),
    };
    let runs = match asked {
        Ok(view) => view.runs,
        Err(ClientError::NotRunning { .. }) => {
            let row = Ledger::peek_run(&settings.state.join(LEDGER_FILE), id)?;
            render::runs(row.as_slice()).runs
        }
        Err(error) => return Err(error.into()),
    };
    let run = runs.into_iter().next().ok_or_else(|| Failure::from(format!("there is no run `{id}`")))?;
    Ok(run.attempts.last().map_or(1, |attempt| attempt.n))
}

/// Follows a run through its attempts; gives whether it succeeded.
pub(super) fn follow(client: &Client, run_id: &str, out: &mut dyn Write) -> Result<bool, Failure> {
    let mut attempt = 1;
    loop {
        block_on(client.copy(&format!("/v1/runs/{run_id}/attempts/{attempt}/log?follow=true"), out))??;
        let view = run_of(client, run_id)?;
        let Some(run) = view.runs.into_iter().next() else { return Ok(false) };
        let last = run.attempts.last().map_or(1, |attempt| attempt.n);
        if last > attempt {
            attempt += 1;
            continue;
        }
        if run.outcome.is_some() {
            return Ok(ended(&run));
        }
    }
}

fn ended(run: &RunView) -> bool {
    run.outcome.as_deref() == Some("success")
}
