//! What went wrong, in the words of the trait: by what the caller can do about it.

use std::{error::Error, io};

use async_nats::{
    ConnectError, ConnectErrorKind, PublishError, ServerError, client::PublishErrorKind, rustls,
};
use serde::Deserialize;

use super::super::broker::{BrokerError, Effect};

/// For what only a person can set right.
pub(super) fn refused(reason: impl Into<String>) -> BrokerError {
    BrokerError::Refused { reason: reason.into() }
}

/// For what may go better later.
pub(super) fn busy(reason: impl Into<String>) -> BrokerError {
    BrokerError::Busy { reason: reason.into() }
}

/// Nothing was sent.
fn unreachable(reason: impl Into<String>) -> BrokerError {
    BrokerError::Unreachable { effect: Effect::None, reason: reason.into() }
}

/// Of a permission that the user lacks; `said` names the subject.
pub(super) fn denied(said: &str) -> BrokerError {
    refused(format!("the server said: {said}; give the user this permission"))
}

/// Of an attempt to connect of which the client tells no more than these words.
pub(super) fn not_connected(said: &str) -> BrokerError {
    if said.contains("authorization violation") || said.contains("signing nonce") {
        return not_let_in(said);
    }
    if said.contains("TLS") {
        return no_tls(said);
    }
    unreachable(format!("not connected: {said}"))
}

fn not_let_in(said: &str) -> BrokerError {
    refused(format!("the server does not let us in: {said}; look at the user, its password, token or key"))
}

fn no_tls(said: &str) -> BrokerError {
    refused(format!("no TLS with the server: {said}; look at the certificates of both sides"))
}

/// Of what a server says before it hangs up.
pub(super) fn said_by_server(said: &str) -> BrokerError {
    let lower = said.to_ascii_lowercase();
    if lower.contains("auth") && !lower.contains("timeout") {
        return not_let_in(said);
    }
    if lower.contains("tls") || lower.contains("secure connection") {
        return no_tls(said);
    }
    if lower.contains("maximum") && lower.contains("connections") {
        return busy(format!("the server said: {said}"));
    }
    unreachable(format!("the server said: {said}"))
}

/// Of an attempt to connect.
pub(super) fn of_connecting(error: &ConnectError) -> BrokerError {
    let said = error.to_string();
    if causes(error).any(<dyn Error>::is::<rustls::Error>) {
        return no_tls(&said);
    }
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => not_let_in(&said),
        ConnectErrorKind::Tls => no_tls(&said),
        ConnectErrorKind::ServerParse => refused(said),
        _ => match causes(error).find_map(|cause| cause.downcast_ref::<ServerError>()) {
            Some(error) => said_by_server(&error.to_string()),
            None => unreachable(format!("not connected: {said}")),
        },
    }
}

/// An error and what it came from; also what an I/O error holds, which it does not count as its source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = match error.downcast_ref::<io::Error>() {
            Some(outer) => outer.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
        Some(error)
    })
}

/// Of handing a message to the client.
pub(super) fn of_sending(error: &PublishError) -> BrokerError {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => refused(format!("{error}: raise max_payload of the server")),
        PublishErrorKind::InvalidSubject => refused(error.to_string()),
        PublishErrorKind::Send => unreachable("the client has ended"),
    }
}

/// What `JetStream` answers when it does not do as asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ApiError {
    /// As in HTTP.
    pub(super) code: u16,
    /// Its own number of the error.
    #[serde(default)]
    pub(super) err_code: u32,
    /// What it says.
    #[serde(default)]
    pub(super) description: String,
}

/// Of the stream, or of the consumer, that was asked for.
pub(super) const NOT_FOUND: u16 = 404;

/// `JetStream` is off for the server, or for the account. It has the code of what will pass.
const NOT_ENABLED: [u32; 2] = [10_076, 10_039];

/// Resources that are used up now (10002, 10023, 10028, 10047, 10077), a message of the same id that is
/// being stored (10158), and too many requests (10167). Some have the code of an error of the server.
const WILL_PASS: [u32; 7] = [10_002, 10_023, 10_028, 10_047, 10_077, 10_158, 10_167];

impl From<ApiError> for BrokerError {
    fn from(error: ApiError) -> Self {
        let ApiError { code, err_code, description } = error;
        let said = format!("JetStream said: {description} ({err_code})");
        if NOT_ENABLED.contains(&err_code) {
            return refused(format!("{said}; switch it on for the server and the account"));
        }
        if WILL_PASS.contains(&err_code) || matches!(code, 408 | 429 | 503) {
            busy(said)
        } else {
            refused(said)
        }
    }
}

/// Of a request that nobody takes, though the server is there.
pub(super) fn no_jetstream() -> BrokerError {
    refused("nobody answers for JetStream: switch it on for the server and the account, or name its domain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u16, err_code: u32, expected: &str) {
        let error = BrokerError::from(ApiError { code, err_code, description: "so".to_owned() });
        assert_eq!(error.to_string().split(':').next(), Some(expected), "{code} {err_code}");
    }

    #[test]
    fn errors_are_told_by_what_can_be_done() {
        check(503, 10_076, "refused");
        check(503, 10_039, "refused");
        check(503, 10_077, "busy");
        check(500, 10_047, "busy");
        check(503, 10_008, "busy");
        check(429, 10_167, "busy");
        check(500, 10_074, "refused");
        check(400, 10_054, "refused");
        check(404, 10_059, "refused");
    }

    #[test]
    fn what_the_client_says_of_a_connection_is_understood() {
        let refused = |said: &str| matches!(not_connected(said), BrokerError::Refused { .. });
        assert!(refused("authorization violation"));
        assert!(refused("failed signing nonce"));
        assert!(refused("TLS error"));
        assert!(!refused("IO error"));
        assert!(!refused("timed out"));
        assert!(matches!(said_by_server("nats: User Authentication Expired"), BrokerError::Refused { .. }));
        assert!(matches!(said_by_server("nats: maximum connections exceeded"), BrokerError::Busy { .. }));
    }
}
