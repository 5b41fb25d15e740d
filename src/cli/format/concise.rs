//! One line for each problem, as compilers do it: editors jump to it.

use super::{
    Findings,
    plain::one_line,
    text::{places, position},
};
use crate::manifest::problem::Problem;

/// All problems, one a line.
pub(in crate::cli) fn render(findings: &Findings) -> String {
    findings
        .problems
        .iter()
        .map(|problem| {
            let place = position(&problem.primary.place);
            format!("{place}: {} {}: {}\n", problem.severity, problem.code, sentence(problem))
        })
        .collect()
}

/// The message with the way out and the other places, in one line.
pub(super) fn sentence(problem: &Problem) -> String {
    let help = problem.help.iter().map(|help| format!(" ({})", one_line(help)));
    let places = places(problem).into_iter().map(|place| format!(" ({place})"));
    one_line(&problem.message).into_owned() + &help.chain(places).collect::<String>()
}
