//! Walks the tree and lists what is there, without opening a file.

use std::{
    ffi::OsStr,
    fs::{self, DirEntry, Metadata},
    io,
    path::{Path, PathBuf},
};

use super::{
    content, names,
    places::Places,
    reason,
    scan::{Behind, ScanError, Unreadable},
    stat::{Identity, Newest, Stat},
};

/// Deepest directory under the root: deeper than people nest, and less than what a stack bears.
pub(super) const DEPTH_MAX: usize = 64;

/// How much a tree may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most manifests.
    pub(super) files: usize,
    /// Most entries of any kind that are looked at.
    pub(super) entries: usize,
}

/// More manifests than any one scheduler could run; and a root with a million entries is a mistake,
/// such as `/`.
pub(super) const LIMITS: Limits = Limits { files: 200_000, entries: 1_000_000 };

/// What is in the tree.
#[derive(Debug)]
pub(super) struct Listing {
    /// Everything with the name of a manifest, nearly in the order of paths.
    pub(super) entries: Vec<Entry>,
    /// Directories that could not be listed.
    pub(super) unreadable: Vec<Unreadable>,
    /// Every `.git` in the tree and above its root.
    pub(super) git: Vec<PathBuf>,
    /// The newest change of a file or directory in it, the root among them.
    pub(super) newest: Newest,
}

/// Something with the name of a manifest.
#[derive(Debug)]
pub(super) struct Entry {
    /// Path relative to the root.
    pub(super) path: String,
    /// Where to open it.
    pub(super) real: PathBuf,
    /// What it is.
    pub(super) found: Found,
}

/// What stands at the place of a manifest.
#[derive(Debug)]
pub(super) enum Found {
    /// A file, or a link to one.
    File(Stat),
    /// Something that cannot be read, and why.
    Broken(String),
}

impl Entry {
    /// Whether its content is looked at: a file, and not one that is too large for that.
    pub(super) fn is_opened(&self) -> bool {
        matches!(&self.found, Found::File(stat) if content::too_large(stat.bytes).is_none())
    }
}

/// Lists the tree at `root`, which may also be a single file.
///
/// `places` is filled in as far as the walk comes, so that the way to a missing root can be
/// watched too.
///
/// # Errors
///
/// When there is no root, when it cannot be listed, and when there is too much in it.
pub(super) fn list(root: &Path, places: &mut Places) -> Result<Listing, ScanError> {
    list_within(root, places, LIMITS)
}

/// Like [`list`], within other limits.
pub(super) fn list_within(root: &Path, places: &mut Places, limits: Limits) -> Result<Listing, ScanError> {
    let absolute = std::path::absolute(root).map_err(|error| ScanError::of_root(root, &error))?;
    places.note_way(Path::new("/"), &absolute);
    let real = fs::canonicalize(&absolute).map_err(|error| ScanError::of_root(root, &error))?;
    let metadata = fs::metadata(&real).map_err(|error| ScanError::of_root(root, &error))?;

    let git = real.ancestors().skip(1).map(|above| above.join(".git")).collect();
    let mut walk = Walk {
        root,
        limits,
        places,
        listing: Listing { entries: Vec::new(), unreadable: Vec::new(), git, newest: Newest::of(&metadata) },
        ancestors: Vec::new(),
        looked_at: 0,
    };
    if metadata.is_file() {
        let path = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        walk.push(path, real, Found::File(Stat::of(&metadata)))?;
    } else if metadata.is_dir() {
        let entries = fs::read_dir(&real).map_err(|error| ScanError::of_root(root, &error))?;
        walk.directory("", &real, Identity::of(&metadata), entries)?;
    } else {
        let reason = reason::of_type(metadata.file_type()).to_owned();
        return Err(ScanError::of_reason(root, reason));
    }
    Ok(walk.listing)
}

/// What one entry of a directory of the tree is, that an event named.
#[derive(Debug)]
pub(super) enum Named {
    /// A manifest, with what stands at its place.
    Entry(Entry),
    /// Nothing is there, or nothing that the tree takes notice of.
    Nothing,
    /// Something to be walked: a directory, or a link.
    Walk,
}

/// Looks at the entry at `real`, which is at `path` in the tree. Says of a manifest what [`list`] says.
pub(super) fn look(real: &Path, path: String) -> Named {
    let is_manifest = names::is_manifest(path.rsplit('/').next().unwrap_or_default());
    let entry = |found| Named::Entry(Entry { path, real: real.to_owned(), found });
    match fs::symlink_metadata(real) {
        Err(error) if reason::is_gone(&error) => Named::Nothing,
        Err(_) => Named::Walk,
        Ok(metadata) if metadata.is_symlink() || (metadata.is_dir() && !is_manifest) => Named::Walk,
        Ok(_) if !is_manifest => Named::Nothing,
        Ok(metadata) if metadata.is_file() => entry(Found::File(Stat::of(&metadata))),
        Ok(metadata) => entry(Found::Broken(reason::of_type(metadata.file_type()).to_owned())),
    }
}

struct Walk<'a> {
    root: &'a Path,
    limits: Limits,
    places: &'a mut Places,
    listing: Listing,
    /// The directories that the walk is in, so that a link to one of them is not followed.
    ancestors: Vec<Identity>,
    looked_at: usize,
}

