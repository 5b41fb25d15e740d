//! F9: each way in which people and programs change a tree is seen.
//!
//! Every test waits for the nudge itself; only then it looks.

use std::{fs, io::Write, os::unix::fs::symlink, process::Command};

use super::tree::{Tree, Watched, run};
use crate::source::watch::Wanted;

#[tokio::test]
async fn truncate_and_write_is_seen() {
    let mut watched = Watched::start(Tree::with(&[("a.yaml", "1")])).await;
    watched.tree.write("a.yaml", "2");
    watched.expect(&["a.yaml=2"]).await;
}

/// The whole tree is not walked for what the events say in full.
#[tokio::test]
async fn edits_of_plain_files_are_seen_where_events_name_them() {
    let mut watched = Watched::start(Tree::with(&[("a.yaml", "1"), ("team/b.yaml", "1")])).await;
    let before = watched.whole();
    watched.tree.write("team/b.yaml", "2");
    watched.expect(&["a.yaml=1", "team/b.yaml=2"]).await;
    watched.tree.sh("sed -i s/2/3/ team/b.yaml; mv a.yaml team/a.yaml");
    watched.expect(&["team/a.yaml=1", "team/b.yaml=3"]).await;
    watched.tree.sh("rm team/b.yaml; printf 4 > c.yaml");
    watched.expect(&["c.yaml=4", "team/a.yaml=1"]).await;
    assert_eq!(watched.whole(), before);
}

/// What is linked or listed under two paths, and what is new or a directory, is found by a walk.
#[tokio::test]
async fn what_events_do_not_say_in_full_is_walked() {
    let tree = Tree::with(&[("team/a.yaml", "1"), ("../x.yaml", "5")]);
    tree.link("team", "also");
    let mut watched = Watched::start(tree).await;
    watched.tree.write("team/a.yaml", "2");
    watched.expect(&["also/a.yaml=2", "team/a.yaml=2"]).await;
    watched.tree.link("../x.yaml", "b.yaml");
    watched.expect(&["also/a.yaml=2", "b.yaml=5", "team/a.yaml=2"]).await;
    watched.tree.sh("mkdir c.yaml; mkdir d; printf 3 > d/e.yaml; rm also");
    let directory = "c.yaml: it is a directory with the name of a manifest";
    watched.expect(&["b.yaml=5", directory, "d/e.yaml=3", "team/a.yaml=2"]).await;
}

#[tokio::test]
async fn an_append_is_seen() {
    let mut watched = Watched::start(Tree::with(&[("a.yaml", "1")])).await;
    let mut file = fs::OpenOptions::new().append(true).open(watched.tree.path("a.yaml")).unwrap();
    file.write_all(b"2").unwrap();
    watched.expect(&["a.yaml=12"]).await;
}

#[tokio::test]
async fn sed_in_place_is_seen() {
    let mut watched = Watched::start(Tree::with(&[("a.yaml", "one")])).await;
    watched.tree.sh("sed -i s/one/two/ a.yaml");
    watched.expect(&["a.yaml=two"]).await;
}

/// What vim does with `backupcopy=no`: probe, swap file, backup by rename, write, remove.
#[tokio::test]
async fn a_save_by_vim_is_seen() {
    let mut watched = Watched::start(Tree::with(&[("a.yaml", "1")])).await;
    watched.tree.sh(
        "echo x > .a.yaml.swp; echo > 4913; rm 4913; mv a.yaml a.yaml~; printf 2 > a.yaml; rm a.yaml~ .a.yaml.swp",
    );
    watched.expect(&["a.yaml=2"]).await;
}

#[tokio::test]
async fn files_that_come_go_and_move_are_seen() {
    let mut watched = Watched::start(Tree::with(&[("a.yaml", "1"), ("../new.yaml", "2")])).await;
    watched.tree.rename("../new.yaml", "b.yaml");
    watched.expect(&["a.yaml=1", "b.yaml=2"]).await;
    watched.tree.rename("b.yaml", "c.yaml");
    watched.expect(&["a.yaml=1", "c.yaml=2"]).await;
    watched.tree.rename("c.yaml", "../new.yaml");
    watched.expect(&["a.yaml=1"]).await;
    fs::remove_file(watched.tree.path("a.yaml")).unwrap();
    watched.expect(&[]).await;
}

#[tokio::test]
async fn a_swap_of_a_linked_file_and_a_write_to_its_target_are_seen() {
    let tree = Tree::with(&[("../store/one", "1"), ("../store/two", "2")]);
    tree.link("../store/one", "a.yaml");
    let mut watched = Watched::start(tree).await;
    watched.tree.sh("ln -s ../store/two .new && mv -T .new a.yaml");
    watched.expect(&["a.yaml=2"]).await;
    watched.tree.write("../store/two", "3");
    watched.expect(&["a.yaml=3"]).await;
    watched.tree.sh("printf 4 > ../store/new; mv ../store/new ../store/two");
    watched.expect(&["a.yaml=4"]).await;
}

