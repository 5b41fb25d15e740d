//! Reads one file, or says why it cannot be used.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use crate::manifest::{
    file::{Content, ManifestFile},
    yaml::limits::BYTES_MAX,
};

/// How often a file is read again that changed while it was read.
const TRIES_MAX: usize = 3;

/// What tells a version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Of the inode: a file that was copied with its times kept is still told apart.
    pub(super) changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a file; none when it vanished meanwhile.
pub(super) fn read(path: &Path, shown: &str) -> Option<(ManifestFile, Option<Stamp>)> {
    let mut newest = None;
    for _ in 0..TRIES_MAX {
        let (content, hash, before, after) = match read_once(path) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return Some((unreadable(shown, reason(&error)), None)),
        };
        let file = ManifestFile { path: shown.to_owned(), content_hash: hash, content };
        if before == after {
            return Some((file, Some(after)));
        }
        // Somebody writes to it: what was read may be half of it.
        newest = Some((file, None));
    }
    newest
}

fn read_once(path: &Path) -> io::Result<(Content, [u8; 32], Stamp, Stamp)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let before = Stamp::of(&metadata);
    if metadata.len() > BYTES_MAX as u64 {
        let content = Content::TooLarge { bytes: metadata.len(), bytes_max: BYTES_MAX as u64 };
        // The size and the times stand in for the content, which is not looked at.
        let hash = *blake3::hash(format!("{before:?}").as_bytes()).as_bytes();
        return Ok((content, hash, before, before));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    (&file).take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    let after = Stamp::of(&file.metadata()?);
    let hash = *blake3::hash(&bytes).as_bytes();
    let content = match String::from_utf8(bytes) {
        Ok(text) => Content::Text(text.into()),
        Err(error) => Content::NotText { offset: error.utf8_error().valid_up_to() },
    };
    Ok((content, hash, before, after))
}

/// A file that is there and cannot be read.
pub(super) fn unreadable(shown: &str, reason: String) -> ManifestFile {
    let content_hash = *blake3::hash(reason.as_bytes()).as_bytes();
    ManifestFile { path: shown.to_owned(), content_hash, content: Content::Unreadable { reason } }
}

/// An error of the system in a few words.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "its symbolic links form a circle".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_told_in_words() {
        assert_eq!(reason(&io::Error::from(io::ErrorKind::PermissionDenied)), "permission denied");
        assert_eq!(reason(&io::Error::from_raw_os_error(40)), "its symbolic links form a circle");
    }
}
