//! What the kernel says of processes and of the machine.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// Processor time and memory of a process.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Seconds of processor time, children that were waited for included.
    pub seconds: f64,
    /// Seconds of its own.
    pub own_seconds: f64,
    /// Times that each thread of it went to sleep, by the thread's number.
    sleeps: BTreeMap<u64, u64>,
    /// Resident memory in MB (10^6 bytes).
    pub resident_mb: f64,
}

impl Usage {
    /// How often threads went to sleep from then until now. A thread that ended meanwhile no longer
    /// says so.
    pub fn sleeps_since(&self, before: &Self) -> u64 {
        let since = |(thread, count): (&u64, &u64)| count - before.sleeps.get(thread).unwrap_or(&0);
        self.sleeps.iter().map(since).sum()
    }
}

/// The load of the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// What a process has used up to now.
pub fn usage(pid: u32) -> Usage {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    #[expect(clippy::cast_precision_loss)]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    let own = (ticks(11) + ticks(12)) / per_second;
    let children = (ticks(13) + ticks(14)) / per_second;
    Usage {
        seconds: own + children,
        own_seconds: own,
        sleeps: threads(pid)
            .map(|status| (number(&status, "Pid:"), number(&status, "voluntary_ctxt_switches:")))
            .collect(),
        resident_mb: kilobytes(pid, "VmRSS:") / 1000.0,
    }
}

/// Highest resident memory of a process so far, in MB.
pub fn peak_mb(pid: u32) -> f64 {
    kilobytes(pid, "VmHWM:") / 1000.0
}

#[expect(clippy::cast_precision_loss)]
fn kilobytes(pid: u32, key: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    number(&status, key) as f64 * 1.024
}

fn threads(pid: u32) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("status")).ok())
}

fn number(status: &str, key: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Processor time of all children that this process has waited for.
pub fn children() -> Duration {
    let usage = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = usage.rsplit_once(')').unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: f64 = fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap();
    #[expect(clippy::cast_precision_loss)]
    Duration::from_secs_f64(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// Size of a file in MB.
#[expect(clippy::cast_precision_loss)]
pub fn size_mb(path: &Path) -> f64 {
    fs::metadata(path).unwrap().len() as f64 / 1e6
}
