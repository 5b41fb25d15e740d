//! What a lane of the outbox is told to do.

use tokio::sync::oneshot;

use crate::{backend::Submission, run::RunId};

/// What a lane is told.
#[derive(Debug)]
pub enum Order {
    /// A run is to be sent.
    Send(Box<Submission>),
    /// A run that may have been sent by a daemon before this one.
    Again(Box<Submission>),
    /// A run is not to be sent. Whoever asks is told whether it waited.
    Cancel(RunId, oneshot::Sender<Waited>),
}

/// Whether a run waited to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// It did not.
    No,
    /// It did.
    Unsent,
    /// It did, and may have been sent all the same.
    PerhapsSent,
}
