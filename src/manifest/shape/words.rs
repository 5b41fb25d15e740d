//! What problems of shape are made of, and words for what was found.

use serde_json::{Map, Value};

use crate::manifest::{
    code::Code,
    problem::Span,
    yaml::{Node, NodeValue},
};

/// Longest text that is repeated in a message.
pub(super) const SHOWN_MAX: usize = 60;

/// A problem that does not know its place yet.
pub(super) struct Draft {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) help: String,
    /// Pointer, when it is not that of the spot.
    pub(super) pointer: Option<String>,
    pub(super) related: Vec<(Span, String)>,
}

impl Draft {
    pub(super) fn new(
        code: Code,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            label: label.into(),
            help: help.into(),
            pointer: None,
            related: Vec::new(),
        }
    }

    pub(super) fn pointer(mut self, pointer: String) -> Self {
        self.pointer = Some(pointer);
        self
    }
}

/// The value of a keyword. A schema has so few that to look at each is faster than to hash the name.
pub(super) fn keyword<'a>(keywords: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    keywords.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// What a schema asks for, in words.
pub(super) fn expected(name: &str) -> &'static str {
    match name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        _ => "a mapping",
    }
}

/// What stands there, in words, without its value.
pub(super) fn kind(node: &Node) -> &'static str {
    match &node.value {
        NodeValue::Null => "nothing",
        NodeValue::Bool(_) => "`true` or `false`",
        NodeValue::Int(_) | NodeValue::UInt(_) | NodeValue::Float(_) => "a number",
        NodeValue::Text(_) => "text",
        NodeValue::List(_) => "a list",
        NodeValue::Map(_) => "a mapping",
    }
}

/// What stands there, in words; `text` is that of the file.
pub(super) fn found(node: &Node, text: &str) -> String {
    match (&node.value, written(node, text)) {
        (NodeValue::Bool(_), Some(written)) => format!("`{written}`"),
        (_, Some(written)) => format!("the number {written}"),
        (_, None) => kind(node).to_owned(),
    }
}

/// A number, or `true` or `false`, as it is written: `3.10` is the same number as `3.1`, and another text.
pub(super) fn written(node: &Node, text: &str) -> Option<String> {
    let value = match &node.value {
        NodeValue::Bool(value) => value.to_string(),
        NodeValue::Int(value) => value.to_string(),
        NodeValue::UInt(value) => value.to_string(),
        NodeValue::Float(value) => value.to_string(),
        _ => return None,
    };
    let written = text.get(node.span.range()).filter(|written| !written.starts_with(['"', '\'']));
    Some(written.map_or(value, short))
}

/// Names in a sentence: `a`, `b` or `c`.
pub(super) fn listed(names: &[&str], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

/// The first example of a schema, as it would stand in a file.
pub(super) fn example(keywords: &Map<String, Value>) -> Option<String> {
    let first = keyword(keywords, "examples")?.as_array()?.first()?;
    Some(match first {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// A text of the file as far as a message repeats it.
pub(super) fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.len() == text.len() && text.chars().nth(SHOWN_MAX).is_none() {
        return text.to_owned();
    }
    let cut: String = line.chars().take(SHOWN_MAX).collect();
    format!("{cut}...")
}
