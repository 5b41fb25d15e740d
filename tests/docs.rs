//! What the documents show is true: manifests hold, commands print what is printed under them,
//! links lead somewhere.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::Tree;

/// A fenced block: its tag and its text.
struct Block {
    tag: String,
    text: String,
    place: String,
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = vec![root.join("README.md")];
    let mut open = vec![root.join("docs")];
    while let Some(directory) = open.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                all.push(path);
            }
        }
    }
    all.sort();
    all
}

fn blocks(path: &Path) -> Vec<Block> {
    let text = fs::read_to_string(path).unwrap();
    let mut out = Vec::new();
    let mut current: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut current, line.strip_prefix("```")) {
            (None, Some(tag)) => {
                let place = format!("{}:{}", path.display(), number + 1);
                current = Some(Block { tag: tag.to_owned(), text: String::new(), place });
            }
            (Some(_), Some(_)) => out.extend(current.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(current.is_none(), "{}: a block is never closed", path.display());
    out
}

#[test]
fn every_manifest_shown_holds() {
    let mut count = 0;
    for path in documents() {
        // The examples on the pages of the codes have a test of their own: `tests/diagnostics.rs`.
        if path.ends_with("docs/diagnostics.md") {
            continue;
        }
        for block in blocks(&path) {
            let name = match block.tag.as_str() {
                "yaml" => "jobs.d/job.yaml",
                "yaml defaults" => "jobs.d/_defaults.yaml",
                "yaml settings" => {
                    let tree = Tree::with(&[("tintal.yaml", &block.text)]);
                    assert_eq!(tree.run(&["config"]).code, Some(0), "{}", block.place);
                    continue;
                }
                tag if tag.starts_with("yaml wrong") || tag == "yaml invalid" => {
                    let tree = Tree::with(&[("jobs.d/job.yaml", &block.text)]);
                    let ran = tree.run(&["validate", "--format", "concise"]);
                    assert!(ran.stdout.contains("TIN"), "{}: {}", block.place, ran.stdout);
                    continue;
                }
                _ => continue,
            };
            count += 1;
            let tree = Tree::with(&[(name, &block.text)]);
            if !block.text.contains("run:") && name == "jobs.d/job.yaml" {
                // A part of a manifest: the rest is added.
                tree.write(name, &format!("{}run: {{command: [\"true\"]}}\n", block.text));
            }
            let ran = tree.run(&["validate", "--format", "concise"]);
            assert!(!ran.stdout.contains(" error "), "{}: {}", block.place, ran.stdout);
        }
    }
    assert!(count > 5, "{count}");
}

#[test]
fn what_validate_says_of_the_manifest_above_it_is_true() {
    let mut count = 0;
    for path in documents() {
        let blocks = blocks(&path);
        for pair in blocks.windows(2) {
            let [manifest, console] = pair else { continue };
            if console.tag != "console validate" {
                continue;
            }
            count += 1;
            let name = manifest.text.lines().next().unwrap().strip_prefix("# ").unwrap();
            let tree = Tree::with(&[(name, &manifest.text)]);
            let (command, expected) = console.text.split_once('\n').unwrap();
            let arguments: Vec<&str> = command.strip_prefix("$ tintal ").unwrap().split(' ').collect();
            assert_eq!(tree.run(&arguments).stdout, expected, "{}", console.place);
        }
    }
    assert!(count > 0);
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
            let target = rest.split(')').next().unwrap();
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(path.parent().unwrap().join(file).exists(), "{}: {target}", path.display());
        }
    }
}
