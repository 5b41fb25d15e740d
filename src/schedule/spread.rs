//! Spreads starts, so that jobs that are due together do not start together.
//!
//! Pure: the delay is a hash of the job and the fire time, the same on every machine and after
//! every restart.

use std::time::Duration;

use jiff::Timestamp;

use super::Schedule;
use crate::manifest::name::JobName;

/// Version of the hash.
const HASH_FORM: &str = "tintal-jitter-1";

/// How long after a fire time the job starts: less than `jitter`, and always before the next fire
/// time, if there is one.
#[must_use]
pub fn jitter_delay(
    job: &JobName,
    fire_time: Timestamp,
    jitter: Duration,
    next_fire: Option<Timestamp>,
) -> Duration {
    let room = next_fire.map_or(jitter, |next| {
        let room = next.duration_since(fire_time);
        if room.is_negative() { Duration::ZERO } else { room.unsigned_abs() }
    });
    let limit = jitter.min(room).as_nanos();
    let nanos = (limit * u128::from(hash(job, fire_time))) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Schedule {
    /// How long after this fire time the job starts: the share of the `jitter` of the entry that
    /// fires then. When several entries fire then, the least `jitter` counts.
    #[must_use]
    pub fn start_delay(&self, job: &JobName, fire_time: Timestamp) -> Duration {
        if self.entries.iter().all(|entry| entry.jitter.is_zero()) {
            return Duration::ZERO;
        }
        let fires_then = |at: Timestamp| at == fire_time;
        let jitter = self
            .entries
            .iter()
            .filter(|entry| entry.latest_at_or_before(fire_time).is_some_and(|fire| fires_then(fire.time)))
            .map(|entry| entry.jitter)
            .min()
            .unwrap_or_default();
        if jitter.is_zero() {
            return Duration::ZERO;
        }
        jitter_delay(job, fire_time, jitter, self.next_after(fire_time).map(|fire| fire.time))
    }

    /// How long after this time the job starts, when it fires for a start of the machine: the
    /// share of the least `jitter` of the `@reboot` entries whose window is open.
    #[must_use]
    pub fn boot_delay(&self, job: &JobName, now: Timestamp) -> Duration {
        let open = self.entries.iter().filter(|entry| entry.fires_at_boot(now));
        let jitter = open.map(|entry| entry.jitter).min().unwrap_or_default();
        jitter_delay(job, now, jitter, None)
    }
}

/// The first 8 bytes of a digest as a number.
pub(super) fn number(digest: &blake3::Hash) -> u64 {
    digest.as_bytes()[..8].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn hash(job: &JobName, fire_time: Timestamp) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(HASH_FORM.as_bytes());
    hasher.update(b"\n");
    hasher.update(job.as_str().as_bytes());
    hasher.update(b"\n");
    hasher.update(&fire_time.as_nanosecond().to_le_bytes());
    number(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str) -> JobName {
        JobName::parse(name).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_delay_stays_below_the_jitter_and_before_the_next_fire() {
        for second in 0..2_000 {
            let minute = Duration::from_secs(60);
            assert!(jitter_delay(&job("a"), at(second), minute, None) < minute);
            let next = Some(at(second + 5));
            assert!(jitter_delay(&job("a"), at(second), minute, next) < Duration::from_secs(5));
            assert_eq!(jitter_delay(&job("a"), at(second), Duration::ZERO, next), Duration::ZERO);
        }
    }

    #[test]
    fn delays_are_spread_evenly_over_jobs_and_fire_times() {
        let minute = Duration::from_secs(60);
        let mut tenths = [0_u32; 10];
        for number in 0..10_000_i64 {
            let name = job(&format!("job-{}", number % 100));
            let delay = jitter_delay(&name, at(number / 100 * 3_600), minute, None);
            tenths[usize::try_from(delay.as_secs() / 6).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1_150).contains(count)), "{tenths:?}");
    }

    #[test]
    fn a_delay_never_changes() {
        // A changed hash moves the starts of every user.
        let delay = jitter_delay(&job("nightly-report"), at(1_800_000_000), Duration::from_secs(600), None);
        assert_eq!(delay, Duration::from_nanos(599_343_161_548));
    }
}
