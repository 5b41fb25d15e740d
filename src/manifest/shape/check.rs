//! A compiled schema, and the problems it finds.

use std::sync::Arc;

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value};

use super::{
    fields,
    instance::Tree,
    leaf,
    patterns::Patterns,
    suggest::Known,
    words::{self, keyword, short},
};
use crate::manifest::{
    code::Code,
    exposed::{cover, exposed},
    problem::{Place, Problem, SourceText, Span},
    yaml::{Node, NodeValue, node::escaped},
};

/// A compiled schema.
#[derive(Debug)]
pub struct Shape {
    schema: Value,
    validator: Validator<Tree>,
    known: Known,
    patterns: Patterns,
}

impl Shape {
    /// Compiles a schema that [`crate::manifest::schema`] generated.
    #[must_use]
    pub fn new(schema: Value) -> Self {
        let validator = match jsonschema::options_for::<Tree>().with_draft(Draft::Draft202012).build(&schema)
        {
            Ok(validator) => validator,
            Err(error) => unreachable!("a generated schema compiles: {error}"),
        };
        let known = Known::of(&schema);
        Self { schema, validator, known, patterns: Patterns::default() }
    }

    /// Every place where the document does not have the shape, in the order of the file.
    #[must_use]
    pub fn check(&self, node: &Node, source: &Arc<SourceText>) -> Vec<Problem> {
        if self.validator.is_valid(node) {
            return Vec::new();
        }
        let mut walk = Walk { shape: self, source, problems: Vec::new() };
        let root = Spot {
            node,
            pointer: String::new(),
            key: None,
            item: None,
            used_at: node.used_at,
            content: Content::Open,
        };
        walk.value(&self.schema, &root);
        let mut problems = walk.problems;
        if problems.is_empty() {
            problems.extend(self.any(node, source));
        }
        problems.sort_by_key(|problem| problem.primary.place.span);
        let hidden = cover(&exposed(node, &source.text));
        problems.iter_mut().for_each(|problem| problem.hidden = hidden);
        problems
    }

    /// Where each field stands.
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// Whether a text matches a pattern of the schema.
    pub(super) fn matches(&self, pattern: &str, text: &str) -> bool {
        self.patterns.matches(&self.schema, pattern, text)
    }

    /// A problem in the words of the validator, for what the walk has no words for.
    fn any(&self, node: &Node, source: &Arc<SourceText>) -> Option<Problem> {
        let error = self.validator.iter_errors(node).next()?;
        let pointer = error.instance_path().to_string();
        let span =
            node.at(&pointer).map_or(node.span, |located| located.used_at.unwrap_or(located.node.span));
        let place = Place { source: Arc::clone(source), span };
        Some(
            Problem::new(Code::Form, place, error.masked().to_string())
                .pointer(pointer)
                .help("`tintal schema job` prints what may stand here"),
        )
    }
}

/// Whether a message may repeat a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// It may.
    Open,
    /// It stands where a reference to a secret should, and may be the secret.
    Secret,
}

/// A node on the way through a document.
pub(super) struct Spot<'a> {
    pub(super) node: &'a Node,
    pub(super) pointer: String,
    /// Its key, when it is the value of one.
    pub(super) key: Option<(&'a str, Span)>,
    /// Which item of the list under the key it is, counted from 0, when it is one.
    pub(super) item: Option<usize>,
    /// Where the alias is written that stands for it, or for something around it.
    pub(super) used_at: Option<Span>,
    pub(super) content: Content,
}

impl Spot<'_> {
    /// What it is called where a message begins.
    pub(super) fn subject(&self) -> String {
        match (self.key, self.item) {
            (None, _) => "the document".to_owned(),
            (Some((key, _)), None) => format!("`{}`", short(key)),
            (Some(("steps", _)), Some(index)) => format!("step {}", index + 1),
            (Some((key, _)), Some(index)) => format!("item {} of `{}`", index + 1, short(key)),
        }
    }
}

