//! For people: the lines in question, with carets.

use std::{env, fmt, io::IsTerminal as _, sync::Arc};

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity as MietteSeverity,
    SourceCode,
};

use super::url;
use crate::manifest::problem::{Label, Place, Problem, Severity, SourceText};

/// Longest text of a file that carets are drawn into; a minified file of a megabyte helps nobody.
const WIDTH: usize = 100;

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

/// A problem as a block of lines.
pub(in crate::cli) fn render(problem: &Problem, look: Look) -> String {
    let theme = match (look.colour, look.unicode) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => {
            GraphicalTheme { characters: miette::ThemeCharacters::ascii(), ..GraphicalTheme::unicode() }
        }
        (false, true) => GraphicalTheme::unicode_nocolor(),
        (false, false) => GraphicalTheme::none(),
    };
    let handler =
        GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_context_lines(1).with_links(false);
    let mut out = String::new();
    if handler.render_report(&mut out, &Report::of(problem)).is_err() {
        // The words are what matters.
        out = format!("{}: {}\n", problem.code, problem.message);
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

/// The text of a file, shared.
#[derive(Debug, Clone)]
struct Text(Arc<SourceText>);

impl SourceCode for Text {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        self.0.text.as_str().read_span(span, before, after)
    }
}

impl Report {
    fn of(problem: &Problem) -> Self {
        let home = &problem.primary.place.source;
        let (here, elsewhere): (Vec<&Label>, Vec<&Label>) =
            problem.related.iter().partition(|label| same(&label.place, home));
        let mut labels = vec![label(&problem.primary)];
        labels.extend(here.into_iter().map(label));
        Self {
            message: problem.message.clone(),
            code: Some(problem.code.to_string()),
            severity: match problem.severity {
                Severity::Error => MietteSeverity::Error,
                Severity::Warning => MietteSeverity::Warning,
            },
            help: problem.help.clone(),
            url: Some(url(problem.code)),
            source: named(&problem.primary.place),
            labels: if home.text.is_empty() { Vec::new() } else { labels },
            elsewhere: elsewhere.into_iter().map(Self::elsewhere).collect(),
        }
        .with_place(&problem.primary.place)
    }

    fn elsewhere(related: &Label) -> Self {
        Self {
            message: related.text.clone(),
            code: None,
            severity: MietteSeverity::Advice,
            help: None,
            url: None,
            source: named(&related.place),
            labels: vec![label(related)],
            elsewhere: Vec::new(),
        }
    }

    /// A file without a text has no lines to show: its name stands in the message.
    fn with_place(mut self, place: &Place) -> Self {
        if place.source.text.is_empty() {
            self.message = format!("{}: {}", place.source.path, self.message);
        }
        self
    }
}

fn same(place: &Place, home: &Arc<SourceText>) -> bool {
    place.source.path == home.path
}

fn named(place: &Place) -> NamedSource<Text> {
    NamedSource::new(&place.source.path, Text(Arc::clone(&place.source)))
}

fn label(label: &Label) -> LabeledSpan {
    let span = label.place.span;
    LabeledSpan::new(Some(label.text.clone()), span.start as usize, (span.end - span.start) as usize)
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

/// `path:line:column` of a place.
pub(in crate::cli) fn position(place: &Place) -> String {
    let start = place.start();
    format!("{}:{}:{}", place.source.path, start.line, start.column)
}
