//! A document as a tree in which every node and every key knows its place.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Map, Value};

use crate::manifest::problem::Span;

/// A node of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it holds.
    pub value: NodeValue,
    /// Where it is written; for a node that an alias stands for, where the anchor is.
    pub span: Span,
    /// Where the alias is written that stands for this node. Nodes inside do not repeat it.
    pub used_at: Option<Span>,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`; nothing else is one.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number past the range of `i64`.
    UInt(u64),
    /// Any other finite number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file; keys are unique.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is written.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// A node that a JSON pointer led to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Located<'a> {
    /// The node.
    pub node: &'a Node,
    /// Where its key is written, when it is the value of one.
    pub key_span: Option<Span>,
    /// Where the alias is written that stands for it, or for something around it.
    pub used_at: Option<Span>,
}

impl Node {
    /// The document as JSON. Numbers that are whole stay so.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(value) => Value::Bool(*value),
            NodeValue::Int(value) => Value::from(*value),
            NodeValue::UInt(value) => Value::from(*value),
            NodeValue::Float(value) => Value::from(*value),
            NodeValue::Text(text) => Value::String(text.clone()),
            NodeValue::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            NodeValue::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for entry in entries {
                    map.insert(entry.key.clone(), entry.value.to_json());
                }
                Value::Object(map)
            }
        }
    }

    /// The node that a JSON pointer names; the empty pointer is the node itself.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<Located<'_>> {
        let mut here = Located { node: self, key_span: None, used_at: self.used_at };
        for part in pointer.split('/').skip(1) {
            let (node, key_span) = match &here.node.value {
                NodeValue::Map(_) => {
                    let key = part.replace("~1", "/").replace("~0", "~");
                    let entry = here.node.entry(&key)?;
                    (&entry.value, Some(entry.key_span))
                }
                NodeValue::List(items) => (items.get(part.parse::<usize>().ok()?)?, None),
                _ => return None,
            };
            here = Located { node, key_span, used_at: here.used_at.or(node.used_at) };
        }
        Some(here)
    }

    /// JSON pointer to the innermost node whose key or value holds the span. What aliases stand
    /// for is written elsewhere, and not looked into.
    #[must_use]
    pub fn pointer_at(&self, span: Span) -> String {
        let mut pointer = String::new();
        let mut here = self;
        loop {
            let next = match &here.value {
                NodeValue::Map(entries) => entries
                    .iter()
                    .find(|entry| entry.holds(span))
                    .map(|entry| (escaped(&entry.key), &entry.value)),
                NodeValue::List(items) => items
                    .iter()
                    .enumerate()
                    .find(|(_, item)| item.holds(span))
                    .map(|(index, item)| (Cow::Owned(index.to_string()), item)),
                _ => None,
            };
            let Some((part, node)) = next else { return pointer };
            pointer.push('/');
            pointer.push_str(&part);
            here = node;
        }
    }

    /// Where the document has it: the alias that stands for it, or its own span.
    #[must_use]
    pub fn place(&self) -> Span {
        self.used_at.unwrap_or(self.span)
    }

    fn holds(&self, span: Span) -> bool {
        self.place().contains(span)
    }

    /// Takes out the values that `removed` names, with their keys, and gives the keys that `renamed`
    /// names other names; places stay. Each is a JSON pointer into the tree as it is before. One
    /// that is not there is no error.
    pub fn mend(&mut self, removed: &BTreeSet<String>, renamed: &BTreeMap<String, String>) {
        self.mend_at(&mut String::new(), removed, renamed);
    }

    fn mend_at(
        &mut self,
        pointer: &mut String,
        removed: &BTreeSet<String>,
        renamed: &BTreeMap<String, String>,
    ) {
        let length = pointer.len();
        let mut stays = |part: &str, value: &mut Self| {
            pointer.truncate(length);
            pointer.push('/');
            pointer.push_str(part);
            let stays = !removed.contains(pointer.as_str());
            if stays {
                value.mend_at(pointer, removed, renamed);
                pointer.truncate(length + 1 + part.len());
            }
            (stays, renamed.get(pointer.as_str()))
        };
        match &mut self.value {
            NodeValue::Map(entries) => entries.retain_mut(|entry| {
                let (stays, name) = stays(&escaped(&entry.key), &mut entry.value);
                if let Some(name) = name {
                    entry.key.clone_from(name);
                }
                stays
            }),
            NodeValue::List(items) => {
                let mut index = 0;
                items.retain_mut(|item| {
                    index += 1;
                    stays(&(index - 1).to_string(), item).0
                });
            }
            _ => {}
        }
        pointer.truncate(length);
    }

    /// The entry with this key, when the node is a mapping that has it.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            NodeValue::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value under this key, when the node is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The text, when the node is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Entry {
    /// Whether the span lies between the beginning of the key and the end of the value.
    fn holds(&self, span: Span) -> bool {
        match self.value.used_at {
            Some(alias) => alias.contains(span),
            None => Span { start: self.key_span.start, end: self.value.span.end }.contains(span),
        }
    }
}

/// A key as part of a JSON pointer.
#[must_use]
pub fn escaped(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) {
        return Cow::Owned(key.replace('~', "~0").replace('/', "~1"));
    }
    Cow::Borrowed(key)
}
