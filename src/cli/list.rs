//! `tintal list`: the jobs, and what is to be said of each.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::Path,
};

use clap::Args;
use jiff::Timestamp;

use super::{
    Exit, Failure,
    console::{self, block_on},
    offline, paused,
    said::Said,
    table,
};
use crate::{
    config::{Settings, settings::Origin},
    control::{
        client,
        view::{ConditionView, JobView, SourceView, StatusView},
    },
};

/// The condition of a job that is live as its manifest says.
const READY: &str = "Ready";

/// The condition of a job whose manifest cannot be used.
pub(super) const DEGRADED: &str = "Degraded";

/// List the jobs
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only jobs with this label, and with this value if one is given; with several, jobs that have all
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = Wanted::parse)]
    labels: Vec<Wanted>,

    #[command(flatten)]
    said: Said,
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

/// What needs attention of a job: each condition that should not hold, and that it is not live, when no
/// such condition says why. One that a person paused is meant not to fire.
pub(super) fn bad(job: &JobView) -> impl Iterator<Item = &ConditionView> {
    let wrong = |condition: &&ConditionView| condition.kind != READY && condition.status;
    let is_missing = job.tier.is_none() && !job.paused && !job.conditions.iter().any(|one| wrong(&one));
    let missing =
        move |condition: &&ConditionView| is_missing && condition.kind == READY && !condition.status;
    job.conditions.iter().filter(move |condition| wrong(condition) || missing(condition))
}

/// The words for a condition that needs attention.
pub(super) fn named(condition: &ConditionView) -> &str {
    if condition.kind == READY { "Not ready" } else { &condition.kind }
}

/// Refuses a directory that a flag or a variable names and that is not the one of the daemon: what the
/// daemon says and does is about its own.
pub(super) fn must_be_served(settings: &Settings) -> Result<(), Failure> {
    let given = matches!(settings.origins.get("jobs"), Some((_, Origin::Flag(_) | Origin::Environment(_))));
    if !given {
        return Ok(());
    }
    let source: Option<SourceView> = block_on(client::ask(&settings.state, "/v1/source"))??;
    let Some(root) = source.and_then(|source| source.root) else { return Ok(()) };
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if real(&settings.jobs) == real(Path::new(&root)) {
        return Ok(());
    }
    let (jobs, state) = (settings.jobs.display(), settings.state.display());
    Err(format!(
        "the daemon on `{state}` serves `{root}`, and not `{jobs}`, which `--jobs` or `TINTAL_JOBS` names; leave \
         it out, or name the state directory of the daemon that you mean with `--state`"
    )
    .into())
}

impl List {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        must_be_served(settings)?;
        let mut view = match ask(settings)? {
            Some(view) => view,
            None => offline::status(settings)?,
        };
        if view.daemon.is_none() {
            writeln!(io::stderr(), "{}", offline::note(settings))?;
        }
        let going = if view.daemon.is_some() { "running" } else { offline::OPEN };
        view.jobs.retain(|job| self.labels.iter().all(|wanted| wanted.is_on(&job.labels)));
        if self.said.is_json() {
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
                (_, true, _) => match &job.pause {
                    Some(pause) => format!("paused {}", paused::words(pause)),
                    None => "paused".to_owned(),
                },
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
            pause: None,
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
