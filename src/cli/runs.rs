//! `tintal runs`: what was decided, and what came of it.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;
use jiff::Timestamp;

use super::{
    Exit, Failure,
    console::{self, block_on},
    list::ask,
    table, tree,
};
use crate::{
    config::Settings,
    control::{
        client, render,
        server::RUNS_MAX,
        view::{RunView, RunsView},
    },
    engine::start::LEDGER_FILE,
    ledger::{Ledger, RunQuery},
    manifest::name::JobName,
    tier::LedgerKind,
};

/// List runs and skipped occurrences, newest first
#[derive(Debug, Args)]
pub(super) struct Runs {
    /// Job whose runs to list [default: all]
    job: Option<String>,

    /// List this many at most
    #[arg(
        long,
        short = 'n',
        alias = "limit",
        default_value_t = 20,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(RUNS_MAX))
    )]
    count: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs, from the daemon, or from the ledger when there is no daemon.
pub(super) fn look(settings: &Settings, job: Option<&JobName>, limit: usize) -> Result<RunsView, Failure> {
    let of_job = job.map(|job| format!("&job={job}")).unwrap_or_default();
    let path = format!("/v1/runs?limit={limit}{of_job}");
    if let Some(view) = block_on(client::ask(&settings.state, &path))?? {
        return Ok(view);
    }
    let query = RunQuery { job: job.cloned(), before: None, limit };
    let rows = match ledger_file(settings)? {
        Some(file) => Ledger::peek_runs(&file, &query)?,
        None => Vec::new(),
    };
    Ok(render::runs(&rows))
}

/// The file of the ledger, to read without a daemon. None when the ledger is kept in memory: a file that
/// is there all the same is of another time.
pub(super) fn ledger_file(settings: &Settings) -> io::Result<Option<PathBuf>> {
    if settings.ledger == LedgerKind::File {
        return Ok(Some(settings.state.join(LEDGER_FILE)));
    }
    writeln!(
        io::stderr(),
        "nothing is known of runs: no daemon is running, and the ledger is kept in memory (`ledger: memory`)"
    )?;
    Ok(None)
}

/// Says that there is no such job, when neither the daemon nor the tree has it. A job that is gone
/// and has run is found by its runs.
pub(super) fn must_exist(settings: &Settings, job: &JobName) -> Result<(), Failure> {
    let status = ask(settings)?;
    if status.is_some_and(|status| status.jobs.iter().any(|known| known.job == job.as_str())) {
        return Ok(());
    }
    let view = tree::load(settings)?;
    if view.tree.broken.contains(job) { Ok(()) } else { view.job(job.as_str()).map(drop) }
}

impl Runs {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let job = self.job.as_deref().map(JobName::parse).transpose()?;
        let view = look(settings, job.as_ref(), self.count as usize)?;
        if let (Some(job), true) = (&job, view.runs.is_empty()) {
            must_exist(settings, job)?;
        }
        if self.json {
            console::json(&view)?;
            return Ok(Exit::Clean);
        }
        table::print(
            ["fire time", "job", "outcome", "attempts", "took", "why", "run"],
            view.runs.iter().map(row),
        )?;
        Ok(Exit::Clean)
    }
}

fn row(run: &RunView) -> [String; 7] {
    let skipped = run.decision == "skipped";
    let outcome = match (&run.detail, skipped) {
        (_, true) if run.at_least => format!("skipped (at least {} times)", run.count),
        (_, true) if run.count > 1 => format!("skipped ({} times)", run.count),
        (_, true) if run.count == 0 => "decided anew from here".to_owned(),
        (_, true) => "skipped".to_owned(),
        (Some(detail), false) => detail.clone(),
        (None, false) => "running".to_owned(),
    };
    let started: Option<Timestamp> = run.attempts.first().map(|attempt| attempt.started_at);
    let ended = run.attempts.last().and_then(|attempt| attempt.ended_at);
    let took = match (started, ended) {
        (Some(started), Some(ended)) => {
            let millis = ended.duration_since(started).as_millis();
            format!("{}.{:03} s", millis / 1000, millis % 1000)
        }
        _ => "-".to_owned(),
    };
    [
        run.fire_time.to_string(),
        run.job.clone(),
        outcome,
        if skipped { "-".to_owned() } else { run.attempts.len().to_string() },
        took,
        run.reason.clone().unwrap_or_default(),
        run.run_id.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}
