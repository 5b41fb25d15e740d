//! What is wrong with the meaning of a document, before it is known where that is written.

use std::{ops::Range, sync::Arc};

use super::{directory::Layer, provenance::as_default};
use crate::manifest::{
    code::Code,
    name::JobName,
    problem::{Place, Problem, SourceText, Span},
    yaml::{Located, Node, NodeValue, written},
};

/// Whether a report may show the value that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// It may.
    Open,
    /// It stands where a reference to a secret should, and may be the secret.
    Secret,
}

/// Something wrong, at a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) pointer: String,
    /// The bytes of the text value that are meant; none: the whole value.
    pub(super) range: Option<Range<usize>>,
    pub(super) content: Content,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) help: Option<String>,
    /// Other places that matter.
    pub(super) related: Vec<(String, String)>,
    /// Pointer to the option that it follows from. Where that stands nearer to the job than the value, it
    /// is an override, and no fault.
    pub(super) by: Option<&'static str>,
}

impl Fault {
    pub(super) fn new(code: Code, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            pointer: pointer.into(),
            range: None,
            content: Content::Open,
            message: message.into(),
            label: "here".to_owned(),
            help: None,
            related: Vec::new(),
            by: None,
        }
    }

    pub(super) fn range(mut self, range: Option<Range<usize>>) -> Self {
        self.range = range;
        self
    }

    pub(super) fn content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    pub(super) fn by(mut self, pointer: &'static str) -> Self {
        self.by = Some(pointer);
        self
    }

    pub(super) fn related(mut self, pointer: impl Into<String>, text: impl Into<String>) -> Self {
        self.related.push((pointer.into(), text.into()));
        self
    }
}

/// A document with the defaults above it: where values are written.
pub(super) struct Written<'a> {
    pub(super) source: &'a Arc<SourceText>,
    pub(super) node: &'a Node,
    /// Nearest first.
    pub(super) layers: &'a [Arc<Layer>],
}

impl Written<'_> {
    /// The problem that a fault is, at its place: in the document, or in the defaults that the
    /// value comes from.
    pub(super) fn problem(&self, fault: Fault, job: Option<&JobName>) -> Problem {
        let place = self.place(&fault.pointer, fault.range.as_ref());
        let hidden = match fault.content {
            Content::Open => None,
            Content::Secret => self.located(&fault.pointer).map(|(_, located)| located.node.span),
        };
        let inherited = !Arc::ptr_eq(&place.source, self.source);
        let mut problem =
            Problem::new(fault.code, place, fault.message).label(fault.label).pointer(fault.pointer);
        if inherited {
            let here =
                Place { source: Arc::clone(self.source), span: self.source.first_line(self.node.span) };
            problem = problem.related(here, "this job takes it over");
        }
        for (pointer, text) in fault.related {
            problem = problem.related(self.place(&pointer, None), text);
        }
        problem.help = fault.help;
        problem.hidden = hidden;
        problem.job = job.cloned();
        problem
    }

    /// Whether a fault is an override: what is idle comes from defaults that are farther away than what
    /// makes it so, and is meant for other jobs.
    pub(super) fn is_override(&self, fault: &Fault) -> bool {
        fault.by.is_some_and(|by| self.distance(by) < self.distance(&fault.pointer))
    }

    /// How many files are nearer to the job than the one that gives a value.
    fn distance(&self, pointer: &str) -> usize {
        let inherited = as_default(pointer);
        let layers = self.layers.iter().map(|layer| layer.node.at(&inherited));
        let mut levels = std::iter::once(self.node.at(pointer)).chain(layers);
        let is_given = |located: Option<Located<'_>>| {
            located.is_some_and(|located| located.node.value != NodeValue::Null)
        };
        levels.position(is_given).unwrap_or(usize::MAX)
    }

    /// The text of the value under a pointer, as it is written.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        let (source, located) = self.located(pointer)?;
        source.text.get(located.node.span.range())
    }

    /// The value under a pointer, with the file that it is written in.
    fn located(&self, pointer: &str) -> Option<(&Arc<SourceText>, Located<'_>)> {
        if let Some(located) = self.node.at(pointer) {
            return Some((self.source, located));
        }
        let inherited = as_default(pointer);
        self.layers.iter().find_map(|layer| Some((&layer.source, layer.node.at(&inherited)?)))
    }

    fn place(&self, pointer: &str, range: Option<&Range<usize>>) -> Place {
        if let Some((source, located)) = self.located(pointer) {
            return place_of(source, located, range);
        }
        // The key is not written anywhere: what would hold it is.
        match pointer.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() => self.place(parent, None),
            _ => Place { source: Arc::clone(self.source), span: self.source.first_line(self.node.span) },
        }
    }
}

fn place_of(source: &Arc<SourceText>, located: Located<'_>, range: Option<&Range<usize>>) -> Place {
    let whole = located.used_at.unwrap_or(located.node.span);
    let narrowed = range.filter(|_| located.used_at.is_none()).and_then(|range| {
        let text = located.node.as_text()?;
        let part = written(source.text.get(whole.range())?, text, range)?;
        let small = |offset| u32::try_from(offset).ok();
        let start = whole.start + small(part.start)?;
        Some(source.first_line(Span { start, end: whole.start + small(part.end)? }))
    });
    Place { source: Arc::clone(source), span: narrowed.unwrap_or_else(|| source.first_line(whole)) }
}
