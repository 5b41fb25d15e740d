//! What the documents show is true: manifests hold, commands print what is printed under them,
//! links lead somewhere.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Tree, wait_for};

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

/// Whether an output is as shown. `…` on a line of its own stands for any number of lines, and within
/// a line for any text: times, ids and what a reader needs not see.
fn is_as_shown(output: &[&str], shown: &[&str]) -> bool {
    match (output, shown) {
        ([], []) | (_, ["…"]) => true,
        ([], ["…", rest @ ..]) => is_as_shown(output, rest),
        ([_, more @ ..], ["…", rest @ ..]) => is_as_shown(output, rest) || is_as_shown(more, shown),
        ([line, more @ ..], [wanted, rest @ ..]) => is_line(line, wanted) && is_as_shown(more, rest),
        _ => false,
    }
}

fn is_line(line: &str, shown: &str) -> bool {
    match shown.split_once('…') {
        None => line == shown,
        Some((start, rest)) => line.strip_prefix(start).is_some_and(|line| {
            line.char_indices().map(|(at, _)| at).chain([line.len()]).any(|at| is_line(&line[at..], rest))
        }),
    }
}

#[test]
fn elisions_are_understood() {
    let check = |output: &str, shown: &str, expected: bool| {
        let (output, shown): (Vec<_>, Vec<_>) = (output.lines().collect(), shown.lines().collect());
        assert_eq!(is_as_shown(&output, &shown), expected, "{output:?} {shown:?}");
    };
    check("a\nb\nc", "a\nb\nc", true);
    check("a\nb\nc", "a\n…", true);
    check("a\nb\nc", "…\nc", true);
    check("a", "a\n…", true);
    check("a\nb\nc", "a\nc", false);
    check("a\nb\nc", "…\nb", false);
    check("next 03:00", "next …", true);
    check("next 03:00", "next …:00", true);
    check("next 03:00", "next …:01", false);
}

