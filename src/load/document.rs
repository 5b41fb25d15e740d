//! One file of manifests: from its text to jobs and problems.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use super::{
    directory::Directory,
    fault::{Fault, Written},
    fill::{ScheduleForm, fill},
    held::HeldSpecs,
    meaning::{self, Given},
    numbers,
    past::{self, Past},
    placing::{self, Choices},
    queue, rest,
    suppress::{self, Hits, Used},
    templates,
    tree::{Loaded, Origin, Refused},
};
use crate::{
    manifest::{
        code::Code,
        job::Manifest,
        name::{JobName, NAME_LEN_MAX, suggested},
        parse::{Document, Parsed, Shapes, parse},
        problem::{PROBLEMS_MAX, Place, Problem, Severity, SourceText, Span, keep_first},
        spec::Spec,
        yaml::{Node, NodeValue},
    },
    schedule::Schedule,
    tier::{Classified, Refusal, Traits},
};

/// One document of a file.
#[derive(Debug, Clone)]
pub(super) struct Doc {
    /// The job's name, when it can be told.
    pub(super) name: Option<JobName>,
    /// Where the name comes from.
    pub(super) naming: Naming,
    pub(super) origin: Origin,
    /// The job, unless something is wrong with it.
    pub(super) job: Option<Arc<Loaded>>,
    /// Of a job that no tier can take, what was considered.
    pub(super) refused: Option<Arc<Refused>>,
    /// Warnings that hold once their time has passed.
    pub(super) past: Vec<Past>,
}

/// Where the name of a document comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// It names itself.
    Itself,
    /// It has the name of its file, or none.
    File,
}

/// All of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct FileDocs {
    pub(super) docs: Vec<Doc>,
    pub(super) problems: Vec<Problem>,
    /// Whether there may be jobs in it whose names cannot be told.
    pub(super) obscured: bool,
    /// The suppressions in the defaults above it that it made use of, by their file.
    pub(super) used: Vec<(String, Used)>,
}

