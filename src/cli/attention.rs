//! What needs attention of a job, for the tables that people read.

use crate::control::view::{ConditionView, JobView};

/// The condition of a job that is live as its manifest says.
const READY: &str = "Ready";

/// The condition of a job whose manifest cannot be used.
pub(super) const DEGRADED: &str = "Degraded";

/// What needs attention of a job: each condition that should not hold, and that it is not live, when no
/// such condition says why. One that a person paused is meant not to fire.
pub(super) fn bad(job: &JobView) -> impl Iterator<Item = &ConditionView> {
    let wrong = |condition: &&ConditionView| condition.kind != READY && condition.status;
    let is_missing = job.tier.is_none() && !job.paused && !job.conditions.iter().any(|one| wrong(&one));
    let missing =
        move |condition: &&ConditionView| is_missing && condition.kind == READY && !condition.status;
    job.conditions.iter().filter(move |condition| wrong(condition) || missing(condition))
}

/// The words for a condition that needs attention.
pub(super) fn named(condition: &ConditionView) -> &str {
    if condition.kind == READY { "Not ready" } else { &condition.kind }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;

    /// A job is `tier` or `-`, `paused` perhaps, then conditions: `Held`, or `!Ready` for one that does
    /// not hold.
    #[track_caller]
    fn check(job: &str, expected: &[&str]) {
        let words: Vec<&str> = job.split(' ').collect();
        let conditions = words[1..].iter().filter(|word| **word != "paused").map(|word| ConditionView {
            kind: word.trim_start_matches('!').to_owned(),
            status: !word.starts_with('!'),
            reason: String::new(),
            message: String::new(),
            since: Timestamp::UNIX_EPOCH,
        });
        let view = JobView {
            job: "a".to_owned(),
            labels: BTreeMap::new(),
            tier: (words[0] != "-").then(|| words[0].to_owned()),
            backend: None,
            queue: None,
            enabled: true,
            paused: words.contains(&"paused"),
            pause: None,
            conditions: conditions.collect(),
            last_run: None,
            next_fire: None,
            file: None,
            line: None,
        };
        assert_eq!(bad(&view).map(named).collect::<Vec<_>>(), expected, "{job}");
    }

    /// F22.
    #[test]
    #[rustfmt::skip]
    fn attention_table() {
        check("in-process Ready",           &[]);
        check("in-process !Ready Degraded", &["Degraded"]);
        check("in-process !Ready Held",     &["Held"]);
        check("- !Ready Degraded",          &["Degraded"]);
        check("- !Ready",                   &["Not ready"]);
        check("- paused !Ready",            &[]);
        check("-",                          &[]);
    }
}
