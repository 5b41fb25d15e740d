//! Every queue system keeps the same contract: `suite` holds the cases for what moves messages, `worker`
//! those for what runs them; each other file is a kind of queue system that they run against, on the real
//! server.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::disallowed_methods, clippy::needless_pass_by_value)]

#[macro_use]
mod suite;
#[macro_use]
mod worker;

mod embedded;

#[cfg(feature = "servers")]
mod server;

#[cfg(feature = "servers")]
mod cloud_tasks;
#[cfg(feature = "servers")]
mod kafka;
#[cfg(feature = "servers")]
mod nats;
#[cfg(feature = "servers")]
mod pubsub;
#[cfg(feature = "servers")]
mod rabbitmq;
#[cfg(feature = "servers")]
mod redis_streams;

#[cfg(feature = "servers")]
use tintal::backend::queue as queues;
use tintal::backend::queue::broker;
