//! A code: its page as a document, and what to say of one that does not exist.

use serde_json::{Value, json};

use crate::{
    cli::format,
    manifest::{code::Code, pages},
};

/// The page of a code.
pub(super) fn document(code: Code) -> Value {
    json!({
        "v": 1,
        "code": code.as_str(),
        "severity": code.severity().as_str(),
        "title": code.title(),
        "text": pages::page(code).meaning,
        "url": format::url(code),
    })
}

/// What begins every code.
const CODE: &str = "TIN";

/// Whether a text is meant as a code: `TIN` and nothing but digits.
fn looks_like_code(subject: &str) -> bool {
    let start = subject.get(..CODE.len()).filter(|start| start.eq_ignore_ascii_case(CODE));
    let rest = start.and_then(|_| subject.get(CODE.len()..)).unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
}

/// That there is no such code, and which is the nearest; none when the text is not meant as a code.
pub(super) fn missing(subject: &str) -> Option<String> {
    if !looks_like_code(subject) {
        return None;
    }
    let number = |text: &str| text.get(CODE.len()..).and_then(|digits| digits.parse::<u32>().ok());
    let wanted = number(subject).unwrap_or(u32::MAX);
    let nearest = Code::ALL
        .iter()
        .min_by_key(|code| number(code.as_str()).map_or(u32::MAX, |number| number.abs_diff(wanted)));
    let hint = nearest.map(|code| format!("; the nearest is `{code}`: {}", code.title())).unwrap_or_default();
    Some(format!("there is no code `{subject}`{hint}"))
}
