//! Since when nothing asks for a job that was asked for before.
//!
//! Pure: times are offsets on a clock that only goes forward. A file may be gone for a moment – it
//! is saved by removing and writing it, or written slowly after it was cut – and two scans within
//! that moment agree. So a job leaves only when its absence has lasted. Where its document, or its file
//! under another name, asks for another job, both would fire meanwhile, so that the other one waits for
//! it to leave.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use super::diff::Desired;
use crate::manifest::{digest::Digest, name::JobName, spec::Spec};

/// How long a job must have been absent before it is pruned: longer than a program takes that
/// removes a file to write it anew, and short enough to wait for.
pub const ABSENCE_MIN: Duration = Duration::from_secs(1);

/// The same for a job whose document names another one, or whose file has another name: the file is
/// whole, but for a name that may be half written. The other one is not put until then.
pub const RENAME_MIN: Duration = Duration::from_millis(500);

/// Jobs that come or go at once of which it is looked whether their files were moved: a digest each, so
/// some milliseconds in all.
const MOVED_MAX: usize = 250;

/// The jobs whose absence is not confirmed yet.
///
/// A job that was never asked for since the daemon runs is none of them: it was taken away while
/// nobody looked.
#[derive(Debug, Default)]
pub struct Absences {
    absent: BTreeMap<JobName, Absence>,
    /// Jobs that are asked for under another name, with that one; also those whose absence is confirmed,
    /// until nothing is left to be done.
    renamed: BTreeMap<JobName, JobName>,
}

/// What is known of a job that nothing asks for.
#[derive(Debug, Default)]
struct Absence {
    /// The end of the first scan of the whole tree that showed it absent; none as long as only the
    /// files that events name were looked at.
    since: Option<Duration>,
    /// The job that its document asks for instead, or its file under another name.
    successor: Option<JobName>,
}

impl Absences {
    /// Notes which jobs are asked for no more, and which are again.
    pub fn note(&mut self, before: &Desired, after: &Desired) {
        let is_there = |name: &JobName| after.jobs.contains_key(name) || after.frozen.contains(name);
        let place = |desired: &Desired, name: &JobName| {
            desired.jobs.get(name).map(|wanted| (Arc::clone(&wanted.file), wanted.document))
        };
        self.absent.retain(|name, _| !is_there(name));
        let asked_before = |name: &JobName| before.jobs.contains_key(name) || before.frozen.contains(name);
        let changed = before.jobs.differences(&after.jobs, |_, _| true);
        let come: Vec<&JobName> = changed.iter().copied().filter(|name| !asked_before(name)).collect();
        let gone: BTreeSet<&JobName> = changed
            .into_iter()
            .chain(&before.frozen)
            .filter(|name| asked_before(name) && !is_there(name))
            .collect();
        let mut renamed = renamed(before, after, &gone);
        renamed.extend(moved(before, after, &gone, &come));
        for absence in self.absent.values_mut() {
            if let Some(next) = absence.successor.as_ref().and_then(|job| renamed.get(job)) {
                // Its name is still being written.
                *absence = Absence { since: None, successor: Some(next.clone()) };
            }
            absence
                .successor
                .take_if(|job| before.jobs.contains_key(job) && place(after, job) != place(before, job));
        }
        for successor in self.renamed.values_mut() {
            if let Some(next) = renamed.get(successor) {
                next.clone_into(successor);
            }
        }
        self.renamed.extend(renamed.clone());
        self.renamed.retain(|name, successor| !is_there(name) && is_there(successor));
        for name in gone {
            self.absent.entry(name.clone()).or_default().successor = renamed.remove(name);
        }
    }

    /// Takes note that a scan of the whole tree shows all of them absent. Confirms those that were
    /// absent in such a scan that ended `lasting` before this one began: when a slow scan looked at
    /// their place is not known. Of those that have another name now, [`RENAME_MIN`] is enough.
    pub fn confirm(&mut self, scan: &Range<Duration>, lasting: Duration) {
        self.absent.retain(|_, absence| {
            let since = *absence.since.get_or_insert(scan.end);
            scan.start.saturating_sub(since) < absence.min(lasting)
        });
    }

