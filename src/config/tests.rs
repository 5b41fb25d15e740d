//! The layers of the settings, from a real file, an environment and flags.

use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt as _, path::Path};

use serde_json::Value;

use super::{FileWanted, Flags, Settings, SettingsError, file::SettingsFile, load};
use crate::manifest::{problem::Problem, schema};

/// Loads a file (no file when it is empty), variables and flags (`key=value` words).
pub(super) fn settings(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[&str],
) -> Result<Settings, SettingsError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tintal.yaml");
    fs::write(&path, file).unwrap();
    let values = flags.iter().map(|word| {
        let (key, value) = word.split_once('=').unwrap();
        let key = super::layers::KEYS.into_iter().find(|known| *known == key).unwrap();
        (key, "--flag", OsString::from(value))
    });
    let file = if file.is_empty() { FileWanted::Usual } else { FileWanted::Named(path) };
    let flags = Flags { file, values: values.collect() };
    load(&flags, variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
}

/// A problem in one line, its file by its last name.
fn line(problem: &Problem) -> String {
    let path = Path::new(&problem.primary.place.source.path).file_name().unwrap_or_default();
    let place = problem.start();
    let help = problem.help.as_deref().unwrap_or_default();
    format!("{}:{}:{} {} ({help})", path.display(), place.line, place.column, problem.message)
}

#[track_caller]
pub(super) fn check(file: &str, variables: &[(&str, &str)], flags: &[&str], expected: &[&str]) {
    let lines: Vec<String> = match settings(file, variables, flags) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.iter().map(line).collect(),
    };
    assert_eq!(lines, expected, "file {file:?}, variables {variables:?}, flags {flags:?}");
}

const LEVELS: &str =
    "the levels are `off`, `error`, `warn`, `info`, `debug`, `trace`; a target stands before a `=`";

#[test]
fn a_misspelt_level_is_told_where_it_stands() {
    check(
        "log:\n  level: inof\n",
        &[],
        &[],
        &["tintal.yaml:2:10 `inof` is no level of the log (did you mean `info`?)"],
    );
    let loud = format!("TINTAL_LOG__LEVEL:1:1 `loud` is no level of the log ({LEVELS})");
    check("", &[("TINTAL_LOG__LEVEL", "loud")], &[], &[&loud]);
    check(
        "",
        &[],
        &["log.level=a=b=c"],
        &[
            "--flag:1:1 `a=b=c` has more than one `=` (write a level, or a list as in `warn,tintal::engine=debug`)",
        ],
    );
    check("log: {level: \"warn,hyper=off\"}\n", &[], &[], &[]);
}

#[test]
fn variables_that_are_nearly_settings_are_told_the_right_name() {
    check(
        "",
        &[("TINTAL_LOG_FORMAT", "json")],
        &[],
        &[
            "TINTAL_LOG_FORMAT:1:1 there is no setting `TINTAL_LOG_FORMAT` (did you mean `TINTAL_LOG__FORMAT`?)",
        ],
    );
    check(
        "",
        &[("TINTAL_state", "a"), ("TINTAL_STATE", "b")],
        &[],
        &["TINTAL_state:1:1 there is no setting `TINTAL_state` (did you mean `TINTAL_STATE`?)"],
    );
    check(
        "",
        &[("TINTAL_STAET", "a"), ("TINTAL_THING", "b")],
        &[],
        &[
            "TINTAL_STAET:1:1 there is no setting `TINTAL_STAET` (did you mean `TINTAL_STATE`?)",
            "TINTAL_THING:1:1 there is no setting `TINTAL_THING` (`tintal config` lists the settings; a variable of another program is left out with `env -u TINTAL_THING`)",
        ],
    );
    check(
        "",
        &[("TINTAL_CONFIG", "")],
        &[],
        &[
            "TINTAL_CONFIG:1:1 `TINTAL_CONFIG` names no file: it is empty (name a file that can be read, or leave it out: every setting has a default)",
        ],
    );
    check("", &[("TINTAL_SERVICE_HOST", "10.0.0.1"), ("TINTAL_PORT", "tcp://10.0.0.1:80")], &[], &[]);
}

