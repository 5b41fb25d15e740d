//! Where in a file a part of a scalar's value is written: between quotes, in the lines under `|`,
//! or across the lines of a long text.
//!
//! The value is laid beside what is written. White space may differ, as YAML folds and indents
//! lines; every other character stands in both, as itself or as an escape.

use std::ops::Range;

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

/// The bytes of `raw`, the text of a scalar, that stand for bytes of its value. `None` when the two do
/// not fit. Time is linear in the length of the text.
#[must_use]
pub fn written(raw: &str, value: &str, part: &Range<usize>) -> Option<Range<usize>> {
    let (style, mut at) = match raw.chars().next()? {
        '\'' => (Style::Single, 1),
        '"' => (Style::Double, 1),
        // What follows on the line of `|` or `>` is no part of the value.
        '|' | '>' => (Style::Plain, raw.find('\n')?),
        _ => (Style::Plain, 0),
    };
    let mut found: Option<Range<usize>> = None;
    for (offset, c) in value.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        let (start, length) = next(raw, style, at, c)?;
        at = start + length;
        if offset >= part.end && found.is_some() {
            break;
        }
        if offset + c.len_utf8() > part.start {
            found = Some(found.map_or(start, |found| found.start)..at);
        }
    }
    found
}

/// Where the next character is written that is no white space, with its length; none when it is
/// another one.
fn next(raw: &str, style: Style, mut at: usize, expected: char) -> Option<(usize, usize)> {
    loop {
        let rest = raw.get(at..)?;
        let (c, length) = match (style, rest.chars().next()?) {
            (Style::Single, '\'') => ('\'', 2),
            (Style::Double, '\\') => escape(rest)?,
            (_, c) => (c, c.len_utf8()),
        };
        if !c.is_whitespace() {
            return (c == expected).then_some((at, length));
        }
        at += length;
    }
}

/// What an escape in double quotes stands for, and how long it is.
fn escape(rest: &str) -> Option<(char, usize)> {
    let sign = rest.chars().nth(1)?;
    let digits = match sign {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => {
            let c = match sign {
                '0' => '\0',
                'a' => '\u{7}',
                'b' => '\u{8}',
                'e' => '\u{1b}',
                't' | 'n' | 'v' | 'f' | 'r' | 'N' | '_' | 'L' | 'P' => ' ',
                other => other,
            };
            return Some((c, 1 + sign.len_utf8()));
        }
    };
    let code = |at: usize, digits: usize| u32::from_str_radix(rest.get(at..at + digits)?, 16).ok();
    let first = code(2, digits)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, 2 + digits));
    }
    // Half of a character, as JSON writes those past U+FFFF; the other half follows.
    let second = rest.get(6..8).filter(|next| *next == "\\u").and_then(|_| code(8, 4))?;
    let pair = 0x1_0000 + ((first.checked_sub(0xd800)?) << 10) + second.checked_sub(0xdc00)?;
    Some((char::from_u32(pair)?, 12))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::yaml::{Limits, compose};

    /// A document `a: …`; of its value, what is written for `part`.
    #[track_caller]
    fn check(text: &str, part: &str, expected: &str) {
        let document = compose(text, &Limits::default()).documents.remove(0);
        let node = document.root.get("a").unwrap();
        let value = node.as_text().unwrap();
        let start = value.find(part).unwrap();
        let raw = &text[node.span.range()];
        let range = written(raw, value, &(start..start + part.len())).unwrap();
        assert_eq!(&raw[range.clone()], expected, "{text}");
        let line = text[..node.span.start as usize + range.start].matches('\n').count();
        let line = text.lines().nth(line).unwrap();
        assert!(line.contains(expected.lines().next().unwrap()), "{text}");
    }

    #[test]
    #[rustfmt::skip]
    fn written_table() {
        check("a: x {{ p }} y",                     "{{ p }}", "{{ p }}");
        check("a: 'x {{ p }} y'",                   "{{ p }}", "{{ p }}");
        check("a: 'it''s {{ p }}'",                 "{{ p }}", "{{ p }}");
        check("a: 'it''s'",                         "t's",     "t''s");
        check("a: \"x\\t{{ p }}\"",                 "{{ p }}", "{{ p }}");
        check("a: \"\\u00e9 \\x41 {{ p }}\"",       "{{ p }}", "{{ p }}");
        check("a: \"\\ud83d\\ude00 {{ p }}\"",      "{{ p }}", "{{ p }}");
        check("a: \"\\\"q\\\" {{ p }}\"",           "\"q\"",   "\\\"q\\\"");
        check("a: \"x \\\n  {{ p }}\"",             "{{ p }}", "{{ p }}");
        check("a: |\n  echo\n  x {{ p }}\n",        "{{ p }}", "{{ p }}");
        check("a: |2-  # why\n    echo\n  {{ p }}", "{{ p }}", "{{ p }}");
        check("a: >\n  one\n  two\n\n  {{ p }}\n",  "{{ p }}", "{{ p }}");
        check("a: one\n  two\n  {{ p }}\n",         "{{ p }}", "{{ p }}");
        check("a: |\r\n  echo\r\n  {{ p }}\r\n",    "{{ p }}", "{{ p }}");
        check("a: |\n  größe {{ ä }}\n",            "{{ ä }}", "{{ ä }}");
        check("a: >\n  one {{ p\n  }} two\n",       "{{ p }}", "{{ p\n  }}");
    }

    #[test]
    fn what_does_not_fit_has_no_place() {
        assert_eq!(written("abc", "abd", &(0..3)), None);
        assert_eq!(written("", "a", &(0..1)), None);
        assert_eq!(written("\"\\u12", "a", &(0..1)), None);
        assert_eq!(written("abc", "abc", &(3..3)), None);
    }
}
