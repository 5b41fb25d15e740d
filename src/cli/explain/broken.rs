//! A job whose manifest cannot be used: what is wrong with it, and which tier it would go to.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::{Next, considered_document, considered_text, yaml};
use crate::{
    cli::{
        Failure,
        format::{self, text::Look},
        last_good::LastGood,
        tree::View,
    },
    control::view::PauseView,
    load::{Refused, effective::stated},
    manifest::{name::JobName, problem::Problem},
};

/// A job whose manifest cannot be used.
pub(super) struct Broken<'a> {
    name: &'a JobName,
    /// Of one that no tier can take.
    refused: Option<&'a Refused>,
    /// All that is wrong with it.
    problems: Vec<&'a Problem>,
    /// What it goes on with, and when that fires; none of one that was never live.
    last_good: Option<(LastGood, Next)>,
    prefix: &'a str,
}

impl<'a> Broken<'a> {
    pub(super) fn of(
        view: &'a View,
        name: &'a JobName,
        last_good: Option<LastGood>,
        pause: Option<PauseView>,
    ) -> Result<Self, Failure> {
        let next = last_good.as_ref().map(|good| Next::of(&good.spec, pause)).transpose()?;
        Ok(Self {
            name,
            refused: view.tree.refused.get(name).map(AsRef::as_ref),
            problems: view.tree.problems.iter().filter(|problem| problem.concerns(name)).collect(),
            last_good: last_good.zip(next),
            prefix: &view.prefix,
        })
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
        if let Some((LastGood { spec, digest }, next)) = &self.last_good {
            out.push_str(
                "\n# The last good version: the job goes on with it until the manifest is mended.\n",
            );
            yaml(&Value::Object(stated(spec)), "", 0, &BTreeMap::new(), &mut out);
            let _ = writeln!(out, "\ndigest    {digest}");
            next.text(spec, &mut out);
        } else {
            out.push_str("live      no: it was never applied\n");
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
            "last_good": self.last_good.as_ref().map(|(LastGood { spec, digest }, next)| json!({
                "spec": stated(spec),
                "digest": digest.to_string(),
                "enabled": spec.enabled,
                "pause": next.pause,
                "next": next.times,
                "at_boot": next.at_boot,
            })),
            "problems": self.problems.iter().map(|problem| format::json::problem(problem)).collect::<Vec<_>>(),
        })
    }
}
