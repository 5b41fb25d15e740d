//! The tier of a job, and what there is to say about it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::fault::Fault;
use crate::{
    manifest::{characteristics::Tier, code::Code, spec::Spec},
    tier::{Classified, Hindrance, Refusal, RefusalKind, Tiers, Traits, classify},
};

/// What is read of a job, and the tier that it pins.
type Question = (Traits, Option<Tier>);

/// The choices among the tiers that can take jobs. Jobs of which the classifier reads the same share one,
/// with its reasons.
#[derive(Debug)]
pub(super) struct Choices {
    pub(super) tiers: Tiers,
    made: Mutex<BTreeMap<Question, Arc<Classified>>>,
}

impl Choices {
    pub(super) fn new(tiers: Tiers) -> Self {
        Self { tiers, made: Mutex::default() }
    }

    /// Whether a tier that shows how each step goes can take jobs.
    pub(super) fn show_steps(&self) -> bool {
        self.tiers.configured.contains(&Tier::Workflow)
    }

    fn choose(&self, traits: &Traits, pin: Option<Tier>) -> Result<Arc<Classified>, Refusal> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(&(*traits, pin)) {
            return Ok(Arc::clone(known));
        }
        let classified = Arc::new(classify(traits, pin, &self.tiers)?);
        made.insert((*traits, pin), Arc::clone(&classified));
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
    traits: &Traits,
    choices: &Choices,
    faults: &mut Vec<Fault>,
) -> Result<Arc<Classified>, Refusal> {
    let classified = choices.choose(traits, spec.tier)?;
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
        RefusalKind::Pin { hindrance: Hindrance::NotDurable, .. } => Fault::new(
            Code::NeedsLedger,
            "/tier",
            "a persistent job cannot be in-process while the ledger is in memory",
        )
        .label("would be forgotten")
        .help("take `ledger: memory` out of the settings, or let the job be `ephemeral`"),
        RefusalKind::Pin { tier, hindrance } => Fault::new(
            Code::PinImpossible,
            "/tier",
            format!("the job is pinned to `{tier}`, which {}", hindrance.as_str()),
        )
        .label("cannot do what the job needs")
        .help(format!(
            "leave `tier` out: {rule} chooses `{rules_choose}`; or let the job be `infrastructure: local`"
        )),
        RefusalKind::NoTier { hindrances } => {
            let reasons: Vec<String> =
                hindrances.iter().map(|(tier, hindrance)| format!("{tier}: {}", hindrance.as_str())).collect();
            let not_durable = hindrances.contains(&(Tier::InProcess, Hindrance::NotDurable));
            let (pointer, help) = if not_durable {
                (
                    "/characteristics/durability",
                    "take `ledger: memory` out of the settings, or let the job be `ephemeral`",
                )
            } else {
                (
                    "/characteristics/infrastructure",
                    "configure a tier that can take it, or let the job be `local`",
                )
            };
            Fault::new(Code::NoTier, pointer, format!("no tier can take the job ({})", reasons.join("; ")))
                .label("this asks for more than the configured tiers can do")
                .help(help)
        }
    }
}
