//! Templates in values: `{{ fire_time.date }}`.
//!
//! They fill values only, never structure. Pure. `load` checks them, `execute` fills them in; both
//! know the same names. In a line for a shell what is filled in is quoted, unless `| safe` says
//! that it is meant as a part of the line.

pub mod check;

mod engine;
mod line;
mod pieces;
mod shell;
mod words;

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use minijinja::{
    Environment, Error, ErrorKind, Value, context,
    value::{Object, ObjectRepr, Serde},
};
use serde_json::Value as Json;

use super::name::JobName;

/// What a value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value of its own: what is filled in stays as it is.
    Plain,
    /// A line for `sh`: what is filled in is quoted.
    Shell,
}

/// What templates see.
#[derive(Debug, Clone)]
pub struct Values {
    /// The job.
    pub job: JobName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The nominal instant of the run.
    pub fire_time: Timestamp,
    /// The zone that its parts are told in.
    pub timezone: String,
    /// The run.
    pub run_id: String,
    /// Counted from 1.
    pub attempt: u32,
    /// The job's parameters.
    pub params: BTreeMap<String, Json>,
    /// Steps that are done.
    pub steps: BTreeMap<String, StepResult>,
    /// Secrets, where they may be used.
    pub secrets: BTreeMap<String, String>,
}

/// Most bytes of a step's output that later steps can use: a result, and not a file. Each run holds that
/// of its steps in memory.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// What it printed.
    pub output: StepOutput,
    /// `success`, or the word for how it failed.
    pub status: String,
}

/// What a step printed on stdout, or the body of the answer to its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutput {
    /// All of it, without the newline at the end.
    Whole(Arc<str>),
    /// It is longer than [`OUTPUT_BYTES_MAX`]. A part of it would be taken for all.
    TooLong,
}

/// Whether a text holds a template at all.
#[must_use]
pub fn is_template(text: &str) -> bool {
    let next = |at: usize| text.as_bytes().get(at + 1);
    text.match_indices('{').any(|(at, _)| matches!(next(at), Some(b'{' | b'%')))
}

/// A value as a template fills it in where it stands alone.
#[must_use]
pub fn filled_in(value: &Json) -> String {
    Value::from(Serde(value)).to_string()
}

/// Fills a template in.
///
/// # Errors
///
/// What is wrong with it, in one line: it cannot be read, uses a name that is not there, or does
/// not come to an end.
pub fn render<'t>(text: &'t str, kind: Kind, values: &Values) -> Result<Cow<'t, str>, String> {
    if !is_template(text) {
        return Ok(Cow::Borrowed(text));
    }
    let failed = |reason: &str| format!("the template `{text}` cannot be filled in: {reason}");
    let context = context_of(values);
    let fill = |environment: &Environment<'_>| {
        environment.template_from_str(text).and_then(|template| template.render(&context))
    };
    if kind == Kind::Shell {
        // Whatever the manifest was checked for: what comes out is what the shell reads.
        let marked = fill(&engine::MARKED).map_err(|error| failed(&plain(&error)))?;
        if let Some(place) = line::refusal(&marked) {
            return Err(failed(&format!("a value stands {place}, where the quotes around it do not hold")));
        }
    }
    fill(engine::of(kind)).map(Cow::Owned).map_err(|error| failed(&plain(&error)))
}

/// What templates see, as the engine takes it.
fn context_of(values: &Values) -> Value {
    let steps: BTreeMap<&str, Value> =
        values.steps.iter().map(|(id, step)| (id.as_str(), seen(id, step))).collect();
    let fire_time = FireTime::new(values.fire_time, &values.timezone);
    context! {
        job => context! { name => values.job.as_str(), labels => values.labels.clone() },
        fire_time => Value::from_object(fire_time),
        run_id => values.run_id.clone(),
        attempt => values.attempt,
        params => Value::from(Serde(&values.params)),
        steps => steps,
        secrets => values.secrets.clone(),
    }
}

fn plain(error: &Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it does not come to an end".to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    }
}

/// A fire time as templates see it: itself in RFC 3339, and its parts.
struct FireTime {
    time: Timestamp,
    zoned: Zoned,
}

impl FireTime {
    fn new(time: Timestamp, timezone: &str) -> Self {
        let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
        Self { time, zoned: time.to_zoned(zone) }
    }
}

impl fmt::Debug for FireTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.time.fmt(f)
    }
}

