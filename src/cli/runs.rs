//! `tintal runs`: what was decided, and what came of it.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::{
    Exit, Failure,
    console::{self, block_on},
    format::one_line,
    offline,
    said::Said,
    served::ask,
    table, tiers, tree,
};
use crate::{
    config::Settings,
    control::{
        client,
        server::RUNS_MAX,
        view::{RunView, RunsView, WaitView},
    },
    ledger::RunQuery,
    manifest::name::JobName,
};

/// Characters that the table shows of a value; `--json` has all.
const VALUE_CHARS_MAX: usize = 40;

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

    /// Only runs that go, or went, over this backend of the queue tier
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,

    /// Only runs that this worker has, or has made an attempt of
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,

    #[command(flatten)]
    said: Said,
}

/// Who said which runs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Teller {
    /// The daemon.
    Daemon,
    /// The ledger, as there is no daemon.
    Ledger,
}

/// Runs, from the daemon, or from the ledger when there is no daemon.
pub(super) fn look(settings: &Settings, query: &RunQuery) -> Result<(RunsView, Teller), Failure> {
    let mut asked = Serializer::new(String::new());
    asked.append_pair("limit", &query.limit.to_string());
    let job = query.job.as_ref().map(JobName::as_str);
    for (name, value) in
        [("job", job), ("backend", query.backend.as_deref()), ("worker", query.worker.as_deref())]
    {
        if let Some(value) = value {
            asked.append_pair(name, value);
        }
    }
    let path = format!("/v1/runs?{}", asked.finish());
    if let Some(view) = block_on(client::ask(&settings.state, &path))?? {
        return Ok((view, Teller::Daemon));
    }
    Ok((offline::runs(settings, query)?, Teller::Ledger))
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
        let query = RunQuery {
            job,
            before: None,
            backend: self.backend,
            worker: self.worker,
            limit: self.count as usize,
        };
        let (view, teller) = look(settings, &query)?;
        if let (Some(job), true) = (&query.job, view.runs.is_empty()) {
            must_exist(settings, job)?;
        }
        if teller == Teller::Ledger {
            let mut note = offline::note(settings);
            if view.runs.iter().any(|run| run.detail.as_deref() == Some(offline::OPEN)) {
                note.push_str("; the next daemon sees to what is `open`");
            }
            writeln!(io::stderr(), "{note}")?;
        }
        if self.said.is_json() {
            console::json(&view)?;
            return Ok(Exit::Clean);
        }
        // Where nothing leaves the daemon, nothing is to be said of where it went.
        let has_places = !view.runs.iter().all(tiers::is_here);
        let places = has_places.then_some("where");
        let head = ["fire time", "job", "outcome", "attempts", "took"].into_iter().chain(places);
        let rows = view.runs.iter().map(|run| row(run, has_places));
        table::print_rows(head.chain(["why", "run"]), rows)?;
        Ok(Exit::Clean)
    }
}

fn row(run: &RunView, has_places: bool) -> Vec<String> {
    let skipped = run.decision == "skipped";
    let outcome = match (&run.detail, skipped) {
        (_, true) if run.at_least => format!("skipped (at least {} times)", run.count),
        (_, true) if run.count > 1 => format!("skipped ({} times)", run.count),
        (_, true) if run.count == 0 => "decided anew from here".to_owned(),
        (_, true) => "skipped".to_owned(),
        (Some(detail), false) => detail.clone(),
        (None, false) => match &run.waits {
            Some(WaitView { attempt, max_attempts, at }) => {
                format!("waits for attempt {attempt} of {max_attempts}, at {at}")
            }
            None => tiers::on_its_way(run).unwrap_or_else(|| "running".to_owned()),
        },
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
    let mut row = vec![
        run.fire_time.to_string(),
        run.job.clone(),
        outcome,
        if skipped { "-".to_owned() } else { run.attempts.len().to_string() },
        took,
    ];
    row.extend(has_places.then(|| tiers::of_run(run)));
    row.extend([why(run), run.run_id.clone().unwrap_or_else(|| "-".to_owned())]);
    row
}

/// What a reason of a skip means, where the word alone does not say it.
fn meaning(reason: &str) -> Option<&'static str> {
    match reason {
        "superseded" => Some("a newer fire took its place before it could be delivered"),
        "expired" => Some("its time passed before it could be delivered"),
        "elsewhere" => Some("another daemon has sent it"),
        _ => None,
    }
}

/// Why it was skipped, or what asked for it and with which values.
fn why(run: &RunView) -> String {
    let mut why = run.reason.clone().unwrap_or_default();
    if let Some(meaning) = meaning(&why) {
        let _ = write!(why, ": {meaning}");
    }
    for (name, value) in &run.params {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let value = one_line(&value);
        let short: String = value.chars().take(VALUE_CHARS_MAX).collect();
        let cut = if short.len() < value.len() { "…" } else { "" };
        let _ = write!(why, ", {name}={short}{cut}");
    }
    why
}
