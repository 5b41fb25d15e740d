//! On the shape of a manifest, `tintal validate`, Python's check-jsonschema and Node's ajv agree:
//! on every example, and on a corpus of manifests and their mutations.

#![cfg(feature = "servers")]
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeMap, env, fs, path::Path, process::Command, sync::Arc};

use common::Tree;
use serde_json::{Value, json};
use tintal::manifest::{
    problem::SourceText,
    schema,
    shape::Shape,
    yaml::{Limits, compose},
};

/// Manifests to begin with; each is mutated in every place.
const SEEDS: &[&str] = &[
    r#"{"name": "a", "run": {"command": ["echo", "hi"]}}"#,
    r#"{"schedule": {"cron": "@daily", "timezone": "Europe/Berlin", "dst": {"gap": "skip", "overlap": "both"}, "day_match": "all", "jitter": "5m", "start": "2026-01-01T00:00:00Z"}, "run": {"shell": "true", "cwd": "/", "env": {"A": "b"}, "secrets": {"T": {"env": "T"}}}, "enabled": false}"#,
    r#"{"schedule": [{"every": "30s"}, {"at": "2026-12-24T18:00:00+01:00"}], "run": {"http": {"method": "POST", "url": "https://example.com", "headers": {"X-A": "b"}, "body": {"a": [1]}, "expect": {"status": [200], "body_contains": "ok"}}}}"#,
    r#"{"run": {"steps": [{"id": "a", "command": ["x"]}, {"id": "b", "needs": ["a"], "shell": "y", "timeout": "5m", "retry": {"max_attempts": 3}}]}, "params": {"n": 1, "t": [true, null]}, "labels": {"team": "x"}}"#,
    r#"{"run": {"builtin": {"noop": {}}}, "characteristics": {"visibility": "user-facing", "durability": "persistent", "infrastructure": "distributed", "frequency": "low", "complexity": "simple"}, "tier": "workflow", "policy": {"overlap": "allow", "max_running": 3, "timeout": "1h", "kill_grace": "10s", "retry": {"max_attempts": 2, "backoff": "fixed", "initial": "1s", "factor": 1.5, "max": "1m", "jitter": 0.5, "on": ["timeout", "http-5xx"]}}, "tests": [{"after": "2026-01-01T00:00:00Z", "fires": []}]}"#,
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

fn corpus() -> Vec<Value> {
    let mut all: Vec<Value> = SEEDS.iter().map(|seed| serde_json::from_str(seed).unwrap()).collect();
    let seeds = all.clone();
    all.extend(seeds.iter().flat_map(mutations).filter(Value::is_object));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let is_job = file.extension().is_some_and(|ending| ending == "yaml")
                && !file.to_str().unwrap().ends_with("_defaults.yaml");
            if is_job {
                let text = fs::read_to_string(&file).unwrap();
                all.extend(
                    compose(&text, &Limits::default()).documents.into_iter().map(|one| one.root.to_json()),
                );
            }
        }
    }
    all
}

/// Our verdict, over the text of the document as a file has it.
fn ours(shape: &Shape, document: &Value) -> bool {
    let text = document.to_string();
    let source = Arc::new(SourceText::new("job.yaml", text));
    let composed = compose(&source.text, &Limits::default());
    let root = &composed.documents[0].root;
    let problems = shape.check(root, &root.to_json(), &source);
    let read = serde_json::from_value::<tintal::manifest::job::Manifest>(document.clone());
    assert!(
        !problems.is_empty() || read.is_ok() || text_has_whole_float(&source.text),
        "{document}: {read:?}"
    );
    problems.is_empty()
}

/// `3.0` is a whole number of JSON Schema; `parse` makes one of it before it is typed.
fn text_has_whole_float(text: &str) -> bool {
    text.contains(".0")
}

#[test]
fn three_validators_agree_on_every_shape() {
    let corpus = corpus();
    assert!(corpus.len() > 1_000, "{}", corpus.len());
    let shape = Shape::new(schema::job());
    let ours: Vec<bool> = corpus.iter().map(|document| ours(&shape, document)).collect();
    assert!(ours.iter().filter(|good| **good).count() > 100);

    let tree = Tree::new();
    let directory = tree.path("corpus");
    fs::create_dir(&directory).unwrap();
    for (index, document) in corpus.iter().enumerate() {
        fs::write(directory.join(format!("{index:05}.json")), document.to_string()).unwrap();
    }
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/job.schema.json");
    for (name, verdicts) in [("check-jsonschema", python(&schema, &directory)), ("ajv", node(&schema, &tree))]
    {
        assert_eq!(verdicts.len(), corpus.len(), "{name}");
        let differ: Vec<String> = (0..corpus.len())
            .filter(|index| verdicts[index] != ours[*index])
            .map(|index| format!("{name} says {}: {}", verdicts[&index], corpus[index]))
            .collect();
        assert!(differ.is_empty(), "{}", differ.join("\n"));
    }
}

fn python(schema: &Path, directory: &Path) -> BTreeMap<usize, bool> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let output = Command::new(env::var("TEST_CHECK_JSONSCHEMA").unwrap())
        .args(["--output-format", "json", "--schemafile"])
        .arg(schema)
        .args(&files)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    });
    let mut verdicts: BTreeMap<usize, bool> = (0..files.len()).map(|index| (index, true)).collect();
    for error in report["errors"].as_array().unwrap() {
        let name = Path::new(error["filename"].as_str().unwrap()).file_stem().unwrap().to_str().unwrap();
        verdicts.insert(name.parse().unwrap(), false);
    }
    assert_eq!(report["parse_errors"].as_array().map_or(0, Vec::len), 0);
    verdicts
}

fn node(schema: &Path, tree: &Tree) -> BTreeMap<usize, bool> {
    tree.write(
        "verdicts.cjs",
        "const fs = require('fs');\nconst Ajv = require('ajv/dist/2020').default;\n\
         const [schema, directory] = process.argv.slice(2);\n\
         const validate = new Ajv({strict: false}).compile(JSON.parse(fs.readFileSync(schema, 'utf8')));\n\
         const out = fs.readdirSync(directory).sort().map((f) => validate(JSON.parse(fs.readFileSync(directory + '/' + f, 'utf8'))));\n\
         console.log(JSON.stringify(out));\n",
    );
    let output = Command::new("node")
        .arg(tree.path("verdicts.cjs"))
        .arg(schema)
        .arg(tree.path("corpus"))
        .env("NODE_PATH", env::var("TEST_NODE_MODULES").unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verdicts: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    verdicts.into_iter().enumerate().collect()
}
