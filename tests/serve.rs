//! The daemon, as its users see it: real processes, real files, real `kill -9`.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{Tree, wait_for};
use serde_json::Value;

/// A job that prints a word once a second.
fn every_second(word: &str) -> String {
    format!("schedule: {{every: 1s}}\nrun: {{command: [echo, {word}]}}\n")
}

/// A job that runs by hand only, and prints a word.
fn by_hand(word: &str) -> String {
    format!("run: {{command: [echo, {word}]}}\n")
}

/// Waits until the job prints the word when it is triggered.
#[track_caller]
fn prints(tree: &Tree, job: &str, word: &str) {
    wait_for(&format!("{job} prints {word}"), || {
        let ran = tree.run(&["trigger", job, "--follow"]);
        (ran.stdout.trim() == word).then_some(())
    });
}

#[track_caller]
fn gone(tree: &Tree, job: &str) {
    wait_for(&format!("{job} is gone"), || (!jobs(tree).contains(job)).then_some(()));
}

fn jobs(tree: &Tree) -> BTreeSet<String> {
    let status = tree.json(&["status", "--json"]);
    let live = status["jobs"].as_array().unwrap().iter().filter(|job| !job["tier"].is_null());
    live.map(|job| job["job"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_manifest_fires_on_time_and_leaves_a_record() {
    let tree = Tree::with(&[("jobs.d/tick.yaml", &every_second("tock"))]);
    let daemon = tree.serve(&[]);
    let runs = tree.wait_for_runs("tick", 3);
    for pair in runs.windows(2) {
        assert!(pair[0]["fire_time"].as_str() > pair[1]["fire_time"].as_str(), "{pair:?}");
    }
    for run in &runs {
        assert_eq!(run["outcome"], "success", "{run}");
        assert_eq!(run["attempts"][0]["exit_code"], 0, "{run}");
    }
    let id = runs[0]["run_id"].as_str().unwrap();
    assert_eq!(tree.ok(&["logs", id]), "tock\n");
    assert_eq!(daemon.stop(), Some(0));
    // What it remembers can be read without it.
    assert!(tree.runs("tick").len() >= 3);
    assert_eq!(tree.ok(&["logs", id]), "tock\n");
}

#[test]
fn a_run_is_told_the_time_of_the_entry_that_fired() {
    let schedule = "schedule: [{cron: \"0 3 1 1 *\", timezone: Asia/Tokyo}, {every: 1s}]\n";
    let run = "run: {command: [echo, \"{{ fire_time.iso }}\"]}\n";
    let tree = Tree::with(&[("jobs.d/two.yaml", &format!("{schedule}{run}"))]);
    let _daemon = tree.serve(&[]);
    let id = tree.wait_for_runs("two", 1)[0]["run_id"].as_str().unwrap().to_owned();
    let told = tree.ok(&["logs", &id]);
    assert!(told.ends_with("+00:00\n"), "{told}");
    // By hand: the first cron entry.
    let told = tree.run(&["trigger", "two", "--follow"]).stdout;
    assert!(told.trim().ends_with("+09:00"), "{told}");
}

#[test]
fn a_broken_edit_keeps_the_job_and_is_named() {
    let tree = Tree::with(&[("jobs.d/tick.yaml", &every_second("good"))]);
    let daemon = tree.serve(&[]);
    tree.wait_for_runs("tick", 1);
    tree.write("jobs.d/tick.yaml", "schedule: {every: 1s\n");
    wait_for("the problem is logged", || daemon.log().contains("TIN001").then_some(()));
    wait_for("the way on is named", || {
        daemon.log().contains("`tintal validate` shows each problem at its place").then_some(())
    });
    let before = tree.runs("tick").len();
    tree.wait_for_runs("tick", before + 2);
    let status = tree.run(&["status"]);
    assert_eq!(status.code, Some(1));
    assert!(status.stdout.contains("tick: Degraded: jobs.d/tick.yaml:1:"), "{}", status.stdout);
    tree.write("jobs.d/tick.yaml", &by_hand("mended"));
    prints(&tree, "tick", "mended");
    assert_eq!(tree.run(&["status"]).code, Some(0));
}

/// `FAILURE_MODES` F6, F12: whatever is wrong with its file, a live job goes on, and is named.
#[test]
fn a_job_whose_file_no_longer_names_it_goes_on() {
    let good = |name: &str| format!("name: {name}\nschedule: {{every: 1h}}\nrun: {{shell: 'true'}}\n");
    let report = || good("report");
    let cases: &[(&str, Vec<u8>)] = &[
        ("a typo in the key", report().replace("name:", "nam:").into()),
        ("a name that cannot be one", report().replace("name: report", "name: Report!").into()),
        ("a name that is never closed", report().replace("name: report", "name: [report").into()),
        (
            "another name and a mistake",
            report().replace("name: report", "name: other").replace("every: 1h", "evry: 1h").into(),
        ),
        ("no bytes", Vec::new()),
        ("comments only", b"# nothing\n".to_vec()),
        ("no text", b"\xff\x00".to_vec()),
    ];
    let tree = Tree::with(&[("jobs.d/r.yaml", &report()), ("jobs.d/keep.yaml", &good("keep"))]);
    let daemon = tree.serve(&[]);
    let degraded = || {
        let status = tree.json(&["status", "--json"]);
        let jobs = status["jobs"].as_array().unwrap().clone();
        let report = jobs.iter().find(|job| job["job"] == "report").cloned().expect("the job is there");
        let live: BTreeSet<String> = jobs.iter().map(|job| job["job"].as_str().unwrap().to_owned()).collect();
        assert!(live.contains("keep") && !live.contains("r"), "{live:?}");
        let is_degraded =
            report["conditions"].as_array().unwrap().iter().any(|condition| condition["type"] == "Degraded");
        assert!(report["next_fire"].is_string(), "it still fires: {report}");
        is_degraded
    };
    for (what, content) in cases {
        fs::write(tree.path("jobs.d/r.yaml"), content).unwrap();
        wait_for(&format!("{what}: the job is degraded"), || degraded().then_some(()));
        // A removal elsewhere at the same time takes nothing along.
        let ran = tree.run(&["apply", "--allow-prune", "5"]);
        assert!(!ran.stdout.contains("report"), "{what}: {}{}", ran.stdout, ran.stderr);
        tree.write("jobs.d/r.yaml", &report());
        wait_for(&format!("{what}: the job is well again"), || (!degraded()).then_some(()));
    }
    assert!(!daemon.log().contains("prune report"), "{}", daemon.log());
}

#[test]
fn one_bad_file_does_not_keep_the_good_ones_from_starting() {
    let tree =
        Tree::with(&[("jobs.d/bad.yaml", "run: {comand: [x]}\n"), ("jobs.d/good.yaml", &by_hand("good"))]);
    let _daemon = tree.serve(&[]);
    prints(&tree, "good", "good");
    assert_eq!(jobs(&tree), BTreeSet::from(["good".to_owned()]));
}

#[test]
fn every_way_to_edit_a_file_takes_effect() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("one"))]);
    let _daemon = tree.serve(&[]);
    prints(&tree, "a", "one");
    // Truncate and write.
    tree.write("jobs.d/a.yaml", &by_hand("two"));
    prints(&tree, "a", "two");
    // sed -i: a new file is renamed over the old one.
    let sed =
        Command::new("sed").args(["-i", "s/two/three/"]).arg(tree.path("jobs.d/a.yaml")).status().unwrap();
    assert!(sed.success());
    prints(&tree, "a", "three");
    // vim: the old file is moved away, a new one is written.
    fs::rename(tree.path("jobs.d/a.yaml"), tree.path("jobs.d/a.yaml~")).unwrap();
    tree.write("jobs.d/a.yaml", &by_hand("four"));
    fs::remove_file(tree.path("jobs.d/a.yaml~")).unwrap();
    prints(&tree, "a", "four");
    // mv into the tree.
    tree.write("new.yaml", &by_hand("five"));
    fs::rename(tree.path("new.yaml"), tree.path("jobs.d/b.yaml")).unwrap();
    prints(&tree, "b", "five");
    // mkdir -p a/b && cp.
    tree.write("jobs.d/deep/deeper/c.yaml", &by_hand("six"));
    prints(&tree, "c", "six");
    // A symbolic link to a file is swapped.
    tree.write("v1.yaml", &by_hand("seven"));
    tree.write("v2.yaml", &by_hand("eight"));
    symlink("../v1.yaml", tree.path("jobs.d/link.yaml")).unwrap();
    prints(&tree, "link", "seven");
    symlink("../v2.yaml", tree.path("jobs.d/.link")).unwrap();
    fs::rename(tree.path("jobs.d/.link"), tree.path("jobs.d/link.yaml")).unwrap();
    prints(&tree, "link", "eight");
    // What it leads to is edited.
    tree.write("v2.yaml", &by_hand("nine"));
    prints(&tree, "link", "nine");
    // A file is removed.
    fs::remove_file(tree.path("jobs.d/b.yaml")).unwrap();
    gone(&tree, "b");
}

