//! Defaults: which hold where, and what is wrong with them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{load, load_part, load_with, loader, told};
use crate::{
    load::{
        directory::{merge, unshadowed},
        effective::effective,
    },
    manifest::{
        defaults::{Defaults, RunDefaults},
        name::JobName,
    },
};

fn defaults(value: &Value) -> Defaults {
    let mut value = value.clone();
    value["kind"] = json!("defaults");
    serde_json::from_value(value).unwrap()
}

#[track_caller]
fn merged(near: &Value, far: &Value, expected: &Value) {
    let merged = merge(&defaults(near), &defaults(far));
    assert_eq!(merged, defaults(expected), "{near} over {far}");
}

/// What a job makes idle by an option of its own is meant for the other jobs.
#[test]
fn an_option_of_defaults_that_a_nearer_one_makes_idle_is_not_told() {
    let job = "run: {shell: a}\n";
    let told_of = |defaults: &str, near: &str, own: &str| {
        told(&load(&[
            ("_defaults.yaml", &format!("kind: defaults\npolicy: {defaults}\n")),
            ("near/_defaults.yaml", &format!("kind: defaults\npolicy: {near}\n")),
            ("near/job.yaml", &format!("{job}policy: {own}\n")),
        ]))
    };
    let four = "{overlap: allow, max_running: 4}";
    for (defaults, near, own, expected) in [
        (four, "{}", "{overlap: skip}", ""),
        (four, "{overlap: skip}", "{}", ""),
        ("{max_running: 4}", "{overlap: skip}", "{}", ""),
        ("{overlap: skip, max_running: 4}", "{}", "{}", "_defaults.yaml:2 TIN041 /policy/max_running"),
        ("{max_running: 4}", "{}", "{}", "_defaults.yaml:2 TIN041 /policy/max_running"),
        ("{overlap: skip}", "{max_running: 4}", "{}", "near/_defaults.yaml:2 TIN041 /policy/max_running"),
        (four, "{}", "{overlap: skip, max_running: 4}", "near/job.yaml:2 TIN041 /policy/max_running"),
        ("{retry: {factor: 3.5}}", "{}", "{retry: {backoff: fixed}}", ""),
        (
            "{retry: {backoff: fixed}}",
            "{retry: {factor: 3.5}}",
            "{}",
            "near/_defaults.yaml:2 TIN041 /policy/retry/factor",
        ),
    ] {
        assert_eq!(told_of(defaults, near, own).join(", "), expected, "{defaults} {near} {own}");
    }
}

#[test]
#[rustfmt::skip]
fn the_nearest_wins_field_by_field() {
    merged(&json!({}), &json!({}), &json!({}));
    merged(&json!({"enabled": true}), &json!({"enabled": false, "tier": "queue"}), &json!({"enabled": true, "tier": "queue"}));
    merged(&json!({"labels": {"a": "1"}}), &json!({"labels": {"a": "2", "b": "3"}}), &json!({"labels": {"a": "1", "b": "3"}}));
    merged(&json!({"schedule": {"dst": {"gap": "skip"}}}), &json!({"schedule": {"timezone": "UTC", "dst": {"gap": "shift", "overlap": "last"}}}),
           &json!({"schedule": {"timezone": "UTC", "dst": {"gap": "skip", "overlap": "last"}}}));
    merged(&json!({"policy": {"retry": {"initial": "1s"}}}), &json!({"policy": {"timeout": "5m", "retry": {"initial": "2s", "max": "9s"}}}),
           &json!({"policy": {"timeout": "5m", "retry": {"initial": "1s", "max": "9s"}}}));
    merged(&json!({"characteristics": {"durability": "persistent"}}), &json!({"characteristics": {"visibility": "user-facing"}}),
           &json!({"characteristics": {"durability": "persistent", "visibility": "user-facing"}}));
    // A list is one value.
    merged(&json!({"policy": {"retry": {"on": ["timeout"]}}}), &json!({"policy": {"retry": {"on": ["connect"]}}}),
           &json!({"policy": {"retry": {"on": ["timeout"]}}}));
    // A variable is given once, by the nearest file.
    merged(&json!({"run": {"secrets": {"A": {"env": "A"}}}}), &json!({"run": {"env": {"A": "x", "B": "y"}}}),
           &json!({"run": {"env": {"B": "y"}, "secrets": {"A": {"env": "A"}}}}));
    merged(&json!({"run": {"env": {"A": "x"}}}), &json!({"run": {"secrets": {"A": {"env": "A"}, "B": {"env": "B"}}}}),
           &json!({"run": {"env": {"A": "x"}, "secrets": {"B": {"env": "B"}}}}));
}

