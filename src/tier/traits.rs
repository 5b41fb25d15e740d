//! What the rules read of a job, and the conditions that they are made of.

use std::fmt;

use crate::manifest::characteristics::{Complexity, Durability, Frequency, Infrastructure, Visibility};

/// What the rules read of a job: each characteristic, stated or derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Traits {
    /// How often it fires.
    pub frequency: Frequency,
    /// Who it is for.
    pub visibility: Visibility,
    /// How much orchestration it needs.
    pub complexity: Complexity,
    /// What must outlive the process.
    pub durability: Durability,
    /// Where it may run.
    pub infrastructure: Infrastructure,
}

impl Traits {
    /// All 72 combinations, in the order of the decision matrix.
    pub fn every() -> impl Iterator<Item = Self> {
        let frequencies = [Frequency::High, Frequency::Medium, Frequency::Low];
        frequencies.into_iter().flat_map(|frequency| {
            [Visibility::Internal, Visibility::UserFacing].into_iter().flat_map(move |visibility| {
                [Complexity::Simple, Complexity::Dag, Complexity::Complex].into_iter().flat_map(
                    move |complexity| {
                        [Durability::Ephemeral, Durability::Persistent].into_iter().flat_map(
                            move |durability| {
                                [Infrastructure::Local, Infrastructure::Distributed].into_iter().map(
                                    move |infrastructure| Self {
                                        frequency,
                                        visibility,
                                        complexity,
                                        durability,
                                        infrastructure,
                                    },
                                )
                            },
                        )
                    },
                )
            })
        })
    }
}

/// One condition of a rule or a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trait {
    /// Fires more often than once a minute.
    HighFrequency,
    /// Fires less often than once an hour, once, or by hand.
    LowFrequency,
    /// For people, who want to watch it.
    UserFacing,
    /// Steps that depend on each other.
    Dag,
    /// More than a DAG.
    Complex,
    /// A run that is due must survive a restart.
    Persistent,
    /// Runs on other machines.
    Distributed,
}

impl Trait {
    /// Whether a job has it.
    #[must_use]
    pub fn holds(self, traits: &Traits) -> bool {
        match self {
            Self::HighFrequency => traits.frequency == Frequency::High,
            Self::LowFrequency => traits.frequency == Frequency::Low,
            Self::UserFacing => traits.visibility == Visibility::UserFacing,
            Self::Dag => traits.complexity == Complexity::Dag,
            Self::Complex => traits.complexity == Complexity::Complex,
            Self::Persistent => traits.durability == Durability::Persistent,
            Self::Distributed => traits.infrastructure == Infrastructure::Distributed,
        }
    }
}

impl fmt::Display for Trait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HighFrequency => "high frequency",
            Self::LowFrequency => "low frequency",
            Self::UserFacing => "user-facing",
            Self::Dag => "dag",
            Self::Complex => "complex",
            Self::Persistent => "persistent",
            Self::Distributed => "distributed",
        })
    }
}
