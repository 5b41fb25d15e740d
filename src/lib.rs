//! Tintal runs jobs that YAML manifests ask for.
//!
//! The modules are listed in reading order, which is also the order in which they may import:
//! `tests/architecture.rs` holds the table. The core (`manifest` to `plan`) is pure: no clock,
//! disk, network, environment, tokio or tracing. One thing it takes from the machine: `jiff`
//! looks time zones up in the tz database of the system, or else in the one that is built in.

pub mod backend;
pub mod cli;
pub mod config;
pub mod control;
pub mod engine;
pub mod execute;
pub mod import;
pub mod ledger;
pub mod load;
pub mod manifest;
pub mod plan;
pub mod run;
pub mod schedule;
pub mod source;
pub mod tier;
