//! The pieces of a template: text, values and blocks, cut where the engine cuts them.
//!
//! The engine gives no places of them. The text has been parsed by it before. Pure; `line` asks.

use std::ops::Range;

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    /// Text that stands in what comes out as it is.
    Text(&'t str),
    /// `{{ … }}`
    Value(Tag<'t>),
    /// `{% … %}`
    Block(Tag<'t>),
}

/// A value or block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag<'t> {
    /// What stands between its delimiters.
    pub(super) code: &'t str,
    /// All of its bytes.
    pub(super) range: Range<usize>,
}

/// Cuts a template that the engine can parse.
pub(super) fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut cut = Cut { template, at: 0, trims: false, pieces: Vec::new() };
    while let Some(open) = next_open(template, cut.at) {
        cut.piece(open);
    }
    cut.text(template.len(), false);
    cut.pieces
}

/// Where the next value or block begins.
fn next_open(template: &str, from: usize) -> Option<usize> {
    let bytes = template.as_bytes();
    (from..bytes.len()).find(|at| bytes[*at] == b'{' && matches!(bytes.get(at + 1), Some(b'{' | b'%')))
}

struct Cut<'t> {
    template: &'t str,
    at: usize,
    /// Whether blanks at the beginning of the next text are left out: `-%}`.
    trims: bool,
    pieces: Vec<Piece<'t>>,
}

impl Cut<'_> {
    /// Takes in the text up to `end`; `trims` when what follows begins with `{%-`.
    fn text(&mut self, end: usize, trims: bool) {
        let mut text = &self.template[self.at..end];
        if std::mem::take(&mut self.trims) {
            text = text.trim_start();
        }
        if trims {
            text = text.trim_end();
        }
        if !text.is_empty() {
            self.pieces.push(Piece::Text(text));
        }
        self.at = end;
    }

    fn piece(&mut self, open: usize) {
        let template = self.template;
        let sign = sign(&template[open + 2..]);
        self.text(open, sign == Some('-'));
        let inside = open + 2 + sign.map_or(0, char::len_utf8);
        let is_block = template[open..].starts_with("{%");
        if is_block && let Some(after) = basic_tag(&template[inside..], "raw") {
            self.raw(inside + after.length, after.trims);
            return;
        }
        let (code_end, end) = code_end(template, inside, if is_block { "%}" } else { "}}" });
        self.trims = template[code_end..].starts_with('-');
        let tag = Tag { code: template[inside..code_end].trim(), range: open..end };
        self.pieces.push(if is_block { Piece::Block(tag) } else { Piece::Value(tag) });
        self.at = end;
    }

    /// Takes in what is raw, from behind its first tag.
    fn raw(&mut self, from: usize, trims: bool) {
        (self.at, self.trims) = (from, trims);
        let mut look = from;
        while let Some(open) = self.template[look..].find("{%").map(|at| look + at) {
            look = open + 2;
            let sign = sign(&self.template[look..]);
            let inside = look + sign.map_or(0, char::len_utf8);
            if let Some(after) = basic_tag(&self.template[inside..], "endraw") {
                self.text(open, sign == Some('-'));
                (self.at, self.trims) = (inside + after.length, after.trims);
                return;
            }
        }
        self.text(self.template.len(), false);
    }
}

/// The sign behind an opening delimiter that says what becomes of the blanks before it.
fn sign(text: &str) -> Option<char> {
    text.chars().next().filter(|c| matches!(c, '-' | '+'))
}

/// The rest of a tag that is one word.
struct Basic {
    length: usize,
    trims: bool,
}

fn basic_tag(text: &str, word: &str) -> Option<Basic> {
    let blank = |c: char| c.is_ascii_whitespace();
    let rest = text.trim_start_matches(blank).strip_prefix(word)?.trim_start_matches(blank);
    let trims = rest.starts_with('-');
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
    Some(Basic { length: text.len() - rest.len(), trims })
}

/// Where code ends, and where its closing delimiter does. A delimiter inside of brackets or of a text
/// is none.
fn code_end(template: &str, from: usize, close: &str) -> (usize, usize) {
    let bytes = template.as_bytes();
    let (mut at, mut depth) = (from, 0_usize);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let unsigned = rest.strip_prefix(b"-").or_else(|| rest.strip_prefix(b"+"));
        if depth == 0 && rest.starts_with(close.as_bytes()) {
            return (at, at + close.len());
        }
        if depth == 0 && unsigned.is_some_and(|rest| rest.starts_with(close.as_bytes())) {
            return (at, at + 1 + close.len());
        }
        match bytes[at] {
            quote @ (b'"' | b'\'') => {
                at = super::words::string_end(bytes, at + 1, quote);
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    (bytes.len(), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts as they are, values in `<>`, blocks in `[]`, with a `|` between two pieces.
    #[track_caller]
    fn check(template: &str, expected: &str) {
        let shown: Vec<String> = pieces(template)
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.to_owned(),
                Piece::Value(tag) => format!("<{}>", tag.code),
                Piece::Block(tag) => format!("[{}]", tag.code),
            })
            .collect();
        assert_eq!(shown.join("|"), expected, "{template}");
    }

    #[test]
    #[rustfmt::skip]
    fn pieces_table() {
        check("plain { } ${#x} {# no #}",              "plain { } ${#x} {# no #}");
        check("a{{ b }}c{% if d %}e{% endif %}",       "a|<b>|c|[if d]|e|[endif]");
        check("a {{- b -}} c {%- if d -%} e",          "a|<b>|c|[if d]|e");
        check("a {{+ b +}} c",                         "a |<b>| c");
        check("{{ '}}' ~ \"\\\"}}\" }}x",              "<'}}' ~ \"\\\"}}\">|x");
        check("{{ {'a': {'b': 1}}['a'] }}x",           "<{'a': {'b': 1}}['a']>|x");
        check("{{{ a }}}",                             "<{ a }>");
        check("a {% raw %} {{ b }} {% endraw %} c",    "a | {{ b }} | c");
        check("a {%- raw -%} {{ b }} {%- endraw -%} c", "a|{{ b }}|c");
        check("{% raw %}{% if %}{% endraw %}{{ a }}",  "{% if %}|<a>");
        check("# x\n{{- a }}",                         "# x|<a>");
        check("ä{{ b }}",                              "ä|<b>");
    }
}
