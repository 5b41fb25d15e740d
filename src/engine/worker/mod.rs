//! The worker: takes messages off queues, runs what they ask for, and says what came of it.

pub mod claims;
pub mod counts;
pub mod crew;
pub mod intake;
pub mod outgoing;
pub mod own;
pub mod rate;
pub mod source;
pub mod vouch;
pub mod work;
