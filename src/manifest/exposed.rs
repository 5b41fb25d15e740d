//! Values of a document that may be secrets: written out where a reference to one belongs.
//!
//! Pure. `shape` and `parse` ask it what no report may show. Better too much is hidden than a value
//! printed in the log of a pipeline (`FAILURE_MODES` F19).

use std::borrow::Cow;

use super::{
    nearest::nearest,
    problem::Span,
    userinfo::without_password,
    yaml::{Entry, Node, NodeValue},
};

/// What every spelling of the key has in it, but for slips.
const WORD: &str = "secret";

/// A key of ours that looks much like it.
const OTHER: &str = "servers";

/// Keys of which the value is one reference. The first one stands for longer ones that end like it.
const ONE: [&str; 4] = ["password", "token", "nkey_seed", "secret"];

/// Whether one reference to a secret is meant to stand under a key, but for slips.
#[must_use]
pub fn means_one_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ONE.contains(&key.as_str()) || key.ends_with(ONE[0]) || nearest(&key, [ONE[0]]).is_some()
}

/// Whether references to secrets are meant to stand under a key, whatever its spelling.
#[must_use]
pub fn means_secrets(key: &str) -> bool {
    key.to_ascii_lowercase().contains(WORD) || nearest(key, ["secrets", OTHER]) == Some("secrets")
}

/// Whether a JSON pointer leads to what stands under such a key.
#[must_use]
pub fn is_under_secrets(pointer: &str) -> bool {
    pointer.split('/').skip(1).any(|part| means_secrets(part) || means_one_secret(part))
}

/// A JSON pointer up to where a part of it may be a secret.
#[must_use]
pub fn without_secret(pointer: &str) -> String {
    let mut is_under = false;
    let shown = pointer.split('/').skip(1).take_while(|part| {
        let is_told = !is_under || is_word(part) || part.bytes().all(|byte| byte.is_ascii_digit());
        is_under |= means_secrets(part) || means_one_secret(part);
        is_told
    });
    shown.flat_map(|part| ["/", part]).collect()
}

/// The bytes of values in a document that may be secrets. `text` is that of its file.
#[must_use]
pub fn exposed(node: &Node, text: &str) -> Vec<Span> {
    let mut out = Vec::new();
    look(node, text, &mut out);
    with_comments(out, text)
}

/// The same for a value that stands where references do.
#[must_use]
pub fn exposed_in_secrets(node: &Node, text: &str) -> Vec<Span> {
    let mut out = Vec::new();
    references(node, text, &mut out);
    with_comments(out, text)
}

/// What may be a secret in the part of a document that could not be read: the rest of the lines from
/// where reading ended to the fault that ended it, when that is under `secrets`, and all that comes
/// behind the word there.
#[must_use]
pub fn unread(node: &Node, text: &str, fault: Span, document_end: u32) -> Vec<Span> {
    let (key, read_end) = last_read(node);
    let rest = text.get(read_end as usize..document_end as usize).unwrap_or_default();
    let begun = key.filter(|key| !is_over(text, *key, fault.start.max(read_end))).map(|_| {
        let from = (fault.end.max(read_end) - read_end) as usize;
        let line = rest.get(from..).and_then(|rest| rest.find('\n')).map_or(rest.len(), |line| from + line);
        // A text in quotes, or one of several lines, may go on.
        let goes_on = rest[..line].contains(['"', '\'', '|', '>']);
        Span { start: read_end, end: if goes_on { document_end } else { read_end + to_u32(line) } }
    });
    let lower = rest.to_ascii_lowercase();
    let words = ONE.iter().filter_map(|word| Some(lower.find(word)? + word.len()));
    let named = words.min().map(|end| Span { start: read_end + to_u32(end), end: document_end });
    begun.into_iter().chain(named).filter(|span| !span.is_empty()).collect()
}

/// Where the reading of a document ended, with the key that means secrets on the way there.
fn last_read(node: &Node) -> (Option<Span>, u32) {
    let mut key = None;
    let mut here = node;
    loop {
        here = match &here.value {
            NodeValue::Map(entries) => match entries.last() {
                Some(last) => {
                    let is_meant = means_secrets(&last.key) || means_one_secret(&last.key);
                    key = key.or_else(|| is_meant.then_some(last.key_span));
                    &last.value
                }
                None => return (key, here.span.start),
            },
            NodeValue::List(items) => match items.last() {
                Some(last) => last,
                None => return (key, here.span.start),
            },
            _ => return (key, here.place().end),
        };
    }
}

