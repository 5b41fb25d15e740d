//! Crontabs become jobs that load, run, and do what cron would have done.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, io::Write as _, process::Stdio};

use common::{Ran, Tree};
use serde_json::Value;

/// A crontab with what every test would otherwise be told about.
fn quiet(text: &str) -> String {
    format!("HOME=/\n{text}")
}

/// Imports a crontab into `jobs.d`; all of it is converted.
#[track_caller]
fn imported(crontab: &str) -> Tree {
    let tree = Tree::with(&[("crontab", &quiet(crontab))]);
    tree.ok(&["import", "crontab", "crontab", "--timezone", "UTC", "--out", "jobs.d"]);
    tree.ok(&["validate", "--strict"]);
    tree
}

/// The report of an import with `--json`.
#[track_caller]
fn report(tree: &Tree, arguments: &[&str]) -> (Value, Option<i32>) {
    let mut all = vec!["import", "crontab", "--json"];
    all.extend(arguments);
    let ran = tree.run(&all);
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}{}", ran.stdout, ran.stderr));
    (report, ran.code)
}

fn strings(values: &Value, key: &str) -> Vec<String> {
    values.as_array().unwrap().iter().map(|value| value[key].as_str().unwrap_or("null").to_owned()).collect()
}

/// Line numbers of what was not converted.
fn lost(report: &Value) -> Vec<u64> {
    let notes = report["notes"].as_array().unwrap();
    notes.iter().filter(|note| note["lost"] == true).map(|note| note["line"].as_u64().unwrap()).collect()
}

