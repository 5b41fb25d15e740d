//! The names, filters and tests that a template uses, with their places.
//!
//! The engine looks filters and tests up only when it fills a template in, and tells of names
//! neither their places nor the parts that are subscripts. This reads just as much of the
//! template's syntax as it takes to find them; the engine has parsed the text before. Pure; `check`
//! asks.

use std::{collections::BTreeSet, ops::Range, rc::Rc};

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

/// One use of a name, as in `params.to['mail']`.
#[derive(Debug, Clone)]
pub(super) struct Name {
    /// Its parts, at least one: `params`, `to` and `mail`.
    pub(super) parts: Vec<String>,
    /// How many parts there are before the first that is a subscript.
    pub(super) dotted: usize,
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
    /// Whether `| default(…)` stands right behind it.
    pub(super) has_default: bool,
    /// The names of which it is asked whether there is a value, where this one stands.
    pub(super) tested: Rc<Tested>,
}

/// The names of which a piece of code asks whether they are defined, and those around it.
#[derive(Debug, Clone, Default)]
pub(super) struct Tested {
    here: BTreeSet<Vec<String>>,
    around: Option<Rc<Tested>>,
}

impl Tested {
    /// Whether it is asked of this name.
    pub(super) fn holds(&self, parts: &[String]) -> bool {
        let outer = std::iter::successors(Some(self), |tested| tested.around.as_deref());
        outer.into_iter().any(|tested| tested.here.contains(parts))
    }
}

/// What a template uses, each in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) words: Vec<Word>,
    pub(super) names: Vec<Name>,
}

/// Every name, filter and test in a template that the engine can parse. Words of the language, such
/// as `in`, are among the names.
pub(super) fn words(text: &str) -> Words {
    let mut scan = Scan { text, found: Words::default(), around: Vec::new() };
    let mut at = 0;
    while let Some(open) = text[at..].find('{').map(|open| at + open) {
        let inside = open + 2;
        at = match text.get(open..inside) {
            Some("{{") => scan.code(inside, "}}"),
            Some("{%") => {
                let end = scan.code(inside, "%}");
                if keyword(&text[inside..end]) == "raw" { raw_end(text, end) } else { end }
            }
            _ => open + 1,
        };
    }
    scan.found
}

/// One past the next `end`; the end of the text when there is none.
fn after(text: &str, from: usize, end: &str) -> usize {
    text[from..].find(end).map_or(text.len(), |at| from + at + end.len())
}

/// The word that says what a block is.
fn keyword(block: &str) -> &str {
    let inner = block.trim_start_matches(['-', '+']).trim_start();
    &inner[..name_length(inner)]
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
    Dot,
    Other,
}

struct Scan<'t> {
    text: &'t str,
    found: Words,
    /// What the blocks ask that are open, from the outside in.
    around: Vec<Rc<Tested>>,
}

impl Scan<'_> {
    /// Reads an expression or a block up to its end; gives the place after it.
    fn code(&mut self, from: usize, end: &str) -> usize {
        let first = self.found.names.len();
        let (stop, here) = self.expression(from, end);
        let around = self.around.last().cloned();
        let tested = match (around, here.is_empty()) {
            (Some(around), true) => around,
            (around, _) => Rc::new(Tested { here, around }),
        };
        for name in &mut self.found.names[first..] {
            name.tested = Rc::clone(&tested);
        }
        if end == "%}" {
            match keyword(&self.text[from..stop]) {
                "if" | "for" => self.around.push(tested),
                "elif" => {
                    self.around.pop();
                    self.around.push(tested);
                }
                "endif" | "endfor" => {
                    self.around.pop();
                }
                _ => {}
            }
        }
        stop
    }

    /// Reads up to an end; gives the place after it, and the names of which it asks whether they
    /// are defined.
    fn expression(&mut self, from: usize, end: &str) -> (usize, BTreeSet<Vec<String>>) {
        let bytes = self.text.as_bytes();
        let mut tested = BTreeSet::new();
        let mut before = Before::Other;
        let mut at = from;
        // Inside of brackets nothing ends: `{{ {'a': {'b': 1}} }}`.
        let mut depth = 0_usize;
        while at < bytes.len() {
            let rest = &self.text[at..];
            if depth == 0 && rest.starts_with(end) {
                return (at + end.len(), tested);
            }
            match bytes[at] {
                quote @ (b'"' | b'\'') => {
                    at = string_end(bytes, at + 1, quote);
                    before = Before::Other;
                }
                byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                    let range = at..at + name_length(rest);
                    (at, before) = match (before, &self.text[range.clone()]) {
                        (Before::Is, "not") | (Before::Other, "is") => (range.end, Before::Is),
                        (Before::Bar, _) => (self.word(WordKind::Filter, range), Before::Other),
                        (Before::Is, _) => (self.word(WordKind::Test, range), Before::Other),
                        (Before::Dot, _) => (range.end, Before::Other),
                        (Before::Other, _) => (self.name(at, &mut tested), Before::Other),
                    };
                }
                byte => {
                    match byte {
                        b'(' | b'[' | b'{' => depth += 1,
                        b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    before = match byte {
                        b'|' => Before::Bar,
                        b'.' => Before::Dot,
                        _ if byte.is_ascii_whitespace() => before,
                        _ => Before::Other,
                    };
                    at += rest.chars().next().map_or(1, char::len_utf8);
                }
            }
        }
        (at, tested)
    }

    fn word(&mut self, kind: WordKind, range: Range<usize>) -> usize {
        let end = range.end;
        self.found.words.push(Word { kind, range });
        end
    }

    /// Takes in the name that begins here; gives the place after it.
    fn name(&mut self, start: usize, tested: &mut BTreeSet<Vec<String>>) -> usize {
        let mut end = start + name_length(&self.text[start..]);
        let mut parts = vec![self.text[start..end].to_owned()];
        let mut subscript = None;
        while let Some(part) = next_part(self.text, end) {
            if part.is_subscript {
                subscript = subscript.or(Some(parts.len()));
            }
            parts.push(part.name.to_owned());
            end = part.end;
        }
        let rest = &self.text[end..];
        let filter = sign(rest, "|").unwrap_or_default();
        let test = word(rest, "is").unwrap_or_default();
        let test = word(test, "not").unwrap_or(test);
        if word(test, "defined").or_else(|| word(test, "undefined")).is_some() {
            tested.insert(parts.clone());
        }
        self.found.names.push(Name {
            dotted: subscript.unwrap_or(parts.len()),
            parts,
            range: start..end,
            has_default: word(filter, "default").or_else(|| word(filter, "d")).is_some(),
            tested: Rc::default(),
        });
        end
    }
}