#[test]
fn the_whole_directory_is_swapped_removed_and_made_again() {
    let tree = Tree::with(&[("v1/a.yaml", &by_hand("one")), ("v2/a.yaml", &by_hand("two"))]);
    fs::remove_dir(tree.path("jobs.d")).unwrap();
    symlink("v1", tree.path("jobs.d")).unwrap();
    let daemon = tree.serve(&[]);
    prints(&tree, "a", "one");
    symlink("v2", tree.path("next")).unwrap();
    fs::rename(tree.path("next"), tree.path("jobs.d")).unwrap();
    prints(&tree, "a", "two");
    // Gone: nothing is changed, and it is said aloud.
    fs::remove_file(tree.path("jobs.d")).unwrap();
    wait_for("the loss is logged", || daemon.log().contains("cannot read manifests").then_some(()));
    prints(&tree, "a", "two");
    fs::create_dir(tree.path("jobs.d")).unwrap();
    tree.write("jobs.d/a.yaml", &by_hand("three"));
    prints(&tree, "a", "three");
    tree.write("jobs.d/a.yaml", &by_hand("four"));
    prints(&tree, "a", "four");
}

#[test]
fn a_config_map_is_swapped_by_its_data_link() {
    let tree = Tree::new();
    tree.write("jobs.d/..2026_1/a.yaml", &by_hand("one"));
    symlink("..2026_1", tree.path("jobs.d/..data")).unwrap();
    symlink("..data/a.yaml", tree.path("jobs.d/a.yaml")).unwrap();
    let _daemon = tree.serve(&[]);
    prints(&tree, "a", "one");
    tree.write("jobs.d/..2026_2/a.yaml", &by_hand("two"));
    symlink("..2026_2", tree.path("jobs.d/..data_tmp")).unwrap();
    fs::rename(tree.path("jobs.d/..data_tmp"), tree.path("jobs.d/..data")).unwrap();
    fs::remove_dir_all(tree.path("jobs.d/..2026_1")).unwrap();
    prints(&tree, "a", "two");
}

#[test]
fn git_checkout_changes_the_tree_as_a_whole() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("one")), ("jobs.d/keep.yaml", &by_hand("kept"))]);
    let git = |arguments: &[&str]| {
        let name = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"];
        let status =
            Command::new("git").args(name).args(arguments).current_dir(tree.root()).output().unwrap();
        assert!(status.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&status.stderr));
    };
    git(&["init", "-q"]);
    git(&["add", "jobs.d"]);
    git(&["commit", "-qm", "one"]);
    git(&["checkout", "-qb", "other"]);
    tree.write("jobs.d/a.yaml", &by_hand("two"));
    tree.write("jobs.d/sub/b.yaml", &by_hand("three"));
    git(&["add", "jobs.d"]);
    git(&["commit", "-qm", "two"]);
    git(&["checkout", "-q", "main"]);
    let _daemon = tree.serve(&[]);
    prints(&tree, "a", "one");
    git(&["checkout", "-q", "other"]);
    prints(&tree, "a", "two");
    prints(&tree, "b", "three");
    git(&["checkout", "-q", "main"]);
    prints(&tree, "a", "one");
    gone(&tree, "b");
}

