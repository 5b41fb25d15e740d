//! YAML text to trees that know where each node and each key stands.
//!
//! YAML 1.2 core schema, on the events of `granit-parser`: that crate is named nowhere else.
//! Every fault of a file is reported, and a broken document does not lose the ones after it.

mod assemble;
pub mod compose;
pub mod fault;
pub mod limits;
mod mapping;
pub mod node;
mod scalar;
mod syntax;
mod tagged;
mod typed;
mod written;

pub use compose::{Composed, Composition, Extent, compose};
pub use fault::Fault;
pub use limits::Limits;
pub use node::{Entry, Located, Node, NodeValue};
pub use written::written;

#[cfg(test)]
mod tests;
