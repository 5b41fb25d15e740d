//! On the shape of a file, `tintal`, Python's check-jsonschema and Node's ajv agree: the three
//! programs read the same YAML files, which are the examples, a corpus of good files, and mutations
//! of each. What differs by intention is a table in here, and a section of the guide.

#![cfg(feature = "servers")]
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::Tree;
use serde_json::{Value, json};

/// Which files have the shape that their schema asks for, by name.
type Verdicts = BTreeMap<String, bool>;

/// Manifests to begin with; each is mutated in every place.
const JOBS: &[&str] = &[
    r#"{"name": "a", "run": {"command": ["echo", "hi"]}}"#,
    r#"{"tier": "queue", "fallback": "hold", "queue": {"backend": "embedded", "name": "abc", "expire_after": "1h"}, "run": {"message": {"workflow": "w", "workflow_provider": "p", "context": {"a": [1]}, "metadata": {}}}}"#,
    r#"{"schedule": {"cron": "@daily", "timezone": "Europe/Berlin", "dst": {"gap": "skip", "overlap": "both"}, "day_match": "all", "jitter": "5m", "start": "2026-01-01T00:00:00Z"}, "run": {"shell": "true", "cwd": "/", "env": {"A": "b"}, "secrets": {"T": {"env": "T"}}}, "enabled": false}"#,
    r#"{"schedule": [{"every": "30s"}, {"at": "2026-12-24T18:00:00+01:00"}], "run": {"http": {"method": "POST", "url": "https://example.com", "headers": {"X-A": "b"}, "body": {"a": [1]}, "expect": {"status": [200], "body_contains": "ok"}}}}"#,
    r#"{"run": {"steps": [{"id": "a", "command": ["x"]}, {"id": "b", "needs": ["a"], "shell": "y", "timeout": "5m", "retry": {"max_attempts": 3}}]}, "params": {"n": 1, "t": [true, null]}, "labels": {"team": "x"}}"#,
    r#"{"run": {"builtin": {"noop": {}}}, "characteristics": {"visibility": "user-facing", "durability": "persistent", "infrastructure": "distributed", "frequency": "low", "complexity": "simple"}, "tier": "workflow", "policy": {"overlap": "allow", "max_running": 3, "timeout": "1h", "kill_grace": "10s", "retry": {"max_attempts": 2, "backoff": "fixed", "initial": "1s", "factor": 1.5, "max": "1m", "jitter": 0.5, "on": ["timeout", "http-5xx"]}}, "tests": [{"after": "2026-01-01T00:00:00Z", "fires": []}]}"#,
];

/// Defaults to begin with.
const DEFAULTS: &[&str] = &[
    r#"{"kind": "defaults"}"#,
    r#"{"kind": "defaults", "fallback": "degrade", "queue": {"backend": "embedded", "name": "abc", "expire_after": "1h"}, "labels": {"team": "x"}, "enabled": true, "schedule": {"timezone": "UTC", "dst": {"gap": "shift"}, "jitter": "1m", "day_match": "any"}, "run": {"cwd": "/tmp", "env": {"A": "b"}, "secrets": {"T": {"file": "/t"}}}, "params": {"n": [1, "x"]}, "characteristics": {"durability": "persistent"}, "tier": "queue", "policy": {"timeout": "5m", "retry": {"max_attempts": 4}}}"#,
];

/// Settings to begin with.
const SETTINGS: &[&str] = &[
    r#"{"queue": {"backend": "main", "name": "reports", "keys": [{"id": "a", "secret": {"env": "K"}}], "backends": {"main": {"redis-streams": {"url": "redis://h", "password": {"env": "P"}, "tls": {"ca": "c"}, "dedupe": "1h"}}, "hot": {"nats": {"servers": ["nats://h"], "replicas": 3}}, "big": {"kafka": {"brokers": ["h:1"], "partitions": 2}}}, "worker": {"concurrency": 4}, "dead_letters": {"max": 5}}}"#,
    r#"{"queue": {"backends": {"a": {"rabbitmq": {"url": "amqp://h", "heartbeat": "5s"}}, "b": {"pubsub": {"project": "p", "ordering": false}}, "c": {"cloud-tasks": {"project": "p", "location": "l", "target_url": "https://h/t", "listen": "127.0.0.1:1"}}}}}"#,
    r#"{"jobs": "jobs.d", "state": ".tintal", "ledger": "memory", "watch": "poll", "shutdown_timeout": "5s", "log": {"format": "json", "level": "debug"}, "history": {"keep_last": 5, "max_age": "30d"}}"#,
];

