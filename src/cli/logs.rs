//! `tintal logs`: what a run printed.

use std::{
    fs::File,
    io::{self, Read as _, Write},
    time::Duration,
};

use clap::Args;
use serde_json::json;
use tokio::time::sleep;

use super::{
    Exit, Failure,
    console::{self, block_on},
    hand::run_of,
    offline,
    runs::{look, must_exist},
    said::Said,
};
use crate::{
    backend::drive::output_file,
    config::Settings,
    control::{
        client::{self, Client, ClientError},
        view::{AttemptView, RunView, RunsView, VERSION},
    },
    engine::start::OUTPUT_DIRECTORY,
    ledger::RunQuery,
    manifest::name::JobName,
    run::RunId,
};

/// Runs that are looked through for the newest one that is no skip.
const LOOK_BACK: usize = 200;

/// How often a run that the daemon does not hold is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Show what a run printed
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// A job (its newest run), or the id of a run
    target: String,

    /// Attempt to show, from 1 [default: the last]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,

    /// Follow the output until the run is over (with --attempt: that attempt), and exit as it ended
    #[arg(long, short = 'f', conflicts_with_all = ["json", "format"])]
    follow: bool,

    #[command(flatten)]
    said: Said,
}

impl Logs {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let run_id = if self.target.parse::<uuid::Uuid>().is_ok() {
            self.target.clone()
        } else {
            newest(settings, &JobName::parse(&self.target)?)?
        };
        if self.follow {
            let client = block_on(Client::of(&settings.state))??;
            let mut out = io::stdout();
            let succeeded = match self.attempt {
                Some(attempt) => follow_one(&client, &run_id, attempt, &mut out)?,
                None => follow(&client, &run_id, From::Last, &mut out)?,
            };
            return Ok(if succeeded { Exit::Clean } else { Exit::Found });
        }
        let id = RunId(run_id.parse()?);
        let run = find(settings, id)?;
        let n = match self.attempt {
            Some(attempt) => made(&run, &run_id, attempt)?.n,
            None => last(&run),
        };
        let path = settings.state.join(OUTPUT_DIRECTORY).join(output_file(id, n));
        let file = match File::open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("`{}` cannot be read: {error}", path.display()).into()),
        };
        if self.said.is_json() {
            print_json(&run, n, file)?;
            return Ok(Exit::Clean);
        }
        match file {
            Some(mut file) => drop(io::copy(&mut file, &mut std::io::stdout())?),
            None => writeln!(std::io::stderr(), "attempt {n} of the run {id} printed nothing")?,
        }
        Ok(Exit::Clean)
    }
}

/// Bytes that are no UTF-8 are replaced in JSON.
fn print_json(run: &RunView, n: u32, file: Option<File>) -> Result<(), Failure> {
    let mut output = Vec::new();
    if let Some(mut file) = file {
        file.read_to_end(&mut output)?;
    }
    let document = json!({
        "v": VERSION,
        "run_id": run.run_id,
        "job": run.job,
        "fire_time": run.fire_time,
        "outcome": run.outcome,
        "attempt": run.attempts.iter().find(|attempt| attempt.n == n),
        "output": String::from_utf8_lossy(&output),
    });
    Ok(console::json(&document)?)
}

/// The newest run of a job that is no skip.
fn newest(settings: &Settings, job: &JobName) -> Result<String, Failure> {
    let query = RunQuery { job: Some(job.clone()), limit: LOOK_BACK, ..RunQuery::default() };
    let (view, _) = look(settings, &query)?;
    if let Some(id) = view.runs.into_iter().find_map(|run| run.run_id) {
        return Ok(id);
    }
    must_exist(settings, job)?;
    let why = offline::missing_state(settings).map(|why| format!(": {why}")).unwrap_or_default();
    Err(format!("`{job}` has not run yet{why}").into())
}

/// A run, from the daemon, or from the ledger when there is no daemon.
fn find(settings: &Settings, id: RunId) -> Result<RunView, Failure> {
    let asked: Option<RunsView> = block_on(client::ask(&settings.state, &format!("/v1/runs/{id}")))??;
    let run = match asked {
        Some(view) => view.runs.into_iter().next(),
        None => offline::run(settings, id)?,
    };
    run.ok_or_else(|| {
        let why = offline::missing_state(settings).map(|why| format!(": {why}")).unwrap_or_default();
        Failure::from(format!("there is no run `{id}`{why}"))
    })
}

fn last(run: &RunView) -> u32 {
    run.attempts.last().map_or(1, |attempt| attempt.n)
}

/// An attempt that was made.
fn made<'r>(run: &'r RunView, run_id: &str, attempt: u32) -> Result<&'r AttemptView, Failure> {
    let found = run.attempts.iter().find(|made| made.n == attempt);
    found.ok_or_else(|| {
        Failure::from(format!("the run `{run_id}` has no attempt {attempt}; its last is {}", last(run)))
    })
}

/// Where to begin to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// With the first attempt.
    First,
    /// With the last one so far.
    Last,
}

/// Follows a run through its attempts, until it is over; gives whether it succeeded.
pub(super) fn follow(
    client: &Client,
    run_id: &str,
    from: From,
    out: &mut dyn Write,
) -> Result<bool, Failure> {
    let mut attempt = match from {
        From::First => 1,
        From::Last => last(&seen(client, run_id)?),
    };
    loop {
        copy(client, run_id, attempt, out)?;
        let run = seen(client, run_id)?;
        if run.outcome.is_some() && last(&run) <= attempt {
            return Ok(run.outcome.as_deref() == Some("success"));
        }
        if last(&run) >= attempt {
            attempt += 1;
        } else {
            // The daemon has not taken the run up yet, or just lets go of it.
            block_on(sleep(LOOK))?;
        }
    }
}

/// Follows one attempt until it is over; gives whether it succeeded.
fn follow_one(client: &Client, run_id: &str, attempt: u32, out: &mut dyn Write) -> Result<bool, Failure> {
    copy(client, run_id, attempt, out)?;
    loop {
        let run = seen(client, run_id)?;
        let made = made(&run, run_id, attempt)?;
        if made.outcome.is_some() || run.outcome.is_some() {
            return Ok(made.outcome.as_deref() == Some("success"));
        }
        block_on(sleep(LOOK))?;
    }
}

fn copy(client: &Client, run_id: &str, attempt: u32, out: &mut dyn Write) -> Result<(), Failure> {
    let path = format!("/v1/runs/{run_id}/attempts/{attempt}/log?follow=true");
    block_on(client.copy(&path, out))?.map_err(|error| match error {
        // Whoever reads our output may have gone; the daemon has not.
        ClientError::Output(error) => Failure::from(error),
        error => Failure::from(error),
    })
}

fn seen(client: &Client, run_id: &str) -> Result<RunView, Failure> {
    let view = run_of(client, run_id)?;
    view.runs.into_iter().next().ok_or_else(|| Failure::from(format!("there is no run `{run_id}`")))
}
