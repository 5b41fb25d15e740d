//! One file to typed documents, with every problem of YAML and of shape.
//!
//! Pure. `load` calls it, and checks meaning on top.

use std::sync::{Arc, LazyLock};

use serde::Deserialize as _;

mod rest;

use super::{
    code::Code,
    defaults::{Defaults, is_defaults},
    exposed::{cover, exposed, is_under_secrets, unread, without_secret},
    job::Manifest,
    name::JobName,
    problem::{Place, Problem, SourceText, Span},
    schema,
    shape::Shape,
    yaml::{Composition, Extent, Limits, Node, compose},
};

/// The compiled schemas of all that a tree holds. Made once; cheap to share. Each is compiled when the
/// first file of its kind is read, as a tree may have none.
#[derive(Debug)]
pub struct Shapes {
    /// A job's manifest.
    pub job: LazyLock<Shape>,
    /// `_defaults.yaml`.
    pub defaults: LazyLock<Shape>,
}

impl Shapes {
    /// Schemas that are not compiled yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            job: LazyLock::new(|| Shape::new(schema::job())),
            defaults: LazyLock::new(|| Shape::new(schema::defaults())),
        }
    }
}

impl Default for Shapes {
    fn default() -> Self {
        Self::new()
    }
}

/// A document with the right shape.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// It asks for a job.
    Job(Box<Manifest>),
    /// It holds defaults.
    Defaults(Box<Defaults>),
}

/// A document that cannot be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// The name it gives its job, if it gives one that can be read.
    pub name: Option<JobName>,
    /// What is left of it without its mistakes: to be checked further, never to be used.
    pub rest: Option<Rest>,
}

/// What is left of a document without its mistakes.
#[derive(Debug, Clone, PartialEq)]
pub struct Rest {
    /// The document; an action that was a mistake is one that does nothing.
    pub manifest: Box<Manifest>,
    /// The tree of it, to find places in.
    pub node: Node,
}

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What it is.
    pub document: Result<Document, Broken>,
    /// The tree of it, to find places in; of a broken document, what could be read.
    pub node: Node,
    /// Which document of the file, counted from 0. Empty ones are not counted.
    pub index: usize,
}

impl Parsed {
    /// Whether the document gives a name that a job may have.
    #[must_use]
    pub fn names_itself(&self) -> bool {
        match &self.document {
            Ok(Document::Job(manifest)) => manifest.name.is_some(),
            Ok(Document::Defaults(_)) => false,
            Err(broken) => broken.name.is_some(),
        }
    }
}

/// Reads every document of a file. `kind: defaults` belongs in `_defaults.yaml` and nowhere else.
///
/// The problems are sorted by place. A document is broken exactly when an error lies in it.
#[must_use]
pub fn parse(source: &Arc<SourceText>, shapes: &Shapes) -> (Vec<Parsed>, Vec<Problem>) {
    let composed = compose(&source.text, &Limits::default());
    let mut faults: Vec<Problem> =
        composed.faults.into_iter().map(|fault| fault.into_problem(source)).collect();
    let mut problems = Vec::new();
    if composed.documents.is_empty() && faults.is_empty() {
        let place = Place { source: Arc::clone(source), span: Span::default() };
        problems.push(
            Problem::new(Code::Empty, place, "the file holds no manifest")
                .label("nothing but comments and white space")
                .help("write a manifest (`tintal init` shows one), or remove the file"),
        );
    }
    let mut parsed = Vec::with_capacity(composed.documents.len());
    let file = FileKind::of(&source.path);
    for (index, composition) in composed.documents.into_iter().enumerate() {
        parsed.push(document(index, composition, source, shapes, file, &mut faults, &mut problems));
    }
    problems.append(&mut faults);
    if file == FileKind::Defaults
        && let Some(second) = parsed.get(1)
    {
        let place = Place { source: Arc::clone(source), span: source.first_line(second.node.span) };
        problems.push(
            Problem::new(Code::Form, place, "a file of defaults holds one document")
                .label("a second one begins")
                .help("take the `---` out and put both into one"),
        );
    }
    problems.sort_by_key(|problem| problem.primary.place.span);
    (parsed, problems)
}

/// What belongs into a file, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    /// Jobs.
    Jobs,
    /// One document of defaults.
    Defaults,
}

impl FileKind {
    fn of(path: &str) -> Self {
        if is_defaults(path) { Self::Defaults } else { Self::Jobs }
    }
}

