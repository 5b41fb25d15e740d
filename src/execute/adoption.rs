//! Processes that become children of the daemon when their parents end.
//!
//! As a subreaper the daemon stays the ancestor of all that its jobs start, so that a timeout
//! finds them; in return it must see to those that end, as process 1 does.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, getpid, set_child_subreaper, waitid, waitpid,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tracing::warn;

use super::census;

/// Time between two looks at children that have ended. Whoever started a child itself has taken
/// its status long before the second look.
const LOOK: Duration = Duration::from_secs(1);

/// Children that this process started and whose status it has not taken yet.
static STARTED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A child that this process started. Its status is left to whoever holds this.
#[derive(Debug)]
pub(super) struct Started(i32);

impl Started {
    pub(super) fn new(pid: Pid) -> Self {
        let pid = pid.as_raw_nonzero().get();
        started().insert(pid);
        Self(pid)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        started().remove(&self.0);
    }
}

fn started() -> MutexGuard<'static, BTreeSet<i32>> {
    // The set is whole between any two statements, so a panic elsewhere does not spoil it.
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes this process the one that inherits the orphans among its descendants, and sees to their
/// end for as long as the runtime runs, which has to run when this is called. May be called again.
///
/// Where the system has no such thing, process 1 inherits them, and less is known of them.
pub fn adopt_orphans() {
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        warn!(%error, "orphans cannot be inherited; a timeout may not find all that a job started");
    }
    let Ok(mut ended) = signal(SignalKind::child()) else { return };
    tokio::spawn(async move {
        while ended.recv().await.is_some() {
            let mut seen = BTreeSet::new();
            loop {
                sleep(LOOK).await;
                seen = reap(&seen);
                if seen.is_empty() {
                    break;
                }
            }
        }
    });
}

/// Takes the status of children that have ended and were seen before, and that nobody here
/// started; gives those that were not seen before, by id and start.
fn reap(seen: &BTreeSet<(i32, u64)>) -> BTreeSet<(i32, u64)> {
    // One system call says whether there is any; mostly there is none.
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(waitid(WaitId::All, look), Ok(Some(_))) {
        return BTreeSet::new();
    }
    let own = getpid().as_raw_nonzero().get();
    let ended = census::all().into_iter().filter(|process| process.parent == own && process.is_zombie);
    let mut new = BTreeSet::new();
    for process in ended.filter(|process| !started().contains(&process.pid)) {
        let key = (process.pid, process.started);
        if !seen.contains(&key) {
            new.insert(key);
        } else if let Some(pid) = Pid::from_raw(process.pid) {
            // Somebody else may have taken it meanwhile, which is as good.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
    new
}
