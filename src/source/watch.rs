//! Says that the tree may have changed. Carries no word about what: a scan finds that out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

/// How changes are noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// By events of the system.
    Events,
    /// By looking every second.
    Polling {
        /// Why there are no events.
        reason: String,
    },
}

/// Watches the directories of a tree, and the way to its root.
#[derive(Debug)]
pub struct Watcher {
    root: PathBuf,
    nudge: Arc<Notify>,
    interest: Arc<Mutex<Interest>>,
    events: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, (u64, u64)>,
    mode: Mode,
}

/// Which events count.
#[derive(Debug, Default)]
struct Interest {
    /// Directories in which everything counts.
    whole: BTreeSet<PathBuf>,
    /// Single entries that count: the way to the root, and targets of links.
    entries: BTreeSet<PathBuf>,
}

impl Watcher {
    /// Begins to watch the way to a root. [`Self::follow`] adds what is in it.
    #[must_use]
    pub fn start(root: &Path) -> Self {
        let nudge = Arc::new(Notify::new());
        let interest = Arc::new(Mutex::new(Interest::default()));
        let (events, mode) = match events(&nudge, &interest) {
            Ok(events) => (Some(events), Mode::Events),
            Err(error) => (None, Mode::Polling { reason: error.to_string() }),
        };
        let mut watcher = Self {
            root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()),
            nudge,
            interest,
            events,
            watched: BTreeMap::new(),
            mode,
        };
        watcher.follow(&[]);
        watcher
    }

    /// A watcher without events, as a person asked for.
    #[must_use]
    pub fn polling(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            nudge: Arc::new(Notify::new()),
            interest: Arc::default(),
            events: None,
            watched: BTreeMap::new(),
            mode: Mode::Polling { reason: "the settings say `watch: poll`".to_owned() },
        }
    }

    /// How changes are noticed.
    #[must_use]
    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// Waits until something may have changed. A change between two calls is not lost.
    pub async fn changed(&self) {
        self.nudge.notified().await;
    }

    /// The alarm clock: whoever notifies it starts a scan.
    #[must_use]
    pub fn nudge(&self) -> Arc<Notify> {
        Arc::clone(&self.nudge)
    }

    /// Watches the directories of the newest scan. `true` when there is a new one among them: what
    /// came into it before it was watched was seen by no event, so another scan is due.
    pub fn follow(&mut self, directories: &[PathBuf]) -> bool {
        if self.events.is_none() {
            return false;
        }
        let mut interest = Interest::default();
        let mut wanted: BTreeMap<PathBuf, (u64, u64)> = BTreeMap::new();
        for directory in directories {
            let Ok(real) = fs::canonicalize(directory) else { continue };
            add(&mut wanted, &real);
            interest.whole.insert(real);
        }
        // The way to the root, link by link: each may be swapped.
        let mut way = self.root.clone();
        for _ in 0..16 {
            interest.entries.insert(way.clone());
            if let Some(parent) = way.ancestors().skip(1).find(|parent| parent.is_dir())
                && let Ok(real) = fs::canonicalize(parent)
            {
                add(&mut wanted, &real);
                let name = way.strip_prefix(parent).ok().and_then(|rest| rest.components().next());
                interest.entries.extend(name.map(|name| real.join(name)));
            }
            match fs::read_link(&way) {
                Ok(target) => way = way.parent().unwrap_or(Path::new("/")).join(target),
                Err(_) => break,
            }
        }
        Self::targets(directories, &mut wanted, &mut interest);
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) = interest;
        self.watch(wanted)
    }

    /// Files that are links: where they lead, a change counts too.
    fn targets(directories: &[PathBuf], wanted: &mut BTreeMap<PathBuf, (u64, u64)>, interest: &mut Interest) {
        for directory in directories {
            let Ok(entries) = fs::read_dir(directory) else { continue };
            let links = entries
                .filter_map(Result::ok)
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
            for link in links {
                let Ok(target) = fs::canonicalize(link.path()) else { continue };
                if let Some(parent) = target.parent() {
                    add(wanted, parent);
                }
                // The links on the way, as those of a `ConfigMap`.
                let mut step = link.path();
                for _ in 0..8 {
                    let Ok(next) = fs::read_link(&step) else { break };
                    step = step.parent().unwrap_or(Path::new("/")).join(next);
                    if let Some(parent) = step.parent().and_then(|parent| fs::canonicalize(parent).ok()) {
                        add(wanted, &parent);
                        interest.entries.extend(step.file_name().map(|name| parent.join(name)));
                    }
                }
                interest.entries.insert(target);
            }
        }
    }

    fn watch(&mut self, wanted: BTreeMap<PathBuf, (u64, u64)>) -> bool {
        let Some(events) = &mut self.events else { return false };
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(path, id)| wanted.get(*path) != Some(id))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            // A directory that was removed has lost its watch already.
            let _ = events.unwatch(&path);
            self.watched.remove(&path);
        }
        let mut added = false;
        for (path, id) in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match events.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path, id);
                    added = true;
                }
                Err(error) if path.is_dir() => {
                    self.mode = Mode::Polling { reason: format!("{}: {error}", path.display()) };
                    self.events = None;
                    self.watched.clear();
                    return true;
                }
                // Gone meanwhile: the directory above says so.
                Err(_) => added = true,
            }
        }
        added
    }
}

fn add(wanted: &mut BTreeMap<PathBuf, (u64, u64)>, directory: &Path) {
    if let Ok(metadata) = fs::metadata(directory) {
        wanted.insert(directory.to_owned(), (metadata.dev(), metadata.ino()));
    }
}

fn events(nudge: &Arc<Notify>, interest: &Arc<Mutex<Interest>>) -> notify::Result<RecommendedWatcher> {
    let (nudge, interest) = (Arc::clone(nudge), Arc::clone(interest));
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        let counts = match &event {
            Ok(event) => counts(event, &interest.lock().unwrap_or_else(PoisonError::into_inner)),
            // Events were lost: look.
            Err(_) => true,
        };
        if counts {
            nudge.notify_one();
        }
    })
}

fn counts(event: &Event, interest: &Interest) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        EventKind::Access(_) => return false,
        _ => {}
    }
    if event.need_rescan() || event.paths.is_empty() {
        return true;
    }
    event.paths.iter().any(|path| {
        let in_whole = path.parent().is_some_and(|parent| interest.whole.contains(parent));
        in_whole || interest.whole.contains(path) || interest.entries.contains(path)
    })
}
