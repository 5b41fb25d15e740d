//! What went wrong, in the words of the trait: by what the caller can do about it.

use std::{error::Error, io, sync::Arc};

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::super::broker::{BrokerError, Effect};

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The queue is not there, or its group is not. It was, or was to be: a server that does not keep its
    /// data has started again.
    NoGroup(BrokerError),
    /// Anything else.
    Other(BrokerError),
}

impl From<BrokerError> for Fault {
    fn from(error: BrokerError) -> Self {
        Self::Other(error)
    }
}

impl From<Fault> for BrokerError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoGroup(error) | Fault::Other(error) => error,
        }
    }
}

/// For what only a person can set right.
pub(super) fn refused(reason: impl Into<String>) -> BrokerError {
    BrokerError::Refused { reason: reason.into() }
}

/// For what may go better later.
pub(super) fn busy(reason: impl Into<String>) -> BrokerError {
    BrokerError::Busy { reason: reason.into() }
}

/// Nothing was sent.
pub(super) fn not_connected(reason: impl Into<String>) -> BrokerError {
    BrokerError::Unreachable { effect: Effect::None, reason: reason.into() }
}

/// Something was sent.
pub(super) fn not_answered(reason: impl Into<String>) -> BrokerError {
    BrokerError::Unreachable { effect: Effect::Unknown, reason: reason.into() }
}

/// An answer of a form that no server gives.
pub(super) fn unexpected(what: &str) -> BrokerError {
    not_answered(format!("the server's answer to {what} cannot be read"))
}

/// Of an attempt to connect.
pub(super) fn of_connecting(address: &str, error: &RedisError) -> BrokerError {
    if is_about_tls(error) {
        return refused(format!(
            "{address}: no TLS with the server: {error}; look at the certificates of both sides"
        ));
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => not_connected(format!("{address}: {error}")),
        ErrorKind::InvalidClientConfig | ErrorKind::Client | ErrorKind::RESP3NotSupported => {
            refused(format!("{address}: {error}"))
        }
        _ => said(&words(error)),
    }
}

fn is_about_tls(error: &RedisError) -> bool {
    let mut cause = error.source();
    while let Some(outer) = cause {
        if outer.is::<rustls::Error>() {
            return true;
        }
        // Neither of these counts what it holds as its source.
        cause = if let Some(shared) = outer.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
            Some(&**shared)
        } else if let Some(outer) = outer.downcast_ref::<io::Error>() {
            outer.get_ref().map(|held| held as &(dyn Error + 'static))
        } else {
            outer.source()
        };
    }
    false
}

/// Of a request that was sent.
pub(super) fn of_request(error: &RedisError) -> Fault {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => {
            let words = words(error);
            if words.starts_with("NOGROUP") || words.starts_with("UNBLOCKED") {
                Fault::NoGroup(busy(format!("the server said: {words}")))
            } else {
                Fault::Other(said(&words))
            }
        }
        _ => Fault::Other(not_answered(error.to_string())),
    }
}

/// What the server said, as it said it: a code and words.
pub(super) fn words(error: &RedisError) -> String {
    let code = error.code().unwrap_or("ERR");
    match error.detail() {
        Some(detail) => format!("{code} {detail}"),
        None => code.to_owned(),
    }
}

/// Whether the connection is to be given up: it is broken, or leads to a server that is a replica now.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// Of the server's own words, which begin with a code.
pub(super) fn said(words: &str) -> BrokerError {
    let code = words.split(' ').next().unwrap_or_default();
    let way_out = match code {
        "LOADING" | "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "BUSY" | "OOM" | "MISCONF"
        | "NOREPLICAS" | "NOSCRIPT" => {
            return busy(format!("the server said: {words}"));
        }
        "ERR" if words.contains("max number of clients") => {
            return busy(format!("the server said: {words}"));
        }
        "NOAUTH" | "WRONGPASS" => "look at the user and the password",
        "NOPERM" => "give the user this permission, by ACL SETUSER",
        "WRONGTYPE" => "a key of the queue is something else: give the queue another name",
        "MOVED" | "ASK" | "CROSSSLOT" => "this is a cluster: set it up as one",
        "ERR" if words.contains("unknown command") => "the server must be 7.0 or later",
        _ => return refused(format!("the server said: {words}")),
    };
    refused(format!("the server said: {words}; {way_out}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_busy_and_what_a_person_must_change_is_refused() {
        for words in [
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "ERR max number of clients reached",
        ] {
            assert!(matches!(said(words), BrokerError::Busy { .. }), "{words}");
        }
        for words in [
            "NOPERM this user has no permissions to run the 'xadd' command",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOAUTH Authentication required.",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "MOVED 866 127.0.0.1:7001",
            "ERR unknown command 'XAUTOCLAIM'",
        ] {
            let BrokerError::Refused { reason } = said(words) else { panic!("{words}") };
            assert!(reason.contains(words) && reason.contains("; "), "{reason}");
        }
    }
}
