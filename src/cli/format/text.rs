//! For people: the lines in question, with carets.

use std::{
    collections::BTreeMap, env, fmt, io::IsTerminal as _, num::NonZero, ops::Range, sync::Arc, thread,
};

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    NamedSource, Severity as MietteSeverity, SourceCode, SourceSpan, SpanContents,
};

use super::{
    plain::{in_place, one_line},
    url,
};
use crate::manifest::problem::{Label, Place, Problem, Severity, SourceText};

/// Columns that messages are wrapped to.
const WIDTH: usize = 100;

/// Most bytes of the lines that carets are drawn into; a minified file of a megabyte helps nobody.
const LINES_MAX: usize = 8 << 10;

/// Fewer problems than this are not worth a thread of their own.
const PROBLEMS_PER_THREAD_MIN: usize = 64;

/// Lines that are shown before and after the one in question.
const AROUND: usize = 1;

/// What no report may show of each file, by their paths.
type Hidden<'a> = BTreeMap<&'a str, Vec<Range<usize>>>;

/// The texts of files as a terminal can show them, by their paths; each is made once.
struct Shown<'a> {
    hidden: &'a Hidden<'a>,
    texts: BTreeMap<&'a str, Option<Arc<str>>>,
}

fn hidden(problems: &[Problem]) -> Hidden<'_> {
    let mut hidden = Hidden::new();
    for problem in problems {
        if let Some(span) = problem.hidden {
            hidden.entry(&problem.primary.place.source.path).or_default().push(span.range());
        }
    }
    hidden
}

impl<'a> Shown<'a> {
    fn text(&mut self, place: &'a Place) -> Text {
        let source = &place.source;
        let hidden = self.hidden.get(source.path.as_str()).map_or(&[][..], Vec::as_slice);
        let shown =
            self.texts.entry(&source.path).or_insert_with(|| in_place(&source.text, hidden).map(Into::into));
        Text { source: Arc::clone(source), shown: shown.clone() }
    }
}

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Look {
    pub(in crate::cli) colour: bool,
    pub(in crate::cli) unicode: bool,
}

impl Look {
    /// Colour on a terminal that has not said no; Unicode when the locale has it.
    pub(in crate::cli) fn detect() -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let colour =
            std::io::stdout().is_terminal() && !set("NO_COLOR") && env::var("TERM").as_deref() != Ok("dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| env::var(name).ok().filter(|v| !v.is_empty()));
        let unicode = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Self { colour, unicode }
    }
}

