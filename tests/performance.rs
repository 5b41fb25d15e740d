//! The table of `docs/performance.md` is made of the raw lines beside it.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

#[path = "../benches/harness/report.rs"]
mod report;

use std::{fs, path::Path};

use expect_test::expect_file;

/// What stands before the table, and what follows it.
const MARKS: [&str; 2] = ["<!-- table: made of performance.jsonl -->\n", "<!-- end of the table -->\n"];

#[test]
fn the_table_is_that_of_the_raw_lines() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let raw = docs.join("performance.jsonl");
    let table = report::page(&report::read(&[raw.to_str().unwrap()]));
    let page = fs::read_to_string(docs.join("performance.md")).unwrap();
    let (head, rest) = page.split_once(MARKS[0]).unwrap();
    let (_, tail) = rest.split_once(MARKS[1]).unwrap();
    expect_file![docs.join("performance.md")]
        .assert_eq(&format!("{head}{}{table}{}{tail}", MARKS[0], MARKS[1]));
}