#[test]
fn a_variable_that_something_nearer_gives_is_left_out() {
    let far: RunDefaults = serde_json::from_value(
        json!({"env": {"A": "1", "B": "2"}, "secrets": {"C": {"env": "C"}, "D": {"env": "D"}}}),
    )
    .unwrap();
    let env = BTreeMap::from([("C".to_owned(), "near".to_owned())]);
    let secrets = serde_json::from_value(json!({"A": {"env": "NEAR"}})).unwrap();
    let (left_env, left_secrets) = unshadowed(Some(&env), Some(&secrets), &far);
    assert_eq!(left_env.unwrap().into_keys().collect::<Vec<_>>(), ["B"]);
    assert_eq!(left_secrets.unwrap().into_keys().collect::<Vec<_>>(), ["D"]);
    let (env, secrets) = unshadowed(None, None, &far);
    assert_eq!((env, secrets), (far.env.clone(), far.secrets.clone()));
}

#[test]
fn a_job_has_the_defaults_of_every_directory_above_it() {
    let tree = load(&[
        (
            "_defaults.yaml",
            "kind: defaults\nlabels: {team: a, site: x}\nschedule: {timezone: Europe/Berlin, jitter: 5s}\n",
        ),
        ("one/_defaults.yml", "kind: defaults\nlabels: {team: b}\nschedule: {jitter: 10s}\n"),
        ("one/two/deep.yaml", "schedule: {cron: \"@daily\"}\nlabels: {site: y}\nrun: {command: [a]}\n"),
        (
            "other/flat.yaml",
            "schedule: [{cron: \"@daily\", timezone: UTC}, {at: \"2030-01-01T00:00:00Z\"}]\nrun: {command: [a]}\n",
        ),
    ]);
    assert_eq!(told(&tree), Vec::<String>::new());
    let spec = |name: &str| {
        let (_, job) = tree.jobs.iter().find(|(job, _)| job.as_str() == name).unwrap();
        effective(&job.spec, &job.traits)
    };
    let deep = spec("deep");
    assert_eq!(deep["labels"], json!({"team": "b", "site": "y"}));
    assert_eq!(
        (&deep["schedule"]["timezone"], &deep["schedule"]["jitter"]),
        (&json!("Europe/Berlin"), &json!("10s"))
    );
    let flat = spec("flat");
    assert_eq!(flat["labels"], json!({"team": "a", "site": "x"}));
    assert_eq!(
        (&flat["schedule"][0]["timezone"], &flat["schedule"][0]["jitter"]),
        (&json!("UTC"), &json!("5s"))
    );
    assert_eq!(flat["schedule"][1]["jitter"], Value::Null, "a single time is not spread");
}