impl Walk<'_> {
    fn directory(
        &mut self,
        path: &str,
        real: &Path,
        identity: Identity,
        entries: fs::ReadDir,
    ) -> Result<(), ScanError> {
        self.places.note_directory(real, identity, path);
        self.ancestors.push(identity);
        let mut sorted = Vec::new();
        for entry in entries {
            match entry {
                Ok(_) if self.looked_at == self.limits.entries => {
                    return Err(ScanError::too_many(self.root, self.limits.entries, "entries"));
                }
                Ok(entry) => {
                    self.looked_at += 1;
                    sorted.push((entry.file_name(), entry));
                }
                Err(error) => {
                    self.unreadable(path.to_owned(), reason::of_error(&error), Behind::Unknown);
                    break;
                }
            }
        }
        // Nearly the order of the paths, and quicker: names are short, and side by side in memory.
        sorted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (name, entry) in &sorted {
            self.entry(path, real, name, entry)?;
        }
        self.ancestors.pop();
        Ok(())
    }

    fn entry(
        &mut self,
        above: &str,
        above_real: &Path,
        name: &OsStr,
        entry: &DirEntry,
    ) -> Result<(), ScanError> {
        let shown = name.to_string_lossy();
        if shown == ".git" {
            self.listing.git.push(entry.path());
        }
        if names::is_ignored(&shown) {
            return Ok(());
        }
        let path = if above.is_empty() { shown.clone().into_owned() } else { [above, &*shown].join("/") };
        let is_manifest = names::is_manifest(&shown);
        let real = above_real.join(name);
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) if reason::is_gone(&error) => return Ok(()),
            Err(error) => return self.broken(path, real, reason::of_error(&error), reason::behind(&error)),
        };
        if !is_manifest && !kind.is_dir() && !kind.is_symlink() {
            return Ok(());
        }
        if name.to_str().is_none() {
            let reason = "its name is not UTF-8: rename it".to_owned();
            return self.broken(path, real, reason, Behind::Nothing);
        }

        let metadata = if kind.is_symlink() {
            match self.follow(above_real, &real) {
                Ok(metadata) => metadata,
                Err(None) => return Ok(()),
                Err(Some((reason, behind))) => return self.broken(path, real, reason, behind),
            }
        } else {
            match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if reason::is_gone(&error) => return Ok(()),
                Err(error) => {
                    return self.broken(path, real, reason::of_error(&error), reason::behind(&error));
                }
            }
        };
        self.listing.newest.note(&metadata);
        if is_manifest && metadata.is_file() {
            self.push(path, real, Found::File(Stat::of(&metadata)))
        } else if is_manifest {
            self.broken(path, real, reason::of_type(metadata.file_type()).to_owned(), Behind::Nothing)
        } else if metadata.is_dir() {
            self.descend(path, &real, Identity::of(&metadata))
        } else {
            Ok(())
        }
    }

    /// Notes what can be named and not read. What has not the name of a manifest may have been a
    /// directory full of them.
    fn broken(
        &mut self,
        path: String,
        real: PathBuf,
        reason: String,
        behind: Behind,
    ) -> Result<(), ScanError> {
        if names::is_manifest(path.rsplit('/').next().unwrap_or_default()) {
            self.listing.newest.note_unknown();
            return self.push(path, real, Found::Broken(reason));
        }
        self.unreadable(path, reason, behind);
        Ok(())
    }

    fn descend(&mut self, path: String, real: &Path, identity: Identity) -> Result<(), ScanError> {
        if self.ancestors.contains(&identity) {
            // A link back to where the walk comes from: everything there is read already.
            return Ok(());
        }
        if self.ancestors.len() > DEPTH_MAX {
            let reason = format!("it is nested more than {DEPTH_MAX} directories deep");
            self.unreadable(path, reason, Behind::Nothing);
            return Ok(());
        }
        let opened = fs::canonicalize(real).and_then(|real| Ok((fs::read_dir(&real)?, real)));
        match opened {
            Ok((entries, real)) => self.directory(&path, &real, identity, entries),
            Err(error) if reason::is_gone(&error) => Ok(()),
            Err(error) => {
                self.unreadable(path, reason::of_error(&error), Behind::Unknown);
                Ok(())
            }
        }
    }

    /// What a link leads to; `Err(None)` when the link itself is gone.
    fn follow(&mut self, above: &Path, link: &Path) -> Result<Metadata, Option<(String, Behind)>> {
        if let Some(name) = link.file_name() {
            self.places.note_way(above, Path::new(name));
        }
        fs::metadata(link).map_err(|error: io::Error| {
            let target = fs::read_link(link).ok()?;
            Some((reason::of_link(&error, &target.to_string_lossy()), reason::behind(&error)))
        })
    }

    fn push(&mut self, path: String, real: PathBuf, found: Found) -> Result<(), ScanError> {
        if self.listing.entries.len() == self.limits.files {
            return Err(ScanError::too_many(self.root, self.limits.files, "manifests"));
        }
        self.listing.entries.push(Entry { path, real, found });
        Ok(())
    }

    fn unreadable(&mut self, path: String, reason: String, behind: Behind) {
        self.listing.newest.note_unknown();
        self.listing.unreadable.push(Unreadable { path, reason, behind });
    }
}
