//! What the parser says of broken YAML, in the words of someone who wrote a manifest.
//!
//! The parser names the rule that was broken; the usual causes are few, and each has its way out.

use granit_parser::ErrorKind;

use super::{
    fault::Fault,
    limits::Limits,
    node::{Node, NodeValue},
};
use crate::manifest::{code::Code, problem::Span};

/// Most characters of a value that a help text repeats.
const QUOTED_CHARS_MAX: usize = 60;

const QUOTE_OR_CLOSE: &str = "close the bracket, or quote a value that holds `: `, `,` or brackets";

/// The fault for an error of the parser at a byte. `open` is the innermost bracket that is open
/// there.
pub(super) fn fault(
    text: &str,
    kind: &ErrorKind,
    offset: usize,
    open: Option<Span>,
    limits: &Limits,
) -> Fault {
    let fault = match kind {
        ErrorKind::RecursionLimitExceeded => return too_deep(token_at(text, offset), limits.depth),
        ErrorKind::DirectiveDisallowed => return directive(text, offset),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            Fault::new(Code::Syntax, char_at(text, offset), "the quote is never closed")
                .label("opened here")
                .help("close it on the same line, or write `|` and indent the lines of a long text")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '{' { '}' } else { ']' };
            return Fault::new(Code::Syntax, char_at(text, offset), format!("the `{open}` is never closed"))
                .label("opened here")
                .help(format!("close it with `{close}`"));
        }
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => {
            Fault::new(Code::Syntax, tab_near(text, offset), "a tab cannot indent")
                .label("a tab")
                .help("indent with spaces")
        }
        ErrorKind::MissingAnchorOrAliasName => nameless(text, offset),
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            return control(text, *character, offset);
        }
        ErrorKind::UnexpectedCharacter { character } => {
            let message = format!("a value cannot begin with `{character}`");
            Fault::new(Code::Syntax, token_at(text, offset), message).help(quote_help(text, offset))
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            stray_colon(text, offset)
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape
        | ErrorKind::InvalidLowSurrogateHexEscape
        | ErrorKind::InvalidLowSurrogate
        | ErrorKind::MissingLowSurrogate
        | ErrorKind::UnpairedLowSurrogate => {
            Fault::new(Code::Syntax, token_at(text, offset), "no such escape in double quotes")
                .label("in this text")
                .help("write `\\\\` for a backslash, or use single quotes, which have no escapes")
        }
        _ => Fault::new(Code::Syntax, token_at(text, offset), message(kind)),
    };
    match open {
        Some(open) if is_about_brackets(kind) => unclosed(text, fault, open),
        _ if fault.help.is_none() => with_general_help(fault, kind),
        _ => fault,
    }
}

/// What goes wrong inside of brackets, when the cause may be that they are never closed.
fn unclosed(text: &str, found: Fault, open: Span) -> Fault {
    let (start, stop) = (open.start as usize, found.span.start as usize);
    let bracket = &text[open.range()];
    if text.get(start..stop).is_none_or(|between| !between.contains('\n')) {
        return found.related(open, format!("this `{bracket}` is still open")).help(QUOTE_OR_CLOSE);
    }
    let close = if bracket == "{" { '}' } else { ']' };
    Fault::new(found.code, open, format!("the `{bracket}` is never closed"))
        .label("opened here")
        .related(found.span, "read as part of what it holds")
        .help(format!("close it with `{close}`"))
}

/// A character that YAML has nowhere, quoted or not.
fn control(text: &str, character: char, offset: usize) -> Fault {
    let place = char_at(text, offset);
    if character == '\0' {
        return Fault::new(Code::Syntax, place, "a zero byte cannot stand in a manifest")
            .label("a zero byte")
            .help("take it out: no argument, variable or path of a program can hold one");
    }
    let number = u32::from(character);
    Fault::new(Code::Syntax, place, format!("the control character {number:#04x} cannot stand in a manifest"))
        .label("a control character")
        .help(format!("take it out, or write `\\x{number:02x}` for it in double quotes"))
}