/// A further part of a name.
struct Part<'t> {
    name: &'t str,
    is_subscript: bool,
    end: usize,
}

/// The part that goes on here: `.name` or `['name']`; none where the name ends, or goes on with what
/// only the engine can tell.
fn next_part(text: &str, from: usize) -> Option<Part<'_>> {
    let rest = &text[from..];
    // Places are counted from the end, as the rest only becomes shorter.
    let place = |rest: &str| text.len() - rest.len();
    if let Some(rest) = sign(rest, ".") {
        let rest = rest.trim_start();
        let length = name_length(rest);
        let end = place(rest) + length;
        return (length > 0).then(|| Part { name: &rest[..length], is_subscript: false, end });
    }
    let rest = sign(rest, "[")?.trim_start();
    let quote = *rest.as_bytes().first().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let length = string_end(rest.as_bytes(), 1, quote);
    let name = rest.get(1..length - 1).filter(|name| !name.contains('\\'))?;
    let end = place(sign(rest.get(length..)?, "]")?);
    Some(Part { name, is_subscript: true, end })
}

/// What follows a sign, if the text goes on with it.
fn sign<'t>(text: &'t str, sign: &str) -> Option<&'t str> {
    text.trim_start().strip_prefix(sign)
}

/// What follows a word, if the text goes on with it.
fn word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let text = text.trim_start();
    (name_length(text) == word.len()).then(|| text.strip_prefix(word)).flatten()
}

fn name_length(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
}

pub(super) fn string_end(bytes: &[u8], from: usize, quote: u8) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown: Vec<String> = words(text)
            .words
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
        check("{# a | no #} ${#x} {% raw %}{{ a | no }}{% endraw %}{{ a | yes }}", "|yes");
        check("{%- for x in y | sort -%}ä{%- endfor -%}",  "|sort");
        check("{{ f(a | first, b=c | last) }} {",          "|first |last");
    }

    /// Each name as `a/b`, with a `*` when it has a default and a `?` when it is asked whether it is
    /// there.
    #[track_caller]
    fn names(text: &str, expected: &str) {
        let shown: Vec<String> = words(text)
            .names
            .into_iter()
            .map(|name| {
                let default = if name.has_default { "*" } else { "" };
                let tested = if name.tested.holds(&name.parts) { "?" } else { "" };
                format!("{}{default}{tested}", name.parts.join("/"))
            })
            .collect();
        assert_eq!(shown.join(" "), expected, "{text}");
    }

    #[test]
    #[rustfmt::skip]
    fn names_table() {
        names("plain.text",                                 "");
        names("{{ a.b }}{{ c['d'] }}{{ e[\"f\"].g }}",      "a/b c/d e/f/g");
        names("{{ a . b [ 'c' ] }}{{ a\n.b }}",             "a/b/c a/b");
        names("{{ a.b[0].c }}{{ a[b].c }}{{ a['b' ~ c] }}", "a/b a b a c");
        names(r"{{ a['it\'s'].b }}{{ 'a.b'.c }}{{ a['", "a a");
        names("{# a #}${#a}{% raw %}{{ a }}{% endraw %}",        "raw");
        names("{{ f(a.b, c=d) | g(e) }}",                   "f a/b c d e");
        names("{{ ä.a }}{{ a['ä'] }}",                      "a/ä");
        names("{{ a | default(b) }}{{ c|d }}{{ e | dd }}",  "a* b c* e");
        names("{{ a | upper | default(1) }}",               "a");
    }

    #[test]
    #[rustfmt::skip]
    fn a_test_holds_for_its_piece_of_code_and_what_a_block_encloses() {
        names("{{ a if a is defined else b }}{{ a }}",      "a? if a? else b a");
        names("{% if a is not  undefined %}{{ a }}{{ b }}{% endif %}{{ a }}", "if a? a? b endif a");
        names("{% if a['b']is defined %}{% if c %}{{ a.b }}{% endif %}{{ a }}{% endif %}", "if a/b? if c a/b? endif a endif");
        names("{% if a is defined %}x{% elif b is defined %}{{ a }}{{ b }}{% else %}{{ b }}{% endif %}", "if a? elif b? a? b? else b? endif");
        names("{%- for x in y if a is defined -%}{{ a }}{% endfor %}{{ a }}", "for x in y if a? a? endfor a");
        names("{% if a is undefinedx %}{{ a }}{% endif %}", "if a a endif");
    }
}
