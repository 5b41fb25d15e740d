//! Takes secrets out of a stream of bytes.

use std::sync::Arc;

use super::form::{self, Form, Found, Ways};
use crate::manifest::userinfo::MASK;

/// What to take out. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Masks(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    forms: Vec<Form>,
    ways: Ways,
    /// By first byte, the forms that can begin with it. Empty when there is no form at all.
    by_first: Vec<Vec<usize>>,
}

impl Masks {
    /// What to take out so that none of the values is seen: each value and each of its lines,
    /// as they are and escaped or encoded.
    pub(super) fn of<'v>(values: impl Iterator<Item = &'v String>) -> Self {
        let mut forms: Vec<Form> = values.flat_map(|value| form::forms(value)).collect();
        forms.sort();
        forms.dedup();
        if forms.is_empty() {
            return Self::default();
        }
        let ways = Ways::of_all(&forms);
        let mut by_first = vec![Vec::new(); 256];
        for (index, form) in forms.iter().enumerate() {
            form.first_bytes(&ways).into_iter().for_each(|byte| by_first[usize::from(byte)].push(index));
        }
        Self(Arc::new(Table { forms, ways, by_first }))
    }

    /// A text without the secrets.
    pub(super) fn text(&self, text: &str) -> String {
        let mut masker = Masker::new(self.clone());
        let mut out = masker.push(text.as_bytes());
        out.extend(masker.finish());
        String::from_utf8_lossy(&out).into_owned()
    }
}

impl Table {
    /// The longest form that `text` begins with; [`Found::Begin`] when more would make it another.
    fn at(&self, text: &[u8], more: More) -> Found {
        let mut found = Found::No;
        for index in &self.by_first[usize::from(text[0])] {
            match (self.forms[*index].at(&self.ways, text), found) {
                (Found::Begin, _) if more == More::MayCome => return Found::Begin,
                (Found::Whole(count), Found::Whole(longest)) if count <= longest => {}
                (Found::Whole(count), _) => found = Found::Whole(count),
                (Found::Begin | Found::No, _) => {}
            }
        }
        found
    }
}

/// Whether the stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    MayCome,
    IsOver,
}

/// Masks one stream. A secret is found also when it comes in several parts, however long apart.
#[derive(Debug)]
pub(super) struct Masker {
    masks: Masks,
    held: Vec<u8>,
    /// Bytes at the beginning of `held` that are part of a secret whose mask was given already.
    covered: usize,
}

impl Masker {
    pub(super) fn new(masks: Masks) -> Self {
        Self { masks, held: Vec::new(), covered: 0 }
    }

