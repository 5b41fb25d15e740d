//! How far a job is decided, what it waits for next, and what there is to decide then.
//!
//! Pure: the caller passes `now`. `engine::fire` writes the decisions and acts on them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::timers::{Pending, Start};
use crate::{
    manifest::name::JobName,
    schedule::{
        Schedule, SkippedGap,
        due::{Dropped, Misfire, ON_TIME_MAX, due},
    },
};

/// A start that is found later than this was missed: the daemon was down, or the clock jumped.
pub const GRACE: SignedDuration = SignedDuration::from_secs(1);

/// Of what was missed, the latest fire within an hour still runs; the others are one row.
pub const MISFIRE: Misfire = Misfire { grace: Duration::from_secs(1), catch_up: Duration::from_secs(3600) };

/// How far ahead a schedule without a further fire is searched for times that the clock will jump
/// over: a year has every clock change of its zone.
const GAP_AHEAD: SignedDuration = SignedDuration::from_hours(366 * 24);

/// How far a job is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last fire time that was decided.
    decided: Timestamp,
    /// Up to when it was recorded what `gap: skip` leaves out.
    told: Timestamp,
}

/// Something to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This occurrence is due.
    Fire(Start),
    /// Occurrences that were missed and do not run.
    Missed(Dropped),
    /// Times that the clock jumped over and the manifest leaves out.
    LeftOut {
        /// The clock change.
        gap: SkippedGap,
        /// Whether a fire up to the clock change waits for its decision still, so that the job's
        /// cursor must not pass it.
        fires: Waiting,
    },
}

/// Whether fires up to an instant wait for their decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// One does, or more.
    Some,
    /// All are decided.
    None,
}

impl Cursor {
    /// A job whose fire times up to this one are decided.
    #[must_use]
    pub fn at(decided: Timestamp) -> Self {
        Self { decided, told: decided }
    }

    /// What the job waits for: its next start, and before it the next clock change that jumps over
    /// times which it leaves out.
    #[must_use]
    pub fn pending(&self, job: &JobName, schedule: &Schedule) -> Option<Pending> {
        let start = schedule.next_after(self.decided).map(|fire| Start::of(job, schedule, fire.time));
        let until = start
            .map_or_else(|| self.told.checked_add(GAP_AHEAD).unwrap_or(self.told), |start| start.fire_time);
        let gap = schedule.skipped_between(self.told, until).first().map(|gap| gap.at);
        Pending::of(start, gap)
    }

    /// Adds to `found` what there is to decide at `now` for a job that waited for `pending`, oldest
    /// first; gives the cursor once it is decided.
    #[must_use]
    pub fn due(
        &self,
        job: &JobName,
        schedule: &Schedule,
        pending: Pending,
        now: Timestamp,
        found: &mut Vec<Found>,
    ) -> Self {
        let start = pending.start().filter(|start| start.at <= now);
        let on_time = start.filter(|start| now.duration_since(start.at) <= GRACE);
        if let (Some(start), None) = (on_time, pending.gap()) {
            // The schedule was asked already: in a herd, asking again would make the last ones late.
            found.push(Found::Fire(start));
            return Self { decided: start.fire_time, told: self.told.max(start.fire_time) };
        }
        found.extend(self.left_out(schedule, now));
        let mut after = Self { told: self.told.max(now), ..*self };
        if let Some(start) = on_time {
            found.push(Found::Fire(start));
            after.decided = start.fire_time;
        }
        if start == on_time {
            return after;
        }
        let late = due(schedule, self.decided, now, MISFIRE);
        if let Some(dropped) = late.dropped {
            after.decided = dropped.last;
            found.push(Found::Missed(dropped));
        }
        for fire in &late.fires {
            let start = Start::of(job, schedule, fire.time);
            if start.at > now {
                // Its share of the jitter is not over yet: it is no missed one.
                break;
            }
            found.push(Found::Fire(start));
            after.decided = after.decided.max(fire.time);
        }
        after
    }

    /// The last fire time that was decided.
    #[must_use]
    pub fn decided(&self) -> Timestamp {
        self.decided
    }

    /// What there is to decide, oldest first, when the schedule is replaced at `now` and nobody will
    /// ask it again: what is due, and what has its fire time behind it and waits for the end of its
    /// share of the jitter.
    #[must_use]
    pub fn last_due(&self, job: &JobName, schedule: &Schedule, now: Timestamp) -> Vec<Found> {
        let mut found = self.left_out(schedule, now);
        let mut decided = self.decided;
        for _ in 0..ON_TIME_MAX {
            let Some(fire) = schedule.next_after(decided).filter(|fire| fire.time <= now) else {
                return found;
            };
            let start = Start::of(job, schedule, fire.time);
            if now.duration_since(start.at) > GRACE {
                break;
            }
            found.push(Found::Fire(start));
            decided = fire.time;
        }
        let late = due(schedule, decided, now, MISFIRE);
        found.extend(late.dropped.map(Found::Missed));
        found.extend(late.fires.iter().map(|fire| Found::Fire(Start::of(job, schedule, fire.time))));
        found
    }

