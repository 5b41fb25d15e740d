//! Says what is new about a tree and a pass: in the log, and in what the daemon tells those who ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use tracing::{debug, error, info, warn};

use super::{
    clock,
    daemon::{Condition, Daemon, Origins, TreeState},
    reconcile::Pass,
};
use crate::{
    backend::BackendError,
    execute::causes::with_causes,
    load::{FirstProblems, Origin, Tree},
    manifest::{
        name::JobName,
        problem::{Problem, Severity},
    },
    plan::document::Verb,
    source::scan::Scan,
};

/// Problems that are logged of one tree; `tintal validate` lists all.
const LOGGED_MAX: usize = 50;

/// What was said of the tree that is in use.
pub(super) struct Told {
    /// What people see in front of each path.
    prefix: String,
    /// The problems, in a line each.
    logged: BTreeSet<String>,
}

impl Told {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, logged: BTreeSet::new() }
    }

    /// Says what is new about a tree that was loaded from `scan`, and keeps it for those who ask.
    pub(super) fn of_tree(&mut self, daemon: &Daemon, scan: &Scan, tree: Tree) {
        let before = daemon.tree();
        if before.failure.is_some() {
            info!("the manifests can be read again");
        }
        self.log(&tree);
        let degraded = Arc::new(self.degraded(&tree, &before));
        let errors = tree.errors();
        let broken = self.broken(&tree, &before);
        let origins = Arc::new(Origins { sound: tree.jobs, broken });
        let mistaken = Arc::new(tree.mistaken);
        daemon.update_tree(|state| {
            state.digest = Some(scan.tree_hash);
            state.errors = errors;
            state.warnings = tree.problems.len() - errors;
            state.failure = None;
            state.degraded = degraded;
            state.origins = origins;
            state.mistaken = mistaken;
            state.parsed += tree.parsed as u64;
        });
    }

    /// Where the manifest of each job is that cannot be used: where it was, or what is wrong.
    fn broken(&self, tree: &Tree, before: &TreeState) -> BTreeMap<JobName, Origin> {
        let places = tree.problems.iter().filter_map(|problem| Some((problem.job.as_ref()?, problem)));
        // Of several that are about one job, the first.
        let of_job: BTreeMap<&JobName, &Problem> = places.rev().collect();
        let of_problem = |name: &JobName| {
            let problem = of_job.get(name)?;
            let path = &problem.primary.place.source.path;
            let path = path.strip_prefix(&self.prefix).unwrap_or(path);
            let line = u32::try_from(problem.start().line).unwrap_or(u32::MAX);
            Some(Origin { path: path.into(), line, document: 0, name: problem.primary.place.span })
        };
        let found = |name: &JobName| before.origins.get(name).cloned().or_else(|| of_problem(name));
        tree.broken.iter().filter_map(|name| Some((name.clone(), found(name)?))).collect()
    }

    /// Says what is wrong, once for each problem.
    fn log(&mut self, tree: &Tree) {
        let mut now = BTreeSet::new();
        for problem in tree.problems.iter().take(LOGGED_MAX) {
            let line = problem.in_one_line();
            if !self.logged.contains(&line) {
                let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                match problem.severity {
                    Severity::Error => error!(code = %problem.code, "{line}{help}"),
                    Severity::Warning => warn!(code = %problem.code, "{line}{help}"),
                }
            }
            now.insert(line);
        }
        if !now.is_subset(&self.logged) {
            info!("`tintal validate` shows each problem at its place");
        }
        for mended in self.logged.difference(&now) {
            info!("mended: {mended}");
        }
        self.logged = now;
    }

    fn degraded(&self, tree: &Tree, before: &TreeState) -> BTreeMap<JobName, Condition> {
        let now = clock::now();
        let errors = tree.problems.iter().filter(|problem| problem.severity == Severity::Error);
        let first = FirstProblems::among(errors);
        tree.broken
            .iter()
            .map(|name| {
                let own = match tree.suspects.get(name) {
                    Some(path) => first.of_file(&format!("{}{path}", self.prefix)),
                    None => first.of_job(name),
                };
                let message = own.map_or_else(
                    || "its file, or the defaults above it, cannot be used".to_owned(),
                    |own| own.in_one_line(),
                );
                let reason = own.map_or_else(|| "Unusable".to_owned(), |own| own.problem.code.to_string());
                (name.clone(), since(before.degraded.get(name), reason, message, now))
            })
            .collect()
    }
}

/// Logs what a pass did, and keeps what was held back.
pub(super) fn of_pass(daemon: &Daemon, pass: &Pass) {
    for step in &pass.done {
        debug!("{step}");
    }
    let TreeState { held: before, failed: failed_before, .. } = daemon.tree();
    let now = clock::now();
    let failed = Arc::new(failed(pass, &failed_before, now));
    for reason in &pass.unseen {
        error!(error = reason as &dyn std::error::Error, "a tier cannot be seen; nothing is changed there");
    }
    let held = pass
        .held_back
        .iter()
        .map(|held| {
            let reason = match held.change {
                Verb::Put => "PutHeldBack",
                Verb::Prune => "PruneHeldBack",
            };
            let condition = since(before.get(&held.job), reason.to_owned(), held.reason.clone(), now);
            (held.job.clone(), condition)
        })
        .collect::<BTreeMap<_, _>>();
    for held in pass.held_back.iter().filter(|held| !before.contains_key(&held.job)).take(LOGGED_MAX) {
        let what = match held.change {
            Verb::Put => "not put",
            Verb::Prune => "not removed",
        };
        warn!(job = %held.job, reason = held.reason, "{what}");
    }
    if !pass.done.is_empty() {
        let count = pass.done.len();
        let examples: Vec<String> = pass.done.iter().take(5).map(ToString::to_string).collect();
        let more = if count > examples.len() {
            format!(" and {} more", count - examples.len())
        } else {
            String::new()
        };
        info!(steps = count, "applied: {}{more}", examples.join(", "));
    }
    daemon.update_tree(|state| {
        state.held = Arc::new(held);
        state.failed = failed;
        if !pass.done.is_empty() {
            state.generation += 1;
        }
    });
}

/// Logs what failed, once for each message, and gives it as conditions of the jobs.
fn failed(
    pass: &Pass,
    before: &BTreeMap<JobName, Condition>,
    now: Timestamp,
) -> BTreeMap<JobName, Condition> {
    let mut failed = BTreeMap::new();
    for (step, reason) in &pass.failed {
        let job = &step.placement.job;
        let then = match reason {
            BackendError::Closing { .. } => {
                debug!("{step} is left to the next daemon: this one stops");
                continue;
            }
            BackendError::Refused { .. } => "it waits for an edit of its manifest",
            BackendError::Unreachable { .. } => "it is tried again",
        };
        let message = format!("could not {step}: {}; {then}", with_causes(reason));
        let before = before.get(job);
        if before.is_none_or(|before| before.message != message) {
            error!("{message}");
        }
        failed.insert(job.clone(), since(before, "StepFailed".to_owned(), message, now));
    }
    failed
}

/// A condition; one that held before keeps its time.
fn since(before: Option<&Condition>, reason: String, message: String, now: Timestamp) -> Condition {
    let since = before.filter(|before| before.reason == reason).map_or(now, |before| before.since);
    Condition { reason, message, since }
}
