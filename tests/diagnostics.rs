//! Every code has a page, and the examples on it are true.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use tintal::{
    load::{Input, Loader, Tree},
    manifest::{
        characteristics::Tier,
        code::Code,
        file::{Content, ManifestFile},
        pages::page,
        problem::PROBLEMS_MAX,
    },
    tier::{LedgerKind, Queues, Tiers},
};

/// All tiers but one.
const SOME: [Tier; 2] = [Tier::InProcess, Tier::Queue];

/// What a tree of one file holds.
fn load(text: &str, configured: &[Tier], ledger: LedgerKind) -> Tree {
    let file =
        ManifestFile { path: "job.yaml".into(), content_hash: [0; 32], content: Content::Text(text.into()) };
    let tiers = Tiers { configured: configured.to_vec(), ledger, queues: Queues::default() };
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    let files = [Arc::new(file)];
    Loader::new(tiers, 1).load(&Input { files: &files, above: &[], unreadable: &[], prefix: "", now })
}

/// The codes that a manifest has.
fn codes(text: &str, configured: &[Tier], ledger: LedgerKind) -> BTreeSet<Code> {
    let tree = load(text, configured, ledger);
    for problem in &tree.problems {
        assert!(!problem.message.is_empty() && problem.help.is_some(), "{text}: {problem:?}");
        // A terminal may have nothing but ASCII, and these texts hold nothing else.
        let words = [Some(&problem.message), Some(&problem.primary.text), problem.help.as_ref()];
        assert!(!text.is_ascii() || words.into_iter().flatten().all(|words| words.is_ascii()), "{problem:?}");
    }
    tree.problems.into_iter().map(|problem| problem.code).collect()
}

#[test]
fn the_wrong_example_has_the_problem_and_the_right_one_has_none() {
    for code in Code::ALL {
        let page = page(*code);
        let ledger = if *code == Code::NeedsLedger { LedgerKind::Memory } else { LedgerKind::File };
        // Steps are missed where a tier is configured that shows them.
        let configured = if *code == Code::NoStepView { &Tier::ALL[..] } else { &SOME };
        if !page.wrong.is_empty() {
            let found = codes(page.wrong, configured, ledger);
            assert!(found.contains(code), "{code}: {found:?}:\n{}", page.wrong);
        }
        let other: BTreeSet<Code> = codes(page.right, configured, ledger);
        assert_eq!(other, BTreeSet::new(), "{code}:\n{}", page.right);
        assert!(page.meaning.len() > 20 && page.meaning.ends_with('.'), "{code}");
    }
}

/// A line for each number, after what comes before them.
fn lines(before: &str, count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(before.to_owned(), |mut text, index| {
        let _ = writeln!(text, "{}", line(index));
        text
    })
}

/// A file is read in time that is linear in its size, whatever is wrong with it: each of these would
/// take minutes if one mistake cost a look at the whole file.
#[test]
fn a_file_of_nothing_but_mistakes_is_read_in_one_go() {
    let many = 40_000;
    let files = [
        ("unknown fields", lines("run: {shell: a}\n", many, |i| format!("k{i}: 1"))),
        ("unknown fields of a part", lines("run:\n  shell: a\n", many, |i| format!("  k{i}: 1"))),
        ("wrong keys", lines("run: {shell: a}\nlabels:\n", many, |i| format!("  -{i}: x"))),
        ("wrong types", lines("run: {shell: a}\nlabels:\n", many, |i| format!("  k{i}: 1"))),
        ("wrong items", lines("run:\n  command:\n", 90_000, |_| "  - 1".to_owned())),
        ("on one line", format!("run: {{shell: a}}\nlabels: {{{}}}\n", "a: 1, ".repeat(many))),
        (
            "unknown fields on one line",
            format!("{{{}}}\n", lines("", many, |i| format!("k{i}: 1,")).replace('\n', " ")),
        ),
        ("keys given twice", lines("run: {shell: a}\n", many, |_| "a: 1".to_owned())),
        ("unknown aliases", format!("run: {{command: [{}]}}\n", "*a, ".repeat(90_000))),
        ("keys that are no text", format!("run: {{command: [{}]}}\n", "{[]: 1}, ".repeat(20_000))),
        ("names given twice", lines("", 12_000, |_| "name: a\nrun: {shell: a}\n---".to_owned())),
        ("broken documents", lines("", 12_000, |i| format!("name: a{i}\nrun: {{shel: a}}\n---"))),
        ("documents that are no YAML", lines("", 12_000, |_| "run: ]\n---".to_owned())),
    ];
    for (what, text) in files {
        assert!(text.len() < 1 << 20, "{what}: {}", text.len());
        let problems = load(&text, &SOME, LedgerKind::File).problems;
        let notice = problems.iter().find(|problem| problem.message.contains("are not shown"));
        assert!(notice.is_some_and(|notice| notice.code == Code::Limit), "{what}: {:?}", problems.last());
        assert!(problems.len() <= 2 * (PROBLEMS_MAX + 1), "{what}: {}", problems.len());
    }
}

#[test]
fn a_file_of_many_good_documents_is_read_in_one_go() {
    let text = lines("", 12_000, |i| format!("name: a{i}\nrun: {{shell: a}}\n---"));
    let tree = load(&text, &SOME, LedgerKind::File);
    assert_eq!((tree.jobs.len(), tree.problems.len()), (12_000, 0));
    assert_eq!(tree.jobs.values().map(|job| job.origin.line).max(), Some(3 * 11_999 + 1));
}