#[test]
fn commands_read_what_cron_gives_them_byte_for_byte() {
    // What Debian's cron 3.0pl1 writes for each, by its do_command.c.
    let rows = [
        ("cat", ""),
        ("cat %", ""),
        ("cat %%", "\n"),
        ("cat %%%", "\n\n"),
        ("cat %a", "a\n"),
        ("cat %a%", "a\n"),
        ("cat %a%%", "a\n\n"),
        ("cat %a%b", "a\nb\n"),
        ("cat % a  ", " a  \n"),
        (r"cat %50\% of it", "50% of it\n"),
        (r"cat %a\b\\c", "a\\b\\\\c\n"),
        (r"cat %a\\%b", "a\\%b\n"),
        (r"cat %\", "\\"),
        (r"cat %a\", "a\\\n"),
        ("cat %it's \"$HOME\" `x` $(x) {{ y }} {\\% z \\%}", "it's \"$HOME\" `x` $(x) {{ y }} {% z %}\n"),
        ("cat %-n", "-n\n"),
        ("cat %ä\u{7f}\tb", "ä\u{7f}\tb\n"),
    ];
    let lines: String = rows.iter().map(|(command, _)| format!("0 1 * * * {command}\n")).collect();
    let tree = imported(&lines);
    for (index, (command, expected)) in rows.iter().enumerate() {
        let name = if index == 0 { "cat".to_owned() } else { format!("cat-{}", index + 1) };
        assert_eq!(tree.ok(&["run", &name]), *expected, "{command}");
    }
}

#[test]
fn commands_run_as_cron_runs_them() {
    let rows = [
        (r"echo \%", "%\n"),
        (r"printf a\\nb", "anb"),
        ("cat -A # c %data", "data$\n"),
        ("echo one; exit 0 %data", "one\n"),
        // A list in the background reads nothing, in cron as here.
        ("cat -A & %x", ""),
        (r"echo \\%data", "\\\n"),
        ("echo '{{ x }} {# y #}'", "{{ x }} {# y #}\n"),
        (r"echo {\%- endraw -\%}{{ x }}", "{%- endraw -%}{{ x }}\n"),
        ("printf 'a\u{7f}b\u{85}c'", "a\u{7f}b\u{85}c"),
        ("echo yes: - 'no' #", "yes: - no\n"),
    ];
    let lines: String = rows.iter().map(|(command, _)| format!("0 1 * * * J=1 {command}\n")).collect();
    let tree = imported(&lines);
    let (again, _) = report(&tree, &["crontab", "--timezone", "UTC"]);
    for ((command, expected), name) in rows.iter().zip(strings(&again["jobs"], "name")) {
        assert_eq!(tree.ok(&["run", &name]), *expected, "{command}");
    }
}

#[test]
fn the_shell_of_the_crontab_gets_the_command_as_it_is() {
    let tree = Tree::new();
    let shell = tree.path("shell");
    fs::write(&shell, "#!/bin/sh\nprintf '<%s>' \"$@\"\ncat\n").unwrap();
    let mut mode = fs::metadata(&shell).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&shell, mode).unwrap();
    tree.write(
        "crontab",
        &quiet(&format!("SHELL={}\n0 1 * * * one }} ;; 'x\n0 1 * * * two $SHELL;;%in\n", shell.display())),
    );
    tree.ok(&["import", "crontab", "crontab", "--out", "jobs.d"]);
    assert_eq!(tree.ok(&["run", "one"]), "<-c><one } ;; 'x>");
    assert_eq!(tree.ok(&["run", "two"]), "<-c><two $SHELL;;>in\n");
}

#[test]
fn variables_and_the_home_directory_reach_the_command() {
    let tree = imported(
        "HOME=/tmp\nFOO={{ x }}\nBAR=\" a \"\nTZ=:Asia/Tokyo\nMAILTO=\"\"\nPATH=/nowhere\n\
         0 1 * * * echo \"$HOME $PWD $FOO $BAR $TZ <$MAILTO>\"\n",
    );
    assert_eq!(tree.ok(&["run", "echo"]), "/tmp /tmp {{ x }}  a  :Asia/Tokyo <>\n");
}

#[test]
fn what_does_not_load_is_not_written_and_shown_with_its_line() {
    let long = "x".repeat(140_000);
    let tree = Tree::with(&[(
        "crontab",
        &quiet(&format!("0 1 * * * echo a\0b\n0 2 * * * good\n0 3 * * * echo {long}\n%data\n")),
    )]);
    let ran = tree.run(&["import", "crontab", "crontab", "--timezone", "UTC", "--out", "jobs.d"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("jobs.d/good.yaml\n", Some(1)), "{}", ran.stderr);
    for expected in [
        "crontab:2: not converted: a manifest for it cannot be used",
        "\n    0 1 * * * echo a\u{fffd}b\n",
        "crontab:4: not converted: a manifest for it cannot be used",
        "\n    0 3 * * * echo xxx",
        "crontab:5: not converted: ",
        "\n    %data\n",
        "1 job from crontab\n",
    ] {
        assert!(ran.stderr.contains(expected), "{expected:?} in {}", ran.stderr);
    }
    assert!(ran.stderr.lines().all(|line| line.chars().count() < 400), "{}", ran.stderr);
    tree.ok(&["validate", "--strict"]);
}

#[test]
fn odd_crontabs_become_manifests_that_load() {
    let comment = format!("# {}\n", "word ".repeat(2_000));
    let long = format!("0 1 * * * echo {}\n", "word ".repeat(2_000));
    for text in [
        comment.as_str(),
        long.as_str(),
        "SHELL=/bin/{{ x }}\n",
        "FOO={% x\n",
        "HOME=\n",
        "FOO=\n",
        "0 1 * * * echo a: 'b' # c \\\n",
        "0 1 * * * \t true \u{7f}\u{feff}\u{2028}\n",
        "RANDOM_DELAY=30\n",
        "*/90 * * * * true\n",
        "~ ~ * * * true\n",
        "@every 5m true\n",
        "0 0 */40 * 1 true\n",
    ] {
        let tree = imported(&format!("{text}0 1 * * * true\n"));
        let jobs = fs::read_dir(tree.path("jobs.d")).unwrap().count();
        assert_eq!(jobs, 1 + usize::from(text.contains(" echo ") || text.contains(" true")), "{text}");
    }
}

#[test]
fn either_all_jobs_are_written_or_none() {
    let held = "name: two\nrun: {shell: 'true'}\n";
    for (path, text, expected) in [
        ("jobs.d/three.yaml", "name: other\nrun: {shell: 'true'}\n", "`jobs.d/three.yaml` is there already"),
        ("jobs.d/deep/x.yaml", held, "`jobs.d/deep/x.yaml` has a job `two`"),
        ("jobs.d/x.yaml", "name: two\nrun: {}\n", "there is a job `two`"),
    ] {
        let tree = Tree::with(&[
            (path, text),
            ("crontab", "0 1 * * * one\n0 2 * * * two\n0 3 * * * three\n61 * * * * four\n"),
        ]);
        for out in ["jobs.d", "jobs.d/../jobs.d/new"] {
            if out.ends_with("new") && path.contains("three") {
                continue;
            }
            let Ran { stdout, stderr, code } = tree.run(&["import", "crontab", "crontab", "--out", out]);
            assert_eq!((stdout.as_str(), code), ("", Some(2)), "{stderr}");
            assert!(stderr.contains(expected) && stderr.contains("cannot be written"), "{stderr}");
            assert!(stderr.contains("crontab:4: not converted: "), "{stderr}");
            assert!(!tree.path(out).join("one.yaml").exists(), "{path} {out}");
        }
    }
}

#[test]
fn several_system_crontabs_and_stdin_give_names_that_are_unique() {
    let tree = Tree::with(&[
        ("crontab", "17 * * * * root run-parts /etc/cron.hourly\n"),
        ("cron.d/a", "0 1 * * * root run-parts /a\n"),
    ]);
    let mut command = tree.command(&[
        "import",
        "crontab",
        "--system",
        "crontab",
        "cron.d/a",
        "-",
        "--json",
        "--timezone",
        "Asia/Tokyo",
    ]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\n0 2 * * * www-data run-parts /b\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["v"], 1);
    assert_eq!(strings(&report["jobs"], "name"), ["run-parts", "run-parts-2", "run-parts-3"]);
    assert_eq!(strings(&report["jobs"], "file"), ["crontab", "cron.d/a", "stdin"]);
    assert_eq!(report["jobs"][2]["line"], 2);
    assert_eq!(strings(&report["jobs"], "path"), ["null"; 3]);
    assert_eq!((lost(&report), output.status.code()), (vec![2], Some(1)), "{report}");
}

#[test]
fn a_report_in_json_says_what_was_written() {
    let tree = Tree::with(&[("crontab", "# one\n0 1 * * * true\n61 * * * * false\n")]);
    let (report, code) = report(&tree, &["crontab", "--out", "jobs.d"]);
    assert_eq!(report["jobs"][0]["path"], "jobs.d/true.yaml");
    assert_eq!(report["jobs"][0]["manifest"], fs::read_to_string(tree.path("jobs.d/true.yaml")).unwrap());
    assert_eq!((lost(&report), code), (vec![3], Some(1)), "{report}");
    assert!(report["notes"][0].as_object().unwrap().keys().eq(["file", "line", "text", "lost"]), "{report}");
}

#[test]
fn without_a_directory_the_manifests_are_printed_whatever_jobs_says() {
    let tree = Tree::with(&[("crontab", &quiet("0 1 * * * true\n"))]);
    let printed = tree.ok(&["--jobs", "jobs.d", "import", "crontab", "crontab", "--timezone", "Asia/Tokyo"]);
    assert!(printed.starts_with("name: \"true\"\n") && printed.contains("timezone: Asia/Tokyo"), "{printed}");
    assert_eq!(fs::read_dir(tree.path("jobs.d")).unwrap().count(), 0);
}

#[test]
fn a_zone_that_does_not_exist_is_refused() {
    let tree = Tree::with(&[("crontab", "0 1 * * * true\n")]);
    let ran = tree.run(&["import", "crontab", "crontab", "--timezone", "Mars/Olympus"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("--timezone: "), "{}", ran.stderr);
}

#[test]
fn two_thousand_jobs_of_one_command_each_get_a_name() {
    let tree = Tree::with(&[("crontab", &"0 1 * * * /opt/backup.sh\n".repeat(2_000))]);
    let printed = tree.ok(&["import", "crontab", "crontab", "--timezone", "UTC"]);
    assert!(printed.contains("name: backup-2000\n"));
}
