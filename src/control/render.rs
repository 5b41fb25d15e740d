//! What the daemon knows, in the shapes of `view`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;

use super::given;
use super::tiers::{self, IN_PROCESS};
use super::view::{
    AttemptView, ClockJumpView, ConditionView, DaemonView, FilesView, HealthView, HeldBackView, JobView,
    LastRunView, PassView, PauseView, PlacementView, PlacementsView, RunView, RunsView, SourceView,
    StatusView, VERSION, WaitView,
};
use crate::{
    backend::live::LiveJob,
    engine::{
        clock,
        daemon::{Condition, Daemon, PassReport, TreeState},
        reconcile::Pass,
    },
    execute::causes::with_causes,
    ledger::{AttemptRow, Counted, LastRun, LedgerError, Route, RunRow},
    manifest::{characteristics::Tier, name::JobName},
    plan::diff::{Held, Live, Placement},
    run::{Cause, Outcome},
};

/// `GET /healthz`.
#[must_use]
pub fn health(daemon: &Daemon) -> HealthView {
    let tree = daemon.tree();
    let names = |conditions: &BTreeMap<JobName, Condition>| {
        conditions.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    let ledger_failure = daemon.ledger().trouble();
    let cut_off = tiers::cut_off(daemon);
    let dead_letters_full = daemon.letters().is_full();
    let can_send = cut_off.is_empty() && !dead_letters_full;
    HealthView {
        v: VERSION,
        healthy: daemon.is_ready() && is_live(&tree) && ledger_failure.is_none() && can_send,
        ready: daemon.is_ready(),
        degraded: names(&tree.degraded),
        held: names(&tree.held),
        failed: names(&tree.failed),
        failure: tree.failure,
        ledger_failure,
        cut_off,
        dead_letters_full,
    }
}

/// Whether every job is live as its manifest says, and no other is.
fn is_live(tree: &TreeState) -> bool {
    tree.failure.is_none() && tree.errors == 0 && tree.held.is_empty() && tree.failed.is_empty()
}

/// `GET /v1/status`.
///
/// # Errors
///
/// When the ledger cannot be read.
pub async fn status(daemon: &Daemon) -> Result<StatusView, LedgerError> {
    let tree = daemon.tree();
    let last_runs = daemon.ledger().last_runs().await?;
    let live: BTreeMap<JobName, Arc<LiveJob>> =
        daemon.jobs().jobs().into_iter().map(|job| (job.spec.name.clone(), job)).collect();
    let names: BTreeSet<&JobName> =
        live.keys().chain(tree.origins.names()).chain(tree.degraded.keys()).collect();
    let jobs = names
        .into_iter()
        .map(|name| {
            let origin = tree.origins.get(name);
            let paused = daemon.pauses().of(name);
            let is_paused = paused.is_some();
            let wanted = || tree.origins.sound.get(name).map(|job| &job.spec);
            let spec = live.get(name).map(|job| &job.spec).or_else(wanted);
            JobView {
                job: name.to_string(),
                labels: spec.map(|spec| spec.labels.clone()).unwrap_or_default(),
                tier: live.get(name).map(|job| job.tier.to_string()),
                backend: live.get(name).map(|job| backend(job.route.as_deref())),
                queue: live.get(name).and_then(|job| Some(job.route.as_ref()?.queue.to_string())),
                enabled: spec.is_some_and(|spec| spec.enabled),
                paused: is_paused,
                pause: paused.map(|pause| PauseView { reason: pause.reason, since: pause.at }),
                conditions: conditions(name, &tree, live.get(name), daemon.started_at()),
                last_run: last_runs.get(name).map(last_run),
                next_fire: live.get(name).and_then(|job| job.next_fire()).filter(|_| !is_paused),
                file: origin.map(|origin| origin.path.to_string()),
                line: origin.map(|origin| origin.line),
            }
        })
        .collect();
    let daemon_view = DaemonView {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: daemon.started_at(),
        running: daemon.running().len(),
        ready: daemon.is_ready(),
        draining: daemon.is_draining(),
        ledger_failure: daemon.ledger().trouble(),
        clock_jump: daemon.jump().map(|jump| ClockJumpView { at: jump.at, seconds: jump.by.as_secs() }),
    };
    Ok(StatusView {
        v: VERSION,
        daemon: Some(daemon_view),
        jobs,
        tiers: tiers::tiers(daemon),
        dead_letters: Some(tiers::letters(daemon).await?),
        source: source(&daemon.parts().root, &tree, clock::now()),
    })
}

fn conditions(
    name: &JobName,
    tree: &TreeState,
    live: Option<&Arc<LiveJob>>,
    started_at: Timestamp,
) -> Vec<ConditionView> {
    let view = |kind: &str, status: bool, condition: &Condition| ConditionView {
        kind: kind.to_owned(),
        status,
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: condition.since,
    };
    let mut out = Vec::new();
    if let Some(condition) = tree.degraded.get(name) {
        out.push(view("Degraded", true, condition));
    }
    if let Some(condition) = tree.held.get(name) {
        out.push(view("Held", true, condition));
    }
    if let Some(condition) = tree.failed.get(name) {
        out.push(view("Reconciling", true, condition));
    }
    let since_bad = out.iter().map(|condition| condition.since).min();
    let (status, reason, message, since) = match (live, since_bad) {
        (Some(job), None) => (true, "Applied", "live as its manifest says", job.applied_at),
        (Some(_), Some(bad)) => (false, "LastGood", "its last good version is live", bad),
        (None, bad) => (false, "NotApplied", "not live", bad.unwrap_or(started_at)),
    };
    let ready = Condition { reason: reason.to_owned(), message: message.to_owned(), since };
    out.insert(0, view("Ready", status, &ready));
    out
}

/// The newest run of a job.
#[must_use]
pub fn last_run(run: &LastRun) -> LastRunView {
    LastRunView {
        run_id: run.id.to_string(),
        fire_time: run.fire_time,
        outcome: run.outcome.as_ref().map(|outcome| outcome.as_str().to_owned()),
    }
}

/// The name of what runs what goes this way.
fn backend(route: Option<&Route>) -> String {
    route.map_or_else(|| IN_PROCESS.to_owned(), |route| route.backend.to_string())
}

/// `GET /v1/source`.
#[must_use]
pub fn source_of(daemon: &Daemon) -> SourceView {
    source(&daemon.parts().root, &daemon.tree(), clock::now())
}

fn source(root: &Path, tree: &TreeState, now: Timestamp) -> SourceView {
    let age = tree.scanned_at.map(|at| u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0));
    SourceView {
        directory: root.display().to_string(),
        root: std::path::absolute(root).ok().map(|root| root.display().to_string()),
        commit: tree.commit.as_ref().map(|commit| commit.id.clone()),
        dirty: tree.commit.as_ref().map(|commit| commit.dirty),
        age_seconds: age,
        watch: Some(tree.watch.clone()).filter(|watch| !watch.is_empty()),
        errors: tree.errors,
        warnings: tree.warnings,
        failure: tree.failure.clone(),
        generation: tree.generation,
        files_parsed: tree.parsed,
        tree: tree.digest.map(|digest| blake3::Hash::from_bytes(digest).to_hex().to_string()),
    }
}

