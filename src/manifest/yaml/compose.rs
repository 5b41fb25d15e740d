//! Events of the parser to trees.
//!
//! What one place does wrong and the rest can be read without is a fault, and reading goes on. A
//! syntax error or too deep a nesting ends the document; a limit of the file ends the file.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, StrInput};

use super::{
    fault::Fault,
    limits::{FAULTS_MAX, Limits},
    node::{Entry, Node, NodeValue},
    syntax::{self, to_u32},
};
use crate::manifest::{code::Code, exposed::is_under_secrets, problem::Span};

/// Everything that a text holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Composed {
    /// The documents, in order; one with nothing in it but comments is left out.
    pub documents: Vec<Composition>,
    /// What is wrong, in the order of the text.
    pub faults: Vec<Fault>,
}

/// One document.
#[derive(Debug, Clone, PartialEq)]
pub struct Composition {
    /// What could be read of it.
    pub root: Node,
    /// The bytes of the document, from its first token to the next document.
    pub span: Span,
    /// How much of it could be read.
    pub extent: Extent,
}

/// How much of a document could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All, without a fault.
    Whole,
    /// All, with faults: what they name is missing or stands for something else.
    Flawed,
    /// Not up to its end.
    Part,
}

/// Reads every document of a text. Time is linear in the length of the text and
/// [`Limits::nodes`], whatever the text says.
#[must_use]
pub fn compose(text: &str, limits: &Limits) -> Composed {
    if text.len() > limits.bytes {
        let message = format!("the file has {} bytes; at most {} are read", text.len(), limits.bytes);
        let fault = Fault::new(Code::Limit, Span::default(), message)
            .label("this file")
            .help("split it into several files");
        return Composed { documents: Vec::new(), faults: vec![fault] };
    }
    Composer::new(text, limits).run()
}

/// Why reading of a document ended early. The fault is already noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The next document may be good.
    Document,
    /// A limit of the whole file is reached.
    File,
}

/// A node that aliases may stand for.
pub(super) struct Anchored {
    pub(super) node: Node,
    /// How many nodes it counts for, itself included.
    pub(super) nodes: usize,
}

/// One pass over a text. What reads single nodes is in `assemble` and `tagged`.
pub(super) struct Composer<'a> {
    pub(super) text: &'a str,
    pub(super) limits: &'a Limits,
    parser: Parser<'a, StrInput<'a>>,
    pub(super) nodes: usize,
    pub(super) aliases: usize,
    pub(super) anchors: BTreeMap<usize, Anchored>,
    /// The brackets around the place that is read, outermost first.
    pub(super) brackets: Vec<Span>,
    faults: Vec<Fault>,
    /// How many faults there were past [`FAULTS_MAX`], and where the first of them was.
    dropped: Option<(usize, Span)>,
    /// Whether the document has a fault, noted or past [`FAULTS_MAX`].
    flawed: bool,
}

impl<'a> Composer<'a> {
    fn new(text: &'a str, limits: &'a Limits) -> Self {
        // One above our own limit, which has the better words.
        let nesting_max = limits.depth + 1;
        let mut options = granit_parser::options! {
            emit_unresolved_aliases: true,
            disallow_directives: true,
            flow_nesting_limit: nesting_max,
            block_nesting_limit: nesting_max,
        };
        options.set_emit_comments(false);
        Self {
            text,
            limits,
            parser: Parser::new_from_str_with_options(text, options),
            nodes: 0,
            aliases: 0,
            anchors: BTreeMap::new(),
            brackets: Vec::new(),
            faults: Vec::new(),
            dropped: None,
            flawed: false,
        }
    }

    fn run(mut self) -> Composed {
        let mut documents = Vec::new();
        loop {
            let stop = match self.document_start() {
                Ok(None) => break,
                Ok(Some(start)) => self.document(start, &mut documents),
                Err(stop) => {
                    self.no_document(&mut documents);
                    Some(stop)
                }
            };
            let goes_on = match stop {
                None => true,
                Some(Stop::Document) => matches!(self.parser.proceed_next_document(), Ok(true)),
                Some(Stop::File) => false,
            };
            if !goes_on {
                break;
            }
        }
        if let Some((count, span)) = self.dropped {
            let message = format!("{count} more faults of the file are not shown");
            let fault = Fault::new(Code::Limit, span, message).label("the first of them");
            let help = format!("mend those that are shown: at most {FAULTS_MAX} are told at once");
            self.faults.push(fault.help(help));
        }
        self.faults.sort_by_key(|fault| fault.span);
        Composed { documents, faults: self.faults }
    }

