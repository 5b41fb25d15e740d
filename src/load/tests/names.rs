//! Names that are given twice.

use std::{collections::BTreeSet, sync::Arc};

use super::{file, load, load_files, load_with, loader, told};
use crate::{
    load::Tree,
    manifest::{
        file::{Content, ManifestFile},
        name::JobName,
    },
};

fn names<'a>(names: impl IntoIterator<Item = &'a JobName>) -> Vec<&'a str> {
    names.into_iter().map(JobName::as_str).collect()
}

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

/// F6, F21, F26: a newcomer does not take a live job over because the file that it lives in is
/// mistaken. What a file is told is what one is told that never saw it in good order.
#[test]
fn a_live_job_whose_file_is_mistaken_keeps_its_name() {
    let good = "schedule: {every: 1h}\nrun: {command: [a]}\n";
    let mistaken = format!("{good}enabeld: true\n");
    let told_of = |tree: &Tree| {
        let problems: Vec<_> =
            tree.problems.iter().map(|one| (one.message.clone(), one.job.clone())).collect();
        (told(tree), problems, tree.broken.clone(), tree.suspects.clone())
    };
    for path in ["b.yaml", "0.yaml"] {
        let newcomer = (path, "name: a\nschedule: {every: 2h}\nrun: {command: [a]}\n");
        let mut loader = loader();
        assert_eq!(names(load_with(&mut loader, &[("a.yaml", good)]).jobs.keys()), ["a"]);
        let alone = load_with(&mut loader, &[("a.yaml", &mistaken)]);
        assert_eq!(told_of(&alone), told_of(&load(&[("a.yaml", &mistaken)])));
        let files = [("a.yaml", mistaken.as_str()), newcomer];
        let second = load_with(&mut loader, &files);
        assert_eq!((names(second.jobs.keys()), names(&second.broken)), (Vec::new(), vec!["a"]), "{path}");
        assert_eq!(told_of(&second), told_of(&load(&files)), "{path}");
        // With the file in order again they are still two.
        let both = load_with(&mut loader, &[("a.yaml", good), newcomer]);
        assert_eq!(names(&both.broken), ["a"], "{path}");
        assert_eq!(names(load_with(&mut loader, &[newcomer]).jobs.keys()), ["a"], "{path}");
    }
}

/// F6, F26: a file that is cut to nothing, or cannot be read, keeps the names of its jobs too.
#[test]
fn a_live_job_whose_file_holds_nothing_keeps_its_name() {
    let job = |name: &str| format!("name: {name}\nrun: {{command: [a]}}\n");
    let two = format!("{}---\n{}", job("x"), job("y"));
    for content in [
        Content::Text("".into()),
        Content::Text("# moved\n".into()),
        Content::Unreadable { reason: "permission denied".to_owned() },
        Content::NotText { offset: 0, encoding: None },
    ] {
        for path in ["b.yaml", "0.yaml"] {
            let mut loader = loader();
            load_with(&mut loader, &[("a.yaml", &two)]);
            let hash = *blake3::hash(format!("{content:?}").as_bytes()).as_bytes();
            let nothing =
                ManifestFile { path: "a.yaml".into(), content_hash: hash, content: content.clone() };
            let tree = load_files(&mut loader, vec![Arc::new(nothing), file(path, &job("y"))]);
            assert_eq!((names(tree.jobs.keys()), names(&tree.broken)), (vec![], vec!["x", "y"]), "{path}");
            let double = tree.problems.iter().find(|problem| problem.code.as_str() == "TIN020").unwrap();
            let places = [&double.primary, &double.related[0]].map(|label| &*label.place.source.path);
            assert_eq!(BTreeSet::from(places), BTreeSet::from(["a.yaml", path]));
            // With the file gone, the newcomer is the only one.
            assert_eq!(names(load_with(&mut loader, &[(path, &job("y"))]).jobs.keys()), ["y"], "{path}");
        }
    }
}

/// F6, F26: what stands in a file now may not be what the file is called.
#[test]
fn a_file_that_no_longer_names_its_jobs_keeps_their_names() {
    let job = |name: &str| format!("name: {name}\nrun: {{command: [a]}}\n");
    let two = format!("{}---\n{}", job("x"), job("y"));
    let one_left = format!("{}---\n{}", job("x"), job("y").replace("name", "nam"));
    let newcomer = job("y");
    let mut loader = loader();
    load_with(&mut loader, &[("a.yaml", &two)]);
    let alone = load_with(&mut loader, &[("a.yaml", &one_left)]);
    assert_eq!((names(alone.jobs.keys()), names(&alone.broken)), (vec!["x"], vec!["y"]));
    assert_eq!(names(alone.suspects.keys()), ["y"]);
    let tree = load_with(&mut loader, &[("a.yaml", &one_left), ("b.yaml", &newcomer)]);
    assert_eq!((names(tree.jobs.keys()), names(&tree.broken)), (vec!["x"], vec!["y"]));
    let of_pair = tree.problems.iter().find(|problem| problem.code.as_str() == "TIN020").unwrap();
    assert_eq!(of_pair.primary.place.source.path, "b.yaml");
    assert_eq!(of_pair.related[0].text, "this file held it before the mistake in it");
}
