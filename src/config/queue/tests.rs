//! The settings of the queue tier: from the file, from variables, and what is said of mistakes.

use std::time::Duration;

use super::{
    nats::NatsAuth,
    redis_streams::RedisServers,
    settings::{BackendOptions, QueueSettings},
};
use crate::{
    config::{Origin, tests},
    manifest::{
        exposed::{means_one_secret, means_secrets},
        schema,
        spec::SecretSource,
    },
    tier::queues::BackendKind,
};

const SETTINGS: &str = "\
queue:
  backend: main
  name: reports
  keys:
    - {id: new, secret: {env: KEY_NEW}}
    - {id: old, secret: {file: keys/old}}
  backends:
    main:
      redis-streams: {url: \"rediss://redis.example.com\", password: {env: REDIS}, claim: 1m}
    hot:
      nats: {servers: [\"nats://a:4222\"], credentials: nats.creds}
  worker: {concurrency: 4}
";

#[track_caller]
fn queue(file: &str, variables: &[(&str, &str)]) -> QueueSettings {
    match tests::settings(file, variables, &[]) {
        Ok(settings) => settings.queue,
        Err(error) => panic!("{:?}", error.problems),
    }
}

#[track_caller]
fn check(file: &str, expected: &[&str]) {
    tests::check(file, &[], &[], expected);
}

/// A file with the options of one backend, in flow style.
fn backend(kind: &str, options: &str) -> String {
    format!("queue: {{backends: {{b: {{{kind}: {{{options}}}}}}}}}\n")
}

#[test]
fn without_a_word_there_is_the_embedded_backend_and_a_worker_for_it() {
    assert_eq!(queue("", &[]), QueueSettings::default());
    assert_eq!(queue("jobs: a\n", &[]), QueueSettings::default());
    let backend = &QueueSettings::default().backends["embedded"];
    assert_eq!((backend.options.kind(), backend.claim), (BackendKind::Embedded, Duration::from_secs(30)));
}

#[test]
fn backends_are_read_with_their_defaults() {
    let queue = queue(SETTINGS, &[]);
    assert_eq!((queue.default_backend.as_str(), queue.default_queue.as_str()), ("main", "reports"));
    assert_eq!((queue.worker.enabled, queue.worker.concurrency, queue.dead_letters.max), (true, 4, 10_000));
    assert_eq!(queue.backends.keys().collect::<Vec<_>>(), ["embedded", "hot", "main"]);
    assert_eq!(queue.keys[0].secret, SecretSource::Env("KEY_NEW".to_owned()));
    let SecretSource::File(path) = &queue.keys[1].secret else { panic!("{:?}", queue.keys) };
    assert!(path.ends_with("/keys/old") && path.len() > "/keys/old".len(), "{path}");

    let main = &queue.backends["main"];
    assert_eq!((main.claim, main.results.as_str()), (Duration::from_secs(60), "tintal-results"));
    let BackendOptions::RedisStreams(redis) = &main.options else { panic!("{main:?}") };
    assert_eq!(redis.servers, RedisServers::One { url: "rediss://redis.example.com".to_owned() });
    assert_eq!((redis.dedupe, redis.group.as_str()), (Duration::from_secs(24 * 3600), "tintal"));
    assert!(redis.tls.is_some() && redis.login.username.is_none());

    let BackendOptions::Nats(nats) = &queue.backends["hot"].options else { panic!("{queue:?}") };
    assert!(matches!(&nats.auth, NatsAuth::Credentials(path) if path.ends_with("nats.creds")), "{nats:?}");
    assert!(nats.tls.is_none() && nats.replicas == 1);

    let queues = queue.queues();
    assert_eq!((queues.default.backend.as_str(), queues.backends["hot"].kind), ("main", BackendKind::Nats));
}

#[test]
fn every_kind_has_defaults_for_all_but_what_it_must_be_told() {
    for (kind, options) in [
        ("redis-streams", ""),
        ("nats", "servers: [\"nats://a\"]"),
        ("kafka", "brokers: [\"a:9092\"]"),
        ("rabbitmq", "url: \"amqp://a/v\""),
        ("pubsub", "project: p"),
        ("cloud-tasks", "project: p, location: l, target_url: \"https://a/tasks\""),
    ] {
        let queue = queue(&backend(kind, options), &[]);
        assert_eq!(queue.backends["b"].options.kind().as_str(), kind);
    }
    let lacking = [("nats", "servers"), ("kafka", "brokers"), ("rabbitmq", "url"), ("pubsub", "project")];
    for (kind, key) in lacking {
        let at = "queue: {backends: {b: {".len() + 1;
        let expected = format!("tintal.yaml:1:{at} `{kind}` lacks `{key}` (add `{key}: ...` under it)");
        check(&backend(kind, ""), &[&expected]);
    }
}

#[test]
fn variables_go_over_the_file_option_by_option() {
    let variables = [
        ("TINTAL_QUEUE__BACKEND", "hot"),
        ("TINTAL_QUEUE__BACKENDS__HOT__NATS__REPLICAS", "3"),
        (
            "TINTAL_QUEUE__BACKENDS",
            "{main: {redis-streams: {group: g}}, more: {kafka: {brokers: [\"a:1\"]}}}",
        ),
    ];
    let settings = tests::settings(SETTINGS, &variables, &[]).unwrap();
    let queue = &settings.queue;
    assert_eq!(queue.backends.keys().collect::<Vec<_>>(), ["embedded", "hot", "main", "more"]);
    let (BackendOptions::Nats(nats), BackendOptions::RedisStreams(redis)) =
        (&queue.backends["hot"].options, &queue.backends["main"].options)
    else {
        panic!("{queue:?}")
    };
    assert_eq!((nats.replicas, redis.group.as_str(), queue.default_backend.as_str()), (3, "g", "hot"));
    let origin = |key: &str| settings.origins[key].1.clone();
    let replicas = "TINTAL_QUEUE__BACKENDS__HOT__NATS__REPLICAS".to_owned();
    assert_eq!(origin("queue.backends.hot.nats.replicas"), Origin::Environment(replicas));
    assert_eq!(origin("queue.backends.hot.nats.duplicate_window"), Origin::Default);
    assert!(matches!(origin("queue.backends.hot.nats.servers"), Origin::File { line: 11, .. }));
    let (password, _) = &settings.origins["queue.backends.main.redis-streams.password"];
    assert_eq!(password.to_string(), r#"{"env":"REDIS"}"#);

    tests::check(
        "",
        &[("TINTAL_QUEUE__BACKENDS__B__NATS__REPLICAS", "3")],
        &[],
        &[
            "TINTAL_QUEUE__BACKENDS__B__NATS__REPLICAS:1:1 `nats` lacks `servers` (add `servers: ...` under it)",
        ],
    );
}

#[test]
fn a_misspelt_kind_or_name_is_told_the_right_one() {
    check(
        &backend("redis", ""),
        &["tintal.yaml:1:24 `b` has no field `redis` (did you mean `redis-streams`?)"],
    );
    check(
        &backend("cloudtasks", "project: p"),
        &["tintal.yaml:1:24 `b` has no field `cloudtasks` (did you mean `cloud-tasks`?)"],
    );
    check(
        "queue: {backend: embeded}\n",
        &["tintal.yaml:1:18 there is no backend `embeded` (did you mean `embedded`?)"],
    );
    check(
        "queue: {backend: hot}\n",
        &[
            "tintal.yaml:1:18 there is no backend `hot` (the backends are `embedded`; others are given under `queue.backends`)",
        ],
    );
    check(
        "queue: {backends: {embedded: {redis-streams: {}}}}\n",
        &[
            "tintal.yaml:1:20 the backend `embedded` is always there (give this one another name; what is embedded has no options)",
        ],
    );
    check(
        "queue: {backends: {b: {nats: {servers: [\"nats://a\"]}, kafka: {brokers: [\"a:1\"]}}}}\n",
        &["tintal.yaml:1:20 `b` takes one key, not 2 (keep 1 of them)"],
    );
    check(
        "queue: {name: Ab, backends: {B: {redis-streams: {}}}}\n",
        &[
            "tintal.yaml:1:15 `Ab` is not a name of a queue (lower-case letters, digits and `-`, beginning with a letter, 3 to 63)",
            "tintal.yaml:1:30 `B` cannot be a key of `backends` (lower-case letters, digits and `-`, beginning with a letter, at most 63)",
        ],
    );
}

#[test]
fn options_that_do_not_go_together_are_told() {
    // What is said of the value that is a token.
    let at = |kind: &str, options: &str, token: &str, said: &str| {
        let file = backend(kind, options);
        let column = file.find(token).unwrap() + 1;
        check(&file, &[&format!("tintal.yaml:1:{column} {said}")]);
    };
    at(
        "redis-streams",
        "url: \"redis://a\", urls: [\"redis://b\"]",
        "[\"redis://b",
        "`redis-streams` takes one of `url`, `urls` and `sentinel`, not `url` and `urls` (keep `url` for one server, `urls` for a cluster, or `sentinel`)",
    );
    at(
        "nats",
        "servers: [\"nats://a\"], token: {env: A}, nkey_seed: {env: B}",
        "{env: B",
        "`nats` takes one of `username`, `token`, `nkey_seed`, `credentials`, not `token` and `nkey_seed` (keep the one that the servers ask for)",
    );
    at(
        "kafka",
        "brokers: [\"a:1\"], username: u",
        "u}",
        "`username` has no effect without `sasl` (give `sasl`, `username` and `password`, or none of them)",
    );
    at(
        "kafka",
        "brokers: [\"a:1\", b]",
        "b]",
        "`b` is not of the form `HOST:PORT` (write a name or an address and a port, as in `kafka.example.com:9092`)",
    );
    at(
        "redis-streams",
        "tls: {cert: c.pem}",
        "c.pem",
        "`cert` has no effect without `key` (add `key: ...`, or leave `cert` out)",
    );
    at(
        "pubsub",
        "project: p, claim: 1h",
        "1h",
        "`claim` is a duration from 10s to 10m (write a duration from `10s` to `10m`)",
    );
    at(
        "cloud-tasks",
        "project: p, location: l, target_url: \"ftp://a\"",
        "\"ftp",
        "`ftp://a` cannot be used: it does not begin with `https://` or `http://` (write a whole URL, as in `https://host`)",
    );
}

/// What a person wrote out is in no report.
#[test]
fn a_secret_that_is_written_out_is_refused_and_hidden() {
    for (file, expected) in [
        (
            backend("redis-streams", "url: \"redis://u:hunter2@h\""),
            "tintal.yaml:1:45 `url` holds a password (name a variable or a file that holds it: `password: {env: VARIABLE}`; in the URL the user's name may stay)",
        ),
        (
            backend("redis-streams", "password: hunter2"),
            "tintal.yaml:1:50 `password` takes a mapping, not text (name a variable or a file that holds the value: `password: {env: VARIABLE}`)",
        ),
        (
            backend("redis-streams", "password: 48151623"),
            "tintal.yaml:1:50 `password` takes a mapping, not a number (name a variable or a file that holds the value: `password: {env: VARIABLE}`)",
        ),
        (
            "queue: {keys: [{id: a, secret: hunter2}]}\n".to_owned(),
            "tintal.yaml:1:32 `secret` takes a mapping, not text (name a variable or a file that holds the value: `secret: {env: VARIABLE}`)",
        ),
    ] {
        check(&file, &[expected]);
        for problem in tests::settings(&file, &[], &[]).unwrap_err().problems {
            let hidden = problem.hidden.unwrap_or_default();
            let text = &problem.primary.place.source.text;
            assert!(text[hidden.range()].contains(['h', '4']), "{file}: {hidden:?}");
            assert!(!text[..hidden.start as usize].contains("hunter2"), "{file}");
            assert!(!text[hidden.end as usize..].contains("hunter2"), "{file}");
        }
    }
}

#[test]
fn a_reference_that_can_lead_nowhere_is_told() {
    check(
        &backend("redis-streams", "password: {env: TINTAL_PASSWORD}"),
        &[
            "tintal.yaml:1:50 `password` cannot be looked up: variables that begin with `TINTAL_` are settings (give the variable another name)",
        ],
    );
    check(
        "queue: {keys: [{id: a, secret: {file: /keys/}}, {id: a, secret: {env: K}}]}\n",
        &[
            "tintal.yaml:1:32 the key `a` cannot be looked up: it names a directory (write the path of a file that holds the value and nothing else)",
        ],
    );
    check(
        "queue: {keys: [{id: a, secret: {env: J}}, {id: a, secret: {env: K}}]}\n",
        &["tintal.yaml:1:48 there is already a key `a` (give each key a name of its own)"],
    );
}

#[test]
fn no_other_setting_is_taken_for_a_secret() {
    let schema = schema::generate::<crate::config::file::SettingsFile>("settings");
    let text = schema.to_string();
    let mut taken: Vec<&str> = text
        .split("\":")
        .filter_map(|before| before.rsplit('"').next())
        .filter(|key| means_secrets(key) || means_one_secret(key))
        .collect();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken, ["SecretRef", "nkey_seed", "password", "secret", "token"]);
}
