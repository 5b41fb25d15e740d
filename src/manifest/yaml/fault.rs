//! What is wrong with a text as YAML.

use std::sync::Arc;

use super::node::{Entry, Node, NodeValue};
use crate::manifest::{
    code::Code,
    exposed::{cover, exposed, exposed_in_secrets},
    problem::{Label, Place, Problem, SourceText, Span},
};

/// What is wrong with a text as YAML: a [`Problem`] that does not know its file yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind.
    pub code: Code,
    /// One line, in the user's words.
    pub message: String,
    /// Where.
    pub span: Span,
    /// A few words for the caret.
    pub label: String,
    /// Another place that matters, with words.
    pub related: Option<(Span, String)>,
    /// The way out.
    pub help: Option<String>,
    /// JSON pointer, as far as it is known.
    pub pointer: String,
    /// Bytes that no report may show.
    pub hidden: Option<Span>,
    /// The same, should it turn out to stand under `secrets`.
    pub hidden_in_secrets: Option<Span>,
}

impl Fault {
    /// A fault with nothing but kind, place and message.
    #[must_use]
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            span,
            label: "here".to_owned(),
            related: None,
            help: None,
            pointer: String::new(),
            hidden: None,
            hidden_in_secrets: None,
        }
    }

    /// The same with words for the caret.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    /// The same with a way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// The same with another place.
    #[must_use]
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related = Some((span, text.into()));
        self
    }

    /// The same, about an entry that is not taken into the tree.
    #[must_use]
    pub fn left_out(mut self, entry: Entry, text: &str) -> Self {
        let span = entry.key_span;
        let alone = Node { value: NodeValue::Map(vec![entry]), span, used_at: None };
        self.hidden = cover(&exposed(&alone, text));
        self.hidden_in_secrets = cover(&exposed_in_secrets(&alone, text));
        self
    }

    /// The fault as a problem of a file.
    #[must_use]
    pub fn into_problem(self, source: &Arc<SourceText>) -> Problem {
        let place = |span| Place { source: Arc::clone(source), span };
        let mut problem =
            Problem::new(self.code, place(self.span), self.message).label(self.label).pointer(self.pointer);
        problem.help = self.help;
        problem.hidden = self.hidden;
        problem.related =
            self.related.into_iter().map(|(span, text)| Label { place: place(span), text }).collect();
        problem
    }
}
