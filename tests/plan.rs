//! `plan` and `apply`, as their users see them: what is shown, what is written to a file, and what
//! is done of it.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Ran, Tree, wait_for};
use expect_test::{Expect, expect};
use serde_json::Value;

#[track_caller]
fn check(ran: &Ran, expected: &Expect) {
    expected.assert_eq(&ran.shown());
}

/// A job that runs by hand only, and prints a word.
fn by_hand(word: &str) -> String {
    format!("run: {{command: [echo, {word}]}}\n")
}

fn names(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

/// A tree of this many jobs, `j1`, `j2`, …, applied.
fn applied(count: usize) -> Tree {
    let tree = Tree::new();
    for number in 1..=count {
        tree.write(&format!("jobs.d/j{number}.yaml"), &by_hand("x"));
    }
    tree.ok(&["apply"]);
    tree
}

fn remove(tree: &Tree, jobs: std::ops::RangeInclusive<usize>) {
    for number in jobs {
        fs::remove_file(tree.path(&format!("jobs.d/j{number}.yaml"))).unwrap();
    }
}

#[test]
fn fields_are_named_as_explain_names_them() {
    let tree = Tree::with(&[(
        "jobs.d/a.yaml",
        "schedule: {cron: \"0 3 1 1 *\"}\nrun: {command: [echo, a]}\npolicy: {timeout: 5m}\n",
    )]);
    tree.ok(&["apply"]);
    tree.write(
        "jobs.d/a.yaml",
        "schedule: {cron: \"0 4 1 1 *\"}\nrun: {command: [echo, b]}\npolicy: {timeout: 90s}\n",
    );
    let plan = tree.json(&["plan", "--format", "json"]);
    let explained = tree.json(&["explain", "a", "--json"]);
    let pointers = names(&plan["steps"][0]["fields"], "pointer");
    assert_eq!(pointers, ["/schedule/cron", "/run/command/1", "/policy/timeout"]);
    for field in plan["steps"][0]["fields"].as_array().unwrap() {
        let pointer = field["pointer"].as_str().unwrap();
        assert_eq!(explained["spec"].pointer(pointer), Some(&field["after"]), "{pointer}");
    }
}

#[test]
fn the_next_fires_are_shown_before_and_after() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "schedule: {every: 1h}\nrun: {command: [echo, a]}\n")]);
    tree.ok(&["apply"]);
    tree.write("jobs.d/a.yaml", "schedule: {every: 30m}\nrun: {command: [echo, a]}\n");
    let plan = tree.json(&["plan", "--format", "json"]);
    let step = &plan["steps"][0];
    let fires = |key: &str| -> Vec<jiff::Timestamp> {
        let list = step[key].as_array().unwrap();
        list.iter().map(|time| time.as_str().unwrap().parse().unwrap()).collect()
    };
    let (before, after) = (fires("fires_before"), fires("fires_after"));
    assert_eq!((before.len(), after.len()), (3, 3));
    assert_eq!(before[2].duration_since(before[0]).as_hours(), 2);
    assert_eq!(after[2].duration_since(after[0]).as_hours(), 1);
    assert_eq!(
        (&step["next_before"], &step["next_after"]),
        (&step["fires_before"][0], &step["fires_after"][0])
    );
    let text = tree.ok(&["plan"]);
    assert!(text.contains("    fires before: ") && text.contains("    fires after:  "), "{text}");
}