/// The fault for an alias that has no anchor.
pub(super) fn unknown_alias(text: &str, span: Span, name: &str) -> Fault {
    if let Some(anchor) = earlier_anchor(text, span, name) {
        let message = format!("the anchor `&{name}` stands in an earlier document, and anchors end at `---`");
        return Fault::new(Code::Syntax, span, message)
            .label("an alias")
            .related(anchor, "the anchor is here")
            .help("write the value out; what all jobs of a directory share stands in its `_defaults.yaml`");
    }
    let fault = Fault::new(Code::Syntax, span, format!("there is no anchor `&{name}` above this alias"));
    let looks_like_cron = name.starts_with(['/', '*', ',', '-']) || line_rest(text, span).contains(' ');
    if looks_like_cron {
        Fault::new(Code::Syntax, span, "a value that begins with `*` must be quoted")
            .label("YAML reads this as an alias")
            .help(quote_help(text, span.start as usize))
    } else {
        fault
            .label("an alias")
            .help(format!("put `&{name}` before the value that it stands for, or quote it"))
    }
}

/// The last anchor of a name above a byte that stands in another document.
fn earlier_anchor(text: &str, alias: Span, name: &str) -> Option<Span> {
    let before = &text[..alias.start as usize];
    let end_of_documents = before.rfind("\n---")?;
    let sign = format!("&{name}");
    let ends = |at: usize| {
        let next = before[at + sign.len()..].chars().next();
        next.is_none_or(|next| next.is_whitespace() || matches!(next, ',' | ']' | '}'))
    };
    let begins = |at: usize| before[..at].ends_with([' ', '\t', '\n', '[', '{', ',']);
    let documents = &before[..end_of_documents];
    let mut found = documents.rmatch_indices(&sign).map(|(at, _)| at);
    let at = found.find(|at| begins(*at) && ends(*at))?;
    Some(Span { start: to_u32(at), end: to_u32(at + sign.len()) })
}

/// The fault for a key that is a number, a list or the like.
pub(super) fn key_is_not_text(text: &str, key: &Node) -> Fault {
    let place = key.place();
    let written = &text[place.range()];
    if matches!(key.value, NodeValue::Map(_)) && text[..place.start as usize].ends_with('{') {
        let start = place.start as usize - 1;
        return Fault::new(Code::YamlFeature, line_value(text, start), "a template must be quoted")
            .label("YAML reads this as a mapping")
            .help(quote_help(text, start));
    }
    let fault = Fault::new(Code::YamlFeature, place, "a key must be text").label("not text");
    match key.value {
        NodeValue::Map(_) | NodeValue::List(_) => fault.help("give each key as plain text"),
        _ if written.is_empty() => Fault {
            span: char_at(text, place.start as usize),
            ..fault.label("no key").help("write a key before the `:`")
        },
        _ => fault.help(format!("quote it: \"{written}\"")),
    }
}

/// The fault for nesting past the limit.
pub(super) fn too_deep(span: Span, depth: usize) -> Fault {
    Fault::new(Code::Limit, span, format!("nested more than {depth} levels deep"))
        .label("too deep")
        .help("a manifest needs fewer than ten levels")
}

fn directive(text: &str, offset: usize) -> Fault {
    Fault::new(Code::YamlFeature, token_at(text, offset), "directives are not used in manifests")
        .label("a directive")
        .help("remove the line; YAML 1.2 is always meant")
}

/// `*` or `&` without a name: nearly always a cron expression without quotes.
fn nameless(text: &str, offset: usize) -> Fault {
    // The parser points behind the sign or at it, depending on what follows.
    let at = if text[..text.floor_char_boundary(offset)].ends_with(['*', '&']) { offset - 1 } else { offset };
    let sign = text[text.floor_char_boundary(at)..].chars().next().unwrap_or('*');
    let message = format!("a value that begins with `{sign}` must be quoted");
    Fault::new(Code::Syntax, char_at(text, at), message).help(quote_help(text, at))
}