    /// The tree could not be seen: what was absent before may have come and gone.
    pub fn restart(&mut self) {
        self.absent.values_mut().for_each(|absence| absence.since = None);
    }

    /// How long after `at` the next one can be confirmed; none when there is none.
    #[must_use]
    pub fn wait(&self, at: Duration, lasting: Duration) -> Option<Duration> {
        let wait = |absence: &Absence| {
            absence.since.map_or(Duration::ZERO, |since| (since + absence.min(lasting)).saturating_sub(at))
        };
        self.absent.values().map(wait).min()
    }

    /// The jobs that are asked for instead of them.
    #[must_use]
    pub fn successors(&self) -> BTreeSet<JobName> {
        self.absent.values().filter_map(|absence| absence.successor.clone()).collect()
    }

    /// The jobs that are asked for under another name, each with that name, also those whose absence is
    /// confirmed.
    #[must_use]
    pub fn renamed(&self) -> BTreeMap<JobName, JobName> {
        self.renamed.clone()
    }

    /// What is asked for is held, and nothing else.
    pub fn settled(&mut self) {
        self.renamed.clear();
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> BTreeSet<JobName> {
        self.absent.keys().cloned().collect()
    }
}

impl Absence {
    /// How long it must last, where others must last so long.
    fn min(&self, lasting: Duration) -> Duration {
        if self.successor.is_some() { lasting.min(RENAME_MIN) } else { lasting }
    }
}

/// The jobs among `gone` whose document asks for another job now, with that job.
///
/// Their file has the same documents as before, all of which can be used, so that none is about to
/// come; and nothing asked for the other job before, so that no two files are about to be swapped.
fn renamed(before: &Desired, after: &Desired, gone: &BTreeSet<&JobName>) -> BTreeMap<JobName, JobName> {
    if gone.is_empty() {
        return BTreeMap::new();
    }
    let places = gone.iter().filter_map(|name| before.jobs.get(name));
    let files: BTreeSet<&str> = places.map(|wanted| &*wanted.file).collect();
    let (old, new) = (documents(before, &files), documents(after, &files));
    let of_gone = gone.iter().filter_map(|name| {
        let wanted = before.jobs.get(name)?;
        let (old, new) = (old.get(&*wanted.file)?, new.get(&*wanted.file)?);
        let successor = *new.get(&wanted.document)?;
        let is_new = !before.jobs.contains_key(successor) && !before.frozen.contains(successor);
        (is_new && old.keys().eq(new.keys())).then(|| (JobName::clone(name), successor.clone()))
    });
    of_gone.collect()
}

/// The jobs among `gone` whose file has another name now, which gives the job another one, with that job.
///
/// The file asks for nothing any more, and another one, which asked for nothing before, asks for the
/// same job but for its name. Neither of the two has an equal: of copies nobody knows which is which.
fn moved(
    before: &Desired,
    after: &Desired,
    gone: &BTreeSet<&JobName>,
    come: &[&JobName],
) -> Vec<(JobName, JobName)> {
    let Some(name) = gone.first().filter(|_| gone.len() + come.len() <= MOVED_MAX) else { return Vec::new() };
    let old = named(name, before, gone.iter().copied());
    let new = named(name, after, come.iter().copied());
    let pairs = old.iter().filter_map(|(digest, old)| match (old.as_slice(), new.get(digest)?.as_slice()) {
        ([old], [new]) => Some(((*old, &*before.jobs.get(old)?.file), (*new, &*after.jobs.get(new)?.file))),
        _ => None,
    });
    let pairs: Vec<_> = pairs.collect();
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        pairs.iter().map(|((_, from), (_, to))| (*from, *to)).unzip();
    let (stay, were_there) = (documents(after, &old), documents(before, &new));
    let is_moved = |from: &str, to: &str| !stay.contains_key(from) && !were_there.contains_key(to);
    let moved = pairs.into_iter().filter(|((_, from), (_, to))| is_moved(from, to));
    moved.map(|((old, _), (new, _))| (old.clone(), new.clone())).collect()
}

/// Jobs that are asked for, by what their digests are when all have this name.
fn named<'a>(
    name: &JobName,
    desired: &'a Desired,
    jobs: impl Iterator<Item = &'a JobName>,
) -> BTreeMap<Digest, Vec<&'a JobName>> {
    by_digest(name, jobs.filter_map(|job| Some((job, &*desired.jobs.get(job)?.spec))))
}

