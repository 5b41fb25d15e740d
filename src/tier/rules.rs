//! The rule table, and the table of warnings.

use std::fmt;

use super::traits::{Trait, Traits};
use crate::manifest::{characteristics::Tier, code::Code};

/// Alternatives, of which one must hold; all conditions of an alternative must hold. An empty
/// alternative always holds.
pub type Condition = &'static [&'static [Trait]];

/// A rule: the first one that applies chooses the tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// When it applies.
    pub when: Condition,
    /// What it chooses.
    pub tier: Tier,
    /// Why, in a few words.
    pub why: &'static str,
}

/// Name of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleId {
    /// The manifest pins the tier.
    R0,
    /// The action is a `message`.
    RM,
    /// User-facing.
    R1,
    /// High frequency and distributed.
    R2,
    /// High frequency.
    R3,
    /// Needs orchestration.
    R4,
    /// Must survive restarts, or run elsewhere.
    R5,
    /// The rest.
    R6,
}

/// A rule whose condition is no trait of the job, but its manifest's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Its name.
    pub id: RuleId,
    /// When it applies.
    pub when: &'static str,
    /// What it chooses.
    pub tier: &'static str,
    /// Why, in a few words.
    pub why: &'static str,
}

/// Rule R0, which comes before the others.
pub const PIN: Pin =
    Pin { id: RuleId::R0, when: "the manifest pins `tier`", tier: "as pinned", why: "explicit wins" };

/// Rule RM, which comes after R0.
pub const MESSAGE: Pin = Pin {
    id: RuleId::RM,
    when: "the action is a `message`",
    tier: "queue",
    why: "only a queue has a consumer for it",
};

/// The rules after R0 and RM. First hit wins; the last one always hits.
pub const RULES: [Rule; 6] = [
    Rule {
        id: RuleId::R1,
        when: &[&[Trait::UserFacing]],
        tier: Tier::Workflow,
        why: "the only tier with a UI for its users",
    },
    Rule {
        id: RuleId::R2,
        when: &[&[Trait::HighFrequency, Trait::Distributed]],
        tier: Tier::Queue,
        why: "in-process cannot run elsewhere",
    },
    Rule {
        id: RuleId::R3,
        when: &[&[Trait::HighFrequency]],
        tier: Tier::InProcess,
        why: "the others cost too much below a minute; persistence comes from the ledger",
    },
    Rule {
        id: RuleId::R4,
        when: &[&[Trait::Complex], &[Trait::Dag, Trait::LowFrequency]],
        tier: Tier::Workflow,
        why: "DAG orchestration, retries, observability",
    },
    Rule {
        id: RuleId::R5,
        when: &[&[Trait::Persistent], &[Trait::Distributed]],
        tier: Tier::Queue,
        why: "survives restarts, runs elsewhere",
    },
    Rule { id: RuleId::R6, when: &[&[]], tier: Tier::InProcess, why: "simple and internal" },
];

/// A warning about a job on the tier that it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caution {
    /// Its name in the decision matrix.
    pub id: &'static str,
    /// Its code in problems.
    pub code: Code,
    /// On which tier; none: on any.
    pub tier: Option<Tier>,
    /// When.
    pub when: Condition,
    /// What it says.
    pub message: &'static str,
}

/// The warning that is about no tier: `load` finds it before one is chosen, and it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clash {
    /// Its name in the decision matrix.
    pub id: &'static str,
    /// Its code in problems.
    pub code: Code,
    /// When.
    pub when: &'static str,
    /// What it is.
    pub message: &'static str,
}

/// Warning W6.
pub const CLASH: Clash = Clash {
    id: "W6",
    code: Code::FrequencyClash,
    when: "a stated `frequency` contradicts the schedule",
    message: "an error",
};

/// The warnings W1 to W5.
pub const CAUTIONS: [Caution; 5] = [
    Caution {
        id: "W1",
        code: Code::UserFacingOften,
        tier: None,
        when: &[&[Trait::UserFacing, Trait::HighFrequency]],
        message: "a user-facing job that fires more often than once a minute is more than a person can watch",
    },
    Caution {
        id: "W2",
        code: Code::QueueOften,
        tier: Some(Tier::Queue),
        when: &[&[Trait::HighFrequency]],
        message: "a job that fires more often than once a minute costs a message each time",
    },
    Caution {
        id: "W3",
        code: Code::DagOnQueue,
        tier: Some(Tier::Queue),
        when: &[&[Trait::Dag, Trait::HighFrequency], &[Trait::Complex, Trait::HighFrequency]],
        message: "steps that run more often than once a minute on a queue can pile up",
    },
    Caution {
        id: "W4",
        code: Code::NeedsLedger,
        tier: Some(Tier::InProcess),
        when: &[&[Trait::Persistent]],
        message: "a persistent job in-process is as durable as the ledger",
    },
    Caution {
        id: "W5",
        code: Code::NoStepView,
        tier: Some(Tier::InProcess),
        when: &[&[Trait::Dag], &[Trait::Complex]],
        message: "steps in-process have no per-step view",
    },
];

impl RuleId {
    /// The name, as in `R4`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::R0 => "R0",
            Self::RM => "RM",
            Self::R1 => "R1",
            Self::R2 => "R2",
            Self::R3 => "R3",
            Self::R4 => "R4",
            Self::R5 => "R5",
            Self::R6 => "R6",
        }
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a condition holds.
#[must_use]
pub fn holds(condition: Condition, traits: &Traits) -> bool {
    condition.iter().any(|all| all.iter().all(|one| one.holds(traits)))
}

/// A condition in words: `complex, or dag and low frequency`.
#[must_use]
pub fn words(condition: Condition) -> String {
    let alternative = |all: &&[Trait]| match all {
        [] => "everything else".to_owned(),
        all => all.iter().map(Trait::to_string).collect::<Vec<_>>().join(" and "),
    };
    condition.iter().map(alternative).collect::<Vec<_>>().join(", or ")
}
