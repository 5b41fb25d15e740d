//! The durable memory: applied digests, decisions, runs and attempts, in `SQLite`.
