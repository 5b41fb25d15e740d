//! The defaults that hold in a directory: those of its own file over those of the directories
//! above.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::suppress::Ignores;
use crate::manifest::{
    action::SecretRef,
    characteristics::Characteristics,
    defaults::{Defaults, DefaultsKind, RunDefaults, ScheduleDefaults},
    policy::{Policy, Retry},
    problem::{Problem, SourceText},
    queue::Queue,
    schedule::Dst,
    yaml::Node,
};

/// One file of defaults.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) source: Arc<SourceText>,
    pub(super) node: Node,
    pub(super) defaults: Defaults,
    /// The suppressions in it.
    pub(super) ignores: Ignores,
    /// Over its path and its text: problems of jobs name both.
    pub(super) hash: [u8; 32],
}

/// A file of defaults that cannot be used.
#[derive(Debug)]
pub(super) struct Flawed {
    /// Over all that `errors` say.
    pub(super) hash: [u8; 32],
    /// What is wrong with it; at least one.
    pub(super) errors: Vec<Problem>,
}

/// All defaults that hold in one directory.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    /// Nearest first.
    pub(super) layers: Vec<Arc<Layer>>,
    pub(super) merged: Arc<Defaults>,
    /// Over the contents of all layers, and what is wrong with those that cannot be used.
    pub(super) hash: [u8; 32],
    /// Layers that cannot be used: then nothing under them can.
    pub(super) broken: Vec<Arc<Flawed>>,
}

/// The defaults file of a directory: usable or not.
pub(super) type Own = Result<Arc<Layer>, Arc<Flawed>>;

/// The directories of a tree, looked up by path.
#[derive(Debug)]
pub(super) struct Directories<'a> {
    above: Arc<Directory>,
    own: &'a BTreeMap<String, Own>,
    known: HashMap<String, Arc<Directory>>,
}

/// The directory part of a path; empty for the root.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

impl<'a> Directories<'a> {
    /// `own` holds each directory's own file of defaults, `above` those of the directories that the
    /// tree lies in, outermost first.
    pub(super) fn new(own: &'a BTreeMap<String, Own>, above: &[Own]) -> Self {
        let above = above.iter().fold(nothing(), |above, own| under(own, above));
        Self { above: Arc::new(above), own, known: HashMap::new() }
    }

    /// Over all defaults there are, and where: equal ones hold the same in every directory.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.above.hash);
        for (path, own) in self.own {
            let hash = own.as_ref().map_or_else(|flawed| &flawed.hash, |layer| &layer.hash);
            hasher.update(&(path.len() as u64).to_le_bytes()).update(path.as_bytes()).update(hash);
        }
        *hasher.finalize().as_bytes()
    }

    /// What holds in a directory.
    pub(super) fn at(&mut self, path: &str) -> Arc<Directory> {
        if let Some(known) = self.known.get(path) {
            return Arc::clone(known);
        }
        let above = if path.is_empty() { Arc::clone(&self.above) } else { self.at(parent(path)) };
        let here = match self.own.get(path) {
            None => above,
            Some(own) => Arc::new(under(own, Directory::clone(&above))),
        };
        self.known.insert(path.to_owned(), Arc::clone(&here));
        here
    }
}

fn nothing() -> Directory {
    let merged = Defaults {
        kind: DefaultsKind::Defaults,
        labels: None,
        enabled: None,
        schedule: None,
        run: None,
        params: None,
        characteristics: None,
        tier: None,
        fallback: None,
        queue: None,
        policy: None,
    };
    Directory { layers: Vec::new(), merged: Arc::new(merged), hash: [0; 32], broken: Vec::new() }
}

/// A directory with a file of defaults of its own.
fn under(own: &Own, mut above: Directory) -> Directory {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&above.hash);
    let layer = match own {
        Ok(layer) => layer,
        Err(flawed) => {
            hasher.update(&flawed.hash);
            above.broken.push(Arc::clone(flawed));
            return Directory { hash: *hasher.finalize().as_bytes(), ..above };
        }
    };
    hasher.update(&layer.hash);
    let mut layers = vec![Arc::clone(layer)];
    layers.extend(above.layers);
    Directory {
        layers,
        merged: Arc::new(merge(&layer.defaults, &above.merged)),
        hash: *hasher.finalize().as_bytes(),
        broken: above.broken,
    }
}

/// `near` over `far`, field by field; mappings of names key by key.
pub(super) fn merge(near: &Defaults, far: &Defaults) -> Defaults {
    Defaults {
        kind: DefaultsKind::Defaults,
        labels: keys(near.labels.as_ref(), far.labels.as_ref()),
        enabled: near.enabled.or(far.enabled),
        schedule: both(near.schedule.as_ref(), far.schedule.as_ref(), schedule),
        run: both(near.run.as_ref(), far.run.as_ref(), run),
        params: keys(near.params.as_ref(), far.params.as_ref()),
        characteristics: both(near.characteristics.as_ref(), far.characteristics.as_ref(), characteristics),
        tier: near.tier.or(far.tier),
        fallback: near.fallback.or(far.fallback),
        queue: both(near.queue.as_ref(), far.queue.as_ref(), queue),
        policy: both(near.policy.as_ref(), far.policy.as_ref(), policy),
    }
}