#[test]
fn unknown_keys_and_wrong_types_in_the_file_are_told() {
    check(
        "log:\n  colour: red\n",
        &[],
        &[],
        &["tintal.yaml:2:3 `log` has no field `colour` (the fields are `format` and `level`)"],
    );
    check(
        "jobs: [a]\nhistory:\n  keep_last: many\n  max_age: 30\nlog: text\n",
        &[],
        &[],
        &[
            "tintal.yaml:1:7 `jobs` takes text, not a list (write text)",
            "tintal.yaml:3:14 `keep_last` takes a whole number, not text (write a whole number)",
            "tintal.yaml:4:12 `max_age` takes text, not the number 30 (a duration has a unit, as in `30s` or `30m`)",
            "tintal.yaml:5:6 `log` takes a mapping, not text (write a mapping: `key: value` lines, indented)",
        ],
    );
}

#[test]
fn two_layers_fill_one_mapping() {
    let settings = settings(
        "log: {format: json, level: warn}\n",
        &[("TINTAL_LOG__LEVEL", "debug"), ("TINTAL_HISTORY__KEEP_LAST", "7")],
        &["state=s"],
    );
    let settings = settings.unwrap();
    let shown: Vec<String> = ["log.format", "log.level", "history.keep_last", "history.max_age", "state"]
        .into_iter()
        .map(|key| {
            let (value, origin) = &settings.origins[key];
            let origin = origin.to_string();
            format!("{key} {value} {}", origin.rsplit('/').next().unwrap())
        })
        .collect();
    assert_eq!(
        shown,
        [
            "log.format \"json\" tintal.yaml:1",
            "log.level \"debug\" TINTAL_LOG__LEVEL",
            "history.keep_last 7 TINTAL_HISTORY__KEEP_LAST",
            "history.max_age \"30d\" default",
            "state \"s\" --flag",
        ]
    );
}

/// A setting as `VALUE ORIGIN`, its file by its last name.
#[track_caller]
fn shown(settings: &Settings, key: &str) -> String {
    let (value, origin) = &settings.origins[key];
    format!("{value} {}", origin.to_string().rsplit('/').next().unwrap())
}

/// The fields of the settings that are whole numbers, with a value as a float and as it is used.
const WHOLE: [(&str, &str, u64); 4] = [
    ("history.keep_last", "1e3", 1_000),
    ("output.max_bytes", "1048576.0", 1_048_576),
    ("queue.worker.concurrency", "1e2", 100),
    ("queue.dead_letters.max", "5e4", 50_000),
];

#[test]
fn a_whole_number_may_be_written_as_a_float_in_every_layer() {
    for (key, float, whole) in WHOLE {
        let file = key.rsplit('.').fold(float.to_owned(), |inner, part| format!("{{{part}: {inner}}}"));
        let variable = format!("TINTAL_{}", key.replace('.', "__").to_uppercase());
        let flag = format!("{key}={float}");
        for (settings, origin) in [
            (settings(&file, &[], &[]), "tintal.yaml:1"),
            (settings("", &[(&variable, float)], &[]), variable.as_str()),
            (settings("", &[], &[&flag]), "--flag"),
        ] {
            let settings = settings.unwrap();
            let used = match key {
                "history.keep_last" => settings.keep_last as u64,
                "queue.worker.concurrency" => settings.queue.worker.concurrency as u64,
                "queue.dead_letters.max" => settings.queue.dead_letters.max as u64,
                _ => settings.output_bytes_max,
            };
            assert_eq!((used, shown(&settings, key)), (whole, format!("{whole} {origin}")), "{key}");
        }
    }
    check(
        "history: {keep_last: 1.5}\noutput: {max_bytes: 1e30}\n",
        &[],
        &[],
        &[
            "tintal.yaml:1:22 `keep_last` takes a whole number, not the number 1.5 (write a whole number)",
            "tintal.yaml:2:21 `max_bytes` is a number from 4096 to 1073741824, not 1e30 (write a number from 4096 to 1073741824)",
        ],
    );
}

#[test]
fn of_one_key_in_all_layers_the_flag_wins_and_then_the_variable() {
    let file = "history: {keep_last: 1}\njobs: of-file\n";
    let variables = [("TINTAL_HISTORY__KEEP_LAST", "2"), ("TINTAL_JOBS", "of-variable")];
    let flags = ["history.keep_last=3", "jobs=of-flag"];
    for (variables, flags, expected) in [
        (&variables[..], &flags[..], ["3 --flag", "\"of-flag\" --flag"]),
        (&variables, &[], ["2 TINTAL_HISTORY__KEEP_LAST", "\"of-variable\" TINTAL_JOBS"]),
        (&[], &[], ["1 tintal.yaml:1", "\"of-file\" tintal.yaml:2"]),
    ] {
        let settings = settings(file, variables, flags).unwrap();
        assert_eq!(["history.keep_last", "jobs"].map(|key| shown(&settings, key)), expected);
    }
}

