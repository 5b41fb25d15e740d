//! Tables of plans, in a notation instead of positions.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    diff::{Change, Desired, Held, Live, Placement, Rest, Step, Wanted, diff},
    document::{PlanDocument, PlannedStep, Reason, Stale, Verb, allowed, live_digest, tree_digest},
    fields::fields,
    guard::{Allowance, guard},
};
use crate::manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec};

fn job(name: &str) -> JobName {
    JobName::parse(name).unwrap()
}

fn tier(name: &str) -> Tier {
    Tier::ALL.into_iter().find(|tier| tier.as_str() == name).unwrap()
}

/// A spec whose digest depends on the version.
fn spec(name: &str, version: &str) -> Arc<Spec> {
    let spec = serde_json::json!({
        "name": name, "description": version, "enabled": true,
        "run": {"action": {"command": ["true"]}},
        "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
        "policy": {
            "overlap": "skip", "max_running": 1, "kill_grace": "10s",
            "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1s", "jitter": 0.0, "on": []}
        }
    });
    Arc::new(serde_json::from_value(spec).unwrap())
}

/// A job that is asked for on the in-process tier.
pub(super) fn wanted(name: &str, version: &str) -> Wanted {
    let spec = spec(name, version);
    let digest = Digest::of(&spec);
    Wanted { tier: Tier::InProcess, digest, spec, file: "jobs.yaml".into(), document: 0 }
}

/// `job@tier=version`, or `job!` for a frozen job, `job-` for one that lingers, `job+` for one that waits
/// for it to leave, `old>new` for one with another name, or `?` for a file that cannot be read, or `~` for a tree that is being written.
fn desired(text: &str) -> Desired {
    let mut desired = Desired::default();
    for word in text.split_whitespace() {
        match word {
            "?" => desired.obscured.push("jobs.d/dark.yaml".to_owned()),
            "~" => desired.scan.rest = Rest::Moving,
            _ => {}
        }
        if matches!(word, "?" | "~") {
            continue;
        }
        if let Some(name) = word.strip_suffix('!') {
            desired.frozen.insert(job(name));
            continue;
        }
        if let Some(name) = word.strip_suffix('-') {
            desired.lingering.insert(job(name));
            continue;
        }
        if let Some((old, new)) = word.split_once('>') {
            desired.renamed.insert(job(old), job(new));
            continue;
        }
        if let Some(name) = word.strip_suffix('+') {
            desired.successors.insert(job(name));
            continue;
        }
        let (name, rest) = word.split_once('@').unwrap();
        let (on, version) = rest.split_once('=').unwrap();
        desired.jobs.insert(job(name), Wanted { tier: tier(on), ..wanted(name, version) });
    }
    desired
}

/// `job@tier=applied/actual`, or `?tier` for a tier that did not answer.
fn live(text: &str) -> Live {
    let mut live = Live::default();
    for word in text.split_whitespace() {
        if let Some(on) = word.strip_prefix('?') {
            live.unseen.insert(tier(on));
            continue;
        }
        let (name, rest) = word.split_once('@').unwrap();
        let (on, versions) = rest.split_once('=').unwrap();
        let (applied, actual) = versions.split_once('/').unwrap();
        let digest = |version| Digest::of(&spec(name, version));
        let held = Held { applied: digest(applied), actual: digest(actual), spec: Some(spec(name, applied)) };
        live.placements.insert(Placement { job: job(name), tier: tier(on) }, held);
    }
    live
}

