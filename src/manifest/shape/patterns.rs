//! The patterns of a schema, compiled once, and only when one of them is needed for a problem.

use std::{collections::BTreeMap, sync::OnceLock};

use jsonschema::Validator;
use serde_json::{Value, json};

/// The patterns of one schema.
#[derive(Debug, Default)]
pub(super) struct Patterns(OnceLock<BTreeMap<String, Validator>>);

impl Patterns {
    /// Whether a text matches a pattern that stands in the schema.
    pub(super) fn matches(&self, schema: &Value, pattern: &str, text: &str) -> bool {
        let compiled = self.0.get_or_init(|| {
            let mut compiled = BTreeMap::new();
            compile(schema, &mut compiled);
            compiled
        });
        compiled.get(pattern).is_some_and(|validator| validator.is_valid(&Value::from(text)))
    }
}

fn compile(schema: &Value, compiled: &mut BTreeMap<String, Validator>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(pattern)) = map.get("pattern")
                && let Ok(validator) = jsonschema::draft202012::new(&json!({"pattern": pattern}))
            {
                compiled.insert(pattern.clone(), validator);
            }
            map.values().for_each(|inner| compile(inner, compiled));
        }
        Value::Array(items) => items.iter().for_each(|inner| compile(inner, compiled)),
        _ => {}
    }
}
