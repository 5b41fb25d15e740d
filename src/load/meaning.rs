//! What a spec means beyond its shape: whether it can fire, whether its parts fit together.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    effect, entries,
    fault::Fault,
    fill::{ScheduleForm, derived_complexity},
    steps,
};
use crate::{
    manifest::{
        characteristics::Frequency,
        code::Code,
        defaults::Defaults,
        job::Manifest,
        policy::Overlap,
        schedule::DayMatch,
        spec::{ScheduleSpec, Spec, TriggerSpec},
        text::format_duration,
    },
    schedule::{
        Schedule,
        compile::{CompileError, CompileFault},
        expectation::{Expectation, check_tests},
    },
    tier::{Traits, matrix},
};

/// What a spec was made of.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) manifest: &'a Manifest,
    /// All that hold for it.
    pub(super) defaults: &'a Defaults,
    pub(super) form: ScheduleForm,
}

/// Checks a spec; gives what the classifier reads of it, and its schedule, unless that cannot be
/// used: that is an error.
pub(super) fn check(spec: &Spec, given: &Given<'_>, faults: &mut Vec<Fault>) -> Option<(Traits, Schedule)> {
    let form = given.form;
    steps::check(&spec.run.action, faults);
    effect::check(spec, given.manifest, faults);
    let schedule = match Schedule::compile(&spec.name, &spec.schedule) {
        Ok(schedule) => schedule,
        Err(errors) => {
            faults.extend(errors.into_iter().map(|error| compile_fault(error, form)));
            return None;
        }
    };
    day_fields(spec, given, &schedule, faults);
    entries::check(spec, given.manifest, form, faults);
    if let Some(interval) = schedule.min_interval() {
        spread(spec, interval, form, faults);
        timeout(spec, interval, faults);
    }
    expectations(given.manifest, &schedule, faults);
    let derived = schedule.frequency();
    if let Some(stated) = spec.characteristics.frequency
        && stated != derived
    {
        faults.push(frequency_clash(stated, derived, &schedule));
    }
    let characteristics = &spec.characteristics;
    let traits = Traits {
        frequency: characteristics.frequency.unwrap_or(derived),
        visibility: characteristics.visibility,
        complexity: characteristics.complexity.unwrap_or_else(|| derived_complexity(&spec.run.action)),
        durability: characteristics.durability,
        infrastructure: characteristics.infrastructure,
    };
    Some((traits, schedule))
}

fn frequency_clash(stated: Frequency, derived: Frequency, schedule: &Schedule) -> Fault {
    let (stated, derived) = (matrix::frequency(stated), matrix::frequency(derived));
    let fault = |cause: &str| {
        let message = format!("the frequency is stated as `{stated}`, and {cause} makes it `{derived}`");
        Fault::new(Code::FrequencyClash, "/characteristics/frequency", message)
            .label(format!("{cause} makes it `{derived}`"))
            .help("leave it out: it is derived from the schedule")
    };
    if schedule.is_empty() {
        fault("running by hand only")
    } else {
        fault("the schedule").related("/schedule", "by this schedule")
    }
}

fn compile_fault(error: CompileError, form: ScheduleForm) -> Fault {
    let entry = form.pointer(error.entry);
    let (code, key, label) = match error.kind {
        CompileFault::Cron => (Code::Cron, "/cron", "cannot be read"),
        CompileFault::NeverFires => (Code::NeverFires, "", "never fires"),
        CompileFault::TimeZone => (Code::TimeZone, "/timezone", "no such zone"),
        CompileFault::Duration => (Code::Duration, "/every", "too short"),
        CompileFault::Window => (Code::EmptyWindow, "/end", "not after `start`"),
    };
    let key = if error.kind == CompileFault::NeverFires && error.range.is_some() { "/cron" } else { key };
    let fault = Fault::new(code, format!("{entry}{key}"), error.message)
        .range(error.range)
        .label(label)
        .maybe_help(error.help);
    match error.kind {
        CompileFault::Window => fault.related(format!("{entry}/start"), "the window starts here"),
        _ => fault,
    }
}

