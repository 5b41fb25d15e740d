//! What a field of another tool, or one in the wrong place, may have meant.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::Walk;

/// What other tools call a field, and what it is called here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("amqp", "rabbitmq"),
    ("attempts", "max_attempts"),
    ("cloudtasks", "cloud-tasks"),
    ("cmd", "command"),
    ("cronjob", "schedule"),
    ("depends_on", "needs"),
    ("environment", "env"),
    ("interval", "every"),
    ("jetstream", "nats"),
    ("lavinmq", "rabbitmq"),
    ("redis", "redis-streams"),
    ("retries", "retry"),
    ("script", "shell"),
    ("tz", "timezone"),
    ("when", "schedule"),
    ("workdir", "cwd"),
    ("working_directory", "cwd"),
];

/// The field that other tools call by this name.
pub(super) fn word_elsewhere(text: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(word, _)| *word == text).map(|(_, field)| *field)
}

/// Where each field of a schema stands, for fields that people put in the wrong place.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<String, Vec<String>>);

impl Known {
    /// The fields of a schema, down to three levels.
    pub(super) fn of(schema: &Value) -> Self {
        let mut known = Self::default();
        known.add(schema, schema, "", 3);
        known
    }

    fn add(&mut self, root: &Value, schema: &Value, path: &str, levels: u8) {
        let schema = resolve(root, schema);
        let branches = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        for branch in branches.take(1) {
            self.add(root, branch, path, levels);
        }
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        for (name, inner) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.0.entry(name.clone()).or_default().push(path.clone());
            if levels > 1 {
                self.add(root, inner, &path, levels - 1);
            }
        }
    }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| root.pointer(reference.strip_prefix('#')?))
        .unwrap_or(schema)
}

impl Walk<'_> {
    /// The one other place where a field stands, as a path with dots.
    pub(super) fn shape_known(&self, key: &str, here: &str) -> Option<String> {
        match self.shape.known().0.get(key)?.as_slice() {
            [only]
                if only.rsplit_once('.').map_or("", |(parent, _)| parent) != here.trim_start_matches('/') =>
            {
                Some(only.clone())
            }
            [first, ..] if here.is_empty() => Some(first.clone()),
            _ => None,
        }
    }
}
