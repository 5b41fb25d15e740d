//! The files of a tree put together: names are unique in all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    claims::Claims,
    document::{Doc, FileDocs, Naming},
    known::{Known, at},
    loader::{Input, reason_and_way_out, source, text_of},
    memory::Memory,
    tree::{Origin, Tree},
};
use crate::manifest::{
    code::Code,
    file::ManifestFile,
    name::JobName,
    problem::{Place, Problem, SourceText, Span, keep_first},
};

/// What a tree is put together of.
pub(super) struct Parts<'a> {
    /// The files, in the order of paths.
    pub(super) files: &'a [Known],
    /// Those of them that there is something to say of.
    pub(super) heard: &'a [(&'a ManifestFile, &'a FileDocs)],
    /// The jobs in all of them.
    pub(super) claims: &'a Claims,
}

/// A document with its file, under a name.
struct Named<'a> {
    name: &'a JobName,
    file: &'a ManifestFile,
    /// None of a file in which there is no document any more.
    origin: Option<&'a Origin>,
    what: What<'a>,
    by: By,
}

impl Named<'_> {
    /// What they are sorted by: the name, and where it is given.
    fn place(&self) -> (&JobName, &str, u32) {
        (self.name, &self.file.path, self.origin.map_or(0, |origin| origin.document))
    }

    fn span(&self) -> Span {
        self.origin.map(|origin| origin.name).unwrap_or_default()
    }
}

/// What a document makes of its name.
#[derive(Clone, Copy)]
enum What<'a> {
    /// A job.
    Job,
    /// None: it cannot be used.
    Broken(&'a Doc),
    /// None: the document is gone, and its file is mistaken.
    Gone,
}

/// How it is known that a document has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The document or its file says so.
    Told,
    /// Its file held a job of this name before it was mistaken.
    Remembered,
}

/// Puts the files together: names are unique in the whole tree.
pub(super) fn assemble(parts: &Parts<'_>, memory: &mut Memory, input: &Input<'_>, tree: &mut Tree) {
    let mut named = gather(parts.heard, memory, input, tree);
    named.extend(rivals(parts, &named));
    // Of one name they stay in the order of their files.
    named.sort_by(|a, b| a.place().cmp(&b.place()));
    tree.jobs = parts.claims.single().clone();
    unique(&named, input.prefix, tree);
    for (file, docs) in parts.heard.iter().filter(|(_, docs)| docs.is_mistaken()) {
        memory.learn(&file.path, docs, tree);
        tree.mistaken.insert(file.path.to_string(), memory.of(&file.path).cloned());
    }
    unreadable(input, tree);
    tree.obscured.sort();
    sort(&mut tree.problems);
}

/// What there is to say of files; gives the documents that have a name and are no job, in the order of
/// the files.
fn gather<'a>(
    files: &[(&'a ManifestFile, &'a FileDocs)],
    memory: &'a Memory,
    input: &Input<'_>,
    tree: &mut Tree,
) -> Vec<Named<'a>> {
    let mut named = Vec::new();
    for (file, docs) in files {
        tree.problems.extend(docs.problems.iter().cloned());
        let is_mistaken = docs.is_mistaken();
        let stands_for = if is_mistaken { memory.of(&file.path) } else { None };
        if docs.obscured || (is_mistaken && stands_for.is_none()) {
            tree.obscured.push(format!("{}{}", input.prefix, file.path));
        }
        let mut held = stands_for.map(|names| unclaimed(names, docs)).unwrap_or_default();
        for doc in &docs.docs {
            let passed = doc.past.iter().filter(|(time, _)| *time <= input.now);
            tree.problems.extend(passed.map(|(_, problem)| problem.clone()));
            if doc.job.is_some() {
                continue;
            }
            let broken =
                |name, by| Named { name, file, origin: Some(&doc.origin), what: What::Broken(doc), by };
            let told = doc.name.as_ref();
            if doc.naming == Naming::File && stands_for.is_some() {
                // Its own name is what may be mistaken: it stands for what it was.
                named.extend(std::mem::take(&mut held).into_iter().map(|name| {
                    let by = if told == Some(name) { By::Told } else { By::Remembered };
                    broken(name, by)
                }));
                continue;
            }
            named.extend(told.map(|name| broken(name, By::Told)));
        }
        if docs.docs.is_empty() {
            // Cut to nothing, or unreadable: what it held is not free for another file.
            let gone = |name| Named { name, file, origin: None, what: What::Gone, by: By::Remembered };
            named.extend(held.into_iter().map(gone));
        }
    }
    named
}

