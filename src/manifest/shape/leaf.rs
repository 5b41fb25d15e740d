//! What is wrong with a single value.

use serde_json::{Map, Value};

use super::{
    check::{Content, Shape, Spot, Walk},
    words::{Draft, SHOWN_MAX, example, expected, found, keyword, kind, listed, short, written},
};
use crate::manifest::{
    code::Code,
    exposed::means_one_secret,
    name::suggested,
    nearest::nearest,
    text::{TextError, parse_duration},
    yaml::{Node, NodeValue},
};

/// The way out where a secret may be written.
pub(super) fn reference(spot: &Spot<'_>) -> String {
    let under = match spot.key {
        Some((key, _)) if means_one_secret(key) => format!("{key}: {{env: VARIABLE}}"),
        _ => "secrets: {NAME: {env: VARIABLE}}".to_owned(),
    };
    format!("name a variable or a file that holds the value: `{under}`")
}

/// A value of another type than the schema asks for; `text` is that of the file.
pub(super) fn wrong_type(
    keywords: &Map<String, Value>,
    type_name: &str,
    spot: &Spot<'_>,
    text: &str,
) -> Draft {
    let subject = spot.subject();
    if spot.content == Content::Secret {
        let found = kind(spot.node);
        let message = format!("{subject} takes {}, not {found}", expected(type_name));
        return Draft::new(Code::WrongType, message, format!("this is {found}"), reference(spot));
    }
    let message = format!("{subject} takes {}, not {}", expected(type_name), found(spot.node, text));
    let help = type_help(keywords, type_name, spot, text);
    Draft::new(Code::WrongType, message, format!("this is {}", found(spot.node, text)), help)
}

fn type_help(keywords: &Map<String, Value>, type_name: &str, spot: &Spot<'_>, text: &str) -> String {
    let key = spot.key.map_or("value", |(key, _)| key);
    let raw = written(spot.node, text);
    match (&spot.node.value, type_name) {
        (NodeValue::List(_), "object") if spot.key.is_none() => {
            "a document holds one job; several stand one after the other with `---` between them".to_owned()
        }
        (_, "object") if whole_part(key, spot.node).is_some() => {
            whole_part(key, spot.node).map(|part| format!("write `{part}`")).unwrap_or_default()
        }
        (NodeValue::List(_), "object") if key == "run" => "write `run: {command: [...]}`".to_owned(),
        (NodeValue::Null, _) => match example(keywords) {
            Some(example) => format!("give it a value, as in `{key}: {example}`, or leave the key out"),
            None => "give it a value, or leave the key out".to_owned(),
        },
        (NodeValue::Int(number), "string") if is_duration(keywords) => {
            format!("a duration has a unit, as in `{number}s` or `{number}m`")
        }
        (_, "string") if raw.is_some() => {
            let raw = raw.unwrap_or_default();
            format!("put it in quotes: `\"{raw}\"`")
        }
        (NodeValue::Text(text), "boolean") => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => "write `true`".to_owned(),
            "no" | "off" | "n" | "false" => "write `false`".to_owned(),
            _ => "write `true` or `false`".to_owned(),
        },
        (NodeValue::Text(text), "integer" | "number") if text.parse::<f64>().is_ok() => {
            format!("take the quotes away: `{text}`")
        }
        (NodeValue::Text(text), "array") if text.len() <= SHOWN_MAX && !text.contains('\n') => {
            match example(keywords) {
                Some(example) if text.contains(' ') => format!("write a list, as in `{example}`"),
                _ => format!("write a list: `[{text}]`"),
            }
        }
        (_, "array") => "write a list: one line for each item, beginning with `- `".to_owned(),
        (_, "object") => "write a mapping: `key: value` lines, indented".to_owned(),
        (NodeValue::Float(_), "integer") => "write a whole number".to_owned(),
        _ => match example(keywords) {
            Some(example) => format!("write {}, as in `{example}`", expected(type_name)),
            None => format!("write {}", expected(type_name)),
        },
    }
}

