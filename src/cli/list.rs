//! `tintal status` and `tintal list`.

use std::{collections::BTreeMap, io::Write as _};

use clap::Args;
use jiff::Timestamp;

use super::{
    Exit, Failure,
    console::{self, block_on},
    format::plural,
    table, tree,
};
use crate::{
    config::Settings,
    control::{
        client, render,
        view::{ConditionView, JobView, SourceView, StatusView, VERSION},
    },
    engine::clock,
    load::FirstProblems,
    manifest::problem::Severity,
};

/// The condition of a job that is live as its manifest says.
const READY: &str = "Ready";

/// Show the daemon, its tiers and what needs attention
#[derive(Debug, Args)]
pub(super) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// List the jobs
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only jobs with this label, and with this value if one is given; with several, jobs that have all
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = Wanted::parse)]
    labels: Vec<Wanted>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A label that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    key: String,
    /// Any, when there is none.
    value: Option<String>,
}

impl Wanted {
    /// Reads `KEY=VALUE` or `KEY`.
    fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
        if key.is_empty() {
            return Err("a label has a key; write KEY=VALUE, or KEY for any value".to_owned());
        }
        Ok(Self { key: key.to_owned(), value: value.map(str::to_owned) })
    }

    fn is_on(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(&self.key).is_some_and(|value| self.value.as_ref().is_none_or(|wanted| wanted == value))
    }
}

/// What the daemon says; none when there is none.
pub(super) fn ask(settings: &Settings) -> Result<Option<StatusView>, Failure> {
    Ok(block_on(client::ask(&settings.state, "/v1/status"))??)
}

/// What the manifests say, without a daemon.
fn from_manifests(settings: &Settings) -> Result<StatusView, Failure> {
    let view = tree::load(settings)?;
    let now = clock::now();
    let jobs = view.tree.jobs.values().map(|job| {
        let next = super::next::compiled(&job.spec).ok().and_then(|schedule| schedule.next_after(now));
        JobView {
            job: job.spec.name.to_string(),
            labels: job.spec.labels.clone(),
            tier: Some(job.classified.tier.to_string()),
            enabled: job.spec.enabled,
            paused: false,
            conditions: Vec::new(),
            last_run: None,
            next_fire: next.map(|fire| fire.time).filter(|_| job.spec.enabled),
            file: Some(job.origin.path.to_string()),
            line: Some(job.origin.line),
        }
    });
    let first = FirstProblems::among(&view.tree.problems);
    let broken = view.tree.broken.iter().map(|name| {
        let problem = first.of_job(name);
        let condition = ConditionView {
            kind: "Degraded".to_owned(),
            status: true,
            reason: problem.map_or_else(|| "Unusable".to_owned(), |problem| problem.code.to_string()),
            message: problem.map_or_else(String::new, |problem| problem.message.clone()),
            since: now,
        };
        JobView {
            job: name.to_string(),
            labels: BTreeMap::new(),
            tier: None,
            enabled: false,
            paused: false,
            conditions: vec![condition],
            last_run: None,
            next_fire: None,
            file: None,
            line: None,
        }
    });
    let mut jobs: Vec<JobView> = jobs.chain(broken).collect();
    jobs.sort_by(|a, b| a.job.cmp(&b.job));
    let errors = view.tree.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let source = SourceView {
        directory: settings.jobs.display().to_string(),
        errors,
        warnings: view.tree.problems.len() - errors,
        ..SourceView::default()
    };
    Ok(StatusView { v: VERSION, daemon: None, jobs, tiers: render::tiers(), source })
}

impl Status {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let answer = ask(settings)?;
        let view = match answer {
            Some(view) => view,
            None => from_manifests(settings)?,
        };
        if self.json {
            console::json(&view)?;
        } else {
            say(&view)?;
        }
        let attention = view.jobs.iter().any(|job| bad(job).next().is_some());
        let can_fire =
            view.daemon.as_ref().is_some_and(|daemon| daemon.ready && daemon.ledger_failure.is_none());
        let clean = can_fire && !attention && view.source.failure.is_none() && view.source.errors == 0;
        Ok(if clean { Exit::Clean } else { Exit::Found })
    }
}

/// What needs attention of a job: each condition that should not hold, and that it is not live, when no
/// such condition says why. One that a person paused is meant not to fire.
fn bad(job: &JobView) -> impl Iterator<Item = &ConditionView> {
    let wrong = |condition: &&ConditionView| condition.kind != READY && condition.status;
    let is_missing = job.tier.is_none() && !job.paused && !job.conditions.iter().any(|one| wrong(&one));
    let missing =
        move |condition: &&ConditionView| is_missing && condition.kind == READY && !condition.status;
    job.conditions.iter().filter(move |condition| wrong(condition) || missing(condition))
}

/// The words for a condition that needs attention.
fn named(condition: &ConditionView) -> &str {
    if condition.kind == READY { "Not ready" } else { &condition.kind }
}

