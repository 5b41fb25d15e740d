//! `tintal plan`: what a pass would do.

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _, sync::Arc};

use clap::{Args, ValueEnum};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::{
    Exit, Failure, console,
    format::plural,
    next::{compiled, told, zone},
    tree,
};
use crate::{
    config::Settings,
    engine::{clock, start::LEDGER_FILE},
    ledger::Ledger,
    manifest::{problem::Severity, spec::Spec},
    plan::{
        desired::desired,
        diff::{Change, Held, Live, Placement, Step, diff},
        fields::{FieldChange, fields},
        guard::{Allowance, HeldBack, guard},
    },
};

/// Show what `apply` would change
#[derive(Debug, Args)]
#[command(name = "plan")]
pub(super) struct PlanCommand {
    /// Exit with 1 when there is something to do
    #[arg(long)]
    exit_code: bool,

    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Print JSON: the same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Also write the plan as JSON to a file
    #[arg(long, value_name = "FILE")]
    out: Option<std::path::PathBuf>,
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

/// A step with what people want to know of it.
struct Shown {
    step: Step,
    fields: Vec<FieldChange>,
    next_before: Option<String>,
    next_after: Option<String>,
}

impl PlanCommand {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let view = tree::load(settings)?;
        let live = live(settings)?;
        let wanted = desired(&view.tree);
        let (steps, held_back) = guard(diff(&wanted, &live), &wanted, &live, Allowance::Guarded);
        let now = clock::now();
        let shown: Vec<Shown> = steps.into_iter().map(|step| show(step, &live, now)).collect();
        let errors = view.tree.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        let document = document(&shown, &held_back, &view.files);
        if let Some(path) = &self.out {
            std::fs::write(path, format!("{document:#}\n"))
                .map_err(|error| format!("the plan cannot be written to `{}`: {error}", path.display()))?;
        }
        match if self.json { Format::Json } else { self.format } {
            Format::Json => console::json(&document)?,
            Format::Text => write!(console::out(), "{}", text(&shown, &held_back))?,
            Format::Markdown => write!(console::out(), "{}", markdown(&shown, &held_back))?,
        }
        if errors > 0 {
            let frozen = view.tree.broken.len();
            writeln!(
                std::io::stderr(),
                "{} in the manifests, and {frozen} of their jobs unchanged; `tintal validate` lists them",
                plural(errors, "error")
            )?;
        }
        let differs = !shown.is_empty() || !held_back.is_empty();
        Ok(if self.exit_code && differs { Exit::Found } else { Exit::Clean })
    }
}

/// What the ledger says that tiers hold. No ledger: nothing was applied yet.
fn live(settings: &Settings) -> Result<Live, Failure> {
    let rows = Ledger::peek_placements(&settings.state.join(LEDGER_FILE))?;
    let placements: BTreeMap<Placement, Held> = rows
        .into_iter()
        .map(|row| {
            let placement = Placement { job: row.spec.name.clone(), tier: row.tier };
            (placement, Held { applied: row.digest, actual: row.digest, spec: Some(row.spec) })
        })
        .collect();
    Ok(Live { placements, ..Live::default() })
}

fn show(step: Step, live: &Live, now: Timestamp) -> Shown {
    let before = live.placements.get(&step.placement).and_then(|held| held.spec.clone());
    let after = match &step.change {
        Change::Put { spec, .. } => Some(Arc::clone(spec)),
        Change::Prune => None,
    };
    let fields = match (&before, &after) {
        (Some(before), Some(after)) => fields(before, after),
        _ => Vec::new(),
    };
    let next = |spec: &Option<Arc<Spec>>| spec.as_deref().and_then(|spec| next_fire(spec, now));
    Shown { next_before: next(&before), next_after: next(&after), step, fields }
}

fn next_fire(spec: &Spec, now: Timestamp) -> Option<String> {
    let schedule = compiled(spec).ok().filter(|_| spec.enabled)?;
    let (_, zone): (String, TimeZone) = zone(spec);
    schedule.next_after(now).map(|fire| told(fire.time, &zone))
}