/// One walk of a schema beside a document.
pub(super) struct Walk<'a> {
    pub(super) shape: &'a Shape,
    pub(super) source: &'a Arc<SourceText>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Walk<'a> {
    /// Looks at a value; what is wrong with it or in it goes into the problems.
    pub(super) fn value(&mut self, schema: &'a Value, spot: &Spot<'a>) {
        let Some(keywords) = self.resolve(schema) else { return };
        if let Some(Value::Array(branches)) = keyword(keywords, "anyOf") {
            if let Some(branch) = self.branch(branches, spot.node) {
                self.value(branch, spot);
            }
            return;
        }
        if let Some(Value::String(expected)) = keyword(keywords, "type")
            && !has_type(spot.node, expected)
        {
            let draft = leaf::wrong_type(keywords, expected, spot, &self.source.text);
            let place = self.at(spot.used_at.unwrap_or(self.source.first_line(spot.node.span)));
            self.push_at(spot, place, draft);
            return;
        }
        match &spot.node.value {
            NodeValue::Map(_) => fields::check(self, keywords, spot),
            NodeValue::List(items) => self.list(keywords, items, spot),
            _ => {
                if let Some(problem) = leaf::check(self, keywords, spot) {
                    self.push(spot, problem);
                }
            }
        }
    }

    fn list(&mut self, keywords: &'a Map<String, Value>, items: &'a [Node], spot: &Spot<'a>) {
        if let Some(problem) = leaf::count(keywords, items.len(), spot) {
            self.push(spot, problem);
        }
        let first = keyword(keywords, "prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            let Some(schema) = first.get(index).or(keyword(keywords, "items")) else { continue };
            let inner = Spot {
                node: item,
                pointer: format!("{}/{index}", spot.pointer),
                key: spot.key,
                item: Some(index),
                used_at: spot.used_at.or(item.used_at),
                content: spot.content,
            };
            self.value(schema, &inner);
        }
    }

    /// The keywords of a schema, or of the one that it refers to.
    pub(super) fn resolve(&self, schema: &'a Value) -> Option<&'a Map<String, Value>> {
        let keywords = schema.as_object()?;
        match keyword(keywords, "$ref").and_then(Value::as_str) {
            Some(reference) => {
                let target: &'a Value = self.shape.schema.pointer(reference.strip_prefix('#')?)?;
                self.resolve(target)
            }
            None => Some(keywords),
        }
    }

    /// The branch whose type is that of the node; the first one when none is.
    fn branch(&self, branches: &'a [Value], node: &Node) -> Option<&'a Value> {
        let of_type = |branch: &&'a Value| {
            let keywords = self.resolve(branch)?;
            has_type(node, keyword(keywords, "type")?.as_str()?).then_some(())
        };
        branches.iter().find(|branch| of_type(branch).is_some()).or(branches.first())
    }

    /// The place of a spot: its alias, or its first line.
    pub(super) fn place(&self, spot: &Spot<'_>) -> Place {
        let is_container = matches!(spot.node.value, NodeValue::Map(_) | NodeValue::List(_));
        let span = match (spot.used_at, spot.key, spot.item) {
            (Some(alias), ..) => alias,
            (None, Some((_, key)), None) if is_container || spot.node.span.is_empty() => key,
            _ => self.source.first_line(spot.node.span),
        };
        self.at(span)
    }

    pub(super) fn at(&self, span: Span) -> Place {
        Place { source: Arc::clone(self.source), span: visible(self.source, span) }
    }

    /// Adds a problem at a spot.
    pub(super) fn push(&mut self, spot: &Spot<'_>, draft: words::Draft) {
        let place = self.place(spot);
        self.push_at(spot, place, draft);
    }

    /// Adds a problem at a place of a spot.
    pub(super) fn push_at(&mut self, spot: &Spot<'_>, place: Place, draft: words::Draft) {
        let mut problem = Problem::new(draft.code, place, draft.message)
            .label(draft.label)
            .help(draft.help)
            .pointer(draft.pointer.unwrap_or_else(|| spot.pointer.clone()));
        if spot.used_at.is_some() {
            let anchor = self.source.first_line(spot.node.span);
            problem = problem.related(self.at(anchor), "the anchor is here");
        }
        for (span, text) in draft.related {
            problem = problem.related(self.at(span), text);
        }
        self.problems.push(problem);
    }
}

/// The pointer to a key in a spot.
pub(super) fn pointer_to(spot: &Spot<'_>, key: &str) -> String {
    format!("{}/{}", spot.pointer, escaped(key))
}

fn has_type(node: &Node, name: &str) -> bool {
    match (&node.value, name) {
        (NodeValue::Null, "null")
        | (NodeValue::Bool(_), "boolean")
        | (NodeValue::Int(_) | NodeValue::UInt(_), "integer" | "number")
        | (NodeValue::Float(_), "number")
        | (NodeValue::Text(_), "string")
        | (NodeValue::List(_), "array")
        | (NodeValue::Map(_), "object") => true,
        // JSON Schema counts 1.0 as an integer.
        (NodeValue::Float(number), "integer") => number.fract() == 0.0,
        _ => false,
    }
}

/// A span that holds at least one byte of the file, if the file has one.
fn visible(source: &SourceText, span: Span) -> Span {
    let length = u32::try_from(source.text.len()).unwrap_or(u32::MAX);
    let start = span.start.min(length.saturating_sub(1));
    Span { start, end: span.end.clamp((start + 1).min(length), length) }
}
