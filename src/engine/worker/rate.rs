//! How many messages a worker begins in a while: a token bucket.
//!
//! Pure: the time is an argument.

use std::time::{Duration, Instant};

/// The limit of one queue.
#[derive(Debug, Clone)]
pub struct Rate {
    per_second: f64,
    /// As many may begin at once after a pause: those of one second, and one at least.
    burst: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Rate {
    /// So many a second, from `now` on.
    #[must_use]
    pub fn new(per_second: f64, now: Instant) -> Self {
        let burst = per_second.max(1.0);
        Self { per_second, burst, tokens: burst, filled_at: now }
    }

    /// How many may begin at `now`, at most `max`; they count as begun.
    ///
    /// # Errors
    ///
    /// When none may: how long it is until one may.
    pub fn take(&mut self, max: usize, now: Instant) -> Result<usize, Duration> {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled_at = now;
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) / self.per_second));
        }
        let mut taken = 0;
        while taken < max && self.tokens >= 1.0 {
            self.tokens -= 1.0;
            taken += 1;
        }
        Ok(taken)
    }

    /// Gives back what was not begun.
    pub fn give_back(&mut self, count: usize) {
        for _ in 0..count {
            self.tokens = (self.tokens + 1.0).min(self.burst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_begin_than_the_rate_allows_and_what_is_not_begun_is_given_back() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut rate = Rate::new(10.0, start);
        assert_eq!(rate.take(100, at(0)), Ok(10), "those of a second at once");
        let wait = rate.take(1, at(0)).unwrap_err();
        assert!(wait <= Duration::from_millis(101), "{wait:?}");
        assert_eq!(rate.take(100, at(500)), Ok(5));
        rate.give_back(3);
        assert_eq!(rate.take(100, at(500)), Ok(3));
        assert_eq!(rate.take(100, at(60_000)), Ok(10), "a pause is not made up for");
    }

    #[test]
    fn less_than_one_a_second_begins_one_at_a_time() {
        let start = Instant::now();
        let mut rate = Rate::new(0.5, start);
        assert_eq!(rate.take(5, start), Ok(1));
        assert_eq!(rate.take(5, start), Err(Duration::from_secs(2)));
        assert_eq!(rate.take(5, start + Duration::from_secs(2)), Ok(1));
    }
}
