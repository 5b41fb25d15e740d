//! The loops: reconcile and fire. `clock` alone reads the clock.

pub mod clock;
pub mod daemon;
pub mod fire;
pub mod hand;
pub mod pauses;
pub mod reconcile;
pub mod timers;
