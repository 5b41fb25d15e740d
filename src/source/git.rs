//! Whether git is at work in the tree.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The git directory of the work tree that holds a path.
pub(super) fn git_directory(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find_map(|directory| {
        let git = directory.join(".git");
        let metadata = fs::symlink_metadata(&git).ok()?;
        if metadata.is_dir() {
            return Some(git);
        }
        // A work tree of its own, or a submodule: a file that names the directory.
        let text = fs::read_to_string(&git).ok()?;
        Some(directory.join(text.strip_prefix("gitdir:")?.trim()))
    })
}

/// Whether git is changing the work tree now.
pub(super) fn is_busy(path: &Path) -> bool {
    git_directory(path).is_some_and(|git| git.join("index.lock").exists())
}