fn document(
    index: usize,
    composition: Composition,
    source: &Arc<SourceText>,
    shapes: &Shapes,
    file: FileKind,
    faults: &mut [Problem],
    problems: &mut Vec<Problem>,
) -> Parsed {
    let Composition { root: node, span, extent } = composition;
    let name = node.get("name").and_then(Node::as_text).and_then(|name| JobName::parse(name).ok());
    for problem in faults.iter_mut().filter(|problem| span.contains(problem.primary.place.span)) {
        problem.job = problem.job.take().or_else(|| name.clone());
        if problem.pointer.is_empty() {
            problem.pointer = node.pointer_at(problem.primary.place.span);
        }
    }
    conceal(&node, extent, span, source, faults);
    let broken = |node, rest| Parsed { document: Err(Broken { name: name.clone(), rest }), node, index };
    if extent == Extent::Part {
        return broken(node, None);
    }
    let kind = kind(&node, file, source);
    let mut found = match &kind {
        Ok(Kind::Job) => shapes.job.check(&node, source),
        Ok(Kind::Defaults) => shapes.defaults.check(&node, source),
        Err(problem) => {
            let mut problem = problem.clone();
            problem.hidden = cover(&exposed(&node, &source.text));
            vec![problem]
        }
    };
    let rest = match kind {
        _ if file == FileKind::Defaults || found.is_empty() && extent == Extent::Whole => None,
        Ok(Kind::Job) => rest::of(&node, &found, &shapes.job, source),
        _ => rest::of(&node, &shapes.job.check(&node, source), &shapes.job, source),
    };
    if extent == Extent::Flawed {
        // What is missing may be what could not be read, and what stands where a fault is has been
        // told already.
        found.retain(|problem| {
            let span = problem.primary.place.span;
            !matches!(problem.code, Code::MissingField | Code::ExactlyOne)
                && !faults.iter().any(|fault| fault.primary.place.span.meets(span))
        });
    }
    let read = if found.is_empty() && extent == Extent::Whole {
        typed(&node, file, source).map_err(|problem| found.push(problem)).ok()
    } else {
        None
    };
    for problem in &mut found {
        problem.job.clone_from(&name);
    }
    problems.append(&mut found);
    match read {
        Some(document) => Parsed { document: Ok(document), node, index },
        None => broken(node, rest),
    }
}

/// Takes what may be a secret out of what is said of a document's YAML. `document` is where it stands.
pub fn conceal(node: &Node, extent: Extent, document: Span, source: &SourceText, faults: &mut [Problem]) {
    let text = &source.text;
    let mut of_document: Vec<&mut Problem> =
        faults.iter_mut().filter(|problem| document.contains(problem.primary.place.span)).collect();
    let Some(last) = of_document.last().map(|problem| problem.primary.place.span) else { return };
    let mut spans = exposed(node, text);
    if extent == Extent::Part {
        spans.extend(unread(node, text, last, document.end));
    }
    for problem in &of_document {
        spans.extend(problem.hidden);
        // The sign of a tag or an alias may be how the secret begins. A key is its name.
        if is_under_secrets(&problem.pointer) && problem.code != Code::DuplicateKey {
            spans.push(problem.primary.place.span);
        }
    }
    let Some(hidden) = cover(&spans) else { return };
    for problem in &mut of_document {
        problem.hidden = Some(hidden);
        problem.pointer = without_secret(&problem.pointer);
        if spans.iter().any(|span| span.meets(problem.primary.place.span)) {
            problem.message = without_quoted(&problem.message);
            problem.help = problem.help.take().map(|help| match help.split_once("quote it: ") {
                Some((before, _)) => format!("{before}put the whole value in quotes"),
                None => without_quoted(&help),
            });
        }
    }
}

/// A message without what it repeats of the file.
fn without_quoted(message: &str) -> String {
    let parts: Vec<&str> = message.split('`').collect();
    let shown = parts.iter().enumerate().map(|(index, part)| match part {
        _ if index % 2 == 0 => (*part).to_owned(),
        // A sign says nothing of the value.
        part if part.chars().count() == 1 => format!("`{part}`"),
        _ => "`...`".to_owned(),
    });
    shown.collect()
}

/// What a document says it is.
enum Kind {
    Job,
    Defaults,
}

fn kind(node: &Node, file: FileKind, source: &Arc<SourceText>) -> Result<Kind, Problem> {
    let said = node.entry("kind");
    let says_defaults = said.is_some_and(|entry| entry.value.as_text() == Some("defaults"));
    match (file, says_defaults) {
        (FileKind::Jobs, false) => Ok(Kind::Job),
        (FileKind::Defaults, true) => Ok(Kind::Defaults),
        (FileKind::Defaults, false) if said.is_some() => Ok(Kind::Defaults),
        (FileKind::Defaults, false) => {
            let place = Place { source: Arc::clone(source), span: source.first_line(node.span) };
            Err(Problem::new(Code::MissingField, place, "a file of defaults says `kind: defaults`")
                .label("no `kind` in here")
                .help("add `kind: defaults`; if this is a job, give the file another name"))
        }
        (FileKind::Jobs, true) => {
            let span = said.map_or(node.span, |entry| entry.key_span);
            let place = Place { source: Arc::clone(source), span };
            Err(Problem::new(Code::NotAllowed, place, "defaults stand in a file of their own")
                .label("this is no job")
                .pointer("/kind")
                .help("move the document to `_defaults.yaml` of the directory"))
        }
    }
}

fn typed(node: &Node, file: FileKind, source: &Arc<SourceText>) -> Result<Document, Problem> {
    let read = match file {
        FileKind::Defaults => {
            Defaults::deserialize(node).map(|defaults| Document::Defaults(Box::new(defaults)))
        }
        FileKind::Jobs => Manifest::deserialize(node).map(|manifest| Document::Job(Box::new(manifest))),
    };
    read.map_err(|error| {
        let place = Place { source: Arc::clone(source), span: source.first_line(node.span) };
        Problem::new(Code::Form, place, format!("the document cannot be used: {error}"))
            .label("in this document")
            .help("`tintal schema job` prints what may stand where")
    })
}
