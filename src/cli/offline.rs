//! What there is to say while no daemon runs: what the manifests ask for, and what the ledger keeps.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{Failure, console::block_on, next::compiled, tree};
use crate::{
    config::Settings,
    control::{
        given,
        letters::{
            message::{self, Shown},
            view::{LetterDetailView, LetterFilter, LetterView, LettersView, named},
        },
        render, tiers,
        view::{
            ConditionView, JobView, LettersSummaryView, PauseView, RunView, RunsView, SourceView, StatusView,
            VERSION,
        },
    },
    engine::{clock, start::LEDGER_FILE},
    ledger::{LastRun, Ledger, LetterQuery, PauseRow, RunQuery, RunRow},
    load::{First, FirstProblems, Loaded},
    manifest::{
        characteristics::Tier,
        name::JobName,
        problem::Severity,
        spec::{SecretSource, Spec},
    },
    run::RunId,
    tier::LedgerKind,
};

/// How a run stands that was decided and has no end, while nobody is there to end it.
pub(super) const OPEN: &str = "open";

/// What the ledger keeps of the jobs.
#[derive(Debug, Default)]
struct Recorded {
    paused: BTreeMap<JobName, PauseView>,
    last_runs: BTreeMap<JobName, LastRun>,
    letters: Option<LettersSummaryView>,
}

/// One line that says that no daemon runs, and where what is known comes from.
pub(super) fn note(settings: &Settings) -> String {
    if settings.ledger == LedgerKind::Memory {
        return "nothing is known of runs: no daemon is running, and the ledger is kept in memory \
                (`ledger: memory`)"
            .to_owned();
    }
    missing_state(settings).unwrap_or_else(|| {
        format!("no daemon is running; this is what the ledger in `{}` keeps", settings.state.display())
    })
}

/// One line that says that there is no state directory, when there is none.
pub(super) fn missing_state(settings: &Settings) -> Option<String> {
    let state = &settings.state;
    // One that may not be looked at is told by who asks for the daemon.
    (!state.try_exists().unwrap_or(true)).then(|| {
        format!(
            "no daemon is running, and there is no state directory `{}`: nothing has run with it yet, or \
             `--state` is to name another",
            state.display()
        )
    })
}

/// The file of the ledger, to read without a daemon. None when the ledger is kept in memory: a file that
/// is there all the same is of another time.
fn ledger_file(settings: &Settings) -> Option<PathBuf> {
    (settings.ledger == LedgerKind::File).then(|| settings.state.join(LEDGER_FILE))
}

/// Runs as the ledger keeps them, newest first.
pub(super) fn runs(settings: &Settings, query: &RunQuery) -> Result<RunsView, Failure> {
    let rows = match ledger_file(settings) {
        Some(file) => Ledger::peek_runs(&file, query)?,
        None => Vec::new(),
    };
    shown(settings, &rows)
}

/// One run as the ledger keeps it.
pub(super) fn run(settings: &Settings, id: RunId) -> Result<Option<RunView>, Failure> {
    let row = match ledger_file(settings) {
        Some(file) => Ledger::peek_run(&file, id)?,
        None => None,
    };
    Ok(shown(settings, row.as_slice())?.runs.into_iter().next())
}

/// Dead letters as the ledger keeps them.
pub(super) fn letters(settings: &Settings, filter: &LetterFilter) -> Result<LettersView, Failure> {
    let query = filter.query(clock::now())?;
    let rows = match ledger_file(settings) {
        Some(file) => Ledger::peek_letters(&file, &query)?,
        None => Vec::new(),
    };
    Ok(LettersView { v: VERSION, letters: rows.iter().map(LetterView::of).collect() })
}

/// The dead letter that a text names, as the ledger keeps it.
pub(super) fn letter(settings: &Settings, text: &str) -> Result<LetterDetailView, Failure> {
    let now = clock::now();
    let found = match ledger_file(settings) {
        Some(file) => {
            let ids = Ledger::peek_letters(&file, &LetterQuery::all(now))?.into_iter().map(|row| row.id);
            Ledger::peek_letter(&file, named(text, ids)?, now)?
        }
        None => None,
    };
    let letter = found.ok_or_else(|| Failure::from(format!("there is no dead letter `{text}`")))?;
    let job = letter.row.job.as_ref();
    let spec = job.map(|job| live_spec(settings, job.as_str())).transpose()?.flatten();
    let (message, text) = match block_on(message::shown(&letter, spec))? {
        Shown::Json(message) => (Some(message), None),
        Shown::Text(text) => (None, Some(text)),
    };
    let letter = LetterView::of(&letter.row);
    Ok(LetterDetailView { v: VERSION, letter, can_replay: None, why_not: None, message, text })
}

/// A job that is live, if its secrets can be known here: what a variable of the daemon's held is not.
fn live_spec(settings: &Settings, job: &str) -> Result<Option<Arc<Spec>>, Failure> {
    let Some(file) = ledger_file(settings) else { return Ok(None) };
    let live = Ledger::peek_placements(&file)?;
    let spec = live.into_iter().map(|row| row.spec).find(|spec| spec.name.as_str() == job);
    Ok(spec.filter(|spec| !has_variables(spec)))
}

fn has_variables(spec: &Spec) -> bool {
    spec.run.secrets.values().any(|secret| matches!(secret, SecretSource::Env(_)))
}

