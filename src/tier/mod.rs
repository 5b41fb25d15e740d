//! Chooses the tier of a job by a table of rules, and says why.
//!
//! Pure. `load` asks for every job; `docs/decision-matrix.md` and `tintal explain` are made from
//! the same table.

pub mod classify;
pub mod matrix;
pub mod rules;
pub mod traits;

pub use classify::{
    Classified, Considered, Hindrance, LedgerKind, Refusal, RefusalKind, Tiers, Verdict, Warning, classify,
};
pub use rules::{RULES, Rule, RuleId};
pub use traits::{Trait, Traits};

#[cfg(test)]
mod tests;
