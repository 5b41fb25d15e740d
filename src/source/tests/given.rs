//! Paths that a person typed.

use std::path::PathBuf;

use super::tree::{Tree, shown};
use crate::source::given::read_paths;

#[test]
fn paths_keep_the_spelling_of_the_person() {
    let tree = Tree::with(&[("b.yaml", "2"), ("a/c.yml", "1"), ("notes.txt", "3"), ("../x.json", "4")]);
    let root = tree.root().display().to_string();
    let typed = [format!("{root}/./b.yaml"), format!("{root}//"), format!("{root}/../x.json")];
    let given = read_paths(&typed.clone().map(PathBuf::from));
    let expected = [format!("{root}/./b.yaml=2"), format!("{root}/a/c.yml=1"), format!("{root}/../x.json=4")];
    assert_eq!(shown(&given.files), expected);
    assert_eq!(given.unreadable, []);
}

#[test]
fn a_path_that_comes_up_twice_is_read_once() {
    let tree = Tree::with(&[("a.yaml", "1")]);
    let given = read_paths(&[tree.root(), tree.path("a.yaml"), tree.root()]);
    assert_eq!(shown(&given.files), [format!("{}=1", tree.path("a.yaml").display())]);
}

#[test]
fn a_file_that_is_spelled_in_two_ways_is_read_once() {
    let tree = Tree::with(&[("team/a.yaml", "1"), ("b.yaml", "2")]);
    tree.link("jobs.d/team", "../same");
    for (first, second) in [
        ("team/a.yaml", "./team/../team/a.yaml"),
        ("team/a.yaml", "team"),
        ("team", "../same/a.yaml"),
        ("team", "./team/"),
    ] {
        let given = read_paths(&[tree.path(first), tree.root().join(second)]);
        assert_eq!(given.files.len(), 1, "{first} {second}");
    }
    // A file has the name of its link, as a job has the name of its file.
    tree.link("b.yaml", "c.yaml");
    assert_eq!(read_paths(&[tree.path("b.yaml"), tree.path("c.yaml")]).files.len(), 2);
    assert_eq!(read_paths(&[tree.root()]).files.len(), 3);
}

#[test]
fn what_is_missing_or_unreadable_is_told_and_the_rest_is_read() {
    let tree = Tree::with(&[("a.yaml", "1"), ("large.json", &"x".repeat(2 << 20))]);
    tree.link("gone", "team");
    tree.link("gone", "b.yaml");
    tree.link("gone", "alone");
    let [none, large, alone] = ["none.yaml", "large.json", "alone"].map(|path| tree.path(path));
    let given = read_paths(&[none.clone(), large, alone, tree.root(), none]);
    let root = tree.root().display().to_string();
    let expected = [
        format!("{root}/large.json: 2097152 bytes"),
        format!("{root}/a.yaml=1"),
        format!("{root}/b.yaml: it is a symbolic link to `gone`, which does not exist"),
    ];
    assert_eq!(shown(&given.files), expected);
    let told: Vec<String> = given.unreadable.iter().map(|at| format!("{}: {}", at.path, at.reason)).collect();
    let expected = [
        format!("{root}/none.yaml: there is no such file or directory: check the path"),
        format!("{root}/alone: it is a symbolic link to `gone`, which does not exist"),
        format!("{root}/team: it is a symbolic link to `gone`, which does not exist"),
    ];
    assert_eq!(told, expected);
}
