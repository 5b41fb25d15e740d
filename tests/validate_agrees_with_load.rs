//! What `tintal validate` says is what the daemon makes of the same files: the binary on one side,
//! the library's scanner and loader on the other, over examples and mutated manifests (F21).

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use common::Tree as Files;
use serde_json::{Value, json};
use tintal::{
    engine::clock,
    load::{Input, Loader, Tree},
    manifest::{characteristics::Tier, file::ManifestFile, problem::Severity},
    source::scan::Scanner,
    tier::{LedgerKind, Queues, Tiers},
};

/// Manifests that are mutated at every place.
const SEEDS: [&str; 5] = [
    r#"{"fallback": "degrade", "queue": {"backend": "embedded", "name": "abc", "expire_after": "1h"}, "run": {"message": {"workflow": "w", "context": {"a": "{{ job.name }}"}}}}"#,
    r#"{"schedule": {"cron": "0 9 1 * MON", "timezone": "Europe/Berlin", "dst": {"gap": "skip"}, "jitter": "5m"}, "run": {"shell": "true", "cwd": "/", "env": {"A": "{{ params.n }}"}, "secrets": {"T": {"env": "T"}}}, "params": {"n": 1}}"#,
    r#"{"schedule": [{"every": "30s"}, {"at": "2036-12-24T18:00:00Z"}], "run": {"http": {"method": "POST", "url": "https://example.com", "headers": {"X-A": "b"}, "expect": {"status": [200]}}}, "labels": {"a": "b"}}"#,
    r#"{"run": {"steps": [{"id": "a", "command": ["x"]}, {"id": "b", "needs": ["a"], "shell": "y {{ steps.a.output }}", "timeout": "5m", "retry": {"max_attempts": 3}}]}}"#,
    r#"{"run": {"builtin": {"noop": {}}}, "characteristics": {"durability": "persistent", "infrastructure": "local"}, "tier": "in-process", "policy": {"overlap": "allow", "timeout": "1h", "retry": {"max_attempts": 2, "initial": "1s", "max": "1m"}}, "tests": [{"after": "2026-01-01T00:00:00Z", "fires": []}]}"#,
];

/// Every value with one place changed: replaced, removed, or under another key.
fn mutations(value: &Value) -> Vec<Value> {
    let mut out = vec![json!(null), json!(0), json!("x"), json!("{{ x }}"), json!([]), json!({"x": 1})];
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let with = |key: &str, inner: Option<Value>| {
                    let mut copy = map.clone();
                    copy.remove(key.trim_end_matches("zz"));
                    copy.extend(inner.map(|inner| (key.to_owned(), inner)));
                    Value::Object(copy)
                };
                out.extend(mutations(inner).into_iter().map(|changed| with(key, Some(changed))));
                out.extend([with(key, None), with(&format!("{key}zz"), Some(inner.clone()))]);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                for changed in mutations(inner) {
                    let mut copy = items.clone();
                    copy[index] = changed;
                    out.push(Value::Array(copy));
                }
            }
        }
        _ => {}
    }
    out
}

/// A tree of mutated manifests, one a file, some of them under defaults.
fn corpus() -> Files {
    let files = Files::new();
    let defaults = "kind: defaults\nschedule: {timezone: Nowhere}\npolicy: {timeout: 2h} # tintal: ignore TIN040 -- meant\n";
    files.write("jobs.d/under/_defaults.yaml", defaults);
    files.write("jobs.d/lost/_defaults.yaml", "kind: defaults\npolicy: {timout: 2h}\n");
    let seeds = SEEDS.iter().map(|seed| serde_json::from_str::<Value>(seed).unwrap());
    let all =
        seeds.flat_map(|seed| std::iter::once(seed.clone()).chain(mutations(&seed)).collect::<Vec<_>>());
    for (index, document) in all.step_by(2).enumerate() {
        let directory = match index % 5 {
            0 => "under/",
            1 if index % 3 == 0 => "lost/",
            _ => "",
        };
        files.write(&format!("jobs.d/{directory}job-{index}.yaml"), &document.to_string());
    }
    files.write("jobs.d/twice.yaml", "name: job-2\nrun: {command: [x]}\n");
    files.write(
        "jobs.d/several.yaml",
        "name: a\nrun: {command: [x]}\n---\nname: b\nrun: {command: []}\n---\n{\n",
    );
    files.write("jobs.d/empty.yaml", "");
    files
}

/// The tree as the daemon loads it.
fn daemons(loader: &mut Loader, jobs: &Path, prefix: &str) -> (Tree, Vec<Arc<ManifestFile>>) {
    let now = clock::now();
    let scan = Scanner::new(jobs.to_owned()).scan(now).unwrap();
    let input = Input { files: &scan.files, above: &[], unreadable: &[], prefix, now };
    (loader.load(&input), Arc::unwrap_or_clone(scan.files))
}

fn loader() -> Loader {
    Loader::new(
        Tiers {
            configured: vec![Tier::InProcess, Tier::Queue],
            ledger: LedgerKind::File,
            queues: Queues::default(),
        },
        2,
    )
}

