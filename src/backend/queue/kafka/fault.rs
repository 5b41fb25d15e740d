//! What went wrong, in the words of [`BrokerError`]; and what the client reports between calls.

use std::{future::pending, sync::Arc, time::Duration};

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    types::RDKafkaErrorCode,
};
use tokio::{sync::watch, time::timeout};

use super::super::broker::{BrokerError, Effect};

/// What a client reports by itself: a call that waits only sees that no answer comes, the reason is
/// told here.
#[derive(Debug, Clone)]
pub(super) struct Faults(Arc<watch::Sender<Option<BrokerError>>>);

impl Faults {
    /// Nothing reported yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Takes a report.
    pub(super) fn tell(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        self.0.send_if_modified(|last| {
            // That no broker is left says less than why.
            let is_news = code != Code::AllBrokersDown || !matches!(last, Some(BrokerError::Refused { .. }));
            if is_news {
                *last = Some(of_code(code, reason));
            }
            is_news
        });
    }

    /// A view of what is reported from now on.
    pub(super) fn watch(&self) -> Reports {
        Reports { reports: self.0.subscribe(), last: None }
    }

    /// What was reported last.
    pub(super) fn last(&self) -> Option<BrokerError> {
        self.0.borrow().clone()
    }
}

/// What is reported from some moment on.
#[derive(Debug)]
pub(super) struct Reports {
    reports: watch::Receiver<Option<BrokerError>>,
    /// The last that was seen.
    last: Option<BrokerError>,
}

/// Longest time by which a report comes later than the answer of the call that it is about: they are told
/// on two threads.
const REPORT_LAG_MAX: Duration = Duration::from_millis(250);

impl Reports {
    /// The next report.
    pub(super) async fn next(&mut self) -> BrokerError {
        loop {
            if self.reports.changed().await.is_err() {
                return pending().await;
            }
            if let Some(error) = self.reports.borrow_and_update().clone() {
                self.last = Some(error.clone());
                return error;
            }
        }
    }

    /// The next report of what a person must change: waiting longer is of no use.
    pub(super) async fn refusal(&mut self) -> BrokerError {
        loop {
            if let error @ BrokerError::Refused { .. } = self.next().await {
                return error;
            }
        }
    }

    /// Why a call got no answer, as far as was reported since; also a moment after.
    pub(super) async fn why(&mut self) -> Option<BrokerError> {
        if let Ok(refusal) = timeout(REPORT_LAG_MAX, self.refusal()).await {
            return Some(refusal);
        }
        self.last.clone()
    }
}

/// What an error of the client is to the caller.
pub(super) fn of(error: &KafkaError) -> BrokerError {
    match error {
        // The value may be a password.
        KafkaError::ClientConfig(_, said, key, _) => refused(format!("{said}, in `{key}`")),
        KafkaError::ClientCreation(said) | KafkaError::AdminOpCreation(said) => refused(said.clone()),
        KafkaError::AdminOp(code) => of_code(*code, ""),
        _ => match error.rdkafka_error_code() {
            Some(code) => of_code(code, ""),
            None => unreachable(error.to_string()),
        },
    }
}

/// What a code of the protocol, or of the client, is to the caller; with what was said beside it.
pub(super) fn of_code(code: RDKafkaErrorCode, said: &str) -> BrokerError {
    // `QueueFull (Local: Queue full)`: what is for people stands in the parentheses.
    let shown = code.to_string();
    let name =
        shown.split_once(" (").and_then(|(_, said)| said.strip_suffix(')')).unwrap_or(&shown).to_owned();
    let reason = if said.is_empty() { name } else { format!("{said} ({name})") };
    match code {
        Code::QueueFull
        | Code::ThrottlingQuotaExceeded
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotController
        | Code::RebalanceInProgress
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::NotEnoughReplicas => BrokerError::Busy { reason },
        Code::Resolve | Code::PurgeQueue => BrokerError::Unreachable { effect: Effect::None, reason },
        // The client's text for a certificate that does not hold; all else of TLS may be the network.
        Code::SSL if said.contains("certificate") => refused(format!("{reason}; look at `tls`")),
        _ => match way_out(code) {
            Some("") => refused(reason),
            Some(way_out) => refused(format!("{reason}; {way_out}")),
            None => unreachable(reason),
        },
    }
}

/// What a person can do about a code; none where asking again can help.
fn way_out(code: RDKafkaErrorCode) -> Option<&'static str> {
    let way_out = match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SecurityDisabled => "check `sasl`: mechanism, user and password",
        Code::TopicAuthorizationFailed => "the user needs Describe, Read, Write and Create on the topic",
        Code::GroupAuthorizationFailed => "the user needs Read on the group",
        Code::ClusterAuthorizationFailed => "the user needs Create and IdempotentWrite on the cluster",
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            "the topic is to be created first"
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            "`max.message.bytes` of the topic is the limit"
        }
        Code::InvalidReplicationFactor => "`replication` must be at most the number of brokers",
        Code::InvalidSessionTimeout => {
            "`claim` must lie within the server's `group.min.session.timeout.ms` and \
             `group.max.session.timeout.ms`"
        }
        Code::InconsistentGroupProtocol => "another program uses the group; take another `group`",
        Code::InvalidTopic
        | Code::InvalidGroupId
        | Code::InvalidPartitions
        | Code::InvalidConfig
        | Code::InvalidRecord
        | Code::InvalidRequiredAcks
        | Code::PolicyViolation
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::GroupMaxSizeReached => "",
        _ => return None,
    };
    Some(way_out)
}

/// Something that a person must change.
pub(super) fn refused(reason: impl Into<String>) -> BrokerError {
    BrokerError::Refused { reason: reason.into() }
}

/// No answer, and it may have been done.
pub(super) fn unreachable(reason: impl Into<String>) -> BrokerError {
    BrokerError::Unreachable { effect: Effect::Unknown, reason: reason.into() }
}

/// Nothing left this process.
pub(super) fn none(reason: impl Into<String>) -> BrokerError {
    BrokerError::Unreachable { effect: Effect::None, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: Code, said: &str, expected: &str) {
        assert_eq!(of_code(code, said).to_string(), expected);
    }

    #[test]
    fn a_code_says_what_can_be_done_about_it() {
        check(Code::QueueFull, "", "busy: Local: Queue full");
        check(Code::MessageTimedOut, "", "no answer: Local: Message timed out");
        check(
            Code::Authentication,
            "SASL authentication error",
            "refused: SASL authentication error (Local: Authentication failure); check `sasl`: mechanism, \
             user and password",
        );
        check(Code::SSL, "broken pipe", "no answer: broken pipe (Local: SSL error)");
    }

    #[test]
    fn a_wrong_setting_is_told_without_its_value() {
        let mut config = rdkafka::ClientConfig::new();
        config.set("sasl.mechanism", "GUESS").set("linger.ms", "hunter2");
        let error = config.create_native_config().map(drop).unwrap_err();
        assert!(!of(&error).to_string().contains("hunter2"), "{}", of(&error));
    }

    #[tokio::test]
    async fn what_was_reported_before_is_no_news() {
        let faults = Faults::new();
        faults.tell(&KafkaError::Global(Code::AllBrokersDown), "down");
        let mut reports = faults.watch();
        assert_eq!(reports.why().await, None);
        faults.tell(&KafkaError::Global(Code::BrokerTransportFailure), "cut");
        faults.tell(&KafkaError::Global(Code::Authentication), "no");
        faults.tell(&KafkaError::Global(Code::AllBrokersDown), "down");
        assert!(matches!(reports.why().await, Some(BrokerError::Refused { .. })));
    }
}