/// A value that stands where the part around it should, as part of it: `retry: {max_attempts: 3}` for
/// `retry: 3`.
pub(super) fn whole_part(key: &str, node: &Node) -> Option<String> {
    let text = match &node.value {
        NodeValue::Int(count) if key == "retry" && *count > 0 => {
            return Some(format!("retry: {{max_attempts: {count}}}"));
        }
        NodeValue::Text(text) => text,
        _ => return None,
    };
    let shown = (text.len() <= SHOWN_MAX && !text.contains(['\n', '"', '\\'])).then_some(text);
    let field = match key {
        "run" => "shell",
        "schedule" if parse_duration(text).is_ok() => "every",
        "schedule" => "cron",
        _ => return None,
    };
    Some(match shown {
        Some(text) => format!("{key}: {{{field}: \"{text}\"}}"),
        None => format!("{key}: {{{field}: ...}}"),
    })
}

fn is_duration(keywords: &Map<String, Value>) -> bool {
    keyword(keywords, "pattern")
        .and_then(Value::as_str)
        .is_some_and(|pattern| pattern.contains("(ms|s|m|h|d|w)"))
}

/// What is wrong with a scalar of the right type.
pub(super) fn check(walk: &Walk<'_>, keywords: &Map<String, Value>, spot: &Spot<'_>) -> Option<Draft> {
    if let Some(Value::Array(allowed)) = keyword(keywords, "enum") {
        return not_allowed(allowed, spot);
    }
    match &spot.node.value {
        NodeValue::Text(text) => text_fault(walk.shape, keywords, text, spot),
        NodeValue::Int(_) | NodeValue::UInt(_) | NodeValue::Float(_) => range_fault(walk, keywords, spot),
        _ => None,
    }
}

fn not_allowed(allowed: &[Value], spot: &Spot<'_>) -> Option<Draft> {
    let json = spot.node.to_json();
    if allowed.contains(&json) {
        return None;
    }
    let words: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
    let shown = short(spot.node.as_text().unwrap_or_default());
    let all = format!("one of {}", listed(&words, "or"));
    let all = if let [only] = words.as_slice() { format!("`{only}` only") } else { all };
    let message = format!("{} is {all}, not `{shown}`", spot.subject());
    let help = match nearest(&shown, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write {}", listed(&words, "or")),
    };
    Some(Draft::new(Code::NotAllowed, message, "not one of them", help))
}

fn text_fault(shape: &Shape, keywords: &Map<String, Value>, text: &str, spot: &Spot<'_>) -> Option<Draft> {
    let limit = |name: &str| keyword(keywords, name).and_then(Value::as_u64);
    let length = text.chars().count() as u64;
    if text.is_empty() && limit("minLength").is_some_and(|least| least > 0) {
        let help = match example(keywords) {
            Some(example) => format!("write something, as in `{example}`, or leave the key out"),
            None => "write something, or leave the key out".to_owned(),
        };
        return Some(Draft::new(Code::OutOfRange, format!("{} is empty", spot.subject()), "empty", help));
    }
    if let Some(most) = limit("maxLength").filter(|most| length > *most) {
        let message = format!("{} has {length} characters; at most {most} may stand here", spot.subject());
        let is_name = keyword(keywords, "pattern").and_then(Value::as_str) == Some(NAME_PATTERN);
        let help = match suggested(text).filter(|_| is_name) {
            Some(name) => format!("shorten it to {most}, as in `{name}`"),
            None => format!("shorten it to {most}"),
        };
        return Some(Draft::new(Code::OutOfRange, message, "too long", help));
    }
    if let Some(pattern) = keyword(keywords, "pattern").and_then(Value::as_str)
        && !shape.matches(pattern, text)
    {
        if spot.content == Content::Secret {
            let message = format!("{} is not the name of a variable", spot.subject());
            return Some(Draft::new(Code::Form, message, "not of this form", reference(spot)));
        }
        return Some(form(keywords, pattern, text));
    }
    limit("minLength").filter(|least| length < *least).map(|least| {
        let message = format!("{} has {length} characters; at least {least} are needed", spot.subject());
        Draft::new(Code::OutOfRange, message, "too short", "write more of it")
    })
}