/// Problems, each as a block of lines; made on several threads when there are many.
pub(in crate::cli) fn render(problems: &[Problem], look: Look) -> String {
    let hidden = hidden(problems);
    let blocks = |some: &[Problem]| {
        let mut shown = Shown { hidden: &hidden, texts: BTreeMap::new() };
        some.iter().map(|problem| block(problem, &mut shown, look)).collect::<String>()
    };
    // To ask for the cores takes a dozen reads of files.
    if problems.len() <= PROBLEMS_PER_THREAD_MIN {
        return blocks(problems);
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = problems.len().div_ceil(threads).max(PROBLEMS_PER_THREAD_MIN);
    thread::scope(|scope| {
        let workers: Vec<_> = problems.chunks(share).map(|some| scope.spawn(move || blocks(some))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn block<'a>(problem: &'a Problem, shown: &mut Shown<'a>, look: Look) -> String {
    let theme = match (look.colour, look.unicode) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => {
            GraphicalTheme { characters: miette::ThemeCharacters::ascii(), ..GraphicalTheme::unicode() }
        }
        (false, true) => GraphicalTheme::unicode_nocolor(),
        (false, false) => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(WIDTH)
        .with_context_lines(AROUND)
        .with_links(false);
    let mut out = String::new();
    if handler.render_report(&mut out, &Report::of(problem, shown)).is_err() {
        // The words are what matters.
        out = format!("{}: {}\n", problem.code, one_line(&problem.message));
    }
    out.push('\n');
    out
}

/// A problem as miette sees it.
#[derive(Debug)]
struct Report {
    message: String,
    code: Option<String>,
    severity: MietteSeverity,
    help: Option<String>,
    url: Option<String>,
    source: NamedSource<Text>,
    labels: Vec<LabeledSpan>,
    elsewhere: Vec<Report>,
}

/// The text of a file as a terminal can show it.
#[derive(Debug)]
struct Text {
    source: Arc<SourceText>,
    /// The text, when it cannot be shown as it is; each byte is where it was.
    shown: Option<Arc<str>>,
}

impl SourceCode for Text {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = self.shown.as_deref().unwrap_or(&self.source.text);
        let start = self.source.position(span.offset());
        let last = self.source.line((span.offset() + span.len()).saturating_sub(1).max(span.offset()));
        let first = start.line.saturating_sub(before).max(1);
        let mut range = self.source.lines(first, last + after);
        let mut column = 0;
        if before == 0 {
            range.start = span.offset();
            column = start.column - 1;
        }
        let data = text.get(range.clone()).ok_or(MietteError::OutOfBounds)?.as_bytes();
        let span = (range.start, range.len()).into();
        Ok(Box::new(MietteSpanContents::new(data, span, first - 1, column, last + after - first)))
    }
}

impl Report {
    fn of<'a>(problem: &'a Problem, shown: &mut Shown<'a>) -> Self {
        let home = &problem.primary.place;
        let (here, elsewhere): (Vec<&Label>, Vec<&Label>) = problem
            .related
            .iter()
            .filter(|label| can_be_shown(&label.place))
            .partition(|label| label.place.source.path == home.source.path);
        let mut labels = Vec::new();
        let mut message = one_line(&problem.message).into_owned();
        if can_be_shown(home) {
            let Label { place, text } = &problem.primary;
            labels.push(LabeledSpan::new_primary_with_span(Some(one_line(text).into()), span_of(place)));
            labels.extend(here.into_iter().map(label));
        } else {
            // There are no lines to show: the place stands in the message.
            message = format!("{}: {message}", position(home));
        }
        Self {
            message,
            code: Some(problem.code.to_string()),
            severity: match problem.severity {
                Severity::Error => MietteSeverity::Error,
                Severity::Warning => MietteSeverity::Warning,
            },
            help: problem.help.as_deref().map(|help| one_line(help).into_owned()),
            url: Some(url(problem.code)),
            source: named(home, shown),
            labels,
            elsewhere: elsewhere.into_iter().map(|related| Self::elsewhere(related, shown)).collect(),
        }
    }

    fn elsewhere<'a>(related: &'a Label, shown: &mut Shown<'a>) -> Self {
        Self {
            message: one_line(&related.text).into_owned(),
            code: None,
            severity: MietteSeverity::Advice,
            help: None,
            url: None,
            source: named(&related.place, shown),
            labels: vec![label(related)],
            elsewhere: Vec::new(),
        }
    }
}

fn can_be_shown(place: &Place) -> bool {
    let (start, end) = (place.start().line, place.end().line);
    let lines = place.source.lines(start.saturating_sub(AROUND).max(1), end + AROUND);
    !place.source.text.is_empty() && lines.len() <= LINES_MAX
}

fn named<'a>(place: &'a Place, shown: &mut Shown<'a>) -> NamedSource<Text> {
    NamedSource::new(one_line(&place.source.path), shown.text(place))
}

fn label(label: &Label) -> LabeledSpan {
    LabeledSpan::new_with_span(Some(one_line(&label.text).into()), span_of(&label.place))
}

fn span_of(place: &Place) -> SourceSpan {
    (place.span.start as usize, (place.span.end - place.span.start) as usize).into()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.as_ref().map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<MietteSeverity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.url.as_ref().map(|url| Box::new(url) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.labels.is_empty()).then_some(&self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty())
            .then(|| Box::new(self.labels.iter().cloned()) as Box<dyn Iterator<Item = _>>)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        let reports = self.elsewhere.iter().map(|report| report as &dyn Diagnostic);
        (!self.elsewhere.is_empty()).then(|| Box::new(reports) as Box<dyn Iterator<Item = _>>)
    }
}

/// The other places of a problem, each with what is there, for formats that show one place only.
pub(super) fn places(problem: &Problem) -> Vec<String> {
    let place = |label: &Label| format!("and at {}: {}", position(&label.place), one_line(&label.text));
    problem.related.iter().map(place).collect()
}

/// `path:line:column` of a place.
pub(in crate::cli) fn position(place: &Place) -> String {
    let start = place.start();
    format!("{}:{}:{}", one_line(&place.source.path), start.line, start.column)
}
