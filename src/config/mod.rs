//! The settings: `tintal.yaml`, then the environment, then flags.
//!
//! Not pure: [`load`] reads the file. The environment and the flags are arguments. `cli` calls it
//! once and hands the [`Settings`] to all others.

pub mod file;
pub mod layers;
mod level;
mod merge;
pub mod queue;
pub mod settings;
mod variables;

pub use layers::{FileWanted, Flags, SettingsError, load};
pub use settings::{LogFormat, Origin, Settings, Watching};

#[cfg(test)]
mod tests;
