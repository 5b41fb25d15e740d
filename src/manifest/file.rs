//! A file of the tree, as `source` read it and `load` takes it.

use std::sync::Arc;

/// A file of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Path relative to the root of the tree, with `/` between parts.
    pub path: Arc<str>,
    /// BLAKE3 of the bytes; of nothing when they could not be read.
    pub content_hash: [u8; 32],
    /// What was read.
    pub content: Content,
}

/// What reading a file gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The whole text.
    Text(Arc<str>),
    /// The file is there and cannot be read: permissions, a dangling symlink, an I/O error.
    Unreadable {
        /// What the system said; after a colon, the way out where it is known.
        reason: String,
    },
    /// The bytes are not UTF-8.
    NotText {
        /// Offset of the first byte that is not.
        offset: usize,
        /// What they look like.
        encoding: Option<Encoding>,
    },
    /// The file is larger than the limit, and was not read.
    TooLarge {
        /// Size in bytes.
        bytes: u64,
        /// The limit in bytes.
        bytes_max: u64,
    },
}

/// An encoding that is none of ours, and that editors write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// With a byte-order mark.
    Utf16,
    /// Without one, the lower byte first.
    Utf16Le,
    /// Without one, the higher byte first.
    Utf16Be,
}

impl Content {
    /// What these bytes are.
    #[must_use]
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        if let Some(encoding) = Encoding::of(&bytes) {
            return Self::NotText { offset: 0, encoding: Some(encoding) };
        }
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text.into()),
            Err(error) => Self::NotText { offset: error.utf8_error().valid_up_to(), encoding: None },
        }
    }
}

impl Encoding {
    /// The name that `iconv` knows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Utf16 => "UTF-16",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
        }
    }

    /// The encoding that these bytes look like; none of UTF-8, whose texts hold no zero byte.
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Self::Utf16),
            [low @ 1..=0xff, 0, 1..=0xff, 0, ..] if low.is_ascii() => Some(Self::Utf16Le),
            [0, low @ 1..=0xff, 0, 1..=0xff, ..] if low.is_ascii() => Some(Self::Utf16Be),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What bytes are: a text, or where they are none, and the encoding that they look like.
    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let shown = match Content::of_bytes(bytes.to_vec()) {
            Content::Text(text) => format!("text {text:?}"),
            Content::NotText { offset, encoding } => {
                format!("{offset} {}", encoding.map_or("-", Encoding::as_str))
            }
            other => format!("{other:?}"),
        };
        assert_eq!(shown, expected, "{bytes:?}");
    }

    #[test]
    #[rustfmt::skip]
    fn bytes_are_a_text_or_look_like_another_encoding() {
        check(b"",                    "text \"\"");
        check(b"run",                 "text \"run\"");
        check(b"\xef\xbb\xbfrun",     "text \"\\u{feff}run\"");
        check(b"r\0",                 "text \"r\\0\"");
        check(b"ru\xe4",              "2 -");
        check(b"\xe4",                "0 -");
        check(b"\xff\xfer\0u\0",      "0 UTF-16");
        check(b"\xfe\xff\0r\0u",      "0 UTF-16");
        check(b"r\0u\0n\0",           "0 UTF-16LE");
        check(b"\0r\0u\0n",           "0 UTF-16BE");
    }
}
