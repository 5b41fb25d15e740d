//! One file of manifests: from its text to jobs and problems.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;

use super::{
    directory::Directory,
    fault::{Fault, Written, first_line},
    fill::{Form, fill},
    meaning, past, placing, suppress,
    tree::{Loaded, Origin},
};
use crate::{
    manifest::{
        code::Code,
        digest::Digest,
        job::Manifest,
        name::JobName,
        parse::{Document, Parsed, Rest, Shapes, parse},
        problem::{LineColumn, Problem, Severity, SourceText, Span},
        yaml::{Node, NodeValue},
    },
    tier::Tiers,
};

/// One document of a file.
#[derive(Debug, Clone)]
pub(super) struct Doc {
    /// The job's name, when it can be told.
    pub(super) name: Option<JobName>,
    pub(super) origin: Origin,
    /// The job, unless something is wrong with it.
    pub(super) job: Option<Arc<Loaded>>,
    /// Warnings that hold once their time has passed.
    pub(super) past: Vec<(Timestamp, Problem)>,
}

/// All of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct FileDocs {
    pub(super) docs: Vec<Doc>,
    pub(super) problems: Vec<Problem>,
    /// Whether there may be jobs in it whose names cannot be told.
    pub(super) obscured: bool,
}

/// Reads a file of manifests.
pub(super) fn read(
    path: &str,
    source: &Arc<SourceText>,
    directory: &Directory,
    shapes: &Shapes,
    tiers: &Tiers,
) -> FileDocs {
    let (parsed, mut problems) = parse(source, shapes);
    let alone = parsed.len() == 1;
    let reading = Reading { path: path.into(), source, directory, tiers, stem: stem(path).filter(|_| alone) };
    let docs: Vec<Doc> = parsed.iter().map(|one| reading.document(one, alone, &mut problems)).collect();
    let nodes: Vec<&Node> = parsed.iter().map(|one| &one.node).collect();
    let mut docs = docs;
    suppress_past(&mut docs, &mut problems, &nodes, source);
    if let [Doc { name: Some(name), .. }] = docs.as_slice() {
        for problem in problems.iter_mut().filter(|problem| problem.job.is_none()) {
            problem.job = Some(name.clone());
        }
    }
    let obscured = parsed.is_empty() && !problems.iter().all(|problem| problem.code == Code::Empty)
        || docs.iter().any(|doc| doc.name.is_none());
    FileDocs { docs, problems, obscured }
}

/// What the reading of each document of a file shares.
struct Reading<'a> {
    path: Arc<str>,
    source: &'a Arc<SourceText>,
    directory: &'a Directory,
    tiers: &'a Tiers,
    /// The name that the file gives its only document; not yet checked.
    stem: Option<&'a str>,
}

