//! `tintal apply`: one pass.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use serde_json::Value;

use super::{
    Exit, Failure,
    console::{self, block_on},
    format::plural,
    group::grouped,
    said::Said,
    served::must_be_served,
    tree,
};
use crate::{
    config::Settings,
    control::{
        client, render,
        view::{PassView, ReconcileRequest},
    },
    engine::{follow::Follow, reconcile::Order, start},
    plan::{
        document::{PlanDocument, VERSION, Verb},
        guard::Allowance,
    },
    source::watch::{Wanted, Watcher},
    tier::LedgerKind,
};

/// Apply the manifests: one pass, then exit
#[derive(Debug, Args)]
pub(super) struct Apply {
    /// Let the pass prune this many jobs, past the guard
    #[arg(long, value_name = "COUNT")]
    allow_prune: Option<usize>,

    /// Do the steps of this plan and no others (`tintal plan --out FILE`)
    #[arg(long, value_name = "FILE", conflicts_with = "allow_prune")]
    plan: Option<PathBuf>,

    #[command(flatten)]
    said: Said,
}

impl Apply {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        must_be_served(settings)?;
        let request = ReconcileRequest {
            allow_prune: self.allow_prune,
            plan: self.plan.as_deref().map(read_plan).transpose()?,
        };
        let asked = block_on(client::tell(&settings.state, "/v1/reconcile", &request))??;
        let view = match asked {
            Some(view) => view,
            None => alone(settings, request)?,
        };
        if let Some(failure) = &view.failure {
            return Err(failure.clone().into());
        }
        if self.said.is_json() {
            console::json(&view)?;
        } else {
            let mut out = console::out();
            for step in &view.done {
                writeln!(out, "{step}")?;
            }
            for step in &view.failed {
                writeln!(out, "failed: {step}")?;
            }
            for verb in [Verb::Put, Verb::Prune] {
                let held = view.held_back.iter().filter(|held| held.change == verb);
                let said = held.map(|held| (held.job.clone(), held.reason.clone()));
                for line in grouped(said) {
                    writeln!(out, "not {}: {line}", verb.done())?;
                }
            }
            if view.done.is_empty() && view.failed.is_empty() && view.held_back.is_empty() {
                writeln!(out, "nothing to do")?;
            }
        }
        if view.errors > 0 {
            writeln!(
                std::io::stderr(),
                "{} in the manifests; those jobs stay as they are, and `tintal validate` lists them",
                plural(view.errors, "error")
            )?;
        }
        let clean = view.failed.is_empty() && view.held_back.is_empty() && view.errors == 0;
        Ok(if clean { Exit::Clean } else { Exit::Found })
    }
}

/// Reads what `tintal plan --out` wrote.
fn read_plan(path: &Path) -> Result<PlanDocument, Failure> {
    let shown = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| format!("the plan `{shown}` cannot be read: {error}"))?;
    let no_plan = |error| format!("`{shown}` is no plan that `tintal plan --out` wrote: {error}");
    let value: Value = serde_json::from_str(&text).map_err(no_plan)?;
    match value["v"].as_u64() {
        Some(v) if v != u64::from(VERSION) => Err(format!(
            "the plan `{shown}` has format {v}, and this version of tintal reads format {VERSION}; make it anew"
        )
        .into()),
        _ => Ok(serde_json::from_value(value).map_err(no_plan)?),
    }
}

/// Does the pass in this process.
fn alone(settings: &Settings, request: ReconcileRequest) -> Result<PassView, Failure> {
    let order = request.plan.map_or_else(
        || Order::Follow(request.allow_prune.map_or(Allowance::Guarded, Allowance::UpTo)),
        Order::Plan,
    );
    if settings.ledger == LedgerKind::Memory {
        writeln!(
            std::io::stderr(),
            "no daemon is running, and the ledger is kept in memory (`ledger: memory`): nothing remains of this pass"
        )?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let started = start::start(settings, tree::environment()).await?;
        let prefix = tree::prefix(&settings.jobs);
        let watcher = Watcher::start(settings.jobs.clone(), Wanted::Poll);
        let follow = Follow::new(Arc::clone(&started.daemon), watcher, tree::loader(settings), prefix);
        Ok(render::pass(&follow.once(&order).await))
    })
}
