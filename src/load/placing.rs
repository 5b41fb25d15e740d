//! The tier of a job, and what there is to say about it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::fault::Fault;
use crate::{
    manifest::{characteristics::Tier, code::Code, spec::Spec},
    tier::{Asked, Classified, Hindrance, Refusal, RefusalKind, Tiers, classify},
};

/// The choices among the tiers that can take jobs. Jobs of which the classifier reads the same share one,
/// with its reasons.
#[derive(Debug)]
pub(super) struct Choices {
    pub(super) tiers: Tiers,
    made: Mutex<BTreeMap<Asked, Arc<Classified>>>,
}

impl Choices {
    pub(super) fn new(tiers: Tiers) -> Self {
        Self { tiers, made: Mutex::default() }
    }

    /// Whether a tier that shows how each step goes can take jobs.
    pub(super) fn show_steps(&self) -> bool {
        self.tiers.configured.contains(&Tier::Workflow)
    }

    fn choose(&self, asked: &Asked) -> Result<Arc<Classified>, Refusal> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(asked) {
            return Ok(Arc::clone(known));
        }
        let classified = Arc::new(classify(asked, &self.tiers)?);
        made.insert(*asked, Arc::clone(&classified));
        Ok(classified)
    }
}

/// Chooses the tier, and warns of what the job lacks there.
///
/// # Errors
///
/// When no tier can take the job.
pub(super) fn place(
    spec: &Spec,
    asked: &Asked,
    choices: &Choices,
    faults: &mut Vec<Fault>,
) -> Result<Arc<Classified>, Refusal> {
    let classified = choices.choose(asked)?;
    let pinned = spec.tier.is_some();
    // W4 is about a ledger that forgets. One on disk does not, and with one in memory the tier is
    // refused.
    let warnings = classified.warnings.iter().filter(|warning| warning.code != Code::NeedsLedger);
    for warning in warnings {
        let pointer = match warning.code {
            _ if pinned => "/tier",
            Code::NoStepView if spec.characteristics.complexity.is_some() => "/characteristics/complexity",
            Code::NoStepView => "/run/steps",
            _ => "/schedule",
        };
        let label = if pinned { "pinned here".to_owned() } else { format!("goes to {}", classified.tier) };
        faults.push(
            Fault::new(warning.code, pointer, format!("{}: {}", warning.id, warning.message))
                .label(label)
                .help(way_out(warning.code, pinned)),
        );
    }
    Ok(classified)
}

/// What can be done about a warning.
fn way_out(code: Code, pinned: bool) -> &'static str {
    match code {
        Code::UserFacingOften => "let it fire once a minute or less, or let it be `visibility: internal`",
        Code::NoStepView => "write `tier: workflow`, which shows how each step goes",
        _ if pinned => "let it fire once a minute or less, or take `tier` out so that the rules choose",
        _ => "let it fire once a minute or less, or let it be `infrastructure: local`",
    }
}

/// A refusal in the words of the manifest.
pub(super) fn refused(refusal: &Refusal) -> Fault {
    let (rule, rules_choose) = refusal.rules_choose;
    match &refusal.kind {
        RefusalKind::Pin { tier, hindrance: Hindrance::NotConfigured } => Fault::new(
            Code::NoTier,
            "/tier",
            format!("the job is pinned to `{tier}`, which is not configured"),
        )
        .label("not configured")
        .help(format!(
            "leave `tier` out ({rule} chooses `{rules_choose}`, or what stands in for it), or configure `{tier}`"
        )),
        RefusalKind::Pin { tier, hindrance: Hindrance::NotDurable } => Fault::new(
            Code::NeedsLedger,
            "/tier",
            match tier {
                Tier::Queue => "a persistent job cannot be on the `embedded` queue while the ledger is in memory",
                _ => "a persistent job cannot be in-process while the ledger is in memory",
            },
        )
        .label("would be forgotten")
        .help("take `ledger: memory` out of the settings, or let the job be `ephemeral`"),
        RefusalKind::Pin { tier, hindrance } => Fault::new(
            Code::PinImpossible,
            "/tier",
            format!("the job is pinned to `{tier}`, which {}", hindrance.as_str()),
        )
        .label("cannot do what the job needs")
        .help(match hindrance {
            Hindrance::BackendNotReached | Hindrance::BackendNotShared => way_to_a_backend(*hindrance),
            Hindrance::NoConsumer => format!("leave `tier` out: {rule} chooses `{rules_choose}`"),
            _ => format!("leave `tier` out: {rule} chooses `{rules_choose}`; or let the job be `infrastructure: local`"),
        }),
        RefusalKind::NoTier { hindrances } => no_tier(hindrances),
    }
}

/// A job that no tier can take: what asks for too much, and the way out.
fn no_tier(hindrances: &[(Tier, Hindrance)]) -> Fault {
    let has = |wanted: Hindrance| hindrances.iter().any(|(_, hindrance)| *hindrance == wanted);
    let reasons: Vec<String> =
        hindrances.iter().map(|(tier, hindrance)| format!("{tier}: {}", hindrance.as_str())).collect();
    let (pointer, help) = if has(Hindrance::BackendNotShared) {
        ("/run/message", way_to_a_backend(Hindrance::BackendNotShared))
    } else if has(Hindrance::NoConsumer) {
        ("/run/message", "configure the queue tier".to_owned())
    } else if has(Hindrance::BackendNotReached) {
        ("/characteristics/infrastructure", way_to_a_backend(Hindrance::BackendNotReached))
    } else if has(Hindrance::NotDurable) {
        let help = "take `ledger: memory` out of the settings, or let the job be `ephemeral`";
        ("/characteristics/durability", help.to_owned())
    } else {
        let help = "configure a tier that can take it, or let the job be `local`";
        ("/characteristics/infrastructure", help.to_owned())
    };
    Fault::new(Code::NoTier, pointer, format!("no tier can take the job ({})", reasons.join("; ")))
        .label("this asks for more than the configured tiers can do")
        .help(help)
}

/// The way out for a job that the `embedded` backend is not enough for.
fn way_to_a_backend(hindrance: Hindrance) -> String {
    let (who, instead) = match hindrance {
        Hindrance::BackendNotShared => ("its consumer reaches", ""),
        _ => ("other machines reach", "; or let the job be `infrastructure: local`"),
    };
    format!(
        "name a backend that {who}: `queue: {{backend: NAME}}` here, or `queue.backend` in the settings{instead}"
    )
}