/// `GET /v1/files`.
///
/// # Errors
///
/// When the working directory is gone, and the root of the tree is given relative to it.
pub fn files(daemon: &Daemon) -> std::io::Result<FilesView> {
    let tree = daemon.tree();
    let mut files: BTreeMap<String, BTreeSet<JobName>> = BTreeMap::new();
    for (name, job) in tree.origins.sound.iter() {
        let path = &*job.origin.path;
        if !tree.mistaken.contains_key(path) {
            files.entry(path.to_owned()).or_default().insert(name.clone());
        }
    }
    let mistaken = tree.mistaken.iter();
    files.extend(mistaken.filter_map(|(path, held)| Some((path.clone(), held.clone()?))));
    Ok(FilesView { v: VERSION, root: std::path::absolute(&daemon.parts().root)?, files })
}

/// `GET /v1/placements`.
#[must_use]
pub fn placements(live: &Live) -> PlacementsView {
    let placements = live.placements.iter().map(|(placement, held)| PlacementView {
        job: placement.job.clone(),
        tier: placement.tier,
        applied: held.applied,
        actual: held.actual,
        spec: held.spec.as_deref().cloned(),
    });
    PlacementsView {
        v: VERSION,
        placements: placements.collect(),
        unseen: live.unseen.iter().copied().collect(),
    }
}

/// The live state that a `GET /v1/placements` told of.
#[must_use]
pub fn live(view: PlacementsView) -> Live {
    let placements = view.placements.into_iter().map(|held| {
        let placement = Placement { job: held.job, tier: held.tier };
        (placement, Held { applied: held.applied, actual: held.actual, spec: held.spec.map(Arc::new) })
    });
    Live { placements: placements.collect(), unseen: view.unseen.into_iter().collect() }
}

/// `GET /v1/runs`; what the runs were given as it is.
#[must_use]
pub fn runs(rows: &[RunRow]) -> RunsView {
    RunsView { v: VERSION, runs: rows.iter().map(run).collect() }
}