/// The jobs whose names are given more than once, by another job or by one of `named`.
fn rivals<'a>(parts: &Parts<'a>, named: &[Named<'_>]) -> Vec<Named<'a>> {
    let names: BTreeSet<&JobName> =
        named.iter().map(|one| one.name).chain(parts.claims.contested()).collect();
    let jobs = names.into_iter().flat_map(|name| parts.claims.of(name));
    jobs.filter_map(|job| {
        let file = &*at(parts.files, &job.origin.path)?.file;
        Some(Named { name: &job.spec.name, file, origin: Some(&job.origin), what: What::Job, by: By::Told })
    })
    .collect()
}

/// The names among those a file stands for that no document in it gives itself.
fn unclaimed<'a>(names: &'a BTreeSet<JobName>, docs: &FileDocs) -> Vec<&'a JobName> {
    let claimed = |name: &JobName| {
        docs.docs.iter().any(|doc| doc.naming == Naming::Itself && doc.name.as_ref() == Some(name))
    };
    names.iter().filter(|name| !claimed(name)).collect()
}

/// Sorts out what is broken, and takes it out of the jobs. `named` is sorted by name.
fn unique(named: &[Named<'_>], prefix: &str, tree: &mut Tree) {
    let mut sources = Sources { prefix, known: BTreeMap::new() };
    let mut doubles: BTreeMap<&str, Vec<Problem>> = BTreeMap::new();
    for docs in named.chunk_by(|a, b| a.name == b.name) {
        match docs {
            [Named { what: What::Job, .. }] | [] => {}
            [Named { name, file, what, by, .. }] => {
                tree.broken.insert(JobName::clone(name));
                if *by == By::Remembered {
                    tree.suspects.insert(JobName::clone(name), file.path.to_string());
                } else if let What::Broken(Doc { refused: Some(refused), .. }) = what {
                    tree.refused.insert(JobName::clone(name), Arc::clone(refused));
                }
            }
            [first, others @ ..] => {
                tree.jobs.remove(first.name);
                tree.broken.insert(first.name.clone());
                for other in others {
                    let of_file = doubles.entry(&other.file.path).or_default();
                    of_file.push(duplicate(first, other, &mut sources));
                }
            }
        }
    }
    for mut of_file in doubles.into_values() {
        keep_first(&mut of_file);
        tree.problems.append(&mut of_file);
    }
}

/// Tells of the directories that could not be listed.
fn unreadable(input: &Input<'_>, tree: &mut Tree) {
    for (path, reason) in input.unreadable {
        let place = Place { source: source(input.prefix, path, ""), span: Span::default() };
        let (what, way_out) = reason_and_way_out(reason);
        tree.problems.push(
            Problem::new(Code::Unreadable, place, format!("the directory cannot be read: {what}"))
                .label("this directory")
                .help(way_out),
        );
        tree.obscured.push(format!("{}{path}", input.prefix));
    }
}

/// Sorts problems by place, and makes one of those that say the same of the same place: of a value
/// that several jobs take over.
fn sort(problems: &mut Vec<Problem>) {
    let key = |problem: &Problem| {
        let place = &problem.primary.place;
        (place.source.path.clone(), place.span, problem.code, problem.message.clone())
    };
    problems.sort_by_cached_key(key);
    let mut merged: Vec<Problem> = Vec::with_capacity(problems.len());
    for problem in problems.drain(..) {
        match merged.last_mut().filter(|last| is_same(last, &problem)) {
            Some(last) => last.merge(problem),
            None => merged.push(problem),
        }
    }
    *problems = merged;
}

fn is_same(a: &Problem, b: &Problem) -> bool {
    a.code == b.code
        && a.message == b.message
        && a.primary.place.span == b.primary.place.span
        && a.primary.place.source.path == b.primary.place.source.path
}

/// The texts of files that problems of the tree point into, one for all of a file's problems.
struct Sources<'a> {
    prefix: &'a str,
    known: BTreeMap<&'a str, Arc<SourceText>>,
}

impl<'a> Sources<'a> {
    fn of(&mut self, file: &'a ManifestFile) -> Arc<SourceText> {
        let known = self.known.entry(&file.path);
        Arc::clone(known.or_insert_with(|| source(self.prefix, &file.path, &text_of(file))))
    }
}

fn duplicate<'a>(first: &Named<'a>, other: &Named<'a>, sources: &mut Sources<'a>) -> Problem {
    let prefix = sources.prefix;
    let (here, there) = (sources.of(other.file), sources.of(first.file));
    let words = |named: &Named<'_>, told: &'static str| match named.by {
        By::Told => told,
        By::Remembered => "this file held it before the mistake in it",
    };
    let mut problem = Problem::new(
        Code::DuplicateName,
        Place { source: here, span: other.span() },
        format!("there is already a job `{}`", other.name),
    )
    .label(words(other, "given again"))
    .related(Place { source: there, span: first.span() }, words(first, "first given here"))
    .help(match [first, other].into_iter().find(|one| matches!(one.what, What::Gone)) {
        None => "give one of them another name; until then neither is changed".to_owned(),
        Some(gone) => format!(
            "remove `{prefix}{path}`, which held it and holds nothing that can be read, or write it again; \
             until then neither is changed",
            path = gone.file.path
        ),
    });
    problem.job = Some(other.name.clone());
    problem
}