#[test]
fn polling_follows_edits_and_is_said_aloud() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("one")), ("tintal.yaml", "watch: poll\n")]);
    let daemon = tree.serve(&[]);
    prints(&tree, "a", "one");
    tree.write("jobs.d/a.yaml", &by_hand("two"));
    prints(&tree, "a", "two");
    assert!(tree.ok(&["status"]).contains("by polling"));
    // What was asked for is no warning.
    let said = " INFO the directory is looked at every second, as the settings ask";
    assert!(daemon.log().contains(said) && !daemon.log().contains("WARN"), "{}", daemon.log());
}

#[test]
fn what_the_log_says_is_ours() {
    let tree = Tree::with(&[("jobs.d/keep.yaml", &by_hand("x"))]);
    (0..6).for_each(|n| tree.write(&format!("jobs.d/d{n}/README.txt"), ""));
    let daemon = tree.serve(&[]);
    (0..6).for_each(|n| fs::remove_dir_all(tree.path(&format!("jobs.d/d{n}"))).unwrap());
    tree.write("jobs.d/keep.yaml", &by_hand("y"));
    prints(&tree, "keep", "y");
    assert_eq!(daemon.stop(), Some(0));
    let log = fs::read_to_string(tree.path("serve.log")).unwrap();
    assert!(!log.contains("watch") && !log.contains("WARN"), "{log}");
}

/// F10: programs save by removing a file and writing it anew, and the one that writes may be slow.
#[test]
fn a_file_that_is_removed_and_made_again_within_a_moment_keeps_its_job() {
    let tree = Tree::with(&[
        ("jobs.d/a.yaml", &by_hand("one")),
        ("jobs.d/b.yaml", &format!("name: c\n{}---\nname: b\n{0}", by_hand("one"))),
    ]);
    let daemon = tree.serve(&[]);
    let digest = || tree.json(&["status", "--json"])["source"]["tree"].clone();
    let whole = digest();
    fs::remove_file(tree.path("jobs.d/a.yaml")).unwrap();
    tree.write("jobs.d/b.yaml", &format!("name: c\n{}", by_hand("one")));
    wait_for("both are seen to be gone", || (digest() != whole).then_some(()));
    tree.write("jobs.d/a.yaml", &by_hand("one"));
    tree.write("jobs.d/b.yaml", &format!("name: c\n{}---\nname: b\n{0}", by_hand("two")));
    prints(&tree, "b", "two");
    // By now they would be gone.
    fs::remove_file(tree.path("jobs.d/b.yaml")).unwrap();
    gone(&tree, "b");
    let log = daemon.log();
    let times = |what: &str| log.matches(what).count();
    assert_eq!([times("prune a"), times("create b"), times("prune b")], [0, 1, 1], "{log}");
}

/// A tree that is being written may not hold all of its jobs yet: none of them misses the start of the
/// machine for that.
#[test]
fn a_job_that_comes_while_the_tree_is_written_runs_for_the_start_of_the_machine() {
    let tree = Tree::with(&[("jobs.d/busy.yaml", &by_hand("0"))]);
    let (path, aside) = (tree.path("jobs.d/busy.yaml"), tree.path("aside"));
    let done = Arc::new(AtomicBool::new(false));
    let is_done = Arc::clone(&done);
    let busy = thread::spawn(move || {
        for count in 1.. {
            // Without a rest: on a busy machine one becomes so long that the tree is taken to be at rest.
            fs::write(&aside, by_hand(&count.to_string())).unwrap();
            fs::rename(&aside, &path).unwrap();
            if is_done.load(Ordering::Relaxed) {
                return;
            }
        }
    });
    let _daemon = tree.serve(&[]);
    let at_boot = "schedule: {cron: \"@reboot\"}\nrun: {shell: \"echo up\"}\n";
    tree.write("jobs.d/a.yaml", at_boot);
    wait_for("it is live", || jobs(&tree).contains("a").then_some(()));
    done.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    tree.wait_for_runs("a", 1);
}

/// F10, F29: a name that is half written is a name, too.
#[test]
fn a_name_that_is_written_slowly_names_no_job() {
    let manifest = |name: &str| format!("{}name: {name}", by_hand("one"));
    let tree = Tree::with(&[("jobs.d/a.yaml", &manifest("nightly-report"))]);
    let daemon = tree.serve(&[]);
    let digest = || tree.json(&["status", "--json"])["source"]["tree"].clone();
    let whole = digest();
    tree.write("jobs.d/a.yaml", &manifest("nightly"));
    wait_for("the half is seen", || (digest() != whole).then_some(()));
    tree.write("jobs.d/a.yaml", &manifest("nightly-report"));
    wait_for("the whole is seen", || (digest() == whole).then_some(()));
    tree.write("jobs.d/a.yaml", &manifest("weekly"));
    gone(&tree, "nightly-report");
    let log = daemon.log();
    assert!(!log.contains("create nightly on") && log.contains("create weekly"), "{log}");
}

#[test]
fn equal_content_is_no_reload() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("one")), ("jobs.d/b.yaml", &by_hand("one"))]);
    let daemon = tree.serve(&[]);
    let state = |key: &str| tree.json(&["status", "--json"])["source"][key].clone();
    let (generation, parsed) = (state("generation"), state("files_parsed"));
    tree.write("jobs.d/a.yaml", &by_hand("one"));
    daemon.signal("HUP");
    wait_for("the signal is seen", || daemon.log().contains("SIGHUP").then_some(()));
    tree.write("jobs.d/b.yaml", &by_hand("two"));
    prints(&tree, "b", "two");
    assert_eq!(state("generation"), Value::from(generation.as_u64().unwrap() + 1));
    assert_eq!(state("files_parsed"), Value::from(parsed.as_u64().unwrap() + 1));
}