/// What YAML has besides JSON. All three agree on each.
const YAML: &[&str] = &[
    "run: {shell: a}\nenabled: yes\n",
    "run: {shell: a}\nenabled: True\n",
    "run: {shell: NO}\n",
    "run: {shell: ~}\n",
    "run:\n",
    "run: {shell: 014}\n",
    "run: {shell: 0x1f}\n",
    "run: {shell: 12:30}\n",
    "run: {shell: 1e3}\n",
    "run: {shell: 1.}\n",
    "run: {shell: +1}\n",
    "run: {shell: 2026-12-24}\n",
    "run: {shell: a}\nschedule: {at: 2026-12-24T18:00:00Z}\n",
    "run: {shell: a}\npolicy: {max_running: 0x10}\n",
    "run: {shell: a}\npolicy: {max_running: 0o17}\n",
    "run: {shell: a}\npolicy: {max_running: 3.0}\n",
    "run: {shell: a}\npolicy: {max_running: '3'}\n",
    "run: {shell: !!str 5}\n",
    "run: {shell: !!int 5}\n",
    "run:\n  shell: |\n    a\n    b\n",
    "run:\n  shell: >-\n    a\n    b\n",
    "run: {shell: 'it''s'}\n",
    "run: {shell: \"\\u00e9\"}\n",
    "run: {shell: a}\nrun: {shell: b}\n",
    "run: {shell: a, shell: b}\n",
    "run: &r {shell: a}\nparams: {p: *r}\n",
    "params: {base: &b {A: x}}\nrun: {shell: a, env: {<<: *b, B: y}}\n",
    "params: {base: &b {nope: x}}\nrun: {<<: *b, shell: a}\n",
    "run: {shell: a}\nparams: {1: x}\n",
    "run: {shell: *nope}\n",
    "run: [shell, a\n",
    "run:\n\tshell: a\n",
    "\u{feff}run: {shell: a}\n",
    "run: {shell: a}\r\nenabled: true\r\n",
    "---\nrun: {shell: a}\n...\n",
    "# only a comment\n",
    "? run\n: {shell: a}\n",
    "labels: {a: 'x'}\nrun: {command: [a, \"b\", 'c']}\n",
    "run: {shell: größe}\nname: größe\n",
];

/// What differs by intention: a file, and what `tintal`, check-jsonschema and ajv say of its shape.
/// `docs/guide.md` says why.
const INTENDED: &[(&str, [bool; 3])] = &[
    ("run: {shell: 0b11}\n", [true, false, true]),
    ("run: {shell: 1_0}\n", [true, false, true]),
    ("run: {shell: a}\nparams: {n: .inf}\n", [false, true, true]),
    ("run: {shell: a}\nparams: {n: .NaN}\n", [false, true, true]),
    ("run: {shell: a}\nparams: {n: 99999999999999999999}\n", [false, true, true]),
    ("run: {shell: a}\nparams: {n: 1e400}\n", [false, true, true]),
    ("run: {shell: a}\nparams: !!omap [a: 1]\n", [false, true, true]),
    ("run: {shell: a}\nparams: {n: !mine x}\n", [false, false, true]),
    ("%YAML 1.2\n---\nrun: {shell: a}\n", [false, true, true]),
];

/// Values that take the place of others.
fn strangers() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(3.0),
        json!(""),
        json!("x"),
        json!([]),
        json!({}),
        json!(["x"]),
        json!({"x": 1}),
    ]
}

