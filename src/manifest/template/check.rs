//! Whether a template can be filled in: its syntax, and every name in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use minijinja::{Environment, ErrorKind};
use serde_json::Value as Json;

pub use super::line::check_script;
use super::{
    Kind, engine, is_template, line,
    pieces::{Piece, pieces},
    plain,
    words::{Name, Word, WordKind, words},
};
use crate::manifest::nearest::nearest;

/// Parts of a fire time.
const FIRE_TIME: [&str; 9] = ["date", "time", "unix", "iso", "year", "month", "day", "hour", "minute"];

/// Parts of a step that has run.
const STEP: [&str; 3] = ["output", "json", "status"];

/// What templates see.
const ROOTS: [&str; 7] = ["job", "fire_time", "run_id", "attempt", "params", "steps", "secrets"];

/// Filters that are suggested for one that does not exist.
const FILTERS: [&str; 36] = [
    "abs",
    "batch",
    "bool",
    "default",
    "dictsort",
    "first",
    "float",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
];

/// Tests that are suggested for one that does not exist.
const TESTS: [&str; 19] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "even",
    "false",
    "float",
    "in",
    "integer",
    "iterable",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "undefined",
];

/// The names that a template may use.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The job's parameters.
    pub params: &'a BTreeMap<String, Json>,
    /// The job's labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Steps that are done before this one.
    pub steps: &'a [&'a str],
    /// Secrets, where they may be used: in requests.
    pub secrets: &'a [&'a str],
    /// Roots of names (`params`, `job`) of which not all is known: nothing under them is missed.
    pub open: &'a [&'a str],
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// What kind of thing.
    pub kind: FlawKind,
    /// The bytes of the text; none: all of it.
    pub range: Option<Range<usize>>,
    /// One line, lower case, no full stop.
    pub message: String,
    /// The way out.
    pub help: String,
}

/// What kind of thing is wrong with a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlawKind {
    /// It cannot be read.
    Syntax,
    /// It uses a name that does not exist.
    Name,
    /// A shell would read what is filled in as something else than a word.
    Shell,
}

/// Checks a template against the names that exist.
#[must_use]
pub fn check(text: &str, scope: &Scope<'_>) -> Vec<Flaw> {
    if !is_template(text) {
        return Vec::new();
    }
    bare_names(text).map_or_else(|| check_parsed(text, scope), |names| check_bare(text, names, scope))
}

/// Checks a line for a shell: the same, and whether each value stands where a word can.
#[must_use]
pub fn check_line(text: &str, scope: &Scope<'_>) -> Vec<Flaw> {
    let mut flaws = check(text, scope);
    if is_template(text) && flaws.iter().all(|flaw| flaw.kind != FlawKind::Syntax) {
        flaws.extend(line::check_line(text));
        flaws.extend(words(text).words.into_iter().filter_map(|word| not_in_shell(&word, text)));
    }
    flaws
}

/// The bytes of the first value in a text that would be filled in if it were a template of ours: another
/// program's (`{{.Names}}`) is none.
#[must_use]
pub fn would_fill(text: &str) -> Option<Range<usize>> {
    if !is_template(text) || engine::of(Kind::Plain).template_from_str(text).is_err() {
        return None;
    }
    let is_ours = |code: &str| {
        words(&format!("{{{{ {code} }}}}")).names.iter().any(|name| ROOTS.contains(&name.parts[0].as_str()))
    };
    pieces(text).into_iter().find_map(|piece| match piece {
        Piece::Value(tag) if is_ours(tag.code) => Some(tag.range),
        _ => None,
    })
}

/// What is wrong with a filter in a line for a shell, if something is.
fn not_in_shell(word: &Word, text: &str) -> Option<Flaw> {
    let name = &text[word.range.clone()];
    let is_one = word.kind == WordKind::Filter && engine::NOT_IN_SHELL.contains(&name);
    is_one.then(|| Flaw {
        kind: FlawKind::Name,
        range: Some(word.range.clone()),
        message: format!("there is no filter `{name}` in a line for a shell"),
        help: "leave it out: each value is quoted for the shell".to_owned(),
    })
}

