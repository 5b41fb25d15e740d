//! What is left of a document without its mistakes of shape, so that mistakes of meaning are told in
//! the same run.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Deserialize as _;

use super::Rest;
use crate::manifest::{
    code::Code,
    job::Manifest,
    problem::{Problem, SourceText, Span},
    shape::Shape,
    yaml::{Entry, Node, NodeValue},
};

/// Rounds of taking mistakes out: single values, then the parts that they belong to.
const ROUNDS: usize = 3;

/// What is left; none when too much is wrong. `problems` is what the shape says of the whole.
pub(super) fn of(node: &Node, problems: &[Problem], shape: &Shape, source: &Arc<SourceText>) -> Option<Rest> {
    let mut left = node.clone();
    for round in 0..ROUNDS {
        let problems =
            if round == 0 { Cow::Borrowed(problems) } else { Cow::Owned(shape.check(&left, source)) };
        if problems.is_empty() {
            break;
        }
        let mut renamed = BTreeMap::new();
        let mut gone = BTreeSet::new();
        for problem in problems.iter() {
            let pointer = match (round, meant(problem)) {
                (0, Some(meant)) => {
                    renamed.insert(problem.pointer.clone(), meant.to_owned());
                    continue;
                }
                (0, None) => problem.pointer.clone(),
                // Without the value its surroundings are no good: they go too.
                _ => top(&problem.pointer),
            };
            // A field that the whole document lacks leaves nothing to take out.
            if !pointer.is_empty() {
                gone.insert(pointer);
            }
        }
        left.mend(&gone, &renamed);
    }
    let manifest = if left.get("run").is_some() {
        Manifest::deserialize(&left)
    } else {
        Manifest::deserialize(&with_run(&left)?)
    };
    let manifest = manifest.ok()?;
    Some(Rest { manifest: Box::new(manifest), node: left })
}

/// A mapping with an action that does nothing; none of anything else.
fn with_run(node: &Node) -> Option<Node> {
    let mut node = node.clone();
    let NodeValue::Map(entries) = &mut node.value else { return None };
    let map = |entries| Node { value: NodeValue::Map(entries), span: Span::default(), used_at: None };
    let entry = |key: &str, value| Entry { key: key.to_owned(), key_span: Span::default(), value };
    let noop = map(vec![entry("noop", map(Vec::new()))]);
    entries.push(entry("run", map(vec![entry("builtin", noop)])));
    Some(node)
}

/// The field that a misspelt one stands for, as the problem suggests it.
fn meant(problem: &Problem) -> Option<&str> {
    let help = problem.help.as_deref().filter(|_| problem.code == Code::UnknownField)?;
    help.strip_prefix("did you mean `")?.strip_suffix("`?")
}

/// The part of a document that a pointer leads into: `/run`, or an entry of `schedule` or `steps`.
fn top(pointer: &str) -> String {
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    let is_index = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match parts.as_slice() {
        ["schedule", index, ..] if is_index(index) => format!("/schedule/{index}"),
        ["run", "steps", index, ..] if is_index(index) => format!("/run/steps/{index}"),
        [first, ..] => format!("/{first}"),
        [] => String::new(),
    }
}
