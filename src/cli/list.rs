//! `tintal list`: the jobs, and what is to be said of each.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use clap::Args;
use jiff::Timestamp;

use super::{
    Exit, Failure,
    attention::{DEGRADED, bad, named},
    console, offline, paused,
    said::Said,
    served::{ask, must_be_served},
    table, tiers,
};
use crate::{config::Settings, control::view::JobView};

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
                tiers::of_job(job),
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