fn say(view: &StatusView) -> Result<(), Failure> {
    let mut out = console::out();
    match &view.daemon {
        Some(daemon) => {
            let state = match (daemon.draining, daemon.ready) {
                (true, _) => "stopping",
                (false, true) => "running",
                (false, false) => "starting, and nothing fires yet",
            };
            writeln!(
                out,
                "daemon    {state}, process {}, version {}, since {}",
                daemon.pid, daemon.version, daemon.started_at
            )?;
            writeln!(out, "runs      {} going on", daemon.running)?;
            if let Some(failure) = &daemon.ledger_failure {
                writeln!(out, "ledger    cannot be written, so nothing fires: {failure}")?;
            }
            if let Some(jump) = &daemon.clock_jump {
                writeln!(out, "clock     jumped by {} s at {}", jump.seconds, jump.at)?;
            }
        }
        None => writeln!(out, "daemon    none is running; start one with `tintal serve`")?,
    }
    let source = &view.source;
    let age = source.age_seconds.map(|age| format!(", looked at {age} s ago")).unwrap_or_default();
    let watch = source.watch.as_ref().map(|watch| format!(", by {watch}")).unwrap_or_default();
    writeln!(out, "source    {}{age}{watch}", source.directory)?;
    if let Some(failure) = &source.failure {
        writeln!(out, "          {failure}")?;
    }
    writeln!(out, "problems  {}, {}", plural(source.errors, "error"), plural(source.warnings, "warning"))?;
    for tier in &view.tiers {
        writeln!(out, "tier      {}: {}", tier.tier, tier.state)?;
    }
    let enabled = view.jobs.iter().filter(|job| job.enabled).count();
    let paused = view.jobs.iter().filter(|job| job.paused).count();
    writeln!(out, "jobs      {}: {enabled} enabled, {paused} paused", view.jobs.len())?;
    for job in &view.jobs {
        for condition in bad(job) {
            writeln!(out, "  {}: {}: {}", job.job, named(condition), condition.message)?;
        }
    }
    Ok(())
}

impl List {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let mut view = match ask(settings)? {
            Some(view) => view,
            None => from_manifests(settings)?,
        };
        view.jobs.retain(|job| self.labels.iter().all(|wanted| wanted.is_on(&job.labels)));
        if self.json {
            console::json(&view)?;
            return Ok(Exit::Clean);
        }
        let rows = view.jobs.iter().map(|job| {
            let state = match (job.enabled, job.paused, bad(job).next()) {
                (_, _, Some(condition)) => named(condition).to_lowercase(),
                (_, true, _) => "paused".to_owned(),
                (false, ..) => "disabled".to_owned(),
                _ => "ready".to_owned(),
            };
            let last =
                job.last_run.as_ref().map(|run| run.outcome.clone().unwrap_or_else(|| "running".to_owned()));
            [
                job.job.clone(),
                job.tier.clone().unwrap_or_else(|| "-".to_owned()),
                state,
                last.unwrap_or_else(|| "-".to_owned()),
                job.next_fire.as_ref().map_or_else(|| "-".to_owned(), Timestamp::to_string),
                job.file.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        });
        table::print(["job", "tier", "state", "last run", "next fire", "file"], rows)?;
        Ok(Exit::Clean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job is `tier` or `-`, `paused` perhaps, then conditions: `Held`, or `!Ready` for one that does
    /// not hold.
    #[track_caller]
    fn check(job: &str, expected: &[&str]) {
        let words: Vec<&str> = job.split(' ').collect();
        let conditions = words[1..].iter().filter(|word| **word != "paused").map(|word| ConditionView {
            kind: word.trim_start_matches('!').to_owned(),
            status: !word.starts_with('!'),
            reason: String::new(),
            message: String::new(),
            since: Timestamp::UNIX_EPOCH,
        });
        let view = JobView {
            job: "a".to_owned(),
            labels: BTreeMap::new(),
            tier: (words[0] != "-").then(|| words[0].to_owned()),
            enabled: true,
            paused: words.contains(&"paused"),
            conditions: conditions.collect(),
            last_run: None,
            next_fire: None,
            file: None,
            line: None,
        };
        assert_eq!(bad(&view).map(named).collect::<Vec<_>>(), expected, "{job}");
    }

    /// F22.
    #[test]
    #[rustfmt::skip]
    fn attention_table() {
        check("in-process Ready",           &[]);
        check("in-process !Ready Degraded", &["Degraded"]);
        check("in-process !Ready Held",     &["Held"]);
        check("- !Ready Degraded",          &["Degraded"]);
        check("- !Ready",                   &["Not ready"]);
        check("- paused !Ready",            &[]);
        check("-",                          &[]);
    }

    /// Wanted labels, then those of a job.
    #[test]
    #[rustfmt::skip]
    fn label_table() {
        let check = |wanted: &str, labels: &str, expected: bool| {
            let labels = labels.split_whitespace().map(|label| label.split_once('=').unwrap());
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let found = wanted.split_whitespace().all(|word| Wanted::parse(word).unwrap().is_on(&labels));
            assert_eq!(found, expected, "{wanted} of {labels:?}");
        };
        check("",                "",                true);
        check("team=a",          "team=a",          true);
        check("team=a",          "team=b",          false);
        check("team=a",          "",                false);
        check("team",            "team=b",          true);
        check("team=",           "team=b",          false);
        check("team=a env=prod", "team=a env=prod", true);
        check("team=a env=prod", "team=a env=dev",  false);
        check("k=a=b",           "k=a=b",           true);
        assert!(Wanted::parse("=a").is_err() && Wanted::parse("").is_err());
    }
}