/// Every value with one place changed: replaced, removed, or joined by a stranger.
fn mutations(value: &Value) -> Vec<Value> {
    let mut out = strangers();
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                for changed in mutations(inner) {
                    let mut copy = map.clone();
                    copy.insert(key.clone(), changed);
                    out.push(Value::Object(copy));
                }
                let mut copy = map.clone();
                copy.remove(key);
                out.push(Value::Object(copy.clone()));
                copy.insert(format!("{key}x"), inner.clone());
                out.push(Value::Object(copy));
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                for changed in mutations(inner) {
                    let mut copy = items.clone();
                    copy[index] = changed;
                    out.push(Value::Array(copy));
                }
                let mut copy = items.clone();
                copy.remove(index);
                out.push(Value::Array(copy));
            }
        }
        _ => {}
    }
    out
}

/// A file that is compared.
#[derive(Debug, Clone)]
struct Case {
    text: String,
    /// Its documents: the others read one a file.
    parts: Vec<String>,
}

impl Case {
    fn of(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { parts: vec![text.clone()], text }
    }

    fn of_file(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let parts = text.split("\n---\n").map(|part| format!("{part}\n")).collect();
        Self { text, parts }
    }
}

/// Good files of one schema and their mutations, written in several ways.
fn corpus(seeds: &[&str]) -> Vec<Case> {
    let seeds: Vec<Value> = seeds.iter().map(|seed| serde_json::from_str(seed).unwrap()).collect();
    let mutated = seeds.iter().flat_map(mutations);
    seeds
        .iter()
        .cloned()
        .chain(mutated)
        .enumerate()
        .map(|(index, value)| {
            Case::of(match index % 3 {
                0 => value.to_string(),
                1 => serde_yaml::to_string(&value).unwrap(),
                _ => format!("{value:#}\n"),
            })
        })
        .collect()
}

/// Every YAML file under the directories of this repository that hold some, sorted.
fn files_of_this_repository() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open = vec![root.join("examples"), root.join("jobs.d")];
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn is_defaults(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "_defaults.yaml")
}

fn is_settings(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tintal.yaml")
}

fn schema(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.schema.json"))
}

/// Whether a problem of this kind is one of YAML or of shape.
fn is_of_shape(code: &str) -> bool {
    ("TIN001"..="TIN016").contains(&code)
}

/// What `tintal validate` says of cases, each written to `name` of the case's own directory.
fn tintal(cases: &[Case], name: &str) -> Vec<bool> {
    let tree = Tree::new();
    for (index, case) in cases.iter().enumerate() {
        tree.write(&format!("jobs.d/{index}/{name}"), &case.text);
    }
    let report = tree.json(&["validate", "--format", "json"]);
    assert_eq!(report["files"], cases.len());
    let mut verdicts = vec![true; cases.len()];
    for problem in report["problems"].as_array().unwrap() {
        let index: usize = problem["file"].as_str().unwrap().split('/').nth(1).unwrap().parse().unwrap();
        verdicts[index] &= !is_of_shape(problem["code"].as_str().unwrap());
    }
    verdicts
}

/// What `tintal config` says of settings.
fn tintal_config(cases: &[Case]) -> Vec<bool> {
    let tree = Tree::new();
    let verdict = |case: &Case| {
        tree.write("tintal.yaml", &case.text);
        let said = tree.run(&["config"]).stderr;
        let codes = said.split_whitespace().filter(|word| word.starts_with("TIN"));
        codes.filter(|code| is_of_shape(code)).count() == 0
    };
    cases.iter().map(verdict).collect()
}

/// What the two others say of cases: of each, whether all its parts are good.
fn others(cases: &[Case], schema: &Path) -> Vec<(&'static str, Vec<bool>)> {
    let tree = Tree::new();
    let directory = tree.path("corpus");
    fs::create_dir(&directory).unwrap();
    for (index, case) in cases.iter().enumerate() {
        for (part, text) in case.parts.iter().enumerate() {
            fs::write(directory.join(format!("{index}-{part}.yaml")), text).unwrap();
        }
    }
    let of_cases = |verdicts: Verdicts| {
        let mut all = vec![true; cases.len()];
        assert_eq!(verdicts.len(), cases.iter().map(|case| case.parts.len()).sum::<usize>());
        for (name, good) in verdicts {
            all[name.split_once('-').unwrap().0.parse::<usize>().unwrap()] &= good;
        }
        all
    };
    vec![
        ("check-jsonschema", of_cases(python(schema, &directory))),
        ("ajv", of_cases(node(schema, &directory))),
    ]
}

