//! Turns the files of a tree into jobs and problems: the one loader that `validate`, `plan`, start
//! and reload share.
//!
//! Pure: files come in as text, `now` is an argument. A file is parsed anew only when its content,
//! or that of the defaults above it, has changed.

pub mod loader;
pub mod tree;

mod action;
mod assemble;
mod claims;
mod directory;
mod document;
mod effect;
mod entries;
mod fault;
mod fill;
mod held;
mod known;
mod meaning;
mod memory;
mod numbers;
mod own;
mod past;
mod placing;
mod queue;
mod request;
mod rest;
mod steps;
mod suppress;
mod templates;
mod texts;

pub mod effective;
pub mod provenance;

pub use loader::{Input, Loader};
pub use tree::{First, FirstProblems, Loaded, Origin, Refused, Tree};

#[cfg(test)]
mod tests;
