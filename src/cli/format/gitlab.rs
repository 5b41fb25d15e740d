//! A code quality report of GitLab.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Findings;
use crate::manifest::{
    name::JobName,
    problem::{Problem, Severity},
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
    let path = &problem.primary.place.source.path;
    json!({
        "description": problem.message,
        "check_name": problem.code.as_str(),
        "fingerprint": blake3::hash(identity.as_bytes()).to_hex().to_string(),
        "severity": match problem.severity {
            Severity::Error => "major",
            Severity::Warning => "minor",
        },
        "location": {"path": path, "lines": {"begin": problem.start().line, "end": problem.end().line}},
    })
}
