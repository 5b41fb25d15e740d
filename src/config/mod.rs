//! The settings: `tintal.yaml`, then the environment, then flags.

pub mod file;
pub mod layers;
pub mod settings;

pub use layers::{Flags, SettingsError, load};
pub use settings::{LogFormat, Origin, Settings, Watching};
