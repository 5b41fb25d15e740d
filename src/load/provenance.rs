//! Where each value of a job comes from.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::Value;

use super::loader::Loader;
use crate::manifest::{
    file::{Content, ManifestFile},
    parse::parse,
    problem::SourceText,
    yaml::{Located, Node, NodeValue, node::escaped},
};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provenance {
    /// A line of a file: the manifest's own, or one of defaults.
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// The file's name.
    FileName,
    /// The rest of the manifest: the frequency follows from the schedule.
    Derived,
    /// The settings: `queue.backend` and `queue.name`.
    Settings,
    /// Nobody said otherwise.
    BuiltIn,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { path, line } => write!(f, "{path}:{line}"),
            Self::FileName => f.write_str("the file's name"),
            Self::Derived => f.write_str("derived"),
            Self::Settings => f.write_str("the settings"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

impl Loader {
    /// Where each value of a job's effective manifest comes from, by JSON pointer. `layers` are
    /// the files of defaults above the job's, nearest first.
    #[must_use]
    pub fn provenance(
        &self,
        effective: &Value,
        file: &ManifestFile,
        document: usize,
        layers: &[Arc<ManifestFile>],
        prefix: &str,
    ) -> BTreeMap<String, Provenance> {
        let Some((source, node)) = self.node(file, document, prefix) else { return BTreeMap::new() };
        let above: Vec<(Arc<SourceText>, Node)> =
            layers.iter().filter_map(|layer| self.node(layer, 0, prefix)).collect();
        let mut out = BTreeMap::new();
        walk(effective, "", &mut |pointer| {
            let inherited = as_default(pointer);
            let found = find(&source, &node, &[pointer.to_owned(), as_single(pointer), as_list(pointer)])
                .or_else(|| {
                    above
                        .iter()
                        .find_map(|(source, node)| find(source, node, std::slice::from_ref(&inherited)))
                });
            let origin = match found {
                Some(origin) => origin,
                None => unsaid(pointer),
            };
            out.insert(pointer.to_owned(), origin);
        });
        out
    }

    fn node(&self, file: &ManifestFile, document: usize, prefix: &str) -> Option<(Arc<SourceText>, Node)> {
        let Content::Text(text) = &file.content else { return None };
        let source = Arc::new(SourceText::new(format!("{prefix}{}", file.path), text.as_ref()));
        let (parsed, _) = parse(&source, self.shapes());
        let node = parsed.into_iter().find(|parsed| parsed.index == document)?.node;
        Some((source, node))
    }
}

/// Where a value comes from that no file gives.
fn unsaid(pointer: &str) -> Provenance {
    match pointer {
        "/name" => Provenance::FileName,
        "/characteristics/frequency" | "/characteristics/complexity" => Provenance::Derived,
        "/queue/backend" | "/queue/name" => Provenance::Settings,
        _ => Provenance::BuiltIn,
    }
}

/// Calls `look` with the pointer of each leaf; a list counts as one.
fn walk(value: &Value, pointer: &str, look: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                walk(value, &format!("{pointer}/{}", escaped(key)), look);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{pointer}/{index}"), look);
            }
        }
        _ => look(pointer),
    }
}

fn find(source: &SourceText, node: &Node, pointers: &[String]) -> Option<Provenance> {
    let located = pointers.iter().find_map(|pointer| node.at(pointer))?;
    if matches!(located.node.value, NodeValue::Null) {
        return None;
    }
    let Located { key_span, used_at, .. } = located;
    let span = used_at.or(key_span).unwrap_or(located.node.span);
    let line = source.line(span.start as usize);
    Some(Provenance::Line { path: source.path.clone(), line })
}

/// A list of one entry is shown as one mapping.
fn as_list(pointer: &str) -> String {
    match pointer.strip_prefix("/schedule/") {
        Some(rest) => format!("/schedule/0/{rest}"),
        None => pointer.to_owned(),
    }
}

fn as_single(pointer: &str) -> String {
    pointer
        .strip_prefix("/schedule/0/")
        .map_or_else(|| pointer.to_owned(), |rest| format!("/schedule/{rest}"))
}

/// Where defaults have a value: `/schedule/timezone` for `/schedule/0/timezone`, as they hold for every
/// entry.
pub(super) fn as_default(pointer: &str) -> String {
    match pointer.strip_prefix("/schedule/").and_then(|rest| rest.split_once('/')) {
        Some((index, key)) if index.bytes().all(|byte| byte.is_ascii_digit()) => format!("/schedule/{key}"),
        _ => pointer.to_owned(),
    }
}
