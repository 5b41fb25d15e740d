//! Compares what the manifests ask for with what the backends hold.
//!
//! Pure: the same two inputs give the same plan. `engine::reconcile` acts on a plan; `cli::plan`
//! only prints one.

pub mod absence;
pub mod desired;
pub mod diff;
pub mod document;
pub mod fields;
pub mod guard;

#[cfg(test)]
mod tests;
