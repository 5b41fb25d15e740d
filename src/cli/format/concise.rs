//! One line for each problem, as compilers do it: editors jump to it.

use super::{Findings, plain::one_line, text::position};

/// All problems, one a line.
pub(in crate::cli) fn render(findings: &Findings) -> String {
    findings
        .problems
        .iter()
        .map(|problem| {
            let help = problem.help.as_ref().map(|help| format!(" ({})", one_line(help))).unwrap_or_default();
            format!(
                "{}: {} {}: {}{help}\n",
                position(&problem.primary.place),
                problem.severity,
                problem.code,
                one_line(&problem.message)
            )
        })
        .collect()
}
