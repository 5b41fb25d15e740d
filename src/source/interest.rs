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

use super::{alarm::Hint, names, places::Places};

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

    /// Where the tree may differ after this event.
    pub(super) fn hint(&self, event: &Event) -> Hint {
        // Our own reading is an access. To react to it would go on for ever.
        if matches!(event.kind, EventKind::Access(_)) {
            return Hint::default();
        }
        if event.need_rescan() || event.paths.is_empty() {
            return Hint::Whole;
        }
        let mut hint = Hint::default();
        event.paths.iter().for_each(|path| hint.merge(self.hint_at(path, event.kind)));
        hint
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

    fn hint_at(&self, path: &Path, kind: EventKind) -> Hint {
        // A directory, or something on a way: what is behind it may be another tree.
        if self.entries.contains(path) || self.directories.contains(path) {
            return Hint::Whole;
        }
        if !path.parent().is_some_and(|parent| self.directories.contains(parent)) {
            return Hint::default();
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What is written to a file of another name cannot matter; that it came or went can: it
        // may be a directory, or a link to one.
        let written = matches!(kind, EventKind::Modify(ModifyKind::Data(_)));
        if name == ".git" {
            // Whether git is busy is asked where a scan of the whole tree found one.
            return if written { Hint::default() } else { Hint::Whole };
        }
        if names::is_ignored(&name) || (written && !names::is_manifest(&name)) {
            return Hint::default();
        }
        match kind {
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => {
                Hint::Named(BTreeSet::from([path.to_owned()]))
            }
            EventKind::Any | EventKind::Other | EventKind::Access(_) => Hint::Whole,
        }
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
    fn check(kind: EventKind, path: &str, looked_at: &str, unseats: bool) {
        let event = Event::new(kind).add_path(PathBuf::from(path));
        let shown = match interest().hint(&event) {
            Hint::Whole => "whole",
            Hint::Named(names) if names.is_empty() => "-",
            Hint::Named(names) if names == BTreeSet::from([PathBuf::from(path)]) => "it",
            Hint::Named(_) => "others",
        };
        assert_eq!(shown, looked_at, "{kind:?} {path}");
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
        let odd = EventKind::Other;
        let gone_dir = EventKind::Remove(RemoveKind::Folder);
        //    event      path                            looked at  unseats
        check(opened,    "/srv/jobs.d/a.yaml",           "-",       false);
        check(opened,    "/srv/jobs.d",                  "-",       false);
        check(made,      "/srv/jobs.d/a.yaml",           "it",      false);
        check(wrote,     "/srv/jobs.d/a.yaml",           "it",      false);
        check(chmod,     "/srv/jobs.d/a.yaml",           "it",      false);
        check(moved,     "/srv/jobs.d/a.yaml",           "it",      false);
        check(gone,      "/srv/jobs.d/team/a.yaml",      "it",      false);
        check(odd,       "/srv/jobs.d/a.yaml",           "whole",   false);
        check(wrote,     "/srv/jobs.d/notes.txt",        "-",       false);
        check(moved,     "/srv/jobs.d/notes",            "it",      false);
        check(made_dir,  "/srv/jobs.d/new",              "it",      false);
        check(made,      "/srv/jobs.d/.a.yaml.swp",      "-",       false);
        check(made,      "/srv/jobs.d/4913",             "-",       false);
        check(made_dir,  "/srv/jobs.d/.git",             "whole",   false);
        check(wrote,     "/srv/jobs.d/.git",             "-",       false);
        check(moved,     "/srv/jobs.d/..data",           "whole",   false);
        check(moved,     "/srv/jobs.d/..data_tmp",       "-",       false);
        check(moved,     "/srv/jobs.d/team",             "whole",   true);
        check(gone_dir,  "/srv/jobs.d",                  "whole",   true);
        check(moved,     "/srv",                         "whole",   true);
        check(gone_dir,  "/data",                        "-",       true);
        check(made,      "/srv/other",                   "-",       false);
        check(wrote,     "/data/x.txt",                  "whole",   false);
        check(wrote,     "/data/y.yaml",                 "-",       false);
    }

    #[test]
    fn an_overflow_counts_as_every_event() {
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(interest().hint(&overflow), Hint::Whole);
        assert!(interest().unseats(&overflow));
    }
}
