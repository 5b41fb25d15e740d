//! Chooses the tier of a job by a table of rules, and says why.
//!
//! Pure.
