//! `tintal status` and `tintal list`.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use clap::Args;
use jiff::Timestamp;

use super::{
    Exit, Failure,
    console::{self, block_on},
    format::plural,
    offline, table,
};
use crate::{
    config::Settings,
    control::{
        client,
        view::{ConditionView, JobView, LastRunView, StatusView},
    },
    run::Outcome,
};

/// The condition of a job that is live as its manifest says.
const READY: &str = "Ready";

/// The condition of a job whose manifest cannot be used.
const DEGRADED: &str = "Degraded";

/// Jobs whose last run failed that `status` names; `list` has all.
const FAILED_MAX: usize = 20;

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

impl Status {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let answer = ask(settings)?;
        let view = match answer {
            Some(view) => view,
            None => offline::status(settings)?,
        };
        if self.json {
            console::json(&view)?;
        } else {
            say(&view, settings)?;
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

/// Whether a job runs all the same, for a condition that does not say it.
fn runs_on(view: &StatusView, job: &JobView, condition: &ConditionView) -> &'static str {
    match (view.daemon.is_some() && condition.kind == DEGRADED, &job.tier) {
        (true, Some(_)) => "; its last good version runs on",
        (true, None) => "; it is not live",
        (false, _) => "",
    }
}

fn say(view: &StatusView, settings: &Settings) -> Result<(), Failure> {
    let mut out = console::out();
    say_daemon(view, settings, &mut out)?;
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
            let (name, message) = (named(condition), &condition.message);
            writeln!(out, "  {}: {name}: {message}{}", job.job, runs_on(view, job, condition))?;
        }
    }
    say_failed(&view.jobs, &mut out)
}

/// How the last run of a job failed; none when it did not, goes on, or was stopped by a person.
fn failed(job: &JobView) -> Option<(&LastRunView, &str)> {
    let run = job.last_run.as_ref()?;
    let outcome = run.outcome.as_deref()?;
    let is_failure = outcome != Outcome::Success.as_str() && outcome != Outcome::Cancelled.as_str();
    is_failure.then_some((run, outcome))
}

/// The jobs whose last run failed, so many at most.
fn say_failed(jobs: &[JobView], out: &mut dyn io::Write) -> Result<(), Failure> {
    let all: Vec<_> = jobs.iter().filter_map(|job| failed(job).map(|failed| (job, failed))).collect();
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "failed    the last run of {}", plural(all.len(), "job"))?;
    for (job, (run, outcome)) in all.iter().take(FAILED_MAX) {
        writeln!(out, "  {}: {outcome}, of {}; `tintal logs {0}`", job.job, run.fire_time)?;
    }
    if all.len() > FAILED_MAX {
        writeln!(out, "  and {} more; `tintal list` shows them", all.len() - FAILED_MAX)?;
    }
    Ok(())
}

fn say_daemon(view: &StatusView, settings: &Settings, out: &mut dyn io::Write) -> Result<(), Failure> {
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
        None => {
            writeln!(out, "daemon    none is running; start one with `tintal serve`")?;
            if offline::missing_state(settings).is_some() {
                let state = settings.state.display();
                writeln!(out, "state     there is no directory `{state}`: nothing has run with it yet")?;
            }
        }
    }
    Ok(())
}

impl List {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let mut view = match ask(settings)? {
            Some(view) => view,
            None => offline::status(settings)?,
        };
        if view.daemon.is_none() {
            writeln!(io::stderr(), "{}", offline::note(settings))?;
        }
        let going = if view.daemon.is_some() { "running" } else { offline::OPEN };
        view.jobs.retain(|job| self.labels.iter().all(|wanted| wanted.is_on(&job.labels)));
        if self.json {
            console::json(&view)?;
            return Ok(Exit::Clean);
        }
        let is_not_live = |job: &JobView| view.daemon.is_some() && job.tier.is_none();
        let rows = view.jobs.iter().map(|job| {
            let state = match (job.enabled, job.paused, bad(job).next()) {
                (_, _, Some(condition)) if condition.kind == DEGRADED && is_not_live(job) => {
                    "degraded, not live".to_owned()
                }
                (_, _, Some(condition)) => named(condition).to_lowercase(),
                (_, true, _) => "paused".to_owned(),
                (false, ..) => "disabled".to_owned(),
                _ => "ready".to_owned(),
            };
            let last =
                job.last_run.as_ref().map(|run| run.outcome.clone().unwrap_or_else(|| going.to_owned()));
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

    /// A last run is `outcome`, `-` while it goes on, or nothing.
    #[test]
    fn jobs_whose_last_run_failed_are_named_and_not_too_many_of_them() {
        let job = |name: &str, outcome: &str| JobView {
            job: name.to_owned(),
            labels: BTreeMap::new(),
            tier: Some("in-process".to_owned()),
            enabled: true,
            paused: false,
            conditions: Vec::new(),
            last_run: (!outcome.is_empty()).then(|| LastRunView {
                run_id: String::new(),
                fire_time: Timestamp::UNIX_EPOCH,
                outcome: (outcome != "-").then(|| outcome.to_owned()),
            }),
            next_fire: None,
            file: None,
            line: None,
        };
        let said = |jobs: &[JobView]| {
            let mut out = Vec::new();
            say_failed(jobs, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let well = ["success", "cancelled", "-", ""].map(|outcome| job("well", outcome));
        assert_eq!(said(&well), "");
        assert_eq!(
            said(&[job("a", "success"), job("b", "timeout")]),
            "failed    the last run of 1 job\n  b: timeout, of 1970-01-01T00:00:00Z; `tintal logs b`\n"
        );
        let many: Vec<JobView> = (0..FAILED_MAX + 3).map(|_| job("c", "exit-nonzero")).collect();
        let text = said(&many);
        assert_eq!(text.lines().count(), FAILED_MAX + 2);
        assert!(text.ends_with("  and 3 more; `tintal list` shows them\n"), "{text}");
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
