//! Workflow commands of GitHub Actions: annotations in the diff.

use std::iter;

use super::{Findings, plain::one_line, text::places};
use crate::manifest::problem::{Problem, Severity};

/// One command a problem.
pub(in crate::cli) fn render(findings: &Findings) -> String {
    findings.problems.iter().map(command).collect()
}

fn command(problem: &Problem) -> String {
    let kind = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (start, end) = (problem.start(), problem.end());
    let lines = iter::once(problem.message.clone()).chain(problem.help.clone()).chain(places(problem));
    let text = lines.collect::<Vec<_>>().join("\n");
    // A column range is shown only when it stays on one line.
    let columns = if start.line == end.line {
        format!(",col={},endColumn={}", start.column, end.column)
    } else {
        String::new()
    };
    format!(
        "::{kind} file={},line={},endLine={}{columns},title={}::{}\n",
        property(&problem.primary.place.source.path),
        start.line,
        end.line,
        property(&format!("{} {}", problem.code, problem.code.title())),
        data(&text)
    )
}

fn data(text: &str) -> String {
    one_line(&text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")).into_owned()
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
