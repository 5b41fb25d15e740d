//! `# tintal: ignore TIN036 -- reason`: a person says that a warning is known and meant.
//!
//! At the end of a line it holds for that line. On a line of its own it holds for the key that
//! follows, and after the dash of a list for the item, with everything in it. In a file of defaults
//! it holds for what jobs take over from there. Errors cannot be waved away.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use crate::manifest::{
    code::Code,
    problem::{Place, Problem, Severity, SourceText, Span},
    yaml::{Node, NodeValue},
};

/// What begins such a comment, after `#` and blanks.
const MARK: &str = "tintal:";

/// What is near enough to [`MARK`] to be looked at, in any case.
const NEAR_MARK: &str = "tintal";

/// What to write instead of a comment that cannot be read.
const WAY_OUT: &str = "write `# tintal: ignore TIN036 -- why it is meant`";

/// The suppressions of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Ignores(Vec<Ignore>);

/// Codes that were suppressed, with the suppression, counted from 0.
pub(super) type Used = BTreeSet<(usize, Code)>;

/// A suppression that was read.
#[derive(Debug, Clone)]
struct Ignore {
    codes: Vec<Code>,
    /// The comment.
    place: Place,
    /// The bytes that it holds for.
    scope: Range<usize>,
}

/// Takes out what the file's own suppressions are about, and adds what is wrong with them.
pub(super) fn suppress(problems: &mut Vec<Problem>, nodes: &[&Node], source: &Arc<SourceText>) {
    let ignores = read(nodes, source, problems);
    let used = ignores.apply(problems);
    problems.extend(ignores.unused(&used));
}

/// The suppressions of a file; what cannot be read is a problem.
pub(super) fn read(nodes: &[&Node], source: &Arc<SourceText>, problems: &mut Vec<Problem>) -> Ignores {
    let text = &source.text;
    if !mentions(text) {
        return Ignores::default();
    }
    let mut ignores = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let start = line_start;
        line_start += line.len();
        let Some((hash, words)) = comment(line) else { continue };
        let at = start + hash;
        if nodes.iter().any(|node| in_scalar(node, at)) {
            continue;
        }
        let place = Place { source: Arc::clone(source), span: span(at, start + line.trim_end().len()) };
        match words.and_then(codes) {
            Ok(codes) => {
                let scope = match sought(&line[..hash]) {
                    Some(sought) => following(nodes, text, line_start, sought),
                    None => start..line_start,
                };
                ignores.push(Ignore { codes, place, scope });
            }
            Err(message) => problems
                .push(Problem::new(Code::BadIgnore, place, message).label("cannot be read").help(WAY_OUT)),
        }
    }
    Ignores(ignores)
}

impl Ignores {
    /// Takes out the warnings that they are about; says which of them were.
    pub(super) fn apply(&self, problems: &mut Vec<Problem>) -> Used {
        let mut used = Used::new();
        if self.0.is_empty() {
            return used;
        }
        problems.retain(|problem| {
            let mut suppressed = false;
            for (index, ignore) in self.0.iter().enumerate() {
                if ignore.codes.contains(&problem.code) && ignore.holds_for(problem) {
                    used.insert((index, problem.code));
                    suppressed = true;
                }
            }
            !suppressed
        });
        used
    }

    /// What is wrong with those that were not made use of.
    pub(super) fn unused(&self, used: &Used) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, ignore) in self.0.iter().enumerate() {
            for code in ignore.codes.iter().filter(|code| !used.contains(&(index, **code))) {
                let message = format!("there is no {code} here to ignore");
                let (label, help) = if code.severity() == Severity::Error {
                    ("an error", "errors cannot be ignored; mend what it says")
                } else {
                    ("unused", "take the comment out")
                };
                let place = ignore.place.clone();
                problems.push(Problem::new(Code::UnusedIgnore, place, message).label(label).help(help));
            }
        }
        problems
    }
}

impl Ignore {
    /// Whether it is about the place of a warning; of an inherited one, about the job that takes it
    /// over.
    fn holds_for(&self, problem: &Problem) -> bool {
        let source = &self.place.source;
        let is_here = |place: &Place| {
            Arc::ptr_eq(&place.source, source) && self.scope.contains(&(place.span.start as usize))
        };
        let primary = &problem.primary.place;
        let inherited = !Arc::ptr_eq(&primary.source, source);
        problem.severity == Severity::Warning
            && (is_here(primary) || inherited && problem.related.iter().any(|label| is_here(&label.place)))
    }
}

/// Whether there may be such a comment at all.
fn mentions(text: &str) -> bool {
    text.match_indices('#').any(|(hash, _)| is_near(text[hash + 1..].trim_start_matches([' ', '\t'])))
}

