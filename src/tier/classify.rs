//! The choice of a tier, and what else was considered.

use super::{
    rules::{CAUTIONS, PIN, RULES, Rule, RuleId, holds, words},
    traits::{Trait, Traits},
};
use crate::manifest::{characteristics::Tier, code::Code};

/// Which tiers can take jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers {
    /// Tiers that can, lightest first.
    pub configured: Vec<Tier>,
    /// Where the in-process tier keeps what must survive.
    pub ledger: LedgerKind,
}

/// Where the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerKind {
    /// On disk: it survives a restart.
    File,
    /// In memory: it does not.
    Memory,
}

/// The tier of a job, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// Where the job goes.
    pub tier: Tier,
    /// The rule that chose.
    pub rule: RuleId,
    /// Why, in a few words.
    pub why: String,
    /// Whether the manifest pins the tier.
    pub pinned: bool,
    /// Every tier, lightest first, with what came of it.
    pub considered: Vec<Considered>,
    /// Warnings about the job on the tier that it goes to, whatever asked for it.
    pub warnings: Vec<Warning>,
}

/// What came of one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// The tier.
    pub tier: Tier,
    /// What came of it.
    pub verdict: Verdict,
    /// Why.
    pub why: String,
}

/// What came of a tier that was considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The job goes there.
    Chosen,
    /// The rules would choose it, but the job cannot go there.
    Passed,
    /// Nothing asks for it.
    NotAsked,
}

impl Verdict {
    /// The word in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Passed => "passed over",
            Self::NotAsked => "not asked for",
        }
    }
}

/// A warning of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its name in the decision matrix, as in `W5`.
    pub id: &'static str,
    /// Its code in problems.
    pub code: Code,
    /// What it says.
    pub message: &'static str,
}

/// Why a tier cannot take a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// It has no server in the settings, or this version has no adapter for it.
    NotConfigured,
    /// In-process jobs run on the daemon's machine.
    NotDistributed,
    /// The ledger is in memory.
    NotDurable,
}

impl Hindrance {
    /// The reason in a few words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not configured",
            Self::NotDistributed => "cannot run on other machines",
            Self::NotDurable => "cannot keep a persistent job while `ledger: memory` is set",
        }
    }

    /// The reason after "it".
    fn lead(self) -> String {
        match self {
            Self::NotConfigured => format!("is {}", self.as_str()),
            _ => self.as_str().to_owned(),
        }
    }
}

/// Why a job has no tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The tier that the rules choose, and the rule.
    pub rules_choose: (RuleId, Tier),
    /// Why there is none.
    pub kind: RefusalKind,
    /// Every tier, lightest first, with what came of it. None is chosen.
    pub considered: Vec<Considered>,
}

/// What keeps a job from having a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalKind {
    /// The manifest pins a tier that cannot take the job.
    Pin {
        /// The tier.
        tier: Tier,
        /// Why it cannot.
        hindrance: Hindrance,
    },
    /// No tier can take the job.
    NoTier {
        /// Every tier, with why it cannot.
        hindrances: Vec<(Tier, Hindrance)>,
    },
}

/// Chooses the tier of a job.
///
/// Total and deterministic. When the tier that the rules choose cannot take the job, the next
/// heavier and then the next lighter one that can takes it. A pin is never replaced.
///
/// # Errors
///
/// When the pinned tier, or every tier, cannot take the job.
pub fn classify(traits: &Traits, pin: Option<Tier>, tiers: &Tiers) -> Result<Classified, Refusal> {
    let rule = first_rule(traits);
    let chosen = choose(traits, rule, pin, tiers);
    let chosen_tier = chosen.as_ref().ok().copied();
    let question = Question { chosen: chosen_tier, rule, pin };
    let considered =
        Tier::ALL.into_iter().map(|each| question.consider(each, hindrance(each, traits, tiers))).collect();
    let tier = match chosen {
        Ok(tier) => tier,
        Err(kind) => return Err(Refusal { rules_choose: (rule.id, rule.tier), kind, considered }),
    };
    let (id, why) = match pin {
        Some(_) => (PIN.id, format!("the manifest pins it; {}", PIN.why)),
        None => (rule.id, format!("{}: {}", words(rule.when), rule.why)),
    };
    let warnings = CAUTIONS
        .iter()
        .filter(|caution| caution.tier.is_none_or(|on| on == tier) && holds(caution.when, traits))
        .map(|caution| Warning { id: caution.id, code: caution.code, message: caution.message })
        .collect();
    Ok(Classified { tier, rule: id, why, pinned: pin.is_some(), considered, warnings })
}

