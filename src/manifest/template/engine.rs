//! The template engine as it is set up here: values as JSON writes them, quoted in a line for a shell.
//!
//! Pure. One environment for each way of filling in, made once.

use std::sync::LazyLock;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value,
    syntax::SyntaxConfig,
    value::{Kwargs, ValueKind},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Kind, line::VALUE};

/// Most steps of the template engine for one value: far more than a value needs, and the end of
/// one that loops.
const FUEL: u64 = 50_000;

/// What a comment would begin with. Nobody writes it, so that there are none: `{#` is a part of what
/// shells know as `${#x}`.
const NO_COMMENT: &str = "{#\0no comment\0";

/// All but the unreserved characters of RFC 3986, section 2.3. Jinja's set leaves `/` as it is, with
/// which a value could leave its place in a path.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Filters that a line for a shell does without. What is escaped for HTML counts as safe, and is not for
/// a shell; and a format may cut a word's quote off.
pub(super) const NOT_IN_SHELL: [&str; 3] = ["escape", "e", "format"];

/// Fills values in as they are.
static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = environment();
    environment.set_formatter(|out, _, value| write(out, value, str::to_owned));
    environment
});

/// Fills values in as words of a shell.
static SHELL: LazyLock<Environment<'static>> = LazyLock::new(|| for_shell(shell_quoted));

/// Fills in [`VALUE`] where [`SHELL`] fills in a word.
pub(super) static MARKED: LazyLock<Environment<'static>> = LazyLock::new(|| for_shell(|_| VALUE.to_string()));

/// The engine for values of a kind.
pub(super) fn of(kind: Kind) -> &'static Environment<'static> {
    match kind {
        Kind::Plain => &PLAIN,
        Kind::Shell => &SHELL,
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", string);
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true).comment_delimiters(NO_COMMENT, NO_COMMENT);
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    environment
}

/// An engine whose values become what `word` makes of them, but for those that are marked as `safe`.
fn for_shell(word: fn(&str) -> String) -> Environment<'static> {
    let mut environment = environment();
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("shell".into()));
    for filter in NOT_IN_SHELL {
        environment.remove_filter(filter);
    }
    environment.set_formatter(move |out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value| {
        if value.is_safe() {
            return out.write_str(&value.to_string()).map_err(Error::from);
        }
        write(out, value, word)
    });
    environment
}

/// Writes what a value becomes. What an `if` without `else` leaves out is no word at all.
fn write(out: &mut Output<'_>, value: &Value, word: impl Fn(&str) -> String) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    out.write_str(&word(&text(value)?)).map_err(Error::from)
}

/// A value as a text: texts and numbers as they are, anything else as JSON.
fn text(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Bool | ValueKind::None | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            json(value, None)
        }
        _ => Ok(value.to_string()),
    }
}

fn json(value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let failed = |error: serde_json::Error| {
        Error::new(ErrorKind::InvalidOperation, format!("the value cannot be written as JSON: {error}"))
    };
    let Some(indent) = indent else { return serde_json::to_string(value).map_err(failed) };
    let blanks = " ".repeat(indent.min(16));
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(blanks.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(value, &mut serializer).map_err(failed)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The filter that makes a value JSON. The engine's own is for HTML, and says that it is safe anywhere.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands it over so")]
fn tojson(value: &Value, indent: Option<usize>, named: Kwargs) -> Result<String, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => named.get("indent")?,
    };
    named.assert_all_used()?;
    json(value, indent)
}

/// The filter that makes a value a text.
fn string(value: &Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String { Ok(value.clone()) } else { text(value).map(Value::from) }
}

/// The filter that makes a value one part of a path or query of a URL.
fn urlencode(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        // `fire_time` is plain.
        ValueKind::String | ValueKind::Number | ValueKind::Bool | ValueKind::Plain => {
            Ok(utf8_percent_encode(&text(value)?, RESERVED).to_string())
        }
        kind => {
            let message = format!("`urlencode` takes a text or a number, not a {kind}");
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
    }
}

/// A text as one word of a shell's line. It has quotes whatever it holds: `2` before a `>` would be no
/// word, nor would `if` be one where a command begins.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
