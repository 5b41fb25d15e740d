//! Reads the directory of manifests, and watches it.
//!
//! [`scan`] reads the whole tree and says what is in it, [`settle`] says whether a scan may be
//! acted on, [`watch`] says when to scan again, and [`alarm`] where. That is a hint: what events name is
//! looked at first, and the whole tree all the same, so a missed event costs time and nothing else.

pub mod alarm;
pub mod commit;
mod content;
mod git;
pub mod given;
mod interest;
mod kept;
mod listing;
pub mod names;
pub mod places;
mod poll;
mod reason;
pub mod scan;
pub mod settle;
mod stat;
pub mod watch;

#[cfg(test)]
mod tests;
