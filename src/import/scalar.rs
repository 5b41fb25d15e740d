//! A text as a scalar of YAML. Pure; `cli::explain` writes with it too.

use std::fmt::Write as _;

/// A text as a YAML scalar: plain where that is safe.
#[must_use]
pub fn scalar(text: &str) -> String {
    let plain_byte = |byte: u8| byte.is_ascii_alphanumeric() || b" _./-".contains(&byte);
    let begins = text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    let word = text.to_ascii_lowercase();
    let means_something =
        matches!(word.as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if begins && !means_something && text.bytes().all(plain_byte) && !text.ends_with(' ') {
        return text.to_owned();
    }
    quoted(text)
}

/// A text in double quotes: what JSON writes, YAML reads, save for what YAML does not take as it
/// is and JSON does.
pub(super) fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    if !json.contains(needs_escape) {
        return json;
    }
    json.chars().fold(String::with_capacity(json.len() + 8), |mut out, c| {
        if needs_escape(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

/// Characters outside of YAML's printable ones, and those that end a line or begin a file.
fn needs_escape(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_back_as_text() {
        let odd = (0..0x300u32).chain(0x2020..0x2030).chain(0xfef0..0x1_0010).filter_map(char::from_u32);
        let odd: Vec<String> = odd.filter(|c| *c != '\0').map(|c| format!("a{c}b")).collect();
        let known = ["a", "a b", "yes", "1", "", "a: b", "- x", "ä", "x ", "{{ a }}", "#"];
        for text in known.iter().copied().chain(odd.iter().map(String::as_str)) {
            let yaml = scalar(text);
            let node = crate::manifest::yaml::compose(&yaml, &crate::manifest::yaml::Limits::default());
            assert_eq!(node.documents[0].root.as_text(), Some(text), "{yaml}");
        }
    }
}
