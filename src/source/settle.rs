//! When a scan may be used: a tree that is being written to is left alone until it rests.
//!
//! Pure: the caller passes the time.

use std::time::Duration;

/// A scan is used when one this long after it finds the same.
pub const SETTLE: Duration = Duration::from_millis(50);

/// A tree that never rests is used as it is after this long.
pub const RESTLESS_MAX: Duration = Duration::from_secs(2);

/// A lock of git is waited for this long; one that stays is left over from a crash.
pub const GIT_MAX: Duration = Duration::from_secs(10);

/// What to do with a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Use it.
    Use,
    /// It is what is in use.
    Unchanged,
    /// Scan again after this long.
    Wait(Duration),
}

/// Compares scans.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settler {
    in_use: Option<[u8; 32]>,
    last: Option<[u8; 32]>,
    restless_since: Option<Duration>,
}

impl Settler {
    /// Takes in a scan with this digest, made at `now`, a time since any fixed beginning.
    pub fn offer(&mut self, digest: [u8; 32], git_busy: bool, now: Duration) -> Settled {
        if self.in_use == Some(digest) && !git_busy {
            self.last = None;
            self.restless_since = None;
            return Settled::Unchanged;
        }
        let since = *self.restless_since.get_or_insert(now);
        let agreed = self.last.replace(digest) == Some(digest);
        let limit = if git_busy { GIT_MAX } else { RESTLESS_MAX };
        let rests = agreed && !git_busy;
        if !rests && now.saturating_sub(since) < limit {
            return Settled::Wait(SETTLE);
        }
        *self = Self { in_use: Some(digest), last: None, restless_since: None };
        Settled::Use
    }

    /// Forgets what is in use: the next scan that rests is used, even if it is the same.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers (digest, git, milliseconds) in turn; one letter for each answer.
    fn play(offers: &[(u8, bool, u64)]) -> String {
        let mut settler = Settler::default();
        let answer = |&(digest, git, ms): &(u8, bool, u64)| match settler.offer(
            [digest; 32],
            git,
            Duration::from_millis(ms),
        ) {
            Settled::Use => 'u',
            Settled::Unchanged => '=',
            Settled::Wait(_) => 'w',
        };
        offers.iter().map(answer).collect()
    }

    #[test]
    #[rustfmt::skip]
    fn settle_table() {
        let still = false;
        let git = true;
        assert_eq!(play(&[(1, still, 0), (1, still, 50), (1, still, 100)]), "wu=");
        assert_eq!(play(&[(1, still, 0), (2, still, 50), (2, still, 100)]), "wwu");
        // Back to what is in use: nothing happened.
        assert_eq!(play(&[(1, still, 0), (1, still, 50), (2, still, 60), (1, still, 110)]), "wuw=");
        // Never at rest: used after two seconds.
        assert_eq!(play(&[(1, still, 0), (2, still, 1_000), (3, still, 1_999), (4, still, 2_000)]), "wwwu");
        // Git is waited for longer, and not for ever.
        assert_eq!(play(&[(1, git, 0), (1, git, 50), (1, still, 100)]), "wwu");
        assert_eq!(play(&[(1, git, 0), (1, git, 9_000), (1, git, 10_000)]), "wwu");
    }
}
