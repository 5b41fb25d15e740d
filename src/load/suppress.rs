//! `# tintal: ignore TIN036 -- reason`: a person says that a warning is known and meant.
//!
//! At the end of a line it holds for that line. On a line of its own it holds for the key that
//! follows, with everything in it. Errors cannot be waved away.

use std::{ops::Range, sync::Arc};

use crate::manifest::{
    code::Code,
    problem::{Place, Problem, Severity, SourceText, Span},
    yaml::{Node, NodeValue},
};

/// What begins such a comment, after `#` and blanks.
const MARK: &str = "tintal:";

/// A suppression that was read.
struct Ignore {
    codes: Vec<Code>,
    /// The comment.
    span: Span,
    /// The bytes that it holds for.
    scope: Range<usize>,
    used: Vec<bool>,
}

/// Takes out what is suppressed, and adds what is wrong with the suppressions themselves.
pub(super) fn suppress(problems: &mut Vec<Problem>, nodes: &[&Node], source: &Arc<SourceText>) {
    if !source.text.contains(MARK) {
        return;
    }
    let mut found = Vec::new();
    let mut ignores = read(nodes, source, &mut found);
    problems.retain(|problem| {
        let here = Arc::ptr_eq(&problem.primary.place.source, source);
        let start = problem.primary.place.span.start as usize;
        let mut suppressed = false;
        if here && problem.severity == Severity::Warning {
            for ignore in ignores.iter_mut().filter(|ignore| ignore.scope.contains(&start)) {
                for (code, used) in ignore.codes.iter().zip(&mut ignore.used) {
                    if *code == problem.code {
                        *used = true;
                        suppressed = true;
                    }
                }
            }
        }
        !suppressed
    });
    for ignore in &ignores {
        for (code, _) in ignore.codes.iter().zip(&ignore.used).filter(|(_, used)| !**used) {
            let message = format!("there is no {code} here to ignore");
            let (label, help) = if code.severity() == Severity::Error {
                ("an error", "errors cannot be ignored; mend what it says")
            } else {
                ("unused", "take the comment out")
            };
            let place = Place { source: Arc::clone(source), span: ignore.span };
            found.push(Problem::new(Code::UnusedIgnore, place, message).label(label).help(help));
        }
    }
    problems.append(&mut found);
}

fn read(nodes: &[&Node], source: &Arc<SourceText>, problems: &mut Vec<Problem>) -> Vec<Ignore> {
    let text = &source.text;
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
        let span = span(at, start + line.trim_end().len());
        match codes(words) {
            Ok(codes) => {
                let alone = line[..hash].trim().is_empty();
                let scope = if alone { following(nodes, text, line_start) } else { start..line_start };
                ignores.push(Ignore { used: vec![false; codes.len()], codes, span, scope });
            }
            Err((message, help)) => {
                let place = Place { source: Arc::clone(source), span };
                problems
                    .push(Problem::new(Code::BadIgnore, place, message).label("cannot be read").help(help));
            }
        }
    }
    ignores
}

/// Where the `#` is, and what comes after the mark.
fn comment(line: &str) -> Option<(usize, &str)> {
    line.match_indices('#').find_map(|(hash, _)| {
        let begins = hash == 0 || line[..hash].ends_with([' ', '\t']);
        let words = line[hash + 1..].trim_start().strip_prefix(MARK)?;
        begins.then_some((hash, words.trim()))
    })
}

fn codes(words: &str) -> Result<Vec<Code>, (String, String)> {
    let way_out = || "write `# tintal: ignore TIN036 -- why it is meant`".to_owned();
    let Some(rest) =
        words.strip_prefix("ignore").filter(|rest| rest.starts_with([' ', '\t']) || rest.is_empty())
    else {
        let word = words.split_whitespace().next().unwrap_or_default();
        return Err((format!("`{word}` is not something that a comment can ask for"), way_out()));
    };
    let Some((names, reason)) = rest.split_once("--") else {
        return Err(("the reason is missing".to_owned(), way_out()));
    };
    if reason.trim().is_empty() {
        return Err(("the reason is empty".to_owned(), way_out()));
    }
    let names = names.split([',', ' ', '\t']).filter(|name| !name.is_empty());
    let codes: Vec<Code> = names
        .map(|name| Code::parse(name).ok_or_else(|| (format!("there is no code `{name}`"), way_out())))
        .collect::<Result<_, _>>()?;
    if codes.is_empty() { Err(("no code is named".to_owned(), way_out())) } else { Ok(codes) }
}

/// The bytes of the key, or the list item, that begins on the next line with content.
fn following(nodes: &[&Node], text: &str, from: usize) -> Range<usize> {
    let mut start = from;
    for line in text.get(from..).unwrap_or_default().split_inclusive('\n') {
        let content = line.trim_start();
        if !content.trim().is_empty() && !content.starts_with('#') {
            let first = start + (line.len() - content.len());
            let end = nodes.iter().filter_map(|node| end_of(node, first)).max();
            return start..end.unwrap_or(start + line.len()).max(start + line.len());
        }
        start += line.len();
    }
    from..from
}

/// The end of the widest key or item that begins at a byte.
fn end_of(node: &Node, byte: usize) -> Option<usize> {
    match &node.value {
        NodeValue::Map(entries) => entries.iter().find_map(|entry| {
            let value = entry.value.place();
            if entry.key_span.start as usize == byte {
                return Some(value.end as usize);
            }
            value.range().contains(&byte).then(|| end_of(&entry.value, byte)).flatten()
        }),
        NodeValue::List(items) => items.iter().find_map(|item| {
            let span = item.place();
            // The dash stands before the item.
            let begins = (byte..byte + 3).contains(&(span.start as usize)) && byte < span.start as usize;
            if begins {
                return Some(span.end as usize);
            }
            span.range().contains(&byte).then(|| end_of(item, byte)).flatten()
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
