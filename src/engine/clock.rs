//! The clock. The one file of the crate that reads it.
//!
//! Cron follows the wall clock, waiting follows the monotonic one; [`Watch`] compares the two, so
//! that a jump of the wall clock (NTP, a resumed laptop) is seen.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

/// How far the two clocks may part between two looks before it counts as a jump: well above what
/// slewing does in the longest sleep, well below the shortest interval that people notice.
pub const JUMP_MIN: Duration = Duration::from_secs(2);

/// A jump of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// What it showed then.
    pub at: Timestamp,
    /// How far it jumped; below zero when it went back.
    pub by: SignedDuration,
}

/// The last jump, for those who look.
pub type Jumps = Mutex<Option<Jump>>;

/// The wall clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Timestamp {
    // Records keep microseconds; an instant that was stored must equal the one in memory.
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// Compares the wall clock with the monotonic one.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    wall: Timestamp,
    monotonic: Instant,
}

impl Watch {
    /// Starts to compare.
    #[must_use]
    pub fn start() -> Self {
        Self { wall: now(), monotonic: Instant::now() }
    }

    /// Reads both clocks: the wall clock, and how far it jumped since the last look, if it did.
    pub fn look(&mut self) -> (Timestamp, Option<SignedDuration>) {
        let (wall, monotonic) = (now(), Instant::now());
        let jump = jump(wall.duration_since(self.wall), monotonic.duration_since(self.monotonic));
        *self = Self { wall, monotonic };
        (wall, jump)
    }
}

/// The difference of two elapsed times, when it is a jump.
fn jump(wall: SignedDuration, monotonic: Duration) -> Option<SignedDuration> {
    let monotonic = SignedDuration::try_from(monotonic).unwrap_or(SignedDuration::MAX);
    let apart = wall.saturating_sub(monotonic);
    (apart.unsigned_abs() >= JUMP_MIN).then_some(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn jump_table() {
        let secs = SignedDuration::from_secs;
        //              wall                    monotonic                  jump
        assert_eq!(jump(secs(1),               Duration::from_secs(1)),   None);
        assert_eq!(jump(secs(2),               Duration::from_secs(1)),   None);
        assert_eq!(jump(secs(3 * 3600),        Duration::from_secs(1)),   Some(secs(3 * 3600 - 1)));
        assert_eq!(jump(secs(-3 * 3600),       Duration::from_secs(1)),   Some(secs(-3 * 3600 - 1)));
    }
}
