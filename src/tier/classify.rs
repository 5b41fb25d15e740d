//! The choice of a tier, and what else was considered.

use super::{
    queues::{BackendKind, Queues, Reach},
    rules::{CAUTIONS, MESSAGE, PIN, RULES, RuleId, holds, words},
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
    /// The backends of the queue tier.
    pub queues: Queues,
}

/// What is read of a job to choose its tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// Its characteristics.
    pub traits: Traits,
    /// The tier that its manifest pins.
    pub pin: Option<Tier>,
    /// Who runs it.
    pub run_by: RunBy,
    /// The kind of backend that its messages go to, if it goes to the queue tier.
    pub backend: BackendKind,
}

/// Who runs a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunBy {
    /// The daemon, or a worker of ours.
    Us,
    /// A consumer that is not ours: the action is a `message`.
    Consumer,
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
    /// A `message` is for a consumer on a queue.
    NoConsumer,
    /// The backend is on the daemon's machine, and the job is to run on others.
    BackendNotReached,
    /// The backend is the daemon's own, and the `message` is for somebody else.
    BackendNotShared,
}

impl Hindrance {
    /// The reason in a few words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not configured",
            Self::NotDistributed => "cannot run on other machines",
            Self::NotDurable => "cannot keep a persistent job while `ledger: memory` is set",
            Self::NoConsumer => "cannot hand a `message` to its consumer",
            Self::BackendNotReached => {
                "cannot run on other machines: they do not reach the `embedded` backend"
            }
            Self::BackendNotShared => {
                "cannot hand a `message` to its consumer: it does not reach the `embedded` backend"
            }
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
pub fn classify(asked: &Asked, tiers: &Tiers) -> Result<Classified, Refusal> {
    let Asked { traits, pin, .. } = asked;
    let rule = first_rule(asked);
    let chosen = choose(asked, &rule, tiers);
    let chosen_tier = chosen.as_ref().ok().copied();
    let question = Question { chosen: chosen_tier, rule: &rule, pin: *pin };
    let considered =
        Tier::ALL.into_iter().map(|each| question.consider(each, hindrance(each, asked, tiers))).collect();
    let tier = match chosen {
        Ok(tier) => tier,
        Err(kind) => return Err(Refusal { rules_choose: (rule.id, rule.tier), kind, considered }),
    };
    let (id, why) = match pin {
        Some(_) => (PIN.id, format!("the manifest pins it; {}", PIN.why)),
        None => (rule.id, format!("{}: {}", rule.when, rule.why)),
    };
    let warnings = CAUTIONS
        .iter()
        .filter(|caution| caution.tier.is_none_or(|on| on == tier) && holds(caution.when, traits))
        .map(|caution| Warning { id: caution.id, code: caution.code, message: caution.message })
        .collect();
    Ok(Classified { tier, rule: id, why, pinned: pin.is_some(), considered, warnings })
}

/// A tier that could take a fire of a job in place of the job's own, as `fallback: degrade` asks: the next
/// lighter one that can do what the job needs.
#[must_use]
pub fn lighter(tier: Tier, asked: &Asked, tiers: &Tiers) -> Option<Tier> {
    let lighter = Tier::ALL.into_iter().rev().filter(|other| *other < tier);
    lighter.into_iter().find(|other| hindrance(*other, asked, tiers).is_none())
}

/// The rule that applies.
struct Applied {
    id: RuleId,
    tier: Tier,
    when: String,
    why: &'static str,
}

/// The first rule that applies.
fn first_rule(asked: &Asked) -> Applied {
    if asked.run_by == RunBy::Consumer {
        let when = MESSAGE.when.to_owned();
        return Applied { id: MESSAGE.id, tier: Tier::Queue, when, why: MESSAGE.why };
    }
    let last = &RULES[RULES.len() - 1];
    let rule = RULES.iter().find(|rule| holds(rule.when, &asked.traits)).unwrap_or(last);
    Applied { id: rule.id, tier: rule.tier, when: words(rule.when), why: rule.why }
}

/// The pinned tier, or else the nearest to the rule's that can take the job.
fn choose(asked: &Asked, rule: &Applied, tiers: &Tiers) -> Result<Tier, RefusalKind> {
    if let Some(tier) = asked.pin {
        return match hindrance(tier, asked, tiers) {
            Some(hindrance) => Err(RefusalKind::Pin { tier, hindrance }),
            None => Ok(tier),
        };
    }
    let heavier = Tier::ALL.into_iter().filter(|tier| *tier > rule.tier);
    let lighter = Tier::ALL.into_iter().rev().filter(|tier| *tier < rule.tier);
    std::iter::once(rule.tier)
        .chain(heavier)
        .chain(lighter)
        .find(|tier| hindrance(*tier, asked, tiers).is_none())
        .ok_or_else(|| RefusalKind::NoTier {
            hindrances: Tier::ALL
                .into_iter()
                .filter_map(|tier| Some((tier, hindrance(tier, asked, tiers)?)))
                .collect(),
        })
}

/// What is asked of each tier in turn.
struct Question<'a> {
    chosen: Option<Tier>,
    rule: &'a Applied,
    pin: Option<Tier>,
}

impl Question<'_> {
    fn consider(&self, tier: Tier, hindrance: Option<Hindrance>) -> Considered {
        let Self { chosen, rule, pin } = self;
        let by_rules = format!("{} ({}) chooses it", rule.id, rule.when);
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
#[expect(clippy::match_same_arms, reason = "one tier after the other, each with its cases in order")]
fn hindrance(tier: Tier, asked: &Asked, tiers: &Tiers) -> Option<Hindrance> {
    if !tiers.configured.contains(&tier) {
        return Some(Hindrance::NotConfigured);
    }
    let is_distributed = Trait::Distributed.holds(&asked.traits);
    let is_for_others = asked.run_by == RunBy::Consumer;
    let in_ledger = match tier {
        Tier::InProcess if is_for_others => return Some(Hindrance::NoConsumer),
        Tier::InProcess if is_distributed => return Some(Hindrance::NotDistributed),
        Tier::InProcess => true,
        Tier::Queue if asked.backend.promise().reach == Reach::Others => false,
        Tier::Queue if is_for_others => return Some(Hindrance::BackendNotShared),
        Tier::Queue if is_distributed => return Some(Hindrance::BackendNotReached),
        Tier::Queue => true,
        Tier::Workflow if is_for_others => return Some(Hindrance::NoConsumer),
        Tier::Workflow => false,
    };
    let forgets = tiers.ledger == LedgerKind::Memory && Trait::Persistent.holds(&asked.traits);
    (in_ledger && forgets).then_some(Hindrance::NotDurable)
}
