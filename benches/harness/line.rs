//! One raw line a figure.

use std::cell::Cell;

use serde_json::json;

use crate::cpu;

/// Prints lines, each with the state of the machine at that moment.
#[derive(Debug, Default)]
pub struct Lines {
    round: Cell<usize>,
}

impl Lines {
    /// Lines from here on belong to this round, counted from 1.
    pub fn round(&self, round: usize) {
        self.round.set(round);
    }

    /// One figure of one round.
    pub fn figure(&self, goal: &str, what: &str, who: &str, value: f64, unit: &str) {
        let line = json!({
            "goal": goal, "what": what, "who": who, "round": self.round.get(),
            "value": (value * 10_000.0).round() / 10_000.0, "unit": unit, "load1": cpu::load(),
        });
        println!("{line}");
    }

    /// A figure that could not be taken, with the reason.
    pub fn skipped(&self, goal: &str, what: &str, who: &str, why: &str) {
        let round = self.round.get();
        println!("{}", json!({"goal": goal, "what": what, "who": who, "round": round, "skipped": why}));
    }
}

/// The value that `share` (0 to 1) of the sorted values do not exceed.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().checked_sub(1).expect("there are values");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = (last as f64 * share).round() as usize;
    sorted[at]
}