fn show(steps: &[Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(wanted: &str, held: &str, expected: &[&str]) {
    let steps = diff(&desired(wanted), &live(held));
    assert_eq!(show(&steps), expected, "desired `{wanted}`, live `{held}`");
}

#[test]
#[rustfmt::skip]
fn diff_table() {
    //    desired                        live                     steps
    check("",                            "",                      &[]);
    check("a@in-process=1",              "",                      &["create a on in-process"]);
    check("a@in-process=1",              "a@in-process=1/1",      &[]);
    check("a@in-process=2",              "a@in-process=1/1",      &["update a on in-process"]);
    check("a@in-process=1",              "a@in-process=1/9",      &["correct a on in-process"]);
    check("",                            "a@in-process=1/1",      &["prune a on in-process"]);
    check("b@in-process=1 a@queue=1",    "c@in-process=1/1",
          &["create a on queue", "create b on in-process", "prune c on in-process"]);
}

/// F10: its file may be about to be written anew.
#[test]
#[rustfmt::skip]
fn a_job_that_lingers_stays_and_does_not_count_as_leaving() {
    check("a-",                          "a@in-process=1/1",                  &[]);
    check("a- b@in-process=1",           "b@in-process=1/1 c@in-process=1/1", &["prune c on in-process"]);
    check("a- b+ b@in-process=1",        "a@in-process=1/1", &[]);
    check("b@in-process=1",              "a@in-process=1/1", &["create b on in-process", "prune a on in-process"]);
}

#[test]
#[rustfmt::skip]
fn a_job_changes_tier_in_two_passes() {
    check("a@queue=1", "a@in-process=1/1",               &["create a on queue"]);
    check("a@queue=1", "a@in-process=1/1 a@queue=1/1",   &["prune a on in-process"]);
    check("a@queue=1", "a@queue=1/1",                    &[]);
}

/// F6, F12: unknown is not empty.
#[test]
#[rustfmt::skip]
fn nothing_is_planned_where_nothing_is_known() {
    check("a!",        "a@in-process=1/1",         &[]);
    check("",          "a@queue=1/1 ?queue",       &[]);
    check("a@queue=1", "a@in-process=1/1 ?queue",  &[]);
}

#[track_caller]
fn check_guard(wanted: &str, held: &str, allowance: Allowance, expected: &[&str], held_back: &[&str]) {
    let live = live(held);
    let desired = desired(wanted);
    let (steps, back) = guard(diff(&desired, &live), &desired, &live, allowance);
    let back: Vec<String> = back.iter().map(|held| held.job.to_string()).collect();
    assert_eq!(
        (show(&steps), back),
        (expected.iter().map(|&s| s.to_owned()).collect(), held_back.iter().map(|&s| s.to_owned()).collect(),),
        "desired `{wanted}`, live `{held}`"
    );
}

/// F12: a source that is gone looks like a clean-up.
#[test]
#[rustfmt::skip]
fn guard_table() {
    use Allowance::{Guarded, UpTo};
    let seven = "a@queue=1/1 b@queue=1/1 c@queue=1/1 d@queue=1/1 e@queue=1/1 f@queue=1/1 g@queue=1/1";
    //          desired        live                            allowed   steps                                      held back
    check_guard("",            "a@queue=1/1",                  Guarded,  &[],                                       &["a"]);
    check_guard("",            "a@queue=1/1",                  UpTo(0),  &[],                                       &["a"]);
    check_guard("",            "a@queue=1/1",                  UpTo(1),  &["prune a on queue"],                     &[]);
    check_guard("a@queue=1",   "a@queue=1/1 b@queue=1/1",      Guarded,  &["prune b on queue"],                     &[]);
    check_guard("n@queue=1",   "a@queue=1/1",                  Guarded,  &["create n on queue", "prune a on queue"],&[]);
    check_guard("n@queue=1",   "a@queue=1/1 n@queue=1/1",      Guarded,  &["prune a on queue"],                     &[]);
    check_guard("",            "a@in-process=1/1 a@queue=1/1", Guarded,  &[],                                       &["a"]);
    check_guard("b@queue=1 ?", "a@in-process=1/1 a@queue=1/1 b@queue=1/1", Guarded, &[],                           &["a"]);
    check_guard("n!",          "a@queue=1/1",                  Guarded,  &[],                                       &["a"]);
    check_guard("a@queue=1",   "a@in-process=1/1 a@queue=1/1", Guarded,  &["prune a on in-process"],                &[]);
    check_guard("a@queue=1",   seven,                          Guarded,  &[],                                       &["b", "c", "d", "e", "f", "g"]);
    check_guard("a@queue=1 b@queue=1", seven,                  Guarded,
        &["prune c on queue", "prune d on queue", "prune e on queue", "prune f on queue", "prune g on queue"],      &[]);
}

/// F12: a wrong directory is no clean-up, however small it is.
#[test]
#[rustfmt::skip]
fn a_tree_that_has_nothing_in_common_with_what_is_held_changes_nothing() {
    use Allowance::{Guarded, UpTo};
    let two = "a@queue=1/1 b@queue=1/1";
    //          desired            live  allowed   steps                                                         held back
    check_guard("n@queue=2",       two,  Guarded,  &[],                                                          &["a", "b", "n"]);
    check_guard("n@queue=2",       two,  UpTo(1),  &[],                                                          &["a", "b", "n"]);
    check_guard("n@queue=2",       two,  UpTo(2),  &["create n on queue", "prune a on queue", "prune b on queue"], &[]);
    check_guard("n@queue=2 ~",     two,  Guarded,  &[],                                                          &["a", "b", "n"]);
    // A file that cannot be read may hold the first ones, and good ones start.
    check_guard("n@queue=2 ?",     two,  Guarded,  &["create n on queue"],                                       &["a", "b"]);
    // Something is in common: a job, one that cannot be used, one under another name.
    check_guard("b@queue=1 n@queue=2", two, Guarded, &["create n on queue", "prune a on queue"],                 &[]);
    check_guard("a! n@queue=2",    two,  Guarded,  &["create n on queue", "prune b on queue"],                   &[]);
    check_guard("n@queue=1",       two,  Guarded,  &["create n on queue", "prune a on queue", "prune b on queue"], &[]);
    check_guard("n@queue=2 a>n",   two,  Guarded,  &["create n on queue", "prune a on queue", "prune b on queue"], &[]);
    // One job for another is an everyday edit.
    check_guard("n@queue=2 m@queue=3", "a@queue=1/1 a@in-process=1/1", Guarded,
        &["create m on queue", "create n on queue", "prune a on in-process", "prune a on queue"],                &[]);
    // They may be back in a moment.
    check_guard("n@queue=2 a- b-", two,  Guarded,  &[],                                                          &[]);
}

/// F10, F12: a job has to be absent in two scans that agree, and in every file.
#[test]
#[rustfmt::skip]
fn nothing_is_pruned_while_it_is_not_known_what_is_asked_for() {
    use Allowance::{Guarded, UpTo};
    //          desired          live                            allowed   steps                       held back
    check_guard("a@queue=1 ~",   "a@queue=1/1 b@queue=1/1",      Guarded,  &[],                        &["b"]);
    check_guard("a@queue=1 ~",   "a@queue=1/1 b@queue=1/1",      UpTo(9),  &[],                        &["b"]);
    check_guard("a@queue=2 ~",   "a@queue=1/1 b@queue=1/1",      Guarded,  &["update a on queue"],     &["b"]);
    check_guard("a@queue=1 ~",   "a@in-process=1/1 a@queue=1/1", Guarded,  &["prune a on in-process"], &[]);
    check_guard("a@queue=1 ?",   "a@queue=1/1 b@queue=1/1",      Guarded,  &[],                        &["b"]);
    check_guard("a@queue=1 ?",   "a@queue=1/1 b@queue=1/1",      UpTo(1),  &[],                        &["b"]);
    check_guard("a@queue=2 ?",   "a@queue=1/1",                  Guarded,  &["update a on queue"],     &[]);
}

/// F10: while the old name stays, whatever holds it, the new one would run beside it.
#[test]
#[rustfmt::skip]
fn a_job_under_another_name_waits_as_long_as_the_first_one_stays() {
    use Allowance::{Guarded, UpTo};
    //          desired                   live                       allowed   steps                                        held back
    check_guard("b@queue=2 n@queue=3 a>n ?", "a@queue=1/1 b@queue=2/2", Guarded,  &[],                                      &["a", "n"]);
    check_guard("b@queue=2 n@queue=1 ?", "a@queue=1/1 b@queue=2/2",  Guarded,  &[],                                          &["a", "n"]);
    check_guard("b@queue=2 n@queue=1",   "a@queue=1/1 b@queue=2/2",  Guarded,  &["create n on queue", "prune a on queue"],   &[]);
    // It is another job, or nobody knows which of two.
    check_guard("b@queue=2 n@queue=3 ?", "a@queue=1/1 b@queue=2/2",  Guarded,  &["create n on queue"],                      &["a"]);
    check_guard("b@queue=2 n@queue=1 m@queue=1 ?", "a@queue=1/1 b@queue=2/2", Guarded, &["create m on queue", "create n on queue"], &["a"]);
    // It runs already.
    check_guard("n@queue=3 a>n ?",       "a@queue=1/1 n@queue=1/1",  Guarded,  &["update n on queue"],                      &["a"]);
    let (six, held) = ("n1@queue=1 n2@queue=2 n3@queue=3 n4@queue=4 n5@queue=5 n6@queue=6 b@queue=7",
                       "a1@queue=1/1 a2@queue=2/2 a3@queue=3/3 a4@queue=4/4 a5@queue=5/5 a6@queue=6/6 b@queue=7/7");
    let all = ["a1", "a2", "a3", "a4", "a5", "a6", "n1", "n2", "n3", "n4", "n5", "n6"];
    check_guard(six, held, Guarded, &[], &all);
    let steps: Vec<String> = (1..=6).map(|n| format!("create n{n} on queue")).chain((1..=6).map(|n| format!("prune a{n} on queue"))).collect();
    check_guard(six, held, UpTo(6), &steps.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
}

/// A rename of many is a prune of many: the count is of what is held with the new ones.
#[test]
fn the_guard_says_the_same_before_and_after_the_puts() {
    for count in [1, 5, 6, 30] {
        let words = |prefix: &str, end: &str| -> String {
            (0..count).map(|index| format!("{prefix}{index}@queue={end} ")).collect()
        };
        let desired = desired(&words("new", "1"));
        let before = live(&words("old", "1/1"));
        let after = live(&format!("{}{}", words("old", "1/1"), words("new", "1/1")));
        let held_back = |live: &Live| guard(diff(&desired, live), &desired, live, Allowance::Guarded).1.len();
        assert_eq!(held_back(&before), held_back(&after), "{count}");
        assert_eq!(held_back(&before), if count <= 5 { 0 } else { count }, "{count}");
    }
}

/// A plan with these steps, `put job@tier=version` or `prune job@tier`, made from these states.
fn document(wanted: &Desired, held: &Live, steps: &[&str]) -> PlanDocument {
    let steps = steps.iter().map(|step| {
        let (change, rest) = match step.split_once(' ').unwrap() {
            ("put", rest) => (Verb::Put, rest),
            (_, rest) => (Verb::Prune, rest),
        };
        let (name, rest) = rest.split_once('@').unwrap();
        let (on, version) = rest.split_once('=').unwrap_or((rest, ""));
        PlannedStep {
            job: job(name),
            tier: tier(on),
            change,
            why: if change == Verb::Put { Reason::New } else { Reason::Removed },
            digest: (change == Verb::Put).then(|| Digest::of(&spec(name, version))),
            fields: Vec::new(),
            next_before: None,
            next_after: None,
            fires_before: Vec::new(),
            fires_after: Vec::new(),
        }
    });
    PlanDocument {
        v: 1,
        tree: tree_digest(wanted),
        live: live_digest(held),
        errors: 0,
        frozen: Vec::new(),
        steps: steps.collect(),
        held_back: Vec::new(),
    }
}

/// F12b: an empty list allows nothing.
#[test]
fn a_plan_allows_what_is_on_its_list() {
    let (wanted, held) = (desired("a@queue=2 n@queue=1"), live("a@queue=1/1 b@queue=1/1"));
    let of = |steps: &[&str]| allowed(&document(&wanted, &held, steps), &wanted, &held);
    assert_eq!(show(&of(&[]).unwrap()), Vec::<String>::new());
    assert_eq!(show(&of(&["prune b@queue"]).unwrap()), ["prune b on queue"]);
    assert_eq!(
        show(&of(&["put n@queue=1", "put a@queue=2"]).unwrap()),
        ["update a on queue", "create n on queue"]
    );
    for other in ["put a@queue=3", "prune a@queue", "put c@queue=1", "prune b@in-process"] {
        assert_eq!(of(&["prune b@queue", other]).unwrap_err(), Stale::Steps, "{other}");
    }
}

#[test]
fn a_plan_holds_for_the_tree_and_the_live_state_that_it_was_made_from() {
    let (wanted, held) = (desired("a@queue=1"), live("a@queue=1/1 b@queue=1/1"));
    let plan = document(&wanted, &held, &["prune b@queue"]);
    let mut edited = wanted.clone();
    edited.scan.tree = [1; 32];
    assert_eq!(allowed(&plan, &edited, &held).unwrap_err(), Stale::Tree);
    assert_eq!(allowed(&plan, &desired("a@queue=1 ~"), &held).unwrap_err(), Stale::Moving);
    for other in [
        "a@queue=1/1",
        "a@queue=1/1 b@queue=2/2",
        "a@queue=1/2 b@queue=1/1",
        "a@queue=1/1 b@queue=1/1 ?workflow",
    ] {
        assert_eq!(allowed(&plan, &wanted, &live(other)).unwrap_err(), Stale::Live, "{other}");
    }
}

/// The file has a version, and keys are only ever added to it.
#[test]
fn a_plan_of_this_version_reads_as_it_was_written() {
    let text = r#"{"v":1,"tree":"00","live":"11","errors":0,"frozen":["f"],"steps":[{"job":"a","tier":"queue",
        "change":"prune","why":"removed","digest":null,"fields":[{"pointer":"/run","before":1,"after":null}],
        "next_before":"x","next_after":null,"fires_before":["x"],"fires_after":[]}],
        "held_back":[{"job":"b","change":"put","reason":"r"}]}"#;
    let plan: PlanDocument = serde_json::from_str(text).unwrap();
    // One of before puts were held back.
    let earlier: PlanDocument = serde_json::from_str(&text.replace(r#""change":"put","#, "")).unwrap();
    assert_eq!(earlier.held_back[0].change, Verb::Prune);
    let again: serde_json::Value = serde_json::to_value(&plan).unwrap();
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).unwrap());
}

