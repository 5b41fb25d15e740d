//! Reads one file.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use rustix::fs::{Mode, OFlags};

use super::{reason, stat::Stat};
use crate::manifest::{file::Content, yaml::limits};

/// Most bytes of a file that is read.
const BYTES_MAX: u64 = limits::BYTES_MAX as u64;

/// What came of reading a file.
#[derive(Debug)]
pub(super) enum Reading {
    /// It vanished since it was listed.
    Gone,
    /// It is there.
    Read {
        /// BLAKE3 of the bytes; of nothing when there are none.
        hash: [u8; 32],
        /// The text, or what stands against it.
        content: Content,
        /// Stamps of the file just before it was read, so that a change meanwhile shows when they are
        /// compared; `None` when it was not read.
        stat: Option<Stat>,
    },
}

/// Reads the file at `path`, without ever waiting for a writer.
pub(super) fn read(path: &Path) -> Reading {
    match attempt(path) {
        Ok(reading) => reading,
        Err(error) if reason::is_gone(&error) => Reading::Gone,
        Err(error) => refused(Content::Unreadable { reason: reason::of_error(&error) }),
    }
}

/// A file of `bytes` that is not opened at all, when that is more than a file may have.
pub(super) fn too_large(bytes: u64) -> Option<Reading> {
    (bytes > BYTES_MAX).then(|| refused(Content::TooLarge { bytes, bytes_max: BYTES_MAX }))
}

/// What stands in the place of a text that was not read.
pub(super) fn refused(content: Content) -> Reading {
    Reading::Read { hash: *blake3::hash(b"").as_bytes(), content, stat: None }
}

fn attempt(path: &Path) -> io::Result<Reading> {
    // Between the listing and now the file may have become a FIFO, whose opening would block.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let reason = reason::of_type(metadata.file_type()).to_owned();
        return Ok(refused(Content::Unreadable { reason }));
    }
    let stat = Stat::of(&metadata);
    if let Some(reading) = too_large(stat.bytes) {
        return Ok(reading);
    }

    let mut bytes = Vec::with_capacity(usize::try_from(stat.bytes).unwrap_or(0) + 1);
    let length = (&file).take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if let Some(reading) = too_large(length as u64) {
        return Ok(reading);
    }
    let hash = *blake3::hash(&bytes).as_bytes();
    Ok(Reading::Read { hash, content: Content::of_bytes(bytes), stat: Some(stat) })
}
