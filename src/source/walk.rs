//! Walks the tree: which files are manifests, which directories are there.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use super::read::reason;

/// Most files of a tree.
pub(super) const FILES_MAX: usize = 1_000_000;

/// Deepest nesting of directories: past this a tree is a mistake.
pub(super) const DEPTH_MAX: usize = 64;

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Files that look like manifests.
    pub(super) files: Vec<Found>,
    /// Entries that look like manifests and are none, with the reason.
    pub(super) odd: Vec<(String, String)>,
    /// Directories that could not be listed, with the reason.
    pub(super) unreadable: Vec<(String, String)>,
    /// Every directory that was listed, as it can be watched.
    pub(super) directories: Vec<PathBuf>,
}

/// A file that looks like a manifest.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Relative to the root, with `/` between parts.
    pub(super) shown: String,
    pub(super) metadata: Metadata,
}

/// Walks the tree under `root`.
pub(super) fn walk(root: &Path) -> io::Result<Walk> {
    let mut walk = Walk::default();
    let metadata = fs::metadata(root)?;
    let entries = fs::read_dir(root)?;
    walk.directory(root, "", entries, &mut vec![(metadata.dev(), metadata.ino())])?;
    Ok(walk)
}

/// Whether a name is that of a manifest, and not that of a hidden or temporary file.
pub(super) fn is_manifest(name: &str) -> bool {
    let temporary = name.starts_with('.') || name.starts_with('#') || name.ends_with('~');
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    !temporary && matches!(ending, Some("yaml" | "yml"))
}

impl Walk {
    /// Lists one directory; an error is one of this directory.
    fn directory(
        &mut self,
        path: &Path,
        shown: &str,
        entries: fs::ReadDir,
        above: &mut Vec<(u64, u64)>,
    ) -> io::Result<()> {
        self.directories.push(path.to_owned());
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            match name.into_string() {
                Ok(name) => names.push(name),
                Err(name) => {
                    let lossy = name.to_string_lossy().into_owned();
                    if is_manifest(&lossy) {
                        self.odd.push((join(shown, &lossy), "its name is not UTF-8".to_owned()));
                    }
                }
            }
        }
        names.sort_unstable();
        for name in names.into_iter().filter(|name| !name.starts_with('.')) {
            self.entry(path.join(&name), join(shown, &name), &name, above);
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, shown: String, name: &str, above: &mut Vec<(u64, u64)>) {
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => {
                // Gone since the directory was listed is no error; a link to nowhere is one.
                let is_link = fs::symlink_metadata(&path).is_ok_and(|link| link.is_symlink());
                if is_manifest(name) && (is_link || error.kind() != io::ErrorKind::NotFound) {
                    let reason = match error.kind() {
                        io::ErrorKind::NotFound => {
                            "it is a symbolic link to a file that is not there".to_owned()
                        }
                        _ => reason(&error),
                    };
                    self.odd.push((shown, reason));
                }
                return;
            }
        };
        if metadata.is_dir() {
            self.enter(&path, shown, &metadata, above);
        } else if is_manifest(name) {
            if self.files.len() >= FILES_MAX {
                self.odd.push((shown, format!("a tree has at most {FILES_MAX} manifests")));
            } else if metadata.is_file() {
                self.files.push(Found { path, shown, metadata });
            } else {
                self.odd.push((shown, format!("it is not a file but {}", kind(&metadata))));
            }
        }
    }

    fn enter(&mut self, path: &Path, shown: String, metadata: &Metadata, above: &mut Vec<(u64, u64)>) {
        let id = (metadata.dev(), metadata.ino());
        if above.contains(&id) {
            self.unreadable.push((shown, "it is a symbolic link to a directory that holds it".to_owned()));
            return;
        }
        if above.len() >= DEPTH_MAX {
            self.unreadable.push((shown, format!("directories are nested deeper than {DEPTH_MAX}")));
            return;
        }
        above.push(id);
        let listed = fs::read_dir(path).and_then(|entries| self.directory(path, &shown, entries, above));
        above.pop();
        match listed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.unreadable.push((shown, reason(&error)));
            }
            _ => {}
        }
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_manifests() {
        for name in ["a.yaml", "a.yml", "_defaults.yaml", "a.b.yaml"] {
            assert!(is_manifest(name), "{name}");
        }
        for name in [".a.yaml", "a.yaml~", "#a.yaml#", ".#a.yaml", "a.yaml.swp", "4913", "a.json", "yaml"] {
            assert!(!is_manifest(name), "{name}");
        }
    }
}
