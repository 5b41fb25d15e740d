//! Turns the files of a tree into jobs and problems: the one loader that `validate`, `plan`, start
//! and reload share.
//!
//! Pure: files come in as text.
