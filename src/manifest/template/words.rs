//! The filters and tests that a template names, with their places.
//!
//! The engine looks them up only when it fills a template in. This reads just as much of the
//! template's syntax as it takes to find them; the engine has parsed the text before.

use std::ops::Range;

/// A filter or a test that a template names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordKind {
    /// `x | upper`
    Filter,
    /// `x is odd`
    Test,
}

/// One use of a filter or test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) kind: WordKind,
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
}

/// Every filter and test in a template that the engine can parse, in order.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('{').map(|open| at + open) {
        let inside = open + 2;
        at = match text.get(open..inside) {
            Some("{#") => after(text, inside, "#}"),
            Some("{{") => code(text, inside, "}}", &mut found),
            Some("{%") => {
                let end = code(text, inside, "%}", &mut found);
                if is_raw(&text[inside..end]) { raw_end(text, end) } else { end }
            }
            _ => open + 1,
        };
    }
    found
}

/// One past the next `end`; the end of the text when there is none.
fn after(text: &str, from: usize, end: &str) -> usize {
    text[from..].find(end).map_or(text.len(), |at| from + at + end.len())
}

fn is_raw(block: &str) -> bool {
    let inner = block.trim_start_matches(['-', '+']).trim_start();
    inner.strip_prefix("raw").is_some_and(|rest| rest.starts_with([' ', '-', '+', '%']))
}

/// One past the block that ends a raw one.
fn raw_end(text: &str, from: usize) -> usize {
    text[from..].find("endraw").map_or(text.len(), |at| after(text, from + at, "%}"))
}

/// What stands before a name and says what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Bar,
    Is,
    Other,
}

/// Reads an expression or a block up to its end; gives the place after it.
fn code(text: &str, from: usize, end: &str, found: &mut Vec<Word>) -> usize {
    let bytes = text.as_bytes();
    let mut before = Before::Other;
    let mut at = from;
    while at < bytes.len() {
        if text[at..].starts_with(end) {
            return at + end.len();
        }
        match bytes[at] {
            quote @ (b'"' | b'\'') => {
                at = string_end(bytes, at + 1, quote);
                before = Before::Other;
            }
            byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                let name_end = at + name_length(&text[at..]);
                before = name(&text[at..name_end], at..name_end, before, found);
                at = name_end;
            }
            b'|' => {
                before = Before::Bar;
                at += 1;
            }
            byte => {
                if !byte.is_ascii_whitespace() {
                    before = Before::Other;
                }
                at += text[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
    }
    at
}

fn name_length(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
}

fn string_end(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Takes a name in; says what it makes of the next one.
fn name(name: &str, range: Range<usize>, before: Before, found: &mut Vec<Word>) -> Before {
    match (before, name) {
        (Before::Bar, _) => {
            found.push(Word { kind: WordKind::Filter, range });
            Before::Other
        }
        (Before::Is, "not") | (Before::Other, "is") => Before::Is,
        (Before::Is, _) => {
            found.push(Word { kind: WordKind::Test, range });
            Before::Other
        }
        (Before::Other, _) => Before::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown: Vec<String> = words(text)
            .into_iter()
            .map(|word| {
                let sign = if word.kind == WordKind::Filter { '|' } else { '?' };
                format!("{sign}{}", &text[word.range])
            })
            .collect();
        assert_eq!(shown.join(" "), expected, "{text}");
    }

    #[test]
    #[rustfmt::skip]
    fn words_table() {
        check("plain | text is odd",                       "");
        check("{{ a|upper }} | {{ b | lower|trim }}",      "|upper |lower |trim");
        check("{{ 'x | no' | yes }}{{ \"}}\" | again }}",  "|yes |again");
        check(r#"{{ "a\" | no" | yes }}"#,                 "|yes");
        check("{% if a is odd and b is not even %}x{% endif %}", "?odd ?even");
        check("{# a | no #}{% raw %}{{ a | no }}{% endraw %}{{ a | yes }}", "|yes");
        check("{%- for x in y | sort -%}ä{%- endfor -%}",  "|sort");
        check("{{ f(a | first, b=c | last) }} {",          "|first |last");
    }
}
