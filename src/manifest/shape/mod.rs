//! Whether a document has the shape that a schema asks for, and each place where it has not.
//!
//! `jsonschema` gives the verdict. What to say about a document that fails is found by a walk of
//! the schema beside the document, which reads the tag first and then looks into that branch only.

pub mod check;

mod fields;
mod instance;
mod leaf;
mod patterns;
mod suggest;
mod words;

pub use check::Shape;

#[cfg(test)]
mod tests;
