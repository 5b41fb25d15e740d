//! A plan as a comment on a change.

use std::fmt::Write as _;

use super::text::{errors, value};
use crate::plan::document::{PlanDocument, PlannedStep};

pub(super) fn markdown(plan: &PlanDocument) -> String {
    let mut out = String::new();
    if plan.steps.is_empty() && plan.held_back.is_empty() && plan.errors == 0 {
        return "Nothing to do.\n".to_owned();
    }
    if !plan.steps.is_empty() {
        out.push_str(
            "| job | tier | change | fields | fires before | fires after |\n|---|---|---|---|---|---|\n",
        );
    }
    for step in &plan.steps {
        write_row(step, &mut out);
    }
    for held in &plan.held_back {
        let _ = writeln!(out, "\n**{} is not {}**: {}", held.job, held.change.done(), held.reason);
    }
    for job in &plan.frozen {
        let _ = writeln!(out, "\n**{job} stays as it is**: its manifest cannot be used");
    }
    if plan.errors > 0 {
        let _ = writeln!(out, "\n{}", errors(plan));
    }
    out.trim_start().to_owned()
}

fn write_row(step: &PlannedStep, out: &mut String) {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let fields: Vec<String> = step
        .fields
        .iter()
        .map(|field| {
            let (before, after) = (value(field.before.as_ref()), value(field.after.as_ref()));
            cell(&format!("`{}`: {before} → {after}", field.pointer))
        })
        .collect();
    let _ = writeln!(
        out,
        "| {} | {} | {} ({}) | {} | {} | {} |",
        step.job,
        step.tier,
        step.change.as_str(),
        step.why.as_str(),
        fields.join("<br>"),
        step.fires_before.join("<br>"),
        step.fires_after.join("<br>")
    );
}