/// Whether the value of a key has ended on a line before that of a byte: its brackets are closed, or the
/// line is indented no more than the key.
fn is_over(text: &str, key: Span, byte: u32) -> bool {
    let Some(between) = text.get(key.end as usize..byte as usize) else { return false };
    let value = between.trim_start_matches([' ', ':']);
    if value.starts_with(['{', '[']) {
        let mut depth = 0;
        let end = value.find(|c| {
            depth += match c {
                '{' | '[' => 1,
                '}' | ']' => -1,
                _ => 0,
            };
            depth == 0
        });
        return end.is_some_and(|end| value[end..].contains('\n'));
    }
    let column = |byte: u32| {
        let before = &text[..byte as usize];
        let line = &before[before.rfind('\n').map_or(0, |newline| newline + 1)..];
        line.len() - line.trim_start_matches(' ').len()
    };
    between.contains('\n') && column(byte) <= column(key.start)
}

/// The bytes from the first span to the last one; none without any.
#[must_use]
pub fn cover(spans: &[Span]) -> Option<Span> {
    let start = spans.iter().map(|span| span.start).min()?;
    let end = spans.iter().map(|span| span.end).max()?;
    Some(Span { start, end })
}

fn look(node: &Node, text: &str, out: &mut Vec<Span>) {
    match &node.value {
        NodeValue::Map(entries) => {
            for entry in entries {
                if means_one_secret(&entry.key) {
                    reference(entry, text, out);
                } else if means_secrets(&entry.key) {
                    value(entry, text, out);
                } else {
                    look(&entry.value, text, out);
                }
            }
        }
        NodeValue::List(items) => items.iter().for_each(|item| look(item, text, out)),
        NodeValue::Text(url) if matches!(without_password(url), Cow::Owned(_)) => out.push(node.place()),
        _ => {}
    }
}

/// What stands under a key of which the value should be one reference.
fn reference(entry: &Entry, text: &str, out: &mut Vec<Span>) {
    match &entry.value.value {
        NodeValue::Map(parts) if parts.iter().all(is_part) => {}
        // Several may be meant.
        _ if means_secrets(&entry.key) => value(entry, text, out),
        _ if is_unwritten(entry) => out.extend(sign_after(entry.key_span, text)),
        _ => out.push(up_to_last_read(&entry.value)),
    }
}

/// What stands under a key of which the value should be a mapping.
fn value(entry: &Entry, text: &str, out: &mut Vec<Span>) {
    if is_unwritten(entry) {
        out.extend(sign_after(entry.key_span, text));
    } else {
        references(&entry.value, text, out);
    }
}

/// A mapping of names to references.
fn references(node: &Node, text: &str, out: &mut Vec<Span>) {
    let NodeValue::Map(entries) = &node.value else {
        out.push(up_to_last_read(node));
        return;
    };
    for entry in entries {
        out.extend(comment_between(entry, text));
        match &entry.value.value {
            _ if !is_word(&entry.key) => out.push(whole(entry)),
            NodeValue::Map(parts) => {
                for part in parts {
                    out.extend(comment_between(part, text));
                    if is_unwritten(part) {
                        // A word alone is a key without a value, and may be the secret.
                        out.push(whole(part));
                        out.extend(sign_after(part.key_span, text));
                    } else if !is_part(part) {
                        out.push(if is_word(&part.key) { up_to_last_read(&part.value) } else { whole(part) });
                    }
                }
            }
            _ => value(entry, text, out),
        }
    }
}

/// Whether it is a part of a reference, as far as can be seen.
fn is_part(part: &Entry) -> bool {
    match (part.key.as_str(), part.value.as_text()) {
        ("env", Some(name)) => is_word(name),
        ("file", Some(path)) => !path.contains('\n'),
        _ => false,
    }
}

/// Whether a text has the form of a variable's name: a key under `secrets` of another form may be the
/// secret.
#[must_use]
pub fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether nothing stands behind the key: the place of such a value is its key.
fn is_unwritten(entry: &Entry) -> bool {
    entry.value.span == entry.key_span && entry.value.used_at.is_none()
}

/// A node with all in it, also when it could not be read to its end.
fn up_to_last_read(node: &Node) -> Span {
    if node.used_at.is_some() {
        return node.span;
    }
    Span { start: node.span.start, end: node.span.end.max(last_read(node).1) }
}

/// Key and value.
fn whole(entry: &Entry) -> Span {
    let value = up_to_last_read(&entry.value);
    Span { start: entry.key_span.start, end: entry.key_span.end.max(value.end) }
}

/// An anchor, a tag or a comment behind a key without a value: YAML reads a text without quotes that
/// begins with `&`, `!` or `#` as one.
fn sign_after(key: Span, text: &str) -> Option<Span> {
    let (rest, line_end) = line_after(key, text)?;
    let sign = rest.trim_start_matches([':', ' ', '\t']);
    sign.starts_with(['&', '!', '#']).then(|| Span { start: line_end - to_u32(sign.len()), end: line_end })
}

