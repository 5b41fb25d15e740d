//! Takes the cursor of a job back when the clock has gone back behind it.
//!
//! No occurrence that ran is run twice: the rows of what was decided stay, and name it. Skips that
//! stand for a range of occurrences end where the cursor goes back to, so that those past it are
//! decided anew.

use jiff::{SignedDuration, Timestamp};

use super::decide::counted;
use crate::{
    backend::live::LiveJob,
    ledger::{Cut, Ledger, LedgerError, NewDecision, Range},
    run::back_id,
    schedule::{Schedule, due::count_between},
};

/// How far a cursor may be ahead of the clock. Corrections by NTP stay well below; a job that does
/// not fire for longer is missed by people.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);

/// When the rows of runs past the clock were dropped from the history, nobody can tell any more
/// which occurrences ran. A job waits at most this long until the clock has passed them.
const WAIT_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Whether a cursor is so far ahead of the clock that the clock must have gone back.
pub(super) fn is_ahead(decided: Timestamp, now: Timestamp) -> bool {
    decided.duration_since(now) > AHEAD_MAX
}

/// Takes a job's cursor back from `decided`, as far as `now` or the last run that nobody remembers;
/// gives where it is then. None: it stays where it is.
///
/// # Errors
///
/// When the ledger cannot be used; nothing was changed then.
pub(super) async fn go_back(
    ledger: &Ledger,
    job: &LiveJob,
    decided: Timestamp,
    now: Timestamp,
) -> Result<Option<Timestamp>, LedgerError> {
    let name = &job.spec.name;
    let forgotten = ledger.pruned_to(name.clone()).await?;
    let to = forgotten
        .filter(|forgotten| *forgotten > now && forgotten.duration_since(now) <= WAIT_MAX)
        .unwrap_or(now);
    if to >= decided {
        return Ok(None);
    }
    let ranges = ledger.ranges_past(name.clone(), to).await?;
    let cuts = ranges.into_iter().map(|range| cut(&job.schedule, range, to)).collect();
    let back = NewDecision::back(back_id(name, now), name.clone(), decided, to);
    ledger.go_back(back, cuts).await?;
    Ok(Some(to))
}

/// The range up to an instant; of one that lies past it, its first occurrence, which has a name and
/// stays decided.
fn cut(schedule: &Schedule, range: Range, to: Timestamp) -> Cut {
    let last = schedule.latest_at_or_before(to).map_or(range.first, |fire| fire.time.max(range.first));
    let before = Timestamp::from_nanosecond(range.first.as_nanosecond() - 1).unwrap_or(range.first);
    let count = count_between(schedule, before, last);
    Cut { id: range.id, last, count: count.counted().max(1), counted: counted(count) }
}
