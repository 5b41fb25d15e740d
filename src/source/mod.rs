//! Reads the directory of manifests, and watches it.
//!
//! A scan gives files with their content; events only say that a scan is worth while. What did not
//! change is not read again.

pub mod scan;
pub mod settle;
pub mod watch;

mod git;
mod read;
mod walk;

pub use scan::{Scan, ScanError, Scanner};
pub use settle::{Settled, Settler};
pub use watch::{Mode, Watcher};