    /// Reads the document that begins at `start`.
    fn document(&mut self, start: Span, documents: &mut Vec<Composition>) -> Option<Stop> {
        end_part(documents, start);
        let faults_before = self.faults.len();
        self.flawed = false;
        self.anchors.clear();
        self.brackets.clear();
        let mut root = Node { value: NodeValue::Null, span: Span::default(), used_at: None };
        let stop = self.root(&mut root).err();
        for fault in &mut self.faults[faults_before..] {
            fault.pointer.insert_str(0, &root.pointer_at(fault.span));
            if is_under_secrets(&fault.pointer) {
                fault.hidden = fault.hidden.or(fault.hidden_in_secrets);
            }
        }
        let (extent, end) = match stop {
            Some(_) => (Extent::Part, to_u32(self.text.len())),
            None if self.flawed => (Extent::Flawed, root.span.end),
            None => (Extent::Whole, root.span.end),
        };
        let is_empty = root.value == NodeValue::Null && root.span.is_empty();
        if extent != Extent::Whole || !is_empty {
            let span = Span { start: start.start.min(end), end };
            documents.push(Composition { root, span, extent });
        }
        stop
    }

    /// A fault stands where a document should begin.
    fn no_document(&mut self, documents: &mut Vec<Composition>) {
        let span = self.faults.last().map(|fault| fault.span).unwrap_or_default();
        end_part(documents, span);
        let end = to_u32(self.text.len());
        match documents.last_mut() {
            // A line without its `:` reads as a document of one text, and the next line is the fault.
            Some(last) if last.root.as_text().is_some() => {
                last.extent = Extent::Part;
                last.span.end = end;
            }
            _ => documents.push(Composition {
                root: Node { value: NodeValue::Null, span, used_at: None },
                span: Span { start: span.start, end },
                extent: Extent::Part,
            }),
        }
    }

    fn document_start(&mut self) -> Result<Option<Span>, Stop> {
        loop {
            match self.event()? {
                (Event::DocumentStart(..), span) => return Ok(Some(span)),
                (Event::StreamEnd, _) => return Ok(None),
                _ => {}
            }
        }
    }

    fn root(&mut self, root: &mut Node) -> Result<(), Stop> {
        let (event, span) = self.event()?;
        self.node(event, span, 0, root)
    }

    pub(super) fn event(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let range = span.byte_range().unwrap_or_default();
                // The parser counts bytes, and now and then ends inside of a character (U+2028).
                let start = self.text.floor_char_boundary(range.start);
                let end = self.text.ceil_char_boundary(range.end).max(start);
                Ok((event, Span { start: to_u32(start), end: to_u32(end) }))
            }
            Some(Err(error)) => {
                let offset = error.marker().byte_offset().unwrap_or_default();
                // A pair in a list, as in `[a: b]`, has no bracket of its own.
                let bracket = self.brackets.iter().rev().find(|bracket| !bracket.is_empty()).copied();
                let fault = syntax::fault(self.text, error.kind(), offset, bracket, self.limits);
                if !self.follows_a_fault(fault.span) {
                    self.report(fault);
                }
                Err(Stop::Document)
            }
            None => {
                let end = to_u32(self.text.len());
                Ok((Event::StreamEnd, Span { start: end, end }))
            }
        }
    }

    /// Whether the document has a fault on the same line already: `*/5 * * * *` is one mistake, and
    /// not two.
    fn follows_a_fault(&self, span: Span) -> bool {
        self.flawed
            && self.faults.last().is_some_and(|last| {
                let between = self.text.get(last.span.start as usize..span.start as usize);
                between.is_some_and(|between| !between.contains('\n'))
            })
    }

    /// Counts nodes that are about to be made.
    pub(super) fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= self.limits.nodes {
            return Ok(());
        }
        let message = format!("more than {} values in one file, aliases written out", self.limits.nodes);
        let span = syntax::token_at(self.text, span.start as usize);
        self.stop(
            Fault::new(Code::Limit, span, message)
                .label("too many from here on")
                .help("split the file, or use fewer aliases"),
        )
    }

    /// Notes a fault; reading goes on.
    pub(super) fn report(&mut self, fault: Fault) {
        self.report_at(fault.span, |_| fault);
    }

    /// Notes a fault that is made from the text, if it is one that is told: to look at its line for
    /// each of a hundred thousand faults would take minutes.
    pub(super) fn report_at(&mut self, span: Span, fault: impl FnOnce(&'a str) -> Fault) {
        self.flawed = true;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault(self.text));
        } else {
            self.dropped.get_or_insert((0, span)).0 += 1;
        }
    }

    /// How many faults are noted.
    pub(super) fn faults_noted(&self) -> usize {
        self.faults.len()
    }

    /// Hides what may be a secret in an entry that is not taken into the tree, as a noted fault of
    /// its key says.
    pub(super) fn hide_left_out(&mut self, fault: Option<usize>, entry: Entry) {
        if let Some(fault) = fault.and_then(|index| self.faults.get_mut(index)) {
            *fault = fault.clone().left_out(entry, self.text);
        }
    }

    /// Notes a fault that ends the file.
    pub(super) fn stop(&mut self, fault: Fault) -> Result<(), Stop> {
        self.flawed = true;
        self.faults.push(fault);
        Err(Stop::File)
    }
}

/// Ends a document that could not be read to its end where the next one begins.
fn end_part(documents: &mut [Composition], next: Span) {
    if let Some(last) = documents.last_mut()
        && last.extent == Extent::Part
    {
        last.span.end = last.span.start.max(next.start);
    }
}