fn python(schema: &Path, directory: &Path) -> Verdicts {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.collect();
    let output = Command::new(env::var("TEST_CHECK_JSONSCHEMA").unwrap())
        .args(["--output-format", "json", "--schemafile"])
        .arg(schema)
        .args(&files)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut verdicts: Verdicts = files.iter().map(|file| (name(file), true)).collect();
    for list in ["errors", "parse_errors"] {
        for error in report[list].as_array().into_iter().flatten() {
            verdicts.insert(name(Path::new(error["filename"].as_str().unwrap())), false);
        }
    }
    verdicts
}

fn node(schema: &Path, directory: &Path) -> Verdicts {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/verdicts.cjs");
    let output = Command::new("node")
        .args([&script, schema, directory])
        .env("NODE_PATH", env::var("TEST_NODE_MODULES").unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All three say the same of every case.
#[track_caller]
fn agree(cases: &[Case], ours: &[bool], schema: &Path) {
    let good = ours.iter().filter(|good| **good).count();
    assert!(good > 0, "no case is good");
    for (name, verdicts) in others(cases, schema) {
        let differ: Vec<String> = (0..cases.len())
            .filter(|&index| verdicts[index] != ours[index])
            .map(|index| format!("{name} says {}:\n{}", verdicts[index], cases[index].text))
            .collect();
        assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), cases.len(), differ.join("\n"));
    }
}

#[test]
fn three_programs_agree_on_every_job() {
    let mut cases = corpus(JOBS);
    assert!(cases.len() > 1_000, "{}", cases.len());
    cases.extend(YAML.iter().copied().map(Case::of));
    let files = files_of_this_repository();
    cases.extend(
        files.iter().filter(|path| !is_defaults(path) && !is_settings(path)).map(|path| Case::of_file(path)),
    );
    assert!(cases.iter().any(|case| case.parts.len() > 1));
    let ours = tintal(&cases, "job.yaml");
    assert!(ours.iter().filter(|good| **good).count() > 100);
    agree(&cases, &ours, &schema("job"));
}

#[test]
fn three_programs_agree_on_every_file_of_defaults() {
    let mut cases = corpus(DEFAULTS);
    let files = files_of_this_repository();
    cases.extend(files.iter().filter(|path| is_defaults(path)).map(|path| Case::of_file(path)));
    let ours = tintal(&cases, "_defaults.yaml");
    agree(&cases, &ours, &schema("defaults"));
}

#[test]
fn three_programs_agree_on_every_file_of_settings() {
    // Which words name a level is no matter of shape: a list of `target=level` is one too.
    let mut cases: Vec<Case> =
        corpus(SETTINGS).into_iter().filter(|case| !is_a_level_of_its_own(&case.text)).collect();
    let files = files_of_this_repository();
    cases.extend(files.iter().filter(|path| is_settings(path)).map(|path| Case::of_file(path)));
    let ours = tintal_config(&cases);
    agree(&cases, &ours, &schema("settings"));
}

/// Whether settings have the level `x`, which a mutation makes of any text.
fn is_a_level_of_its_own(text: &str) -> bool {
    let plain: String = text.chars().filter(|char| !"\" ".contains(*char)).collect();
    ["level:x\n", "level:x,", "level:x}"].iter().any(|wrong| plain.contains(wrong))
}

#[test]
fn what_differs_by_intention_differs_as_the_guide_says() {
    let cases: Vec<Case> = INTENDED.iter().map(|(text, _)| Case::of(*text)).collect();
    let ours = tintal(&cases, "job.yaml");
    let others = others(&cases, &schema("job"));
    let said: Vec<(&str, [bool; 3])> = (0..cases.len())
        .map(|index| (INTENDED[index].0, [ours[index], others[0].1[index], others[1].1[index]]))
        .collect();
    assert_eq!(said, INTENDED);
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide.md")).unwrap();
    for sign in ["`0b11`", "`1_0`", "`.inf`", "`.NaN`", "64 bits", "`1e400`", "`!!omap`", "`%YAML`"] {
        assert!(guide.contains(sign), "{sign}");
    }
}
