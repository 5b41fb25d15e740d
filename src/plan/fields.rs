//! The fields in which two specs differ, in the words of a manifest.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    load::effective::stated,
    manifest::{spec::Spec, yaml::node::escaped},
};

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// JSON pointer into the effective manifest, as `tintal explain` shows it.
    pub pointer: String,
    /// The value before; absent when there was none.
    pub before: Option<Value>,
    /// The value after; absent when there is none.
    pub after: Option<Value>,
}

/// Lists the fields that differ, in the order of a manifest.
#[must_use]
pub fn fields(before: &Spec, after: &Spec) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let [before, after] = [before, after].map(|spec| Value::Object(stated(spec)));
    compare("", Some(&before), Some(&after), &mut changes);
    changes
}

fn compare(pointer: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                compare(&format!("{pointer}/{}", escaped(key)), old.get(key), new.get(key), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{pointer}/{index}"), Some(old), Some(new), changes);
            }
        }
        (before, after) => {
            changes.push(FieldChange {
                pointer: pointer.to_owned(),
                before: before.cloned(),
                after: after.cloned(),
            });
        }
    }
}