#[test]
fn after_kill_9_nothing_is_lost_and_nothing_runs_twice() {
    let tree = Tree::with(&[("jobs.d/tick.yaml", &every_second("x"))]);
    for _ in 0..3 {
        let daemon = tree.serve(&[]);
        let before = tree.runs("tick").len();
        tree.wait_for_runs("tick", before + 2);
        daemon.kill();
    }
    let daemon = tree.serve(&[]);
    let before = tree.runs("tick").len();
    tree.wait_for_runs("tick", before + 2);
    assert_eq!(daemon.stop(), Some(0));
    // Every second from the first to the last is decided exactly once.
    let mut decided: Vec<i64> = Vec::new();
    for run in tree.runs("tick") {
        let first = run["fire_time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
        decided.extend((0..run["count"].as_i64().unwrap()).map(|offset| first + offset));
    }
    decided.sort_unstable();
    let all: Vec<i64> = (decided[0]..=decided[decided.len() - 1]).collect();
    assert_eq!(decided, all);
}

#[test]
fn a_job_that_was_removed_while_no_daemon_ran_does_not_fire_once_more() {
    let tree =
        Tree::with(&[("jobs.d/tick.yaml", &every_second("x")), ("jobs.d/keep.yaml", &by_hand("kept"))]);
    let daemon = tree.serve(&[]);
    tree.wait_for_runs("tick", 1);
    daemon.kill();
    let before = tree.runs("tick").len();
    fs::remove_file(tree.path("jobs.d/tick.yaml")).unwrap();
    let _daemon = tree.serve(&[]);
    prints(&tree, "keep", "kept");
    assert_eq!(jobs(&tree), BTreeSet::from(["keep".to_owned()]));
    assert_eq!(tree.runs("tick").len(), before);
}

#[test]
fn a_run_that_was_going_at_kill_9_is_abandoned_ended_and_tried_again() {
    let tree = Tree::with(&[(
        "jobs.d/slow.yaml",
        "run:\n  shell: |\n    echo attempt $TINTAL_ATTEMPT pid $$\n    [ $TINTAL_ATTEMPT = 2 ] || exec sleep 600\npolicy: {retry: {max_attempts: 2, initial: 1ms}}\n",
    )]);
    let daemon = tree.serve(&[]);
    let id = tree.ok(&["trigger", "slow"]).trim().to_owned();
    let line = wait_for("the first attempt prints", || {
        let line = tree.run(&["logs", &id]).stdout;
        line.contains("pid").then_some(line)
    });
    let pid = line.trim().rsplit(' ').next().unwrap().to_owned();
    daemon.kill();
    assert!(fs::exists(format!("/proc/{pid}")).unwrap(), "it outlives the daemon");
    let _daemon = tree.serve(&[]);
    let runs = tree.wait_for_runs("slow", 1);
    assert_eq!(runs[0]["outcome"], "success", "{runs:?}");
    assert_eq!(runs[0]["attempts"][0]["outcome"], "abandoned", "{runs:?}");
    wait_for("the leftover is gone", || {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (state.is_empty() || state.contains(") Z ")).then_some(())
    });
}

#[test]
fn a_run_is_followed_live_through_its_attempts() {
    // The second attempt prints, and waits for a file that is made once it was seen to.
    let tree = Tree::new();
    let go = tree.path("go");
    let go = go.display();
    tree.write(
        "jobs.d/slow.yaml",
        &format!(
            "run:\n  shell: |\n    echo begun $TINTAL_ATTEMPT\n    [ $TINTAL_ATTEMPT = 2 ] || exit 1\n    until [ -e {go} ]; do sleep 0.02; done\n    echo over\npolicy: {{timeout: 60s, retry: {{max_attempts: 2, initial: 300ms}}}}\n"
        ),
    );
    let _daemon = tree.serve(&[]);
    let seen = tree.path("seen");
    let out = fs::File::create(&seen).unwrap();
    let mut trigger = tree.command(&["trigger", "slow", "-f"]).stdout(out).spawn().unwrap();
    wait_for("the second attempt is seen while it goes on", || {
        (fs::read_to_string(&seen).unwrap() == "begun 1\nbegun 2\n").then_some(())
    });
    let id = tree.runs("slow")[0]["run_id"].as_str().unwrap().to_owned();
    // An attempt that is over is followed no further than its end.
    let first = tree.run(&["logs", &id, "-f", "--attempt", "1"]);
    assert_eq!((first.stdout.as_str(), first.code), ("begun 1\n", Some(1)));
    fs::write(tree.path("go"), "").unwrap();
    assert_eq!(trigger.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(&seen).unwrap(), "begun 1\nbegun 2\nover\n");
    assert_eq!(tree.ok(&["logs", &id, "-f"]), "begun 2\nover\n");
    assert_eq!(tree.ok(&["logs", &id, "-f", "--attempt", "2"]), "begun 2\nover\n");

    let said = |arguments: &[&str]| {
        let ran = tree.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        ran.stderr
    };
    let no_attempt = format!("the run `{id}` has no attempt 9; its last is 2");
    assert!(said(&["logs", &id, "--attempt", "9"]).contains(&no_attempt));
    assert!(said(&["logs", &id, "-f", "--attempt", "9"]).contains(&no_attempt));
    let nobody = "00000000-0000-5000-8000-000000000000";
    assert!(said(&["logs", nobody]).contains("there is no run"));
    assert!(said(&["logs", nobody, "-f", "--attempt", "1"]).contains("there is no run"));
}

#[test]
fn the_state_directory_has_one_daemon() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("one"))]);
    let daemon = tree.serve(&[]);
    let second = tree.run(&["serve"]);
    assert_eq!(second.code, Some(2));
    assert!(second.stderr.contains(&format!("in use by the process {}", daemon.pid())), "{}", second.stderr);
    let mode = |path: &str| fs::metadata(tree.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".tintal"), mode(".tintal/control.sock")), (0o700, 0o600));
}

