//! The lines of a crontab, from bytes of any encoding. Pure.

use std::borrow::Cow;

/// One line, without its end and the blanks before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) text: Cow<'a, str>,
    /// Bytes that are not UTF-8 became `\u{fffd}`.
    pub(super) is_damaged: bool,
}

/// The lines of a crontab. A byte order mark at its beginning is none of its text.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.split(|byte| *byte == b'\n').enumerate().map(|(index, line)| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let start = line.iter().position(|byte| !b" \t".contains(byte)).unwrap_or(line.len());
        let text = String::from_utf8_lossy(&line[start..]);
        let is_damaged = matches!(text, Cow::Owned(_));
        Line { number: index + 1, text, is_damaged }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &[(&str, bool)]) {
        let found: Vec<(String, bool)> =
            lines(bytes).map(|line| (line.text.into_owned(), line.is_damaged)).collect();
        let expected: Vec<(String, bool)> =
            expected.iter().map(|(text, damaged)| ((*text).to_owned(), *damaged)).collect();
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn lines_table() {
        check(b"a\n  b \r\n\tc", &[("a", false), ("b ", false), ("c", false)]);
        check(b"\xef\xbb\xbfa\nb", &[("a", false), ("b", false)]);
        check(b"# caf\xe9\nb", &[("# caf\u{fffd}", true), ("b", false)]);
        check("# \u{fffd}".as_bytes(), &[("# \u{fffd}", false)]);
    }
}
