//! The `tintal` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    tintal::cli::run(std::env::args_os())
}