/// A `:` where no key can be: a text with `: ` in it, or a line that is indented too far.
fn stray_colon(text: &str, offset: usize) -> Fault {
    let offset = text.floor_char_boundary(offset);
    let line_start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let before = text[line_start..offset].trim_end_matches(':');
    let indent = before.len() - before.trim_start().len();
    if let Some(colon) = before.find(": ") {
        let value_start = line_start + colon + 2;
        let value_start = value_start + leading_spaces(&text[value_start..]);
        return Fault::new(
            Code::Syntax,
            line_value(text, value_start),
            "a value with `: ` in it must be quoted",
        )
        .label("read as a mapping inside of a value")
        .help(quote_help(text, value_start));
    }
    let word = Span { start: to_u32(line_start + indent), end: to_u32(offset) };
    Fault::new(Code::Syntax, word, "a key cannot begin here")
        .label("read as part of the value above")
        .help("line it up with the keys around it, and see that the line above has its `:`")
}

fn is_about_brackets(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofImplicitFlowMapping
            | ErrorKind::ExpectedFlowMappingSeparator
            | ErrorKind::ExpectedFlowSequenceSeparator
            | ErrorKind::InvalidColonPlacement
            | ErrorKind::InvalidIndentation
            | ErrorKind::InvalidFlowScalarIndent
    )
}

fn message(kind: &ErrorKind) -> String {
    let text = match kind {
        ErrorKind::UnexpectedEofFlowSequence => "the list is never closed by `]`",
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            "a comma or a closing bracket is missing"
        }
        ErrorKind::ExpectedFlowMappingSeparator => "a `,` or `}` is missing before this",
        ErrorKind::ExpectedFlowSequenceSeparator => "a `,` or `]` is missing before this",
        ErrorKind::InvalidColonPlacement | ErrorKind::MappingKeyNotAllowed => "a key cannot stand here",
        ErrorKind::MisplacedFlowCollectionEnd => "this bracket was never opened",
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return format!("`{open}` cannot be closed by `{close}`");
        }
        ErrorKind::ExpectedBlockMappingKey => "this line fits no key above it",
        ErrorKind::ExpectedBlockSequenceEntry => "this line is no item of the list above it",
        ErrorKind::BlockEntryInFlowCollection | ErrorKind::BlockSequenceEntryNotAllowed => {
            "a `- ` item cannot begin here"
        }
        ErrorKind::InvalidIndentation | ErrorKind::InvalidFlowScalarIndent => "the indentation does not fit",
        ErrorKind::InvalidQuotedScalarIndent => "the lines of this text are not indented enough",
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            "nothing can follow a closing quote"
        }
        ErrorKind::CommentNotSeparated => "a `#` needs a space before it to begin a comment",
        ErrorKind::CommentInterceptedScalar => "a comment stands inside of a text of several lines",
        ErrorKind::InvalidBlockScalarHeader => "nothing can follow `|` or `>` on its line",
        ErrorKind::InvalidBlockScalarIndent | ErrorKind::ZeroBlockScalarIndent => {
            "the lines under `|` or `>` are not indented alike"
        }
        ErrorKind::InvalidDocumentEnd => "nothing can follow `...` on its line",
        ErrorKind::BomInsideDocument => "a byte-order mark stands in the middle of the file",
        ErrorKind::ExpectedDocumentStart => "this is outside of the document",
        ErrorKind::ExpectedNodeContent | ErrorKind::UnexpectedEof => "a value is missing here",
        ErrorKind::UndeclaredTagHandle
        | ErrorKind::ExpectedTagBang
        | ErrorKind::InvalidTagTerminator
        | ErrorKind::MissingTagUri => "this tag cannot be read",
        _ => "this is not YAML",
    };
    text.to_owned()
}

