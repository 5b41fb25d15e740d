//! Looks at the tree until it rests.
//!
//! What events name is looked at by itself; the whole tree when they say too little, when somebody
//! asks, and from time to time whatever they say.

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::clock;
use crate::{
    plan::diff::Rest,
    source::{
        alarm::{Alarm, Hint},
        scan::{Scan, Scanner},
        settle::{Settler, Verdict},
        watch::{Mode, Watcher, rescan_after},
    },
};

/// What looks.
pub(super) struct Look {
    root: PathBuf,
    scanner: Scanner,
    settler: Settler,
    watcher: Watcher,
    alarm: Arc<Alarm>,
    /// What there is to look at.
    hint: Hint,
    begun: Instant,
    /// When the whole tree is looked at again whatever the events say.
    whole_due: Instant,
}

/// The tree at rest, or one that does not come to rest.
pub(super) struct Seen {
    /// The scan, unless it is the one that is in use.
    pub(super) scan: Option<(Scan, Rest)>,
    /// How much was looked at.
    pub(super) extent: Extent,
    /// From when until when it was looked, since the daemon looked first.
    pub(super) at: Range<Duration>,
}

/// How much of the tree a scan looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// The files that events named; what is absent elsewhere is not known.
    Named,
}

/// Why there is nothing to act on.
pub(super) enum Blind {
    /// The daemon stops.
    Stopped,
    /// The tree cannot be seen.
    Failed(String),
}

impl Look {
    pub(super) fn new(root: PathBuf, watcher: Watcher) -> Self {
        let alarm = watcher.alarm();
        let now = Instant::now();
        Self {
            scanner: Scanner::new(root.clone()),
            root,
            settler: Settler::default(),
            watcher,
            alarm,
            hint: Hint::Whole,
            begun: now,
            whole_due: now,
        }
    }

    pub(super) fn alarm(&self) -> Arc<Alarm> {
        Arc::clone(&self.alarm)
    }

    /// How changes are noticed.
    pub(super) fn mode(&self) -> Mode {
        self.watcher.mode()
    }

    /// Lets the next scan be one of the whole tree.
    pub(super) fn demand_whole(&mut self) {
        self.hint = Hint::Whole;
    }

    /// Takes note of what events named; whether there is anything to look at.
    pub(super) fn is_wanted(&mut self) -> bool {
        self.hint.merge(self.alarm.take());
        !self.hint.is_empty()
    }

    /// How long until the whole tree is to be looked at whatever the events say.
    pub(super) fn rescan_wait(&self) -> Duration {
        self.whole_due.saturating_duration_since(Instant::now())
    }

    /// Since the daemon looked first.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Scans until two scans agree, or the tree has been restless for too long.
    pub(super) async fn until_rest(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Seen, Blind> {
        loop {
            let begin = self.elapsed();
            let scanned = tokio::task::block_in_place(|| self.scan());
            let (scan, extent) = scanned.map_err(|failure| {
                self.settler.forget();
                Blind::Failed(failure)
            })?;
            let at = self.elapsed();
            let seen = |scan| Seen { scan, extent, at: begin..at };
            let verdict = self.settler.judge(&scan, at);
            let wait = match verdict {
                Verdict::Wait(wait) => wait,
                Verdict::Use | Verdict::Unchanged => {
                    self.hint = Hint::default();
                    return Ok(seen((verdict == Verdict::Use).then_some((scan, Rest::Settled))));
                }
                // What it is about is looked at again, until it rests.
                Verdict::UseMoving => return Ok(seen(Some((scan, Rest::Moving)))),
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Err(Blind::Stopped),
                () = sleep(wait) => {}
            }
        }
    }

    /// One scan: of what there is to look at, or of everything. Watches where the tree was found to
    /// be.
    fn scan(&mut self) -> Result<(Scan, Extent), String> {
        let begun = Instant::now();
        self.hint.merge(self.alarm.take());
        if let Hint::Named(names) = &self.hint
            && begun < self.whole_due
            && let Some(scan) = self.scanner.scan_named(names, clock::now())
        {
            return Ok((scan, Extent::Named));
        }
        self.hint = Hint::Whole;
        let scan = self.scanner.scan(clock::now());
        self.whole_due = Instant::now() + rescan_after(begun.elapsed());
        let scan = scan.and_then(|scan| scan.refused(&self.root).map_or(Ok(scan), Err));
        self.watcher.follow(self.scanner.places());
        let mut scan = scan.map_err(|error| error.to_string())?;
        // Where no events come from, the stamps may be those of another machine's clock.
        if self.watcher.mode() != Mode::Events {
            scan.still = None;
        }
        Ok((scan, Extent::Whole))
    }
}
