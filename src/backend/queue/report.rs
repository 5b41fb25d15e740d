//! What workers say of the attempts that they make. Version 1.
//!
//! A message of the results queue carries many reports, so that a herd of short runs costs few messages.
//! It is canonical JSON, signed like an envelope.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::signature::{Keyring, SignatureError, Vouched};
use crate::{
    manifest::name::JobName,
    run::{Outcome, RunId},
};

/// The version of the reports that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// Bytes of an attempt's output that a report carries: its end, which says why.
pub const TAIL_MAX: usize = 64 * 1024;

/// Reports of one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reports {
    /// The version of this form: 1.
    pub v: u32,
    /// The worker's name.
    pub worker: String,
    /// In the order in which it happened.
    pub reports: Vec<Report>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Report {
    /// A worker has the message, and does not run it yet.
    PickedUp {
        /// Which one.
        #[serde(rename = "of")]
        attempt: AttemptId,
        /// When.
        at: Timestamp,
    },
    /// The attempt runs; said again while it does.
    Running {
        /// Which one.
        #[serde(rename = "of")]
        attempt: AttemptId,
        /// When it began.
        started_at: Timestamp,
    },
    /// The attempt is over.
    Done(Box<Done>),
    /// The worker ended before the attempt, and gave the message back.
    Returned {
        /// Which one.
        #[serde(rename = "of")]
        attempt: AttemptId,
        /// When.
        at: Timestamp,
    },
    /// The message is not run, now or later.
    Refused(Box<Refused>),
}

/// One attempt of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The run.
    pub run_id: RunId,
    /// Counted from 1.
    pub n: u32,
}

/// An attempt that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Which one.
    #[serde(rename = "of")]
    pub attempt: AttemptId,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Bytes of output that there were.
    pub bytes_seen: u64,
    /// Bytes of output that were kept.
    pub bytes_kept: u64,
    /// The end of its output, at most [`TAIL_MAX`] bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

/// A message that is not run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Names the message: its run, or a hash of what it says.
    pub id: Uuid,
    /// The attempt that it asks for, when it can be read.
    #[serde(rename = "of", default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
    /// The job that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// The queue that it came from.
    pub queue: String,
    /// Why.
    pub outcome: Outcome,
    /// How often it was handed out.
    pub deliveries: u32,
    /// What it says; what is no text of it in its place.
    pub body: String,
    /// When.
    pub at: Timestamp,
}

/// Why a message is no report that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReportError {
    /// Its signature is not to be believed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is not signed, and must be: this daemon has keys.
    #[error("it is not signed")]
    Unsigned,
    /// It is no report of a version that is known here.
    #[error("it cannot be read: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

impl Reports {
    /// The message, signed when there is a key.
    #[must_use]
    pub fn sign(&self, keys: &Keyring) -> String {
        match serde_json::to_value(self) {
            Ok(value) => keys.sign(&value),
            Err(error) => unreachable!("reports are plain data with text keys: {error}"),
        }
    }

    /// Reads a message. Where there are keys, only one that is signed is believed.
    ///
    /// # Errors
    ///
    /// As [`ReportError`] says.
    pub fn read(body: &[u8], keys: &Keyring) -> Result<Self, ReportError> {
        let malformed = |reason: String| ReportError::Malformed { reason };
        let text = std::str::from_utf8(body).map_err(|error| malformed(error.to_string()))?;
        let (value, vouched) = keys.read(text)?;
        if vouched == Vouched::Unsigned && !keys.is_empty() {
            return Err(ReportError::Unsigned);
        }
        let reports: Self = serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
        if reports.v == VERSION {
            Ok(reports)
        } else {
            Err(malformed(format!(
                "it has version {}, and this version of tintal reads {VERSION}",
                reports.v
            )))
        }
    }
}

impl Report {
    /// About how many bytes it takes in a message.
    #[must_use]
    pub fn weight(&self) -> usize {
        const PLAIN: usize = 256;
        match self {
            // A control character takes six bytes.
            Self::Done(done) => PLAIN + done.tail.len() * 2,
            Self::Refused(refused) => PLAIN + refused.body.len() * 2,
            Self::PickedUp { .. } | Self::Running { .. } | Self::Returned { .. } => PLAIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::envelope::tests::keys, *};

    fn reports() -> Reports {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let attempt = AttemptId { run_id: RunId(Uuid::from_u128(7)), n: 2 };
        let done = Done {
            attempt,
            started_at: at,
            ended_at: at,
            outcome: Outcome::ExitNonzero { code: 3 },
            bytes_seen: 5,
            bytes_kept: 5,
            tail: "oops\n".to_owned(),
        };
        let reports = vec![Report::PickedUp { attempt, at }, Report::Done(Box::new(done))];
        Reports { v: VERSION, worker: "a:1".to_owned(), reports }
    }

    #[test]
    fn what_was_written_is_read() {
        let body = reports().sign(&keys());
        assert_eq!(Reports::read(body.as_bytes(), &keys()), Ok(reports()));
        let plain = Keyring::new(Vec::new());
        assert_eq!(Reports::read(reports().sign(&plain).as_bytes(), &plain), Ok(reports()));
    }

    #[test]
    fn a_daemon_with_keys_believes_no_report_without_one() {
        let body = reports().sign(&Keyring::new(Vec::new()));
        assert_eq!(Reports::read(body.as_bytes(), &keys()), Err(ReportError::Unsigned));
    }
}