/// A text that does not have the form of its field.
fn form(keywords: &Map<String, Value>, pattern: &str, text: &str) -> Draft {
    let shown = short(text);
    if is_duration(keywords) && matches!(parse_duration(text), Err(TextError::TooLong(_))) {
        let message = format!("`{shown}` is longer than ten years");
        return Draft::new(Code::OutOfRange, message, "too long", "write ten years (`3660d`) or less");
    }
    let (what, help) = if is_duration(keywords) {
        let help = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("a duration has a unit, as in `{text}s` or `{text}m`")
        } else {
            "write numbers with units (`ms`, `s`, `m`, `h`, `d`, `w`), as in `30s` or `6h30m`".to_owned()
        };
        ("a duration", help)
    } else if pattern.contains("[Tt ]") {
        ("a time", "write RFC 3339 with an offset, as in `2026-12-24T18:00:00+01:00`".to_owned())
    } else if pattern == r"\S" {
        ("the name of a program", "the first item is the program, as in `[python3, report.py]`".to_owned())
    } else if pattern == NAME_PATTERN {
        ("a name of a job", name_help(text))
    } else if pattern == QUEUE_PATTERN {
        ("a name of a queue", format!("{QUEUE_HELP}, 3 to 63"))
    } else if pattern == BACKEND_PATTERN {
        ("a name of a backend", format!("{QUEUE_HELP}, at most 63"))
    } else {
        (
            "of the right form",
            format!("letters, digits and `_`, not beginning with a digit: it must match `{pattern}`"),
        )
    };
    Draft::new(Code::Form, format!("`{shown}` is not {what}"), "not of this form", help)
}

const NAME_PATTERN: &str = "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$";

/// That of a queue's name.
const QUEUE_PATTERN: &str = "^[a-z][a-z0-9-]*[a-z0-9]$";

/// That of the name of a backend.
const BACKEND_PATTERN: &str = "^[a-z]([a-z0-9-]*[a-z0-9])?$";

const QUEUE_HELP: &str = "lower-case letters, digits and `-`, beginning with a letter";

fn name_help(text: &str) -> String {
    let rule = "lower-case letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit";
    match suggested(text) {
        Some(name) => format!("{rule}: `{name}`"),
        None => rule.to_owned(),
    }
}

fn range_fault(walk: &Walk<'_>, keywords: &Map<String, Value>, spot: &Spot<'_>) -> Option<Draft> {
    let written = written(spot.node, &walk.source.text)?;
    let value = spot.node.to_json().as_f64()?;
    let bound = |name: &str| keyword(keywords, name).and_then(Value::as_f64);
    let (least, most) = (bound("minimum"), bound("maximum"));
    let below = least.is_some_and(|least| value < least);
    let above = most.is_some_and(|most| value > most);
    if !below && !above {
        return None;
    }
    let range = match (least, most) {
        (Some(least), Some(most)) => format!("from {least} to {most}"),
        (Some(least), None) => format!("{least} or more"),
        (None, Some(most)) => format!("{most} or less"),
        (None, None) => return None,
    };
    let label = if below { "too small" } else { "too large" };
    let message = format!("{} is a number {range}, not {written}", spot.subject());
    Some(Draft::new(Code::OutOfRange, message, label, format!("write a number {range}")))
}

/// A list with too few or too many items.
pub(super) fn count(keywords: &Map<String, Value>, length: usize, spot: &Spot<'_>) -> Option<Draft> {
    let limit = |name: &str| keyword(keywords, name).and_then(Value::as_u64);
    let length = length as u64;
    if limit("minItems").is_some_and(|least| length < least) {
        let help = match example(keywords) {
            Some(example) => format!("write at least one item, as in `{example}`, or leave the key out"),
            None => "write at least one item, or leave the key out".to_owned(),
        };
        return Some(Draft::new(
            Code::OutOfRange,
            format!("the list of {} is empty", spot.subject()),
            "empty",
            help,
        ));
    }
    let most = limit("maxItems").filter(|most| length > *most)?;
    let message = format!("{} has {length} items; at most {most} may stand here", spot.subject());
    Some(Draft::new(Code::OutOfRange, message, "too many", format!("keep {most} of them")))
}
