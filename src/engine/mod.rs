//! The loops: reconcile and fire. `clock` alone reads the clock.

pub mod boot;
pub mod clock;
pub mod cursor;
pub mod daemon;
pub mod fire;
pub mod follow;
pub mod hand;
pub mod history;
pub mod lock;
pub mod pauses;
pub mod reconcile;
pub mod start;
pub mod timers;