/// `file:line:column severity code message` of each problem, as a set with counts would be.
fn by_binary(document: &Value) -> Vec<String> {
    let problems = document["problems"].as_array().unwrap();
    let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
    let mut all: Vec<String> = problems
        .iter()
        .map(|problem| {
            let place = format!("{}:{}:{}", text(problem, "file"), problem["line"], problem["column"]);
            format!(
                "{place} {} {} {}",
                text(problem, "severity"),
                text(problem, "code"),
                text(problem, "message")
            )
        })
        .collect();
    all.sort();
    all
}

fn by_library(tree: &Tree) -> Vec<String> {
    let mut all: Vec<String> = tree
        .problems
        .iter()
        .map(|problem| {
            let start = problem.start();
            let place = format!("{}:{}:{}", problem.primary.place.source.path, start.line, start.column);
            format!("{place} {} {} {}", problem.severity, problem.code, problem.message)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn the_whole_tree_has_one_verdict() {
    let files = corpus();
    let (tree, _) = daemons(&mut loader(), &files.path("jobs.d"), "jobs.d/");
    let binary = files.json(&["validate", "--format", "json"]);
    assert!(tree.files > 250 && tree.jobs.len() > 20 && tree.broken.len() > 80, "{}", tree.files);
    assert_eq!(by_binary(&binary), by_library(&tree));
    assert_eq!(binary["jobs"], tree.jobs.len());
}

/// F6, F26: a file passes by itself exactly when every document in it is a job that is ready.
#[test]
fn a_file_by_itself_has_the_verdict_that_it_has_in_the_tree() {
    let files = corpus();
    let (tree, all) = daemons(&mut loader(), &files.path("jobs.d"), "jobs.d/");
    let mut ready: BTreeMap<&str, usize> = BTreeMap::new();
    for job in tree.jobs.values() {
        *ready.entry(&job.origin.path).or_default() += 1;
    }
    let special = ["twice.yaml", "several.yaml", "empty.yaml", "job-2.yaml"];
    let chosen = all
        .iter()
        .enumerate()
        .filter(|(index, file)| index % 12 == 0 || special.contains(&&*file.path))
        .filter(|(_, file)| !file.path.ends_with("_defaults.yaml"));
    let mut verdicts = BTreeSet::new();
    for (_, file) in chosen {
        let documents = if &*file.path == "several.yaml" { 3 } else { 1 };
        let is_ready = ready.get(&*file.path) == Some(&documents);
        let ran = files.run(&["validate", "--format", "json", &format!("jobs.d/{}", file.path)]);
        assert_eq!(ran.code, Some(i32::from(!is_ready)), "{}: {}", file.path, ran.stdout);
        verdicts.insert(is_ready);
    }
    assert_eq!(verdicts.len(), 2, "both verdicts occur");
}

/// The daemon parses only what has changed, and comes to what a fresh start comes to.
#[test]
fn edits_lead_to_what_a_fresh_start_leads_to() {
    let files = corpus();
    let jobs = files.path("jobs.d");
    let mut followed = loader();
    daemons(&mut followed, &jobs, "jobs.d/");
    for (path, text) in [
        ("jobs.d/lost/_defaults.yaml", "kind: defaults\npolicy: {timeout: 2h}\n"),
        (
            "jobs.d/under/_defaults.yaml",
            "kind: defaults\nschedule: {day_match: any}\n# tintal: ignore TIN041 -- x\nenabled: true\n",
        ),
        ("jobs.d/under/_defaults.yml", "kind: defaults\n"),
        ("jobs.d/twice.yaml", "run: {command: [x]}\n"),
        ("jobs.d/_defaults.yaml", "kind: defaults\nrun: {env: {A: b}}\n"),
    ] {
        files.write(path, text);
        let (again, _) = daemons(&mut followed, &jobs, "jobs.d/");
        let (fresh, _) = daemons(&mut loader(), &jobs, "jobs.d/");
        assert_eq!(by_library(&again), by_library(&fresh), "{path}");
        let digests = |tree: &Tree| -> BTreeMap<String, String> {
            tree.jobs.iter().map(|(name, job)| (name.to_string(), job.digest().to_string())).collect()
        };
        assert_eq!(digests(&again), digests(&fresh), "{path}");
    }
    fs::remove_file(files.path("jobs.d/under/_defaults.yml")).unwrap();
    fs::remove_file(files.path("jobs.d/under/_defaults.yaml")).unwrap();
    let (again, _) = daemons(&mut followed, &jobs, "jobs.d/");
    let (fresh, _) = daemons(&mut loader(), &jobs, "jobs.d/");
    assert_eq!(by_library(&again), by_library(&fresh));
}

#[test]
fn examples_have_one_verdict() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directories = fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    // Those of queues come with settings.
    for directory in directories.filter(|path| path.is_dir() && !path.ends_with("queues")) {
        let files = Files::new();
        let prefix = format!("{}/", directory.display());
        let (tree, _) = daemons(&mut loader(), &directory, &prefix);
        let binary = files.json(&["--jobs", directory.to_str().unwrap(), "validate", "--format", "json"]);
        assert_eq!(by_binary(&binary), by_library(&tree), "{prefix}");
        assert!(tree.problems.iter().all(|problem| problem.severity == Severity::Warning), "{prefix}");
    }
}
