//! Looks at the tree once a second, where the system sends no events.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use super::{
    alarm::{Alarm, Hint},
    listing::{self, Found},
    places::Places,
};

/// How long between two looks: an edit takes effect within about that time.
pub(super) const POLL_EVERY: Duration = Duration::from_secs(1);

/// A thread that looks, until this is dropped.
#[derive(Debug)]
pub(super) struct Poll {
    _stop: mpsc::Sender<()>,
}

impl Poll {
    /// Starts to look at the tree at `root`, and nudges when the stamps of something in it differ.
    ///
    /// The first look nudges too: nobody knows what happened before it.
    pub(super) fn start(root: PathBuf, alarm: Arc<Alarm>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let look = move || {
            let mut last = None;
            loop {
                let seen = Some(fingerprint(&root));
                if seen != last {
                    last = seen;
                    alarm.ring(Hint::Whole);
                }
                if stopped.recv_timeout(POLL_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        thread::Builder::new().name("tintal-poll".to_owned()).spawn(look)?;
        Ok(Self { _stop: stop })
    }
}

/// A hash over what a walk without reading shows; over the error when there is no walking.
fn fingerprint(root: &Path) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut listing = match listing::list(root, &mut Places::default()) {
        Ok(listing) => listing,
        Err(error) => return *blake3::hash(error.reason.as_bytes()).as_bytes(),
    };
    listing.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    listing.unreadable.sort_unstable();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    for unreadable in &listing.unreadable {
        text(&unreadable.path);
        text(&unreadable.reason);
    }
    for entry in &listing.entries {
        text(&entry.path);
        if let Found::Broken(reason) = &entry.found {
            text(reason);
        }
    }
    for entry in &listing.entries {
        if let Found::File(stat) = &entry.found {
            stat.hash_into(&mut hasher);
        }
    }
    *hasher.finalize().as_bytes()
}
