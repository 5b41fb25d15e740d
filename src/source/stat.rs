//! What tells that a file is still the one that was read.

use std::{fs::Metadata, os::unix::fs::MetadataExt, time::Duration};

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

/// The hash of a [`Stat`], where very many are kept: the first bytes of BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StatHash([u8; 16]);

/// When the newest change of all that was looked at was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Newest {
    dev: u64,
    /// Since 1970; none when nobody knows.
    nanos: Option<i128>,
}

impl Newest {
    /// That of the root.
    pub(super) fn of(root: &Metadata) -> Self {
        Self { dev: root.dev(), nanos: Some(changed(root)) }
    }

    /// Takes in what else was looked at. It is the change stamp that counts: `cp -a`, `rsync` and `tar`
    /// set the others. Another file system may have another clock.
    pub(super) fn note(&mut self, metadata: &Metadata) {
        self.nanos =
            self.nanos.filter(|_| self.dev == metadata.dev()).map(|nanos| nanos.max(changed(metadata)));
    }

    /// Takes in something that could not be looked at: it may be changing.
    pub(super) fn note_unknown(&mut self) {
        self.nanos = None;
    }

    /// How long before `now` that was; none when it lies behind it, so that the clocks do not agree.
    pub(super) fn before(self, now: Timestamp) -> Option<Duration> {
        let nanos = now.as_nanosecond() - self.nanos?;
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }
}

fn changed(metadata: &Metadata) -> i128 {
    nanos((metadata.ctime(), metadata.ctime_nsec()))
}

fn nanos((secs, nanos): (i64, i64)) -> i128 {
    i128::from(secs) * 1_000_000_000 + i128::from(nanos)
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
        nanos(self.changed) + RACY_NANOS < scanned.as_nanosecond()
    }

    pub(super) fn hash(&self) -> StatHash {
        let mut hasher = blake3::Hasher::new();
        self.hash_into(&mut hasher);
        let mut hash = [0; 16];
        hasher.finalize_xof().fill(&mut hash);
        StatHash(hash)
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