    /// What the clock jumped over up to `now`; one for each clock change.
    fn left_out(&self, schedule: &Schedule, now: Timestamp) -> Vec<Found> {
        let mut gaps = schedule.skipped_between(self.told, now);
        if gaps.is_empty() {
            return Vec::new();
        }
        gaps.dedup_by_key(|gap| gap.at);
        let next = schedule.next_after(self.decided);
        let waits = |at| next.is_some_and(|fire| fire.time <= at);
        let found = gaps.into_iter().map(|gap| {
            let fires = if waits(gap.at) { Waiting::Some } else { Waiting::None };
            Found::LeftOut { gap, fires }
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{
        schedule::{DayMatch, DstOverlap, Gap},
        shared::Shared,
        spec::{CronSpec, ScheduleSpec, TriggerSpec},
    };

    fn job() -> JobName {
        JobName::parse("job").unwrap()
    }

    /// Cron expressions in Berlin, each with `skip` or `run-after`.
    fn schedule(crons: &[(&str, Gap)]) -> Schedule {
        let entry = |(expression, gap): &(&str, Gap)| {
            let cron = CronSpec {
                expression: (*expression).to_owned(),
                timezone: "Europe/Berlin".to_owned(),
                gap: *gap,
                overlap: DstOverlap::default(),
                day_match: DayMatch::default(),
            };
            ScheduleSpec { trigger: TriggerSpec::Cron(cron), jitter: None, start: None, end: None }
        };
        Schedule::compile(&job(), &crons.iter().map(entry).collect()).unwrap()
    }

    /// `28T01:30` is a time of March 2027 in UTC; Berlin's clock jumps at 28T01:00.
    fn at(text: &str) -> Timestamp {
        format!("2027-03-{text}:00Z").parse().unwrap()
    }

    fn show(time: Timestamp) -> String {
        time.to_string().trim_start_matches("2027-03-").trim_end_matches(":00Z").to_owned()
    }

    fn show_found(found: &Found) -> String {
        match found {
            Found::Fire(start) => format!("fire {}", show(start.fire_time)),
            Found::Missed(dropped) => format!("missed {}", show(dropped.first)),
            Found::LeftOut { gap, fires: Waiting::Some } => format!("gap {}, fires wait", show(gap.at)),
            Found::LeftOut { gap, fires: Waiting::None } => format!("gap {}", show(gap.at)),
        }
    }

    /// Wakes as the loop does from one time until another; each line is a wake-up.
    fn walk(schedule: &Schedule, from: &str, until: &str) -> Vec<String> {
        let mut cursor = Cursor::at(at(from));
        let mut lines = Vec::new();
        while let Some(pending) = cursor.pending(&job(), schedule)
            && pending.wake() <= at(until)
        {
            let mut found = Vec::new();
            let after = cursor.due(&job(), schedule, pending, pending.wake(), &mut found);
            assert_ne!(after, cursor, "no progress at {}", pending.wake());
            cursor = after;
            lines.push(found.iter().map(show_found).collect::<Vec<_>>().join("; "));
        }
        lines
    }

    /// DESIGN 6: what `gap: skip` drops is a record, and drops nothing else with it.
    #[test]
    fn a_fire_at_the_end_of_the_gap_runs_beside_the_record_of_what_the_gap_left_out() {
        let one = schedule(&[("0,30 2,3 * * *", Gap::Skip)]);
        let night = ["gap 28T01:00, fires wait; fire 28T01:00", "fire 28T01:30"];
        assert_eq!(walk(&one, "27T12:00", "28T12:00"), night);
        let two = schedule(&[("30 2 * * *", Gap::Skip), ("0 3 * * *", Gap::default())]);
        assert_eq!(walk(&two, "27T12:00", "28T12:00"), ["gap 28T01:00, fires wait; fire 28T01:00"]);
    }

    #[test]
    fn what_the_gap_left_out_is_told_when_the_clock_jumps_and_not_with_the_next_fire() {
        let daily = schedule(&[("30 2 * * *", Gap::Skip)]);
        assert_eq!(walk(&daily, "26T12:00", "29T12:00"), ["fire 27T01:30", "gap 28T01:00", "fire 29T00:30"]);
        // Two entries that one clock change jumps over are one record.
        let both = schedule(&[("10 2 * * *", Gap::Skip), ("20 2 * * *", Gap::Skip)]);
        assert_eq!(walk(&both, "27T12:00", "28T12:00"), ["gap 28T01:00"]);
    }

    #[test]
    fn a_schedule_with_no_further_fire_still_tells_what_the_gap_left_out() {
        let mut spec = ScheduleSpec {
            trigger: TriggerSpec::Cron(CronSpec {
                expression: "30 2 * * *".to_owned(),
                timezone: "Europe/Berlin".to_owned(),
                gap: Gap::Skip,
                overlap: DstOverlap::default(),
                day_match: DayMatch::default(),
            }),
            jitter: None,
            start: None,
            end: None,
        };
        spec.end = Some(at("28T12:00"));
        let ending = Schedule::compile(&job(), &Shared::of([spec])).unwrap();
        assert_eq!(walk(&ending, "26T12:00", "31T12:00"), ["fire 27T01:30", "gap 28T01:00"]);
    }

    #[test]
    fn after_a_time_without_the_daemon_every_gap_of_it_is_told_once() {
        let daily = schedule(&[("30 2 * * *", Gap::Skip)]);
        let cursor = Cursor::at(at("27T01:30"));
        let pending = cursor.pending(&job(), &daily).unwrap();
        let mut found = Vec::new();
        let after = cursor.due(&job(), &daily, pending, at("30T12:00"), &mut found);
        let shown: Vec<String> = found.iter().map(show_found).collect();
        assert_eq!(shown, ["gap 28T01:00", "missed 29T00:30"]);
        let pending = after.pending(&job(), &daily).unwrap();
        assert_eq!(show(pending.wake()), "31T00:30");
    }
}
