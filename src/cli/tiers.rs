//! How the tiers do, and what is on its way over them, in words.

use std::{collections::BTreeSet, fmt::Write as _};

use super::format::plural;
use crate::control::view::{JobView, LettersSummaryView, RunView, StatusView, TierView};

/// The word for the tier of the daemon itself.
const IN_PROCESS: &str = "in-process";

/// One tier, or one of its queue systems, in a line.
pub(super) fn words(tier: &TierView) -> String {
    let mut said = format!("{}: {}", place(&tier.tier, tier.backend.as_deref()), tier.state);
    if let Some(until) = tier.until {
        let _ = write!(said, " until {until}: it is left alone, since it does not answer");
    }
    if let Some(failure) = &tier.failure {
        let since = tier.since.map(|since| format!(", since {since}")).unwrap_or_default();
        let _ = write!(said, " ({failure}{since})");
    }
    let count = |count: u64, noun: &str| plural(usize::try_from(count).unwrap_or(usize::MAX), noun);
    match tier.waiting {
        0 => {}
        1 => said += "; 1 run waits to be sent",
        waiting => {
            let _ = write!(said, "; {} wait to be sent", count(waiting, "run"));
        }
    }
    if tier.degraded > 0 {
        let _ = write!(
            said,
            "; {} ran in-process instead, as `fallback: degrade` allows",
            count(tier.degraded, "run")
        );
    }
    said
}

/// A tier, with what serves it where that says more.
fn place(tier: &str, backend: Option<&str>) -> String {
    match backend {
        Some(backend) if backend != tier => format!("{tier} on {backend}"),
        _ => tier.to_owned(),
    }
}

/// Where a job runs; `-` when it is not live.
pub(super) fn of_job(job: &JobView) -> String {
    job.tier.as_ref().map_or_else(|| "-".to_owned(), |tier| place(tier, job.backend.as_deref()))
}

/// The dead letters, when there are any that somebody is to see to.
pub(super) fn letters(letters: &LettersSummaryView) -> Option<String> {
    if letters.open == 0 {
        return None;
    }
    let open = |(state, count): (&String, &u64)| {
        (*count > 0 && state != "resolved").then(|| format!("{count} {state}"))
    };
    let states: Vec<String> = letters.states.iter().filter_map(open).collect();
    let count = plural(usize::try_from(letters.open).unwrap_or(usize::MAX), "dead letter");
    let full = if letters.full {
        format!(
            ", and no more than {} are kept: nothing is sent until some are resolved or purged",
            letters.max
        )
    } else {
        String::new()
    };
    Some(format!("{count} ({}){full}; `tintal dlq list`", states.join(", ")))
}

/// Whether messages can be sent, as far as jobs have any.
pub(super) fn can_send(view: &StatusView) -> bool {
    let enabled = view.jobs.iter().filter(|job| job.enabled && job.queue.is_some());
    let used: BTreeSet<&str> = enabled.filter_map(|job| job.backend.as_deref()).collect();
    let fails = |tier: &TierView| {
        tier.failure.is_some() && tier.backend.as_deref().is_some_and(|backend| used.contains(backend))
    };
    !view.tiers.iter().any(fails) && !view.dead_letters.as_ref().is_some_and(|letters| letters.full)
}

/// How far a run is on its way to a worker, or which worker has it; none of one in the daemon itself.
pub(super) fn on_its_way(run: &RunView) -> Option<String> {
    let stage = run.stage.as_deref()?;
    Some(match (stage, &run.worker) {
        (stage, Some(worker)) => format!("{stage}, by {worker}"),
        (stage, None) => format!("{stage}, {}", run.backend),
    })
}

/// Where a run goes, or went: what runs it, and the workers that made attempts.
pub(super) fn of_run(run: &RunView) -> String {
    let mut place = place(&run.tier, Some(&run.backend));
    if let Some(queue) = &run.queue {
        place = format!("{}/{queue}", run.backend);
    }
    let mut workers: Vec<&str> =
        run.attempts.iter().filter_map(|attempt| attempt.worker.as_deref()).collect();
    workers.dedup();
    if !workers.is_empty() {
        let _ = write!(place, ", {}", workers.join(", "));
    }
    place
}

/// Whether nothing is to be said of where a run goes.
pub(super) fn is_here(run: &RunView) -> bool {
    run.tier == IN_PROCESS
}