impl Object for FireTime {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let zoned = &self.zoned;
        Some(match key.as_str()? {
            "date" => Value::from(zoned.date().to_string()),
            "time" => Value::from(zoned.strftime("%H:%M:%S").to_string()),
            "unix" => Value::from(self.time.as_second()),
            "iso" => Value::from(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()),
            "year" => Value::from(zoned.year()),
            "month" => Value::from(zoned.month()),
            "day" => Value::from(zoned.day()),
            "hour" => Value::from(zoned.hour()),
            "minute" => Value::from(zoned.minute()),
            _ => return None,
        })
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.time)
    }
}

/// A step as templates see it.
#[derive(Debug)]
struct SeenStep {
    id: String,
    result: StepResult,
}

fn seen(id: &str, result: &StepResult) -> Value {
    Value::from_object(SeenStep { id: id.to_owned(), result: result.clone() })
}

impl SeenStep {
    fn output(&self) -> Result<&Arc<str>, Error> {
        match &self.result.output {
            StepOutput::Whole(text) => Ok(text),
            StepOutput::TooLong => Err(Error::new(
                ErrorKind::InvalidOperation,
                format!(
                    "the output of `{}` has more than {OUTPUT_BYTES_MAX} bytes, the most that other steps can use; let it write a file",
                    self.id
                ),
            )),
        }
    }

    fn json(&self) -> Result<Value, Error> {
        let json: Result<Json, _> = serde_json::from_str(self.output()?);
        json.map(|json| Value::from(Serde(json))).map_err(|error| {
            let message = format!("the output of `{}` is not JSON: {error}", self.id);
            Error::new(ErrorKind::InvalidOperation, message)
        })
    }
}

impl Object for SeenStep {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "output" => Some(self.output().cloned().map_or_else(Value::from, Value::from)),
            "status" => Some(Value::from(self.result.status.clone())),
            "json" => Some(self.json().unwrap_or_else(Value::from)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let step = |output| StepResult { output, status: "success".to_owned() };
        let whole = |output: &str| step(StepOutput::Whole(output.into()));
        Values {
            job: JobName::parse("report").unwrap(),
            labels: BTreeMap::from([("team".to_owned(), "billing".to_owned())]),
            fire_time: "2026-03-29T00:30:00Z".parse().unwrap(),
            timezone: "Europe/Berlin".to_owned(),
            run_id: "r-1".to_owned(),
            attempt: 2,
            params: BTreeMap::from([
                ("day".to_owned(), Json::from("a b; rm -rf /")),
                ("n".to_owned(), Json::from(3)),
            ]),
            steps: BTreeMap::from([
                ("extract".to_owned(), whole(r#"{"rows": 7}"#)),
                ("text".to_owned(), whole("7 rows")),
                ("flood".to_owned(), step(StepOutput::TooLong)),
            ]),
            secrets: BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]),
        }
    }

    #[track_caller]
    fn renders(text: &str, kind: Kind, expected: &str) {
        assert_eq!(render(text, kind, &values()).unwrap(), expected, "{text}");
    }

    #[test]
    fn values_table() {
        renders("plain", Kind::Plain, "plain");
        renders("{{ job.name }}/{{ job.labels.team }}", Kind::Plain, "report/billing");
        renders("{{ fire_time }}", Kind::Plain, "2026-03-29T00:30:00Z");
        renders("{{ fire_time.iso }}", Kind::Plain, "2026-03-29T01:30:00+01:00");
        renders("{{ fire_time.date }} {{ fire_time.time }}", Kind::Plain, "2026-03-29 01:30:00");
        renders("{{ fire_time.unix }}", Kind::Plain, "1774744200");
        renders("{{ run_id }}#{{ attempt }}", Kind::Plain, "r-1#2");
        renders("{{ params.n + 1 }}", Kind::Plain, "4");
        renders("{{ steps.extract.json.rows }}", Kind::Plain, "7");
        renders("{{ steps.extract.status }}", Kind::Plain, "success");
        renders("a\n", Kind::Plain, "a\n");
    }

