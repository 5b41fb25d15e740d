//! What is wrong with the keys of a mapping.

use serde_json::{Map, Value};

use super::{
    check::{Spot, Walk, pointer_to},
    leaf::{matches_pattern, short},
    suggest::nearest,
    words::{Draft, listed},
};
use crate::manifest::{
    code::Code,
    yaml::{Entry, NodeValue},
};

/// Most fields that a message lists.
const LISTED_MAX: usize = 16;

/// Looks at the keys of a mapping, and into their values.
pub(super) fn check<'a>(walk: &mut Walk<'a>, keywords: &'a Map<String, Value>, spot: &Spot<'a>) {
    let NodeValue::Map(entries) = &spot.node.value else { return };
    let mut meant: Vec<String> = Vec::new();
    for entry in entries {
        let inner = Spot {
            node: &entry.value,
            pointer: pointer_to(spot, &entry.key),
            key: Some((&entry.key, entry.key_span)),
            used_at: spot.used_at.or(entry.value.used_at),
        };
        let property = keywords.get("properties").and_then(|properties| properties.get(&entry.key));
        match (property, keywords.get("additionalProperties")) {
            (Some(schema), _) => walk.value(schema, &inner),
            (None, Some(Value::Bool(false))) => {
                let near = unknown(walk, keywords, entries, entry, spot);
                meant.extend(near);
            }
            (None, Some(schema @ Value::Object(_))) => {
                if key_form(walk, keywords, entry, spot) {
                    walk.value(schema, &inner);
                }
            }
            (None, _) => {
                key_form(walk, keywords, entry, spot);
            }
        }
    }
    missing(walk, keywords, entries, &meant, spot);
    exactly_one(walk, keywords, entries, &meant, spot);
    counts(walk, keywords, entries, &meant, spot);
}

/// A key that the schema does not have; gives the one that was meant, if it can be guessed.
fn unknown<'a>(
    walk: &mut Walk<'a>,
    keywords: &'a Map<String, Value>,
    entries: &[Entry],
    entry: &Entry,
    spot: &Spot<'a>,
) -> Option<String> {
    let names: Vec<&str> = properties(keywords).collect();
    let free = names.iter().copied().filter(|name| entries.iter().all(|entry| entry.key != *name));
    let near = nearest(&entry.key, free).map(str::to_owned);
    let elsewhere = walk.shape_known(&entry.key, &spot.pointer);
    let help = match (&near, elsewhere) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(path)) => format!("`{}` belongs elsewhere: `{path}`", entry.key),
        (None, None) if names.len() <= LISTED_MAX => format!("the fields are {}", listed(&names, "and")),
        (None, None) => "`tintal schema job` lists the fields".to_owned(),
    };
    let what = match spot.key {
        Some((key, _)) => format!("`{key}` has no field `{}`", short(&entry.key)),
        None => format!("there is no field `{}`", short(&entry.key)),
    };
    let place = match spot.used_at {
        Some(alias) => walk.at(alias),
        None => walk.at(entry.key_span),
    };
    let draft =
        Draft::new(Code::UnknownField, what, "no such field", help).pointer(pointer_to(spot, &entry.key));
    walk.push_at(spot, place, draft);
    near
}

fn properties(keywords: &Map<String, Value>) -> impl Iterator<Item = &str> {
    keywords
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|map| map.keys().map(String::as_str))
}

/// Whether a key has the form that keys of the mapping have.
fn key_form<'a>(walk: &mut Walk<'a>, keywords: &Map<String, Value>, entry: &Entry, spot: &Spot<'a>) -> bool {
    let Some(pattern) =
        keywords.get("propertyNames").and_then(|names| names.get("pattern")).and_then(Value::as_str)
    else {
        return true;
    };
    if matches_pattern(pattern, &entry.key) {
        return true;
    }
    let what = spot.key.map_or("this mapping", |(key, _)| key);
    let help = match what {
        "labels" => {
            "letters, digits, `.`, `_`, `/` and `-`, beginning and ending with a letter or digit, at most 63"
                .to_owned()
        }
        "headers" => "a header's name has no blanks and no `:`".to_owned(),
        _ => "letters, digits and `_`, not beginning with a digit".to_owned(),
    };
    let message = format!("`{}` cannot be a key of `{what}`", short(&entry.key));
    let draft =
        Draft::new(Code::Form, message, "not of the right form", help).pointer(pointer_to(spot, &entry.key));
    let place = walk.at(spot.used_at.unwrap_or(entry.key_span));
    walk.push_at(spot, place, draft);
    false
}

