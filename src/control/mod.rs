//! The control socket: HTTP over a Unix socket, both ends.
