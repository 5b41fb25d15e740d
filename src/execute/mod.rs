//! Runs one attempt of an action: processes, requests, steps; their output and its secrets.

pub mod attempt;
pub mod leftover;

mod environment;
mod http;
mod mask;
mod output;
mod process;
mod program;
mod step;
mod steps;

pub use attempt::{Attempt, Echo, Executor, OutputSize, Report, attempt};

#[cfg(test)]
mod tests;
