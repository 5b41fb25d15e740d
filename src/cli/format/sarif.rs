//! SARIF 2.1.0, for code scanning.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Findings, url};
use crate::manifest::{
    code::Code,
    problem::{Place, Problem},
};

/// The log.
pub(in crate::cli) fn render(findings: &Findings) -> String {
    let codes: BTreeSet<Code> = findings.problems.iter().map(|problem| problem.code).collect();
    let codes: Vec<Code> = codes.into_iter().collect();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| {
            json!({
                "id": code.as_str(),
                "shortDescription": {"text": code.title()},
                "helpUri": url(*code),
                "defaultConfiguration": {"level": code.severity().as_str()},
            })
        })
        .collect();
    let results: Vec<Value> = findings.problems.iter().map(|problem| result(problem, &codes)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "tintal",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": "https://tintal.dev",
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn result(problem: &Problem, codes: &[Code]) -> Value {
    let text = match &problem.help {
        Some(help) => format!("{}. {help}", problem.message),
        None => problem.message.clone(),
    };
    json!({
        "ruleId": problem.code.as_str(),
        "ruleIndex": codes.iter().position(|code| *code == problem.code),
        "level": problem.severity.as_str(),
        "message": {"text": text},
        "locations": [{"physicalLocation": location(&problem.primary.place)}],
        "relatedLocations": problem.related.iter().enumerate().map(|(id, label)| json!({
            "id": id,
            "message": {"text": label.text},
            "physicalLocation": location(&label.place),
        })).collect::<Vec<_>>(),
    })
}

fn location(place: &Place) -> Value {
    let (start, end) = (place.start(), place.end());
    json!({
        "artifactLocation": {"uri": uri(&place.source.path)},
        "region": {
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        },
    })
}

/// A path as a relative reference: what a URI cannot hold is escaped.
fn uri(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
