//! The settings of the queue tier: `queue` in `tintal.yaml`.
//!
//! `file` is what people write, `settings` the same with every default filled in. Each kind of
//! backend has a file of its own with both.

pub mod cloud_tasks;
pub mod file;
pub mod kafka;
pub mod login;
pub mod nats;
mod options;
pub mod pubsub;
pub mod rabbitmq;
pub(super) mod read;
pub mod redis_streams;
pub mod settings;
pub mod tls;

#[cfg(test)]
mod tests;
