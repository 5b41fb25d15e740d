//! Compiles the `schedule` of a job, or says all that is wrong with it.
//!
//! Pure, save for the tz database (see the crate's own page). `load` compiles.

use std::{ops::Range, sync::LazyLock, time::Duration};

use jiff::Timestamp;
use thiserror::Error;

use super::{
    Schedule,
    cron::{Cron, Policies},
    expression::{Expression, Parsed},
    field::Flaw,
    pool::Pool,
    trigger::{Entry, Trigger, Window},
    zone::Zone,
};
use crate::manifest::{
    name::JobName,
    shared::Shared,
    spec::{CronSpec, ScheduleSpec, TriggerSpec},
    text::format_duration,
};

/// Shortest interval for `every`: each fire is a decision in the ledger, and nothing that polls
/// faster than this is served well by a process start or a row for every time.
pub const EVERY_MIN: Duration = Duration::from_millis(100);

/// What cron entries that do not depend on their job were compiled to.
static TRIGGERS: LazyLock<Pool<CronSpec, Trigger>> = LazyLock::new(Pool::new);

/// The entries of jobs that do not depend on their job.
static SCHEDULES: LazyLock<Pool<Shared<[ScheduleSpec]>, [Entry]>> = LazyLock::new(Pool::new);

/// What is wrong with one entry of a `schedule`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct CompileError {
    /// The entry, counted from 0.
    pub entry: usize,
    /// Which part of the entry is wrong.
    pub kind: CompileFault,
    /// The bytes of the cron expression that are wrong; none: the whole value.
    pub range: Option<Range<usize>>,
    /// What is wrong: one line, lower case, no full stop.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

/// The part of a schedule entry that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompileFault {
    /// `cron` cannot be read.
    Cron,
    /// The entry can be read, and there is no time at which it fires.
    NeverFires,
    /// `timezone` is not in the tz database.
    TimeZone,
    /// `every` is too short.
    Duration,
    /// `end` is not after `start`.
    Window,
}

impl Schedule {
    /// Compiles the entries of a job. The name of the job decides what `H` means.
    ///
    /// # Errors
    ///
    /// All that is wrong with all of the entries, in their order.
    pub fn compile(job: &JobName, entries: &Shared<[ScheduleSpec]>) -> Result<Self, Vec<CompileError>> {
        let make = || compile_entries(job, entries);
        let entries = if entries.iter().any(|entry| depends_on_job(&entry.trigger)) {
            make()?.into()
        } else {
            SCHEDULES.get_or_make(entries, make)?
        };
        Ok(Self { entries })
    }
}

fn compile_entries(job: &JobName, entries: &[ScheduleSpec]) -> Result<Vec<Entry>, Vec<CompileError>> {
    let mut compiled = Vec::with_capacity(entries.len());
    let mut errors = Vec::new();
    for (index, spec) in entries.iter().enumerate() {
        match compile_entry(job, spec) {
            Ok(entry) => compiled.push(entry),
            Err(faults) => {
                errors.extend(faults.into_iter().map(|(kind, flaw)| CompileError {
                    entry: index,
                    kind,
                    range: flaw.range,
                    message: flaw.message,
                    help: flaw.help,
                }));
            }
        }
    }
    if errors.is_empty() { Ok(compiled) } else { Err(errors) }
}

/// Whether what it means depends on the job: `H` does.
fn depends_on_job(trigger: &TriggerSpec) -> bool {
    matches!(trigger, TriggerSpec::Cron(cron) if cron.expression.contains(['H', 'h', '@']))
}

type Faults = Vec<(CompileFault, Flaw)>;

fn compile_entry(job: &JobName, spec: &ScheduleSpec) -> Result<Entry, Faults> {
    let mut faults = Vec::new();
    let trigger = match compile_trigger(job, &spec.trigger) {
        Ok(trigger) => Some(trigger),
        Err(found) => {
            faults.extend(found);
            None
        }
    };
    let window = match (spec.start, spec.end) {
        (None, None) => None,
        (Some(start), Some(end)) if end <= start => {
            faults.push((CompileFault::Window, empty_window(start, end)));
            None
        }
        (start, end) => Some(Box::new(Window { start, end })),
    };
    match trigger {
        Some(trigger) if faults.is_empty() => {
            let entry = Entry { trigger, window, jitter: spec.jitter.unwrap_or_default() };
            match never_in_window(&entry) {
                None => Ok(entry),
                Some(flaw) => Err(vec![(CompileFault::NeverFires, flaw)]),
            }
        }
        _ => Err(faults),
    }
}

fn compile_trigger(job: &JobName, trigger: &TriggerSpec) -> Result<Trigger, Faults> {
    match trigger {
        TriggerSpec::Cron(spec) if depends_on_job(trigger) => read_cron(job, spec),
        TriggerSpec::Cron(spec) => compile_cron(job, spec),
        TriggerSpec::Every(interval) if *interval < EVERY_MIN => {
            let message = format!("`{}` is too short an interval", format_duration(*interval));
            let help = format!("the shortest is `{}`", format_duration(EVERY_MIN));
            Err(vec![(CompileFault::Duration, Flaw::new(None, message).help(help))])
        }
        TriggerSpec::Every(interval) => Ok(Trigger::Every(*interval)),
        TriggerSpec::At(time) => Ok(Trigger::At(*time)),
    }
}

fn compile_cron(job: &JobName, spec: &CronSpec) -> Result<Trigger, Faults> {
    // Nearly all say what another job has said before.
    TRIGGERS.get_or_make(spec, || read_cron(job, spec)).map(|trigger| Trigger::clone(&trigger))
}

fn read_cron(job: &JobName, spec: &CronSpec) -> Result<Trigger, Faults> {
    let zone = Zone::named(&spec.timezone).map_err(|flaw| (CompileFault::TimeZone, flaw));
    let parsed = Expression::parse(&spec.expression, job);
    let (zone, expression) = match (zone, parsed) {
        (Ok(_), Ok(Parsed::Reboot)) => return Ok(Trigger::Reboot),
        (Ok(zone), Ok(Parsed::Times(expression))) => (zone, expression),
        (zone, parsed) => {
            let flaws = parsed.err().unwrap_or_default();
            let faults = flaws.into_iter().map(|flaw| (CompileFault::Cron, flaw));
            return Err(faults.chain(zone.err()).collect());
        }
    };
    let policies = Policies { gap: spec.gap, overlap: spec.overlap };
    Cron::shared(&expression, spec.day_match, &zone, policies)
        .map(Trigger::Cron)
        .map_err(|flaw| vec![(CompileFault::NeverFires, flaw)])
}

fn empty_window(start: Timestamp, end: Timestamp) -> Flaw {
    let message = format!("the window ends at {end}, which is not after its start at {start}");
    Flaw::new(None, message).help("let `end` be later than `start`, or leave one of them out")
}

/// Why an entry cannot fire inside its window.
fn never_in_window(entry: &Entry) -> Option<Flaw> {
    let window = entry.window.as_deref()?;
    if entry.is_reboot() || entry.next_after(Timestamp::MIN).is_some() {
        return None;
    }
    let message = match (&entry.trigger, window.start, window.end) {
        (Trigger::At(time), ..) => format!("{time} lies outside of the window"),
        (_, Some(start), Some(end)) => format!("there is no fire between {start} and {end}"),
        (_, Some(start), None) => format!("there is no fire at or after {start}"),
        (_, _, end) => format!("there is no fire before {}", end.unwrap_or(Timestamp::MAX)),
    };
    Some(Flaw::new(None, message).help("change `start` or `end` so that a fire lies between them"))
}