    #[test]
    fn what_is_encoded_for_a_url_is_one_part_of_it() {
        renders("{{ 'AZaz09-._~' | urlencode }}", Kind::Plain, "AZaz09-._~");
        renders(
            "{{ 'a b/../c?d=e&f#g+h%:@' | urlencode }}",
            Kind::Plain,
            "a%20b%2F..%2Fc%3Fd%3De%26f%23g%2Bh%25%3A%40",
        );
        renders("{{ 'ä\u{20ac}' | urlencode }}", Kind::Plain, "%C3%A4%E2%82%AC");
        renders("{{ params.n | urlencode }}{{ true | urlencode }}", Kind::Plain, "3true");
        renders("{{ fire_time | urlencode }}", Kind::Plain, "2026-03-29T00%3A30%3A00Z");
        renders("curl h/{{ params.day | urlencode }}", Kind::Shell, "curl h/'a%20b%3B%20rm%20-rf%20%2F'");
        for (text, part) in [
            ("{{ params.nope | urlencode }}", "undefined"),
            ("{{ [1] | urlencode }}", "takes a text or a number, not a sequence"),
            ("{{ none | urlencode }}", "takes a text or a number, not a none"),
        ] {
            let error = render(text, Kind::Plain, &values()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_filled_into_a_line_for_a_shell_cannot_break_out() {
        renders("echo {{ params.day }}", Kind::Shell, "echo 'a b; rm -rf /'");
        renders("echo {{ params.n }}>a", Kind::Shell, "echo '3'>a");
        renders("echo {{ \"it's\" }}", Kind::Shell, r"echo 'it'\''s'");
        renders("echo {{ params.day | safe }}", Kind::Shell, "echo a b; rm -rf /");
        renders("echo {{ params.day }}", Kind::Plain, "echo a b; rm -rf /");
    }

    #[test]
    fn a_value_that_stands_in_quotes_is_not_filled_in() {
        for text in ["echo '{{ params.day }}'", "echo {{ \"'\" | safe }}{{ params.day }}"] {
            let error = render(text, Kind::Shell, &values()).unwrap_err();
            assert!(error.contains("a value stands inside single quotes"), "{error}");
        }
        renders("echo '{{ params.day }}'", Kind::Plain, "echo 'a b; rm -rf /'");
    }

    #[test]
    fn only_what_is_marked_safe_is_a_part_of_a_line() {
        renders("echo {{ params.day | tojson }}", Kind::Shell, "echo '\"a b; rm -rf /\"'");
        renders("echo {{ ('x;' | safe) ~ params.day }}", Kind::Shell, "echo x;'a b; rm -rf /'");
        renders("echo {{ [('x' | safe), params.day] | join(' ') }}", Kind::Shell, "echo x' ''a b; rm -rf /'");
        renders("echo {{ ('%s' | safe) | replace('%s', params.day) }}", Kind::Shell, "echo 'a b; rm -rf /'");
        renders("echo {{ 'x' if false }}.", Kind::Shell, "echo .");
        let html = "{% autoescape 'html' %}echo {{ params.day | e }}{% endautoescape %}";
        assert!(render(html, Kind::Shell, &values()).is_err());
        let format = "echo {{ ('%s' | safe) | format(params.day) }}";
        assert!(render(format, Kind::Shell, &values()).is_err());
    }

    #[test]
    fn values_that_are_no_texts_are_json() {
        for (text, expected) in [
            ("{{ true }} {{ none }} {{ 1.5 }}", "true null 1.5"),
            ("{{ ['mon', 2, none] }}", r#"["mon",2,null]"#),
            ("{{ {'a': [true]} }}", r#"{"a":[true]}"#),
            ("{{ ['a'] | map('upper') }}", r#"["A"]"#),
            ("{{ job.labels }}", r#"{"team":"billing"}"#),
            ("{{ steps.extract.json }}", r#"{"rows":7}"#),
            ("{{ [1] | tojson }}{{ \"'<\" | tojson }}", r#"[1]"'<""#),
            ("{{ true | string }}{{ 'a' | string }}", "truea"),
            ("{{ [1] | tojson(indent=1) }}", "[\n 1\n]"),
        ] {
            renders(text, Kind::Plain, expected);
        }
        renders("echo {{ ['a b'] }} {{ false }}", Kind::Shell, r#"echo '["a b"]' 'false'"#);
    }

    #[test]
    fn a_shells_own_braces_are_no_template() {
        for text in ["${#x} ${x%#}", "{# a #}", "{#", "#}"] {
            renders(text, Kind::Shell, text);
        }
        renders("${#x} {{ params.n }} ${x%#} #}", Kind::Plain, "${#x} 3 ${x%#} #}");
    }

    #[test]
    fn a_template_that_cannot_be_filled_in_says_why() {
        for (text, part) in [
            ("{{ params.nope }}", "undefined"),
            ("{{ nope }}", "undefined"),
            ("{{ steps.text.json.rows }}", "the output of `text` is not JSON: trailing characters at line 1"),
            ("{{ steps.text.json }}", "the output of `text` is not JSON"),
            ("{{ steps.text['json'] | default('x') }}", "the output of `text` is not JSON"),
            ("{{ steps.flood.output }}", "the output of `flood` has more than 1048576 bytes"),
            ("{{ steps.flood.json.rows }}", "the output of `flood` has more than 1048576 bytes"),
            ("{% for i in range(9999999) %}x{% endfor %}", ""),
        ] {
            let error = render(text, Kind::Plain, &values()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
