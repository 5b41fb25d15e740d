//! Says whether a scan may be acted on, or the tree is still being written.
//!
//! Pure: times are offsets on a clock that only goes forward, from any fixed point.
//!
//! A tree that is looked at first need not be waited for when its own stamps say that it has been at
//! rest for long; two scans have to agree all the same, since it may begin to change under the first.

use std::time::Duration;

use super::scan::Scan;

/// How far two scans that agree must lie apart: longer than an editor, `cp` or `mv` takes between
/// two of its steps, and nothing that a person notices.
pub const SETTLE: Duration = Duration::from_millis(50);

/// How long the stamps of a tree must be old for it to count as at rest when it is looked at first:
/// above the coarsest of them (FAT counts in two seconds), and above any pause of a copy that
/// [`SETTLE`] would notice.
pub const STILL_MIN: Duration = Duration::from_secs(3);

/// How long a tree may go on changing before its newest state is used all the same. Someone who
/// writes a file each second must not keep everyone else's edits out.
pub const RESTLESS_MAX: Duration = Duration::from_secs(2);

/// How long to wait for git. A lock that is older was left behind by a git that died.
pub const GIT_MAX: Duration = Duration::from_secs(10);

/// How often to look while git is busy.
pub const GIT_EVERY: Duration = Duration::from_millis(200);

/// What to do with a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Act on it: two scans agree.
    Use,
    /// Act on it, though the tree goes on changing: what is absent may be about to come.
    UseMoving,
    /// Scan again, this much later.
    Wait(Duration),
    /// It is what is in use already.
    Unchanged,
}

/// What counts of a scan.
#[derive(Debug, Clone, Copy)]
struct Sight {
    hash: [u8; 32],
    git_busy: bool,
    still: Option<Duration>,
}

/// Remembers the scans before this one.
#[derive(Debug, Default)]
pub struct Settler {
    in_use: Option<[u8; 32]>,
    /// Whether a second scan has agreed with the one in use.
    is_moving: bool,
    /// The hash of the last scan, and when it was first seen.
    last: Option<([u8; 32], Duration)>,
    restless_since: Option<Duration>,
    git_since: Option<Duration>,
}

impl Settler {
    /// Judges the scan made at `at`. After [`Verdict::Use`] and [`Verdict::UseMoving`] the scan counts
    /// as the one in use; after the latter it is used once more when a second one agrees with it.
    pub fn judge(&mut self, scan: &Scan, at: Duration) -> Verdict {
        self.judge_sight(Sight { hash: scan.tree_hash, git_busy: scan.git_busy, still: scan.still }, at)
    }

    /// Forgets what is in use, so that the next scan is used even when nothing changed.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    fn judge_sight(&mut self, sight: Sight, at: Duration) -> Verdict {
        let Sight { hash, git_busy, still } = sight;
        if git_busy {
            let since = *self.git_since.get_or_insert(at);
            if at.saturating_sub(since) < GIT_MAX {
                self.last = None;
                self.restless_since = None;
                return if self.in_use == Some(hash) { Verdict::Unchanged } else { Verdict::Wait(GIT_EVERY) };
            }
        } else {
            self.git_since = None;
        }
        let is_in_use = self.in_use == Some(hash);
        if is_in_use && !self.is_moving {
            self.last = None;
            self.restless_since = None;
            return Verdict::Unchanged;
        }

