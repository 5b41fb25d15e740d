//! Since when nothing asks for a job that was asked for before.
//!
//! Pure: times are offsets on a clock that only goes forward. A file may be gone for a moment – it
//! is saved by removing and writing it, or written slowly after it was cut – and two scans within
//! that moment agree. So a job leaves only when its absence has lasted.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use super::diff::Desired;
use crate::manifest::name::JobName;

/// How long a job must have been absent before it is pruned: longer than a program takes that
/// removes a file to write it anew, and short enough to wait for.
pub const ABSENCE_MIN: Duration = Duration::from_secs(1);

/// The jobs whose absence is not confirmed yet.
///
/// A job that was never asked for since the daemon runs is none of them: it was taken away while
/// nobody looked.
#[derive(Debug, Default)]
pub struct Absences {
    /// Each with the end of the first scan of the whole tree that showed it absent; none as long as
    /// only the files that events name were looked at.
    since: BTreeMap<JobName, Option<Duration>>,
}

impl Absences {
    /// Notes which jobs are asked for no more, and which are again.
    pub fn note(&mut self, before: &Desired, after: &Desired) {
        let is_there = |name: &JobName| after.jobs.contains_key(name) || after.frozen.contains(name);
        self.since.retain(|name, _| !is_there(name));
        let changed = before.jobs.differences(&after.jobs, |_, _| true);
        let asked_before = |name: &JobName| before.jobs.contains_key(name) || before.frozen.contains(name);
        let gone = changed.into_iter().chain(&before.frozen);
        for name in gone.filter(|name| asked_before(name) && !is_there(name)) {
            self.since.entry(name.clone()).or_insert(None);
        }
    }

    /// Takes note that a scan of the whole tree shows all of them absent. Confirms those that were
    /// absent in such a scan that ended `lasting` before this one began: when a slow scan looked at
    /// their place is not known.
    pub fn confirm(&mut self, scan: &Range<Duration>, lasting: Duration) {
        self.since.retain(|_, since| scan.start.saturating_sub(*since.get_or_insert(scan.end)) < lasting);
    }

    /// The tree could not be seen: what was absent before may have come and gone.
    pub fn restart(&mut self) {
        self.since.values_mut().for_each(|since| *since = None);
    }

    /// How long after `at` the next one can be confirmed; none when there is none.
    #[must_use]
    pub fn wait(&self, at: Duration, lasting: Duration) -> Option<Duration> {
        let wait = |since: &Option<Duration>| {
            since.map_or(Duration::ZERO, |since| (since + lasting).saturating_sub(at))
        };
        self.since.values().map(wait).min()
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> BTreeSet<JobName> {
        self.since.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for these jobs, a letter each.
    fn desired_of(names: &str) -> Desired {
        let name = |letter: char| JobName::parse(&letter.to_string()).unwrap();
        Desired { frozen: names.chars().map(name).collect(), ..Desired::default() }
    }

    /// What happens to a tree that asked for `a b c`, one word each: `MILLIS:JOBS`, or
    /// `BEGIN-END:JOBS`, is a scan of the
    /// files that events name and finds these jobs, `MILLIS:JOBS!` one of the whole tree, `?` a tree
    /// that cannot be seen. After each, the jobs that must stay for now, and how long for.
    #[track_caller]
    fn check(events: &str, expected: &str) {
        let mut absences = Absences::default();
        let mut before = desired_of("abc");
        let mut shown = Vec::new();
        for event in events.split_whitespace() {
            let Some((millis, jobs)) = event.split_once(':') else {
                absences.restart();
                continue;
            };
            let (begin, end) = millis.split_once('-').unwrap_or((millis, millis));
            let time = |millis: &str| Duration::from_millis(millis.parse().unwrap());
            let (begin, at) = (time(begin), time(end));
            let after = desired_of(jobs.trim_end_matches('!'));
            absences.note(&before, &after);
            if jobs.ends_with('!') {
                absences.confirm(&(begin..at), ABSENCE_MIN);
            }
            let names: String = absences.names().iter().map(ToString::to_string).collect();
            let wait = absences.wait(at, ABSENCE_MIN);
            shown.push(wait.map_or("-".to_owned(), |wait| format!("{names}+{}", wait.as_millis())));
            before = after;
        }
        assert_eq!(shown.join(" "), expected, "{events}");
    }

    #[test]
    #[rustfmt::skip]
    fn a_job_leaves_when_its_absence_has_lasted_in_whole_scans() {
        check("0:abc!",                        "-");
        check("0:ab! 999:ab! 1000:ab!",        "c+1000 c+1 -");
        check("0:ab 5000:ab 5100:ab! 6100:ab!", "c+0 c+0 c+1000 -");
        check("0:ab! 600:a! 1000:a! 1600:a!",  "c+1000 bc+400 b+600 -");
        check("0:ab! 1000:ab! 2000:ab!",       "c+1000 - -");
        // A slow scan may have looked at the place of `c` as soon as it began.
        check("0:ab! 400-1100:ab! 1200:ab!",   "c+1000 c+0 -");
        check("0-700:ab! 1000:ab! 1700:ab!",   "c+1000 c+700 -");
    }

    /// F10: a file that is removed and made again within a moment, also in several steps.
    #[test]
    #[rustfmt::skip]
    fn a_job_that_comes_back_was_never_gone() {
        check("0:ab! 300:abc! 2000:abc!",      "c+1000 - -");
        check("0:ab! 300:abc 400:ab 1100:ab! 2100:ab!", "c+1000 - c+0 c+1000 -");
    }

    #[test]
    fn a_tree_that_cannot_be_seen_confirms_nothing() {
        check("0:ab! ? 1100:ab! 2100:ab!", "c+1000 c+1000 -");
    }
}