#[test]
fn sigterm_lets_runs_end_and_a_second_one_stops_them() {
    let tree = Tree::with(&[("jobs.d/slow.yaml", "run: {shell: \"echo begun; sleep 2; echo over\"}\n")]);
    let daemon = tree.serve(&[]);
    let id = tree.ok(&["trigger", "slow"]).trim().to_owned();
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(tree.ok(&["logs", &id]), "begun\nover\n");

    tree.write("jobs.d/slow.yaml", "run: {shell: \"echo begun; sleep 600\"}\n");
    let daemon = tree.serve(&[]);
    let id = tree.ok(&["trigger", "slow"]).trim().to_owned();
    wait_for("it prints", || tree.run(&["logs", &id]).stdout.contains("begun").then_some(()));
    let begin = Instant::now();
    daemon.signal("TERM");
    wait_for("it waits", || daemon.log().contains("a second signal stops them").then_some(()));
    daemon.signal("TERM");
    assert_eq!(daemon.wait(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(15));
    assert_eq!(tree.runs("slow")[0]["outcome"], "cancelled");
}

#[test]
fn people_pause_resume_trigger_and_cancel() {
    let tree = Tree::with(&[
        ("jobs.d/tick.yaml", &every_second("x")),
        ("jobs.d/long.yaml", "run: {shell: \"echo begun; sleep 600\"}\n"),
        ("jobs.d/greet.yaml", "run: {command: [echo, \"hello {{ params.name }}\"]}\nparams: {name: world}\n"),
    ]);
    let daemon = tree.serve(&[]);
    assert_eq!(
        tree.ok(&["pause", "tick", "--reason", "maintenance"]),
        "paused `tick`; runs that go on are not stopped\n"
    );
    wait_for("a skip is recorded", || {
        tree.runs("tick").iter().any(|run| run["reason"] == "paused").then_some(())
    });
    // A pause survives a restart.
    daemon.kill();
    let _daemon = tree.serve(&[]);
    let paused = tree.json(&["list", "--json"]);
    let tick = paused["jobs"].as_array().unwrap().iter().find(|job| job["job"] == "tick").unwrap().clone();
    assert_eq!((tick["paused"].clone(), tick["next_fire"].clone()), (Value::Bool(true), Value::Null));
    assert_eq!(tree.ok(&["resume", "tick"]), "resumed `tick`\n");
    let before = tree.runs("tick").iter().filter(|run| run["outcome"] == "success").count();
    wait_for("it runs again", || {
        (tree.runs("tick").iter().filter(|run| run["outcome"] == "success").count() > before).then_some(())
    });

    let id = tree.ok(&["trigger", "long"]).trim().to_owned();
    wait_for("it prints", || tree.run(&["logs", &id]).stdout.contains("begun").then_some(()));
    let busy = tree.run(&["trigger", "long"]);
    assert!(busy.code == Some(2) && busy.stderr.contains("running already"), "{}", busy.stderr);
    assert!(tree.ok(&["cancel", "long"]).contains(&id));
    assert_eq!(tree.wait_for_runs("long", 1)[0]["outcome"], "cancelled");

    let greeting = tree.run(&["trigger", "greet", "-p", "name=you", "--follow"]);
    assert_eq!((greeting.stdout.as_str(), greeting.code), ("hello you\n", Some(0)));
    let unknown = tree.run(&["trigger", "greet", "-p", "nam=you"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("did you mean `name`?"), "{}", unknown.stderr);
    let missing = tree.run(&["trigger", "gret"]);
    assert!(missing.stderr.contains("did you mean `greet`?"), "{}", missing.stderr);
}

/// The job as `list --json` and as `status --json` show it.
#[track_caller]
fn listed(tree: &Tree, name: &str) -> Value {
    let of = |command: &str| {
        let view = tree.json(&[command, "--json"]);
        view["jobs"].as_array().unwrap().iter().find(|job| job["job"] == name).unwrap().clone()
    };
    assert_eq!(of("list")["pause"], of("status")["pause"]);
    of("list")
}

#[test]
fn a_pause_is_shown_with_its_reason_and_since_when() {
    let tree = Tree::with(&[
        ("jobs.d/hourly.yaml", "schedule: {every: 1h}\nrun: {command: [echo, a]}\n"),
        ("jobs.d/off.yaml", "enabled: false\nschedule: {every: 1h}\nrun: {command: [echo, a]}\n"),
    ]);
    let daemon = tree.serve(&[]);
    assert_eq!(listed(&tree, "hourly")["pause"], Value::Null);
    tree.ok(&["pause", "hourly"]);
    let since = listed(&tree, "hourly")["pause"]["since"].as_str().unwrap().to_owned();
    let told = |reason: &str| assert_eq!(tree.ok(&["pause", "hourly", "--reason", "disk is full"]), reason);
    told("`hourly` is paused already; it has a reason now\n");
    told("`hourly` is paused already\n");
    assert_eq!(
        tree.ok(&["pause", "hourly", "--reason", "moving"]),
        "`hourly` is paused already; its reason is replaced\n"
    );
    // Without a reason nothing is taken back.
    assert_eq!(tree.ok(&["pause", "hourly"]), "`hourly` is paused already\n");

    let shown = || {
        let pause = listed(&tree, "hourly")["pause"].clone();
        assert_eq!(pause, serde_json::json!({"reason": "moving", "since": since}));
        let list = tree.ok(&["list"]);
        assert!(list.contains(&format!("paused since {since}: moving")), "{list}");
        let status = tree.run(&["status"]).stdout;
        assert!(status.contains(&format!("\npaused\n  hourly: since {since}: moving\n")), "{status}");
        let explain = tree.ok(&["explain", "hourly"]);
        let line =
            format!("next      not while it is paused since {since}: moving; resumed it would fire:\n");
        assert!(explain.contains(&line), "{explain}");
        assert_eq!(tree.json(&["explain", "hourly", "--json"])["pause"], pause);
        let next = tree.run(&["next", "hourly", "-n", "1"]);
        assert_eq!(next.stdout.lines().count(), 1, "{}", next.shown());
        let line = format!(
            "`hourly` is paused since {since}: moving; until `tintal resume hourly` it does not fire\n"
        );
        assert!(next.stderr.ends_with(&line), "{}", next.shown());
        assert_eq!(tree.json(&["next", "hourly", "--json"])["pause"], pause);
    };
    shown();
    let off = tree.ok(&["explain", "off"]);
    assert!(off.contains("never: the job is disabled; enabled it would fire:"), "{off}");
    daemon.kill();
    shown();
    let _daemon = tree.serve(&[]);
    shown();
}

#[test]
fn what_is_said_of_many_jobs_is_said_once() {
    let tree = Tree::new();
    let name = |n: u32| format!("jobs.d/job-{n:02}.yaml");
    (0..40).for_each(|n| tree.write(&name(n), &by_hand("x")));
    let _daemon = tree.serve(&[]);
    (1..40).for_each(|n| fs::remove_file(tree.path(&name(n))).unwrap());
    let status = wait_for("the prune is held back", || {
        let status = tree.run(&["status"]).stdout;
        status.contains("Held").then_some(status)
    });
    let line =
        "  job-01, job-02, job-03, job-04, job-05 … and 34 more: Held: the pass would prune 39 of 40 jobs";
    assert!(status.contains(line) && status.matches("Held").count() == 1, "{status}");
    let applied = tree.run(&["apply"]).stdout;
    assert!(applied.lines().count() == 1 && applied.contains("job-05 … and 34 more: the pass"), "{applied}");
}

#[test]
fn the_values_of_a_run_are_shown_without_secrets() {
    let tree = Tree::with(&[("key", "hunter22\n")]);
    let secret = format!("secrets: {{KEY: {{file: {}}}}}", tree.path("key").display());
    tree.write(
        "jobs.d/export.yaml",
        &format!("params: {{format: csv, note: a}}\nrun:\n  command: [echo, \"{{{{ params.format }}}}\"]\n  {secret}\n"),
    );
    let of_variable = "params: {note: a}\nrun: {shell: \"true\", secrets: {KEY: {env: HOME}}}\n";
    tree.write("jobs.d/mail.yaml", of_variable);
    let daemon = tree.serve(&[]);
    tree.ok(&["trigger", "mail", "-p", "note=b", "--follow"]);
    let noted = |job: &str| tree.runs(job)[0]["params"]["note"].clone();
    assert_eq!(noted("mail"), "b");
    tree.ok(&["trigger", "export", "-p", "format=json", "-p", "note=it is hunter22", "--follow"]);
    tree.ok(&["trigger", "export", "--follow"]);
    let shown = || {
        let runs = tree.runs("export");
        assert_eq!(runs[0]["params"], serde_json::json!({}));
        assert_eq!(runs[1]["params"], serde_json::json!({"format": "json", "note": "it is ***"}));
        let table = tree.ok(&["runs", "export"]);
        assert!(table.contains("manual, format=json, note=it is ***"), "{table}");
    };
    shown();
    daemon.kill();
    shown();
    assert_eq!(noted("mail"), "***", "what the daemon's variable held is not known without it");
    // What is not known could be anywhere.
    fs::remove_file(tree.path("key")).unwrap();
    assert_eq!(tree.runs("export")[1]["params"], serde_json::json!({"format": "***", "note": "***"}));
    let ran = tree.json(&["run", "export", "-p", "note=x", "--json"]);
    assert_eq!(ran["runs"][0]["params"], serde_json::json!({"note": "***"}));
    // Nor is it known of a job that is gone, whatever it had.
    tree.write("key", "hunter22\n");
    shown();
    fs::remove_file(tree.path("jobs.d/export.yaml")).unwrap();
    tree.ok(&["apply"]);
    assert_eq!(tree.runs("export")[1]["params"], serde_json::json!({"format": "***", "note": "***"}));
}

#[test]
fn a_directory_that_is_not_the_daemons_is_refused() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("x")), ("other/b.yaml", &by_hand("x"))]);
    symlink("jobs.d", tree.path("link")).unwrap();
    let _daemon = tree.serve(&[]);
    let root = tree.path("jobs.d").display().to_string();
    for command in ["apply", "status", "list"] {
        let ran = tree.run(&[command, "--jobs", "other"]);
        let told = format!("the daemon on `.tintal` serves `{root}`, and not `other`, which");
        assert!(ran.code == Some(2) && ran.stderr.contains(&told), "{command}: {}", ran.shown());
        // The same one by another name.
        for same in ["jobs.d", "./link", &root] {
            assert_eq!(tree.run(&[command, "--jobs", same]).code, Some(0), "{command} {same}");
        }
    }
}

