//! The control socket: HTTP over a Unix socket in the state directory, both ends.
//!
//! `server` stands on the engine, `client` is what the command line uses, `view` holds the shapes
//! that both agree on.

pub mod client;
pub mod follow;
pub mod given;
pub mod letters;
pub mod render;
pub mod server;
pub mod socket;
pub mod tiers;
pub mod view;
pub mod worker;