#[test]
fn fields_name_what_changed_and_nothing_else() {
    let changes = fields(&spec("a", "1"), &spec("a", "2"));
    let shown: Vec<String> = changes
        .iter()
        .map(|change| format!("{} {:?} {:?}", change.pointer, change.before, change.after))
        .collect();
    assert_eq!(shown, [r#"/description Some(String("1")) Some(String("2"))"#]);
    assert_eq!(fields(&spec("a", "1"), &spec("a", "1")), []);
}

/// Does a step to the live state, as a backend would.
fn apply(step: &Step, live: &mut BTreeMap<Placement, Held>) {
    match &step.change {
        Change::Put { spec, digest, .. } => {
            let held = Held { applied: *digest, actual: *digest, spec: Some(Arc::clone(spec)) };
            live.insert(step.placement.clone(), held);
        }
        Change::Prune => {
            live.remove(&step.placement);
        }
    }
}

#[test]
fn two_passes_reach_what_is_wanted_from_anywhere() {
    let names = ["a", "b", "c"];
    let tiers = ["in-process", "queue", "workflow"];
    // Every placement of three jobs (absent, or a tier at one of two versions) against every other.
    let states: Vec<String> = (0..343)
        .map(|code: usize| {
            let word = |index: usize, name: &&str| {
                let choice = code / 7_usize.pow(u32::try_from(index).unwrap()) % 7;
                (choice > 0).then(|| format!("{name}@{}={}", tiers[(choice - 1) % 3], (choice - 1) / 3))
            };
            names
                .iter()
                .enumerate()
                .filter_map(|(index, name)| word(index, name))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    for (index, wanted) in states.iter().enumerate() {
        let held = &states[(index * 131 + 17) % states.len()];
        let doubled: String = held
            .split_whitespace()
            .map(|word| {
                let (place, version) = word.split_once('=').unwrap();
                format!("{place}={version}/{version} ")
            })
            .collect();
        let desired = desired(wanted);
        let mut live = live(&doubled);
        for _ in 0..2 {
            for step in diff(&desired, &live) {
                apply(&step, &mut live.placements);
            }
        }
        assert_eq!(show(&diff(&desired, &live)), Vec::<String>::new(), "desired `{wanted}`, live `{held}`");
    }
}
