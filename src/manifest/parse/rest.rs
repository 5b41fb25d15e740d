//! What is left of a document without its mistakes of shape, so that mistakes of meaning are told in
//! the same run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::json;

use super::{Rest, whole_numbers};
use crate::manifest::{
    code::Code,
    problem::{Problem, SourceText},
    shape::Shape,
    yaml::Node,
};

/// Rounds of taking mistakes out: single values, then the parts that they belong to.
const ROUNDS: usize = 3;

/// What is left; none when too much is wrong.
pub(super) fn of(node: &Node, shape: &Shape, source: &Arc<SourceText>) -> Option<Rest> {
    let mut left = node.clone();
    let mut removed = BTreeSet::new();
    for round in 0..ROUNDS {
        let problems = shape.check(&left, &left.to_json(), source);
        if problems.is_empty() {
            break;
        }
        let mut renamed = BTreeMap::new();
        let mut gone = BTreeSet::new();
        for problem in problems {
            let pointer = match (round, meant(&problem)) {
                (0, Some(meant)) => {
                    renamed.insert(problem.pointer.clone(), meant.to_owned());
                    continue;
                }
                (0, None) => problem.pointer,
                // Without the value its surroundings are no good: they go too.
                _ => top(&problem.pointer),
            };
            // A field that the whole document lacks leaves nothing to take out.
            if !pointer.is_empty() {
                gone.insert(pointer);
            }
        }
        left.mend(&gone, &renamed);
        removed.extend(gone.into_iter().map(|pointer| with_names(&pointer, &renamed)));
    }
    let mut json = whole_numbers(left.to_json());
    let map = json.as_object_mut()?;
    if !map.contains_key("run") {
        removed.insert("/run".to_owned());
        map.insert("run".to_owned(), json!({"builtin": {"noop": {}}}));
    }
    let manifest = serde_json::from_value(json).ok()?;
    Some(Rest { manifest: Box::new(manifest), node: left, removed })
}

/// A pointer as it is once keys have other names.
fn with_names(pointer: &str, renamed: &BTreeMap<String, String>) -> String {
    let mut parts: Vec<&str> = pointer.split('/').collect();
    for (at, name) in renamed {
        let is_inside = pointer.strip_prefix(at.as_str()).is_some_and(|rest| rest.starts_with('/'));
        if let Some(part) = parts.get_mut(at.split('/').count() - 1).filter(|_| is_inside) {
            *part = name;
        }
    }
    parts.join("/")
}

/// The field that a misspelt one stands for, as the problem suggests it.
fn meant(problem: &Problem) -> Option<&str> {
    let help = problem.help.as_deref().filter(|_| problem.code == Code::UnknownField)?;
    help.strip_prefix("did you mean `")?.strip_suffix("`?")
}

/// The part of a document that a pointer leads into: `/run`, or an entry of `schedule`.
fn top(pointer: &str) -> String {
    let mut parts = pointer.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("schedule"), Some(index)) if index.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("/schedule/{index}")
        }
        (Some(first), _) => format!("/{first}"),
        (None, _) => String::new(),
    }
}
