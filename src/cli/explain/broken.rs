//! A job whose manifest cannot be used: what is wrong with it, and which tier it would go to.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{considered_document, considered_text};
use crate::{
    cli::{
        format::{self, text::Look},
        tree::View,
    },
    load::Refused,
    manifest::{name::JobName, problem::Problem},
};

/// A job whose manifest cannot be used.
pub(super) struct Broken<'a> {
    name: &'a JobName,
    /// Of one that no tier can take.
    refused: Option<&'a Refused>,
    /// All that is wrong with it.
    problems: Vec<&'a Problem>,
    prefix: &'a str,
}

impl<'a> Broken<'a> {
    pub(super) fn of(view: &'a View, name: &'a JobName) -> Self {
        Self {
            name,
            refused: view.tree.refused.get(name).map(AsRef::as_ref),
            problems: view.tree.problems.iter().filter(|problem| problem.concerns(name)).collect(),
            prefix: &view.prefix,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let problems: Vec<Problem> = self.problems.iter().map(|problem| (*problem).clone()).collect();
        out.push_str(&format::text::render(&problems, Look::detect()));
        if let Some(Refused { rules_choose: (rule, tier), considered, .. }) = self.refused {
            let _ = writeln!(out, "tier      none; {rule} chooses {tier}");
            considered_text(considered, &mut out);
        } else {
            let _ = writeln!(out, "tier      none: the manifest of `{}` cannot be used", self.name);
        }
        out
    }

    pub(super) fn document(&self) -> Value {
        let (file, line) = match (self.refused, self.problems.first()) {
            (Some(refused), _) => {
                (format!("{}{}", self.prefix, refused.origin.path), refused.origin.line as usize)
            }
            (None, Some(problem)) => (problem.primary.place.source.path.clone(), problem.start().line),
            (None, None) => (String::new(), 0),
        };
        json!({
            "v": 1,
            "job": self.name,
            "file": file,
            "line": line,
            "tier": null,
            "rule": self.refused.map(|refused| refused.rules_choose.0.as_str()),
            "rules_choose": self.refused.map(|refused| refused.rules_choose.1),
            "considered": self.refused.map(|refused| considered_document(&refused.considered)).unwrap_or_default(),
            "problems": self.problems.iter().map(|problem| format::json::problem(problem)).collect::<Vec<_>>(),
        })
    }
}