/// The places of the names in a template that does nothing but fill in names, as nearly every template
/// of a manifest: these are told without the engine. None for any other.
fn bare_names(text: &str) -> Option<Vec<Range<usize>>> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, opened)) = rest.split_once('{') {
        rest = match opened.as_bytes().first() {
            Some(b'{') => {
                let (inside, after) = opened[1..].split_once("}}")?;
                let name = inside.trim_matches(' ');
                if !is_bare(name) {
                    return None;
                }
                let spaces = inside.len() - inside.trim_start_matches(' ').len();
                let start = text.len() - opened.len() + 1 + spaces;
                names.push(start..start + name.len());
                after
            }
            Some(b'%') => return None,
            _ => opened,
        };
    }
    Some(names)
}

/// Whether a name is one that templates see, followed by names of parts.
fn is_bare(name: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut parts = name.split('.');
    parts.next().is_some_and(|root| ROOTS.contains(&root)) && parts.all(is_name)
}

/// Checks names that are only filled in.
fn check_bare(text: &str, names: Vec<Range<usize>>, scope: &Scope<'_>) -> Vec<Flaw> {
    let mut flaws = BTreeMap::new();
    for range in names {
        let parts: Vec<&str> = text[range.clone()].split('.').collect();
        if let Some(missing) = unknown(&parts, scope) {
            flaws.entry(parts).or_insert_with(|| missing.flaw(Some(range)));
        }
    }
    flaws.into_values().collect()
}

/// Checks a template that the engine parses.
fn check_parsed(text: &str, scope: &Scope<'_>) -> Vec<Flaw> {
    let environment = engine::of(Kind::Plain);
    let template = match environment.template_from_str(text) {
        Ok(template) => template,
        Err(error) => {
            return vec![Flaw {
                kind: FlawKind::Syntax,
                range: error.range(),
                message: format!("the template cannot be read: {}", plain(&error)),
                help: "a value is filled in by `{{ name }}`; text that is no template stands between `{% raw %}` and `{% endraw %}`".to_owned(),
            }];
        }
    };
    // Names that are not the template's own, each without its subscripts.
    let mut free: BTreeSet<String> = template.undeclared_variables(true).into_iter().collect();
    free.retain(|name| !is_engines(environment, name));
    let mut unplaced = free.clone();
    let mut flaws = BTreeMap::new();
    let found = words(text);
    for name in found.names {
        let dotted = name.parts[..name.dotted].join(".");
        if !free.contains(&dotted) {
            continue;
        }
        unplaced.remove(&dotted);
        let parts: Vec<&str> = name.parts.iter().map(String::as_str).collect();
        if let Some(missing) = unknown(&parts, scope).filter(|missing| !missing.is_excused(&name)) {
            flaws.entry(name.parts).or_insert_with(|| missing.flaw(Some(name.range)));
        }
    }
    // What only the engine can tell, as in `(params).day`.
    for name in unplaced {
        let parts: Vec<&str> = name.split('.').collect();
        if let Some(missing) = unknown(&parts, scope) {
            let parts = parts.into_iter().map(str::to_owned).collect();
            flaws.entry(parts).or_insert_with(|| missing.flaw(None));
        }
    }
    let words = found.words.into_iter().filter_map(|word| unknown_word(word, text, environment));
    flaws.into_values().chain(words).collect()
}

/// Whether a name is a function of the engine.
fn is_engines(environment: &Environment<'_>, name: &str) -> bool {
    environment.globals().any(|(global, _)| global == name)
}

/// What is wrong with a filter or test, if something is.
fn unknown_word(word: Word, text: &str, environment: &Environment<'_>) -> Option<Flaw> {
    let name = &text[word.range.clone()];
    let (probe, kind, known, message) = match word.kind {
        WordKind::Filter => {
            (format!("0|{name}"), ErrorKind::UnknownFilter, FILTERS.as_slice(), "there is no filter `{}`")
        }
        WordKind::Test => {
            (format!("0 is {name}"), ErrorKind::UnknownTest, TESTS.as_slice(), "there is no test `{}`")
        }
    };
    if known.contains(&name) {
        return None;
    }
    let probed = environment.compile_expression(&probe).and_then(|expression| expression.eval(()));
    if probed.is_ok() || probed.is_err_and(|error| error.kind() != kind) {
        return None;
    }
    choose(name, known, message).map(|missing| missing.flaw(Some(word.range)))
}

/// What is wrong with a name, and what excuses it.
struct Missing {
    message: String,
    help: String,
    /// How many parts there are up to the missing one, if it need not be there.
    optional: Option<usize>,
}

