//! `tintal completions`: for shells.

use std::io::Write as _;

use clap::Args;
use clap_complete::Shell;

use super::{Exit, Failure, console};

/// Print completions for a shell
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "tintal", &mut script);
        console::out().write_all(&script)?;
        Ok(Exit::Clean)
    }
}