        let restless = at.saturating_sub(*self.restless_since.get_or_insert(at));
        let settle = match still {
            Some(still) if still >= STILL_MIN && self.in_use.is_none() => Duration::ZERO,
            _ => SETTLE,
        };
        let agreed = match self.last {
            Some((last, first_seen)) if last == hash => Some(at.saturating_sub(first_seen)),
            _ => {
                self.last = Some((hash, at));
                None
            }
        };
        if agreed.is_some_and(|agreed| agreed >= settle) {
            *self = Self { in_use: Some(hash), git_since: self.git_since, ..Self::default() };
            return Verdict::Use;
        }
        if restless >= RESTLESS_MAX && !is_in_use {
            self.in_use = Some(hash);
            self.is_moving = true;
            self.restless_since = None;
            return Verdict::UseMoving;
        }
        Verdict::Wait(settle.saturating_sub(agreed.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans are `MILLIS:TREE`, with `!` behind the tree while git is busy, and with `~SECS` when it
    /// has been at rest for so long as far as its stamps tell.
    #[track_caller]
    fn check(scans: &str, expected: &str) {
        let mut settler = Settler::default();
        let verdicts: Vec<String> = scans
            .split_whitespace()
            .map(|scan| {
                let (millis, tree) = scan.split_once(':').unwrap();
                let (tree, still) = match tree.split_once('~') {
                    Some((tree, secs)) => (tree, Some(Duration::from_secs(secs.parse().unwrap()))),
                    None => (tree, None),
                };
                let sight = Sight { hash: [tree.as_bytes()[0]; 32], git_busy: tree.ends_with('!'), still };
                let at = Duration::from_millis(millis.parse().unwrap());
                match settler.judge_sight(sight, at) {
                    Verdict::Use => "use".to_owned(),
                    Verdict::UseMoving => "moving".to_owned(),
                    Verdict::Wait(time) => time.as_millis().to_string(),
                    Verdict::Unchanged => "same".to_owned(),
                }
            })
            .collect();
        assert_eq!(verdicts.join(" "), expected, "scans `{scans}`");
    }

    #[test]
    #[rustfmt::skip]
    fn a_scan_is_used_when_two_agree() {
        check("0:a 50:a",                         "50 use");
        check("0:a 50:a 60:a",                    "50 use same");
        check("0:a 50:a 60:b 110:b",              "50 use 50 use");
        check("0:a 20:a 50:a",                    "50 30 use");
        check("0:a 50:b 100:a 150:a",             "50 50 50 use");
        check("0:a 50:a 60:b 110:a 120:b 170:b",  "50 use 50 same 50 use");
    }

    /// F10, F12: that it is at rest is believed of a tree that is looked at first, whose newest stamp is
    /// old, and that is the same when it is looked at again.
    #[test]
    #[rustfmt::skip]
    fn a_tree_that_has_been_at_rest_is_used_without_a_wait_when_two_scans_agree() {
        check("0:a~9 1:a~9",                      "0 use");
        check("0:a~3 1:a~3",                      "0 use");
        check("0:a~2 1:a~2 50:a~2",               "50 49 use");
        check("0:a~9 1:a 50:a",                   "0 49 use");
        check("0:a~9 1:b~9 2:b~9",                "0 0 use");
        check("0:a~9 1:b 2:b 51:b",               "0 50 49 use");
        check("0:a 1:a~9",                        "50 use");
        check("0:a!~9 200:a!~9 400:a~9 401:a~9",  "200 200 0 use");
    }

    #[test]
    #[rustfmt::skip]
    fn a_tree_that_is_in_use_is_waited_for_whatever_its_stamps_say() {
        check("0:a~9 1:a~9 2:b~9 3:b~9 52:b~9",   "0 use 50 49 use");
        check("0:a~9 1:a~9 2:a~9",                "0 use same");
    }

    #[test]
    #[rustfmt::skip]
    fn a_tree_that_never_rests_is_used_after_two_seconds() {
        check("0:a 1000:b 1950:c 2000:d",         "50 50 50 moving");
        check("0:a 1950:b 2000:c 2050:d 2100:d",  "50 50 moving 50 use");
    }

    /// F10: a prune needs a job to be absent in two scans that agree.
    #[test]
    #[rustfmt::skip]
    fn a_tree_that_was_used_while_it_moved_is_used_again_once_it_rests() {
        check("0:a 1990:b 2000:c 2050:c 2100:c",  "50 50 moving use same");
        check("0:a 1990:b 2000:c 2010:c 2050:c",  "50 50 moving 40 use");
        check("0:a 1990:b 2000:c 3000:d 3010:c 4990:d 5000:c 5050:c", "50 50 moving 50 50 50 50 use");
    }

    #[test]
    #[rustfmt::skip]
    fn git_is_waited_for_and_not_for_ever() {
        check("0:a! 2500:b! 5000:c 5050:c",       "200 200 50 use");
        check("0:a! 9999:a! 10000:a! 10050:a!",   "200 200 50 use");
        check("0:a! 10000:a! 10050:a! 20000:b! 20050:b!", "200 50 use 50 use");
        check("0:a! 10000:a 10050:a 30000:b!",    "200 50 use 200");
        check("0:a 50:a 60:a!",                   "50 use same");
    }

    /// F10: a slow checkout or rsync is never used half-way while it makes pauses shorter than
    /// the settle time.
    #[test]
    fn an_edit_and_its_undoing_cause_nothing() {
        check("0:a 50:a 100:b 150:a", "50 use 50 same");
    }
}
