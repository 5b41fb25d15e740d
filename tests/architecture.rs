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
    ("plan",     &["manifest", "load"]),
    ("source",   &["manifest"]),
    ("ledger",   &["manifest", "run"]),
    ("execute",  &["manifest", "run"]),
    ("backend",  &["manifest", "schedule", "tier", "plan", "run", "ledger", "execute"]),
    ("config",   &["manifest", "tier"]),
    ("engine",   &["manifest", "schedule", "tier", "load", "run", "plan", "source", "ledger", "execute", "backend", "config"]),
    ("control",  &["manifest", "run", "plan", "ledger", "execute", "backend", "engine"]),
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
    "std::io",
    "tokio",
    "tracing",
    "rusqlite",
    "reqwest",
    "notify",
    "Timestamp::now",
    "Zoned::now",
    "SystemTime",
    "Instant::now",
];

/// Lines of code before the tests that a file may have; blank lines and comments do not count.
const FILE_LINES_MAX: usize = 400;

/// Lines of code that a function may have, its signature included.
const FUNCTION_LINES_MAX: usize = 60;

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
            let named = paths(&text_of(&path));
            for (other, _) in IMPORTS {
                if names_module(&named, other) && other != module && !allowed.contains(other) {
                    wrong.push(format!("{} imports {other}", path.display()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_table_allows_only_what_is_imported() {
    let mut unused = Vec::new();
    for (module, allowed) in IMPORTS {
        let named: Vec<String> = files_of(module).iter().flat_map(|path| paths(&text_of(path))).collect();
        for other in allowed.iter().filter(|other| !names_module(&named, other)) {
            unused.push(format!("{module} imports nothing from {other}"));
        }
    }
    assert_eq!(unused, Vec::<String>::new());
}

fn text_of(path: &Path) -> String {
    code(path).into_iter().map(|(_, line)| line + "\n").collect()
}

fn names_module(named: &[String], module: &str) -> bool {
    named.iter().any(|path| begins_with(path, &format!("crate::{module}")))
}

/// Whether a path is another one, or leads into it.
fn begins_with(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that a text names, those in the braces of a `use` written out.
fn paths(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let is_word = rest[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        rest = &rest[at + 4..];
        if is_word && let Some(end) = rest.find(';') {
            flatten("", &rest[..end], &mut all);
        }
    }
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c: char| !is_of_path(c)).filter(|word| word.contains("::"));
    all.extend(words.map(|word| word.trim_end_matches(':').to_owned()));
    all
}

/// `a::{b, c::{d, self}}` as `a::b`, `a::c::d` and `a::c`.
fn flatten(before: &str, tree: &str, out: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((start, inside)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default();
        let path = format!("{before}{name}");
        out.push(path.strip_suffix("::self").unwrap_or(&path).to_owned());
        return;
    };
    let before = format!("{before}{start}");
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let mut depth = 0;
    for part in inside.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    }) {
        if !part.trim().is_empty() {
            flatten(&before, part, out);
        }
    }
}

#[test]
fn paths_in_braces_are_seen() {
    let text = "use std::{\n    fs, io::{self, Write as _},\n};\nuse crate::load;\nlet x = crate::run::next(tokio::spawn);";
    let named = paths(text);
    for path in ["std::fs", "std::io", "std::io::Write", "crate::load", "crate::run::next", "tokio::spawn"] {
        assert!(named.iter().any(|named| named == path), "{path}: {named:?}");
    }
    assert!(names_module(&named, "run") && !names_module(&named, "runs"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for module in PURE {
        for path in files_of(module) {
            for named in paths(&text_of(&path)) {
                // `Timestamp::now` may stand behind the path of its crate.
                let is_effect = |effect: &&str| {
                    begins_with(&named, effect)
                        || named.ends_with(&format!("::{effect}"))
                        || named == **effect
                };
                if let Some(effect) = EFFECTS.iter().copied().find(|effect| is_effect(effect)) {
                    wrong.push(format!("{}: {effect}", path.display()));
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

/// Each function of a text as its name and its lines of code. The text is formatted: a function ends
/// where a brace closes at the depth it begins at.
fn functions(lines: &[(usize, String)]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, (_, line)) in lines.iter().enumerate() {
        let declared = line.trim_start();
        let depth = line.len() - declared.len();
        let Some((before, rest)) = declared.split_once("fn ") else { continue };
        let is_head = before.split_whitespace().all(|word| {
            word.starts_with("pub")
                || ["const", "async", "unsafe", "default"].contains(&word)
                || word.ends_with(')')
        });
        if !is_head || line.trim_end().ends_with([';', '}']) {
            continue;
        }
        let end = format!("{}}}", " ".repeat(depth));
        let length =
            lines[at..].iter().position(|(_, line)| line.trim_end() == end).map_or(0, |last| last + 1);
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        found.push((name.to_owned(), length));
    }
    found
}

#[test]
fn no_function_is_longer_than_a_reader_can_hold() {
    let mut long = Vec::new();
    let mut count = 0;
    for path in IMPORTS.iter().flat_map(|(module, _)| files_of(module)) {
        for (name, lines) in functions(&code(&path)) {
            count += 1;
            if lines > FUNCTION_LINES_MAX {
                long.push(format!("{}: {name}: {lines}", path.display()));
            }
        }
    }
    assert_eq!(long, Vec::<String>::new());
    assert!(count > 500, "{count}");
}

#[test]
fn the_lines_of_functions_are_counted() {
    let text = "impl A {\n    pub(super) const fn a(\n        b: B,\n    ) {\n        c();\n    }\n}\nasync fn d() {}\n";
    let lines: Vec<_> = text.lines().enumerate().map(|(n, line)| (n, line.to_owned())).collect();
    assert_eq!(functions(&lines), [("a".to_owned(), 5)]);
}
