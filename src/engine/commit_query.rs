//! Which commit the tree is at, asked of git one query at a time.
//!
//! Git may take a while in a large work tree. A query that comes meanwhile is asked once the answer
//! is there, so that no older answer overwrites a newer one, and few processes run.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{debug, warn};

use super::daemon::Daemon;
use crate::source::commit::{self, Stamp};

/// What an answer holds for: what git had written, and the tree in use.
type Subject = (Stamp, Option<[u8; 32]>);

/// Asks git for the commit, for one daemon.
#[derive(Debug, Default)]
pub(super) struct CommitQuery(Arc<Mutex<Turns>>);

/// Whose turn it is.
#[derive(Debug, Default)]
struct Turns {
    /// What was asked for last.
    subject: Option<Subject>,
    progress: Progress,
    /// Whether it was said that git is slow.
    was_slow: bool,
}

/// How far the query is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nobody asks.
    #[default]
    Answered,
    /// Git is asked.
    Asked,
    /// Git is asked, and something has changed since: the answer may be out of date.
    Outdated,
}

impl CommitQuery {
    /// Asks, when the answer may be another one than the last. Does not wait for it.
    pub(super) fn ask(&self, daemon: &Arc<Daemon>, tree: Option<[u8; 32]>) {
        let root = daemon.parts().root.clone();
        let subject = (commit::stamp(&root), tree);
        if self.turns(|turns| turns.want(subject)) {
            tokio::spawn(Self(Arc::clone(&self.0)).answer(Arc::clone(daemon), root));
        }
    }

    async fn answer(self, daemon: Arc<Daemon>, root: PathBuf) {
        loop {
            let answer = commit::commit(&root).await;
            if let Err(slow) = &answer {
                if self.turns(Turns::gave_up) {
                    debug!("{slow}");
                } else {
                    warn!("{slow}; `tintal status` does not tell the commit");
                }
            } else {
                self.turns(|turns| turns.was_slow = false);
            }
            daemon.update_tree(|state| state.commit = answer.unwrap_or_default());
            let is_asked_again = self.turns(Turns::answered);
            if !is_asked_again {
                return;
            }
        }
    }

    fn turns<T>(&self, change: impl FnOnce(&mut Turns) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Turns {
    /// Somebody wants to know; whether git is to be asked now.
    fn want(&mut self, subject: Subject) -> bool {
        if self.subject.as_ref() == Some(&subject) {
            return false;
        }
        self.subject = Some(subject);
        let is_free = self.progress == Progress::Answered;
        self.progress = if is_free { Progress::Asked } else { Progress::Outdated };
        is_free
    }

    /// Git was not waited for any longer, so that the next who wants to know has it asked again, unless it
    /// is anyway; whether it was said already that it is slow.
    fn gave_up(&mut self) -> bool {
        self.subject.take_if(|_| self.progress != Progress::Outdated);
        std::mem::replace(&mut self.was_slow, true)
    }

    /// Git has answered; whether it is to be asked again.
    fn answered(&mut self) -> bool {
        let is_outdated = self.progress == Progress::Outdated;
        self.progress = if is_outdated { Progress::Asked } else { Progress::Answered };
        is_outdated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A digit is a tree that somebody wants to know the commit of, `.` an answer of git, `x` the end of
    /// waiting for one. Shows `!` for each that has git asked, and `-` for the others.
    #[track_caller]
    fn check(events: &str, expected: &str) {
        let mut turns = Turns::default();
        let shown = events.bytes().map(|event| {
            let is_asked = match event {
                b'.' => turns.answered(),
                b'x' => {
                    turns.gave_up();
                    turns.answered()
                }
                tree => turns.want((Vec::new(), Some([tree; 32]))),
            };
            if is_asked { '!' } else { '-' }
        });
        assert_eq!(shown.collect::<String>(), expected, "{events}");
    }

    #[test]
    #[rustfmt::skip]
    fn git_is_asked_one_query_at_a_time_and_the_last_one_is_answered_last() {
        check("1.",        "!-");
        check("1.1",       "!--");
        check("1.2.",      "!-!-");
        check("12..",      "!-!-");
        check("123..4.",   "!--!-!-");
        check("11.2.",     "!--!-");
        check("1x1.1",     "!-!--");
        check("12x2.",     "!-!--");
    }
}
