//! What happens when the system does not watch. The system is a fake here: its limits belong to
//! the whole machine.

use std::fs;

use notify::{Config, EventHandler, WatcherKind};

use super::*;

/// A system that refuses to watch what is named so.
struct Refusing {
    name: &'static str,
    with: fn() -> notify::Error,
}

impl notify::Watcher for Refusing {
    fn new<F: EventHandler>(_: F, _: Config) -> notify::Result<Self> {
        Err(notify::Error::generic("made by hand only"))
    }

    fn watch(&mut self, path: &Path, _: RecursiveMode) -> notify::Result<()> {
        if path.ends_with(self.name) { Err((self.with)()) } else { Ok(()) }
    }

    fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
        Ok(())
    }

    fn kind() -> WatcherKind {
        WatcherKind::NullWatcher
    }
}

fn refusing(root: &Path, name: &'static str, with: fn() -> notify::Error) -> Watcher {
    let mut watcher = Watcher::start_with(root.to_owned(), move |_| Ok(Box::new(Refusing { name, with })));
    watcher.remote = |_| None;
    watcher
}

fn exhausted() -> notify::Error {
    notify::Error::new(ErrorKind::MaxFilesWatch)
}

fn denied() -> notify::Error {
    notify::Error::io(io::Error::from(io::ErrorKind::PermissionDenied))
}

fn missing() -> notify::Error {
    notify::Error::new(ErrorKind::PathNotFound)
}

fn places_of(root: &Path) -> Places {
    let mut places = Places::default();
    crate::source::listing::list(root, &mut places).unwrap();
    places
}

async fn is_nudged(watcher: &Watcher) -> bool {
    tokio::time::timeout(Duration::from_secs(10), watcher.changed()).await.is_ok()
}

/// Whether a nudge is there now.
async fn has_nudge(watcher: &Watcher) -> bool {
    tokio::select! {
        biased;
        () = watcher.changed() => true,
        () = std::future::ready(()) => false,
    }
}

#[tokio::test]
async fn no_events_at_all_means_polling_and_is_said() {
    let tree = tempfile::tempdir().unwrap();
    let watcher = Watcher::start_with(tree.path().to_owned(), |_| {
        Err(notify::Error::io(io::Error::other("too many instances")))
    });
    assert_eq!(watcher.mode().to_string(), "polling: the system refuses to watch: too many instances");
    assert!(is_nudged(&watcher).await, "the first look nudges");
    fs::write(tree.path().join("a.yaml"), "1").unwrap();
    assert!(is_nudged(&watcher).await);
}

#[tokio::test]
async fn the_limit_of_watches_means_polling_and_is_said() {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join("team")).unwrap();
    let mut watcher = refusing(tree.path(), "team", exhausted);
    assert_eq!(watcher.mode(), Mode::Events);
    watcher.follow(&places_of(tree.path()));
    let expected = "polling: the system's limit of watches is reached (raise fs.inotify.max_user_watches)";
    assert_eq!(watcher.mode().to_string(), expected);
    assert!(is_nudged(&watcher).await);
    fs::write(tree.path().join("team/a.yaml"), "1").unwrap();
    assert!(is_nudged(&watcher).await);
    watcher.follow(&places_of(tree.path()));
    assert_eq!(watcher.mode().to_string(), expected);
}

#[tokio::test]
async fn an_error_among_the_events_means_polling() {
    let tree = tempfile::tempdir().unwrap();
    let mut watcher = refusing(tree.path(), "nothing", denied);
    watcher.shared.receive(Err(exhausted()));
    assert!(has_nudge(&watcher).await);
    watcher.follow(&places_of(tree.path()));
    assert!(matches!(watcher.mode(), Mode::Polling { .. }));
}

#[tokio::test]
async fn a_directory_above_the_root_that_may_not_be_read_is_no_obstacle() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().join("above/root");
    fs::create_dir_all(&root).unwrap();
    let mut watcher = refusing(&root, "above", denied);
    watcher.follow(&places_of(&root));
    assert_eq!(watcher.mode(), Mode::Events);
}

