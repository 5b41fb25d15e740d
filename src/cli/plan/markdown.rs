//! A plan as a comment on a change.

use std::fmt::Write as _;

use serde_json::Value;

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
    let shown = |field: Option<&Value>| field.map_or_else(|| value(None), |_| code(&value(field)));
    let fields: Vec<String> = step
        .fields
        .iter()
        .map(|field| {
            let (before, after) = (shown(field.before.as_ref()), shown(field.after.as_ref()));
            format!("{}: {before} → {after}", code(&field.pointer))
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

/// A text as code in a cell of a table: nothing in it ends the code or the cell.
fn code(text: &str) -> String {
    let mut inside = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // One that is escaped already would end the cell; in JSON this is the same.
            '|' if inside.ends_with('\\') => inside.push_str("\\u007c"),
            '|' => inside.push_str("\\|"),
            c if c.is_control() => inside.push(' '),
            c => inside.push(c),
        }
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    // Next to a fence a blank is not shown, and keeps it apart from what is.
    let gap = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{gap}{inside}{gap}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn code_table() {
        let check = |text: &str, expected: &str| assert_eq!(code(text), expected);
        check("/run/shell",    "`/run/shell`");
        check("a | b",         r"`a \| b`");
        check(r#""a\\|b""#,     r#"`"a\\\u007cb"`"#);
        check("\"`date`\"",    "``\"`date`\"``");
        check("`date`",        "`` `date` ``");
        check("<b>*x*</b>",    "`<b>*x*</b>`");
        check("a\nb",          "`a b`");
    }
}
