//! The name of a job.

use std::{borrow::Borrow, cmp::Ordering, fmt, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest job name, in bytes: the limit of a DNS label, so that a name fits wherever it is
/// carried (Prefect tags, queue names, metric labels).
pub const NAME_LEN_MAX: usize = 63;

/// The name of a job: `[a-z0-9]([a-z0-9._-]*[a-z0-9])?`, at most 63 characters, unique in the
/// whole tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobName(Arc<str>);

impl Ord for JobName {
    /// The order of the texts. Most names that are compared and equal are copies of one, which is told
    /// without a look at the text.
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for JobName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A text that is not a job name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a job name: lower-case letters, digits, `.`, `_` and `-`, at most 63, beginning and ending with a letter or digit"
)]
pub struct NotAName(pub String);

/// A name that a text which is none may stand for; none when too little is left of it. Runs of what
/// a name does not hold become one `-`, and what is past [`NAME_LEN_MAX`] is left out.
#[must_use]
pub fn suggested(text: &str) -> Option<JobName> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let lower = text.to_lowercase();
    let mut name = String::new();
    for part in lower.split_inclusive(|c| !is_plain(c)) {
        let (word, mark) = match part.char_indices().next_back() {
            Some((at, mark)) if !is_plain(mark) => (&part[..at], Some(mark)),
            _ => (part, None),
        };
        name.push_str(word);
        match mark {
            Some(mark @ ('.' | '_' | '-')) if name.ends_with(is_plain) => name.push(mark),
            Some(_) if name.ends_with(is_plain) => name.push('-'),
            Some(_) if !name.is_empty() => {
                name.pop();
                name.push('-');
            }
            Some(_) | None => {}
        }
    }
    // All of it is ASCII by now.
    name.truncate(NAME_LEN_MAX);
    JobName::parse(name.trim_end_matches(|c| !is_plain(c))).ok()
}

impl JobName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// When the text breaks the rule of [`JobName`].
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let inner = |byte: u8| edge(byte) || matches!(byte, b'.' | b'_' | b'-');
        let bytes = text.as_bytes();
        let well_formed = matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if edge(first) && edge(last))
            && bytes.len() <= NAME_LEN_MAX
            && bytes.iter().all(|&byte| inner(byte));
        if well_formed { Ok(Self(text.into())) } else { Err(NotAName(text.to_owned())) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for JobName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JobName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": NAME_LEN_MAX,
            "pattern": "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$"
        })
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for JobName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for JobName {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for JobName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        Self::parse(text)
    }
}

impl From<JobName> for String {
    fn from(name: JobName) -> Self {
        name.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_table() {
        for good in ["a", "0", "nightly-report", "a.b_c-d", &"x".repeat(63)] {
            assert!(JobName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a b", "ä", ".a", &"x".repeat(64)] {
            assert!(JobName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn suggestions_table() {
        let check = |text: &str, expected: &str| {
            let name = suggested(text);
            assert_eq!(name.as_ref().map_or("-", JobName::as_str), expected, "{text}");
        };
        check("My Report",    "my-report");
        check("a/b/../c",     "a-b-c");
        check("a-b-..-c",     "a-b-c");
        check("a.b_c-d",      "a.b_c-d");
        check("a__b",         "a-b");
        check("_a.",          "a");
        check("Übung 7",      "bung-7");
        check("ä",            "-");
        check("",             "-");
        check(&"x".repeat(64), &"x".repeat(63));
        check(&format!("{} y", "x".repeat(62)), &"x".repeat(62));
    }
}
