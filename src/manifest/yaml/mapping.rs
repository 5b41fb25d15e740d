//! The entries of one mapping while it is read: unique keys, and what `<<` brings in.

use std::collections::BTreeMap;

use super::{
    fault::Fault,
    node::{Entry, Node, NodeValue},
};
use crate::manifest::{code::Code, problem::Span};

/// Up to this many entries, looking at each is faster than an index. Nearly every mapping of a
/// manifest is smaller.
const LINEAR_MAX: usize = 16;

/// The key under which other mappings are merged in.
pub(super) const MERGE_KEY: &str = "<<";

/// The entries of one mapping.
#[derive(Default)]
pub(super) struct Mapping {
    pub(super) entries: Vec<Entry>,
    /// Keys of all entries, once there are more than [`LINEAR_MAX`].
    index: BTreeMap<String, Span>,
}

impl Mapping {
    /// Where this key is given already.
    pub(super) fn place_of(&self, key: &str) -> Option<Span> {
        if self.index.is_empty() {
            self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_span)
        } else {
            self.index.get(key).copied()
        }
    }

    /// Adds an entry whose key is not there yet.
    pub(super) fn push(&mut self, entry: Entry) {
        if !self.index.is_empty() {
            self.index.insert(entry.key.clone(), entry.key_span);
        } else if self.entries.len() == LINEAR_MAX {
            self.index = self.entries.iter().map(|entry| (entry.key.clone(), entry.key_span)).collect();
            self.index.insert(entry.key.clone(), entry.key_span);
        }
        self.entries.push(entry);
    }

    /// Adds what a mapping, or a list of them, has under keys that are not there yet; of a list,
    /// the earlier one wins.
    pub(super) fn merge(&mut self, from: Node, text: &str) -> Result<(), Box<Fault>> {
        let used_at = from.used_at;
        let (span, place) = (from.span, from.place());
        match from.value {
            NodeValue::Map(entries) => {
                for mut entry in entries {
                    if self.place_of(&entry.key).is_none() {
                        entry.value.used_at = used_at.or(entry.value.used_at);
                        self.push(entry);
                    }
                }
                Ok(())
            }
            NodeValue::List(items) if items.iter().all(|item| matches!(item.value, NodeValue::Map(_))) => {
                for mut item in items {
                    item.used_at = used_at.or(item.used_at);
                    self.merge(item, text)?;
                }
                Ok(())
            }
            value => Err(Box::new(
                Fault::new(Code::YamlFeature, place, "`<<` needs a mapping or a list of mappings")
                    .label(if place == span { "not a mapping" } else { "stands for something else" })
                    .help("write `<<: *name`, where `&name` marks a mapping")
                    .left_out(
                        Entry {
                            key: MERGE_KEY.to_owned(),
                            key_span: Span { end: span.start, ..span },
                            value: Node { value, span, used_at },
                        },
                        text,
                    ),
            )),
        }
    }
}
