//! A code quality report of GitLab.

use serde_json::{Value, json};

use super::Findings;
use crate::manifest::problem::{Problem, Severity};

/// The report.
pub(in crate::cli) fn render(findings: &Findings) -> String {
    let issues: Vec<Value> = findings.problems.iter().map(issue).collect();
    format!("{:#}\n", Value::Array(issues))
}

fn issue(problem: &Problem) -> Value {
    let path = &problem.primary.place.source.path;
    // Lines move; what is said of which place in the document stays.
    let identity = format!("{path}\n{}\n{}\n{}", problem.code, problem.pointer, problem.message);
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
