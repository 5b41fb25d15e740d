//! Waits for an instant of the wall clock.
//!
//! The kernel's timer on the wall clock is exact to well below a millisecond, where the runtime's
//! own rounds up to the next one or two; and it tells at once when the clock is set.

use std::{io, os::fd::OwnedFd, time::Duration};

use jiff::Timestamp;
use rustix::{
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use tokio::{io::unix::AsyncFd, time::sleep};
use tracing::debug;

/// How much later than this one the runtime's own timer rings. It has a say only where the process sees
/// another wall clock than the kernel's.
const SLACK: Duration = Duration::from_millis(50);

/// Waits for instants, one after the other.
#[derive(Debug)]
pub(super) struct WallTimer {
    /// None where the system has no such timer: the runtime's serves then.
    timer: Option<AsyncFd<OwnedFd>>,
}

impl WallTimer {
    /// Makes the timer. Must be called inside the runtime.
    pub(super) fn new() -> Self {
        let timer = timer().inspect_err(|error| debug!(%error, "no timer on the wall clock")).ok();
        Self { timer }
    }

    /// Waits until the wall clock shows `at`, which is `wait` away, or is set. May come back early.
    pub(super) async fn wait(&self, at: Timestamp, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        match &self.timer {
            Some(timer) => match set(timer.get_ref(), at) {
                Ok(()) => tokio::select! {
                    biased;
                    () = rung(timer) => {}
                    () = sleep(wait.saturating_add(SLACK)) => {}
                },
                // The clock was set since the timer was asked last: its caller is to look at it.
                Err(error) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => {}
                Err(_) => sleep(wait).await,
            },
            None => sleep(wait).await,
        }
    }
}

#[expect(deprecated, reason = "its successor is unsafe, for owners that may close; an `OwnedFd` does not")]
fn timer() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    AsyncFd::new(timerfd_create(TimerfdClockId::Realtime, flags)?)
}

fn set(timer: &OwnedFd, at: Timestamp) -> io::Result<()> {
    // An instant of zero would turn the timer off.
    let nanosecond = at.as_nanosecond().max(1);
    let whole = |part: i128| i64::try_from(part).map_err(io::Error::other);
    let at = Timespec {
        tv_sec: whole(nanosecond.div_euclid(1_000_000_000))?,
        tv_nsec: whole(nanosecond.rem_euclid(1_000_000_000))?,
    };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(timer, flags, &once)?;
    Ok(())
}

/// Waits until the timer has something to say; what it says – the time has come, or the clock was
/// set – its caller sees from the clock.
async fn rung(timer: &AsyncFd<OwnedFd>) {
    loop {
        let Ok(mut ready) = timer.readable().await else { return };
        let mut count = [0; 8];
        let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?));
        if read.is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clock;

    #[tokio::test]
    async fn a_timer_rings_at_its_time_and_not_before() {
        let wall = WallTimer::new();
        assert!(wall.timer.is_some());
        for wait in [Duration::from_millis(20), Duration::from_millis(3)] {
            let at = clock::now() + wait;
            wall.wait(at, wait).await;
            assert!(clock::now() >= at, "{wait:?}");
        }
    }

    #[tokio::test]
    async fn a_timer_that_is_left_waiting_can_be_set_again() {
        let wall = WallTimer::new();
        let hour = Duration::from_secs(3600);
        let waiting = Box::pin(wall.wait(clock::now() + hour, hour));
        drop(futures_util::future::select(waiting, futures_util::future::ready(())).await);
        let at = clock::now() + Duration::from_millis(1);
        wall.wait(at, Duration::from_millis(1)).await;
        assert!(clock::now() >= at);
    }
}