/// Runs a line of a console as a shell does; gives its output and error output as a terminal shows them.
fn on_a_terminal(tree: &Tree, line: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_tintal")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("{{ {line}\n}} 2>&1")])
        .current_dir(tree.root())
        .env_clear()
        .env("PATH", format!("{}:{path}", binary.display()))
        .env("LANG", "C.UTF-8")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_console_that_is_marked_shows_what_the_commands_print() {
    let mut count = 0;
    for path in documents() {
        // A document is one story: a file stands where its first line says, from there on.
        let tree = Tree::new();
        for block in blocks(&path) {
            let (first, _) = block.text.split_once('\n').unwrap_or_default();
            if let ("yaml", Some(name)) = (block.tag.split(' ').next().unwrap(), first.strip_prefix("# ")) {
                tree.write(name, &block.text);
            }
            if block.tag != "console run" {
                continue;
            }
            for part in format!("\n{}", block.text).split("\n$ ").skip(1) {
                count += 1;
                let (command, shown) = part.split_once('\n').unwrap_or((part, ""));
                let output = on_a_terminal(&tree, command);
                let lines: (Vec<_>, Vec<_>) = (output.lines().collect(), shown.lines().collect());
                assert!(is_as_shown(&lines.0, &lines.1), "{}: $ {command}\n{output}", block.place);
            }
            // What is shown to be wrong is put right before the story goes on.
            for wrong in blocks(&path).iter().filter(|block| block.tag == "yaml invalid") {
                let name = wrong.text.lines().next().unwrap().trim_start_matches("# ");
                let _ = fs::remove_file(tree.path(name));
            }
        }
    }
    assert!(count > 7, "{count}");
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

/// The words of a line of a shell, a unit or a `Dockerfile` that come after `tintal`, with its command.
fn commands_of_tintal(line: &str) -> Vec<Vec<String>> {
    let line = line.split("2>>").next().unwrap();
    let words: Vec<String> = line
        .split(|c: char| c.is_whitespace() || "[],\"`()".contains(c))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let is_tintal = |word: &String| word == "tintal" || word.ends_with("/tintal");
    let starts = words.iter().enumerate().filter(|(_, word)| is_tintal(word)).map(|(at, _)| at + 1);
    starts.map(|start| words[start..].to_vec()).collect()
}

/// A flag that is not there is found out by a machine that does not come up.
#[test]
fn the_commands_of_a_service_have_the_flags_that_they_are_given() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/service.md");
    let tree = Tree::new();
    let help = tree.ok(&["--help"]);
    let mut checked = 0;
    for block in blocks(&path) {
        let mut lines: Vec<String> = block.text.lines().map(str::to_owned).collect();
        if block.tag == "dockerfile" {
            // The entry point and its arguments are one command.
            lines = vec![format!("tintal {}", block.text.split_once("\nCMD ").unwrap().1)];
        }
        for words in lines.iter().flat_map(|line| commands_of_tintal(line)) {
            let Some(command) = words.first().filter(|word| help.contains(&format!("\n  {word} "))) else {
                continue;
            };
            let help = tree.ok(&[command, "--help"]);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(
                    help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                    "{words:?}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 4, "{checked}");
}

/// Where systemd is there, it reads the unit.
#[test]
fn the_unit_is_one_that_systemd_takes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/service.md");
    let unit = blocks(&path).into_iter().find(|block| block.tag == "ini unit").unwrap();
    let has = |line: &str| unit.text.lines().any(|found| found == line);
    assert!(has("KillMode=mixed") && has("OOMPolicy=continue"), "{}", unit.text);
    let text = unit.text.replace("/usr/local/bin/tintal", env!("CARGO_BIN_EXE_tintal"));
    let tree = Tree::with(&[("tintal.service", &text)]);
    let verified = std::process::Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(tree.path("tintal.service"))
        .output();
    match verified {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && !said.contains("tintal.service:"), "{said}");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

/// What is said where a reader meets the message that heads a part of `docs/troubleshooting.md`.
fn said(message: &str) -> Option<String> {
    let tree = Tree::with(&[("jobs.d/a.yaml", "run: {shell: a}\n")]);
    let everything = |arguments: &[&str]| {
        let ran = tree.run(arguments);
        format!("{}{}", ran.stdout, ran.stderr)
    };
    Some(match message {
        "starting, and nothing fires yet" => {
            tree.write("jobs.d/.git/index.lock", "");
            let _daemon = tree.start(&[]);
            wait_for("it answers", || {
                Some(everything(&["status"])).filter(|text| !text.contains("none is running"))
            })
        }
        "… more problems of the file are not shown" => {
            let keys: String = (0..300).map(|number| format!("x{number}: 1\n")).collect();
            tree.write("jobs.d/a.yaml", &keys);
            everything(&["validate", "--format", "concise"])
        }
        "… in it cannot be listed" => {
            tree.unlistable("jobs.d");
            everything(&["plan"])
        }
        "the state directory … is in use by the process …" => {
            let _daemon = tree.serve(&[]);
            everything(&["serve"])
        }
        "there is no setting `TINTAL_…`" => {
            let output = tree.command(&["config"]).env("TINTAL_THING", "x").output().unwrap();
            String::from_utf8(output.stderr).unwrap()
        }
        "no control socket answers in …" => {
            let daemon = tree.serve(&[]);
            daemon.signal("STOP");
            fs::remove_file(tree.path(".tintal/control.sock")).unwrap();
            everything(&["status"])
        }
        "the ledger … is damaged" => {
            tree.write(".tintal/ledger.db", "this is no database, and never was one");
            everything(&["serve"])
        }
        "a value stands …, where the quotes around it do not hold" => {
            tree.write("jobs.d/a.yaml", "run: {shell: \"echo '{{ run_id }}'\"}\n");
            everything(&["validate", "--format", "concise"])
        }
        "the output of … is not JSON" => {
            let steps =
                "[{id: v, command: [echo, x]}, {id: w, needs: [v], command: [echo, \"{{ steps.v.json }}\"]}]";
            tree.write("jobs.d/a.yaml", &format!("run: {{steps: {steps}}}\n"));
            everything(&["run", "a"])
        }
        _ => return None,
    })
}

/// A reader looks for the words that were seen.
#[test]
fn a_heading_that_is_a_message_is_said_as_it_stands() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md"));
    let mut count = 0;
    for heading in text.unwrap().lines().filter_map(|line| line.strip_prefix("## `")) {
        // Two backticks stand around a message that has some itself.
        let Some(message) = heading.strip_suffix('`') else { continue };
        let message = message
            .strip_prefix('`')
            .map_or(message, |inner| inner.trim_start().strip_suffix(" `").unwrap_or(inner));
        let output = said(message).unwrap_or_else(|| panic!("nothing provokes `{message}`"));
        let one_line = output.replace('\n', " ");
        assert!(is_line(&one_line, &format!("…{message}…")), "{message}: {output}");
        count += 1;
    }
    assert!(count > 4, "{count}");
}

/// The table of what queue systems promise is made from the one that the loader reads;
/// `UPDATE_EXPECT=1` writes it.
#[test]
fn the_promises_of_queue_systems_are_those_of_the_code() {
    const BEGIN: &str = "<!-- promises -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/queues.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once("<!-- /promises -->").unwrap();
    let promises = tintal::tier::matrix::promises();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{promises}<!-- /promises -->{after}")).unwrap();
    } else {
        assert_eq!(found, promises);
    }
}