impl Missing {
    fn new(message: String, help: impl Into<String>) -> Self {
        Self { message, help: help.into(), optional: None }
    }

    fn flaw(self, range: Option<Range<usize>>) -> Flaw {
        Flaw { kind: FlawKind::Name, range, message: self.message, help: self.help }
    }

    /// Whether the template says what holds without a value where it uses the name: by
    /// `| default(…)`, or by asking whether there is one.
    fn is_excused(&self, name: &Name) -> bool {
        self.optional.is_some_and(|optional| {
            let has_default = name.has_default && optional == name.parts.len();
            has_default || name.tested.holds(&name.parts[..optional])
        })
    }
}

/// What is wrong with a name such as `params.day`, if something is.
fn unknown(parts: &[&str], scope: &Scope<'_>) -> Option<Missing> {
    let (root, rest) = parts.split_first()?;
    let Some((part, inner)) = rest.split_first() else {
        return choose(root, &ROOTS, "templates know no `{}`");
    };
    if scope.open.contains(root) {
        return None;
    }
    match (*root, *part) {
        ("job", "name") => no_parts("job.name", inner),
        ("job", "labels") => {
            let (label, inner) = inner.split_first()?;
            if scope.labels.contains_key(*label) {
                return no_parts(&format!("job.labels.{label}"), inner);
            }
            let missing = choose(label, &keys(scope.labels), "the job has no label `{}`")?;
            Some(Missing { optional: Some(3), ..missing })
        }
        ("job", part) => choose(part, &["name", "labels"], "`job` has no `{}`"),
        ("fire_time", part) => choose(part, &FIRE_TIME, "`fire_time` has no `{}`")
            .or_else(|| no_parts(&format!("fire_time.{part}"), inner)),
        ("params", part) => match scope.params.get(part) {
            Some(value) => missing_part(value, parts, 2),
            None => {
                let missing = choose(part, &keys(scope.params), "the job has no parameter `{}`")?;
                Some(Missing { optional: Some(2), ..missing })
            }
        },
        ("secrets", part) if scope.secrets.is_empty() => Some(Missing::new(
            format!("the secret `{part}` cannot be used here"),
            "secrets are environment variables of child processes; templates see them in `http` only",
        )),
        ("secrets", part) => choose(part, scope.secrets, "the job has no secret `{}`")
            .or_else(|| no_parts(&format!("secrets.{part}"), inner)),
        ("steps", part) if !scope.steps.contains(&part) => Some(Missing::new(
            format!("the step `{part}` is not done before this one"),
            if scope.steps.is_empty() {
                format!("add `needs: [{part}]` to the step")
            } else {
                format!("add `{part}` to its `needs`; before it come {}", listed(scope.steps))
            },
        )),
        ("steps", step) => match inner.split_first() {
            None | Some((&"json", _)) => None,
            Some((part, inner)) => choose(part, &STEP, "a step has no `{}`")
                .or_else(|| no_parts(&format!("steps.{step}.{part}"), inner)),
        },
        (root @ ("run_id" | "attempt"), _) => no_parts(root, rest),
        _ => choose(root, &ROOTS, "templates know no `{}`"),
    }
}

/// What is wrong with asking a text or a number for a part.
fn no_parts(what: &str, inner: &[&str]) -> Option<Missing> {
    let part = inner.first()?;
    Some(Missing::new(
        format!("`{what}` has no `{part}`"),
        format!("it is one value: write `{{{{ {what} }}}}`"),
    ))
}

/// What is wrong with a path into a parameter, of which so many parts lead to this value; none when
/// nothing is.
fn missing_part(value: &Json, parts: &[&str], known: usize) -> Option<Missing> {
    let (path, inner) = (parts[..known].join("."), &parts[known..]);
    let part = inner.first()?;
    let missing = match value {
        Json::Object(map) => match map.get(*part) {
            Some(value) => return missing_part(value, parts, known + 1),
            None => {
                let keys: Vec<&str> = map.keys().map(String::as_str).collect();
                choose(part, &keys, &format!("`{path}` has no `{{}}`"))?
            }
        },
        Json::Array(_) => {
            Missing::new(format!("`{path}` has no `{part}`"), format!("it is a list: write `{path}[0]`"))
        }
        _ => no_parts(&path, inner)?,
    };
    Some(Missing { optional: Some(known + 1), ..missing })
}

