//! The settings: `tintal.yaml`, then the environment, then flags.

pub mod file;
pub mod layers;
mod level;
pub mod settings;
mod variables;

pub use layers::{FileWanted, Flags, SettingsError, load};
pub use settings::{LogFormat, Origin, Settings, Watching};

#[cfg(test)]
mod tests;
