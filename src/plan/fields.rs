//! The fields in which two specs differ.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::manifest::spec::Spec;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// JSON pointer into the spec.
    pub pointer: String,
    /// The value before; absent when there was none.
    pub before: Option<Value>,
    /// The value after; absent when there is none.
    pub after: Option<Value>,
}

/// Lists the fields that differ, in the order of the spec.
#[must_use]
pub fn fields(before: &Spec, after: &Spec) -> Vec<FieldChange> {
    let json = |spec: &Spec| match serde_json::to_value(spec) {
        Ok(value) => value,
        Err(error) => unreachable!("a spec is plain data with text keys: {error}"),
    };
    let mut changes = Vec::new();
    compare("", Some(&json(before)), Some(&json(after)), &mut changes);
    changes
}

fn compare(pointer: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let key_pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                compare(&key_pointer, old.get(key), new.get(key), changes);
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