/// Two optional parts as one.
pub(super) fn both<T: Clone>(near: Option<&T>, far: Option<&T>, merge: fn(&T, &T) -> T) -> Option<T> {
    match (near, far) {
        (Some(near), Some(far)) => Some(merge(near, far)),
        (one, other) => one.or(other).cloned(),
    }
}

/// Two optional mappings as one, key by key.
pub(super) fn keys<T: Clone>(
    near: Option<&BTreeMap<String, T>>,
    far: Option<&BTreeMap<String, T>>,
) -> Option<BTreeMap<String, T>> {
    both(near, far, |near, far| {
        let mut merged = far.clone();
        merged.extend(near.iter().map(|(key, value)| (key.clone(), value.clone())));
        merged
    })
}

fn schedule(near: &ScheduleDefaults, far: &ScheduleDefaults) -> ScheduleDefaults {
    ScheduleDefaults {
        timezone: near.timezone.clone().or_else(|| far.timezone.clone()),
        dst: both(near.dst.as_ref(), far.dst.as_ref(), dst),
        day_match: near.day_match.or(far.day_match),
        jitter: near.jitter.clone().or_else(|| far.jitter.clone()),
    }
}

/// One `dst` over another.
pub(super) fn dst(near: &Dst, far: &Dst) -> Dst {
    Dst { gap: near.gap.or(far.gap), overlap: near.overlap.or(far.overlap) }
}

/// One `run` over another. A variable is given by the nearest file that names it, as `env` or as
/// `secrets`.
pub(super) fn run(near: &RunDefaults, far: &RunDefaults) -> RunDefaults {
    let (far_env, far_secrets) = unshadowed(near.env.as_ref(), near.secrets.as_ref(), far);
    RunDefaults {
        cwd: near.cwd.clone().or_else(|| far.cwd.clone()),
        env: keys(near.env.as_ref(), far_env.as_ref()),
        secrets: keys(near.secrets.as_ref(), far_secrets.as_ref()),
    }
}

/// Variables with their values.
type Env = BTreeMap<String, String>;

/// Variables whose values are looked up.
type Secrets = BTreeMap<String, SecretRef>;

/// The variables of `far` that nothing nearer gives.
pub(super) fn unshadowed(
    env: Option<&Env>,
    secrets: Option<&Secrets>,
    far: &RunDefaults,
) -> (Option<Env>, Option<Secrets>) {
    let mut far_env = far.env.clone();
    let mut far_secrets = far.secrets.clone();
    if let (Some(far_env), Some(secrets)) = (&mut far_env, secrets) {
        far_env.retain(|key, _| !secrets.contains_key(key));
    }
    if let (Some(far_secrets), Some(env)) = (&mut far_secrets, env) {
        far_secrets.retain(|key, _| !env.contains_key(key));
    }
    (far_env, far_secrets)
}

/// One `characteristics` over another.
pub(super) fn characteristics(near: &Characteristics, far: &Characteristics) -> Characteristics {
    Characteristics {
        visibility: near.visibility.or(far.visibility),
        durability: near.durability.or(far.durability),
        infrastructure: near.infrastructure.or(far.infrastructure),
        frequency: near.frequency.or(far.frequency),
        complexity: near.complexity.or(far.complexity),
    }
}

/// One `queue` over another.
pub(super) fn queue(near: &Queue, far: &Queue) -> Queue {
    Queue {
        backend: near.backend.clone().or_else(|| far.backend.clone()),
        name: near.name.clone().or_else(|| far.name.clone()),
        expire_after: near.expire_after.clone().or_else(|| far.expire_after.clone()),
    }
}

/// One `policy` over another.
pub(super) fn policy(near: &Policy, far: &Policy) -> Policy {
    Policy {
        overlap: near.overlap.or(far.overlap),
        max_running: near.max_running.or(far.max_running),
        timeout: near.timeout.clone().or_else(|| far.timeout.clone()),
        kill_grace: near.kill_grace.clone().or_else(|| far.kill_grace.clone()),
        retry: both(near.retry.as_ref(), far.retry.as_ref(), retry),
    }
}

fn retry(near: &Retry, far: &Retry) -> Retry {
    Retry {
        max_attempts: near.max_attempts.or(far.max_attempts),
        backoff: near.backoff.or(far.backoff),
        initial: near.initial.clone().or_else(|| far.initial.clone()),
        factor: near.factor.or(far.factor),
        max: near.max.clone().or_else(|| far.max.clone()),
        jitter: near.jitter.or(far.jitter),
        on: near.on.clone().or_else(|| far.on.clone()),
    }
}
