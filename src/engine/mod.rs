//! The loops: reconcile and fire. `clock` alone reads the clock.

pub mod clock;
pub mod reconcile;
pub mod timers;
