//! Runs the unit tests that a manifest holds for its own schedule.
//!
//! Pure. `load` turns what comes back into problems.

use jiff::Timestamp;

use super::Schedule;

/// What the owner of a job expects of its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Fires are looked for strictly after this time.
    pub after: Timestamp,
    /// The fires that must come first, in order. Empty: there must be none.
    pub fires: Vec<Timestamp>,
}

/// A test that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The test, counted from 0.
    pub test: usize,
    /// The first fire that differs, counted from 0.
    pub fire: usize,
    /// What the test says of it; none: nothing more.
    pub expected: Option<Timestamp>,
    /// What came instead; none: nothing more.
    pub came: Option<Timestamp>,
    /// All fires that came, as many as the test lists, and at least one if there is one.
    pub all: Vec<Timestamp>,
}

/// The tests that do not hold, in order, each with what came instead.
#[must_use]
pub fn check_tests(schedule: &Schedule, tests: &[Expectation]) -> Vec<Mismatch> {
    tests.iter().enumerate().filter_map(|(index, test)| check_one(schedule, index, test)).collect()
}

fn check_one(schedule: &Schedule, index: usize, test: &Expectation) -> Option<Mismatch> {
    let wanted = test.fires.len().max(1);
    let came: Vec<Timestamp> = schedule.fires_after(test.after).take(wanted).map(|fire| fire.time).collect();
    let fire = (0..wanted).find(|&at| test.fires.get(at) != came.get(at))?;
    Some(Mismatch {
        test: index,
        fire,
        expected: test.fires.get(fire).copied(),
        came: came.get(fire).copied(),
        all: came,
    })
}
