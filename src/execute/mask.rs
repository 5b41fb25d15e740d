//! Takes secrets out of a stream of bytes.

use std::sync::Arc;

/// Shorter values are not masked: they stand in any text by chance, and masking them would only
/// tell where.
const LENGTH_MIN: usize = 4;

/// Single lines of a secret with several are masked from this length on.
const LINE_LENGTH_MIN: usize = 8;

/// What stands in place of a secret.
const MASK: &[u8] = b"***";

/// The byte strings to take out, longest first. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Masks(Arc<[Vec<u8>]>);

impl Masks {
    /// What to take out so that none of the values is seen: each value, without blanks around it,
    /// and each of its lines.
    pub(super) fn of<'v>(values: impl Iterator<Item = &'v String>) -> Self {
        let mut masks: Vec<Vec<u8>> = Vec::new();
        for value in values {
            masks.push(value.as_bytes().to_vec());
            masks.push(value.trim().as_bytes().to_vec());
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= LINE_LENGTH_MIN);
            masks.extend(lines.map(|line| line.as_bytes().to_vec()));
        }
        masks.retain(|mask| mask.len() >= LENGTH_MIN);
        masks.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        masks.dedup();
        Self(masks.into())
    }

    /// A text without the secrets.
    pub(super) fn text(&self, text: &str) -> String {
        let mut masker = Masker::new(self.clone());
        let mut out = masker.push(text.as_bytes());
        out.extend(masker.flush());
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Masks one stream. A secret is found also when it comes in several parts.
#[derive(Debug)]
pub(super) struct Masker {
    masks: Masks,
    held: Vec<u8>,
}

impl Masker {
    pub(super) fn new(masks: Masks) -> Self {
        Self { masks, held: Vec::new() }
    }

    /// Takes in bytes; gives those that can be shown. What may be the beginning of a secret is
    /// held back.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.masks.0.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            if let Some(mask) = self.masks.0.iter().find(|mask| rest.starts_with(mask)) {
                out.extend_from_slice(MASK);
                at += mask.len();
            } else if self.masks.0.iter().any(|mask| mask.starts_with(rest)) {
                break;
            } else {
                out.push(rest[0]);
                at += 1;
            }
        }
        self.held.drain(..at);
        out
    }

    /// Whether something is held back.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Gives what is held back: nothing came after it.
    pub(super) fn flush(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
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
        out.extend(masker.flush());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn mask_table() {
        check(&[], &["nothing to hide"], "nothing to hide");
        check(&["s3cret"], &["a s3cret b"], "a *** b");
        check(&["s3cret"], &["a s3", "cr", "et b"], "a *** b");
        check(&["s3cret"], &["s3cre"], "s3cre");
        check(&["abcd", "abcdef"], &["abcdef abcd"], "*** ***");
        check(&["abc"], &["abc"], "abc");
        check(&["  padded  "], &["[padded]"], "[***]");
        check(&["line one is long\nline two is long"], &["line two is long"], "***");
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
            out.extend(masker.flush());
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{before}***{after}"));
        }
    }
}
