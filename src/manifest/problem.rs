//! What is wrong with a file, where, and the way out.
//!
//! One object feeds every format of `tintal validate`, the daemon's conditions and its log.

use std::{fmt, ops::Range, sync::Arc};

use super::{code::Code, name::JobName};

/// A file as it was read. Kept only while a problem points into it.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceText {
    /// Path as given, with `/` between parts.
    pub path: String,
    /// The whole text; empty when it could not be read as text.
    pub text: String,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// The manifest can be used, and is probably not what was meant.
    Warning,
}

impl Severity {
    /// The word for it in every format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span as a range of indices.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Whether every byte of `other` lies in it.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub source: Arc<SourceText>,
    /// The bytes in it.
    pub span: Span,
}

/// A place with what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// A few words, lower case, no full stop.
    pub text: String,
}

/// What is wrong, where, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which kind of problem; `tintal explain` has a page for each.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: one line, in the user's words, lower case, no full stop.
    pub message: String,
    /// Where, with a few words for the caret.
    pub primary: Label,
    /// Other places that matter, perhaps in other files.
    pub related: Vec<Label>,
    /// JSON pointer into the document, empty for the document itself.
    pub pointer: String,
    /// The job that the document asks for, when its name is known.
    pub job: Option<JobName>,
    /// Further jobs that it concerns: those that take the value over as well.
    pub also: Vec<JobName>,
    /// The way out.
    pub help: Option<String>,
}

impl Problem {
    /// A problem with the code's own severity, and nothing but its place and message.
    #[must_use]
    pub fn new(code: Code, place: Place, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: message.into(),
            primary: Label { place, text: "here".to_owned() },
            related: Vec::new(),
            pointer: String::new(),
            job: None,
            also: Vec::new(),
            help: None,
        }
    }

    /// The same with words for the caret.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// The same with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with a JSON pointer.
    #[must_use]
    pub fn pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = pointer.into();
        self
    }

    /// The same with one more place.
    #[must_use]
    pub fn related(mut self, place: Place, text: impl Into<String>) -> Self {
        self.related.push(Label { place, text: text.into() });
        self
    }

    /// Whether it is about this job.
    #[must_use]
    pub fn concerns(&self, job: &JobName) -> bool {
        self.job.as_ref() == Some(job) || self.also.contains(job)
    }

    /// Takes in the same problem as another job has it.
    pub fn merge(&mut self, other: Self) {
        let further = other.job.into_iter().chain(other.also);
        for job in further {
            match &self.job {
                None => self.job = Some(job),
                Some(first) if *first == job => {}
                // Jobs come in the order of their files, each once in a file.
                Some(_) if self.also.last() == Some(&job) => {}
                Some(_) => self.also.push(job),
            }
        }
        let new = other.related.into_iter().filter(|label| !self.related.contains(label));
        let new: Vec<Label> = new.collect();
        self.related.extend(new);
    }

    /// Keeps at most `places` other places, at least one, and says how many more there are.
    pub fn shorten(&mut self, places: usize) {
        let more = self.related.len().saturating_sub(places.max(1));
        self.related.truncate(places.max(1));
        if let Some(last) = self.related.last_mut().filter(|_| more > 0) {
            last.text = format!("{}; and {more} more like it", last.text);
        }
    }

    /// Line and column of the first byte, counted from 1; columns in characters.
    #[must_use]
    pub fn start(&self) -> LineColumn {
        let place = &self.primary.place;
        LineColumn::at(&place.source.text, place.span.start as usize)
    }

    /// Line and column one past the last byte, counted from 1; columns in characters.
    #[must_use]
    pub fn end(&self) -> LineColumn {
        let place = &self.primary.place;
        LineColumn::at(&place.source.text, place.span.end as usize)
    }
}

/// A position for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
}

impl LineColumn {
    /// The position of a byte; a byte past the end, or inside a character, counts as the next
    /// whole one before it.
    #[must_use]
    pub fn at(text: &str, byte: usize) -> Self {
        let mut byte = byte.min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        let before = &text[..byte];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.bytes().filter(|&b| b == b'\n').count() + 1,
            column: before[line_start..].chars().filter(|&c| c != '\u{feff}').count() + 1,
        }
    }
}
