//! What the loader makes of trees. Files are `path` and text; problems are shown as
//! `path:line CODE pointer`.

mod defaults;
mod documents;
mod files;
mod fuzz;
mod meaning;
mod names;
mod queue;
mod suppress;

use std::sync::Arc;

use super::{Input, Loader, Tree};
use crate::{
    manifest::{
        characteristics::Tier,
        file::{Content, ManifestFile},
        problem::Problem,
    },
    tier::{LedgerKind, Queues, Tiers},
};

fn file(path: &str, text: &str) -> Arc<ManifestFile> {
    Arc::new(ManifestFile {
        path: path.into(),
        content_hash: *blake3::hash(text.as_bytes()).as_bytes(),
        content: Content::Text(text.into()),
    })
}

/// A loader of a fresh machine: in-process only, with a ledger on disk.
fn loader() -> Loader {
    Loader::new(
        Tiers { configured: vec![Tier::InProcess], ledger: LedgerKind::File, queues: Queues::default() },
        1,
    )
}

fn load_with(loader: &mut Loader, files: &[(&str, &str)]) -> Tree {
    load_files(loader, files.iter().map(|(path, text)| file(path, text)).collect())
}

fn load_files(loader: &mut Loader, mut files: Vec<Arc<ManifestFile>>) -> Tree {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    loader.load(&Input { files: &files, above: &[], unreadable: &[], prefix: "", now })
}

/// A part of a tree: `files` lie in `prefix`, and `above` are files of defaults further up.
fn load_part(above: &[(&str, &str)], prefix: &str, files: &[(&str, &str)]) -> Tree {
    let files: Vec<Arc<ManifestFile>> = files.iter().map(|(path, text)| file(path, text)).collect();
    let above: Vec<Arc<ManifestFile>> = above.iter().map(|(path, text)| file(path, text)).collect();
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    loader().load(&Input { files: &files, above: &above, unreadable: &[], prefix, now })
}

fn load(files: &[(&str, &str)]) -> Tree {
    load_with(&mut loader(), files)
}

fn shown(problem: &Problem) -> String {
    let path = &problem.primary.place.source.path;
    let line = format!("{path}:{} {} {}", problem.start().line, problem.code, problem.pointer);
    line.trim_end().to_owned()
}

fn told(tree: &Tree) -> Vec<String> {
    tree.problems.iter().map(shown).collect()
}

/// What is told of one manifest, without its path.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let tree = load(&[("job.yaml", text)]);
    let found = told(&tree);
    let found: Vec<&str> = found.iter().map(|line| line.trim_start_matches("job.yaml:")).collect();
    assert_eq!(found, expected, "{text}");
}
