//! Where the messages of a job go, and what is promised there.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    cli::tree::View,
    load::Loaded,
    manifest::{characteristics::Tier, spec::QueueSpec},
    tier::BackendKind,
};

/// The queue of a job on the queue tier, with the kind of its backend.
fn queue<'a>(view: &View, job: &'a Loaded) -> Option<(&'a QueueSpec, BackendKind)> {
    let spec = job.spec.queue.as_deref().filter(|_| job.classified.tier == Tier::Queue)?;
    Some((spec, view.loader.tiers().queues.backends.get(&spec.backend)?.kind))
}

/// For programs; null of a job on another tier.
pub(super) fn document(view: &View, job: &Loaded) -> Value {
    let Some((spec, kind)) = queue(view, job) else { return Value::Null };
    let promise = kind.promise();
    json!({
        "backend": spec.backend,
        "kind": kind.as_str(),
        "name": spec.name,
        "delivery": promise.delivery,
        "order": promise.order.to_string(),
        "durable": promise.durable,
    })
}

/// For people; nothing of a job on another tier.
pub(super) fn text(view: &View, job: &Loaded, out: &mut String) {
    let Some((spec, kind)) = queue(view, job) else { return };
    let promise = kind.promise();
    let of_kind = if spec.backend == kind.as_str() { String::new() } else { format!(" ({kind})") };
    let _ = writeln!(out, "queue     {} on {}{of_kind}", spec.name, spec.backend);
    let _ = writeln!(out, "          delivery: {}", promise.delivery);
    let _ = writeln!(out, "          order: {}; kept: {}", promise.order, promise.durable);
}