#[test]
fn defaults_are_checked_by_themselves() {
    for (text, expected) in [
        ("schedule: {timezone: Europe/Berln}\n", "_defaults.yaml:2 TIN032 /schedule/timezone"),
        ("schedule: {jitter: 99999999w}\n", "_defaults.yaml:2 TIN033 /schedule/jitter"),
        ("policy: {timeout: 0s}\n", "_defaults.yaml:2 TIN033 /policy/timeout"),
        ("policy: {retry: {initial: 2m, max: 1m}}\n", "_defaults.yaml:2 TIN033 /policy/retry/max"),
        ("run: {env: {TINTAL_X: a}}\n", "_defaults.yaml:2 TIN057 /run/env/TINTAL_X"),
        ("run: {env: {A: a}, secrets: {A: {env: A}}}\n", "_defaults.yaml:2 TIN057 /run/secrets/A"),
        ("run: {secrets: {A: {file: /x/}}}\n", "_defaults.yaml:2 TIN055 /run/secrets/A/file"),
        ("run: {cwd: \"a\\0b\"}\n", "_defaults.yaml:2 TIN015 /run/cwd"),
        ("run: {env: {A: \"{{ x\"}}\n", "_defaults.yaml:2 TIN053 /run/env/A"),
    ] {
        let text = format!("kind: defaults\n{text}");
        assert_eq!(told(&load(&[("_defaults.yaml", &text)])), [expected], "{text}");
        // Jobs that take it over say nothing new.
        let job = "schedule: {every: 1h}\nrun: {command: [a]}\n";
        let tree = load(&[("_defaults.yaml", &text), ("a.yaml", job), ("b.yaml", job)]);
        let errors = told(&tree);
        assert_eq!(errors, [expected], "{text}");
    }
    for text in [
        "params: {a: 1}\nrun: {env: {A: \"{{ params.b }}{{ job.labels.c }}\"}}\n",
        "characteristics: {frequency: high, infrastructure: distributed}\ntier: queue\n",
        "schedule: {day_match: any, jitter: 2h}\npolicy: {timeout: 3d}\n",
    ] {
        let text = format!("kind: defaults\n{text}");
        assert_eq!(told(&load(&[("_defaults.yaml", &text)])), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_problem_that_jobs_take_over_names_all_of_them() {
    let job = "schedule: {cron: \"@daily\"}\nrun: {command: [a]}\n";
    let tree = load(&[
        ("_defaults.yaml", "kind: defaults\nschedule: {timezone: Nowhere}\n"),
        ("a.yaml", job),
        ("b.yaml", job),
        ("c.yaml", "run: {command: [a]}\n"),
    ]);
    let [problem] = tree.problems.as_slice() else { panic!("{:?}", told(&tree)) };
    let concerned: Vec<&str> = problem.job.iter().chain(&problem.also).map(JobName::as_str).collect();
    assert_eq!(concerned, ["a", "b"]);
    let places: Vec<&str> = problem.related.iter().map(|label| label.place.source.path.as_str()).collect();
    assert_eq!(places, ["a.yaml", "b.yaml"]);
    assert_eq!(tree.jobs.keys().map(JobName::as_str).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn of_many_places_a_few_are_shown() {
    let jobs: Vec<String> = (0..9).map(|index| format!("job-{index}.yaml")).collect();
    let mut files = vec![("_defaults.yaml", "kind: defaults\nx: 1\n")];
    files.extend(jobs.iter().map(|path| (path.as_str(), "run: {command: [a]}\n")));
    let mut tree = load(&files);
    let [problem] = tree.problems.as_mut_slice() else { panic!("{:?}", told(&tree)) };
    assert_eq!(problem.related.len(), 9);
    problem.shorten(3);
    let texts: Vec<&str> = problem.related.iter().map(|label| label.text.as_str()).collect();
    let takes = "this job takes its defaults from there";
    assert_eq!(texts, [takes, takes, &format!("{takes}; and 6 more like it")]);
}

#[test]
fn mended_defaults_mend_the_jobs_under_them() {
    let mut loader = loader();
    let job = ("sub/a.yaml", "run: {command: [a]}\n");
    for (text, is_good) in [
        ("kind: defaults\n", true),
        ("kind: default\n", false),
        ("kind: defaults\nx: 1\n", false),
        ("kind: defaults\n", true),
    ] {
        let tree = load_with(&mut loader, &[("_defaults.yaml", text), job]);
        assert_eq!(tree.jobs.len(), usize::from(is_good), "{text}");
        assert_eq!(tree.errors() == 0, is_good, "{text}");
        let fresh = load(&[("_defaults.yaml", text), job]);
        assert_eq!(told(&tree), told(&fresh), "{text}");
        // Nothing has changed: nothing is parsed.
        let again = load_with(&mut loader, &[("_defaults.yaml", text), job]);
        assert_eq!((again.parsed, told(&again)), (0, told(&tree)), "{text}");
    }
}

/// F25: what TIN036 asks for can be said in defaults.
#[test]
fn day_match_in_defaults_says_which_days_are_meant() {
    let job = ("a.yaml", "schedule: {cron: \"0 9 1 * MON\"}\nrun: {command: [a]}\n");
    assert_eq!(told(&load(&[job])), ["a.yaml:1 TIN036 /schedule/cron"]);
    for day_match in ["any", "all"] {
        let defaults = format!("kind: defaults\nschedule: {{day_match: {day_match}}}\n");
        assert_eq!(told(&load(&[("_defaults.yaml", &defaults), job])), Vec::<String>::new());
    }
}

/// F21: what was loaded before does not matter, nor under which name.
#[test]
fn defaults_under_another_name_are_loaded_as_if_for_the_first_time() {
    let text = "kind: defaults\npolicy: {timeout: 2h} # tintal: ignore TIN040 -- meant\n";
    let job = ("a.yaml", "schedule: {every: 1h}\nrun: {command: [a]}\n");
    let mut loader = loader();
    for path in ["_defaults.yaml", "_defaults.yml", "_defaults.yaml"] {
        let tree = load_with(&mut loader, &[(path, text), job]);
        assert_eq!(told(&tree), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn the_same_mistake_above_a_part_and_in_it_is_told_at_both_places() {
    let text = "kind: defaults\npolicy: {timeout: 0s}\n";
    let tree = load_part(&[("_defaults.yaml", text)], "sub/", &[("_defaults.yaml", text)]);
    assert_eq!(
        told(&tree),
        ["_defaults.yaml:2 TIN033 /policy/timeout", "sub/_defaults.yaml:2 TIN033 /policy/timeout"]
    );
}
