//! What a worker has begun and ended: its last defence against running one attempt twice.

pub(super) mod memory;
pub(super) mod rows;

use std::time::Duration;

use jiff::Timestamp;

use super::{record::LedgerError, store::Ledger};
use crate::run::RunId;

/// No queue system keeps a message longer: Cloud Tasks' limit.
pub(super) const AGE_MAX: Duration = Duration::from_secs(31 * 24 * 3_600);

/// Most attempts that one call forgets: some milliseconds.
pub(super) const FORGOTTEN_MAX: usize = 2_000;

/// What a worker knows of an attempt that it was about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// Nothing: begin it. That it begins is recorded.
    New,
    /// It was begun, and has no end. It is recorded anew.
    Begun {
        /// When it was begun last.
        at: Timestamp,
    },
    /// It ended.
    Ended {
        /// What was reported of it.
        report: Vec<u8>,
    },
}

impl Ledger {
    /// Records that this process, a worker, begins attempts; gives what it knew of each, in their order.
    pub fn handled_begin(
        &self,
        attempts: Vec<(RunId, u32, Timestamp)>,
    ) -> impl Future<Output = Result<Vec<Handled>, LedgerError>> + Send + use<> {
        self.write_many(attempts.len(), move |records| records.handled_begin(&attempts))
    }

    /// Records how attempts ended, with what is reported of them.
    pub fn handled_end(
        &self,
        attempts: Vec<(RunId, u32, Vec<u8>, Timestamp)>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write_many(attempts.len(), move |records| records.handled_end(&attempts))
    }
}