impl FileDocs {
    /// Whether something in the file cannot be used.
    pub(super) fn is_mistaken(&self) -> bool {
        self.docs.is_empty()
            || self.docs.iter().any(|doc| doc.job.is_none())
            || self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// Reads a file of manifests.
pub(super) fn read(
    path: &Arc<str>,
    source: &Arc<SourceText>,
    directory: &Directory,
    shapes: &Shapes,
    choices: &Choices,
    held: &HeldSpecs,
) -> FileDocs {
    let (parsed, mut problems) = parse(source, shapes);
    let reading = Reading {
        path: Arc::clone(path),
        source,
        directory,
        choices,
        held,
        stem: stem(path).filter(|_| parsed.len() == 1),
    };
    let mut docs: Vec<Doc> = parsed.iter().map(|one| reading.document(one, &mut problems)).collect();
    let nodes: Vec<&Node> = parsed.iter().map(|one| &one.node).collect();
    suppress(&mut docs, &mut problems, &nodes, source);
    let used = directory
        .layers
        .iter()
        .map(|layer| (layer.source.path.clone(), layer.ignores.apply(&mut problems)))
        .filter(|(_, used)| !used.is_empty())
        .collect();
    // A suppression of it stays in use: the manifest may be for a machine on which it is told.
    problems.retain(|problem| problem.code != Code::NoStepView || choices.show_steps());
    keep_first(&mut problems);
    if let [Doc { name: Some(name), .. }] = docs.as_slice() {
        for problem in problems.iter_mut().filter(|problem| problem.job.is_none()) {
            problem.job = Some(name.clone());
        }
    }
    let obscured = parsed.is_empty() && !problems.iter().all(|problem| problem.code == Code::Empty)
        || docs.iter().any(|doc| doc.name.is_none());
    FileDocs { docs, problems, obscured, used }
}

/// What the reading of each document of a file shares.
pub(super) struct Reading<'a> {
    path: Arc<str>,
    pub(super) source: &'a Arc<SourceText>,
    pub(super) directory: &'a Directory,
    choices: &'a Choices,
    held: &'a HeldSpecs,
    /// The name that the file gives its only document; not yet checked.
    stem: Option<&'a str>,
}

/// What came of a manifest with the right shape. All that is wrong with it is told beside it.
pub(super) enum Judged {
    /// There is a tier for the job.
    Placed(Traits, Schedule, Arc<Classified>),
    /// No tier can take the job.
    Refused(Refusal),
    /// A part of it has no meaning.
    Meaningless,
}

impl Reading<'_> {
    fn document(&self, parsed: &Parsed, problems: &mut Vec<Problem>) -> Doc {
        let start = self.source.first_line(parsed.node.span);
        let origin = Origin {
            path: Arc::clone(&self.path),
            line: u32::try_from(self.source.line(start.start as usize)).unwrap_or(u32::MAX),
            document: u32::try_from(parsed.index).unwrap_or(u32::MAX),
            name: name_span(&parsed.node, start),
        };
        let from_stem = || self.stem.and_then(|stem| JobName::parse(stem).ok());
        let naming = if parsed.names_itself() { Naming::Itself } else { Naming::File };
        let broken =
            |name| Doc { name, naming, origin: origin.clone(), job: None, refused: None, past: Vec::new() };
        let manifest = match &parsed.document {
            Ok(Document::Job(manifest)) => manifest,
            Ok(Document::Defaults(_)) => return broken(None),
            Err(document) => {
                let name = document.name.clone().or_else(from_stem);
                problems.extend(self.broken_defaults(name.as_ref(), start));
                let mut doc = broken(name);
                if let Some(rest) = document.rest.as_ref().filter(|_| self.directory.broken.is_empty()) {
                    let (told, past) = self.rest(rest, &parsed.node, doc.name.as_ref());
                    problems.extend(told);
                    doc.past = past;
                }
                return doc;
            }
        };
        let written = Written { source: self.source, node: &parsed.node, layers: &self.directory.layers };
        let Some(name) = manifest.name.clone().or_else(from_stem) else {
            problems.push(written.problem(self.no_name(), None));
            return broken(None);
        };
        if !self.directory.broken.is_empty() {
            // What the defaults would have said is not known.
            problems.extend(self.broken_defaults(Some(&name), start));
            return broken(Some(name));
        }
        let mut faults = Vec::new();
        let (spec, judged) = self.judge(&name, manifest, &parsed.node, &[], &mut faults);
        let is_good = faults.iter().all(|fault| fault.code.severity() == Severity::Warning);
        let past = past::told(&spec, &parsed.node, &faults).into_iter();
        let past = past.map(|(time, fault)| (time, written.problem(fault, Some(&name)))).collect();
        for (count, fault) in faults.into_iter().enumerate() {
            problems.push(written.problem(placed_roughly(count, fault), Some(&name)));
        }
        let mut doc = Doc { past, ..broken(Some(name)) };
        match judged {
            Judged::Placed(traits, schedule, classified) if is_good => {
                let (spec, digest) = (self.held.share(spec), OnceLock::new());
                doc.job = Some(Arc::new(Loaded { spec, schedule, origin, traits, classified, digest }));
            }
            Judged::Refused(Refusal { rules_choose, considered, .. }) => {
                doc.refused = Some(Arc::new(Refused { origin, rules_choose, considered }));
            }
            Judged::Placed(..) => {}
            Judged::Meaningless => debug_assert!(!is_good, "what has no meaning has an error"),
        }
        doc
    }

    /// What is wrong with the defaults above, as it concerns the document that begins at `start`.
    fn broken_defaults(&self, name: Option<&JobName>, start: Span) -> impl Iterator<Item = Problem> {
        let errors = self.directory.broken.iter().flat_map(|flawed| &flawed.errors);
        errors.map(move |error| {
            let here = Place { source: Arc::clone(self.source), span: start };
            let mut problem = error.clone().related(here, "this job takes its defaults from there");
            problem.job = name.cloned();
            problem
        })
    }

