//! What is wrong with a file, where, and the way out.
//!
//! One object feeds every format of `tintal validate`, the daemon's conditions and its log.

use std::{
    cmp::Reverse,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::{code::Code, name::JobName};

/// Most problems that are told of a file: nobody mends more of them in one sitting, and a file with
/// thousands must not fill the memory of a daemon.
pub const PROBLEMS_MAX: usize = 200;

/// Up to this many bytes, counting lines is faster than an index of them. Nearly every manifest
/// begins its document there.
const COUNTED_MAX: usize = 1 << 10;

/// A file as it was read. Kept only while a problem points into it.
#[derive(Debug)]
pub struct SourceText {
    /// Path as given, with `/` between parts.
    pub path: String,
    /// The whole text; empty when it could not be read as text.
    pub text: String,
    /// The first byte of each line after the first one; found when it is first asked for.
    line_starts: OnceLock<Vec<u32>>,
}

impl PartialEq for SourceText {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.text == other.text
    }
}

impl Eq for SourceText {}

impl SourceText {
    /// A file at a path, with `/` between its parts.
    #[must_use]
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into(), line_starts: OnceLock::new() }
    }

    /// The line of a byte, counted from 1. Asking for every byte of the text takes time that is
    /// linear in its length, but for a logarithm.
    #[must_use]
    pub fn line(&self, byte: usize) -> usize {
        if byte <= COUNTED_MAX {
            return line_starts(&self.text, byte).count() + 1;
        }
        self.line_starts().partition_point(|start| *start as usize <= byte) + 1
    }

    /// The position of a byte; a byte past the end, or inside a character, counts as the next
    /// whole one before it.
    #[must_use]
    pub fn position(&self, byte: usize) -> LineColumn {
        let byte = self.text.floor_char_boundary(byte);
        let line = self.line(byte);
        let start = match line {
            1 => 0,
            _ if byte <= COUNTED_MAX => line_starts(&self.text, byte).last().unwrap_or(0),
            _ => self.line_starts()[line - 2] as usize,
        };
        let column = self.text[start..byte].chars().filter(|&c| c != '\u{feff}').count() + 1;
        LineColumn { line, column }
    }

    /// The bytes of lines, from the first byte of one to the last of another, with its line end.
    /// Lines past the end hold nothing.
    #[must_use]
    pub fn lines(&self, first: usize, last: usize) -> Range<usize> {
        let start_of = |line: usize| match line {
            0 | 1 => 0,
            _ => self.line_starts().get(line - 2).map_or(self.text.len(), |start| *start as usize),
        };
        start_of(first)..start_of(last + 1)
    }

    /// The first line of a span, without white space at its end: what stands for many lines is shown by
    /// it. It holds a byte when the span does.
    #[must_use]
    pub fn first_line(&self, span: Span) -> Span {
        let text = self.text.get(span.range()).unwrap_or_default();
        let line = text.split('\n').next().unwrap_or_default().trim_end();
        let length = u32::try_from(line.len()).unwrap_or(u32::MAX).max(1);
        Span { start: span.start, end: span.start.saturating_add(length).min(span.end) }
    }

    fn line_starts(&self) -> &[u32] {
        let small = |start| u32::try_from(start).unwrap_or(u32::MAX);
        self.line_starts.get_or_init(|| line_starts(&self.text, self.text.len()).map(small).collect())
    }
}

/// Where lines begin, up to a byte; the first one is left out. YAML ends a line at `\n`, at `\r\n`
/// and at a lone `\r`.
fn line_starts(text: &str, last: usize) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    let before = bytes[..last.min(bytes.len())].iter().enumerate();
    let ends_line = |at: usize, byte: u8| byte == b'\n' || byte == b'\r' && bytes.get(at + 1) != Some(&b'\n');
    before.filter(move |(at, byte)| ends_line(*at, **byte)).map(|(at, _)| at + 1)
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

    /// Whether the two have a byte in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
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

impl Place {
    /// Line and column of the first byte, counted from 1; columns in characters.
    #[must_use]
    pub fn start(&self) -> LineColumn {
        self.source.position(self.span.start as usize)
    }

