//! Fills in the templates of a JSON value.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::manifest::template::{self, Kind, Values};

/// A text with its templates filled in.
///
/// # Errors
///
/// When a template cannot be filled in: what is wrong with it.
pub fn text(text: &str, values: &Values) -> Result<String, String> {
    template::render(text, Kind::Plain, values).map(Cow::into_owned)
}

/// A value with the templates of its texts and keys filled in.
///
/// # Errors
///
/// As [`text`]; and when two keys of a mapping become the same.
pub fn value(value: &Value, values: &Values) -> Result<Value, String> {
    each(value, &|word: &str| text(word, values))
}

/// A value with each of its texts and keys filled in.
pub(super) fn each(value: &Value, fill: &impl Fn(&str) -> Result<String, String>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(fill(text)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| each(item, fill)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let mut filled = Map::new();
            for (key, value) in map {
                let key = fill(key)?;
                if filled.contains_key(&key) {
                    return Err(format!("two keys of the body are `{key}` once they are filled in"));
                }
                filled.insert(key, each(value, fill)?);
            }
            Value::Object(filled)
        }
        other => other.clone(),
    })
}
