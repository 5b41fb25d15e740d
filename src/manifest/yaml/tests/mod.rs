//! The composer. Tables have a text, and below it the documents and the faults.

mod documents;
mod fuzz;
mod limits;
mod slips;
mod spans;
mod values;

use expect_test::Expect;

use super::{Composed, Extent, Limits, compose};
use crate::manifest::problem::{SourceText, Span};

/// Documents as JSON, one a line (`part` and `flawed` in front of broken ones), then faults as
/// `line:column-column code message (related) | help`.
fn shown(text: &str, limits: &Limits) -> String {
    let Composed { documents, faults } = compose(text, limits);
    let mut lines = Vec::new();
    for document in &documents {
        let extent = match document.extent {
            Extent::Whole => "",
            Extent::Flawed => "flawed ",
            Extent::Part => "part ",
        };
        lines.push(format!("{extent}{}", document.root.to_json()));
    }
    for fault in &faults {
        let related = fault
            .related
            .as_ref()
            .map_or_else(String::new, |(span, words)| format!(" ({words} {})", place(text, *span)));
        let pointer = if fault.pointer.is_empty() { String::new() } else { format!(" {}", fault.pointer) };
        let help = fault.help.as_deref().unwrap_or("-");
        lines.push(format!(
            "{} {}{pointer} {}{related} | {help}",
            place(text, fault.span),
            fault.code,
            fault.message
        ));
    }
    lines.join("\n")
}

fn place(text: &str, span: Span) -> String {
    let source = SourceText::new("", text);
    let start = source.position(span.start as usize);
    let end = source.position(span.end as usize);
    if start.line == end.line {
        format!("{}:{}-{}", start.line, start.column, end.column)
    } else {
        format!("{}:{}-{}:{}", start.line, start.column, end.line, end.column)
    }
}

/// Each text, escaped, with what it holds below it.
#[track_caller]
fn check(texts: &[&str], expected: &Expect) {
    let cases: Vec<String> = texts
        .iter()
        .map(|text| {
            let result = shown(text, &Limits::default());
            let lines = std::iter::once(text.escape_debug().to_string());
            let indented = result.lines().map(|line| format!("    {line}"));
            lines.chain(indented).collect::<Vec<_>>().join("\n")
        })
        .collect();
    expected.assert_eq(&cases.join("\n"));
}