/// A reader that has seen enough is no failure.
#[test]
fn a_reader_that_ends_early_is_no_failure_of_the_daemon() {
    let tree = Tree::with(&[(
        "jobs.d/many.yaml",
        "run: {shell: 'i=0; while [ $i -lt 20000 ]; do echo a line of output $i; i=$((i+1)); done'}\n",
    )]);
    let _daemon = tree.serve(&[]);
    let closed = |arguments: &[&str]| {
        let mut child =
            tree.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = common::Ran::of(child.wait_with_output().unwrap());
        assert!(ran.code == Some(0) && !ran.stderr.contains("error"), "{arguments:?}: {}", ran.shown());
    };
    closed(&["trigger", "many", "--follow"]);
    tree.wait_for_runs("many", 1);
    closed(&["logs", "many", "--follow"]);
    closed(&["logs", "many"]);
}

#[test]
fn a_prune_of_everything_waits_for_a_person() {
    let tree = Tree::with(&[("jobs.d/a.yaml", &by_hand("one")), ("jobs.d/b.yaml", &by_hand("one"))]);
    let daemon = tree.serve(&[]);
    fs::remove_file(tree.path("jobs.d/a.yaml")).unwrap();
    gone(&tree, "a");
    fs::remove_file(tree.path("jobs.d/b.yaml")).unwrap();
    wait_for("it is held back", || daemon.log().contains("not removed").then_some(()));
    prints(&tree, "b", "one");
    assert!(tree.run(&["status"]).stdout.contains("b: Held: "));
    assert_eq!(tree.ok(&["apply", "--allow-prune", "1"]), "prune b on in-process\n");
    gone(&tree, "b");
}

