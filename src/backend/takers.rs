//! Hands a run to where it runs: this process, or the outbox of a queue system.

use std::sync::Arc;

use super::{Submission, drive::Driver, queue::outbox::Outbox};

/// What takes runs.
#[derive(Debug)]
pub struct Takers {
    driver: Driver,
    outbox: Arc<Outbox>,
}

impl Takers {
    /// This process's driver, and the outbox of all queue systems.
    #[must_use]
    pub fn new(driver: Driver, outbox: Arc<Outbox>) -> Self {
        Self { driver, outbox }
    }

    /// The outbox.
    #[must_use]
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Takes one run.
    pub fn take(&self, submission: Submission) {
        if submission.route.is_some() {
            self.outbox.take(submission);
        } else {
            self.driver.start(submission);
        }
    }

    /// Takes runs that were decided together.
    pub fn take_all(&self, submissions: Vec<Submission>) {
        if submissions.iter().all(|run| run.route.is_none()) {
            return self.driver.start_all(submissions);
        }
        let (away, here) = submissions.into_iter().partition(|run| run.route.is_some());
        self.driver.start_all(here);
        let away: Vec<Submission> = away;
        away.into_iter().for_each(|run| self.outbox.take(run));
    }
}
