//! Whether git is writing to a work tree.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// Most bytes of a `.git` file: one path.
const POINTER_BYTES_MAX: u64 = 8192;

/// Whether git holds the index of the work tree that this `.git` belongs to, as it does from the
/// first to the last file of a checkout.
pub(super) fn is_busy(dot_git: &Path) -> bool {
    repository(dot_git).is_some_and(|path| path.join("index.lock").symlink_metadata().is_ok())
}

/// The directory of the repository: `.git` itself, or what it names in a linked work tree or a
/// submodule.
pub(super) fn repository(dot_git: &Path) -> Option<PathBuf> {
    let metadata = fs::metadata(dot_git).ok()?;
    if metadata.is_dir() {
        return Some(dot_git.to_owned());
    }
    if !metadata.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(dot_git).ok()?.take(POINTER_BYTES_MAX).read_to_string(&mut text).ok()?;
    let target = text.strip_prefix("gitdir:")?.trim();
    Some(dot_git.parent()?.join(target))
}