#[tokio::test]
async fn a_dangling_link_that_gets_its_target_is_seen() {
    let tree = Tree::new();
    tree.link("../store/deep/one", "a.yaml");
    let mut watched = Watched::start(tree).await;
    assert!(watched.look()[0].contains("which does not exist"));
    watched.tree.write("../store/deep/one", "1");
    watched.expect(&["a.yaml=1"]).await;
}

/// git-sync: `current -> rev1` becomes `current -> rev2`, and the root is `current`.
#[tokio::test]
async fn a_swap_of_the_linked_root_is_seen() {
    let tree = Tree::with(&[("../rev1/a.yaml", "1"), ("../rev2/a.yaml", "2"), ("../rev2/b.yaml", "3")]);
    tree.link("rev1", "../current");
    let mut watched = Watched::start_at(tree, "../current", Wanted::Auto).await;
    assert_eq!(watched.look(), ["a.yaml=1"]);
    watched.tree.sh("cd ..; ln -s rev2 new; mv -T new current; rm -r rev1");
    watched.expect(&["a.yaml=2", "b.yaml=3"]).await;
    watched.tree.write("../rev2/a.yaml", "4");
    watched.expect(&["a.yaml=4", "b.yaml=3"]).await;
}

#[tokio::test]
async fn a_swap_of_a_link_above_the_root_is_seen() {
    let tree = Tree::with(&[("../rev1/jobs/a.yaml", "1"), ("../rev2/jobs/a.yaml", "2")]);
    tree.link("rev1", "../current");
    let mut watched = Watched::start_at(tree, "../current/jobs", Wanted::Auto).await;
    watched.tree.sh("cd ..; ln -sfn rev2 current");
    watched.expect(&["a.yaml=2"]).await;
}

#[tokio::test]
async fn a_swap_of_a_linked_directory_in_the_tree_is_seen() {
    let tree = Tree::with(&[("../rev1/a.yaml", "1"), ("../rev2/a.yaml", "2")]);
    tree.link("../rev1", "team");
    let mut watched = Watched::start(tree).await;
    watched.tree.sh("ln -sfn ../rev2 team");
    watched.expect(&["team/a.yaml=2"]).await;
    watched.tree.write("../rev2/a.yaml", "3");
    watched.expect(&["team/a.yaml=3"]).await;
}

/// How the kubelet writes a `ConfigMap`: no file of the directory itself ever changes.
#[tokio::test]
async fn a_config_map_update_is_seen() {
    let tree = Tree::with(&[("..2026_11_24/a.yaml", "1")]);
    tree.link("..2026_11_24", "..data");
    tree.link("..data/a.yaml", "a.yaml");
    let mut watched = Watched::start(tree).await;
    assert_eq!(watched.look(), ["a.yaml=1"]);
    for (revision, text) in [("..2026_11_25", "2"), ("..2026_11_26", "3")] {
        watched.tree.write(&format!("{revision}/a.yaml"), text);
        symlink(revision, watched.tree.path("..data_tmp")).unwrap();
        watched.tree.rename("..data_tmp", "..data");
        watched.expect(&[&format!("a.yaml={text}")]).await;
    }
}

