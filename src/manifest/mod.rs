//! The words of a job file: what people may write, and what a complete job is.
//!
//! Pure, and imports nothing from the rest of the crate. [`job::Manifest`] is the shape as
//! written (the JSON Schemas are generated from it), [`spec::Spec`] is the same with every
//! default filled in. Problems carry code, span and help.

pub mod action;
pub mod characteristics;
pub mod code;
pub mod defaults;
pub mod digest;
pub mod exposed;
pub mod file;
pub mod job;
pub mod name;
pub mod nearest;
pub mod pages;
pub mod param;
pub mod parse;
pub mod policy;
pub mod problem;
pub mod queue;
pub mod reference;
pub mod roster;
pub mod schedule;
pub mod schema;
pub mod shape;
pub mod shared;
pub mod spec;
pub mod template;
pub mod text;
pub mod userinfo;
pub mod yaml;
