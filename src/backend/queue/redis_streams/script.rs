//! What the server is asked: commands, and scripts that it keeps by their digest.

use std::sync::LazyLock;

use redis::{Cmd, Script};

/// Adds messages.
pub(super) static SEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("send.lua")));

/// Moves what is due, and claims what is left behind.
pub(super) static SWEEP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("sweep.lua")));

/// Settles claims.
pub(super) static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("settle.lua")));

/// Counts.
pub(super) static DEPTH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("depth.lua")));

/// Bytes that a call takes beside its keys and arguments.
const CALL_LEN: usize = 64;

/// A request to the server.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Cmd,
    /// What it calls, where that is a script: a server that has just started does not know it.
    pub(super) script: Option<&'static Script>,
}

impl From<Cmd> for Request {
    fn from(command: Cmd) -> Self {
        Self { command, script: None }
    }
}

impl Request {
    /// A call of a script, to which arguments may be added; about so many, of about so many bytes.
    pub(super) fn call(script: &'static Script, keys: &[&str], args: usize, bytes: usize) -> Self {
        let keys_len: usize = keys.iter().map(|key| key.len()).sum();
        let mut command = Cmd::with_capacity(3 + keys.len() + args, CALL_LEN + keys_len + bytes);
        command.arg("EVALSHA").arg(script.get_hash()).arg(keys.len()).arg(keys);
        Self { command, script: Some(script) }
    }
}