fn with_general_help(fault: Fault, kind: &ErrorKind) -> Fault {
    let help = match kind {
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            "indent it like the keys that it belongs to"
        }
        ErrorKind::ExpectedBlockSequenceEntry => {
            "begin it with `- ` like the other items, or indent it like the keys further out"
        }
        ErrorKind::BlockSequenceEntryNotAllowed => "put the first item on a line of its own",
        ErrorKind::InvalidTrailingSingleQuotedScalar => {
            "quote the whole value; inside of single quotes, write `''` for one quote"
        }
        ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            "quote the whole value; inside of double quotes, write `\\\"` for a quote"
        }
        ErrorKind::MisplacedFlowCollectionEnd => "remove it, or quote the value that it belongs to",
        ErrorKind::MismatchedFlowCollectionEnd { .. } => "close each bracket with one of its own kind",
        ErrorKind::UndeclaredTagHandle
        | ErrorKind::ExpectedTagBang
        | ErrorKind::InvalidTagTerminator
        | ErrorKind::MissingTagUri => "quote the value if it begins with `!`",
        _ => return fault,
    };
    fault.help(help)
}

/// Help that repeats the value that begins at a byte, in quotes.
pub(super) fn quote_help(text: &str, start: usize) -> String {
    let value = &text[line_value(text, start).range()];
    if value.is_empty() || value.chars().count() > QUOTED_CHARS_MAX {
        return "put the whole value in quotes".to_owned();
    }
    if value.contains('"') || value.contains('\\') {
        return format!("quote it: '{}'", value.replace('\'', "''"));
    }
    format!("quote it: \"{value}\"")
}

/// The rest of the line from a byte, without a comment and the space around it.
fn line_value(text: &str, start: usize) -> Span {
    let start = text.floor_char_boundary(start);
    let line = text[start..].lines().next().unwrap_or_default();
    let value = up_to_bracket(line.split(" #").next().unwrap_or_default()).trim_end();
    Span { start: to_u32(start), end: to_u32(start + value.len()) }
}

/// A value as far as it goes when it stands in brackets: up to the one that closes them, or to the
/// comma before the next one.
fn up_to_bracket(line: &str) -> &str {
    let mut depth = 0;
    let mut comma = None;
    for (at, c) in line.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' if depth == 0 => return &line[..comma.unwrap_or(at)],
            '}' | ']' => depth -= 1,
            ',' if depth == 0 && line[at..].starts_with(", ") => comma = comma.or(Some(at)),
            _ => {}
        }
    }
    line
}

fn line_rest(text: &str, span: Span) -> &str {
    text[span.end as usize..]
        .lines()
        .next()
        .unwrap_or_default()
        .split(" #")
        .next()
        .unwrap_or_default()
        .trim_end()
}

fn leading_spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches(' ').len()
}

/// The word at a byte; between words, the last character before it.
pub(super) fn token_at(text: &str, offset: usize) -> Span {
    let offset = text.floor_char_boundary(offset);
    let rest = &text[offset..];
    let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
    if length > 0 {
        return Span { start: to_u32(offset), end: to_u32(offset + length) };
    }
    let before = text[..offset].trim_end();
    let last = before.chars().next_back().map_or(0, char::len_utf8);
    Span { start: to_u32(before.len() - last), end: to_u32(before.len()) }
}

fn char_at(text: &str, offset: usize) -> Span {
    let start = text.floor_char_boundary(offset);
    let length = text[start..].chars().next().map_or(0, char::len_utf8);
    Span { start: to_u32(start), end: to_u32(start + length) }
}

/// The run of tabs at a byte, or the last one before it on its line.
fn tab_near(text: &str, offset: usize) -> Span {
    let offset = text.floor_char_boundary(offset);
    let end = if text[offset..].starts_with('\t') {
        offset + 1
    } else {
        let line_start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        match text[line_start..offset].rfind('\t') {
            Some(tab) => line_start + tab + 1,
            None => return token_at(text, offset),
        }
    };
    let start = text[..end].trim_end_matches('\t').len();
    Span { start: to_u32(start), end: to_u32(end) }
}

/// Texts are at most as long as [`Limits::bytes`]; a longer one has its places cut to what fits.
pub(super) fn to_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}
