//! Where the messages of jobs go, and what is said where they cannot.

use std::{collections::BTreeMap, time::Duration};

use super::{load_with, told};
use crate::{
    load::{Loader, Tree, effective::effective},
    manifest::{characteristics::Tier, digest::Digest, spec::Spec},
    tier::{
        BackendKind, LedgerKind, Queues, Tiers,
        queues::{QueueBackend, QueueDefault},
    },
};

/// A loader with `embedded`, `redis` and `tasks`, of which one is the default; the first `count` tiers
/// can take jobs.
fn loader(default: &str, ledger: LedgerKind, count: usize) -> Loader {
    let of = |kind, minutes: u64| QueueBackend { kind, claim: Duration::from_secs(60 * minutes) };
    let backends = [
        ("embedded", of(BackendKind::Embedded, 1)),
        ("redis", of(BackendKind::RedisStreams, 1)),
        ("tasks", of(BackendKind::CloudTasks, 10)),
    ];
    let queues = Queues {
        default: QueueDefault { backend: default.to_owned(), name: "tintal".to_owned() },
        backends: BTreeMap::from(backends.map(|(name, backend)| (name.to_owned(), backend))),
    };
    Loader::new(Tiers { configured: Tier::ALL[..count].to_vec(), ledger, queues }, 1)
}

fn load(text: &str) -> Tree {
    load_with(&mut loader("embedded", LedgerKind::File, 2), &[("job.yaml", text)])
}

/// What is told of one manifest, without its path, and the tier and queue of the job.
#[track_caller]
fn check(text: &str, expected: &[&str], goes_to: &str) {
    check_with(&mut loader("embedded", LedgerKind::File, 2), text, expected, goes_to);
}

#[track_caller]
fn check_with(loader: &mut Loader, text: &str, expected: &[&str], goes_to: &str) {
    let tree = load_with(loader, &[("job.yaml", text)]);
    let found: Vec<String> = told(&tree).iter().map(|line| line.replace("job.yaml:", "")).collect();
    assert_eq!(found, expected, "{text}");
    assert_eq!(place(&tree), goes_to, "{text}");
}

/// The tier of the only job, with where its messages go.
fn place(tree: &Tree) -> String {
    let Some(job) = tree.jobs.values().next() else { return String::new() };
    let queue = job.spec.queue.as_ref().map(|queue| format!(" {}/{}", queue.backend, queue.name));
    format!("{}{}", job.classified.tier, queue.unwrap_or_default())
}

const RUN: &str = "run: {command: [a]}\n";

#[test]
fn every_job_on_the_queue_tier_has_a_backend_and_a_queue() {
    let persistent = "characteristics: {durability: persistent}\n";
    check(&format!("{persistent}{RUN}"), &[], "queue embedded/tintal");
    check(&format!("tier: queue\n{RUN}"), &[], "queue embedded/tintal");
    check(&format!("tier: queue\nqueue: {{name: reports}}\n{RUN}"), &[], "queue embedded/reports");
    check(&format!("{persistent}queue: {{backend: redis}}\n{RUN}"), &[], "queue redis/tintal");
    check_with(
        &mut loader("redis", LedgerKind::File, 2),
        &format!("{persistent}{RUN}"),
        &[],
        "queue redis/tintal",
    );
    // Nothing is said of a queue where nobody has written of one.
    check(RUN, &[], "in-process");
    check(&format!("queue: {{name: reports}}\n{RUN}"), &["1 TIN041 /queue"], "in-process embedded/reports");
}

/// What new versions know beside has no part in the digests of jobs that do without.
#[test]
fn a_job_without_a_queue_keeps_its_digest() {
    let tree = load(RUN);
    let job = tree.jobs.values().next().unwrap();
    let stored = serde_json::to_value(&*job.spec).unwrap();
    for key in ["queue", "fallback"] {
        assert!(stored.get(key).is_none(), "{stored}");
    }
    let read: Spec = serde_json::from_value(stored).unwrap();
    assert_eq!(Digest::of(&read), job.digest());
    assert_eq!(
        job.digest().to_string(),
        "445b10971a1cb3d470efa9f92270e30ebd86b5bca1635f79f406a1f2816c4149",
        "specs of before have this digest"
    );
}

#[test]
fn the_defaults_of_a_directory_fill_in_key_by_key() {
    let files = [
        (
            "_defaults.yaml",
            "kind: defaults\ntier: queue\nfallback: degrade\nqueue: {backend: redis, expire_after: 6h}\n",
        ),
        ("job.yaml", "queue: {name: reports}\nrun: {command: [a]}\n"),
    ];
    let mut loader = loader("embedded", LedgerKind::File, 2);
    let tree = load_with(&mut loader, &files);
    assert_eq!((told(&tree), place(&tree)), (Vec::new(), "queue redis/reports".to_owned()));
    let job = tree.jobs.values().next().unwrap();
    assert_eq!(job.spec.queue.as_ref().unwrap().expire_after, Some(Duration::from_secs(6 * 3600)));
    let spec = effective(&job.spec, &job.traits);
    let expected = serde_json::json!({"backend": "redis", "name": "reports", "expire_after": "6h"});
    assert_eq!((&spec["queue"], &spec["fallback"]), (&expected, &"degrade".into()));
    // What is mistaken in them is told where they say it, and there alone.
    let files = [
        ("_defaults.yaml", "kind: defaults\nqueue: {backend: rediss, expire_after: 60d}\n"),
        ("a.yaml", RUN),
        ("b.yaml", "tier: queue\nrun: {command: [a]}\n"),
    ];
    let tree = load_with(&mut loader, &files);
    assert_eq!(
        told(&tree),
        ["_defaults.yaml:2 TIN080 /queue/backend", "_defaults.yaml:2 TIN033 /queue/expire_after"]
    );
}

