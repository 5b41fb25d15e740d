//! What a tree of manifests holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use crate::{
    manifest::{
        characteristics::Tier,
        digest::Digest,
        name::JobName,
        problem::{Problem, Severity, Span},
        roster::Roster,
        spec::Spec,
    },
    schedule::Schedule,
    tier::{Classified, Considered, RuleId, Traits},
};

/// What a tree of manifests holds: jobs that can run, and all that is wrong.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Every job whose manifest can be used.
    pub jobs: Roster<Arc<Loaded>>,
    /// Jobs whose manifest is there and cannot be used.
    pub broken: BTreeSet<JobName>,
    /// Of the broken ones, those that their file no longer names, each with the file that it came
    /// from when it was last good; relative to the root.
    pub suspects: BTreeMap<JobName, String>,
    /// Of each file that is mistaken, the jobs that it has held since it was last good; none of one that
    /// never was.
    pub mistaken: BTreeMap<String, Option<BTreeSet<JobName>>>,
    /// Those of `broken` that have no tier.
    pub refused: BTreeMap<JobName, Arc<Refused>>,
    /// Files and directories that may hold jobs whose names cannot be told, sorted.
    pub obscured: Vec<String>,
    /// Everything that is wrong, sorted by place.
    pub problems: Vec<Problem>,
    /// Files that were looked at.
    pub files: usize,
    /// Files that were parsed anew.
    pub parsed: usize,
}

/// A job as its manifest asks for it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The job with every default filled in.
    pub spec: Arc<Spec>,
    /// Its triggers, compiled. Kept, so that jobs with equal ones share them.
    pub schedule: Schedule,
    /// Where it is written.
    pub origin: Origin,
    /// What the classifier read of it: each characteristic, stated or derived.
    pub traits: Traits,
    /// Its tier, with the reasons. Shared by jobs of which the same was read.
    pub classified: Arc<Classified>,
    pub(super) digest: OnceLock<Digest>,
}

impl Loaded {
    /// The digest of the spec. Made when it is first asked for: to validate takes none.
    #[must_use]
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| Digest::of(&self.spec))
    }
}

/// A job that no tier can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where it is written.
    pub origin: Origin,
    /// The tier that the rules choose, and the rule.
    pub rules_choose: (RuleId, Tier),
    /// Every tier, lightest first, with what came of it.
    pub considered: Vec<Considered>,
}

/// Where a job is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file, relative to the root of the tree.
    pub path: Arc<str>,
    /// The line on which the document begins, counted from 1.
    pub line: u32,
    /// Which document of the file, counted from 0.
    pub document: u32,
    /// The name as it is written; of a name that comes from the file's, the first key.
    pub name: Span,
}

/// What is wrong with each job, and with each file: the first problem, and how many more there are.
#[derive(Debug)]
pub struct FirstProblems<'a> {
    of_job: BTreeMap<&'a JobName, First<'a>>,
    of_file: BTreeMap<&'a str, First<'a>>,
}

/// The first problem of several.
#[derive(Debug, Clone, Copy)]
pub struct First<'a> {
    /// The first one.
    pub problem: &'a Problem,
    /// How many others there are.
    pub more: usize,
}

impl First<'_> {
    /// Place, code and message of the first, and how many there are beside it.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        self.problem.with_more(self.more)
    }
}

impl<'a> FirstProblems<'a> {
    /// Looks at each problem once, and at each job that it concerns: of defaults these may be all.
    #[must_use]
    pub fn among(problems: impl IntoIterator<Item = &'a Problem>) -> Self {
        let mut first = Self { of_job: BTreeMap::new(), of_file: BTreeMap::new() };
        for problem in problems {
            add(&mut first.of_file, &*problem.primary.place.source.path, problem);
            for job in problem.jobs() {
                add(&mut first.of_job, job, problem);
            }
        }
        first
    }

    /// The first that concerns a job.
    #[must_use]
    pub fn of_job(&self, name: &JobName) -> Option<First<'a>> {
        self.of_job.get(name).copied()
    }

    /// The first that stands in a file, whose path is as people see it.
    #[must_use]
    pub fn of_file(&self, path: &str) -> Option<First<'a>> {
        self.of_file.get(path).copied()
    }
}

fn add<'a, K: Ord>(of: &mut BTreeMap<K, First<'a>>, key: K, problem: &'a Problem) {
    of.entry(key).and_modify(|first| first.more += 1).or_insert(First { problem, more: 0 });
}

impl Tree {
    /// How many problems are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{
        code::Code,
        problem::{Place, SourceText},
    };

    fn problem(path: &str, message: &str, jobs: &[&str]) -> Problem {
        let place = Place { source: Arc::new(SourceText::new(path, "x")), span: Span::default() };
        let mut jobs = jobs.iter().map(|name| JobName::parse(name).unwrap());
        let mut problem = Problem::new(Code::Form, place, message);
        problem.job = jobs.next();
        problem.also.extend(jobs);
        problem
    }

    #[test]
    fn of_each_job_and_each_file_the_first_problem_is_found_and_the_others_are_counted() {
        let problems =
            [problem("d", "1", &["a", "b"]), problem("d", "2", &["b", "c"]), problem("e", "3", &["a"])];
        let first = FirstProblems::among(&problems);
        let show = |first: First<'_>| format!("{} +{}", first.problem.message, first.more);
        let of_job = |name: &str| first.of_job(&JobName::parse(name).unwrap()).map(show).unwrap_or_default();
        assert_eq!(["a", "b", "c", "e"].map(of_job), ["1 +1", "1 +1", "2 +0", ""]);
        let of_file = |path: &str| first.of_file(path).map(show).unwrap_or_default();
        assert_eq!(["d", "e", "a"].map(of_file), ["1 +1", "3 +0", ""]);
    }

    #[test]
    fn what_is_wrong_with_the_defaults_of_very_many_jobs_is_found_for_each() {
        // With a look at every job for every job, this would take minutes.
        let names: Vec<String> = (0..200_000).map(|number| format!("j{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let problem = problem("d", "m", &names);
        let first = FirstProblems::among([&problem]);
        assert!(problem.jobs().all(|name| first.of_job(name).is_some()));
    }
}
