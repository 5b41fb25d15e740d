//! One JSON document: a shape that scripts rely on, keys are only ever added.

use serde_json::{Value, json};

use super::{Findings, url};
use crate::manifest::problem::{Label, Problem};

/// The document.
pub(in crate::cli) fn render(findings: &Findings) -> String {
    let problems: Vec<Value> = findings.problems.iter().map(problem).collect();
    let document = json!({"v": 1, "files": findings.files, "jobs": findings.jobs, "problems": problems});
    format!("{document:#}\n")
}

/// One problem.
pub(in crate::cli) fn problem(problem: &Problem) -> Value {
    let (start, end) = (problem.start(), problem.end());
    json!({
        "code": problem.code.as_str(),
        "severity": problem.severity.as_str(),
        "message": problem.message,
        "file": problem.primary.place.source.path,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "pointer": problem.pointer,
        "job": problem.job.as_ref().map(ToString::to_string),
        "help": problem.help,
        "url": url(problem.code),
        "related": problem.related.iter().map(related).collect::<Vec<_>>(),
    })
}

fn related(label: &Label) -> Value {
    let place = &label.place;
    let start = place.start();
    json!({"file": place.source.path, "line": start.line, "column": start.column, "message": label.text})
}