#[test]
fn a_backend_that_is_not_there_is_told_with_those_that_are() {
    let tree = load(&format!("tier: queue\nqueue: {{backend: rediss}}\n{RUN}"));
    assert_eq!(told(&tree), ["job.yaml:2 TIN080 /queue/backend"]);
    assert_eq!(tree.problems[0].help.as_deref(), Some("did you mean `redis`?"));
    let tree = load(&format!("queue: {{backend: kafka}}\n{RUN}"));
    let help = "the backends are `embedded`, `redis`, `tasks`; others are given in the settings, under `queue.backends`";
    assert_eq!(tree.problems[0].help.as_deref(), Some(help));
    // What it could do is not known: nothing follows from it.
    check(
        &format!("characteristics: {{infrastructure: distributed}}\nqueue: {{backend: rediss}}\n{RUN}"),
        &["2 TIN080 /queue/backend"],
        "",
    );
}

#[test]
fn a_message_expires_after_a_second_to_thirty_days() {
    let check = |after: &str, expected: &[&str], place: &str| {
        check(&format!("tier: queue\nqueue: {{expire_after: {after}}}\n{RUN}"), expected, place);
    };
    check("1s", &[], "queue embedded/tintal");
    check("30d", &[], "queue embedded/tintal");
    check("999ms", &["2 TIN033 /queue/expire_after"], "");
    check("31d", &["2 TIN033 /queue/expire_after"], "");
    check("soon", &["2 TIN015 /queue/expire_after"], "");
}

#[test]
fn a_job_for_other_machines_needs_a_backend_that_they_reach() {
    let distributed = "characteristics: {infrastructure: distributed}\n";
    check(&format!("{distributed}{RUN}"), &["1 TIN067 /characteristics/infrastructure"], "");
    check(&format!("tier: queue\n{distributed}{RUN}"), &["1 TIN060 /tier"], "");
    check(&format!("queue: {{backend: redis}}\n{distributed}{RUN}"), &[], "queue redis/tintal");
    let tree = load(&format!("{distributed}{RUN}"));
    let help = "name a backend that other machines reach: `queue: {backend: NAME}` here, or `queue.backend` in the settings; or let the job be `infrastructure: local`";
    assert_eq!(tree.problems[0].help.as_deref(), Some(help));
    // With a workflow server it has somewhere to go.
    check_with(&mut loader("embedded", LedgerKind::File, 3), &format!("{distributed}{RUN}"), &[], "workflow");
}

#[test]
fn a_persistent_job_is_not_kept_by_a_ledger_in_memory() {
    let persistent = "characteristics: {durability: persistent}\n";
    let mut memory = loader("embedded", LedgerKind::Memory, 2);
    check_with(&mut memory, &format!("tier: queue\n{RUN}"), &[], "queue embedded/tintal");
    check_with(&mut memory, &format!("tier: queue\n{persistent}{RUN}"), &["1 TIN064 /tier"], "");
    check_with(&mut memory, &format!("{persistent}{RUN}"), &["1 TIN067 /characteristics/durability"], "");
    check_with(
        &mut memory,
        &format!("queue: {{backend: redis}}\n{persistent}{RUN}"),
        &[],
        "queue redis/tintal",
    );
}

#[test]
fn a_message_goes_to_a_queue_or_nowhere() {
    let message = "run: {message: {workflow: etl.sync, context: {day: \"{{ fire_time.date }}\"}}}\n";
    let redis = "queue: {backend: redis}\n";
    check(&format!("{redis}{message}"), &[], "queue redis/tintal");
    check(
        &format!("{redis}characteristics: {{visibility: user-facing}}\n{message}"),
        &[],
        "queue redis/tintal",
    );
    check(&format!("{redis}tier: in-process\n{message}"), &["2 TIN060 /tier"], "");
    check(&format!("tier: queue\n{message}"), &["1 TIN060 /tier"], "");
    check(message, &["1 TIN067 /run/message"], "");
    check(
        &format!("{redis}run: {{message: {{workflow: a, context: {{x: \"{{{{ param.x }}}}\"}}}}}}\n"),
        &["2 TIN054 /run/message/context/x"],
        "",
    );
    // The broker would show a secret to whoever reads there.
    check(
        &format!(
            "{redis}run: {{message: {{workflow: a, metadata: {{x: \"{{{{ secrets.X }}}}\"}}}}, secrets: {{X: {{env: X}}}}}}\n"
        ),
        &["2 TIN054 /run/message/metadata/x", "2 TIN041 /run/secrets"],
        "",
    );
    check(
        &format!("{redis}policy: {{timeout: 5m, retry: {{max_attempts: 2}}}}\n{message}"),
        &["2 TIN041 /policy/timeout", "2 TIN041 /policy/retry"],
        "queue redis/tintal",
    );
    check(&format!("{redis}run:\n  message: {{}}\n"), &["3 TIN012 /run/message"], "");
    check(
        "run:\n  steps:\n    - {id: a, message: {workflow: b}}\n",
        &["3 TIN014 /run/steps/0", "3 TIN010 /run/steps/0/message"],
        "",
    );
}

