//! What a worker has done since it was started, for those who look.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters. They only grow.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages that were taken.
    pub received: Count,
    /// Attempts that succeeded.
    pub succeeded: Count,
    /// Attempts that did not.
    pub failed: Count,
    /// Messages that were not run, since nobody vouches for them or they cannot be read.
    pub refused: Count,
    /// Messages of other programs.
    pub foreign: Count,
    /// Messages of attempts that were made before.
    pub repeated: Count,
    /// Messages that were given back.
    pub returned: Count,
    /// Claims that were over before their message was settled.
    pub claims_lost: Count,
    /// Calls to a queue system that failed.
    pub errors: Count,
}

/// One counter.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counts {
    /// Every counter with its name.
    #[must_use]
    pub fn all(&self) -> [(&'static str, u64); 9] {
        [
            ("received", self.received.get()),
            ("succeeded", self.succeeded.get()),
            ("failed", self.failed.get()),
            ("refused", self.refused.get()),
            ("foreign", self.foreign.get()),
            ("repeated", self.repeated.get()),
            ("returned", self.returned.get()),
            ("claims_lost", self.claims_lost.get()),
            ("errors", self.errors.get()),
        ]
    }
}
