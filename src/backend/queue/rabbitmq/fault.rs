//! What went wrong, in the words of the trait: by what the caller can do about it.

use std::{io, time::Duration};

use lapin::{
    ErrorKind,
    protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

use super::super::broker::{BrokerError, Effect};

/// For what only a person can set right.
pub(super) fn refused(reason: impl Into<String>) -> BrokerError {
    BrokerError::Refused { reason: reason.into() }
}

/// For what may go better later.
pub(super) fn busy(reason: impl Into<String>) -> BrokerError {
    BrokerError::Busy { reason: reason.into() }
}

/// For what was not answered.
pub(super) fn unreachable(effect: Effect, reason: impl Into<String>) -> BrokerError {
    BrokerError::Unreachable { effect, reason: reason.into() }
}

/// Of an answer that did not come.
pub(super) fn no_answer(effect: Effect, waited: Duration) -> BrokerError {
    unreachable(effect, format!("the server did not answer within {waited:?}"))
}

/// Of a call that was under way, or of a connection that could not be made.
pub(super) fn of(error: &lapin::Error, effect: Effect) -> BrokerError {
    match error.kind() {
        ErrorKind::ProtocolError(said) => of_server(said, effect),
        ErrorKind::IOError(error) => of_io(error, effect),
        ErrorKind::ChannelsLimitReached => busy("all channels of the connection are in use"),
        ErrorKind::AuthProviderError(reason) => refused(format!("no login: {reason}")),
        _ => unreachable(effect, error.to_string()),
    }
}

/// Certificates that do not fit, and files that cannot be read, are for a person.
fn of_io(error: &io::Error, effect: Effect) -> BrokerError {
    match error.kind() {
        io::ErrorKind::InvalidData => {
            refused(format!("no TLS with the server: {error}; look at the certificates of both sides"))
        }
        io::ErrorKind::InvalidInput => refused(error.to_string()),
        _ => unreachable(effect, error.to_string()),
    }
}

fn of_server(error: &AMQPError, effect: Effect) -> BrokerError {
    let said = error.get_message().as_str();
    match error.kind() {
        AMQPErrorKind::Soft(kind) => refused(format!("the server said: {said}{}", way_out(kind, said))),
        // Limits of connections and channels come as this, too.
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) if said.contains("limit") => {
            busy(format!("the server said: {said}"))
        }
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::INVALIDPATH) => refused(format!(
            "the server said: {said}; look at the virtual host and the user's permissions on it"
        )),
        AMQPErrorKind::Hard(AMQPHardError::NOTIMPLEMENTED | AMQPHardError::COMMANDINVALID) => {
            refused(format!("the server said: {said}; it cannot do what is needed here"))
        }
        AMQPErrorKind::Hard(AMQPHardError::RESOURCEERROR) => busy(format!("the server said: {said}")),
        AMQPErrorKind::Hard(_) => unreachable(effect, format!("the server said: {said}")),
    }
}

fn way_out(kind: &AMQPSoftError, said: &str) -> &'static str {
    match kind {
        AMQPSoftError::ACCESSREFUSED if said.contains("ogin") => "; look at the user and its password",
        AMQPSoftError::ACCESSREFUSED => "; give the user this permission",
        AMQPSoftError::NOTFOUND => "; it was deleted, or is not made yet",
        AMQPSoftError::PRECONDITIONFAILED if said.contains("inequivalent") => {
            "; it was made by somebody else, or otherwise: move its messages and delete it, or take another name"
        }
        AMQPSoftError::PRECONDITIONFAILED if said.contains("timed out") => {
            "; a claim lasted longer than the server's consumer_timeout: make that longer"
        }
        AMQPSoftError::PRECONDITIONFAILED if said.contains("larger than") => {
            "; make the server's max_message_size larger"
        }
        _ => "",
    }
}
