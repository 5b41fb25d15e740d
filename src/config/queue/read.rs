//! Reads the settings of the queue tier from the layers.

use std::{collections::BTreeMap, time::Duration};

use super::{
    cloud_tasks,
    file::KeyFile,
    kafka, nats,
    options::{CLAIM_MAX, CLAIM_MIN, Options, Unusable, looked_up},
    pubsub, rabbitmq, redis_streams,
    settings::{
        BackendOptions, BackendSettings, CONCURRENCY, DEAD_LETTERS_MAX, DeadLetterSettings, KeySettings,
        QueueSettings, RESULTS, WorkerSettings,
    },
};
use crate::{
    config::merge::Merge,
    manifest::{
        code::Code,
        nearest::nearest,
        problem::{Place, Problem},
        yaml::NodeValue,
    },
    tier::queues::{BackendKind, CLAIM, CLAIM_CLOUD_TASKS, EMBEDDED, QUEUE},
};

/// Reads them; none when something in them cannot be used.
pub(in crate::config) fn settings(merge: &mut Merge<'_>) -> Option<QueueSettings> {
    let default_backend: String = merge.value("queue.backend", EMBEDDED.to_owned())?;
    let default_queue = merge.value("queue.name", QUEUE.to_owned())?;
    let keys = keys(merge);
    let backends = backends(merge);
    unknown_default(merge, &default_backend, &backends);
    let enabled = merge.value("queue.worker.enabled", true)?;
    let concurrency: u32 = merge.value("queue.worker.concurrency", CONCURRENCY)?;
    let max: u32 = merge.value("queue.dead_letters.max", DEAD_LETTERS_MAX)?;
    Some(QueueSettings {
        default_backend,
        default_queue,
        keys: keys?,
        backends: backends
            .into_iter()
            .map(|(name, backend)| Some((name, backend?)))
            .collect::<Option<_>>()?,
        worker: WorkerSettings { enabled, concurrency: concurrency as usize },
        dead_letters: DeadLetterSettings { max: max as usize },
    })
}

fn keys(merge: &mut Merge<'_>) -> Option<Vec<KeySettings>> {
    let Some(found) = merge.find("queue.keys") else { return Some(Vec::new()) };
    let files: Vec<KeyFile> = merge.optional("queue.keys")?;
    let mut keys: Vec<KeySettings> = Vec::with_capacity(files.len());
    let mut wrong = Vec::new();
    for (index, KeyFile { id, secret }) in files.into_iter().enumerate() {
        let place = |part: &str| {
            let span =
                found.node.at(&format!("/{index}/{part}")).map_or(found.node.span, |at| at.node.place());
            Place { source: found.place().source, span }
        };
        if keys.iter().any(|key| key.id == id) {
            let message = format!("there is already a key `{id}`");
            let problem = Problem::new(Code::DuplicateName, place("id"), message);
            wrong.push(problem.label("given again").help("give each key a name of its own"));
        }
        match looked_up(&secret, found.base()) {
            Ok(secret) => keys.push(KeySettings { id, secret }),
            Err(Unusable { reason, help }) => {
                let message = format!("the key `{id}` cannot be looked up: {reason}");
                wrong
                    .push(Problem::new(Code::Secret, place("secret"), message).label("of no use").help(help));
            }
        }
    }
    let is_good = wrong.is_empty();
    merge.problems.append(&mut wrong);
    is_good.then_some(keys)
}

/// Every backend by its name; none of one that cannot be used, whose problem is told.
fn backends(merge: &mut Merge<'_>) -> BTreeMap<String, Option<BackendSettings>> {
    let embedded = QueueSettings::default().backends.into_iter().map(|(name, backend)| (name, Some(backend)));
    let mut backends: BTreeMap<String, Option<BackendSettings>> = embedded.collect();
    for (name, kind) in named(merge) {
        if name == EMBEDDED {
            if let Some(found) = merge.find("queue.backends.embedded") {
                merge.problems.push(
                    Problem::new(
                        Code::DuplicateName,
                        found.key_place(),
                        "the backend `embedded` is always there",
                    )
                    .label("cannot be given")
                    .help("give this one another name; what is embedded has no options"),
                );
            }
            continue;
        }
        let backend = kind.and_then(|kind| backend(merge, &name, kind));
        backends.insert(name, backend);
    }
    backends
}

/// The names in all layers, each with the kind that the last one gives it; without one, its shape is
/// wrong, as has been told.
fn named(merge: &Merge<'_>) -> BTreeMap<String, Option<BackendKind>> {
    let mut named = BTreeMap::new();
    for layer in merge.layers {
        let Some(located) = layer.node.at("/queue/backends") else { continue };
        let NodeValue::Map(entries) = &located.node.value else { continue };
        for entry in entries {
            let kind = match &entry.value.value {
                NodeValue::Map(kinds) => kinds.first().map(|kind| kind.key.as_str()),
                _ => None,
            };
            let kind = kind
                .and_then(|word| BackendKind::CONFIGURABLE.into_iter().find(|kind| kind.as_str() == word));
            named.insert(entry.key.clone(), kind);
        }
    }
    named
}

fn backend(merge: &mut Merge<'_>, name: &str, kind: BackendKind) -> Option<BackendSettings> {
    let mut options = Options::new(merge, format!("queue.backends.{name}.{kind}"));
    let (default, bounds) = match kind {
        BackendKind::Pubsub => (CLAIM, Duration::from_secs(10)..=Duration::from_secs(600)),
        BackendKind::CloudTasks => (CLAIM_CLOUD_TASKS, Duration::from_secs(15)..=Duration::from_secs(1800)),
        _ => (CLAIM, CLAIM_MIN..=CLAIM_MAX),
    };
    let claim = options.duration("claim", default, bounds);
    let results = options.value("results", RESULTS.to_owned());
    let options = match kind {
        BackendKind::Embedded => BackendOptions::Embedded,
        BackendKind::RedisStreams => BackendOptions::RedisStreams(redis_streams::read(&mut options)?),
        BackendKind::Nats => BackendOptions::Nats(nats::read(&mut options)?),
        BackendKind::Kafka => BackendOptions::Kafka(kafka::read(&mut options)?),
        BackendKind::Rabbitmq => BackendOptions::Rabbitmq(rabbitmq::read(&mut options)?),
        BackendKind::Pubsub => BackendOptions::Pubsub(pubsub::read(&mut options)?),
        BackendKind::CloudTasks => BackendOptions::CloudTasks(cloud_tasks::read(&mut options)?),
    };
    Some(BackendSettings { claim: claim?, results: results?, options })
}

/// A default that is no backend.
fn unknown_default(
    merge: &mut Merge<'_>,
    default: &str,
    backends: &BTreeMap<String, Option<BackendSettings>>,
) {
    if backends.contains_key(default) {
        return;
    }
    let Some(found) = merge.find("queue.backend") else { return };
    let names: Vec<&str> = backends.keys().map(String::as_str).collect();
    let help = match nearest(default, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the backends are `{}`; others are given under `queue.backends`", names.join("`, `")),
    };
    merge.problems.push(
        Problem::new(Code::UnknownBackend, found.place(), format!("there is no backend `{default}`"))
            .label("no such backend")
            .help(help),
    );
}
