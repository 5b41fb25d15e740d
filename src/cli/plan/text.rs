//! A plan for people.

use std::fmt::Write as _;

use serde_json::Value;

use crate::plan::document::{PlanDocument, PlannedStep, Reason, Verb};

pub(super) fn text(plan: &PlanDocument) -> String {
    let mut out = String::new();
    for step in &plan.steps {
        write_step(step, &mut out);
    }
    for held in &plan.held_back {
        let _ = writeln!(out, "! {} is not {}: {}", held.job, held.change.done(), held.reason);
    }
    for job in &plan.frozen {
        let _ = writeln!(out, "! {job} stays as it is: its manifest cannot be used");
    }
    if out.is_empty() && plan.errors == 0 {
        return "nothing to do\n".to_owned();
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let count = |verb: Verb| plan.steps.iter().filter(|step| step.change == verb).count();
    let (puts, prunes) = (count(Verb::Put), count(Verb::Prune));
    let _ = write!(out, "{puts} to put, {prunes} to prune, {} held back", plan.held_back.len());
    if plan.errors > 0 {
        let _ = write!(out, ", {} frozen\n{}", plan.frozen.len(), errors(plan));
    }
    out.push('\n');
    out
}

/// How many errors the manifests have, and what shows them.
pub(super) fn errors(plan: &PlanDocument) -> String {
    let noun = if plan.errors == 1 { "error" } else { "errors" };
    format!("{} {noun} in the manifests: `tintal validate` says more", plan.errors)
}

/// A value of a field.
pub(super) fn value(value: Option<&Value>) -> String {
    value.map_or_else(|| "(none)".to_owned(), Value::to_string)
}

fn write_step(step: &PlannedStep, out: &mut String) {
    let sign = match step.why {
        Reason::New => '+',
        Reason::Changed | Reason::Drifted => '~',
        Reason::Removed => '-',
    };
    let _ = writeln!(out, "{sign} {step}");
    for field in &step.fields {
        let (before, after) = (value(field.before.as_ref()), value(field.after.as_ref()));
        let _ = writeln!(out, "    {}: {before} -> {after}", field.pointer);
    }
    let list = |fires: &[String]| if fires.is_empty() { "none".to_owned() } else { fires.join(", ") };
    if step.fires_before != step.fires_after {
        if step.why != Reason::New {
            let _ = writeln!(out, "    fires before: {}", list(&step.fires_before));
        }
        let _ = writeln!(out, "    fires after:  {}", list(&step.fires_after));
    }
}