/// Day of month and day of week both set: cron fires on either, which few people expect.
fn day_fields(spec: &Spec, given: &Given<'_>, schedule: &Schedule, faults: &mut Vec<Fault>) {
    if given.defaults.schedule.as_ref().is_some_and(|options| options.day_match.is_some()) {
        // The defaults say which is meant.
        return;
    }
    let entries = given.manifest.schedule.as_ref().map(|schedule| schedule.0.as_slice()).unwrap_or_default();
    for (index, (entry, written)) in spec.schedule.iter().zip(entries).enumerate() {
        let TriggerSpec::Cron(cron) = &entry.trigger else { continue };
        if written.day_match.is_some()
            || cron.day_match != DayMatch::Any
            || !schedule.fires_on_either_day(index)
        {
            continue;
        }
        let message = "both day fields are set: it fires on days that match either of them";
        faults.push(
            Fault::new(Code::TwoDayFields, format!("{}/cron", given.form.pointer(index)), message)
                .label("either day field")
                .help(
                    "say which is meant: `day_match: any` (either, as cron does) or `day_match: all` (both)",
                ),
        );
    }
}

fn spread(spec: &Spec, interval: Duration, form: ScheduleForm, faults: &mut Vec<Fault>) {
    for (index, entry) in spec.schedule.iter().enumerate() {
        let Some(jitter) = entry.jitter.filter(|jitter| *jitter > interval) else { continue };
        let message = format!(
            "the jitter of {} is longer than the {} between two fires",
            format_duration(jitter),
            format_duration(interval)
        );
        faults.push(
            Fault::new(Code::JitterTooLong, format!("{}/jitter", form.pointer(index)), message)
                .label("longer than the interval")
                .help("starts are spread up to the next fire time at most; write a shorter one"),
        );
    }
}

fn timeout(spec: &Spec, interval: Duration, faults: &mut Vec<Fault>) {
    let Some(timeout) = spec.policy.timeout.filter(|timeout| *timeout > interval) else { return };
    if spec.policy.overlap == Overlap::Allow {
        return;
    }
    let interval = format_duration(interval);
    let fires = match &*spec.schedule {
        [ScheduleSpec { trigger: TriggerSpec::Every(_), .. }] => format!("the job fires every {interval}"),
        _ => format!("two of its fires are {interval} apart"),
    };
    let message = format!("a run may take {}, and {fires}", format_duration(timeout));
    faults.push(
        Fault::new(Code::TimeoutTooLong, "/policy/timeout", message)
            .label("longer than the interval")
            .help("with `overlap: skip` a long run makes later ones be skipped; shorten the timeout, or write `overlap: allow`"),
    );
}

/// The manifest's own tests of its schedule.
fn expectations(manifest: &Manifest, schedule: &Schedule, faults: &mut Vec<Fault>) {
    let Some(tests) = &manifest.tests else { return };
    let (indices, expected): (Vec<usize>, Vec<Expectation>) = tests
        .iter()
        .enumerate()
        .filter_map(|(index, test)| {
            let after = super::texts::time(Some(&test.after), || format!("/tests/{index}/after"), faults);
            let fires: Vec<Option<Timestamp>> = test
                .fires
                .iter()
                .enumerate()
                .map(|(at, fire)| {
                    super::texts::time(Some(fire), || format!("/tests/{index}/fires/{at}"), faults)
                })
                .collect();
            let fires = fires.into_iter().collect::<Option<_>>()?;
            Some((index, Expectation { after: after?, fires }))
        })
        .unzip();
    for mismatch in check_tests(schedule, &expected) {
        let test = format!("/tests/{}", indices[mismatch.test]);
        let pointer = match mismatch.expected {
            Some(_) => format!("{test}/fires/{}", mismatch.fire),
            None => format!("{test}/fires"),
        };
        let (message, label) = match (mismatch.expected, mismatch.came) {
            (Some(expected), Some(came)) => (
                format!("the schedule does not fire at {expected} but at {came}"),
                format!("fires at {came}"),
            ),
            (Some(expected), None) => (
                format!("the schedule does not fire at {expected}, and never again"),
                "no such fire".to_owned(),
            ),
            (None, Some(came)) => (
                format!("the schedule fires at {came}, and the test says it does not"),
                "one more fire".to_owned(),
            ),
            (None, None) => continue,
        };
        let all: Vec<String> = mismatch.all.iter().map(Timestamp::to_string).collect();
        let help = if all.is_empty() {
            "the schedule has no fire after that time".to_owned()
        } else {
            format!("what comes: {}", all.join(", "))
        };
        faults.push(
            Fault::new(Code::ScheduleTest, pointer, message)
                .label(label)
                .related("/schedule", "by this schedule")
                .help(help),
        );
    }
}