fn is_near(words: &str) -> bool {
    words.get(..NEAR_MARK.len()).is_some_and(|start| start.eq_ignore_ascii_case(NEAR_MARK))
}

/// Where the `#` is, and what comes after the mark: an error when it is only like the mark.
fn comment(line: &str) -> Option<(usize, Result<&str, String>)> {
    line.match_indices('#').find_map(|(hash, _)| {
        let begins = hash == 0 || line[..hash].ends_with([' ', '\t']);
        let said = line[hash + 1..].trim();
        if !begins || !is_near(said) {
            return None;
        }
        if let Some(words) = said.strip_prefix(MARK) {
            return Some((hash, Ok(words.trim())));
        }
        let mut words = said[NEAR_MARK.len()..].split([' ', '\t', ':', '-']).filter(|word| !word.is_empty());
        let asks = words.next().is_some_and(|word| word.eq_ignore_ascii_case("ignore"));
        let message = || format!("a suppression begins with `{MARK} ignore`, in lower case");
        asks.then(|| (hash, Err(message())))
    })
}

/// The codes that a comment names, or why it cannot be read.
fn codes(words: &str) -> Result<Vec<Code>, String> {
    let Some(rest) =
        words.strip_prefix("ignore").filter(|rest| rest.starts_with([' ', '\t']) || rest.is_empty())
    else {
        let word = words.split_whitespace().next().unwrap_or_default();
        return Err(format!("`{word}` is not something that a comment can ask for"));
    };
    let Some((names, reason)) = rest.split_once("--") else {
        return Err("the reason is missing".to_owned());
    };
    if reason.trim().is_empty() {
        return Err("the reason is empty".to_owned());
    }
    let names = names.split([',', ' ', '\t']).filter(|name| !name.is_empty());
    let codes: Vec<Code> = names
        .map(|name| Code::parse(name).ok_or_else(|| format!("there is no code `{name}`")))
        .collect::<Result<_, _>>()?;
    if codes.is_empty() { Err("no code is named".to_owned()) } else { Ok(codes) }
}

/// What a comment on a line without content is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sought {
    /// The key that follows.
    Key,
    /// The item whose dash stands before the comment.
    Item,
}

/// What a comment is about, by what stands before it on its line; none: that.
fn sought(before: &str) -> Option<Sought> {
    let before = before.trim();
    if before.is_empty() {
        return Some(Sought::Key);
    }
    before.split_whitespace().all(|part| part == "-").then_some(Sought::Item)
}

/// The bytes of the key, or the list item, that begins on the next line with content.
fn following(nodes: &[&Node], text: &str, from: usize, sought: Sought) -> Range<usize> {
    let mut start = from;
    for line in text.get(from..).unwrap_or_default().split_inclusive('\n') {
        let content = line.trim_start();
        if !content.trim().is_empty() && !content.starts_with('#') {
            let first = start + (line.len() - content.len());
            let end = nodes.iter().filter_map(|node| end_of(node, first, sought)).max();
            return start..end.unwrap_or(start + line.len()).max(start + line.len());
        }
        start += line.len();
    }
    from..from
}

/// The end of the widest key or item that begins at a byte.
fn end_of(node: &Node, byte: usize, sought: Sought) -> Option<usize> {
    match &node.value {
        NodeValue::Map(entries) => entries.iter().find_map(|entry| {
            let value = entry.value.place();
            if entry.key_span.start as usize == byte && sought == Sought::Key {
                return Some(value.end as usize);
            }
            value.range().contains(&byte).then(|| end_of(&entry.value, byte, sought)).flatten()
        }),
        NodeValue::List(items) => items.iter().find_map(|item| {
            let span = item.place();
            let start = span.start as usize;
            let begins = match sought {
                // The dash stands before the item.
                Sought::Key => (byte..byte + 3).contains(&start) && byte < start,
                Sought::Item => byte == start,
            };
            if begins {
                return Some(span.end as usize);
            }
            span.range().contains(&byte).then(|| end_of(item, byte, sought)).flatten()
        }),
        _ => None,
    }
}

fn in_scalar(node: &Node, byte: usize) -> bool {
    match &node.value {
        NodeValue::Map(entries) => entries
            .iter()
            .any(|entry| entry.key_span.range().contains(&byte) || in_scalar(&entry.value, byte)),
        NodeValue::List(items) => items.iter().any(|item| in_scalar(item, byte)),
        NodeValue::Text(_) => node.span.range().contains(&byte),
        _ => false,
    }
}

fn span(start: usize, end: usize) -> Span {
    let small = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    Span { start: small(start), end: small(end) }
}