#[tokio::test]
async fn following_the_same_places_again_does_nothing() {
    let tree = tempfile::tempdir().unwrap();
    let mut watcher = refusing(tree.path(), "nothing", denied);
    watcher.follow(&places_of(tree.path()));
    assert!(has_nudge(&watcher).await, "the root is watched anew");
    watcher.follow(&places_of(tree.path()));
    assert!(!has_nudge(&watcher).await);
}

#[tokio::test]
async fn a_directory_that_was_replaced_is_watched_anew_and_looked_at_again() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().canonicalize().unwrap();
    let mut watcher = refusing(&root, "nothing", denied);
    watcher.follow(&places_of(&root));
    assert!(has_nudge(&watcher).await);

    let removed = notify::EventKind::Remove(notify::event::RemoveKind::Folder);
    watcher.shared.receive(Ok(Event::new(removed).add_path(root.clone())));
    assert!(has_nudge(&watcher).await, "by the event");
    watcher.follow(&places_of(&root));
    assert!(has_nudge(&watcher).await, "by the new watch, before which anything may have happened");
    watcher.follow(&places_of(&root));
    assert!(!has_nudge(&watcher).await);
}

/// F9: a network disk that is mounted after the start.
#[tokio::test]
async fn a_root_that_is_made_anew_on_a_network_is_polled_and_said() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().join("root");
    fs::create_dir(&root).unwrap();
    let mut watcher = refusing(&root, "nothing", denied);
    watcher.follow(&places_of(&root));
    watcher.remote = |_| Some("NFS");
    watcher.follow(&places_of(&root));
    assert_eq!(watcher.mode(), Mode::Events, "it is asked once for each root");
    fs::rename(&root, tree.path().join("old")).unwrap();
    fs::create_dir(&root).unwrap();
    watcher.follow(&places_of(&root));
    let expected = "polling: the manifests are on NFS, which does not send all events";
    assert_eq!(watcher.mode().to_string(), expected);
    assert!(is_nudged(&watcher).await);
}

/// What was passed over because it did not count yet may have changed since the scan.
#[tokio::test]
async fn an_entry_that_counts_from_now_on_is_looked_at_again() {
    let tree = tempfile::tempdir().unwrap();
    let mut watcher = refusing(tree.path(), "nothing", denied);
    let mut places = places_of(tree.path());
    watcher.follow(&places);
    assert!(has_nudge(&watcher).await);
    let beside = places.entries.last().unwrap().with_file_name("beside");
    places.entries.insert(beside);
    watcher.follow(&places);
    assert!(has_nudge(&watcher).await);
    watcher.follow(&places);
    assert!(!has_nudge(&watcher).await);
}

/// A file system on which a directory is listed and cannot be watched must not make us scan for
/// ever.
#[tokio::test]
async fn what_is_never_there_to_watch_nudges_once() {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join("odd")).unwrap();
    let mut watcher = refusing(tree.path(), "odd", missing);
    watcher.follow(&places_of(tree.path()));
    assert!(has_nudge(&watcher).await);
    watcher.follow(&places_of(tree.path()));
    assert!(!has_nudge(&watcher).await);
}

#[test]
fn polling_can_be_asked_for() {
    let tree = tempfile::tempdir().unwrap();
    let watcher = Watcher::start(tree.path().to_owned(), Wanted::Poll);
    assert_eq!(watcher.mode().to_string(), "polling: asked for");
}

#[cfg(target_os = "linux")]
#[test]
fn file_systems_that_others_write_to_are_known() {
    assert_eq!(remote_kind(0x6969), Some("NFS"));
    assert_eq!(remote_kind(0xFF53_4D42), Some("SMB"));
    assert_eq!(remote_kind(0xEF53), None, "ext4");
    assert_eq!(remote_kind(0x0102_1994), None, "tmpfs");
}

#[test]
#[rustfmt::skip]
fn a_scan_that_costs_much_is_made_less_often() {
    let millis = Duration::from_millis;
    assert_eq!(rescan_after(millis(0)),     RESCAN_EVERY);
    assert_eq!(rescan_after(millis(7)),     RESCAN_EVERY);
    assert_eq!(rescan_after(millis(25)),    millis(100_000));
    assert_eq!(rescan_after(millis(4_000)), RESCAN_MAX);
}