/// F15.
#[test]
fn errors_of_the_manifests_are_part_of_the_plan() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("a")), ("jobs.d/b.yaml", &by_hand("b"))]);
    tree.ok(&["apply"]);
    tree.write("jobs.d/b.yaml", "run: {comand: [echo, b]}\n");
    check(
        &tree.run(&["plan", "--exit-code", "--out", "plan.json"]),
        &expect![[r#"
            ! b stays as it is: its manifest cannot be used

            0 to put, 0 to prune, 0 held back, 1 frozen
            1 error in the manifests: `tintal validate` says more
            --
            -- exit 1
        "#]],
    );
    assert_eq!(tree.run(&["plan"]).code, Some(0));
    check(
        &tree.run(&["plan", "--exit-code", "--format", "markdown"]),
        &expect![[r#"
            **b stays as it is**: its manifest cannot be used

            1 error in the manifests: `tintal validate` says more
            --
            -- exit 1
        "#]],
    );
    let json = tree.json(&["plan", "--format", "json"]);
    assert_eq!((&json["errors"], &json["frozen"][0]), (&Value::from(1), &Value::from("b")));
    let written: Value = serde_json::from_str(&fs::read_to_string(tree.path("plan.json")).unwrap()).unwrap();
    assert_eq!(written, json);
}

/// F12.
#[test]
fn what_the_guard_holds_back_is_shown_and_not_done() {
    let tree = applied(1);
    remove(&tree, 1..=1);
    let held = tree.run(&["plan", "--exit-code"]);
    check(
        &held,
        &expect![[r#"
            ! j1 is not pruned: the pass would prune every job that is held (1); if that is meant, run `tintal apply --allow-prune 1`

            0 to put, 0 to prune, 1 held back
            --
            -- exit 1
        "#]],
    );
    let json = tree.json(&["plan", "--format", "json"]);
    assert_eq!(
        (names(&json["held_back"], "job"), &json["steps"]),
        (vec!["j1".to_owned()], &Value::Array(vec![]))
    );
    assert!(json["held_back"][0]["reason"].as_str().unwrap().contains("every job that is held (1)"));
    let markdown = tree.ok(&["plan", "--format", "markdown"]);
    assert!(markdown.starts_with("**j1 is not pruned**: the pass would prune every job"), "{markdown}");
    let applied = tree.run(&["apply"]);
    assert_eq!(applied.code, Some(1));
    assert!(applied.stdout.starts_with("not pruned: j1: "), "{}", applied.stdout);

    // Too few are allowed: none goes.
    let tree = applied_then_removed(8, 6);
    let few = tree.run(&["apply", "--allow-prune", "5"]);
    assert!(few.code == Some(1) && few.stdout.contains("only 5 are allowed"), "{}", few.stdout);
    assert_eq!(names(&tree.json(&["plan", "--format", "json"])["held_back"], "job").len(), 6);
    assert_eq!(tree.ok(&["apply", "--allow-prune", "6"]).lines().count(), 6);
    assert_eq!(tree.ok(&["plan", "--exit-code"]), "nothing to do\n");
}

fn applied_then_removed(count: usize, removed: usize) -> Tree {
    let tree = applied(count);
    remove(&tree, 1..=removed);
    tree
}

#[test]
fn a_rename_of_the_only_job_is_one_apply() {
    let tree = applied(1);
    fs::rename(tree.path("jobs.d/j1.yaml"), tree.path("jobs.d/new.yaml")).unwrap();
    let plan = tree.json(&["plan", "--format", "json"]);
    assert_eq!(names(&plan["steps"], "change"), ["put", "prune"]);
    assert_eq!(tree.ok(&["apply"]), "create new on in-process\nprune j1 on in-process\n");
    assert_eq!(tree.ok(&["plan", "--exit-code"]), "nothing to do\n");
}

/// F12b: what was seen is what is done.
#[test]
fn apply_of_a_plan_does_its_steps_and_no_others() {
    let tree = applied_then_removed(8, 6);
    tree.write("jobs.d/new.yaml", &by_hand("new"));
    // Without an allowance the plan holds the prunes back: they are not on its list.
    tree.ok(&["plan", "--out", "guarded.json"]);
    assert_eq!(tree.ok(&["apply", "--plan", "guarded.json"]), "create new on in-process\n");
    tree.ok(&["plan", "--out", "empty.json"]);
    assert_eq!(tree.ok(&["apply", "--plan", "empty.json"]), "nothing to do\n");
    // A person allows them: the plan's prunes go past the guard.
    let shown = tree.ok(&["plan", "--allow-prune", "6", "--out", "plan.json"]);
    assert!(shown.contains("0 to put, 6 to prune, 0 held back"), "{shown}");
    assert_eq!(tree.ok(&["apply", "--plan", "plan.json"]).lines().count(), 6);
    assert_eq!(tree.ok(&["plan", "--exit-code"]), "nothing to do\n");
}

/// F12b: the tree, or what is live, changes between plan and apply.
#[test]
fn a_plan_of_another_tree_or_live_state_is_refused_and_nothing_is_done() {
    let tree = applied_then_removed(3, 1);
    tree.ok(&["plan", "--out", "plan.json"]);
    tree.write("jobs.d/late.yaml", &by_hand("late"));
    let refused = tree.run(&["apply", "--plan", "plan.json"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    assert!(
        refused.stderr.contains("the manifests have changed since the plan was made"),
        "{}",
        refused.stderr
    );
    let steps = names(&tree.json(&["plan", "--format", "json"])["steps"], "job");
    assert_eq!(steps, ["late", "j1"], "nothing was done");

    tree.ok(&["plan", "--out", "plan.json"]);
    tree.ok(&["apply"]);
    let refused = tree.run(&["apply", "--plan", "plan.json"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("what is live has changed since the plan was made"),
        "{}",
        refused.stderr
    );

    for (text, says) in [
        ("{", "is no plan that `tintal plan --out` wrote"),
        ("{\"v\": 1}", "is no plan that `tintal plan --out` wrote"),
        ("{\"v\": 2}", "has format 2"),
    ] {
        tree.write("plan.json", text);
        let refused = tree.run(&["apply", "--plan", "plan.json"]);
        assert!(refused.code == Some(2) && refused.stderr.contains(says), "{text}: {}", refused.stderr);
    }
}

/// F12: the wrong directory, or a generator that names its jobs anew.
#[test]
fn another_tree_changes_nothing_until_a_person_says_so() {
    let tree = applied(4);
    tree.write("other.d/new.yaml", &by_hand("other"));
    let reason = "if that is meant, run `tintal apply --allow-prune 4`";
    for _ in 0..2 {
        let refused = tree.run(&["apply", "--jobs", "other.d"]);
        assert_eq!(
            (refused.code, refused.stdout.matches(reason).count()),
            (Some(1), 2),
            "{}",
            refused.stdout
        );
        assert!(
            refused.stdout.contains("not put: new: the manifests ask for none of the jobs that are held")
        );
    }
    let plan = tree.run(&["plan", "--jobs", "other.d", "--exit-code"]);
    assert!(
        plan.stdout.contains("! new is not put: ") && plan.stdout.contains("0 to put"),
        "{}",
        plan.stdout
    );
    assert_eq!(tree.ok(&["plan", "--exit-code"]), "nothing to do\n");
    // All under new names, without a word on which is which.
    for number in 1..=4 {
        let from = tree.path(&format!("jobs.d/j{number}.yaml"));
        fs::rename(from, tree.path(&format!("jobs.d/k{number}.yaml"))).unwrap();
    }
    assert_eq!(tree.ok(&["apply"]).lines().count(), 8);
    let done = tree.ok(&["apply", "--jobs", "other.d", "--allow-prune", "4"]);
    assert_eq!(done.lines().count(), 5, "{done}");
    // One job for one other is an everyday edit.
    tree.write("third.d/third.yaml", &by_hand("third"));
    let done = tree.ok(&["apply", "--jobs", "third.d"]);
    assert_eq!(done, "create third on in-process\nprune new on in-process\n");
}

#[test]
fn a_daemon_applies_a_plan_by_the_same_rules() {
    let tree = applied(8);
    let daemon = tree.serve(&[]);
    remove(&tree, 1..=6);
    wait_for("they are held back", || daemon.log().contains("not removed").then_some(()));
    tree.ok(&["plan", "--allow-prune", "6", "--out", "plan.json"]);
    tree.write("jobs.d/late.yaml", &by_hand("late"));
    wait_for("the edit is applied", || daemon.log().contains("create late").then_some(()));
    let refused = tree.run(&["apply", "--plan", "plan.json"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("have changed since the plan was made"), "{}", refused.stderr);
    tree.ok(&["plan", "--allow-prune", "6", "--out", "plan.json"]);
    assert_eq!(tree.ok(&["apply", "--plan", "plan.json"]).lines().count(), 6);
    assert_eq!(tree.ok(&["plan", "--exit-code"]), "nothing to do\n");
}

/// F12: a file that is broken stands for what it held, and the daemon is who knows.
#[test]
fn a_plan_beside_a_daemon_knows_what_a_broken_file_held() {
    let tree = applied(9);
    let daemon = tree.serve(&[]);
    tree.write("jobs.d/j1.yaml", "bogus: [\n");
    remove(&tree, 2..=7);
    wait_for("they are held back", || daemon.log().contains("not removed").then_some(()));
    let reason = "the pass would prune 6 of 9 jobs at once";
    assert_eq!(tree.run(&["plan"]).stdout.matches(reason).count(), 6, "{}", tree.run(&["plan"]).stdout);
    assert_eq!(tree.run(&["status"]).stdout.matches(reason).count(), 1, "equal sentences are one line");
    let planned = tree.run(&["plan", "--allow-prune", "6", "--out", "plan.json"]);
    assert!(planned.stdout.contains("0 to put, 6 to prune, 0 held back, 1 frozen"), "{}", planned.stdout);
    // What it holds says nothing of the files of another directory.
    tree.write("other.d/j1.yaml", "bogus: [\n");
    let other = tree.run(&["plan", "--jobs", "other.d"]).stdout;
    assert!(other.contains("! j9 is not pruned: `other.d/j1.yaml` cannot be used"), "{other}");
    let applied = tree.run(&["apply", "--plan", "plan.json"]);
    assert_eq!(applied.stdout.lines().count(), 6, "{}", applied.stdout);
    assert!(tree.ok(&["list"]).contains("j1 "));
}

/// F15: with a daemon, plan asks it what is live, wherever the ledger is.
#[test]
fn after_apply_the_plan_is_empty_with_a_ledger_in_memory_too() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("a")), ("tintal.yaml", "ledger: memory\n")]);
    let without = tree.run(&["plan", "--exit-code"]);
    assert_eq!(without.code, Some(1));
    assert!(without.stderr.contains("nothing is live: no daemon is running"), "{}", without.stderr);
    let daemon = tree.serve(&[]);
    assert_eq!(tree.ok(&["plan", "--exit-code"]), "nothing to do\n");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(tree.run(&["plan", "--exit-code"]).code, Some(1));
}
