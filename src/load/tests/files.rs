//! Files and directories that cannot be read, and those that did not change.

use std::{collections::HashMap, sync::Arc};

use proptest::prelude::*;

use super::{file, loader, told};
use crate::{
    load::{Input, Loaded, Tree},
    manifest::{
        file::{Content, ManifestFile},
        name::JobName,
        problem::Problem,
    },
};

/// F7, F32: what the system said, with the way out that fits, once.
#[test]
fn what_cannot_be_read_is_told_with_a_way_out_that_fits() {
    for (reason, message, help) in [
        (
            "permission denied: let the user that tintal runs as read it",
            "permission denied",
            "let the user that tintal runs as read it, or take it out of the tree",
        ),
        (
            "it is a FIFO, not a file",
            "it is a FIFO, not a file",
            "let a file stand there that can be read, or take it out of the tree",
        ),
    ] {
        let content = Content::Unreadable { reason: reason.to_owned() };
        let file = Arc::new(ManifestFile { path: "a.yaml".into(), content_hash: [0; 32], content });
        let unreadable = [("sub".to_owned(), reason.to_owned())];
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let tree = loader().load(&Input {
            files: &[file],
            above: &[],
            unreadable: &unreadable,
            prefix: "jobs.d/",
            now,
        });
        let told: Vec<(&str, Option<&str>)> =
            tree.problems.iter().map(|problem| (problem.message.as_str(), problem.help.as_deref())).collect();
        let expected = ["file", "directory"].map(|what| format!("the {what} cannot be read: {message}"));
        assert_eq!(told, expected.iter().map(|line| (line.as_str(), Some(help))).collect::<Vec<_>>());
        assert_eq!(tree.obscured, ["jobs.d/a.yaml", "jobs.d/sub"]);
    }
}

/// Texts of files, all without a mistake of their own: names that clash, warnings with and without a
/// suppression, defaults that apply and that do not.
const TEXTS: [&str; 8] = [
    "name: x\nrun: {command: [a]}\n",
    "name: y\nschedule: {every: 1h}\nrun: {command: [a]}\n",
    "name: x\nrun: {command: [a]}\n---\nname: y\nrun: {command: [b]}\n---\nname: x\nrun: {command: [c]}\n",
    "schedule: {cron: \"0 9 1 * MON\"}\nrun: {command: [a]}\n",
    "# tintal: ignore TIN036 -- meant\nschedule: {cron: \"0 9 1 * MON\"}\nrun: {command: [a]}\n",
    "schedule: {at: \"2026-05-01T00:00:00Z\"}\nrun: {command: [a]}\n",
    "kind: defaults\nlabels: {team: x}\n",
    "kind: defaults # tintal: ignore TIN036 -- all of them\nschedule: {timezone: Europe/Berlin}\n",
];

const PATHS: [&str; 7] =
    ["_defaults.yaml", "a.yaml", "b/_defaults.yaml", "b/a.yaml", "b/c/z.yaml", "x.yaml", "y.yaml"];

/// A tree: of each of [`PATHS`], the text in it.
fn trees() -> impl Strategy<Value = Vec<[Option<usize>; 7]>> {
    prop::collection::vec(prop::array::uniform7(prop::option::weighted(0.7, 0..6_usize)), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// F21: files that did not change are not looked at again, and nothing comes of that.
    #[test]
    fn what_a_tree_is_does_not_depend_on_the_ones_before_it(trees in trees()) {
        let mut loader = loader();
        let mut seen: HashMap<(usize, usize), Arc<ManifestFile>> = HashMap::new();
        for tree in trees {
            let text = |at: usize, text: usize| if PATHS[at].ends_with("_defaults.yaml") { 6 + text % 2 } else { text };
            // Some files are those of the tree before, others have only the same text.
            let files: Vec<Arc<ManifestFile>> = (0..PATHS.len())
                .filter_map(|at| Some((at, text(at, tree[at]?))))
                .map(|(at, text)| match text % 3 {
                    0 => file(PATHS[at], TEXTS[text]),
                    _ => Arc::clone(seen.entry((at, text)).or_insert_with(|| file(PATHS[at], TEXTS[text]))),
                })
                .collect();
            let now = "2026-06-01T00:00:00Z".parse().unwrap();
            let input = Input { files: &files, above: &[], unreadable: &[], prefix: "", now };
            let (after, fresh) = (loader.load(&input), super::loader().load(&input));
            let shown = |tree: &Tree| {
                let job = |(name, job): (&JobName, &Arc<Loaded>)| (name.clone(), job.digest(), job.origin.clone());
                let jobs: Vec<_> = tree.jobs.iter().map(job).collect();
                let related = |one: &Problem| one.related.iter().map(|label| label.place.span).collect::<Vec<_>>();
                let related: Vec<_> = tree.problems.iter().map(related).collect();
                (jobs, told(tree), related, tree.broken.clone(), tree.obscured.clone(), tree.suspects.clone())
            };
            prop_assert_eq!(shown(&after), shown(&fresh));
        }
    }
}
