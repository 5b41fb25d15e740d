//! Names that are given twice.

use super::{load, told};
use crate::manifest::name::JobName;

/// F26: none of the places is taken for the right one.
#[test]
fn a_name_is_told_at_every_place_but_the_first_and_belongs_to_none() {
    let tree = load(&[
        (
            "a.yaml",
            "name: x\nrun: {command: [a]}\n---\nname: y\nrun: {command: [a]}\n---\nname: x\nrun: {command: [a]}\n",
        ),
        ("sub/x.yaml", "run: {command: [a]}\n"),
    ]);
    assert_eq!(told(&tree), ["a.yaml:7 TIN020", "sub/x.yaml:1 TIN020"]);
    for problem in &tree.problems {
        let [first] = problem.related.as_slice() else { panic!("{problem:?}") };
        assert_eq!((first.place.source.path.as_str(), first.place.span.start), ("a.yaml", 6));
    }
    assert_eq!(tree.jobs.keys().map(JobName::as_str).collect::<Vec<_>>(), ["y"]);
    assert_eq!(tree.broken.iter().map(JobName::as_str).collect::<Vec<_>>(), ["x"]);
}

/// A broken copy is a copy: which of the two is meant cannot be told.
#[test]
fn a_broken_copy_of_a_job_is_a_second_one() {
    let tree =
        load(&[("a.yaml", "name: x\nrun: {command: [a]}\n"), ("b.yaml", "name: x\nrun: {command: []}\n")]);
    assert_eq!(told(&tree), ["b.yaml:1 TIN020", "b.yaml:2 TIN016 /run/command"]);
    assert!(tree.jobs.is_empty());
}