    /// Takes in bytes; gives those that can be shown. What may be the beginning of a secret is
    /// held back until it is known.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.masks.0.forms.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        self.take(More::MayCome)
    }

    /// Gives what is held back: nothing comes after it.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.take(More::IsOver)
    }

    fn take(&mut self, more: More) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            match self.masks.0.at(&self.held[at..], more) {
                Found::Begin => break,
                Found::Whole(count) => {
                    if at >= self.covered {
                        out.extend_from_slice(MASK.as_bytes());
                    }
                    // Another secret may begin inside of this one and go on behind it.
                    self.covered = self.covered.max(at + count);
                }
                Found::No => {}
            }
            if at >= self.covered {
                out.push(self.held[at]);
            }
            at += 1;
        }
        self.held.drain(..at);
        self.covered = self.covered.saturating_sub(at);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masks(values: &[&str]) -> Masks {
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        Masks::of(values.iter())
    }

    #[track_caller]
    fn check(values: &[&str], chunks: &[&str], expected: &str) {
        let mut masker = Masker::new(masks(values));
        let mut out: Vec<u8> = chunks.iter().flat_map(|chunk| masker.push(chunk.as_bytes())).collect();
        out.extend(masker.finish());
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{values:?} in {chunks:?}");
    }

    #[test]
    fn mask_table() {
        check(&[], &["nothing to hide"], "nothing to hide");
        check(&["s3cret"], &["a s3cret b"], "a *** b");
        check(&["s3cret"], &["a s3", "cr", "et b"], "a *** b");
        check(&["s3cret"], &["s3cre"], "s3cre");
        check(&["abcd", "abcdef"], &["abcdef abcd"], "*** ***");
        check(&["abcd", "abcdef"], &["abcd", "ef abcd"], "*** ***");
        check(&["abcd", "cdefg"], &["abcdefg."], "***.");
        check(&["abcd", "cdefg"], &["abcde", "fg."], "***.");
        check(&["abcd", "cdefg"], &["abcde", "."], "***e.");
        check(&["abc"], &["abc"], "abc");
        check(&["  padded  "], &["[padded]"], "[***]");
        check(&["line one is long\nline two is long"], &["line two is long"], "***");
    }

    /// F19.
    #[test]
    fn escaped_forms_table() {
        let secret = r#"p@ss w0rd/+"x'"#;
        for text in [
            r#"p@ss w0rd/+"x'"#,
            "p%40ss%20w0rd%2F%2B%22x%27",
            "p%40ss%20w0rd%2f%2b%22x%27",
            "p@ss%20w0rd/+%22x'",
            "p%40ss+w0rd%2F%2B%22x%27",
            r#"p@ss w0rd/+\"x'"#,
            r#"p@ss w0rd\/+\"x\u0027"#,
            r#"p@ss w0rd/+"x'\''"#,
            "p@ss w0rd/+&quot;x&#39;",
        ] {
            check(&[secret], &["a ", text, " b"], "a *** b");
        }
        check(&["pässword"], &[r"p\u00e4ssword p%C3%A4ssword pässword"], "*** *** ***");
        check(&["50%25off"], &["50%25off 50%2525off"], "*** ***");
        check(&["a + b +c"], &["a + b +c a+%2B+b+%2Bc"], "*** ***");
    }

    /// F19.
    #[test]
    fn a_secret_of_several_lines_is_masked_whole_folded_and_line_by_line() {
        let key = "-----BEGIN-----\nMIIB\nab\n-----END-----";
        check(&[key], &["<", key, ">"], "<***>");
        check(&[key], &["<-----BEGIN----- MIIB ab -----END----->"], "<***>");
        check(&[key], &["<-----BEGIN-----\r\nMIIB\r\nab\r\n-----END----->"], "<***>");
        check(&[key], &[r"<-----BEGIN-----\nMIIB\nab\n-----END----->"], "<***>");
        check(&[key], &["x MIIB y"], "x *** y");
        // Too short to be told from any other text.
        check(&[key], &["x ab y"], "x ab y");
    }

    /// F19.
    #[test]
    fn base64_of_a_secret_is_masked_wherever_it_begins() {
        // `us:`, `abc:` and `user:` before `pass>word?`, then `pass>word?` alone.
        check(&["pass>word?"], &["Basic dXM6cGFzcz53b3JkPw=="], "Basic dXM6***w==");
        check(&["pass>word?"], &["Basic YWJjOnBhc3M+d29yZD8="], "Basic YWJjOn***8=");
        check(&["pass>word?"], &["Basic dXNlcjpwYXNzPndvcmQ/"], "Basic dXNlcjp***");
        check(&["pass>word?"], &["cGFzcz53b3JkPw== cGFzcz53b3JkPwo="], "***w== ***wo=");
        check(&["????>>>>"], &["Pz8/Pz4+Pj4= Pz8_Pz4-Pj4="], "***4= ***4=");
        check(&["a secret that is long"], &["YSBzZWNyZXQg\ndGhhdCBpcyBsb25n"], "***");
    }

    #[test]
    fn only_what_may_begin_a_secret_is_held_back() {
        let mut masker = Masker::new(masks(&["s3cret"]));
        let mut push = |text: &str| String::from_utf8(masker.push(text.as_bytes())).unwrap();
        assert_eq!(push("all of this\n"), "all of this\n");
        assert_eq!(push("up to s3c"), "up to ");
        assert_eq!(push("ond\n"), "s3cond\n");
        assert_eq!(push("s"), "");
        assert_eq!(push("3cret"), "***");
    }

    proptest! {
        /// However the stream is cut, the secret is not in what comes out.
        #[test]
        fn no_cut_lets_a_secret_through(before in "[ab ]{0,20}", after in "[ab ]{0,20}", cuts in proptest::collection::vec(0_usize..60, 0..6)) {
            let text = format!("{before}abba-secret{after}");
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let mut masker = Masker::new(masks(&["abba-secret"]));
            let mut out = Vec::new();
            let mut from = 0;
            for cut in cuts {
                out.extend(masker.push(&text.as_bytes()[from..cut]));
                from = cut;
            }
            out.extend(masker.finish());
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{before}***{after}"));
        }
    }
}
