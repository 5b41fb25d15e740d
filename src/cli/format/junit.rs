//! The XML of `JUnit`: a test case for each problem; one that passes when there is none.

use std::fmt::Write as _;

use super::{
    Findings,
    text::{places, position},
};
use crate::manifest::problem::{Problem, Severity};

/// The report.
pub(in crate::cli) fn render(findings: &Findings) -> String {
    let failures = findings.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let tests = findings.problems.len().max(1);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"tintal validate\" tests=\"{tests}\" failures=\"{failures}\">");
    let _ = writeln!(out, "  <testsuite name=\"manifests\" tests=\"{tests}\" failures=\"{failures}\">");
    if findings.problems.is_empty() {
        out.push_str("    <testcase name=\"no problems\" classname=\"tintal\"/>\n");
    }
    findings.problems.iter().for_each(|problem| case(problem, &mut out));
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn case(problem: &Problem, out: &mut String) {
    let place = position(&problem.primary.place);
    let mut text = format!("{place}: {} {}: {}", problem.severity, problem.code, problem.message);
    for line in problem.help.iter().cloned().chain(places(problem)) {
        text.push('\n');
        text.push_str(&line);
    }
    let _ = writeln!(
        out,
        "    <testcase name=\"{}\" classname=\"{}\">",
        escaped(&format!("{} {place}", problem.code)),
        escaped(&problem.primary.place.source.path)
    );
    let _ = match problem.severity {
        Severity::Error => writeln!(
            out,
            "      <failure message=\"{}\" type=\"{}\">{}</failure>",
            escaped(&problem.message),
            problem.code,
            escaped(&text)
        ),
        Severity::Warning => writeln!(out, "      <system-out>{}</system-out>", escaped(&text)),
    };
    out.push_str("    </testcase>\n");
}

/// A text in XML; characters that XML does not have are left out.
fn escaped(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}') || matches!(c, '\n' | '\t'))
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\n' => "&#10;".to_owned(),
            other => other.to_string(),
        })
        .collect()
}