fn why(change: &Change) -> (&'static str, &'static str) {
    match change {
        Change::Put { why, .. } => ("put", why.as_str()),
        Change::Prune => ("prune", "removed"),
    }
}

fn document(
    shown: &[Shown],
    held_back: &[HeldBack],
    files: &[Arc<crate::manifest::file::ManifestFile>],
) -> Value {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(file.path.as_bytes());
        hasher.update(&[0]);
        hasher.update(&file.content_hash);
    }
    let steps: Vec<Value> = shown
        .iter()
        .map(|shown| {
            let (change, why) = why(&shown.step.change);
            json!({
                "job": shown.step.placement.job,
                "tier": shown.step.placement.tier,
                "change": change,
                "why": why,
                "fields": shown.fields,
                "next_before": shown.next_before,
                "next_after": shown.next_after,
            })
        })
        .collect();
    let held: Vec<Value> =
        held_back.iter().map(|held| json!({"job": held.job, "reason": held.reason})).collect();
    json!({"v": 1, "tree": hasher.finalize().to_hex().to_string(), "steps": steps, "held_back": held})
}

fn text(shown: &[Shown], held_back: &[HeldBack]) -> String {
    let mut out = String::new();
    for Shown { step, fields, next_before, next_after } in shown {
        let sign = match &step.change {
            Change::Put { why: crate::plan::diff::Why::New, .. } => '+',
            Change::Put { .. } => '~',
            Change::Prune => '-',
        };
        let _ = writeln!(out, "{sign} {step}");
        for field in fields {
            let _ = writeln!(
                out,
                "    {}: {} -> {}",
                field.pointer,
                value(field.before.as_ref()),
                value(field.after.as_ref())
            );
        }
        let none = || "none".to_owned();
        match (next_before, next_after) {
            (None, Some(after)) => drop(writeln!(out, "    next fire: {after}")),
            (before, after) if before == after => {}
            (before, after) => drop(writeln!(
                out,
                "    next fire: {} -> {}",
                before.clone().unwrap_or_else(none),
                after.clone().unwrap_or_else(none)
            )),
        }
    }
    for held in held_back {
        let _ = writeln!(out, "! {} is not pruned: {}", held.job, held.reason);
    }
    if shown.is_empty() && held_back.is_empty() {
        out.push_str("nothing to do\n");
    } else {
        let count = |change: &str| shown.iter().filter(|shown| why(&shown.step.change).0 == change).count();
        let _ = writeln!(
            out,
            "\n{} to put, {} to prune, {} held back",
            count("put"),
            count("prune"),
            held_back.len()
        );
    }
    out
}

fn value(value: Option<&Value>) -> String {
    value.map_or_else(|| "(none)".to_owned(), Value::to_string)
}

fn markdown(shown: &[Shown], held_back: &[HeldBack]) -> String {
    if shown.is_empty() && held_back.is_empty() {
        return "Nothing to do.\n".to_owned();
    }
    let mut out = String::from("| job | tier | change | fields | next fire |\n|---|---|---|---|---|\n");
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    for Shown { step, fields, next_before, next_after } in shown {
        let (change, why) = why(&step.change);
        let fields: Vec<String> = fields
            .iter()
            .map(|field| {
                let line = format!(
                    "`{}`: {} → {}",
                    field.pointer,
                    value(field.before.as_ref()),
                    value(field.after.as_ref())
                );
                cell(&line)
            })
            .collect();
        let next = match (next_before, next_after) {
            (before, after) if before == after => before.clone().unwrap_or_default(),
            (before, after) => {
                let none = || "none".to_owned();
                format!("{} → {}", before.clone().unwrap_or_else(none), after.clone().unwrap_or_else(none))
            }
        };
        let _ = writeln!(
            out,
            "| {} | {} | {change} ({why}) | {} | {next} |",
            step.placement.job,
            step.placement.tier,
            fields.join("<br>")
        );
    }
    for held in held_back {
        let _ = writeln!(out, "\n**{} is not pruned**: {}", held.job, held.reason);
    }
    out
}
