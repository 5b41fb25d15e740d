//! The peers that are installed. `benches/run` says where.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

/// Where a program of a peer is, if it is installed: a variable that `benches/run` sets.
pub fn program(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.exists())
}

/// A script beside this file, run by the Python that `benches/run` made.
pub fn python(script: &str, arguments: &[&str]) -> Option<Command> {
    let mut command = Command::new(program("BENCH_PYTHON")?);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(script);
    command.arg(path).args(arguments);
    Some(command)
}

/// This program as one of its probes, in a process of its own.
pub fn probe(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg("probe").args(arguments);
    command
}

/// Runs a command to its end; gives the JSON document that it prints.
pub fn json(command: &mut Command) -> Value {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{command:?}: {error}: {}", String::from_utf8_lossy(&output.stdout)))
}
