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
    },
    /// The file is larger than the limit, and was not read.
    TooLarge {
        /// Size in bytes.
        bytes: u64,
        /// The limit in bytes.
        bytes_max: u64,
    },
}