#[test]
fn a_value_that_is_no_text_is_refused() {
    let value = OsString::from_vec(b"d\xff".to_vec());
    let by_variable = load(&Flags::default(), [("TINTAL_STATE".into(), value.clone())]);
    let flags = Flags { file: FileWanted::Usual, values: vec![("jobs", "--jobs", value)] };
    let lines = |result: Result<_, SettingsError>| -> Vec<String> {
        result.unwrap_err().problems.iter().map(line).collect()
    };
    let help = "settings are text; a path in them too: rename the directory, or link to it";
    assert_eq!(
        lines(by_variable),
        [format!("TINTAL_STATE:1:1 the value of `TINTAL_STATE` is not UTF-8 text ({help})")]
    );
    assert_eq!(
        lines(load(&flags, [])),
        [format!("--jobs:1:1 the value of `--jobs` is not UTF-8 text ({help})")]
    );
}

#[test]
fn a_text_counts_as_it_is_given() {
    for text in
        ["a #b", "'q'", "\"q\"", "!x y", "&a b", "*a", "- a", "a: b", "{a}", "null", "7", "1e3", " a "]
    {
        let quoted = Value::from(text);
        let by_flag = settings("", &[], &[&format!("state={text}")]).unwrap();
        assert_eq!(shown(&by_flag, "state"), format!("{quoted} --flag"));
        assert_eq!(by_flag.state, Path::new(text));
        let by_variable = settings("", &[("TINTAL_JOBS", text)], &[]).unwrap();
        assert_eq!(by_variable.jobs, Path::new(text));
    }
    check(
        "",
        &[("TINTAL_SHUTDOWN_TIMEOUT", "30"), ("TINTAL_STATE", ""), ("TINTAL_WATCH", "'auto'")],
        &[],
        &[
            "TINTAL_SHUTDOWN_TIMEOUT:1:1 `30` is not a duration (a duration has a unit, as in `30s` or `30m`)",
            "TINTAL_STATE:1:1 `state` is empty (write something, or leave the key out)",
            "TINTAL_WATCH:1:1 `watch` is one of `auto` or `poll`, not `'auto'` (did you mean `auto`?)",
        ],
    );
    check(
        "",
        &[("TINTAL_LOG", "debug")],
        &[],
        &[
            "TINTAL_LOG:1:1 `log` takes a mapping, not text (it has parts: set `TINTAL_LOG__FORMAT` or `TINTAL_LOG__LEVEL`)",
        ],
    );
    // What is no text is read as in the file.
    check("", &[("TINTAL_LOG", "{format: json}"), ("TINTAL_HISTORY__KEEP_LAST", "7 # days")], &[], &[]);
}

/// The keys of a schema's fields, those of mappings with a dot between.
pub(super) fn keys(root: &Value, schema: &Value, path: &str) -> Vec<String> {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(&reference[1..]).unwrap(),
        None => schema,
    };
    match schema["properties"].as_object() {
        Some(fields) => fields
            .iter()
            .flat_map(|(name, inner)| keys(root, inner, format!("{path}.{name}").trim_start_matches('.')))
            .collect(),
        None => vec![path.to_owned()],
    }
}

#[test]
fn every_field_of_the_schema_is_a_setting() {
    let schema = schema::generate::<SettingsFile>("settings");
    assert_eq!(keys(&schema, &schema, ""), super::layers::KEYS);
}

#[test]
fn every_whole_number_of_the_schema_is_in_the_table() {
    let schema = schema::generate::<SettingsFile>("settings");
    let is_whole = |key: &String| {
        let of_key = key.split('.').fold(&schema, |at, part| {
            let inner = &at["properties"][part];
            match inner["$ref"].as_str() {
                Some(reference) => schema.pointer(&reference[1..]).unwrap(),
                None => inner,
            }
        });
        of_key["type"] == "integer"
    };
    let whole: Vec<String> = keys(&schema, &schema, "").into_iter().filter(is_whole).collect();
    assert_eq!(whole, WHOLE.map(|(key, ..)| key));
}
