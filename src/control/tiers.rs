//! How the tiers do, as `status` shows it.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use super::view::{LettersSummaryView, TierView};
use crate::{
    backend::queue::{breaker::Circuit, lane::LaneState, outbox::Connection},
    engine::{clock, daemon::Daemon},
    ledger::{LedgerError, LetterState},
    manifest::characteristics::Tier,
};

/// The name of what serves the in-process tier.
pub const IN_PROCESS: &str = "in-process";

/// All is well.
pub const READY: &str = "ready";

/// Nothing of it is in the settings.
pub const NOT_CONFIGURED: &str = "not configured";

/// It was not asked.
pub const UNSEEN: &str = "unseen";

/// The last call failed; the next one is made all the same.
const FAILING: &str = "failing";

/// The tiers as a daemon sees them: a row for each queue system.
#[must_use]
pub fn tiers(daemon: &Daemon) -> Vec<TierView> {
    let now = clock::now();
    let lanes = daemon.outbox().lanes().map(|(connection, lane)| queue(connection, lane.get(), now));
    rows(lanes.collect())
}

/// The tiers without a daemon, by the queue systems of the settings: each a name, and its kind.
#[must_use]
pub fn of_settings<'a>(backends: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<TierView> {
    let backends = backends
        .into_iter()
        .map(|(name, kind)| TierView { kind: Some(kind.to_owned()), ..row(Tier::Queue, Some(name), UNSEEN) });
    rows(backends.collect())
}

fn rows(queues: Vec<TierView>) -> Vec<TierView> {
    let mut rows = vec![row(Tier::InProcess, Some(IN_PROCESS), READY)];
    if queues.is_empty() {
        rows.push(row(Tier::Queue, None, NOT_CONFIGURED));
    }
    rows.extend(queues);
    rows.push(row(Tier::Workflow, None, NOT_CONFIGURED));
    rows
}

fn row(tier: Tier, backend: Option<&str>, state: &str) -> TierView {
    TierView {
        tier: tier.to_string(),
        backend: backend.map(str::to_owned),
        state: state.to_owned(),
        kind: None,
        until: None,
        failure: None,
        since: None,
        waiting: 0,
        sent: 0,
        degraded: 0,
        server: None,
    }
}

fn queue(connection: &Connection, lane: LaneState, now: Timestamp) -> TierView {
    let circuit = lane.breaker.circuit(now);
    let (state, until) = match circuit {
        Circuit::Closed if lane.failure.is_some() => (FAILING, None),
        Circuit::Closed => (READY, None),
        Circuit::Open { until } => (circuit.as_str(), Some(until)),
        Circuit::HalfOpen => (circuit.as_str(), None),
    };
    TierView {
        kind: Some(connection.kind.to_string()),
        until,
        failure: lane.failure,
        since: lane.failing_since,
        waiting: lane.waiting as u64,
        sent: lane.sent,
        degraded: lane.degraded,
        server: lane.server,
        ..row(Tier::Queue, Some(&connection.name), state)
    }
}

/// The queue systems that jobs use and that are left alone, since they do not answer.
#[must_use]
pub fn cut_off(daemon: &Daemon) -> Vec<String> {
    let used: BTreeSet<Arc<str>> = daemon
        .jobs()
        .jobs()
        .iter()
        .filter(|job| job.spec.enabled)
        .filter_map(|job| Some(Arc::clone(&job.route.as_ref()?.backend)))
        .collect();
    let now = clock::now();
    let lanes = daemon.outbox().lanes().filter(|(connection, _)| used.contains(&connection.name));
    let cut_off = lanes.filter(|(_, lane)| lane.get().breaker.circuit(now) != Circuit::Closed);
    cut_off.map(|(connection, _)| connection.name.to_string()).collect()
}

/// The dead letters in numbers.
///
/// # Errors
///
/// When the ledger cannot be read.
pub async fn letters(daemon: &Daemon) -> Result<LettersSummaryView, LedgerError> {
    let counts = daemon.ledger().letter_counts(clock::now()).await?;
    Ok(LettersSummaryView::of(&counts, daemon.letters_max()))
}

impl LettersSummaryView {
    /// By how many there are in each state, and how many there may be.
    #[must_use]
    pub fn of<'a>(counts: impl IntoIterator<Item = (&'a LetterState, &'a u64)>, max: u64) -> Self {
        let mut summary = Self {
            open: 0,
            max,
            full: false,
            states: LetterState::ALL.map(|state| (state.as_str().to_owned(), 0)).into(),
        };
        for (state, count) in counts {
            summary.open += if state.is_open() { *count } else { 0 };
            summary.states.insert(state.as_str().to_owned(), *count);
        }
        summary.full = summary.open >= max;
        summary
    }
}
