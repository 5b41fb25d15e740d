//! `tintal plan`: what a pass would do.

mod markdown;
mod text;

use std::{io::Write as _, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{
    Exit, Failure,
    console::{self, block_on},
    next::{compiled, told, zone},
    tree::{self, View},
};
use crate::{
    config::Settings,
    control::{client, render, view::PlacementsView},
    engine::{clock, start::LEDGER_FILE},
    ledger::Ledger,
    manifest::spec::Spec,
    plan::{
        desired::desired,
        diff::{Change, Desired, Held, Live, Placement, Rest, Scanned, Step, diff},
        document::{self, PlanDocument, PlannedStep, Reason, live_digest, tree_digest, verb},
        fields::fields,
        guard::{Allowance, guard},
    },
    tier::LedgerKind,
};

/// Next fires that are shown before and after.
const FIRES: usize = 3;

/// Show what `apply` would change
#[derive(Debug, Args)]
#[command(name = "plan")]
pub(super) struct PlanCommand {
    /// Exit with 1 when there is something to do, or the manifests have errors
    #[arg(long)]
    exit_code: bool,

    /// Plan this many prunes, past the guard
    #[arg(long, value_name = "COUNT")]
    allow_prune: Option<usize>,

    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Print JSON: the same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Also write the plan to a file, for `tintal apply --plan`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One document
    Json,
    /// For a comment on a change
    Markdown,
}

impl PlanCommand {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let mut view = tree::load_as_daemon(settings)?;
        if let Some(refused) = view.refused.take() {
            return Err(refused.into());
        }
        let live = live(settings)?;
        let allowance = self.allow_prune.map_or(Allowance::Guarded, Allowance::UpTo);
        let plan = plan(&view, &live, allowance, clock::now());
        if let Some(path) = &self.out {
            let text = serde_json::to_string_pretty(&plan)?;
            std::fs::write(path, format!("{text}\n"))
                .map_err(|error| format!("the plan cannot be written to `{}`: {error}", path.display()))?;
        }
        match if self.json { Format::Json } else { self.format } {
            Format::Json => console::json(&plan)?,
            Format::Text => write!(console::out(), "{}", text::text(&plan))?,
            Format::Markdown => write!(console::out(), "{}", markdown::markdown(&plan))?,
        }
        let found = !plan.steps.is_empty() || !plan.held_back.is_empty() || plan.errors > 0;
        Ok(if self.exit_code && found { Exit::Found } else { Exit::Clean })
    }
}

/// What tiers hold: as the daemon says; without a daemon, as the ledger says. No ledger: nothing
/// was applied yet.
pub(super) fn live(settings: &Settings) -> Result<Live, Failure> {
    let asked: Option<PlacementsView> = block_on(client::ask(&settings.state, "/v1/placements"))??;
    if let Some(view) = asked {
        return Ok(render::live(view));
    }
    if settings.ledger == LedgerKind::Memory {
        writeln!(
            std::io::stderr(),
            "nothing is live: no daemon is running, and the ledger is kept in memory (`ledger: memory`)"
        )?;
        return Ok(Live::default());
    }
    let rows = Ledger::peek_placements(&settings.state.join(LEDGER_FILE))?;
    let placements = rows.into_iter().map(|row| {
        let placement = Placement { job: row.spec.name.clone(), tier: row.tier };
        (placement, Held { applied: row.digest, actual: row.digest, spec: Some(row.spec) })
    });
    Ok(Live { placements: placements.collect(), ..Live::default() })
}

fn plan(view: &View, live: &Live, allowance: Allowance, now: Timestamp) -> PlanDocument {
    let scan = Scanned { tree: view.tree_hash, rest: Rest::Settled };
    let wanted: Desired = desired(&view.tree, scan);
    let (steps, held_back) = guard(diff(&wanted, live), &wanted, live, allowance);
    PlanDocument {
        v: document::VERSION,
        tree: tree_digest(&wanted),
        live: live_digest(live),
        errors: view.tree.errors(),
        frozen: view.tree.broken.iter().cloned().collect(),
        steps: steps.iter().map(|step| planned(step, live, now)).collect(),
        held_back,
    }
}

fn planned(step: &Step, live: &Live, now: Timestamp) -> PlannedStep {
    let before = live.placements.get(&step.placement).and_then(|held| held.spec.clone());
    let (after, why) = match &step.change {
        Change::Put { spec, why, .. } => (Some(Arc::clone(spec)), Reason::from(*why)),
        Change::Prune => (None, Reason::Removed),
    };
    let fields = match (&before, &after) {
        (Some(before), Some(after)) => fields(before, after),
        _ => Vec::new(),
    };
    let fires = |spec: &Option<Arc<Spec>>| spec.as_deref().map_or_else(Vec::new, |spec| fires(spec, now));
    let (fires_before, fires_after) = (fires(&before), fires(&after));
    let (change, digest) = verb(&step.change);
    PlannedStep {
        job: step.placement.job.clone(),
        tier: step.placement.tier,
        change,
        why,
        digest,
        fields,
        next_before: fires_before.first().cloned(),
        next_after: fires_after.first().cloned(),
        fires_before,
        fires_after,
    }
}

/// The next fires of a job; none while it is disabled.
fn fires(spec: &Spec, now: Timestamp) -> Vec<String> {
    let Some(schedule) = compiled(spec).ok().filter(|_| spec.enabled) else { return Vec::new() };
    let (_, zone) = zone(spec);
    schedule.fires_after(now).take(FIRES).map(|fire| told(fire.time, &zone)).collect()
}