impl Reading<'_> {
    fn document(&self, parsed: &Parsed, alone: bool, problems: &mut Vec<Problem>) -> Doc {
        let start = first_line(&parsed.node, self.source);
        let origin = Origin {
            path: Arc::clone(&self.path),
            line: u32::try_from(LineColumn::at(&self.source.text, start.start as usize).line)
                .unwrap_or(u32::MAX),
            document: u32::try_from(parsed.index).unwrap_or(u32::MAX),
            name: name_span(&parsed.node, start),
        };
        let from_stem = || self.stem.and_then(|stem| JobName::parse(stem).ok());
        let broken = |name| Doc { name, origin: origin.clone(), job: None, past: Vec::new() };
        let manifest = match &parsed.document {
            Ok(Document::Job(manifest)) => manifest,
            Ok(Document::Defaults(_)) => return broken(None),
            Err(document) => {
                let name = document.name.clone().or_else(from_stem);
                if let Some(rest) = &document.rest {
                    problems.extend(self.rest(rest, name.as_ref(), &origin));
                }
                return broken(name);
            }
        };
        let written = Written { source: self.source, node: &parsed.node, layers: &self.directory.layers };
        let Some(name) = manifest.name.clone().or_else(from_stem) else {
            problems.push(written.problem(self.no_name(alone), None));
            return broken(None);
        };
        if self.directory.broken {
            // What the defaults would have said is not known. Their file has its own problem.
            return broken(Some(name));
        }
        let (job, faults) = self.job(&name, manifest, &parsed.node, &origin);
        let mut passing = Vec::new();
        for fault in faults {
            let problem = written.problem(fault, Some(&name));
            problems.push(problem);
        }
        if let Some(job) = &job {
            let warnings = past::warnings(&job.spec, form(&parsed.node));
            passing.extend(
                warnings.into_iter().map(|(time, fault)| (time, written.problem(fault, Some(&name)))),
            );
        }
        Doc { name: Some(name), origin, job, past: passing }
    }

    fn job(
        &self,
        name: &JobName,
        manifest: &Manifest,
        node: &Node,
        origin: &Origin,
    ) -> (Option<Arc<Loaded>>, Vec<Fault>) {
        let mut faults = Vec::new();
        let form = form(node);
        let Some(spec) = fill(name, manifest, &self.directory.merged, form, &mut faults) else {
            return (None, faults);
        };
        let traits = meaning::check(&spec, manifest, form, &mut faults);
        let classified = traits.and_then(|traits| placing::place(&spec, &traits, self.tiers, &mut faults));
        let is_good = faults.iter().all(|fault| fault.code.severity() == Severity::Warning);
        let job = classified.filter(|_| is_good).map(|classified| {
            let digest = Digest::of(&spec);
            Arc::new(Loaded { spec: Arc::new(spec), digest, origin: origin.clone(), classified })
        });
        (job, faults)
    }

    /// What is wrong with the meaning of what is left of a document without its mistakes of shape.
    fn rest(&self, rest: &Rest, name: Option<&JobName>, origin: &Origin) -> Vec<Problem> {
        let node = &rest.node;
        let stand_in = JobName::parse("job");
        let Some(name) = name.or(stand_in.as_ref().ok()) else { return Vec::new() };
        if self.directory.broken {
            return Vec::new();
        }
        let is_gone = |pointer: &str| {
            rest.removed.iter().any(|gone| pointer == gone || pointer.starts_with(&format!("{gone}/")))
        };
        let without_run = is_gone("/run");
        let without_list_items =
            rest.removed.iter().any(|gone| gone.starts_with("/schedule/") || gone.starts_with("/run/steps"));
        let written = Written { source: self.source, node, layers: &self.directory.layers };
        let (_, faults) = self.job(name, &rest.manifest, node, origin);
        faults
            .into_iter()
            .filter(|fault| !is_gone(&fault.pointer) && node.at(&fault.pointer).is_some())
            // What follows from something that was taken out is no mistake of its own.
            .filter(|fault| fault.code != Code::TemplateName || rest.removed.is_empty())
            .filter(|fault| !(without_run && fault.code >= Code::PinImpossible))
            .filter(|fault| {
                !(without_list_items && fault.pointer.split('/').any(|part| part.parse::<usize>().is_ok()))
            })
            .map(|fault| written.problem(fault, Some(name)))
            .collect()
    }

    fn no_name(&self, alone: bool) -> Fault {
        let (message, help) = match self.stem {
            Some(stem) if alone => (
                format!("the job has no name, and the file's (`{stem}`) cannot be one"),
                "add `name: …`: lower-case letters, digits, `.`, `_` and `-`",
            ),
            _ => (
                "the job has no name: in a file with several documents each names itself".to_owned(),
                "add `name: …` to the document",
            ),
        };
        Fault::new(Code::NoName, "", message).label("no `name` in this document").help(help)
    }
}

/// Runs the suppressions over what holds now and what will hold once its time has passed.
fn suppress_past(docs: &mut [Doc], problems: &mut Vec<Problem>, nodes: &[&Node], source: &Arc<SourceText>) {
    let mut all = std::mem::take(problems);
    let now = all.len();
    let mut later = Vec::new();
    for (index, doc) in docs.iter_mut().enumerate() {
        for (time, problem) in doc.past.drain(..) {
            later.push((index, time, problem.clone()));
            all.push(problem);
        }
    }
    let _ = now;
    suppress::suppress(&mut all, nodes, source);
    for (index, time, problem) in later {
        if let Some(at) = all.iter().position(|kept| *kept == problem) {
            all.remove(at);
            docs[index].past.push((time, problem));
        }
    }
    *problems = all;
}

/// Whether the schedule is written as one mapping or as a list.
fn form(node: &Node) -> Form {
    match node.get("schedule").map(|schedule| &schedule.value) {
        Some(NodeValue::List(_)) => Form::List,
        _ => Form::Mapping,
    }
}

fn stem(path: &str) -> Option<&str> {
    Path::new(path).file_stem()?.to_str()
}

/// Where the name is written; else the document's first line.
fn name_span(node: &Node, start: Span) -> Span {
    node.get("name").map_or(start, super::super::manifest::yaml::node::Node::place)
}
