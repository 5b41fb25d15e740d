//! Runs one attempt of an action: processes, requests, steps; their output and its secrets.

pub mod adoption;
pub mod attempt;
pub mod causes;
pub mod conceal;
pub mod fill;
pub mod leftover;

mod census;
mod environment;
mod family;
mod form;
mod http;
mod mask;
mod output;
mod printed;
mod process;
mod program;
mod proxy;
mod redirect;
mod sink;
mod step;
mod steps;

pub use attempt::{Attempt, Echo, Executor, OutputSize, Report, attempt};

/// Chooses the cryptography of TLS for the process. May be called again.
pub fn install_crypto() {
    // An earlier choice is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests;
