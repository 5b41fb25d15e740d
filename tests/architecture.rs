//! The import table of the crate, the purity of its core, and the size of its files.
//!
//! The table is the whole truth about who may import whom: a change of it is a change of the
//! architecture, and comes with an ADR.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Module, and the modules it may import, in reading order.
#[rustfmt::skip]
const IMPORTS: &[(&str, &[&str])] = &[
    ("manifest", &[]),
    ("schedule", &["manifest"]),
    ("tier",     &["manifest"]),
    ("load",     &["manifest", "schedule", "tier"]),
    ("import",   &["manifest", "schedule"]),
    ("run",      &["manifest"]),
    ("plan",     &["manifest", "schedule", "tier", "load"]),
    ("source",   &["manifest"]),
    ("ledger",   &["manifest", "tier", "plan", "run"]),
    ("execute",  &["manifest", "run"]),
    ("backend",  &["manifest", "schedule", "tier", "load", "plan", "run", "ledger", "execute"]),
    ("config",   &["manifest", "tier"]),
    ("engine",   &["manifest", "schedule", "tier", "load", "run", "plan", "source", "ledger", "execute", "backend", "config"]),
    ("control",  &["manifest", "schedule", "tier", "load", "run", "plan", "source", "ledger", "execute", "backend", "config", "engine"]),
    ("cli",      &["manifest", "schedule", "tier", "load", "import", "run", "plan", "source", "ledger", "execute", "backend", "config", "engine", "control"]),
];

/// Modules that read no clock, disk, network or environment, and know no runtime.
const PURE: &[&str] = &["manifest", "schedule", "tier", "load", "import", "run", "plan"];

/// What a pure module must not name.
const EFFECTS: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::io::",
    "tokio::",
    "tracing::",
    "rusqlite::",
    "reqwest::",
    "Timestamp::now",
    "Zoned::now",
    "SystemTime",
    "Instant::now",
    "notify::",
];

/// Lines of code before the tests that a file may have; blank lines and comments do not count.
const FILE_LINES_MAX: usize = 400;

fn files_of(module: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let single = root.join(format!("{module}.rs"));
    let mut files = if single.is_file() { vec![single] } else { Vec::new() };
    collect(&root.join(module), &mut files);
    files
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// The code of a file without comments, up to its tests.
fn code(path: &Path) -> Vec<(usize, String)> {
    if path.file_name().is_some_and(|name| name == "tests.rs")
        || path.components().any(|part| part.as_os_str() == "tests")
    {
        return Vec::new();
    }
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or("").to_owned()))
        .filter(|(_, line)| !line.trim().is_empty())
        .collect()
}

#[test]
fn every_module_is_in_the_table() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let known: BTreeSet<&str> = IMPORTS.iter().map(|(module, _)| *module).collect();
    assert_eq!(declared.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn a_module_imports_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for (module, allowed) in IMPORTS {
        for path in files_of(module) {
            let text: String = code(&path).into_iter().map(|(_, line)| line + "\n").collect();
            for (other, _) in IMPORTS {
                let named = imports(&text, other);
                if named && other != module && !allowed.contains(other) {
                    wrong.push(format!("{} imports {other}", path.display()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Whether the text names `crate::other`, alone or in a braced list of `use crate::{…}`.
fn imports(text: &str, other: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let direct =
        text.match_indices("crate::").any(|(at, _)| text[at + 7..].strip_prefix(other).is_some_and(ends));
    direct || braced(text).iter().any(|item| item.strip_prefix(other).is_some_and(ends))
}

/// The top items of every `crate::{…}` list.
fn braced(text: &str) -> Vec<String> {
    let mut items = Vec::new();
    for (at, _) in text.match_indices("crate::{") {
        let mut depth = 0;
        let mut item = String::new();
        for c in text[at + 7..].chars() {
            match c {
                '{' => {
                    depth += 1;
                    if depth > 1 {
                        item.push(c);
                    }
                }
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                    item.push(c);
                }
                ',' if depth == 1 => items.push(std::mem::take(&mut item).trim().to_owned()),
                c => item.push(c),
            }
        }
        items.push(item.trim().to_owned());
    }
    items
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for module in PURE {
        for path in files_of(module) {
            for (number, line) in code(&path) {
                if let Some(effect) = EFFECTS.iter().find(|effect| line.contains(**effect)) {
                    wrong.push(format!("{}:{number}: {effect}", path.display()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn only_the_clock_reads_the_clock() {
    let mut wrong = Vec::new();
    for (module, _) in IMPORTS {
        for path in files_of(module) {
            if path.ends_with("engine/clock.rs") {
                continue;
            }
            for (number, line) in code(&path) {
                if ["Timestamp::now(", "Zoned::now(", "SystemTime::now("]
                    .iter()
                    .any(|call| line.contains(call))
                {
                    wrong.push(format!("{}:{number}", path.display()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let long: Vec<String> = IMPORTS
        .iter()
        .flat_map(|(module, _)| files_of(module))
        .map(|path| (code(&path).len(), path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, path)| format!("{}: {lines}", path.display()))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}