    /// Line and column one past the last byte, counted from 1; columns in characters.
    #[must_use]
    pub fn end(&self) -> LineColumn {
        self.source.position(self.span.end as usize)
    }
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
    /// Bytes of the file that no report may show: a secret in the wrong place.
    pub hidden: Option<Span>,
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
            hidden: None,
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

    /// The jobs that it is about.
    pub fn jobs(&self) -> impl Iterator<Item = &JobName> {
        self.job.iter().chain(&self.also)
    }

    /// Whether it is about this job.
    #[must_use]
    pub fn concerns(&self, job: &JobName) -> bool {
        self.jobs().any(|one| one == job)
    }

    /// Takes in the same problem as another job has it; problems of jobs come in the order of their
    /// files. Takes time that is linear in what the other one says, however much this one does.
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
        // Places that both name are places of the value, which the first problem named, or of the job
        // that came last.
        let count = other.related.len().min(self.related.len());
        let (first, last) = (&self.related[..count], &self.related[self.related.len() - count..]);
        let new = other.related.into_iter().filter(|label| !first.contains(label) && !last.contains(label));
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

    /// Place, code and message in one line.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let LineColumn { line, column } = self.start();
        format!("{}:{line}:{column}: {}: {}", self.primary.place.source.path, self.code, self.message)
    }

    /// The same, with how many errors there are beside it.
    #[must_use]
    pub fn with_more(&self, errors: usize) -> String {
        match errors {
            0 => self.in_one_line(),
            1 => format!("{} (and 1 more error)", self.in_one_line()),
            more => format!("{} (and {more} more errors)", self.in_one_line()),
        }
    }

    /// Line and column of the first byte, counted from 1; columns in characters.
    #[must_use]
    pub fn start(&self) -> LineColumn {
        self.primary.place.start()
    }

    /// Line and column one past the last byte, counted from 1; columns in characters.
    #[must_use]
    pub fn end(&self) -> LineColumn {
        self.primary.place.end()
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

/// Leaves [`PROBLEMS_MAX`] problems of a file, errors before warnings, with one more that says how
/// many there are. Their order stays.
pub fn keep_first(problems: &mut Vec<Problem>) {
    if problems.len() <= PROBLEMS_MAX {
        return;
    }
    let mut order: Vec<usize> = (0..problems.len()).collect();
    // What says that a limit is reached must not fall to another one.
    order.sort_by_key(|&at| (problems[at].severity, Reverse(problems[at].code == Code::Limit), at));
    let mut dropped = order.split_off(PROBLEMS_MAX);
    dropped.sort_unstable();
    let Some(&first) = dropped.first() else { return };
    let count = dropped.len();
    let severity = dropped.iter().map(|&at| problems[at].severity).min();
    let place = problems[first].primary.place.clone();
    let mut notice =
        Problem::new(Code::Limit, place, format!("{count} more problems of the file are not shown"))
            .label("the first of them")
            .help(format!("mend those that are shown: at most {PROBLEMS_MAX} are told at once"));
    notice.severity = severity.unwrap_or(notice.severity);
    order.sort_unstable();
    let mut kept = order.into_iter().peekable();
    let mut at = 0;
    problems.retain(|_| {
        at += 1;
        kept.next_if_eq(&(at - 1)).is_some()
    });
    problems.push(notice);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte of a text, as `line:column`.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let source = SourceText::new("a", text);
        let shown: Vec<String> = (0..=text.len())
            .map(|byte| source.position(byte))
            .map(|position| format!("{}:{}", position.line, position.column))
            .collect();
        assert_eq!(shown.join(" "), expected, "{text:?}");
    }

    #[test]
    #[rustfmt::skip]
    fn positions_table() {
        check("",            "1:1");
        check("ab",          "1:1 1:2 1:3");
        check("a\nb\n",      "1:1 1:2 2:1 2:2 3:1");
        check("a\r\nb",      "1:1 1:2 1:3 2:1 2:2");
        check("a\rb",        "1:1 1:2 2:1 2:2");
        check("\u{feff}a",   "1:1 1:1 1:1 1:1 1:2");
        check("é\né",        "1:1 1:1 1:2 2:1 2:1 2:2");
    }

    #[test]
    fn the_index_and_the_count_agree() {
        let text = "ab\r\né\r\n\nlonger line\r".repeat(200);
        let source = SourceText::new("a", text.as_str());
        for byte in (0..text.len()).filter(|byte| text.is_char_boundary(*byte)) {
            assert_eq!(source.position(byte).line, line_starts(&text, byte).count() + 1, "{byte}");
        }
        assert_eq!(source.position(text.len()), LineColumn { line: 801, column: 1 });
    }

    #[test]
    fn every_line_of_a_large_file_is_found_at_once() {
        // With a scan from the top for each, this would take minutes.
        let text = "a\n".repeat(400_000);
        let source = SourceText::new("a", text.as_str());
        let last = (0..400_000).map(|line| source.position(line * 2)).last();
        assert_eq!(last, Some(LineColumn { line: 400_000, column: 1 }));
    }

    #[test]
    fn the_first_line_of_a_span_table() {
        for (text, expected) in
            [("", ""), ("a", "a"), ("a  \nb", "a"), ("a\r\nb", "a"), ("\nb", "\n"), ("a b  ", "a b")]
        {
            let whole = Span { start: 0, end: u32::try_from(text.len()).unwrap() };
            let line = SourceText::new("a", text).first_line(whole);
            assert_eq!(&text[line.range()], expected, "{text:?}");
        }
    }

    /// A problem of the file `a` as jobs have it that take a value over: `job place place`, with the
    /// places in the files `job` and `a`.
    fn inherited(job: &str, places: usize) -> Problem {
        let place =
            |path: &str| Place { source: Arc::new(SourceText::new(path, "x")), span: Span::default() };
        let mut problem = Problem::new(Code::Form, place("a"), "m").related(place(job), "taken over");
        for index in 1..places {
            problem = problem.related(place("a"), format!("and here {index}"));
        }
        problem.job = JobName::parse(job).ok();
        problem
    }

    #[test]
    fn places_that_jobs_share_are_told_once() {
        let mut problem = inherited("j1", 3);
        for job in ["j2", "j2", "j3", "j4"] {
            problem.merge(inherited(job, 3));
        }
        let told: Vec<&str> = problem.related.iter().map(|label| label.place.source.path.as_str()).collect();
        assert_eq!(told, ["j1", "a", "a", "j2", "j3", "j4"]);
        assert_eq!(problem.also.len(), 3);
    }

    #[test]
    fn a_value_that_very_many_jobs_take_over_is_told_at_once() {
        // With a look at every place for every job, this would take minutes.
        let mut problem = inherited("j0", 1);
        for index in 1..100_000 {
            problem.merge(inherited(&format!("j{index}"), 1));
        }
        assert_eq!(problem.related.len(), 100_000);
    }

    #[test]
    fn of_many_problems_the_errors_stay_and_the_rest_is_counted() {
        let source = Arc::new(SourceText::new("a", "x"));
        let of = |code, count| {
            let place = Place { source: Arc::clone(&source), span: Span::default() };
            vec![Problem::new(code, place, "m"); count]
        };
        let mut problems = [of(Code::NoEffect, PROBLEMS_MAX), of(Code::Form, 50)].concat();
        keep_first(&mut problems);
        assert_eq!(problems.len(), PROBLEMS_MAX + 1);
        assert_eq!(problems.iter().filter(|problem| problem.code == Code::Form).count(), 50);
        let notice = &problems[PROBLEMS_MAX];
        assert_eq!(notice.message, "50 more problems of the file are not shown");
        assert_eq!(notice.severity, Severity::Warning);

        let mut errors = of(Code::Form, PROBLEMS_MAX + 1);
        keep_first(&mut errors);
        assert_eq!(errors[PROBLEMS_MAX].severity, Severity::Error);

        let mut few = of(Code::Form, PROBLEMS_MAX);
        keep_first(&mut few);
        assert_eq!(few.len(), PROBLEMS_MAX);
    }
}
