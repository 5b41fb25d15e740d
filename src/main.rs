//! The `tintal` program: parse, call, exit code.

fn main() {}
