//! The module against real files.

mod given;
mod reload;
mod scan;
mod tree;
