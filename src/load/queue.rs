//! Where the messages of a job go, and what its backend cannot do for it.

use std::time::Duration;

use super::{
    directory::{self, both},
    fault::Fault,
    placing::Choices,
    texts::duration,
};
use crate::{
    manifest::{
        characteristics::{Infrastructure, Tier},
        code::Code,
        defaults::Defaults,
        job::Manifest,
        nearest::nearest,
        queue::{EXPIRE_AFTER_MAX, EXPIRE_AFTER_MIN, Fallback, Queue},
        shared::Shared,
        spec::{Action, QueueSpec, Spec},
        text::{DurationText, format_duration},
    },
    tier::{Asked, BackendKind, RunBy, Traits, lighter, queues::QueueBackend},
};

/// What an envelope has beside its job, at most: ids, times and a signature.
const ENVELOPE_BYTES: usize = 2 * 1024;

/// How long a request goes on that has no timeout of its own, as `execute` has it.
const REQUEST_MAX: Duration = Duration::from_secs(300);

/// Where the messages of a job go.
pub(super) struct Route {
    spec: QueueSpec,
    /// Whether somebody has written a part of it.
    is_written: bool,
    /// The backend; of a name that is none, something that can do everything stands in.
    pub(super) backend: QueueBackend,
}

/// Where messages go, from the manifest, its defaults and the settings.
pub(super) fn route(
    manifest: &Manifest,
    defaults: &Defaults,
    choices: &Choices,
    faults: &mut Vec<Fault>,
) -> Route {
    let queues = &choices.tiers.queues;
    let written = both(manifest.queue.as_ref(), defaults.queue.as_ref(), directory::queue);
    let is_written = written.is_some();
    let Queue { backend, name, expire_after } = written.unwrap_or_default();
    let spec = QueueSpec {
        backend: backend.unwrap_or_else(|| queues.default.backend.clone()),
        name: name.unwrap_or_else(|| queues.default.name.clone()),
        expire_after: expiry(expire_after.as_ref(), faults),
    };
    let known = queues.backends.get(&spec.backend).copied();
    let backend = known.unwrap_or_else(|| {
        let names: Vec<&str> = queues.backends.keys().map(String::as_str).collect();
        let help = match nearest(&spec.backend, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "the backends are `{}`; others are given in the settings, under `queue.backends`",
                names.join("`, `")
            ),
        };
        let message = format!("there is no backend `{}`", spec.backend);
        faults.push(
            Fault::new(Code::UnknownBackend, "/queue/backend", message).label("no such backend").help(help),
        );
        QueueBackend { kind: BackendKind::RedisStreams, claim: Duration::MAX }
    });
    Route { spec, is_written, backend }
}

/// `expire_after` within its bounds.
pub(super) fn expiry(text: Option<&DurationText>, faults: &mut Vec<Fault>) -> Option<Duration> {
    let pointer = || "/queue/expire_after".to_owned();
    let after = duration(text, pointer, faults)?;
    let (label, help) = match after {
        after if after < EXPIRE_AFTER_MIN => ("too short", "write `1s` or more"),
        after if after > EXPIRE_AFTER_MAX => ("too long", "write `30d` or less"),
        _ => return Some(after),
    };
    let message = format!("a message cannot expire after {}", format_duration(after));
    faults.push(Fault::new(Code::Duration, pointer(), message).label(label).help(help));
    None
}

/// What the classifier is asked about a job.
pub(super) fn asked(spec: &Spec, traits: Traits, route: &Route) -> Asked {
    let run_by = if matches!(spec.run.action, Action::Message(_)) { RunBy::Consumer } else { RunBy::Us };
    Asked { traits, pin: spec.tier, run_by, backend: route.backend.kind }
}

impl Route {
    /// What the spec of a job on a tier says of it.
    pub(super) fn on(&self, tier: Tier) -> Option<Shared<QueueSpec>> {
        (tier == Tier::Queue || self.is_written).then(|| Shared::of(self.spec.clone()))
    }

