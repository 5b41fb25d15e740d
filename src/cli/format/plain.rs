//! Text of files as a terminal can show it: what a file holds must not steer the terminal.

use std::{borrow::Cow, ops::Range};

/// Whether a character steers a terminal, or the direction in which others are read.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in one line: what would end the line or steer the terminal is written as an escape.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            _ if steers(c) => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The text of a file, each byte where it is: what would steer the terminal is replaced, lone `\r`
/// are the line ends that YAML takes them for, and what is in `hidden` is not shown. `None` when
/// there is nothing to replace.
pub(super) fn in_place(text: &str, hidden: &[Range<usize>]) -> Option<String> {
    let stays = |at: usize, c: char| match c {
        '\n' | '\t' => true,
        '\r' => text[at + 1..].starts_with('\n'),
        _ => !steers(c),
    };
    if hidden.is_empty() && text.char_indices().all(|(at, c)| stays(at, c)) {
        return None;
    }
    let mut hidden = hidden.to_vec();
    hidden.sort_by_key(|range| range.start);
    let mut hidden = hidden.into_iter().peekable();
    let mut hidden_to = 0;
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        while let Some(range) = hidden.next_if(|range| range.start <= at) {
            hidden_to = hidden_to.max(range.end);
        }
        match c {
            '\r' if !stays(at, c) => out.push('\n'),
            '\n' | '\r' => out.push(c),
            _ if at < hidden_to => out.extend(std::iter::repeat_n('*', c.len_utf8())),
            _ if stays(at, c) => out.push(c),
            _ => out.extend(std::iter::repeat_n('?', c.len_utf8())),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn one_line_table() {
        let check = |text: &str, expected: &str| assert_eq!(one_line(text), expected);
        check("größe",          "größe");
        check("a\nb",           "a\\nb");
        check("\u{1b}[31mred",  "\\u{1b}[31mred");
        check("a\0\u{9b}",      "a\\u{0}\\u{9b}");
        check("a\u{202e}b",     "a\\u{202e}b");
    }

    #[test]
    #[rustfmt::skip]
    fn in_place_table() {
        let check = |text: &str, expected: &str| {
            let shown = in_place(text, &[]);
            assert_eq!(shown.as_deref().unwrap_or(text), expected);
            assert_eq!(shown.map_or(text.len(), |shown| shown.len()), text.len());
        };
        check("größe: x\r\n\ty", "größe: x\r\n\ty");
        check("a\rb\r",          "a\nb\n");
        check("\u{1b}[31mred",   "?[31mred");
        check("\0\u{9b}x",       "???x");
        check("\u{202e}x",       "???x");
        assert_eq!(in_place("X: hünter, b\n", &[12..13, 3..10]).as_deref(), Some("X: *******, *\n"));
    }
}
