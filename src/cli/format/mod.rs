//! Problems in the forms that people and programs read. One object feeds them all.

pub(super) mod concise;
pub(super) mod github;
pub(super) mod gitlab;
pub(super) mod json;
pub(super) mod junit;
mod plain;
pub(super) mod sarif;
pub(super) mod text;

use std::borrow::Cow;

use crate::{
    load::Tree,
    manifest::{
        code::Code,
        problem::{Problem, Severity},
    },
};

/// Where the pages of the codes are published.
const PAGES: &str = "https://tintal.dev/docs/diagnostics#";

/// What a validation found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) files: usize,
    /// Jobs that can be used.
    pub(super) jobs: usize,
    pub(super) problems: Vec<Problem>,
    /// Whether something that was named cannot be read.
    pub(super) untold: bool,
}

impl Findings {
    pub(super) fn of(tree: Tree) -> Self {
        Self { files: tree.files, jobs: tree.jobs.len(), problems: tree.problems, untold: false }
    }

    /// Takes in more.
    pub(super) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.jobs += other.jobs;
        self.problems.extend(other.problems);
        self.untold |= other.untold;
    }

    pub(super) fn sort(&mut self) {
        self.problems.sort_by(|a, b| {
            let key = |problem: &Problem| (problem.primary.place.span, problem.code);
            let path = |problem: &Problem| problem.primary.place.source.path.clone();
            path(a).cmp(&path(b)).then_with(|| key(a).cmp(&key(b)))
        });
    }

    /// One line about all of it.
    pub(super) fn summary(&self) -> String {
        let count = |severity| self.problems.iter().filter(|problem| problem.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let checked = format!("{} checked, {} ready", plural(self.files, "file"), plural(self.jobs, "job"));
        match (errors, warnings) {
            (0, 0) => checked,
            (0, warnings) => format!("{checked}: {}", plural(warnings, "warning")),
            (errors, 0) => format!("{checked}: {}", plural(errors, "error")),
            (errors, warnings) => {
                format!("{checked}: {}, {}", plural(errors, "error"), plural(warnings, "warning"))
            }
        }
    }
}

/// A text of a person in one line, as a terminal can show it.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    plain::one_line(text)
}

/// `1 file`, `2 files`.
pub(super) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The address of a code's page.
pub(super) fn url(code: Code) -> String {
    format!("{PAGES}{}", code.as_str().to_ascii_lowercase())
}
