//! What the adapters of Google's services share: who asks, how a request is made, and what an answer
//! that is an error means.
//!
//! The official clients cost eleven megabytes each; the REST interface needs the HTTP client that is
//! here anyway, and a signature that `ring` makes.

pub(super) mod api;
pub mod credentials;
pub(super) mod http;

mod token;

#[cfg(test)]
pub(super) mod tests;