/// F12, F29: names in a file that get others are renames, whatever else changes; other files are not.
#[test]
fn a_daemon_waits_for_a_person_when_every_job_is_replaced() {
    let job = |name: &str, word: &str| format!("name: {name}\n{}", by_hand(word));
    let tree = Tree::with(&[("jobs.d/1.yaml", &job("a", "one")), ("jobs.d/2.yaml", &job("b", "one"))]);
    let daemon = tree.serve(&[]);
    tree.write("jobs.d/1.yaml", &job("c", "two"));
    tree.write("jobs.d/2.yaml", &job("d", "two"));
    prints(&tree, "c", "two");
    prints(&tree, "d", "two");
    gone(&tree, "a");
    gone(&tree, "b");
    fs::create_dir(tree.path("new.d")).unwrap();
    tree.write("new.d/e.yaml", &by_hand("three"));
    fs::rename(tree.path("jobs.d"), tree.path("old.d")).unwrap();
    fs::rename(tree.path("new.d"), tree.path("jobs.d")).unwrap();
    wait_for("they are held back", || daemon.log().contains("not put").then_some(()));
    prints(&tree, "c", "two");
    let status = tree.run(&["status"]).stdout;
    assert!(status.contains("e: Held: the manifests ask for none of the jobs that are held"), "{status}");
    assert_eq!(tree.ok(&["apply", "--allow-prune", "2"]).lines().count(), 3);
    prints(&tree, "e", "three");
    gone(&tree, "c");
}

/// F29: the new name is put in the pass that prunes the old one, so that they never both fire.
#[test]
fn a_renamed_job_is_live_under_its_new_name_only() {
    let tree = Tree::with(&[("jobs.d/old.yaml", &by_hand("one"))]);
    let daemon = tree.serve(&[]);
    prints(&tree, "old", "one");
    fs::rename(tree.path("jobs.d/old.yaml"), tree.path("jobs.d/new.yaml")).unwrap();
    prints(&tree, "new", "one");
    gone(&tree, "old");
    assert!(daemon.log().contains("create new on in-process, prune old on in-process"), "{}", daemon.log());
    assert_eq!(tree.ok(&["plan", "--exit-code"]), "nothing to do\n");
}

/// F29: for as long as both are live, both fire for the same occurrence.
#[test]
fn a_job_that_is_renamed_in_its_file_leaves_in_the_pass_that_puts_its_new_name() {
    let tree = Tree::with(&[("jobs.d/job.yaml", &format!("name: old\n{}", by_hand("one")))]);
    let daemon = tree.serve(&[]);
    tree.write("jobs.d/job.yaml", &format!("name: new\n{}", by_hand("one")));
    prints(&tree, "new", "one");
    gone(&tree, "old");
    assert!(daemon.log().contains("create new on in-process, prune old on in-process"), "{}", daemon.log());
}

/// F10, F12: what keeps the old name may last, and has nothing to do with the job.
#[test]
fn a_renamed_job_waits_as_long_as_a_broken_file_keeps_its_old_name() {
    let tree = Tree::with(&[("jobs.d/old.yaml", &by_hand("one"))]);
    let daemon = tree.serve(&[]);
    tree.write("jobs.d/bad.yaml", "run: [\n");
    fs::rename(tree.path("jobs.d/old.yaml"), tree.path("jobs.d/new.yaml")).unwrap();
    wait_for("the new name waits", || daemon.log().contains("not put").then_some(()));
    drop(daemon);
    // Also for a daemon that has not seen the rename.
    let daemon = tree.serve(&[]);
    wait_for("it waits again", || daemon.log().contains("it is `old` under another name").then_some(()));
    assert!(!daemon.log().contains("create new"), "{}", daemon.log());
    fs::remove_file(tree.path("jobs.d/bad.yaml")).unwrap();
    prints(&tree, "new", "one");
    gone(&tree, "old");
}

#[test]
fn an_unreadable_file_holds_prunes_back() {
    let tree = Tree::with(&[
        ("jobs.d/a.yaml", &by_hand("one")),
        ("jobs.d/b.yaml", &by_hand("one")),
        ("jobs.d/many.yaml", "name: c\nrun: {command: [echo, c]}\n"),
    ]);
    let _daemon = tree.serve(&[]);
    prints(&tree, "c", "c");
    // Whether `a` is in there now cannot be told.
    fs::remove_file(tree.path("jobs.d/a.yaml")).unwrap();
    fs::write(tree.path("jobs.d/many.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    wait_for("both are held", || {
        let text = tree.run(&["status"]).stdout;
        (text.contains("a: Held: ") && text.contains("`jobs.d/many.yaml` cannot be used")).then_some(())
    });
    assert_eq!(jobs(&tree).len(), 3);
}

#[test]
fn a_daemon_without_its_directory_says_so() {
    let tree = Tree::new();
    std::fs::remove_dir(tree.path("jobs.d")).unwrap();
    let daemon = tree.serve(&[]);
    let log = daemon.log();
    let ready = log.lines().find(|line| line.contains("ready")).unwrap();
    assert!(ready.contains("WARN") && ready.contains("ready without the manifests"), "{log}");
    assert!(log.contains("`tintal init` makes one, `--jobs` names another"), "{log}");
    tree.write("jobs.d/a.yaml", &by_hand("a"));
    wait_for("it is told", || daemon.log().contains("the manifests can be read again").then_some(()));
}