/// A comment between a key and its value.
fn comment_between(entry: &Entry, text: &str) -> Option<Span> {
    let (start, end) = (entry.key_span.end, entry.value.span.start);
    let between = text.get(start as usize..end as usize)?;
    between.contains('#').then_some(Span { start, end })
}

/// Each span with the comment behind it: to YAML, the rest of a text without quotes from ` #` on is one.
fn with_comments(mut spans: Vec<Span>, text: &str) -> Vec<Span> {
    for span in &mut spans {
        if let Some((rest, line_end)) = line_after(*span, text)
            && rest.trim_start().starts_with('#')
        {
            span.end = line_end;
        }
    }
    spans
}

/// The rest of the line behind a span, and where it ends.
fn line_after(span: Span, text: &str) -> Option<(&str, u32)> {
    let rest = text.get(span.end as usize..)?;
    let line = rest.lines().next().unwrap_or_default();
    Some((line, span.end + to_u32(line.len())))
}

fn to_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{
        schema,
        yaml::{Limits, compose},
    };

    /// Every field that a schema has.
    fn fields(schema: &serde_json::Value, out: &mut Vec<String>) {
        for (word, inner) in schema.as_object().into_iter().flatten() {
            if word == "properties" {
                out.extend(inner.as_object().into_iter().flatten().map(|(name, _)| name.clone()));
            }
            fields(inner, out);
        }
    }

    #[test]
    fn no_other_field_is_taken_for_a_secret() {
        let mut all = Vec::new();
        for schema in [schema::job(), schema::defaults()] {
            fields(&schema, &mut all);
        }
        let taken: Vec<&String> =
            all.iter().filter(|key| means_secrets(key) || means_one_secret(key)).collect();
        assert!(taken.iter().all(|key| *key == "secrets"), "{taken:?}");
    }

    /// The values of a document that are hidden, with `|` between them.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let composed = compose(text, &Limits::default());
        let spans = composed.documents.iter().flat_map(|document| exposed(&document.root, text));
        let shown: Vec<&str> = spans.map(|span| &text[span.range()]).collect();
        assert_eq!(shown.join("|"), expected, "{text}");
    }

    #[test]
    #[rustfmt::skip]
    fn exposed_table() {
        check("secrets: {A: {env: B}, C: {file: /d}}",       "");
        check("secrets:",                                    "");
        check("secrets: {A: }",                              "");
        check("name: a\nrun: {env: {A: b}}",                 "");
        check("secrets: hunter2",                            "hunter2");
        check("secrets: [hunter2]",                          "[hunter2]");
        check("secrets: {A: hunter2, B: {env: C}}",          "hunter2");
        check("secrets: {A: {env: \"x://u:hunter2@h\"}}",    "\"x://u:hunter2@h\"");
        check("secrets: {A: {env: 48151623}}",               "48151623");
        check("secrets: {A: {value: hunter2}}",              "hunter2");
        check("secrets: {A: {hunter2}}",                     "hunter2");
        check("secrets: {A: {file: \"a\\nb\"}}",             "\"a\\nb\"");
        check("secrets: {\"BAD KEY\": hunter2}",             "\"BAD KEY\": hunter2");
        check("secrets: {x://u:hunter2@h}",                  "x://u:hunter2@h");
        check("secrets:\n  A: &hunter2\n",                   "&hunter2");
        check("secrets:\n  A: #hunter2\n",                   "#hunter2");
        check("secrets:\n  A: x #hunter2\n",                 "x #hunter2");
        check("secrets:\n  A: {env: B} # of the shop\n",     "");
        check("secrets:\n  A: !hunter2\n",                   "!hunter2");
        check("secrets:\n  A: *hunter2\n",                   "*hunter2");
        check("x: &x hunter2\nsecrets: {A: *x}",             "hunter2");
        check("run: {secret: {A: hunter2}}",                 "hunter2");
        check("steps: [{Secrts: {A: hunter2}}]",             "hunter2");
        check("client_secret: hunter2",                      "hunter2");
        check("password: hunter2",                           "hunter2");
        check("pasword: hunter2",                            "hunter2");
        check("password: 48151623",                          "48151623");
        check("password: {value: hunter2}",                  "{value: hunter2}");
        check("password: {env: A}\ntoken: {file: /b}",       "");
        check("keys: [{id: a, secret: {env: A}}]",           "");
        check("keys: [{id: a, secret: hunter2}]",            "hunter2");
        check("password: !hunter2",                          "!hunter2");
        check("password: #hunter2",                          "#hunter2");
        check("url: redis://u:hunter2@h/0",                  "redis://u:hunter2@h/0");
        check("urls: [\"amqp://u@h\", nats://h:4222]",       "");
    }
}
