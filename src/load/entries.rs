//! Options of a schedule entry that change nothing: nothing is read and ignored.

use super::{fault::Fault, fill::ScheduleForm};
use crate::{
    manifest::{
        code::Code,
        job::Manifest,
        schedule::ScheduleEntry,
        spec::{Spec, TriggerSpec},
    },
    schedule::effect::{CronOption, without_effect},
};

/// Warns of each option of a cron entry that the manifest itself gives and that changes nothing.
/// What comes from the defaults of a directory is meant for other entries.
pub(super) fn check(spec: &Spec, manifest: &Manifest, form: ScheduleForm, faults: &mut Vec<Fault>) {
    let entries = manifest.schedule.as_ref().map(|schedule| schedule.0.as_slice()).unwrap_or_default();
    for (index, (entry, written)) in spec.schedule.iter().zip(entries).enumerate() {
        let TriggerSpec::Cron(cron) = &entry.trigger else { continue };
        let options = [CronOption::TimeZone, CronOption::Dst, CronOption::DayMatch];
        let given: Vec<CronOption> =
            options.into_iter().filter(|option| is_given(written, *option)).collect();
        for (option, why) in without_effect(&spec.name, cron, &given) {
            let key = option.key();
            faults.push(
                Fault::new(
                    Code::NoEffect,
                    format!("{}/{key}", form.pointer(index)),
                    format!("`{key}` has no effect: {why}"),
                )
                .label("no effect")
                .help("leave it out, or change the expression"),
            );
        }
    }
}

fn is_given(written: &ScheduleEntry, option: CronOption) -> bool {
    match option {
        CronOption::TimeZone => written.timezone.is_some(),
        CronOption::Dst => written.dst.is_some(),
        CronOption::DayMatch => written.day_match.is_some(),
    }
}
