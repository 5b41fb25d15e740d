//! Which events of the file system are about the tree.
//!
//! Pure.

use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use notify::{
    Event, EventKind,
    event::{ModifyKind, RemoveKind},
};

use super::{names, places::Places};

/// What counts, and what is watched for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Interest {
    directories: HashSet<PathBuf>,
    entries: HashSet<PathBuf>,
    ways: HashSet<PathBuf>,
}

impl Interest {
    pub(super) fn of(places: &Places) -> Self {
        let ways: BTreeSet<&Path> = places.ways();
        Self {
            directories: places.directories.keys().cloned().collect(),
            entries: places.entries.iter().cloned().collect(),
            ways: ways.into_iter().map(Path::to_owned).collect(),
        }
    }

    /// Whether an event that counts here did not count in `before`.
    pub(super) fn exceeds(&self, before: &Self) -> bool {
        !self.directories.is_subset(&before.directories) || !self.entries.is_subset(&before.entries)
    }

    /// Whether the tree may differ after this event.
    pub(super) fn wants(&self, event: &Event) -> bool {
        // Our own reading is an access. To react to it would go on for ever.
        if matches!(event.kind, EventKind::Access(_)) {
            return false;
        }
        event.need_rescan()
            || event.paths.is_empty()
            || event.paths.iter().any(|path| self.counts(path, event.kind))
    }

    /// Whether a watched directory may be another one after this event, so that its watch is lost.
    pub(super) fn unseats(&self, event: &Event) -> bool {
        let moves = match event.kind {
            EventKind::Remove(kind) => kind != RemoveKind::File,
            EventKind::Modify(ModifyKind::Name(_)) => true,
            _ => false,
        };
        let watched = |path: &PathBuf| self.directories.contains(path) || self.ways.contains(path);
        event.need_rescan() || (moves && event.paths.iter().any(watched))
    }

    fn counts(&self, path: &Path, kind: EventKind) -> bool {
        if self.entries.contains(path) || self.directories.contains(path) {
            return true;
        }
        if !path.parent().is_some_and(|parent| self.directories.contains(parent)) {
            return false;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What is written to a file of another name cannot matter; that it came or went can: it
        // may be a directory, or a link to one.
        let written = matches!(kind, EventKind::Modify(ModifyKind::Data(_)));
        !names::is_ignored(&name) && (names::is_manifest(&name) || !written)
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{
        AccessKind, AccessMode, CreateKind, DataChange, Flag, MetadataKind, RemoveKind, RenameMode,
    };

    use super::*;

    fn interest() -> Interest {
        let set = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Interest {
            directories: set(&["/srv/jobs.d", "/srv/jobs.d/team"]),
            entries: set(&["/srv", "/srv/jobs.d", "/srv/jobs.d/..data", "/data/x.txt"]),
            ways: set(&["/", "/srv", "/srv/jobs.d", "/data"]),
        }
    }

    #[track_caller]
    fn check(kind: EventKind, path: &str, wanted: bool, unseats: bool) {
        let event = Event::new(kind).add_path(PathBuf::from(path));
        assert_eq!(interest().wants(&event), wanted, "wants {kind:?} {path}");
        assert_eq!(interest().unseats(&event), unseats, "unseats {kind:?} {path}");
    }

    #[test]
    #[rustfmt::skip]
    fn events_of_the_tree_are_told_from_the_rest() {
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let made = EventKind::Create(CreateKind::File);
        let made_dir = EventKind::Create(CreateKind::Folder);
        let wrote = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let moved = EventKind::Modify(ModifyKind::Name(RenameMode::From));
        let chmod = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let gone = EventKind::Remove(RemoveKind::File);
        let gone_dir = EventKind::Remove(RemoveKind::Folder);
        //    event      path                            wanted unseats
        check(opened,    "/srv/jobs.d/a.yaml",           false, false);
        check(opened,    "/srv/jobs.d",                  false, false);
        check(made,      "/srv/jobs.d/a.yaml",           true,  false);
        check(wrote,     "/srv/jobs.d/a.yaml",           true,  false);
        check(chmod,     "/srv/jobs.d/a.yaml",           true,  false);
        check(gone,      "/srv/jobs.d/team/a.yaml",      true,  false);
        check(wrote,     "/srv/jobs.d/notes.txt",        false, false);
        check(moved,     "/srv/jobs.d/notes",            true,  false);
        check(made_dir,  "/srv/jobs.d/new",              true,  false);
        check(made,      "/srv/jobs.d/.a.yaml.swp",      false, false);
        check(made,      "/srv/jobs.d/4913",             false, false);
        check(moved,     "/srv/jobs.d/..data",           true,  false);
        check(moved,     "/srv/jobs.d/..data_tmp",       false, false);
        check(moved,     "/srv/jobs.d/team",             true,  true);
        check(gone_dir,  "/srv/jobs.d",                  true,  true);
        check(moved,     "/srv",                         true,  true);
        check(gone_dir,  "/data",                        false, true);
        check(made,      "/srv/other",                   false, false);
        check(wrote,     "/data/x.txt",                  true,  false);
        check(wrote,     "/data/y.yaml",                 false, false);
    }

    #[test]
    fn an_overflow_counts_as_every_event() {
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(interest().wants(&overflow));
        assert!(interest().unseats(&overflow));
    }
}
