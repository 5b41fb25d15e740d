//! Nudges when the tree may have changed.
//!
//! A nudge says "scan again", with a hint at where. After every scan of the whole tree, also after one
//! that failed, the caller hands back where it found the tree ([`Watcher::follow`]). Whatever
//! happens, the caller scans the whole tree every [`rescan_after`] as well, so that an event that no
//! system sent costs only time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    alarm::{Alarm, Hint},
    interest::Interest,
    places::Places,
    poll::Poll,
    stat::Identity,
};
use notify::{ErrorKind, Event, RecursiveMode};

/// How often the caller scans whatever the events say, at least while scans are cheap.
pub const RESCAN_EVERY: Duration = Duration::from_secs(30);

/// Longest time between two such scans, whatever they cost.
pub const RESCAN_MAX: Duration = Duration::from_secs(300);

/// Share of one core that such scans may take: one part in this many (ADR 0004).
const RESCAN_SHARE: u32 = 4_000;

/// How long to wait for the next scan, when nothing calls for one, after a scan that took `cost`.
///
/// Ten thousand files are looked at every one to three minutes, and not half a percent of the time.
#[must_use]
pub fn rescan_after(cost: Duration) -> Duration {
    cost.saturating_mul(RESCAN_SHARE).clamp(RESCAN_EVERY, RESCAN_MAX)
}

/// How the caller wants the tree watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// By events of the system, and by polling where there are none.
    #[default]
    Auto,
    /// By polling.
    Poll,
}

/// How the tree is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The system sends events.
    Events,
    /// The tree is looked at once a second.
    Polling {
        /// Whether the caller asked for it.
        wanted: Wanted,
        /// Why, for people to read.
        reason: String,
    },
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events => f.write_str("events"),
            Self::Polling { reason, .. } => write!(f, "polling: {reason}"),
        }
    }
}

/// Watches one tree.
pub struct Watcher {
    root: PathBuf,
    wanted: Wanted,
    shared: Arc<Shared>,
    how: How,
    /// The root whose file system was asked for last.
    asked: Option<Identity>,
    /// What says so.
    remote: fn(&Path) -> Option<&'static str>,
}

enum How {
    Events(Watches),
    Polling { _poll: Option<Poll>, reason: String },
}

/// What the watches of the system hold.
struct Watches {
    system: Box<dyn notify::Watcher + Send>,
    /// What is watched; with an identity where a scan told it.
    held: BTreeMap<PathBuf, Option<Identity>>,
    /// What was not there when it should have been watched.
    missed: BTreeSet<PathBuf>,
}

/// What the thread that receives the events shares with the watcher.
#[derive(Default)]
struct Shared {
    alarm: Arc<Alarm>,
    interest: Mutex<Interest>,
    /// Whether some watch may have lost its directory.
    unseated: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Watcher {
    /// Starts to watch for the tree at `root`, which need not be there.
    ///
    /// Never fails: where the system refuses, the tree is polled, and [`Self::mode`] says so.
    /// Blocks for a moment. Start watching before the first scan.
    #[must_use]
    pub fn start(root: PathBuf, wanted: Wanted) -> Self {
        match (wanted, remote(&root)) {
            (Wanted::Poll, _) => Self::polling(root, wanted, "asked for".to_owned()),
            (Wanted::Auto, Some(kind)) => Self::polling(root, wanted, without_events(kind)),
            (Wanted::Auto, None) => Self::start_with(root, |shared| {
                Ok(Box::new(notify::recommended_watcher(move |event| shared.receive(event))?))
            }),
        }
    }

    /// Waits until the tree may have changed since this last returned.
    ///
    /// A nudge that comes while nobody waits is kept. Dropping the future loses none.
    pub async fn changed(&self) {
        self.shared.alarm.rung().await;
    }

    /// Watches where the last scan found the tree to be.
    ///
    /// What it begins to watch may have changed since that scan, so it then nudges. Called twice
    /// with the same places it does nothing. Blocks for a moment.
    pub fn follow(&mut self, places: &Places) {
        let How::Events(watches) = &mut self.how else { return };
        // What is mounted over it, or made anew elsewhere, may be on a network.
        let root = places.root();
        if std::mem::replace(&mut self.asked, root) != root
            && let Some(kind) = (self.remote)(&self.root)
        {
            self.how = poll(&self.root, &self.shared, without_events(kind));
            return;
        }
        let mut failure = lock(&self.shared.failure).take();
        if failure.is_none() {
            let unseated = self.shared.unseated.swap(false, Ordering::SeqCst);
            let interest = Interest::of(places);
            let before = std::mem::replace(&mut *lock(&self.shared.interest), interest.clone());
            if interest.exceeds(&before) {
                // Events of what counts from now on may have come already, and were passed over.
                self.shared.alarm.ring(Hint::Whole);
            }
            match watches.follow(places, unseated) {
                Ok(Followed::AsBefore) => {}
                Ok(Followed::Anew) => self.shared.alarm.ring(Hint::Whole),
                Err(reason) => failure = Some(reason),
            }
        }
        if let Some(reason) = failure {
            self.how = poll(&self.root, &self.shared, reason);
        }
    }

    /// Whoever rings it starts a scan.
    #[must_use]
    pub fn alarm(&self) -> Arc<Alarm> {
        Arc::clone(&self.shared.alarm)
    }

    /// How the tree is watched now; may turn from events to polling in [`Self::follow`].
    #[must_use]
    pub fn mode(&self) -> Mode {
        match &self.how {
            How::Events(_) => Mode::Events,
            How::Polling { reason, .. } => Mode::Polling { wanted: self.wanted, reason: reason.clone() },
        }
    }

    fn polling(root: PathBuf, wanted: Wanted, reason: String) -> Self {
        let shared = Arc::new(Shared::default());
        let how = poll(&root, &shared, reason);
        Self { root, wanted, shared, how, asked: None, remote }
    }

    fn start_with(
        root: PathBuf,
        system: impl FnOnce(Arc<Shared>) -> notify::Result<Box<dyn notify::Watcher + Send>>,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let system = match system(Arc::clone(&shared)) {
            Ok(system) => system,
            Err(error) => return Self::polling(root, Wanted::Auto, refusal(&error)),
        };
        let watches = Watches { system, held: BTreeMap::new(), missed: BTreeSet::new() };
        let mut places = Places::default();
        if let Ok(absolute) = std::path::absolute(&root) {
            places.note_way(Path::new("/"), &absolute);
        }
        let mut started =
            Self { root, wanted: Wanted::Auto, shared, how: How::Events(watches), asked: None, remote };
        started.follow(&places);
        started
    }
}

impl Shared {
    /// Called on the thread of the system's watcher, before it acts on the event itself.
    fn receive(&self, event: notify::Result<Event>) {
        let hint = match event {
            Ok(event) => {
                let interest = lock(&self.interest);
                if interest.unseats(&event) {
                    self.unseated.store(true, Ordering::SeqCst);
                }
                interest.hint(&event)
            }
            Err(error) => {
                *lock(&self.failure) = Some(refusal(&error));
                Hint::Whole
            }
        };
        self.alarm.ring(hint);
    }
}

/// Whether something is watched that was not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    AsBefore,
    Anew,
}