/// Runs as they may be shown: without the secrets of their jobs, as far as those are live.
fn shown(settings: &Settings, rows: &[RunRow]) -> Result<RunsView, Failure> {
    let mut view = stopped(render::runs(rows));
    if let (Some(file), true) = (ledger_file(settings), rows.iter().any(|row| !row.params.is_empty())) {
        let live = Ledger::peek_placements(&file)?;
        let of = |job: &str| {
            let spec = live.iter().map(|row| &row.spec).find(|spec| spec.name.as_str() == job);
            // What a variable of the daemon's held is not known here.
            spec.filter(|spec| !has_variables(spec)).cloned()
        };
        block_on(given::conceal(&mut view, of))?;
    }
    Ok(view)
}

/// Says of runs without an end that they do not go on.
fn stopped(mut view: RunsView) -> RunsView {
    let is_open = |run: &&mut RunView| run.outcome.is_none() && run.run_id.is_some();
    for run in view.runs.iter_mut().filter(is_open) {
        run.detail = Some(OPEN.to_owned());
    }
    view
}

fn paused(row: PauseRow) -> (JobName, PauseView) {
    (row.job, PauseView { reason: row.reason, since: row.at })
}

fn recorded(settings: &Settings) -> Result<Recorded, Failure> {
    let Some(file) = ledger_file(settings) else { return Ok(Recorded::default()) };
    Ok(Recorded {
        paused: Ledger::peek_paused(&file)?.into_iter().map(paused).collect(),
        last_runs: Ledger::peek_last_runs(&file)?,
        letters: Some(LettersSummaryView::of(
            &Ledger::peek_letter_counts(&file, clock::now())?,
            settings.queue.dead_letters.max as u64,
        )),
    })
}

/// Why and since when a job is paused, as the ledger keeps it.
pub(super) fn pause_of(settings: &Settings, name: &JobName) -> Result<Option<PauseView>, Failure> {
    let Some(file) = ledger_file(settings) else { return Ok(None) };
    let row = Ledger::peek_paused(&file)?.into_iter().find(|row| row.job == *name);
    Ok(row.map(|row| paused(row).1))
}

/// What the manifests ask for, and what the ledger keeps of it.
pub(super) fn status(settings: &Settings) -> Result<StatusView, Failure> {
    let view = tree::load(settings)?;
    let recorded = recorded(settings)?;
    let sound = view.tree.jobs.values().map(|job| sound(job, &recorded));
    let first = FirstProblems::among(view.tree.problems.iter().filter(|one| one.severity == Severity::Error));
    let broken =
        view.tree.broken.iter().map(|name| broken(name, first.of_job(name), &view.prefix, &recorded));
    let mut jobs: Vec<JobView> = sound.chain(broken).collect();
    jobs.sort_by(|a, b| a.job.cmp(&b.job));
    let errors = view.tree.errors();
    let source = SourceView {
        directory: settings.jobs.display().to_string(),
        errors,
        warnings: view.tree.problems.len() - errors,
        ..SourceView::default()
    };
    let backends = settings.queue.backends.iter();
    let backends = backends.map(|(name, backend)| (name.as_str(), backend.options.kind().as_str()));
    let tiers = tiers::of_settings(backends);
    Ok(StatusView { v: VERSION, daemon: None, jobs, tiers, dead_letters: recorded.letters, source })
}

fn sound(job: &Loaded, recorded: &Recorded) -> JobView {
    let spec = &job.spec;
    let pause = recorded.paused.get(&spec.name).cloned();
    let paused = pause.is_some();
    let tier = job.classified.tier;
    let queue = spec.queue.as_deref().filter(|_| tier == Tier::Queue);
    let next = compiled(spec).ok().and_then(|schedule| schedule.next_after(clock::now()));
    JobView {
        job: spec.name.to_string(),
        labels: spec.labels.clone(),
        tier: Some(tier.to_string()),
        backend: match tier {
            Tier::InProcess => Some(tiers::IN_PROCESS.to_owned()),
            Tier::Queue | Tier::Workflow => queue.map(|queue| queue.backend.clone()),
        },
        queue: queue.map(|queue| queue.name.clone()),
        enabled: spec.enabled,
        paused,
        pause,
        conditions: Vec::new(),
        last_run: recorded.last_runs.get(&spec.name).map(render::last_run),
        next_fire: next.map(|fire| fire.time).filter(|_| spec.enabled && !paused),
        file: Some(job.origin.path.to_string()),
        line: Some(job.origin.line),
    }
}

fn broken(name: &JobName, first: Option<First<'_>>, prefix: &str, recorded: &Recorded) -> JobView {
    let condition = ConditionView {
        kind: "Degraded".to_owned(),
        status: true,
        reason: first.map_or_else(|| "Unusable".to_owned(), |first| first.problem.code.to_string()),
        message: first.map_or_else(String::new, |first| first.in_one_line()),
        since: clock::now(),
    };
    let file = first.map(|first| first.problem.primary.place.source.path.as_str());
    let pause = recorded.paused.get(name).cloned();
    JobView {
        job: name.to_string(),
        labels: BTreeMap::new(),
        tier: None,
        backend: None,
        queue: None,
        enabled: false,
        paused: pause.is_some(),
        pause,
        conditions: vec![condition],
        last_run: recorded.last_runs.get(name).map(render::last_run),
        next_fire: None,
        file: file.map(|path| path.strip_prefix(prefix).unwrap_or(path).to_owned()),
        line: first.map(|first| u32::try_from(first.problem.start().line).unwrap_or(u32::MAX)),
    }
}
