//! What a manifest means: what is derived, what can never start, what has no effect.

use super::{check, load, load_with, told};
use crate::{
    load::{Loader, effective::effective},
    manifest::characteristics::Tier,
    tier::{LedgerKind, Queues, Tiers},
};

#[track_caller]
fn derives(text: &str, frequency: &str, complexity: &str) {
    let tree = load(&[("job.yaml", text)]);
    let job = tree.jobs.values().next().unwrap_or_else(|| panic!("{text}: {:?}", told(&tree)));
    let spec = effective(&job.spec, &job.traits);
    let characteristics = &spec["characteristics"];
    assert_eq!(
        (&characteristics["frequency"], &characteristics["complexity"]),
        (&frequency.into(), &complexity.into()),
        "{text}"
    );
}

#[test]
#[rustfmt::skip]
fn frequency_and_complexity_are_derived() {
    let run = "run: {command: [a]}\n";
    let steps = "run: {steps: [{id: a, shell: x}]}\n";
    derives(&format!("schedule: {{every: 59s}}\n{run}"),               "high",   "simple");
    derives(&format!("schedule: {{every: 1m}}\n{run}"),                "medium", "simple");
    derives(&format!("schedule: {{every: 1h}}\n{run}"),                "medium", "simple");
    derives(&format!("schedule: {{every: 61m}}\n{run}"),               "low",    "simple");
    derives(&format!("schedule: {{cron: \"*/30 * * * * *\"}}\n{run}"), "high",   "simple");
    derives(&format!("schedule: {{cron: \"@daily\"}}\n{steps}"),       "low",    "dag");
    derives(&format!("schedule: {{cron: \"@reboot\"}}\n{run}"),        "low",    "simple");
    derives(&format!("schedule: {{at: \"2030-01-01T00:00:00Z\"}}\n{run}"), "low", "simple");
    derives(&format!("schedule: [{{every: 1d}}, {{every: 10s}}]\n{run}"), "high", "simple");
    derives(run,                                                       "low",    "simple");
    derives(&format!("characteristics: {{complexity: complex}}\n{run}"), "low",  "complex");
    derives(&format!("characteristics: {{frequency: low}}\n{run}"),    "low",    "simple");
}

/// W6: stated or by hand, at a time or on an interval, one rule.
#[test]
fn a_stated_frequency_agrees_with_the_schedule_or_with_its_absence() {
    for schedule in ["", "schedule: {at: \"2030-01-01T00:00:00Z\"}\n", "schedule: {every: 1h}\n"] {
        let text = format!("characteristics: {{frequency: high}}\n{schedule}run: {{command: [a]}}\n");
        check(&text, &["1 TIN066 /characteristics/frequency"]);
    }
}

/// W5: a view of steps is missed where one of the tiers has it.
#[test]
fn steps_in_process_are_told_where_a_tier_would_show_them() {
    let told_of = |text: &str, configured: &[Tier]| {
        let tiers =
            Tiers { configured: configured.to_vec(), ledger: LedgerKind::File, queues: Queues::default() };
        let tree = load_with(&mut Loader::new(tiers, 1), &[("job.yaml", text)]);
        told(&tree).join(" ")
    };
    let steps = "schedule: {every: 10m}\nrun: {steps: [{id: a, shell: x}]}\n";
    let all = &Tier::ALL[..];
    assert_eq!(told_of(steps, all), "job.yaml:2 TIN065 /run/steps");
    assert_eq!(told_of(&format!("tier: in-process\n{steps}"), all), "job.yaml:1 TIN065 /tier");
    assert_eq!(told_of(&format!("tier: workflow\n{steps}"), all), "");
    assert_eq!(
        told_of("tier: in-process\ncharacteristics: {complexity: complex}\nrun: {command: [a]}\n", all),
        "job.yaml:1 TIN065 /tier"
    );
    assert_eq!(told_of(steps, &[Tier::InProcess, Tier::Queue]), "");
    // One manifest holds on both machines.
    let known = format!("# tintal: ignore TIN065 -- the log is enough\ntier: in-process\n{steps}");
    assert_eq!((told_of(&known, all), told_of(&known, &[Tier::InProcess])), (String::new(), String::new()));
}