/// The first rule that applies.
fn first_rule(traits: &Traits) -> &'static Rule {
    let last = &RULES[RULES.len() - 1];
    RULES.iter().find(|rule| holds(rule.when, traits)).unwrap_or(last)
}

/// The pinned tier, or else the nearest to the rule's that can take the job.
fn choose(traits: &Traits, rule: &Rule, pin: Option<Tier>, tiers: &Tiers) -> Result<Tier, RefusalKind> {
    if let Some(tier) = pin {
        return match hindrance(tier, traits, tiers) {
            Some(hindrance) => Err(RefusalKind::Pin { tier, hindrance }),
            None => Ok(tier),
        };
    }
    let heavier = Tier::ALL.into_iter().filter(|tier| *tier > rule.tier);
    let lighter = Tier::ALL.into_iter().rev().filter(|tier| *tier < rule.tier);
    std::iter::once(rule.tier)
        .chain(heavier)
        .chain(lighter)
        .find(|tier| hindrance(*tier, traits, tiers).is_none())
        .ok_or_else(|| RefusalKind::NoTier {
            hindrances: Tier::ALL
                .into_iter()
                .filter_map(|tier| Some((tier, hindrance(tier, traits, tiers)?)))
                .collect(),
        })
}

/// What is asked of each tier in turn.
struct Question<'a> {
    chosen: Option<Tier>,
    rule: &'a Rule,
    pin: Option<Tier>,
}

impl Question<'_> {
    fn consider(&self, tier: Tier, hindrance: Option<Hindrance>) -> Considered {
        let Self { chosen, rule, pin } = self;
        let by_rules = format!("{} ({}) chooses it", rule.id, words(rule.when));
        let is_rules = tier == rule.tier;
        let (verdict, why) = match (hindrance, pin) {
            (Some(hindrance), Some(pin)) if tier == *pin && is_rules => (
                Verdict::Passed,
                format!("the manifest pins it, and {by_rules} too, but it {}", hindrance.lead()),
            ),
            (Some(hindrance), Some(pin)) if tier == *pin => {
                (Verdict::Passed, format!("the manifest pins it, but it {}", hindrance.lead()))
            }
            (_, Some(pin)) if is_rules && tier != *pin => {
                (Verdict::Passed, format!("{by_rules}, but the manifest pins another"))
            }
            (Some(hindrance), None) if is_rules => {
                (Verdict::Passed, format!("{by_rules}, but it {}", hindrance.lead()))
            }
            (Some(hindrance), _) => (Verdict::NotAsked, hindrance.as_str().to_owned()),
            (None, Some(_)) if *chosen == Some(tier) && is_rules => {
                (Verdict::Chosen, format!("the manifest pins it, and {by_rules} too"))
            }
            (None, Some(_)) if *chosen == Some(tier) => (Verdict::Chosen, "the manifest pins it".to_owned()),
            (None, None) if is_rules => (Verdict::Chosen, by_rules),
            (None, None) if *chosen == Some(tier) => {
                (Verdict::Chosen, format!("stands in for {}", rule.tier))
            }
            (None, _) => (Verdict::NotAsked, "no rule that applies chooses it".to_owned()),
        };
        Considered { tier, verdict, why }
    }
}

/// Why a tier cannot take a job; none: it can.
fn hindrance(tier: Tier, traits: &Traits, tiers: &Tiers) -> Option<Hindrance> {
    let in_process = tier == Tier::InProcess;
    if !tiers.configured.contains(&tier) {
        return Some(Hindrance::NotConfigured);
    }
    if in_process && Trait::Distributed.holds(traits) {
        return Some(Hindrance::NotDistributed);
    }
    let in_memory = tiers.ledger == LedgerKind::Memory;
    (in_process && in_memory && Trait::Persistent.holds(traits)).then_some(Hindrance::NotDurable)
}
