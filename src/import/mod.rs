//! Jobs from elsewhere, as manifests. Called by `cli::import`.
//!
//! Pure: bytes in, text out. What a line of a crontab means is taken from the source of Debian's
//! cron 3.0pl1 and of cronie; where the two differ, Debian's counts and a note says so.

pub mod crontab;
pub mod names;
pub mod scalar;

mod comment;
mod entry;
mod line;
mod literal;
mod percent;
mod settings;
mod variable;
mod when;
mod writing;

pub use crontab::{Crontab, Imported, ImportedJob, Kind, Note, crontab, wrong_zone};
pub use names::Names;
pub use scalar::scalar;