#[test]
fn a_warning_is_about_the_tier_that_stands_in() {
    check("characteristics: {durability: persistent}\nrun: {command: [a]}\n", &[]);
    check(
        "schedule: {every: 5s}\ncharacteristics: {visibility: user-facing}\nrun: {command: [a]}\n",
        &["1 TIN061 /schedule"],
    );
}

#[test]
fn a_number_that_comes_out_other_than_it_is_written_is_told() {
    let run = "run: {command: [a, \"{{ params }}\"]}\n";
    let told_of = |params: &str, expected: &[&str]| check(&format!("{run}params: {params}\n"), expected);
    told_of("{version: 3.10, mode: 0755}", &["2 TIN017 /params/version", "2 TIN017 /params/mode"]);
    told_of("{a: [1e3, 5], b: {c: 0x1F}}", &["2 TIN017 /params/a/0", "2 TIN017 /params/b/c"]);
    told_of("{a: 1e21, b: 1000000000000000000000.0, c: .5}", &["2 TIN017 /params/a", "2 TIN017 /params/c"]);
    told_of("{a: &v 1.10, b: *v}", &["2 TIN017 /params/a", "2 TIN017 /params/b"]);
    told_of("{a: 3.1, b: 755, c: -7, d: 1000.0, e: 0.5, f: 18446744073709551615}", &[]);
    told_of("{a: \"3.10\", b: '0755', c: 1.2.3, d: !!float \"3.10\", e: true}", &[]);
    let body = "{url: \"http://a/\", method: POST, body: {a: 3.10, b: 3.1, c: [0755]}}";
    let (a, c) = ("TIN017 /run/http/body/a", "TIN017 /run/http/body/c/0");
    check(&format!("run: {{http: {body}}}\n"), &[&format!("1 {a}"), &format!("1 {c}")]);
    // Beside other mistakes, and where the value comes from.
    check("run: {shell: [b]}\nparams: {a: 3.10}\n", &["1 TIN011 /run/shell", "2 TIN017 /params/a"]);
    let run = "run: {shell: a}\n";
    let tree = load(&[
        ("_defaults.yaml", "kind: defaults\nparams: {version: 3.10, near: 3.10}\n"),
        ("a.yaml", &format!("{run}params: {{near: 1}}\n")),
        ("b.yaml", &format!("{run}params: {{near: 1}}\n")),
    ]);
    assert_eq!(told(&tree), ["_defaults.yaml:2 TIN017 /params/version"]);
    let problem = &tree.problems[0];
    assert_eq!(problem.message, "`3.10` is read as the number 3.1");
    let help = "put it in quotes to keep it as it is written: `\"3.10\"`";
    assert_eq!(problem.help.as_deref(), Some(help));
}

