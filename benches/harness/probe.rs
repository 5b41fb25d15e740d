//! The bare probes: the least program that does the physical work. Each runs in a process of its
//! own.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use crate::fire;

pub fn run(arguments: &[&str]) {
    match arguments {
        ["fire", jobs, fires] => fire(jobs.parse().unwrap(), fires.parse().unwrap()),
        ["spawn", count, at_once, "with-ballast"] => {
            let ballast = crate::spawn::ballast();
            spawn(count.parse().unwrap(), at_once.parse().unwrap());
            drop(ballast);
        }
        ["spawn", count, at_once] => spawn(count.parse().unwrap(), at_once.parse().unwrap()),
        other => panic!("no such probe: {other:?}"),
    }
}

fn microseconds() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// A heap, one sleep, and one task a job on two threads: all are handed over first, next times
/// are computed after.
fn fire(jobs: usize, fires: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stamps: Arc<Vec<AtomicI64>> = Arc::new((0..jobs * fires).map(|_| AtomicI64::new(0)).collect());
    let every = i64::try_from(fire::EVERY).unwrap() * 1_000_000;
    let first = (microseconds() / every + 1) * every;
    let firing = runtime.spawn({
        let stamps = Arc::clone(&stamps);
        async move {
            let mut heap: BinaryHeap<Reverse<(i64, usize)>> =
                (0..jobs).map(|job| Reverse((first, job))).collect();
            for fire in 0..fires {
                let Reverse((due, _)) = *heap.peek().unwrap();
                let wait = u64::try_from((due - microseconds()).max(0)).unwrap();
                tokio::time::sleep(Duration::from_micros(wait)).await;
                let mut started = Vec::with_capacity(jobs);
                while heap.peek().is_some_and(|Reverse((at, _))| *at <= due) {
                    let Reverse((_, job)) = heap.pop().unwrap();
                    let stamps = Arc::clone(&stamps);
                    tokio::spawn(async move {
                        stamps[fire * jobs + job].store(microseconds(), Ordering::Relaxed);
                    });
                    started.push(job);
                }
                tokio::task::yield_now().await;
                heap.extend(started.into_iter().map(|job| Reverse((due + every, job))));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    runtime.block_on(firing).unwrap();
    let fires: Vec<Vec<f64>> = (0..fires)
        .map(|fire| {
            let due = first + i64::try_from(fire).unwrap() * every;
            let of_fire = &stamps[fire * jobs..(fire + 1) * jobs];
            #[expect(clippy::cast_precision_loss)]
            of_fire.iter().map(|stamp| (stamp.load(Ordering::Relaxed) - due) as f64 / 1000.0).collect()
        })
        .collect();
    println!("{}", json!({"fires": fires}));
}

/// `/bin/true` with its output captured, on threads; std takes the `posix_spawn` path.
fn spawn(count: usize, at_once: usize) {
    let left = AtomicUsize::new(count);
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while take() {
                    one().unwrap();
                }
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!("{}", json!({"seconds": seconds, "cpu": crate::cpu::children().as_secs_f64()}));
}

fn one() -> io::Result<()> {
    let output = Command::new("/bin/true").stdin(Stdio::null()).output()?;
    assert!(output.status.success());
    Ok(())
}

/// Starts `count` programs at a second of the wall clock, so many at once.
pub fn herd(program: &str, argument: &str, count: usize, at_once: usize, second: u64) {
    let left = AtomicUsize::new(count);
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    thread::sleep(Duration::from_secs(second).saturating_sub(now));
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while take() {
                    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().unwrap();
                    assert!(output.status.success());
                }
            });
        }
    });
}