/// Jobs by what their digests are when all have this name.
pub(super) fn by_digest<'a>(
    name: &JobName,
    jobs: impl Iterator<Item = (&'a JobName, &'a Spec)>,
) -> BTreeMap<Digest, Vec<&'a JobName>> {
    let mut found: BTreeMap<Digest, Vec<&JobName>> = BTreeMap::new();
    for (job, spec) in jobs {
        found.entry(nameless(name, spec)).or_default().push(job);
    }
    found
}

/// The digest of a job if it had this name: of jobs that differ in their names only it is the same.
pub(super) fn nameless(name: &JobName, spec: &Spec) -> Digest {
    Digest::of(&Spec { name: name.clone(), ..spec.clone() })
}

/// The jobs of some files by the number of their document.
fn documents<'a>(
    desired: &'a Desired,
    files: &BTreeSet<&'a str>,
) -> BTreeMap<&'a str, BTreeMap<u32, &'a JobName>> {
    let mut documents: BTreeMap<&str, BTreeMap<u32, &JobName>> = BTreeMap::new();
    for (name, wanted) in desired.jobs.iter().filter(|(_, wanted)| files.contains(&*wanted.file)) {
        documents.entry(&wanted.file).or_default().insert(wanted.document, name);
    }
    documents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{diff::Wanted, tests::wanted};

    /// Asks for these jobs, a letter each.
    fn desired_of(names: &str) -> Desired {
        let name = |letter: char| JobName::parse(&letter.to_string()).unwrap();
        Desired { frozen: names.chars().map(name).collect(), ..Desired::default() }
    }

    /// What happens to a tree that asked for `a b c`, one word each: `MILLIS:JOBS`, or
    /// `BEGIN-END:JOBS`, is a scan of the files that events name and finds these jobs, `MILLIS:JOBS!`
    /// one of the whole tree, `?` a tree that cannot be seen. After each, the jobs that must stay for
    /// now, and how long for.
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

    /// What a tree asks for: `FILE:JOBS` with a letter for each document, a capital one when it
    /// cannot be used. `FILE:JOBS=VERSION` are others than those of another version.
    fn files(text: &str) -> Desired {
        let mut desired = Desired::default();
        for (file, jobs) in text.split_whitespace().map(|word| word.split_once(':').unwrap()) {
            let (jobs, version) = jobs.split_once('=').unwrap_or((jobs, "1"));
            for (document, letter) in (0..).zip(jobs.chars()) {
                let name = letter.to_ascii_lowercase().to_string();
                if letter.is_ascii_uppercase() {
                    desired.frozen.insert(JobName::parse(&name).unwrap());
                } else {
                    let wanted = Wanted { file: file.into(), document, ..wanted(&name, version) };
                    desired.jobs.insert(JobName::parse(&name).unwrap(), wanted);
                }
            }
        }
        desired
    }

    /// What stays for now when a tree asks for this one after the other, once all of it was looked at for
    /// so long that a renamed job leaves.
    #[track_caller]
    fn check_renamed(trees: &[&str], expected: &str) {
        let trees: Vec<Desired> = trees.iter().map(|tree| files(tree)).collect();
        let mut absences = Absences::default();
        for tree in trees.windows(2) {
            absences.note(&tree[0], &tree[1]);
        }
        let lingering = absences.names();
        let almost = RENAME_MIN.saturating_sub(Duration::from_millis(1));
        for at in [Duration::ZERO, almost] {
            absences.confirm(&(at..at), ABSENCE_MIN);
            assert_eq!(absences.names(), lingering, "a name may be half written");
        }
        absences.confirm(&(RENAME_MIN..RENAME_MIN), ABSENCE_MIN);
        let names: String = absences.names().iter().map(ToString::to_string).collect();
        assert_eq!(names, expected);
    }

    #[test]
    #[rustfmt::skip]
    fn a_job_whose_document_has_another_name_leaves_sooner() {
        check_renamed(&["x:a", "x:b"],               "");
        check_renamed(&["x:ab", "x:ac"],             "");
        check_renamed(&["x:ab y:c", "x:de y:c"],     "");
        check_renamed(&["x:a", "x:b", "x:b y:c"],    "");
        check_renamed(&["x:a", "x:b", "x:c"],        "");
    }

    #[test]
    #[rustfmt::skip]
    fn a_job_whose_file_has_another_name_leaves_sooner() {
        check_renamed(&["x:a", "y:b"],               "");
        check_renamed(&["x:a z:c", "y:b z:c"],       "");
        check_renamed(&["x:a z:c=2", "y:b w:d=2"],   "");
        check_renamed(&["x:a", "y:b", "z:c"],        "");
        // Another job, or who knows which of two.
        check_renamed(&["x:a", "y:b=2"],             "a");
        check_renamed(&["x:a z:c", "y:b"],           "ac");
        check_renamed(&["x:a", "y:b z:c"],           "a");
        // A file that stays, or was there.
        check_renamed(&["x:ab=2", "x:b=2 y:c=2"],    "a");
        check_renamed(&["x:a y:b=2", "y:b=2 y:c"],   "a");
    }

    /// F6, F10: a file that is being written, or has a mistake in it, may ask for the job again.
    #[test]
    #[rustfmt::skip]
    fn a_job_that_may_come_back_stays_for_now() {
        // The rest of the file may follow.
        check_renamed(&["x:a", "x:bc"],              "a");
        check_renamed(&["x:ab", "x:c"],              "ab");
        check_renamed(&["x:ab", "x:a"],              "b");
        check_renamed(&["x:a", "x:b", "x:bc"],       "");
        // A document that cannot be used may be the one.
        check_renamed(&["x:ab", "x:cB"],             "a");
        check_renamed(&["x:a", "x:B"],               "a");
        check_renamed(&["x:a", "x:A", "x:b"],        "a");
        // Two files may be about to be swapped, or one to be moved.
        check_renamed(&["x:a y:b", "x:b"],           "a");
        check_renamed(&["x:a y:b", "y:a=2"],         "b");
        check_renamed(&["x:a", ""],                  "a");
    }

    #[test]
    fn a_tree_that_cannot_be_seen_confirms_nothing() {
        check("0:ab! ? 1100:ab! 2100:ab!", "c+1000 c+1000 -");
    }

    /// F10: a tree that could not be seen, and a name that is written on, keep the old job and hold the
    /// new one back.
    #[test]
    fn the_other_job_of_a_document_waits_for_the_first_to_leave() {
        let trees = ["x:a", "x:b", "x:c", "x:a"].map(files);
        let mut absences = Absences::default();
        let shown = |absences: &Absences| {
            let show = |names: BTreeSet<JobName>| names.iter().map(ToString::to_string).collect::<String>();
            (show(absences.names()), show(absences.successors()))
        };
        absences.note(&trees[0], &trees[1]);
        absences.restart();
        assert_eq!(shown(&absences), ("a".to_owned(), "b".to_owned()));
        absences.note(&trees[1], &trees[2]);
        assert_eq!(shown(&absences), ("ab".to_owned(), "c".to_owned()));
        absences.note(&trees[2], &trees[3]);
        assert_eq!(shown(&absences), ("bc".to_owned(), "a".to_owned()));
        // The same where files are moved, and back.
        let trees = ["x:a", "y:b", "x:a"].map(files);
        let mut absences = Absences::default();
        absences.note(&trees[0], &trees[1]);
        assert_eq!(shown(&absences), ("a".to_owned(), "b".to_owned()));
        absences.note(&trees[1], &trees[2]);
        assert_eq!(shown(&absences), ("b".to_owned(), "a".to_owned()));
    }
}
