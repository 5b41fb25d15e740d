//! Every code has a page, and the examples on it are true.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, sync::Arc};

use tintal::{
    load::{Input, Loader},
    manifest::{
        characteristics::Tier,
        code::Code,
        file::{Content, ManifestFile},
        pages::page,
    },
    tier::{LedgerKind, Tiers},
};

/// The codes that a manifest has.
fn codes(text: &str, ledger: LedgerKind) -> BTreeSet<Code> {
    let file = ManifestFile {
        path: "job.yaml".to_owned(),
        content_hash: [0; 32],
        content: Content::Text(text.into()),
    };
    let tiers = Tiers { configured: vec![Tier::InProcess, Tier::Queue], ledger };
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    let files = [Arc::new(file)];
    let tree =
        Loader::new(tiers, 1).load(&Input { files: &files, above: &[], unreadable: &[], prefix: "", now });
    for problem in &tree.problems {
        assert!(!problem.message.is_empty() && problem.help.is_some(), "{text}: {problem:?}");
    }
    tree.problems.into_iter().map(|problem| problem.code).collect()
}

#[test]
fn the_wrong_example_has_the_problem_and_the_right_one_has_none() {
    for code in Code::ALL {
        let page = page(*code);
        let ledger = if *code == Code::NeedsLedger { LedgerKind::Memory } else { LedgerKind::File };
        if !page.wrong.is_empty() {
            let found = codes(page.wrong, ledger);
            assert!(found.contains(code), "{code}: {found:?}:\n{}", page.wrong);
        }
        let other: BTreeSet<Code> = codes(page.right, ledger);
        assert_eq!(other, BTreeSet::new(), "{code}:\n{}", page.right);
        assert!(page.meaning.len() > 20 && page.meaning.ends_with('.'), "{code}");
    }
}
