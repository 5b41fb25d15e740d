//! What tells that a file is still the one that was read.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

use jiff::Timestamp;

/// How much older than the scan a change must be before equal stamps mean equal bytes: well above
/// the granularity of any file system's stamps that still counts in ticks (10 ms).
const RACY_NANOS: i128 = 50_000_000;

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    dev: u64,
    ino: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { dev: metadata.dev(), ino: metadata.ino() }
    }
}

/// What the file system says of a file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stat {
    identity: Identity,
    pub(super) bytes: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stat {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            identity: Identity::of(metadata),
            bytes: metadata.size(),
            mode: metadata.mode(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file was last changed so long before `scanned` that any later change shows in
    /// its stamps. It is the change stamp that counts: nobody can set that one.
    pub(super) fn is_settled(&self, scanned: Timestamp) -> bool {
        let changed = i128::from(self.changed.0) * 1_000_000_000 + i128::from(self.changed.1);
        changed + RACY_NANOS < scanned.as_nanosecond()
    }

    pub(super) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        for number in [self.identity.dev, self.identity.ino, self.bytes, u64::from(self.mode)] {
            hasher.update(&number.to_le_bytes());
        }
        for number in [self.modified.0, self.modified.1, self.changed.0, self.changed.1] {
            hasher.update(&number.to_le_bytes());
        }
    }
}