/// What a job runs on is told of one whose manifest cannot be used, and that another one never ran.
#[test]
fn a_job_on_its_last_good_version_can_be_explained() {
    let tree = Tree::with(&[
        ("jobs.d/tick.yaml", "schedule: {every: 61m}\nrun: {command: [echo, good]}\n"),
        ("jobs.d/bad.yaml", "run: {comand: [x]}\n"),
    ]);
    let daemon = tree.serve(&[]);
    tree.write("jobs.d/tick.yaml", "schedule: {evry: 5s}\nrun: {comand: [x]}\n");
    let status = wait_for("it is degraded", || {
        let status = tree.run(&["status"]).stdout;
        status.contains("tick: Degraded").then_some(status)
    });
    let line = |start: &str| status.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
    let tick = line("tick: Degraded: jobs.d/tick.yaml:1:");
    assert!(tick.ends_with("(and 1 more error); its last good version runs on"), "{tick}");
    assert!(line("bad: Degraded: ").ends_with("; it is not live"), "{status}");
    let list = tree.ok(&["list"]);
    assert!(
        list.lines().any(|line| line.starts_with("bad ") && line.contains("degraded, not live")),
        "{list}"
    );
    assert!(!list.lines().any(|line| line.starts_with("tick ") && line.contains("not live")), "{list}");
    let look = || {
        let ran = tree.run(&["explain", "tick"]);
        assert_eq!(ran.code, Some(1));
        assert!(
            ran.stdout.contains("# The last good version") && ran.stdout.contains("every: \"1h1m\""),
            "{}",
            ran.stdout
        );
        let json = tree.json(&["explain", "tick", "--json"]);
        assert_eq!(json["last_good"]["spec"]["run"]["command"][1], "good");
        let ran = tree.run(&["next", "tick"]);
        assert_eq!((ran.code, ran.stdout.lines().count()), (Some(1), 10), "{}", ran.shown());
        assert!(ran.stderr.contains("last good version"), "{}", ran.stderr);
        let ran = tree.run(&["explain", "bad"]);
        assert!(
            ran.code == Some(1) && ran.stdout.contains("live      no: it was never applied"),
            "{}",
            ran.shown()
        );
        assert_eq!(tree.run(&["next", "bad"]).code, Some(2));
    };
    look();
    assert_eq!(daemon.stop(), Some(0));
    look();
}

#[test]
fn a_run_that_waits_for_its_next_attempt_says_so() {
    let tree = Tree::with(&[(
        "jobs.d/a.yaml",
        "run: {shell: exit 1}\npolicy: {retry: {max_attempts: 3, initial: 1h, max: 1h}}\n",
    )]);
    let _daemon = tree.serve(&[]);
    tree.ok(&["trigger", "a"]);
    wait_for("it waits", || tree.ok(&["runs"]).contains("waits for attempt 2 of 3, at 2").then_some(()));
    let run = &tree.runs("a")[0];
    assert_eq!((&run["waits"]["attempt"], &run["waits"]["max_attempts"]), (&2.into(), &3.into()));
}

/// What is known is shown without a daemon too, and that nothing goes on.
#[test]
fn what_the_ledger_keeps_is_shown_without_a_daemon() {
    let tree = Tree::with(&[
        ("jobs.d/hourly.yaml", "schedule: {every: 1h}\nrun: {command: [echo, a]}\n"),
        ("jobs.d/fails.yaml", "run: {shell: exit 3}\n"),
        ("jobs.d/slow.yaml", "run: {shell: sleep 5}\n"),
        ("jobs.d/x.yaml", "name: twice\nrun: {command: [echo, a]}\n"),
        ("jobs.d/y.yaml", "name: twice\nrun: {comand: [echo, a]}\n"),
    ]);
    let daemon = tree.serve(&[]);
    tree.ok(&["pause", "hourly"]);
    tree.run(&["trigger", "fails", "--follow"]);
    tree.ok(&["trigger", "slow"]);
    daemon.kill();
    let list = tree.run(&["list"]);
    let line = |name: &str| list.stdout.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("hourly").contains("paused"), "{}", list.stdout);
    assert!(line("fails").contains("exit-nonzero"), "{}", list.stdout);
    assert!(line("slow").contains("open"), "{}", list.stdout);
    assert!(line("twice").contains("y.yaml"), "{}", list.stdout);
    assert_eq!(list.stderr, "no daemon is running; this is what the ledger in `.tintal` keeps\n");
    let runs = tree.run(&["runs", "slow"]);
    assert!(runs.stdout.contains("open") && !runs.stdout.contains("running"), "{}", runs.stdout);
    assert!(runs.stderr.ends_with("keeps; the next daemon sees to what is `open`\n"), "{}", runs.stderr);
    let status = tree.run(&["status"]).stdout;
    assert!(status.contains("3 enabled, 1 paused"), "{status}");
    assert!(status.contains("  twice: Degraded: jobs.d/") && status.contains(": TIN"), "{status}");
    assert!(status.contains("more error"), "{status}");
    assert!(status.contains("failed    the last run of 1 job\n  fails: exit-nonzero, of 2"), "{status}");
}

#[test]
fn a_state_directory_that_is_not_there_is_told() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "run: {command: [echo, a]}\n")]);
    let missing = "no daemon is running, and there is no state directory `typo`";
    for arguments in [&["list"][..], &["runs"], &["runs", "a"]] {
        let ran = tree.run(&[arguments, &["--state", "typo"]].concat());
        assert!(ran.code == Some(0) && ran.stderr.starts_with(missing), "{arguments:?}: {}", ran.shown());
    }
    let ran = tree.run(&["logs", "a", "--state", "typo"]);
    assert!(ran.code == Some(2) && ran.stderr.contains(missing), "{}", ran.shown());
    let status = tree.run(&["status", "--state", "typo"]).stdout;
    assert!(status.contains("there is no directory `typo`"), "{status}");
}
