//! The queue tier, seen by a user: the real daemon, the real worker, real queue systems, and trouble.
//!
//! `TEST_SOAK=1` (`./scripts/test --soak`) takes the numbers of docs/reliability.md instead of small ones.

#![cfg(feature = "servers")]
#![allow(unreachable_pub, clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../queue_contract/server.rs"]
#[allow(dead_code, unreachable_pub)]
mod server;

mod moves;
mod site;
mod trouble;
