//! Writing for people and for programs.

use std::io::{self, Write};

use serde::Serialize;

/// Stdout, with colour only on a terminal.
pub(super) fn out() -> impl Write {
    anstream::stdout()
}

/// Writes a document of JSON.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    writeln!(out(), "{text}")
}

/// Runs asynchronous work of a command that talks to the daemon.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}
