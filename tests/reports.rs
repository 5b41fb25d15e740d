//! The reports of `tintal validate` as the programs read them that they are for.

#![cfg(feature = "servers")]
#![allow(clippy::unwrap_used)]

mod common;

use std::{env, path::Path, process::Command};

use common::Tree;
use serde_json::Value;

/// Errors and warnings, in several files, with related places and with signs that formats escape.
fn tree() -> Tree {
    Tree::with(&[
        ("jobs.d/a.yaml", "name: x\nrun: {shell: a}\nname: y\n\"<&>'%\": 1\n"),
        ("jobs.d/b.yaml", "name: z\nrun: {shell: \"]]> {{ params.x }}\"}\n"),
        ("jobs.d/ü %.yaml", "name: z\nrun: {shell: a, command: [b]}\n\"\\uFFFE\": 1\n"),
        ("jobs.d/past.yaml", "run: {shell: a}\nschedule: {at: 2001-01-01T00:00:00Z}\n"),
        ("jobs.d/empty.yaml", ""),
    ])
}

#[test]
fn the_sarif_log_is_valid_by_its_official_schema() {
    let tree = tree();
    tree.write("clean.yaml", "run: {shell: a}\n");
    for (path, file) in [("jobs.d", "problems.sarif"), ("clean.yaml", "clean.sarif")] {
        tree.write(file, &tree.run(&["validate", path, "--format", "sarif"]).stdout);
        let schema = Path::new(&env::var("TEST_NODE_MODULES").unwrap())
            .join("@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json");
        let output = Command::new(env::var("TEST_CHECK_JSONSCHEMA").unwrap())
            // A pattern of the schema has a bracket that the strict mode does not take.
            .args(["--regex-variant", "nonunicode", "--schemafile"])
            .args([schema, tree.path(file)])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn the_junit_report_is_xml_with_a_case_for_each_problem() {
    let tree = tree();
    tree.write(
        "read.py",
        "import json, sys, xml.etree.ElementTree as tree\n\
         suites = tree.fromstring(sys.stdin.buffer.read())\n\
         suite = suites.find('testsuite')\n\
         cases = suite.findall('testcase')\n\
         print(json.dumps({'tests': [suites.get('tests'), suite.get('tests')],\n\
         'failures': [suites.get('failures'), suite.get('failures')],\n\
         'cases': len(cases), 'failed': [case.find('failure').get('message') for case in cases if case.find('failure') is not None],\n\
         'said': [case.find('system-out').text for case in cases if case.find('system-out') is not None]}))\n",
    );
    let report = tree.run(&["validate", "--format", "junit"]).stdout;
    tree.write("report.xml", &report);
    let output = Command::new(env::var("TEST_PYTHON").unwrap())
        .arg(tree.path("read.py"))
        .stdin(std::fs::File::open(tree.path("report.xml")).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}{report}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();

    let json = tree.json(&["validate", "--format", "json"]);
    let problems = json["problems"].as_array().unwrap();
    let messages = |severity: &str| -> Vec<&str> {
        let of_kind = problems.iter().filter(|problem| problem["severity"] == severity);
        of_kind.map(|problem| problem["message"].as_str().unwrap()).collect()
    };
    let failed: Vec<&str> =
        read["failed"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    // XML has no U+FFFE.
    let errors: Vec<String> =
        messages("error").iter().map(|message| message.replace('\u{fffe}', "")).collect();
    assert_eq!(failed, errors);
    assert_eq!(read["cases"], problems.len());
    assert_eq!(read["tests"], serde_json::json!([problems.len().to_string(), problems.len().to_string()]));
    assert_eq!(read["failures"], serde_json::json!([errors.len().to_string(), errors.len().to_string()]));
    let said: Vec<&str> = read["said"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    let warnings = messages("warning");
    assert!(!warnings.is_empty() && said.len() == warnings.len(), "{said:?}");
    assert!(said.iter().zip(&warnings).all(|(said, warning)| said.contains(warning)), "{said:?}");
}
