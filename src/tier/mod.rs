//! Chooses the tier of a job by a table of rules, and says why.
//!
//! Pure. `load` asks for every job; `docs/decision-matrix.md` and `tintal explain` are made from
//! the same table.

pub mod classify;
pub mod matrix;
pub mod queues;
pub mod rules;
pub mod traits;

pub use classify::{
    Asked, Classified, Considered, Hindrance, LedgerKind, Refusal, RefusalKind, RunBy, Tiers, Verdict,
    Warning, classify, lighter,
};
pub use queues::{BackendKind, Queues};
pub use rules::{RULES, Rule, RuleId};
pub use traits::{Trait, Traits};

#[cfg(test)]
mod tests;
