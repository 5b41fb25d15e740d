//! Events of the parser to trees.

use super::{fault::Fault, limits::Limits, node::Node};
use crate::manifest::problem::Span;

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
    /// Whether it has no fault, so that `root` is all of it.
    pub whole: bool,
}

/// Reads every document of a text.
#[must_use]
pub fn compose(text: &str, limits: &Limits) -> Composed {
    let _ = (text, limits);
    Composed::default()
}
