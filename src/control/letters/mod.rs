//! Dead letters over the control socket: the shapes that both ends agree on, and the daemon's end.

pub mod message;
pub mod server;
pub mod view;