#[tokio::test]
async fn a_git_checkout_is_seen() {
    let tree = Tree::with(&[("a.yaml", "1"), ("team/b.yaml", "1")]);
    tree.sh("git init -q -b main .; git add .; git commit -qm one
         git checkout -q -b other; printf 2 > a.yaml; git rm -q team/b.yaml
         mkdir -p new/deep; printf 3 > new/deep/c.yaml; git add .; git commit -qm two; git checkout -q main");
    let mut watched = Watched::start(tree).await;
    assert_eq!(watched.look(), ["a.yaml=1", "team/b.yaml=1"]);
    watched.tree.sh("git checkout -q other");
    watched.expect(&["a.yaml=2", "new/deep/c.yaml=3"]).await;
    watched.tree.sh("git checkout -q main");
    watched.expect(&["a.yaml=1", "team/b.yaml=1"]).await;
}

#[cfg(feature = "servers")]
#[tokio::test]
async fn an_rsync_with_deletes_is_seen() {
    let tree = Tree::with(&[("a.yaml", "1"), ("team/b.yaml", "1"), ("../from/a.yaml", "22")]);
    tree.write("../from/new/c.yaml", "3");
    let mut watched = Watched::start(tree).await;
    watched.tree.sh("rsync -a --delete ../from/ ./");
    watched.expect(&["a.yaml=22", "new/c.yaml=3"]).await;
}

/// notify#727: nothing tells of a file that is made right after its directories.
#[tokio::test]
async fn a_file_in_directories_made_with_it_is_seen() {
    let mut watched = Watched::start(Tree::with(&[("../x.yaml", "1")])).await;
    watched.tree.sh("mkdir -p a/b/c && cp ../x.yaml a/b/c/x.yaml");
    watched.expect(&["a/b/c/x.yaml=1"]).await;
    watched.tree.write("a/b/c/x.yaml", "2");
    watched.expect(&["a/b/c/x.yaml=2"]).await;
}

#[tokio::test]
async fn a_directory_removed_and_made_again_is_seen() {
    let mut watched = Watched::start(Tree::with(&[("team/a.yaml", "1")])).await;
    watched.tree.sh("rm -r team; mkdir team; printf 2 > team/a.yaml");
    watched.expect(&["team/a.yaml=2"]).await;
    watched.quiet();
    watched.tree.write("team/a.yaml", "3");
    watched.expect(&["team/a.yaml=3"]).await;
}

#[tokio::test]
async fn a_directory_moved_away_and_another_put_in_its_place_is_seen() {
    let mut watched = Watched::start(Tree::with(&[("team/a.yaml", "1"), ("../team/a.yaml", "2")])).await;
    watched.tree.sh("mv team ../old; mv ../team team");
    watched.expect(&["team/a.yaml=2"]).await;
    watched.quiet();
    watched.tree.write("team/a.yaml", "3");
    watched.expect(&["team/a.yaml=3"]).await;
}

#[tokio::test]
async fn a_root_removed_and_made_again_is_seen() {
    let mut watched = Watched::start(Tree::with(&[("a.yaml", "1")])).await;
    fs::remove_dir_all(watched.tree.root()).unwrap();
    watched.expect_no_tree().await;
    watched.tree.write("a.yaml", "2");
    watched.expect(&["a.yaml=2"]).await;
    watched.quiet();
    watched.tree.write("a.yaml", "3");
    watched.expect(&["a.yaml=3"]).await;
}

#[tokio::test]
async fn a_root_replaced_between_two_looks_is_seen() {
    let mut watched = Watched::start(Tree::with(&[("a.yaml", "1")])).await;
    watched.tree.sh("cd ..; mv jobs.d old; mkdir jobs.d; printf 2 > jobs.d/a.yaml");
    watched.expect(&["a.yaml=2"]).await;
    watched.quiet();
    watched.tree.write("a.yaml", "3");
    watched.expect(&["a.yaml=3"]).await;
}

#[tokio::test]
async fn a_root_that_comes_with_its_parents_is_seen() {
    let mut watched = Watched::start_at(Tree::new(), "../srv/tintal/jobs", Wanted::Auto).await;
    assert!(watched.look()[0].contains("there is no such directory"));
    watched.tree.write("../srv/tintal/jobs/a.yaml", "1");
    watched.expect(&["a.yaml=1"]).await;
}

#[tokio::test]
async fn a_root_that_is_a_file_is_watched() {
    let mut watched = Watched::start_at(Tree::with(&[("jobs", "1")]), "jobs", Wanted::Auto).await;
    watched.tree.sh("printf 2 > new; mv new jobs");
    watched.expect(&["jobs=2"]).await;
    watched.tree.write("jobs", "3");
    watched.expect(&["jobs=3"]).await;
}

#[tokio::test]
async fn a_nudge_that_comes_while_nobody_waits_is_kept() {
    let mut watched = Watched::start(Tree::with(&[("a.yaml", "1"), ("b.yaml", "1")])).await;
    watched.tree.write("a.yaml", "2");
    watched.expect(&["a.yaml=2", "b.yaml=1"]).await;
    // Written while the first nudge is being dealt with.
    watched.tree.write("b.yaml", "2");
    watched.expect(&["a.yaml=2", "b.yaml=2"]).await;
}

#[tokio::test]
async fn polling_sees_writes_new_directories_swaps_and_a_root_made_again() {
    let tree = Tree::with(&[("a.yaml", "1"), ("../two", "2")]);
    let mut watched = Watched::start_at(tree, "", Wanted::Poll).await;
    watched.tree.write("a.yaml", "2");
    watched.expect(&["a.yaml=2"]).await;
    watched.tree.sh("mkdir -p b/c; cp ../two b/c/x.yaml; ln -s ../two d.yaml; rm a.yaml");
    watched.expect(&["b/c/x.yaml=2", "d.yaml=2"]).await;
    watched.tree.write("../two", "3");
    watched.expect(&["b/c/x.yaml=2", "d.yaml=3"]).await;
    run(Command::new("rm").arg("-r").arg(watched.tree.root()));
    watched.expect_no_tree().await;
    watched.tree.write("a.yaml", "4");
    watched.expect(&["a.yaml=4"]).await;
}
