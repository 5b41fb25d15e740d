//! Whatever a file holds, the loader comes to an end, and says of every job that is not ready why.

use proptest::prelude::*;

use super::{load, told};
use crate::{
    load::Tree,
    manifest::problem::{Problem, Severity},
};

/// Manifests with much in them.
const SEEDS: [&str; 6] = [
    include_str!("../../../examples/every-field/every-field.yaml"),
    include_str!("../../../examples/pipeline/etl.yaml"),
    include_str!("../../../jobs.d/machine-report.yaml"),
    "name: a\nrun: {command: [x]}\n---\nname: b\nrun: {shell: \"{{ params.x | upper }}\"}\nparams: {x: 1}\n",
    "schedule: [{cron: \"0 9 1 * MON\"}, {every: 30s, jitter: 1s}]\nrun: {http: {url: \"http://a/\"}}\n",
    "# tintal: ignore TIN036 -- meant\nschedule:\n  - cron: \"0 9 1 * MON\"\nrun: &r {command: [x]}\n",
];

/// Pieces that mean something to the reader.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\n",
    "---\n",
    "#",
    " # tintal: ignore TIN036 -- x\n",
    "\"",
    "'",
    "{{ ",
    " }}",
    "{%",
    "&a ",
    "*a",
    "<<: ",
    "\t",
    "null",
    "0s",
    "9e999",
    "\u{feff}",
    "ü",
];

/// Ways to write a secret, at the `@`, where a reference belongs.
const WAYS_TO_HOLD: [&str; 8] = [
    " @",
    " {A: @}",
    " [@]",
    "\n    A: @",
    "\n    A: {env: @}",
    "\n    A: {value: @}",
    "\n    A: {env: B}\n    A: @",
    "\n    A: \"@\"",
];

/// Pieces on one line. Without a key that takes what follows it out of `secrets`.
fn noise() -> impl Strategy<Value = String> {
    let pieces: Vec<&str> = PIECES.into_iter().filter(|piece| !piece.contains(['\n', '<'])).collect();
    prop::collection::vec(prop::sample::select(pieces), 0..4).prop_map(|pieces| pieces.concat())
}

/// F6, F7: a job that is not ready has an error that is about it, or about its file.
#[track_caller]
fn holds(tree: &Tree, files: &[(&str, &str)]) {
    let errors = || tree.problems.iter().filter(|problem| problem.severity == Severity::Error);
    for name in &tree.broken {
        assert!(errors().any(|problem| problem.concerns(name)), "{name}: {files:?}: {:?}", told(tree));
    }
    assert!(tree.obscured.is_empty() || errors().count() > 0, "{files:?}");
    assert!(tree.broken.iter().all(|name| !tree.jobs.contains_key(name)), "{files:?}");
    for problem in &tree.problems {
        let text = &problem.primary.place.source.text;
        assert!(problem.primary.place.span.end as usize <= text.len(), "{problem:?}");
        assert!(!problem.message.is_empty(), "{problem:?}");
        assert!(problem.hidden.is_none_or(|hidden| text.get(hidden.range()).is_some()), "{problem:?}");
    }
}

/// A text with pieces put in, and stretches taken out or doubled, at places given in thousandths.
fn mutated(seed: &str, edits: &[(u16, u16, usize, u8)]) -> String {
    let mut text = seed.to_owned();
    for (at, length, piece, kind) in edits {
        let place = |thousandths: u16, text: &str| {
            let byte = text.len() * usize::from(thousandths) / 1000;
            (byte..=text.len()).find(|byte| text.is_char_boundary(*byte)).unwrap_or(text.len())
        };
        let start = place(*at, &text);
        let end = place((at + length).min(1000), &text);
        match kind {
            0 => text.insert_str(start, PIECES[*piece]),
            1 => drop(text.drain(start..end)),
            2 => text = format!("{}{}", &text[..end], &text[start..]),
            _ => text.replace_range(start..end, PIECES[*piece]),
        }
    }
    text
}

fn edits() -> impl Strategy<Value = Vec<(u16, u16, usize, u8)>> {
    prop::collection::vec((0..1000_u16, 0..60_u16, 0..PIECES.len(), 0..4_u8), 1..5)
}

/// Whether something that is told repeats what stands under `secrets`.
fn tells(tree: &Tree, secret: &str) -> bool {
    tree.problems.iter().any(|problem| {
        let words = [&problem.message, &problem.primary.text, &problem.pointer];
        let related = problem.related.iter().map(|label| &label.text);
        words.into_iter().chain(&problem.help).chain(related).any(|words| words.contains(secret))
    })
}

/// Whether a report may show a secret that stands in a text once: one that has a problem.
fn is_exposed(tree: &Tree, secret: &str, text: &str) -> bool {
    let Some(at) = text.find(secret) else { return false };
    let hides = |problem: &Problem| problem.hidden.is_some_and(|span| span.range().contains(&at));
    !tree.problems.is_empty() && !tree.problems.iter().any(hides)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_manifest_is_read_to_its_end_and_what_is_not_ready_has_an_error(
        seed in 0..SEEDS.len(), edits in edits(),
    ) {
        let text = mutated(SEEDS[seed], &edits);
        let files = [("job.yaml", text.as_str())];
        holds(&load(&files), &files);
    }

    /// F19.
    #[test]
    fn a_secret_among_noise_is_not_told(
        before in noise(), after in noise(), around in 0..WAYS_TO_HOLD.len(),
    ) {
        let held = WAYS_TO_HOLD[around].replace('@', &format!("{before}hunter-2{after}"));
        let text = format!("name: a\nrun:\n  shell: x\n  secrets:{held}\nnope: 1\n");
        let tree = load(&[("job.yaml", &text)]);
        prop_assert!(!tells(&tree, "hunter-2"), "{text}: {:?}", tree.problems);
        prop_assert!(!is_exposed(&tree, "hunter-2", &text), "{text}: {:?}", tree.problems);
    }

    #[test]
    fn mutated_defaults_are_read_to_their_end_and_what_is_not_ready_has_an_error(edits in edits()) {
        let defaults = "kind: defaults\nlabels: {a: b}\nschedule: {timezone: Europe/Berlin, jitter: 5s}\nrun: {cwd: /x, env: {A: \"{{ job.name }}\"}}\npolicy: {timeout: 5m, retry: {initial: 1s}} # tintal: ignore TIN040 -- x\n";
        let text = mutated(defaults, &edits);
        let files = [("_defaults.yaml", text.as_str()), ("sub/a.yaml", SEEDS[4]), ("b.yaml", SEEDS[1])];
        holds(&load(&files), &files);
    }
}
