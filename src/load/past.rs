//! Entries of a schedule that fire no more once a time has passed.
//!
//! Pure: nothing here knows what time it is. `document` keeps the warnings with their times, and
//! the loader shows those whose time has come.

use jiff::Timestamp;

use super::{document::form, fault::Fault, fill::ScheduleForm};
use crate::{
    manifest::{
        code::Code,
        problem::{Problem, Severity},
        shared::Shared,
        spec::{ScheduleSpec, Spec, TriggerSpec},
        yaml::Node,
    },
    schedule::Schedule,
};

/// Fields of an expression that names years.
const FIELDS_WITH_YEAR: usize = 7;

/// A problem that holds from a time on.
pub(super) type Past = (Timestamp, Problem);

/// The warnings of a job whose `schedule` has its meaning; none when something in it is mistaken, as
/// `faults` say: something else stands in for it then.
pub(super) fn told(spec: &Spec, node: &Node, faults: &[Fault]) -> Vec<(Timestamp, Fault)> {
    let is_mistaken =
        |fault: &Fault| fault.code.severity() == Severity::Error && fault.pointer.starts_with("/schedule");
    if faults.iter().any(is_mistaken) { Vec::new() } else { warnings(spec, form(node)) }
}

/// A warning for each entry that has a last fire, with the time from which it holds.
fn warnings(spec: &Spec, form: ScheduleForm) -> Vec<(Timestamp, Fault)> {
    let entries = spec.schedule.iter().enumerate();
    entries.filter_map(|(index, entry)| warning(spec, entry, &form.pointer(index))).collect()
}

fn warning(spec: &Spec, entry: &ScheduleSpec, pointer: &str) -> Option<(Timestamp, Fault)> {
    let fault = |key: &str, message: String| {
        Fault::new(Code::AtInThePast, format!("{pointer}/{key}"), message).label("in the past")
    };
    let key = match (&entry.trigger, entry.end) {
        (TriggerSpec::At(time), _) => {
            let message = format!("{time} has passed: the job does not fire then");
            return Some((*time, fault("at", message).help("give a later time, or take the entry out")));
        }
        (_, Some(_)) => "end",
        (TriggerSpec::Cron(cron), None) if cron.expression.split_whitespace().count() == FIELDS_WITH_YEAR => {
            "cron"
        }
        _ => return None,
    };
    let schedule = Schedule::compile(&spec.name, &Shared::of([entry.clone()])).ok()?;
    let last = schedule.latest_at_or_before(Timestamp::MAX).map(|fire| fire.time);
    let (time, message) = match (last, entry.end) {
        (Some(last), _) => (last, format!("the last fire was at {last}: the entry does not fire again")),
        // `@reboot` has no fire times.
        (None, end) => {
            let end = end?;
            (end, format!("the window has ended at {end}: the entry does not fire again"))
        }
    };
    let help = match key {
        "end" => "give a later `end`, or take the entry out",
        _ => "give a later year, or take the entry out",
    };
    Some((time, fault(key, message).help(help)))
}
