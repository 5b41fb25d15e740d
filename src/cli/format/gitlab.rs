//! A code quality report of GitLab.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Findings, concise::sentence};
use crate::manifest::{
    name::JobName,
    problem::{Place, Problem, Severity},
};

/// The report.
pub(in crate::cli) fn render(findings: &Findings) -> String {
    let mut seen = BTreeMap::new();
    let issues: Vec<Value> = findings
        .problems
        .iter()
        .map(|problem| {
            let identity = identity(problem);
            let count = seen.entry(identity.clone()).or_insert(0);
            *count += 1;
            issue(problem, &format!("{identity}\n{count}"))
        })
        .collect();
    format!("{:#}\n", Value::Array(issues))
}

/// What stays of a problem while lines move: what is said of which place in which job.
fn identity(problem: &Problem) -> String {
    let path = &problem.primary.place.source.path;
    let job = problem.job.as_ref().map(JobName::as_str).unwrap_or_default();
    format!("{path}\n{job}\n{}\n{}\n{}", problem.code, problem.pointer, problem.message)
}

fn issue(problem: &Problem, identity: &str) -> Value {
    json!({
        // All that GitLab shows.
        "description": sentence(problem),
        "check_name": problem.code.as_str(),
        "fingerprint": blake3::hash(identity.as_bytes()).to_hex().to_string(),
        "severity": match problem.severity {
            Severity::Error => "major",
            Severity::Warning => "minor",
        },
        "location": location(&problem.primary.place),
        "other_locations": problem.related.iter().map(|label| location(&label.place)).collect::<Vec<_>>(),
    })
}

fn location(place: &Place) -> Value {
    json!({"path": place.source.path, "lines": {"begin": place.start().line, "end": place.end().line}})
}