fn missing<'a>(
    walk: &mut Walk<'a>,
    keywords: &Map<String, Value>,
    entries: &[Entry],
    meant: &[String],
    spot: &Spot<'a>,
) {
    let required = keywords.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        let given = entries.iter().any(|entry| entry.key == name) || meant.iter().any(|meant| meant == name);
        if given {
            continue;
        }
        let (message, help) = match spot.key {
            Some((key, _)) => (format!("`{key}` lacks `{name}`"), format!("add `{name}: …` under it")),
            None if name == "run" => (
                "the job has no `run`: nothing says what it executes".to_owned(),
                "add `run:` with `command`, `shell`, `http` or `steps`".to_owned(),
            ),
            None => (format!("the document lacks `{name}`"), format!("add `{name}: …`")),
        };
        let draft = Draft::new(Code::MissingField, message, format!("no `{name}` in here"), help);
        walk.push(spot, draft);
    }
}

/// `oneOf` of required keys: exactly one of them is given.
fn exactly_one<'a>(
    walk: &mut Walk<'a>,
    keywords: &Map<String, Value>,
    entries: &[Entry],
    meant: &[String],
    spot: &Spot<'a>,
) {
    let Some(Value::Array(branches)) = keywords.get("oneOf") else { return };
    let names: Vec<&str> =
        branches.iter().filter_map(|branch| branch.get("required")?.as_array()?.first()?.as_str()).collect();
    let given: Vec<&Entry> = entries.iter().filter(|entry| names.contains(&entry.key.as_str())).collect();
    let subject = spot.key.map_or("the document".to_owned(), |(key, _)| format!("`{key}`"));
    match given.as_slice() {
        [_] => {}
        [] if meant.iter().any(|meant| names.contains(&meant.as_str())) => {}
        [] => {
            let message =
                format!("{subject} takes exactly one of {}, and there is none", listed(&names, "and"));
            let help = format!("add one of {}", listed(&names, "or"));
            walk.push(spot, Draft::new(Code::ExactlyOne, message, "none of them is given", help));
        }
        [first, others @ ..] => {
            let keys: Vec<&str> = given.iter().map(|entry| entry.key.as_str()).collect();
            let message = format!(
                "{subject} takes exactly one of {}, not {}",
                listed(&names, "and"),
                listed(&keys, "and")
            );
            let mut draft = Draft::new(
                Code::ExactlyOne,
                message,
                "and this one",
                "keep one of them; for several actions in a row use `steps`".to_owned(),
            );
            if !names.contains(&"shell") {
                "keep one of them".clone_into(&mut draft.help);
            }
            draft.related.push((first.key_span, "this one".to_owned()));
            let place = others.first().map_or(first.key_span, |entry| entry.key_span);
            let place = walk.at(spot.used_at.unwrap_or(place));
            walk.push_at(spot, place, draft);
        }
    }
}

fn counts<'a>(
    walk: &mut Walk<'a>,
    keywords: &Map<String, Value>,
    entries: &[Entry],
    meant: &[String],
    spot: &Spot<'a>,
) {
    let limit = |keyword: &str| keywords.get(keyword).and_then(Value::as_u64);
    let count = entries.len() as u64;
    let subject = spot.key.map_or("the document".to_owned(), |(key, _)| format!("`{key}`"));
    if limit("minProperties").is_some_and(|least| count < least) && meant.is_empty() {
        let names: Vec<&str> = properties(keywords).collect();
        let message = format!("{subject} is empty");
        let help = format!("name one of {}", listed(&names, "or"));
        walk.push(spot, Draft::new(Code::ExactlyOne, message, "nothing in here", help));
    }
    if let Some(most) = limit("maxProperties").filter(|most| count > *most) {
        let (code, message) = match most {
            1 => (Code::ExactlyOne, format!("{subject} takes one key, not {count}")),
            _ => (Code::OutOfRange, format!("{subject} has {count} keys; at most {most} may stand here")),
        };
        walk.push(spot, Draft::new(code, message, "too many", format!("keep {most} of them")));
    }
}
