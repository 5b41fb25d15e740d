//! The forms that a secret may be printed in, and where a text holds one.
//!
//! Programs print a secret as it is, with its line breaks folded (`echo $S`), in a URL, in a JSON
//! string, in a shell's trace, or in base64, as in `Authorization: Basic`. Pure.

use std::collections::BTreeMap;

/// Shorter values, and shorter lines of a value, are not masked: they stand in any text by
/// chance, and masking them would only tell where.
const LENGTH_MIN: usize = 4;

/// Most blanks that stand for the blanks of a secret. Without a limit a secret's first word and
/// blanks without end would be held back for ever.
const FOLD_MAX: usize = 64;

/// One form of one secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Form {
    kind: Kind,
    /// Characters; a blank of [`Kind::Escaped`] stands for one or more blanks of any kind.
    chars: Vec<char>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Byte by byte.
    Exact,
    /// Each character as it is or escaped, in whatever way.
    Escaped,
    /// In base64, of either alphabet, in one line or several.
    Base64,
}

/// What a text begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The form, in so many bytes.
    Whole(usize),
    /// What may become the form when more comes.
    Begin,
    /// Something else.
    No,
}

/// How each character may be written, longest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ways(BTreeMap<(Kind, char), Vec<Vec<u8>>>);

/// All forms of a secret.
pub(super) fn forms(value: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    let text = value.trim();
    for part in std::iter::once(text).chain(text.lines().map(str::trim)) {
        if part.len() >= LENGTH_MIN {
            forms.push(Form { kind: Kind::Exact, chars: part.chars().collect() });
            let words: Vec<&str> = part.split_ascii_whitespace().collect();
            forms.push(Form { kind: Kind::Escaped, chars: words.join(" ").chars().collect() });
        }
    }
    if text.len() >= LENGTH_MIN {
        let encoded = [value, text].into_iter().flat_map(|whole| (0..3).map(|shift| base64(whole, shift)));
        forms.extend(encoded.map(|chars| Form { kind: Kind::Base64, chars }));
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The base64 of a text that `shift` other bytes stand before: the characters that depend on the
/// text alone.
fn base64(text: &str, shift: usize) -> Vec<char> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = std::iter::repeat_n(0, shift).chain(text.bytes()).collect();
    let chars = bytes.len() * 8 / 6;
    let begin = (shift * 8).div_ceil(6);
    let sextet = |index: usize| {
        let (byte, bit) = (index * 6 / 8, index * 6 % 8);
        let pair = u16::from(bytes[byte]) << 8 | u16::from(bytes.get(byte + 1).copied().unwrap_or(0));
        usize::from(pair >> (10 - bit) & 0x3f)
    };
    (begin..chars).map(|index| char::from(ALPHABET[sextet(index)])).collect()
}

impl Form {
    /// Looks whether `text` begins with the form.
    pub(super) fn at(&self, ways: &Ways, text: &[u8]) -> Found {
        let mut at = 0;
        for (index, c) in self.chars.iter().enumerate() {
            if self.kind == Kind::Base64 && index > 0 {
                at += text[at..].iter().take(2).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            }
            match ways.at(self.kind, *c, &text[at..]) {
                Found::Whole(count) => at += count,
                other => return other,
            }
            if self.kind != Kind::Escaped || *c != ' ' {
                continue;
            }
            for _ in 1..FOLD_MAX {
                match ways.at(self.kind, ' ', &text[at..]) {
                    Found::Whole(count) => at += count,
                    Found::Begin => return Found::Begin,
                    Found::No => break,
                }
            }
        }
        Found::Whole(at)
    }

    /// The bytes that a text with the form can begin with.
    pub(super) fn first_bytes(&self, ways: &Ways) -> Vec<u8> {
        let first = self.chars.first().map(|c| ways.of(self.kind, *c)).unwrap_or_default();
        let mut bytes: Vec<u8> = first.iter().filter_map(|way| way.first().copied()).collect();
        bytes.sort_unstable();
        bytes.dedup();
        bytes
    }
}

impl Ways {
    /// The ways of every character in the forms.
    pub(super) fn of_all(forms: &[Form]) -> Self {
        let chars = forms.iter().flat_map(|form| form.chars.iter().map(|c| (form.kind, *c)));
        let mut ways = BTreeMap::new();
        for key in chars {
            ways.entry(key).or_insert_with(|| written(key.0, key.1));
        }
        Self(ways)
    }

    fn of(&self, kind: Kind, c: char) -> &[Vec<u8>] {
        self.0.get(&(kind, c)).map(Vec::as_slice).unwrap_or_default()
    }

    fn at(&self, kind: Kind, c: char, text: &[u8]) -> Found {
        for way in self.of(kind, c) {
            if text.starts_with(way) {
                return Found::Whole(way.len());
            }
            if way.starts_with(text) {
                return Found::Begin;
            }
        }
        Found::No
    }
}

/// How a character may be written, longest first.
fn written(kind: Kind, c: char) -> Vec<Vec<u8>> {
    let mut ways = vec![c.to_string()];
    match (kind, c) {
        (Kind::Base64, '+') => ways.extend(["-", "%2B", "%2b"].map(str::to_owned)),
        (Kind::Base64, '/') => ways.extend(["_", "%2F", "%2f", "\\/"].map(str::to_owned)),
        (Kind::Exact | Kind::Base64, _) => {}
        (Kind::Escaped, ' ') => {
            ways.push("+".to_owned());
            " \t\n\r\u{b}\u{c}".chars().for_each(|blank| ways.extend(escaped(blank)));
        }
        (Kind::Escaped, _) => ways.extend(escaped(c)),
    }
    let mut ways: Vec<Vec<u8>> = ways.into_iter().map(String::into_bytes).collect();
    ways.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    ways.dedup();
    ways
}

/// A character as it is, in URLs, in strings of JSON and of most languages, in shells' traces, and
/// in HTML.
fn escaped(c: char) -> Vec<String> {
    let bytes = c.to_string().into_bytes();
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let unicode: String = c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    let upper = unicode.to_uppercase().replace("\\U", "\\u");
    let mut ways = vec![c.to_string(), percent.to_lowercase(), percent, unicode, upper];
    let special: &[&str] = match c {
        '\n' => &["\\n"],
        '\r' => &["\\r"],
        '\t' => &["\\t"],
        '"' => &["\\\"", "&quot;", "&#34;"],
        '\\' => &["\\\\"],
        '/' => &["\\/"],
        '\'' => &["\\'", "'\\''", "'\"'\"'", "&#39;", "&#x27;"],
        '&' => &["&amp;"],
        '<' => &["&lt;"],
        '>' => &["&gt;"],
        _ => &[],
    };
    ways.extend(special.iter().map(|&way| way.to_owned()));
    ways
}
