//! What a worker has begun and ended, in memory.

use std::collections::BTreeSet;

use foldhash::HashMap;
use jiff::Timestamp;

use super::{FORGOTTEN_MAX, Handled};
use crate::{
    ledger::{
        memory::Memory,
        records::{Result, WriteHandled},
    },
    run::RunId,
};

/// Attempts by run and number, and in the order of time.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Attempts {
    known: HashMap<(RunId, u32), Attempt>,
    by_time: BTreeSet<(Timestamp, RunId, u32)>,
}

#[derive(Debug)]
struct Attempt {
    begun: Timestamp,
    report: Option<Vec<u8>>,
}

impl Attempts {
    fn begin(&mut self, run: RunId, attempt: u32, at: Timestamp) -> Handled {
        let Some(known) = self.known.get_mut(&(run, attempt)) else {
            self.known.insert((run, attempt), Attempt { begun: at, report: None });
            self.by_time.insert((at, run, attempt));
            return Handled::New;
        };
        if let Some(report) = &known.report {
            return Handled::Ended { report: report.clone() };
        }
        let before = std::mem::replace(&mut known.begun, at);
        self.by_time.remove(&(before, run, attempt));
        self.by_time.insert((at, run, attempt));
        Handled::Begun { at: before }
    }

    fn end(&mut self, run: RunId, attempt: u32, report: &[u8], at: Timestamp) {
        let begun = self.known.get(&(run, attempt)).map_or(at, |known| known.begun);
        self.known.insert((run, attempt), Attempt { begun, report: Some(report.to_owned()) });
        self.by_time.insert((begun, run, attempt));
    }

    /// Forgets some of those that were begun before an instant; gives how many.
    pub(in crate::ledger) fn prune(&mut self, oldest: Timestamp) -> usize {
        let mut forgotten = 0;
        while forgotten < FORGOTTEN_MAX
            && let Some((_, run, attempt)) = self.by_time.first().copied().filter(|(at, ..)| *at < oldest)
        {
            self.by_time.pop_first();
            self.known.remove(&(run, attempt));
            forgotten += 1;
        }
        forgotten
    }
}

impl WriteHandled for Memory {
    fn handled_begin(&mut self, attempts: &[(RunId, u32, Timestamp)]) -> Result<Vec<Handled>> {
        Ok(attempts.iter().map(|(run, attempt, at)| self.handled.begin(*run, *attempt, *at)).collect())
    }

    fn handled_end(&mut self, attempts: &[(RunId, u32, Vec<u8>, Timestamp)]) -> Result<()> {
        attempts.iter().for_each(|(run, attempt, report, at)| self.handled.end(*run, *attempt, report, *at));
        Ok(())
    }
}