#[test]
fn what_can_never_start_is_refused() {
    for (run, expected) in [
        (r#"{command: [a, "b\0c"]}"#, "1 TIN015 /run/command/1"),
        (r#"{command: ["a\0"]}"#, "1 TIN015 /run/command/0"),
        (r#"{shell: "a\0"}"#, "1 TIN015 /run/shell"),
        (r#"{command: [a], env: {A: "b\0"}}"#, "1 TIN015 /run/env/A"),
        (r#"{command: [a], cwd: "b\0"}"#, "1 TIN015 /run/cwd"),
        (r#"{command: ["  "]}"#, "1 TIN015 /run/command/0"),
        (r#"{http: {url: "http://host:99999/"}}"#, "1 TIN056 /run/http/url"),
        (r#"{http: {url: "http://a<b>/"}}"#, "1 TIN056 /run/http/url"),
        (r#"{http: {url: "http://[::zz]/"}}"#, "1 TIN056 /run/http/url"),
        (r#"{http: {url: "http://a/", headers: {X: "a\nb"}}}"#, "1 TIN015 /run/http/headers/X"),
        (r#"{http: {url: "http://a/", headers: {"a b": c}}}"#, "1 TIN015 /run/http/headers/a b"),
        (r#"{http: {url: "http://a/", unix_socket: "a\0b"}}"#, "1 TIN015 /run/http/unix_socket"),
    ] {
        check(&format!("run: {run}\n"), &[expected]);
    }
    check("params: {a: \"b\\0\"}\nrun: {command: [x, \"{{ params.a }}\"]}\n", &["1 TIN015 /params/a"]);
}

#[test]
fn what_has_no_effect_is_told() {
    for (text, expected) in [
        (
            "run: {http: {url: \"http://a/\"}, cwd: /x, env: {A: b}, secrets: {T: {env: T}}}\n",
            &["1 TIN041 /run/env", "1 TIN041 /run/cwd"][..],
        ),
        ("run: {builtin: {noop: {}}, secrets: {T: {env: T}}}\n", &["1 TIN041 /run/secrets"]),
        (
            "run: {command: [a], cwd: /x}\npolicy: {retry: {max_attempts: 1, initial: 5s}}\n",
            &["2 TIN041 /policy/retry/initial"],
        ),
        (
            "run: {shell: a}\npolicy: {timeout: 5m, retry: {on: [http-5xx, timeout, connect]}}\n",
            &["2 TIN041 /policy/retry/on/0", "2 TIN041 /policy/retry/on/2"],
        ),
        (
            "run: {shell: a}\npolicy: {retry: {on: [exit-nonzero, timeout, abandoned]}}\n",
            &["2 TIN041 /policy/retry/on/1"],
        ),
        (
            "run: {http: {url: \"http://a/\"}}\npolicy: {kill_grace: 5s, retry: {on: [timeout]}}\n",
            &["2 TIN041 /policy/kill_grace"],
        ),
        (
            "run: {builtin: {noop: {}}}\npolicy: {timeout: 5s, kill_grace: 5s, retry: {on: [timeout, abandoned]}}\n",
            &["2 TIN041 /policy/kill_grace", "2 TIN041 /policy/timeout"],
        ),
        (
            "tier: in-process # tintal: ignore TIN065 -- fine\nrun:\n  steps:\n    - {id: a, shell: x, retry: {on: [timeout]}}\n    - {id: b, shell: x, timeout: 5s, retry: {on: [timeout]}}\n    - {id: c, http: {url: \"http://a/\"}, retry: {on: [timeout]}}\npolicy: {retry: {on: [timeout]}, kill_grace: 5s}\n",
            &["4 TIN041 /run/steps/0/retry/on/0", "7 TIN041 /policy/retry/on/0"],
        ),
        (
            "run: {http: {url: \"http://a/\"}}\npolicy: {retry: {on: [http-5xx, signal]}}\n",
            &["2 TIN041 /policy/retry/on/1"],
        ),
        (
            "tier: in-process # tintal: ignore TIN065 -- fine\nrun:\n  steps:\n    - {id: a, shell: x}\n    - {id: b, needs: [a, a], http: {url: \"http://a/\"}, retry: {on: [exit-nonzero]}}\n  cwd: /x\npolicy: {retry: {on: [http-5xx, signal]}}\n",
            &["5 TIN041 /run/steps/1/needs/1", "5 TIN041 /run/steps/1/retry/on/0"],
        ),
    ] {
        let tree = load(&[("job.yaml", text)]);
        let mut found = told(&tree);
        let mut expected: Vec<String> = expected.iter().map(|line| format!("job.yaml:{line}")).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }
    // Defaults are meant for other jobs as well.
    let tree = load(&[
        (
            "_defaults.yaml",
            "kind: defaults\nrun: {cwd: /x, env: {A: b}}\npolicy: {kill_grace: 5s, retry: {initial: 5s, on: [connect, timeout]}}\n",
        ),
        ("a.yaml", "run: {http: {url: \"http://a/\"}}\npolicy: {retry: {max_attempts: 1}}\n"),
        ("b.yaml", "run: {shell: a}\n"),
    ]);
    assert_eq!(told(&tree), Vec::<String>::new());
}

#[test]
fn a_time_that_clocks_do_not_have_is_told_with_its_way_out() {
    for (time, message, help) in [
        (
            "2016-12-31T23:59:60Z",
            "`2016-12-31T23:59:60Z` is a leap second, which clocks of computers do not have",
            "write `:59` or the next minute",
        ),
        (
            "2026-02-30T00:00:00Z",
            "`2026-02-30T00:00:00Z` is not a time",
            "write RFC 3339 with an offset, as in `2026-12-24T18:00:00+01:00`",
        ),
    ] {
        let tree = load(&[("job.yaml", &format!("schedule: {{at: \"{time}\"}}\nrun: {{command: [a]}}\n"))]);
        let [problem] = tree.problems.as_slice() else { panic!("{:?}", told(&tree)) };
        assert_eq!((problem.message.as_str(), problem.help.as_deref()), (message, Some(help)));
    }
}

/// A pin to a tier that is not there, and a time that has passed, are told beside every other mistake.
#[test]
#[rustfmt::skip]
fn one_mistake_does_not_hide_another() {
    let run = "run: {command: [a]}\n";
    let gone = "schedule: {at: \"2001-01-01T00:00:00Z\"}\n";
    check(&format!("tier: queue\n{gone}{run}"),                    &["1 TIN067 /tier", "2 TIN035 /schedule/at"]);
    check(&format!("tier: queue\nschedule: {{at: \"2001-01-01 10:00\"}}\n{run}"),
          &["1 TIN067 /tier", "2 TIN015 /schedule/at"]);
    check(&format!("labls: {{}}\n{gone}{run}"),                    &["1 TIN010 /labls", "2 TIN035 /schedule/at"]);
    check(&format!("{gone}{run}policy: {{timeout: 99999w}}\n"),     &["1 TIN035 /schedule/at", "3 TIN033 /policy/timeout"]);
    check(&format!("schedule: [{{at: \"2001-01-01T00:00:00Z\"}}, {{cron: \"* * * * 9\"}}]\n{run}"),
          &["1 TIN030 /schedule/1/cron"]);
}

#[test]
fn the_name_that_is_suggested_for_a_file_can_be_one() {
    let long = format!("{}.yaml", "x".repeat(64));
    for (path, name) in [("My Report.yaml", "my-report"), (long.as_str(), &"x".repeat(63)), ("Ü.yaml", "...")]
    {
        let tree = load(&[(path, "run: {shell: a}\n")]);
        let [problem] = tree.problems.as_slice() else { panic!("{:?}", told(&tree)) };
        let help = problem.help.clone().unwrap_or_default();
        assert!(help.starts_with(&format!("add `name: {name}`: ")), "{path}: {help}");
    }
}

#[test]
fn a_value_stands_in_a_line_where_a_word_can_stand() {
    let params = "params: {a: 1}\n";
    check(&format!("{params}run: {{shell: \"echo '{{{{ params.a }}}}'\"}}\n"), &["2 TIN058 /run/shell"]);
    check(&format!("{params}run: {{shell: \"echo {{{{ params.a }}}} ${{#x}}\"}}\n"), &[]);
    check(
        &format!("{params}run: {{command: [sh, -c, \"echo {{{{ params.a }}}}\"]}}\n"),
        &["2 TIN058 /run/command/2"],
    );
    check(
        &format!(
            "{params}run: {{steps: [{{id: a, shell: \"echo '{{{{ params.a }}}}'\"}}]}} # tintal: ignore TIN065 -- x\n"
        ),
        &["2 TIN058 /run/steps/0/shell"],
    );
}

#[test]
fn a_template_is_told_where_none_is_filled_in() {
    let run = "run: {command: [a]}\n";
    check(&format!("description: \"at {{{{ fire_time }}}}\"\n{run}"), &["1 TIN059 /description"]);
    check(&format!("labels: {{a: \"{{{{ job.name }}}}\"}}\n{run}"), &["1 TIN059 /labels/a"]);
    check(&format!("params: {{a: [x, \"{{{{ params.b }}}}\"]}}\n{run}"), &["1 TIN059 /params/a/1"]);
    check(&format!("params: {{a: \"{{{{.Names}}}}\"}}\ndescription: \"{{{{ x }}}}\"\n{run}"), &[]);
}
