//! The loops: reconcile and fire. `clock` alone reads the clock.

mod back;
pub mod boot;
mod cancel;
pub mod clock;
mod commit_query;
pub mod connect;
pub mod cursor;
pub mod daemon;
pub mod decide;
pub mod fire;
pub mod follow;
pub mod hand;
pub mod history;
pub mod letters;
pub mod lock;
mod look;
pub mod pauses;
mod queue;
pub mod reconcile;
pub mod recover;
pub mod replay;
mod resume;
pub mod returns;
pub mod start;
mod tell;
pub mod timers;
mod wall_timer;
pub mod worker;

#[cfg(test)]
mod tests;