    /// Checks a job that goes to a tier: what its backend cannot do for it, and what has no effect there.
    pub(super) fn check(
        &self,
        spec: &Spec,
        manifest: &Manifest,
        tier: Tier,
        asked: &Asked,
        choices: &Choices,
        faults: &mut Vec<Fault>,
    ) {
        if tier == Tier::Queue {
            self.claim(spec, faults);
            self.size(spec, faults);
        } else if manifest.queue.is_some() && !(tier == Tier::Workflow && spec.fallback == Fallback::Degrade)
        {
            let message = format!("`queue` has no effect: the job goes to {tier}");
            faults.push(
                Fault::new(Code::NoEffect, "/queue", message)
                    .label("no effect")
                    .help("leave it out, or write `tier: queue`"),
            );
        }
        if manifest.fallback == Some(Fallback::Degrade) {
            degrade(tier, asked, choices, faults);
        }
    }

    /// A run must end within its claim where that cannot be extended.
    fn claim(&self, spec: &Spec, faults: &mut Vec<Fault>) {
        let QueueBackend { kind, claim } = self.backend;
        if kind.promise().extends {
            return;
        }
        let limit = match spec.run.action {
            Action::Builtin(_) | Action::Message(_) => return,
            Action::Http(_) => Some(spec.policy.timeout.unwrap_or(REQUEST_MAX)),
            Action::Command(_) | Action::Shell(_) | Action::Steps(_) => {
                spec.policy.timeout.map(|timeout| timeout + spec.policy.kill_grace)
            }
        };
        if limit.is_some_and(|limit| limit <= claim) {
            return;
        }
        let claim = format_duration(claim);
        let message = match limit {
            None => {
                format!("a run on `{}` must end within {claim}, and nothing limits it", self.spec.backend)
            }
            Some(limit) => format!(
                "a run on `{}` must end within {claim}, and may take {}",
                self.spec.backend,
                format_duration(limit)
            ),
        };
        let help = format!(
            "give it a `timeout` that ends within {claim}, `kill_grace` included; its message would be sent again meanwhile"
        );
        faults.push(
            Fault::new(Code::ClaimTooShort, "/policy/timeout", message)
                .label("longer than a claim")
                .help(help),
        );
    }

    /// An envelope that its backend would refuse.
    fn size(&self, spec: &Spec, faults: &mut Vec<Fault>) {
        let body_max = self.backend.kind.promise().body_max;
        let bytes = ENVELOPE_BYTES + serde_json::to_vec(spec).map_or(0, |json| json.len());
        if bytes <= body_max {
            return;
        }
        let message = format!(
            "the job takes {} kB in a message, and `{}` takes {} kB",
            bytes.div_ceil(1_000),
            self.spec.backend,
            body_max / 1_000
        );
        faults.push(
            Fault::new(Code::EnvelopeTooLarge, "/run", message)
                .label("too large for a message")
                .help("put what is large into a file that the worker can read, and name the file"),
        );
    }
}

/// `fallback: degrade` where there is nothing to fall back to.
fn degrade(tier: Tier, asked: &Asked, choices: &Choices, faults: &mut Vec<Fault>) {
    if tier == Tier::InProcess {
        faults.push(
            Fault::new(Code::NoEffect, "/fallback", "`fallback` has no effect: the job goes to in-process")
                .label("no effect")
                .help("leave it out: that tier is there as long as the daemon is"),
        );
    } else if lighter(tier, asked, &choices.tiers).is_none() {
        let needs = match () {
            () if asked.run_by == RunBy::Consumer => "only a queue has a consumer for its `message`",
            () if asked.traits.infrastructure == Infrastructure::Distributed => {
                "it is to run on other machines"
            }
            () => "no lighter tier can do what it needs",
        };
        let message = format!("there is nothing to fall back to from {tier}: {needs}");
        faults.push(
            Fault::new(Code::DegradeNowhere, "/fallback", message)
                .label("waits, as with `hold`")
                .help("leave it out: what cannot be handed over waits until the tier is back"),
        );
    }
}