fn keys<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

/// What is wrong with a name that is none of the known ones.
fn choose(name: &str, known: &[&str], message: &str) -> Option<Missing> {
    if known.contains(&name) {
        return None;
    }
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there are none in this manifest".to_owned(),
        None => format!("there is {}", listed(known)),
    };
    Some(Missing::new(message.replace("{}", name), help))
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn flaws_in(text: &str, scope: &Scope<'_>, expected: &[&str]) {
        let found: Vec<String> =
            check(text, scope).into_iter().map(|flaw| format!("{} | {}", flaw.message, flaw.help)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[track_caller]
    fn flaws(text: &str, expected: &[&str]) {
        let params = BTreeMap::from([
            ("day".to_owned(), json!("monday")),
            ("to".to_owned(), json!({"mail": "a@b.c", "list": [1]})),
        ]);
        let labels = BTreeMap::from([("team".to_owned(), "billing".to_owned())]);
        let scope = Scope { params: &params, labels: &labels, steps: &["extract"], secrets: &[], open: &[] };
        flaws_in(text, &scope, expected);
    }

    #[test]
    fn names_table() {
        flaws(
            "{{ params.day }} {{ fire_time.date }} {{ job.labels.team }} {{ steps.extract.json.a.b }}",
            &[],
        );
        flaws("{{ params.dya }}", &["the job has no parameter `dya` | did you mean `day`?"]);
        flaws("{{ parms.day }}", &["templates know no `parms` | did you mean `params`?"]);
        flaws("{{ fire_time.dat }}", &["`fire_time` has no `dat` | did you mean `date`?"]);
        flaws(
            "{{ steps.load.output }}",
            &[
                "the step `load` is not done before this one | add `load` to its `needs`; before it come `extract`",
            ],
        );
        flaws(
            "{{ secrets.X }}",
            &[
                "the secret `X` cannot be used here | secrets are environment variables of child processes; templates see them in `http` only",
            ],
        );
    }

    /// Whether a template is told without the engine; either way it says the same.
    #[track_caller]
    fn bare(text: &str, expected: bool) {
        let params = BTreeMap::from([("day".to_owned(), json!({"a": 1}))]);
        let labels = BTreeMap::new();
        let scope = Scope {
            params: &params,
            labels: &labels,
            steps: &["extract"],
            secrets: &["X"],
            open: &["steps"],
        };
        assert_eq!(bare_names(text).is_some(), expected, "{text}");
        assert_eq!(check(text, &scope), check_parsed(text, &scope), "{text}");
    }

    #[test]
    #[rustfmt::skip]
    fn bare_names_are_told_as_the_engine_tells_them() {
        bare("{{ params.day }}", true);           bare("{{params.day.a}}-{{  run_id }}", true);
        bare("{{ params.nope }}{{ job.x }}", true); bare("{ {{ fire_time.dat }} }", true);
        bare("{{ steps.extract.nope.x }} }}", true); bare("{{ params }}{{ job }}{{ secrets.Y }}", true);
        bare("{{ params.if }}{{ params.not.is }}", true); bare("{{ job.labels._a1 }}{", true);
        bare("{{ params.day.a.b }}{{ params.day.b }}{{ params.day }}", true);
        bare("{{ parms.day }}", false);           bare("{{ true }}{{ none }}", false);
        bare("{{ params['day'] }}", false);       bare("{{ params.day | upper }}", false);
        bare("{{ params.0 }}", false);            bare("{{- params.day -}}", false);
        bare("{{{ params.day }}}", false);        bare("{{ params.day", false);
        bare("{{ params. day }}", false);         bare("{{ }}", false);
        bare("{{ params.dåy }}", false);          bare("{{ params.day\n}}", false);
        bare("{# {{ params.day }} #}", true);     bare("{% raw %}{{ params.x }}{% endraw %}", false);
        bare("{{ params.day }}{%", false);        bare("{{ params.day }}{{", false);
        bare("{{ params.day. }}", false);         bare("{{ .day }}", false);
    }

    #[test]
    fn a_path_is_followed_to_its_end() {
        flaws("{{ params.to.mail }} {{ params.to.list[0] }} {{ steps.extract.output }}", &[]);
        flaws("{{ params.to.mial }}", &["`params.to` has no `mial` | did you mean `mail`?"]);
        flaws("{{ params.day.x }}", &["`params.day` has no `x` | it is one value: write `{{ params.day }}`"]);
        flaws(
            "{{ params.to.list.x }}",
            &["`params.to.list` has no `x` | it is a list: write `params.to.list[0]`"],
        );
        flaws("{{ job.name.foo }}", &["`job.name` has no `foo` | it is one value: write `{{ job.name }}`"]);
        flaws("{{ job.labels.taem }}", &["the job has no label `taem` | did you mean `team`?"]);
        flaws(
            "{{ job.labels.team.x }}",
            &["`job.labels.team` has no `x` | it is one value: write `{{ job.labels.team }}`"],
        );
        flaws(
            "{{ fire_time.date.x }}",
            &["`fire_time.date` has no `x` | it is one value: write `{{ fire_time.date }}`"],
        );
        flaws("{{ attempt.x }}", &["`attempt` has no `x` | it is one value: write `{{ attempt }}`"]);
        flaws(
            "{{ steps.extract.output.x }}",
            &["`steps.extract.output` has no `x` | it is one value: write `{{ steps.extract.output }}`"],
        );
    }

    #[test]
    fn what_has_a_default_need_not_be_there() {
        flaws(
            "{{ params.nope | default('x') }}{{ params.to.nope|d(1) }}{{ job.labels.nope | default('') }}",
            &[],
        );
        flaws("{% if params.nope is defined %}{{ params.nope }}{% endif %}", &[]);
        flaws("{% if job.labels.nope is not undefined %}{{ job.labels.nope }}{% endif %}", &[]);
        flaws(
            "{{ params.nope.x | default('x') }}",
            &["the job has no parameter `nope` | there is `day`, `to`"],
        );
        flaws(
            "{{ params.nope | defaults('x') }}",
            &[
                "the job has no parameter `nope` | there is `day`, `to`",
                "there is no filter `defaults` | did you mean `default`?",
            ],
        );
    }

    #[test]
    fn a_default_and_a_test_hold_where_they_stand() {
        let missing = "the job has no parameter `nope` | there is `day`, `to`";
        flaws("{{ params.nope }} {{ params.nope | default(1) }}", &[missing]);
        flaws("{{ params.nope | default(1) }} {{ params.nope }}", &[missing]);
        flaws("{{ params.nope is defined }}{{ params.nope }}", &[missing]);
        flaws("{% if params.nope is defined %}{% endif %}{{ params.nope }}", &[missing]);
        flaws("{{ params.nope if params.nope is defined else 1 }}", &[]);
        flaws("{% if params.nope is not defined %}1{% else %}{{ params.nope.x }}{% endif %}", &[]);
        flaws("{% if attempt > 1 and params['nope'] is defined %}{{ params.nope }}{% endif %}", &[]);
        // The test is not about what is missing.
        flaws(
            "{% if params.to is defined %}{{ params.to.mial }}{% endif %}",
            &["`params.to` has no `mial` | did you mean `mail`?"],
        );
        let at = |text: &str| {
            let none = (BTreeMap::new(), BTreeMap::new());
            let scope = Scope { params: &none.0, labels: &none.1, steps: &[], secrets: &[], open: &[] };
            check(text, &scope)[0].range.clone()
        };
        assert_eq!(at("{{ params.a | default(1) }}{{ params.a }}"), Some(30..38));
        assert_eq!(at("{{ (params).a }}"), None);
    }

    #[test]
    fn a_part_may_be_a_subscript() {
        flaws("{{ params['day'] }}{{ params[\"to\"]['mail'] }}{{ steps['extract'].json['a'] }}", &[]);
        flaws("{{ params['nope'] | default(1) }}{{ params[run_id] }}{{ params.to.list[0].x }}", &[]);
        flaws(
            "{{ params['nope'] }} {{ secrets['X'] }} {{ steps['zz'].output }} {{ fire_time['foo'] }}",
            &[
                "`fire_time` has no `foo` | there is `date`, `time`, `unix`, `iso`, `year`, `month`, `day`, `hour`, `minute`",
                "the job has no parameter `nope` | there is `day`, `to`",
                "the secret `X` cannot be used here | secrets are environment variables of child processes; templates see them in `http` only",
                "the step `zz` is not done before this one | add `zz` to its `needs`; before it come `extract`",
            ],
        );
        flaws("{{ params.to['mial'] }}", &["`params.to` has no `mial` | did you mean `mail`?"]);
        flaws("{{ params['to'].mial }}", &["`params.to` has no `mial` | did you mean `mail`?"]);
        flaws("{{ parms['day'] }}", &["templates know no `parms` | did you mean `params`?"]);
        flaws("{% for job in params.to.list %}{{ job['x'] }}{% endfor %}", &[]);
    }

    #[test]
    fn filters_tests_and_functions_exist() {
        flaws("{{ params.day | upper | trim }}{% if attempt is odd %}{% endif %}", &[]);
        flaws("{% for i in range(3) %}{{ loop.index }}{{ i }}{% endfor %}", &[]);
        flaws("{{ params.day | urlencode }}", &[]);
        flaws("{{ params.day | urlencod }}", &["there is no filter `urlencod` | did you mean `urlencode`?"]);
        flaws("{{ params.day | uper }}", &["there is no filter `uper` | did you mean `upper`?"]);
        flaws("{% if attempt is evne %}{% endif %}", &["there is no test `evne` | did you mean `even`?"]);
        flaws(
            "{{ rnage(3) }}",
            &[
                "templates know no `rnage` | there is `job`, `fire_time`, `run_id`, `attempt`, `params`, `steps`, `secrets`",
            ],
        );
    }

    #[test]
    fn a_line_for_a_shell_is_checked_for_more() {
        let none = (BTreeMap::new(), BTreeMap::new());
        let scope =
            Scope { params: &none.0, labels: &none.1, steps: &[], secrets: &[], open: &["params", "job"] };
        let told = |text: &str| -> Vec<(FlawKind, Option<Range<usize>>)> {
            check_line(text, &scope).into_iter().map(|flaw| (flaw.kind, flaw.range)).collect()
        };
        assert_eq!(told("echo {{ run_id }} '{% raw %}{{ x }}{% endraw %}'"), []);
        assert_eq!(told("echo '{{ run_id }}'"), [(FlawKind::Shell, Some(6..18))]);
        assert_eq!(told("echo '{{ run_id '"), [(FlawKind::Syntax, Some(17..18))]);
        assert_eq!(told("echo {{ run_id | e }}"), [(FlawKind::Name, Some(17..18))]);
        assert_eq!(check("echo '{{ run_id | e }}'", &scope), []);
    }

    #[test]
    fn what_would_be_filled_in_is_told_from_templates_of_others() {
        for (text, expected) in [
            ("on {{ fire_time.date }} and {{ run_id }}", Some(3..23)),
            ("{{ x }}{{ params['a'] | upper }}", Some(7..32)),
            ("{{.Names}}", None),
            ("{{ .ID }} {{ name }}", None),
            ("{{ params", None),
            ("{% raw %}{{ params.x }}{% endraw %}", None),
        ] {
            assert_eq!(would_fill(text), expected, "{text}");
        }
    }

    #[test]
    fn a_template_stands_by_itself() {
        for text in ["{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as x %}", "{{ a"] {
            let none = (BTreeMap::new(), BTreeMap::new());
            let scope = Scope { params: &none.0, labels: &none.1, steps: &[], secrets: &[], open: &[] };
            let flaws = check(text, &scope);
            assert_eq!(flaws.iter().map(|flaw| flaw.kind).collect::<Vec<_>>(), [FlawKind::Syntax], "{text}");
        }
    }

    #[test]
    fn of_what_is_not_known_nothing_is_missed() {
        let none = (BTreeMap::new(), BTreeMap::new());
        let scope =
            Scope { params: &none.0, labels: &none.1, steps: &[], secrets: &[], open: &["params", "job"] };
        flaws_in("{{ params.a.b }}{{ job.labels.x }}", &scope, &[]);
        flaws_in("{{ parms.a }}", &scope, &["templates know no `parms` | did you mean `params`?"]);
    }

    #[test]
    fn what_is_suggested_exists() {
        let environment = engine::of(Kind::Plain);
        for (name, kind, text) in FILTERS
            .iter()
            .map(|name| (name, ErrorKind::UnknownFilter, format!("0|{name}")))
            .chain(TESTS.iter().map(|name| (name, ErrorKind::UnknownTest, format!("0 is {name}"))))
        {
            let probed = environment.compile_expression(&text).and_then(|expression| expression.eval(()));
            assert!(!probed.is_err_and(|error| error.kind() == kind), "{name}");
        }
    }
}