/// The same with what the daemon knows of runs that wait for their next attempt, and without the secrets
/// of their jobs.
pub async fn runs_of(daemon: &Daemon, rows: &[RunRow]) -> RunsView {
    let mut view = runs(rows);
    given::conceal(&mut view, |job| Some(Arc::clone(&daemon.jobs().job(&JobName::parse(job).ok()?)?.spec)))
        .await;
    for (row, run) in rows.iter().zip(&mut view.runs) {
        // What was skipped went nowhere: it is told where its job goes.
        if row.skipped.is_some()
            && row.route.is_none()
            && let Some(job) = daemon.jobs().job(&row.job)
        {
            run.tier = job.tier.to_string();
            run.backend = backend(job.route.as_deref());
            run.queue = job.route.as_ref().map(|route| route.queue.to_string());
        }
        run.waits = daemon.running().wait_of(row.id).map(|wait| WaitView {
            attempt: wait.attempt,
            max_attempts: wait.max_attempts,
            at: wait.at,
        });
    }
    view
}

fn run(row: &RunRow) -> RunView {
    let is_skip = row.skipped.is_some();
    let on_its_way = row.stage.as_ref().filter(|_| !is_skip && row.outcome.is_none());
    let cause = match row.cause {
        Cause::Schedule => "schedule",
        Cause::Manual => "manual",
        Cause::Reboot => "reboot",
    };
    RunView {
        run_id: (!is_skip).then(|| row.id.to_string()),
        job: row.job.to_string(),
        fire_time: row.fire_time,
        last_fire_time: row.last_fire_time,
        tier: row.route.as_ref().map_or(Tier::InProcess, |route| route.tier).to_string(),
        backend: backend(row.route.as_ref()),
        queue: row.route.as_ref().map(|route| route.queue.to_string()),
        stage: on_its_way.map(|stage| stage.stage.as_str().to_owned()),
        staged_at: on_its_way.map(|stage| stage.at),
        worker: on_its_way.and_then(|stage| stage.worker.as_deref()).map(str::to_owned),
        decision: if is_skip { "skipped" } else { "run" }.to_owned(),
        reason: Some(row.skipped.clone().unwrap_or_else(|| cause.to_owned())),
        params: row.params.clone(),
        count: row.count,
        at_least: row.counted == Counted::AtLeast,
        outcome: row.outcome.as_ref().map(|outcome| outcome.as_str().to_owned()),
        detail: row.outcome.as_ref().map(ToString::to_string),
        waits: None,
        attempts: row.attempts.iter().map(attempt).collect(),
    }
}

fn attempt(row: &AttemptRow) -> AttemptView {
    let (exit_code, signal) = match &row.outcome {
        Some(Outcome::Success) => (Some(0), None),
        Some(Outcome::ExitNonzero { code }) => (Some(*code), None),
        Some(Outcome::Signal { signal }) => (None, Some(*signal)),
        _ => (None, None),
    };
    AttemptView {
        n: row.n,
        started_at: row.started_at,
        ended_at: row.ended_at,
        exit_code,
        signal,
        outcome: row.outcome.as_ref().map(|outcome| outcome.as_str().to_owned()),
        worker: row.worker.as_deref().map(str::to_owned),
    }
}

/// `POST /v1/reconcile`.
#[must_use]
pub fn pass(report: &PassReport) -> PassView {
    let nothing = Pass::default();
    let pass = report.pass.as_ref().unwrap_or(&nothing);
    let failed = pass.failed.iter().map(|(step, error)| format!("{step}: {}", with_causes(error)));
    let unseen = pass.unseen.iter().map(|error| with_causes(error));
    PassView {
        v: VERSION,
        done: pass.done.iter().map(ToString::to_string).collect(),
        failed: failed.chain(unseen).collect(),
        held_back: pass
            .held_back
            .iter()
            .map(|held| HeldBackView {
                job: held.job.to_string(),
                change: held.change,
                reason: held.reason.clone(),
            })
            .collect(),
        failure: report.failure.clone(),
        errors: report.errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F22: what could not be made as the manifest says is neither well nor silent.
    #[test]
    fn a_step_that_failed_is_told_of_its_job_and_of_the_whole() {
        let name = JobName::parse("a").unwrap();
        let since = Timestamp::from_second(5).unwrap();
        let failed = Condition { reason: "StepFailed".to_owned(), message: "could not".to_owned(), since };
        let mut tree = TreeState::default();
        assert!(is_live(&tree));
        tree.failed = Arc::new(BTreeMap::from([(name.clone(), failed)]));
        assert!(!is_live(&tree));
        let told = conditions(&name, &tree, None, Timestamp::UNIX_EPOCH);
        let told: Vec<_> = told.iter().map(|one| (one.kind.as_str(), one.status, one.since)).collect();
        assert_eq!(told, [("Ready", false, since), ("Reconciling", true, since)]);
    }
}
