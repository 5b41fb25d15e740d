//! Decides when a job fires: cron, every, at; time zones and their clock changes; what is due.
//!
//! Pure: the caller passes `now`.