    /// What a manifest means with the defaults above it; `faults` is empty. `open` are the roots of
    /// template names of which not all is known.
    pub(super) fn judge(
        &self,
        name: &JobName,
        manifest: &Manifest,
        node: &Node,
        open: &[&str],
        faults: &mut Vec<Fault>,
    ) -> (Spec, Judged) {
        let form = form(node);
        let written = Written { source: self.source, node, layers: &self.directory.layers };
        let (mut spec, mut first) = fill(name, manifest, &self.directory.merged, form);
        let route = queue::route(manifest, &self.directory.merged, self.choices, &mut first);
        first.retain(|fault| !written.is_override(fault));
        // Where a part has no meaning something stands in for it, so that the others are checked too.
        let stand_ins: Vec<String> = first
            .iter()
            .filter(|fault| fault.code.severity() == Severity::Error)
            .map(|fault| fault.pointer.clone())
            .collect();
        let mut open = open.to_vec();
        open.extend(rest::open(&stand_ins));
        templates::check(&spec, &open, faults);
        numbers::check(&spec, &written, faults);
        let given = Given { manifest, defaults: &self.directory.merged, form };
        let placed = meaning::check(&spec, &given, faults).map(|(traits, schedule)| {
            let asked = queue::asked(&spec, traits, &route);
            let classified = placing::place(&spec, &asked, self.choices, faults);
            if let Ok(classified) = &classified {
                spec.queue = route.on(classified.tier);
                route.check(&spec, manifest, classified.tier, &asked, self.choices, faults);
            }
            (traits, schedule, classified)
        });
        if let Some((.., Err(refusal))) = &placed {
            faults.push(placing::refused(refusal));
        }
        faults.retain(|fault| !rest::follows(fault, &fault.pointer, &stand_ins));
        faults.append(&mut first);
        let judged = match placed {
            Some((.., Err(refusal))) => Judged::Refused(refusal),
            Some((traits, schedule, Ok(classified))) if stand_ins.is_empty() => {
                Judged::Placed(traits, schedule, classified)
            }
            _ => Judged::Meaningless,
        };
        (spec, judged)
    }

    fn no_name(&self) -> Fault {
        let (message, help) = match self.stem {
            Some(stem) => {
                let like = suggested(stem).map_or_else(|| "...".to_owned(), |name| name.to_string());
                (
                    format!("the job has no name, and the file's (`{stem}`) cannot be one"),
                    format!(
                        "add `name: {like}`: lower-case letters, digits, `.`, `_` and `-`, at most {NAME_LEN_MAX}"
                    ),
                )
            }
            _ => (
                "the job has no name: in a file with several documents each names itself".to_owned(),
                "add `name: ...` to the document".to_owned(),
            ),
        };
        Fault::new(Code::NoName, "", message).label("no `name` in this document").help(help)
    }
}

/// A fault without the part of the value that is meant, when there are too many before it to be
/// shown: to find a part takes a look at all of its value.
pub(super) fn placed_roughly(count: usize, fault: Fault) -> Fault {
    if count < PROBLEMS_MAX { fault } else { fault.range(None) }
}

/// Runs the file's own suppressions over what holds now and what will hold once its time has passed,
/// and adds what is wrong with them.
fn suppress(docs: &mut [Doc], problems: &mut Vec<Problem>, nodes: &[&Node], source: &Arc<SourceText>) {
    let ignores = suppress::read(nodes, source, problems);
    let mut hits = Hits::default();
    problems.retain(|problem| !ignores.suppress(problem, &mut hits));
    for doc in docs {
        doc.past.retain(|(_, problem)| !ignores.suppress(problem, &mut hits));
    }
    problems.extend(ignores.unused(&ignores.used(&hits)));
}

/// Whether the schedule is written as one mapping or as a list.
pub(super) fn form(node: &Node) -> ScheduleForm {
    match node.get("schedule").map(|schedule| &schedule.value) {
        Some(NodeValue::List(_)) => ScheduleForm::List,
        _ => ScheduleForm::Mapping,
    }
}

fn stem(path: &str) -> Option<&str> {
    Path::new(path).file_stem()?.to_str()
}

/// Where the name is written; else the document's first line.
fn name_span(node: &Node, start: Span) -> Span {
    node.get("name").map_or(start, super::super::manifest::yaml::node::Node::place)
}