impl Watches {
    /// Makes the watches those of `places`; all of them anew when some may be unseated.
    fn follow(&mut self, places: &Places, unseated: bool) -> Result<Followed, String> {
        let mut wanted: BTreeMap<&Path, Option<Identity>> =
            places.ways().into_iter().map(|way| (way, None)).collect();
        wanted.extend(
            places.directories.iter().map(|(path, directory)| (path.as_path(), Some(directory.identity))),
        );
        let left: Vec<PathBuf> =
            self.held.keys().filter(|path| !wanted.contains_key(path.as_path())).cloned().collect();
        for path in left {
            self.forget(&path);
        }

        let mut followed = Followed::AsBefore;
        let mut missed = BTreeSet::new();
        for (path, identity) in wanted {
            if self.held.get(path) == Some(&identity) && !unseated {
                continue;
            }
            // A watch sits on what was at the path when it was set; so take it away first.
            self.forget(path);
            match self.system.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.held.insert(path.to_owned(), identity);
                    followed = Followed::Anew;
                }
                Err(error) if is_missing(&error) => {
                    // It went after the scan. Once is news, twice is a file system that lies.
                    if !self.missed.contains(path) {
                        followed = Followed::Anew;
                    }
                    missed.insert(path.to_owned());
                }
                // A directory on the way that may not be read: the full rescan sees what it hides.
                Err(error) if identity.is_none() && !is_exhausted(&error) => {}
                Err(error) => return Err(refusal(&error)),
            }
        }
        self.missed = missed;
        Ok(followed)
    }

    fn forget(&mut self, path: &Path) {
        if self.held.remove(path).is_some() {
            // An error says that the watch went with its directory.
            let _ = self.system.unwatch(path);
        }
    }
}

fn poll(root: &Path, shared: &Shared, reason: String) -> How {
    match Poll::start(root.to_owned(), Arc::clone(&shared.alarm)) {
        Ok(poll) => How::Polling { _poll: Some(poll), reason },
        Err(error) => {
            let reason = format!(
                "{reason}; no thread to poll with either ({error}), so changes are seen every {} s only",
                RESCAN_EVERY.as_secs()
            );
            How::Polling { _poll: None, reason }
        }
    }
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn is_exhausted(error: &notify::Error) -> bool {
    matches!(error.kind, ErrorKind::MaxFilesWatch)
}

fn refusal(error: &notify::Error) -> String {
    if is_exhausted(error) {
        "the system's limit of watches is reached (raise fs.inotify.max_user_watches)".to_owned()
    } else {
        format!("the system refuses to watch: {error}")
    }
}

/// Why a tree on a file system of this kind is polled.
fn without_events(kind: &str) -> String {
    format!("the manifests are on {kind}, which does not send all events")
}

/// The kind of the file system at `path`, when it is one on which others write without an event.
#[cfg(target_os = "linux")]
fn remote(path: &Path) -> Option<&'static str> {
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a number of 32 bits")]
    let magic = rustix::fs::statfs(path).ok()?.f_type as u32;
    remote_kind(magic)
}

/// Elsewhere nobody asks: the full rescan sees what events do not tell.
#[cfg(not(target_os = "linux"))]
fn remote(_: &Path) -> Option<&'static str> {
    None
}

/// The numbers of linux/magic.h and statfs(2).
#[cfg(target_os = "linux")]
fn remote_kind(magic: u32) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x0102_1997 => Some("9P"),
        0x6573_5546 => Some("FUSE"),
        0x00C3_6400 => Some("Ceph"),
        0x5346_414F => Some("AFS"),
        0x786F_4256 => Some("a VirtualBox folder"),
        _ => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
