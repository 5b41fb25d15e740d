//! Values that people give a parameter by hand, read as the type that the manifest declares.
//!
//! Pure. `tintal run` and the daemon call it, so that both take the same values.

use std::collections::BTreeMap;

use serde_json::Value;
use thiserror::Error;

use super::{
    nearest::nearest,
    yaml::{Limits, compose},
};

/// Why a value cannot be given to a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParamError {
    /// The job has no such parameter.
    #[error("there is no parameter `{name}`; {}", told(known, near.as_deref()))]
    Unknown {
        /// The name as given.
        name: String,
        /// The parameters of the job.
        known: Vec<String>,
        /// The parameter that may have been meant.
        near: Option<String>,
    },
    /// The value is not of the declared type.
    #[error("the parameter `{name}` takes {wanted}, as in `{name}={example}`, not `{given}`")]
    WrongType {
        /// The parameter.
        name: String,
        /// What it takes.
        wanted: &'static str,
        /// The manifest's own value.
        example: String,
        /// The value as given.
        given: String,
    },
}

fn told(known: &[String], near: Option<&str>) -> String {
    match (known, near) {
        ([], _) => "the manifest declares none".to_owned(),
        (_, Some(near)) => format!("did you mean `{near}`?"),
        (known, None) => format!("the job has `{}`", known.join("`, `")),
    }
}

/// Reads values for the parameters of a job. `declared` has the manifest's values: theirs are the
/// types. A text is read as the declared type, as YAML reads it; a parameter that is declared as
/// `null` takes anything.
///
/// # Errors
///
/// When the job has no such parameter, or a value is of another type: the first one by name.
pub fn read(
    declared: &BTreeMap<String, Value>,
    given: BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>, ParamError> {
    given.into_iter().map(|(name, value)| one(declared, name, value)).collect()
}

fn one(
    declared: &BTreeMap<String, Value>,
    name: String,
    given: Value,
) -> Result<(String, Value), ParamError> {
    let Some(model) = declared.get(&name) else {
        let known: Vec<String> = declared.keys().cloned().collect();
        let near = nearest(&name, known.iter().map(String::as_str)).map(str::to_owned);
        return Err(ParamError::Unknown { name, known, near });
    };
    let shown_given = shown(&given);
    let read = match given {
        Value::String(text) if !model.is_string() => yaml(&text),
        given => Some(given),
    };
    match read {
        Some(value) if model.is_null() || kind(&value) == kind(model) => Ok((name, value)),
        _ => Err(ParamError::WrongType {
            name,
            wanted: kind(model),
            example: shown(model),
            given: shown_given,
        }),
    }
}

/// What YAML makes of a text; none when it is no YAML.
fn yaml(text: &str) -> Option<Value> {
    let composed = compose(text, &Limits::default());
    if !composed.faults.is_empty() || composed.documents.len() > 1 {
        return None;
    }
    Some(composed.documents.first().map_or(Value::Null, |document| document.root.to_json()))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The value that a parameter gets of a text, as JSON; else the error.
    #[track_caller]
    fn check(name: &str, given: impl Into<Value>, expected: &str) {
        let declared = json!({
            "day": "monday", "flag": true, "limit": 10, "list": ["a", "b"], "map": {"a": 1}, "any": null,
        });
        let declared = serde_json::from_value(declared).unwrap();
        let read = read(&declared, BTreeMap::from([(name.to_owned(), given.into())]));
        let shown = match read {
            Ok(values) => values[name].to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{name}");
    }

    #[test]
    #[rustfmt::skip]
    fn a_value_has_the_type_that_the_manifest_declares() {
        check("day",   "01",       "\"01\"");
        check("day",   "true",     "\"true\"");
        check("flag",  "false",    "false");
        check("limit", "5",        "5");
        check("limit", "0.5",      "0.5");
        check("list",  "[x, y]",   "[\"x\",\"y\"]");
        check("list",  "[1, \"y\"]", "[1,\"y\"]");
        check("map",   "{b: 2}",   "{\"b\":2}");
        check("any",   "5",        "5");
        check("any",   "x y",      "\"x y\"");
        // A program may give the value itself.
        check("limit", 5,          "5");
        check("list",  json!([1]), "[1]");
    }

    #[test]
    #[rustfmt::skip]
    fn another_type_is_refused_with_an_example() {
        check("flag",  "no",     "the parameter `flag` takes `true` or `false`, as in `flag=true`, not `no`");
        check("limit", "abc",    "the parameter `limit` takes a number, as in `limit=10`, not `abc`");
        check("limit", "",       "the parameter `limit` takes a number, as in `limit=10`, not ``");
        check("list",  "x",      "the parameter `list` takes a list, as in `list=[\"a\",\"b\"]`, not `x`");
        check("list",  "[x",     "the parameter `list` takes a list, as in `list=[\"a\",\"b\"]`, not `[x`");
        check("map",   "[x]",    "the parameter `map` takes a mapping, as in `map={\"a\":1}`, not `[x]`");
        check("day",   5,        "the parameter `day` takes text, as in `day=monday`, not `5`");
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_the_known_ones() {
        check("dya", "x", "there is no parameter `dya`; did you mean `day`?");
        check(
            "nothing",
            "x",
            "there is no parameter `nothing`; the job has `any`, `day`, `flag`, `limit`, `list`, `map`",
        );
        let none = read(&BTreeMap::new(), BTreeMap::from([("a".to_owned(), Value::Null)]));
        assert_eq!(none.unwrap_err().to_string(), "there is no parameter `a`; the manifest declares none");
    }
}
