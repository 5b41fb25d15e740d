//! The circuit breaker of a backend: after failures in a row it is left alone for a while, and then
//! tried with one call.
//!
//! Pure: the time is an argument.

use std::time::Duration;

use jiff::Timestamp;

/// Failures in a row after which a backend is left alone (issue 3).
pub const FAILURES_MAX: u32 = 5;

/// How long it is left alone (issue 3).
pub const OPEN_FOR: Duration = Duration::from_secs(60);

/// The breaker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    opened_at: Option<Timestamp>,
}

/// What the breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Everything.
    Closed,
    /// Nothing until then.
    Open {
        /// When one call is tried.
        until: Timestamp,
    },
    /// One call, which decides.
    HalfOpen,
}

impl Circuit {
    /// The word in `status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl Breaker {
    /// What it lets through at `now`.
    #[must_use]
    pub fn circuit(&self, now: Timestamp) -> Circuit {
        let Some(opened_at) = self.opened_at else { return Circuit::Closed };
        let until = opened_at.checked_add(OPEN_FOR).unwrap_or(Timestamp::MAX);
        // A clock that went back must not keep it open for longer.
        if now >= until || now < opened_at { Circuit::HalfOpen } else { Circuit::Open { until } }
    }

    /// A call was answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call failed at `now`.
    pub fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            self.opened_at = Some(now);
        }
    }

    /// Failures since the last call that was answered.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// `+` is a call that was answered, `-` one that failed, each a second after the one before; then what
    /// the breaker lets through at a second.
    #[track_caller]
    fn check(calls: &str, second: i64, expected: &str) {
        let mut breaker = Breaker::default();
        for (second, call) in (1..).zip(calls.chars()) {
            if call == '+' { breaker.succeeded() } else { breaker.failed(at(second)) }
        }
        assert_eq!(breaker.circuit(at(second)).as_str(), expected, "{calls} at {second}");
    }

    #[test]
    fn five_failures_open_it_for_a_minute_and_one_call_decides() {
        check("----", 5, "closed");
        check("----+----", 9, "closed");
        check("-----", 5, "open");
        check("-----", 64, "open");
        check("-----", 65, "half-open");
        check("------", 65, "open");
        check("-----+", 65, "closed");
    }

    #[test]
    fn a_clock_that_goes_back_does_not_keep_it_open() {
        check("-----", 1, "half-open");
    }
}
