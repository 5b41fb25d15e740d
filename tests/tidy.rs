//! What must not stand in the tree: notes to self, and traces of the machine it was written on.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, process::Command};

/// Words that say that something is not finished. Split, so that this file does not hold them.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("unimplemented", "!("),
    concat!("to", "do!("),
];

/// Paths and names that only one machine knows.
const LOCAL: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "wt/"),
    concat!("farm", "-bench"),
    concat!("Cla", "ude"),
];

fn tracked() -> Vec<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("git").args(["-C", root, "ls-files", "-z"]).output().unwrap();
    assert!(output.status.success(), "git ls-files failed: this test needs the repository");
    String::from_utf8(output.stdout)
        .unwrap()
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect()
}

fn lines_with(words: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for path in tracked() {
        if path.ends_with("Cargo.lock") || path.starts_with("LICENSE") {
            continue;
        }
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
        for (index, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                found.push(format!("{path}:{}: {word}", index + 1));
            }
        }
    }
    found
}

#[test]
fn nothing_in_the_tree_is_marked_unfinished() {
    assert_eq!(lines_with(UNFINISHED), Vec::<String>::new());
}

#[test]
fn nothing_in_the_tree_names_the_machine_it_was_written_on() {
    assert_eq!(lines_with(LOCAL), Vec::<String>::new());
}