#[test]
fn a_run_ends_within_a_claim_that_cannot_be_extended() {
    let job = |rest: &str| format!("queue: {{backend: tasks}}\ntier: queue\n{rest}");
    let check = |rest: &str, expected: &[&str]| {
        check(&job(rest), expected, if expected.is_empty() { "queue tasks/tintal" } else { "" });
    };
    check(RUN, &["1 TIN081 /policy/timeout"]);
    check("run: {command: [a]}\npolicy: {timeout: 9m}\n", &[]);
    check("run: {command: [a]}\npolicy: {timeout: 10m}\n", &["4 TIN081 /policy/timeout"]);
    check("run: {command: [a]}\npolicy: {timeout: 10m, kill_grace: 0s}\n", &[]);
    check("run: {http: {url: \"http://a/\"}}\n", &[]);
    check("run: {builtin: {noop: {}}}\n", &[]);
    check("run: {message: {workflow: a}}\n", &[]);
}

#[test]
fn a_job_that_is_too_large_for_a_message_is_told() {
    let large = format!("run: {{command: [a, {}]}}\n", vec!["b".repeat(100_000); 9].join(", "));
    check(&format!("tier: queue\n{large}"), &[], "queue embedded/tintal");
    check(&large, &[], "in-process");
    check(
        &format!("tier: queue\nqueue: {{backend: tasks}}\npolicy: {{timeout: 5m}}\n{large}"),
        &["4 TIN082 /run"],
        "",
    );
}

#[test]
fn fallback_is_told_where_there_is_nothing_to_fall_back_to() {
    let degrade = "fallback: degrade\n";
    check(&format!("{degrade}tier: queue\n{RUN}"), &[], "queue embedded/tintal");
    check(&format!("{degrade}{RUN}"), &["1 TIN041 /fallback"], "in-process");
    check(
        &format!(
            "{degrade}characteristics: {{infrastructure: distributed}}\nqueue: {{backend: redis}}\n{RUN}"
        ),
        &["1 TIN083 /fallback"],
        "queue redis/tintal",
    );
    check(
        &format!("{degrade}queue: {{backend: redis}}\nrun: {{message: {{workflow: a}}}}\n"),
        &["1 TIN083 /fallback"],
        "queue redis/tintal",
    );
    // From the workflow tier a queue is the next one, and `queue` says which.
    check_with(
        &mut loader("embedded", LedgerKind::File, 3),
        &format!("{degrade}tier: workflow\nqueue: {{backend: redis}}\n{RUN}"),
        &[],
        "workflow redis/tintal",
    );
    check_with(
        &mut loader("embedded", LedgerKind::File, 3),
        &format!("tier: workflow\nqueue: {{backend: redis}}\n{RUN}"),
        &["2 TIN041 /queue"],
        "workflow redis/tintal",
    );
}

/// On a machine without a workflow server.
#[test]
fn a_job_for_the_workflow_tier_goes_to_the_queue() {
    check(&format!("characteristics: {{visibility: user-facing}}\n{RUN}"), &[], "queue embedded/tintal");
    check("run: {steps: [{id: a, command: [b]}]}\n", &[], "queue embedded/tintal");
    check(
        &format!("schedule: {{every: 5s}}\ncharacteristics: {{visibility: user-facing}}\n{RUN}"),
        &["1 TIN061 /schedule", "1 TIN062 /schedule"],
        "queue embedded/tintal",
    );
}

/// Mistakes of shape elsewhere hide none of these, and none follows from what was taken out.
#[test]
fn what_is_left_of_a_broken_document_is_looked_at() {
    check(
        "queue: {backend: rediss}\nrun: {command: [a], cwd: 7}\n",
        &["1 TIN080 /queue/backend", "2 TIN011 /run/cwd"],
        "",
    );
    check(
        "queue: {backend: 7}\ncharacteristics: {infrastructure: distributed}\nrun: {command: [a]}\n",
        &["1 TIN011 /queue/backend"],
        "",
    );
    check(
        "queue: {name: a, brand: b}\nrun: {command: [a]}\n",
        &["1 TIN015 /queue/name", "1 TIN010 /queue/brand"],
        "",
    );
}
