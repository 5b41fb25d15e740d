//! `tintal status`: the daemon, its tiers, and what needs attention.

use std::io::{self, Write as _};

use clap::Args;

use super::{
    Exit, Failure,
    attention::{DEGRADED, bad, named},
    console,
    format::plural,
    group::grouped,
    offline, paused,
    said::Said,
    served::{ask, must_be_served},
    tiers,
};
use crate::{
    config::Settings,
    control::view::{ConditionView, JobView, LastRunView, StatusView},
    run::Outcome,
};

/// Lines under one heading; `list` has all.
const LINES_MAX: usize = 20;

/// Show the daemon, its tiers and what needs attention
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    said: Said,
}

impl Status {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        must_be_served(settings)?;
        let answer = ask(settings)?;
        let view = match answer {
            Some(view) => view,
            None => offline::status(settings)?,
        };
        if self.said.is_json() {
            console::json(&view)?;
        } else {
            say(&view, settings)?;
        }
        let attention = view.jobs.iter().any(|job| bad(job).next().is_some());
        let can_fire =
            view.daemon.as_ref().is_some_and(|daemon| daemon.ready && daemon.ledger_failure.is_none());
        let can_send = tiers::can_send(&view);
        let clean =
            can_fire && can_send && !attention && view.source.failure.is_none() && view.source.errors == 0;
        Ok(if clean { Exit::Clean } else { Exit::Found })
    }
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
    if let Some(commit) = &source.commit {
        let dirty = if source.dirty == Some(true) { ", dirty: files differ from it" } else { "" };
        writeln!(out, "commit    {commit}{dirty}")?;
    }
    writeln!(out, "problems  {}, {}", plural(source.errors, "error"), plural(source.warnings, "warning"))?;
    view.tiers.iter().try_for_each(|tier| writeln!(out, "tier      {}", tiers::words(tier)))?;
    if let Some(letters) = view.dead_letters.as_ref().and_then(tiers::letters) {
        writeln!(out, "letters   {letters}")?;
    }
    let enabled = view.jobs.iter().filter(|job| job.enabled).count();
    let paused = view.jobs.iter().filter(|job| job.paused).count();
    writeln!(out, "jobs      {}: {enabled} enabled, {paused} paused", view.jobs.len())?;
    let attention = view.jobs.iter().flat_map(|job| {
        bad(job).map(move |condition| {
            let (name, message) = (named(condition), &condition.message);
            (job.job.clone(), format!("{name}: {message}{}", runs_on(view, job, condition)))
        })
    });
    say_lines(&grouped(attention), &mut out)?;
    say_paused(&view.jobs, &mut out)?;
    say_failed(&view.jobs, &mut out)
}

/// Lines under a heading, so many at most.
fn say_lines(lines: &[String], out: &mut dyn io::Write) -> Result<(), Failure> {
    for line in lines.iter().take(LINES_MAX) {
        writeln!(out, "  {line}")?;
    }
    if lines.len() > LINES_MAX {
        writeln!(out, "  and {} more; `tintal list` shows them", lines.len() - LINES_MAX)?;
    }
    Ok(())
}

/// The jobs that a person paused, with the reason.
fn say_paused(jobs: &[JobView], out: &mut dyn io::Write) -> Result<(), Failure> {
    let paused = jobs.iter().filter_map(|job| Some((job.job.clone(), paused::words(job.pause.as_ref()?))));
    let lines = grouped(paused);
    if !lines.is_empty() {
        writeln!(out, "paused")?;
    }
    say_lines(&lines, out)
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
    let lines: Vec<String> = all
        .iter()
        .map(|(job, (run, outcome))| {
            format!("{}: {outcome}, of {}; `tintal logs {0}`", job.job, run.fire_time)
        })
        .collect();
    say_lines(&lines, out)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;

    /// A last run is `outcome`, `-` while it goes on, or nothing.
    #[test]
    fn jobs_whose_last_run_failed_are_named_and_not_too_many_of_them() {
        let job = |name: &str, outcome: &str| JobView {
            job: name.to_owned(),
            labels: BTreeMap::new(),
            tier: Some("in-process".to_owned()),
            backend: None,
            queue: None,
            enabled: true,
            paused: false,
            pause: None,
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
        let many: Vec<JobView> = (0..LINES_MAX + 3).map(|_| job("c", "exit-nonzero")).collect();
        let text = said(&many);
        assert_eq!(text.lines().count(), LINES_MAX + 2);
        assert!(text.ends_with("  and 3 more; `tintal list` shows them\n"), "{text}");
    }
}
