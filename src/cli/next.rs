//! `tintal next`: the coming fires of a job.

use std::io::{self, Write as _};

use clap::{Args, value_parser};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;

use super::{
    Exit, Failure, console,
    last_good::{LastGood, last_good},
    paused,
    said::Said,
    tree,
};
use crate::{
    config::Settings,
    control::view::PauseView,
    engine::clock,
    manifest::{
        name::JobName,
        spec::{Spec, TriggerSpec},
        text::format_duration,
    },
    schedule::{DstNote, Fire, Schedule},
};

/// Most fires that are shown: all of them are held before the first is printed, and nobody reads
/// more.
const COUNT_MAX: u64 = 100_000;

/// Show when a job fires next
#[derive(Debug, Args)]
pub(super) struct Next {
    /// The job
    job: String,

    /// After this time instead of now (RFC 3339)
    #[arg(long, value_name = "TIME")]
    after: Option<Timestamp>,

    /// How many, at most 100000
    #[arg(long, short = 'n', default_value_t = 10, value_name = "COUNT", value_parser = value_parser!(u64).range(1..=COUNT_MAX))]
    count: u64,

    #[command(flatten)]
    said: Said,
}

/// The zone that a job's times are told in: that of its first cron entry, else UTC.
pub(super) fn zone(spec: &Spec) -> (String, TimeZone) {
    let name = spec.schedule.iter().find_map(|entry| match &entry.trigger {
        TriggerSpec::Cron(cron) => Some(cron.timezone.clone()),
        _ => None,
    });
    let name = name.unwrap_or_else(|| "UTC".to_owned());
    let zone = TimeZone::get(&name).unwrap_or(TimeZone::UTC);
    (name, zone)
}

/// A time in a zone, with the zone's offset.
pub(super) fn told(time: Timestamp, zone: &TimeZone) -> String {
    let zoned = time.to_zoned(zone.clone());
    if time.subsec_nanosecond() == 0 {
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    } else {
        zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
    }
}

/// The compiled schedule of a spec that was loaded.
pub(super) fn compiled(spec: &Spec) -> Result<Schedule, Failure> {
    Schedule::compile(&spec.name, &spec.schedule).map_err(|errors| {
        let messages: Vec<String> = errors.into_iter().map(|error| error.message).collect();
        Failure::from(messages.join("; "))
    })
}

impl Next {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let view = tree::load(settings)?;
        let name = JobName::parse(&self.job)?;
        let stands_in = if view.tree.broken.contains(&name) { last_good(settings, &name)? } else { None };
        let Some(LastGood { spec, .. }) = stands_in else {
            let spec = &view.job(&self.job)?.spec;
            self.print(spec, paused::of(settings, &name)?.as_ref())?;
            return Ok(Exit::Clean);
        };
        writeln!(
            io::stderr(),
            "the manifest of `{name}` cannot be used (`tintal validate` says why); these are the fires of its \
             last good version"
        )?;
        self.print(&spec, paused::of(settings, &name)?.as_ref())?;
        Ok(Exit::Found)
    }

    fn print(&self, spec: &Spec, pause: Option<&PauseView>) -> Result<(), Failure> {
        let schedule = compiled(spec)?;
        let after = self.after.unwrap_or_else(clock::now);
        let fires: Vec<Fire> =
            schedule.fires_after(after).take(usize::try_from(self.count).unwrap_or(usize::MAX)).collect();
        let (name, zone) = zone(spec);
        if self.said.is_json() {
            let fires: Vec<_> = fires
                .iter()
                .map(|fire| {
                    let dst = fire.dst.map(|note| match note {
                        DstNote::Gap => "gap",
                        DstNote::Overlap => "overlap",
                    });
                    json!({"fire_time": told(fire.time, &zone), "dst": dst})
                })
                .collect();
            console::json(&json!({
                "v": 1, "job": spec.name, "timezone": name, "fires": fires,
                "enabled": spec.enabled, "reboot": schedule.has_reboot(),
                "pause": pause,
            }))?;
            return Ok(());
        }
        let mut out = console::out();
        for fire in &fires {
            let note = match fire.dst {
                Some(DstNote::Gap) => "  (stands for times that the clock jumps over)",
                Some(DstNote::Overlap) => "  (the clock shows this time twice)",
                None => "",
            };
            let delay = schedule.start_delay(&spec.name, fire.time);
            let start =
                if delay.is_zero() { String::new() } else { format!("  +{} jitter", format_duration(delay)) };
            writeln!(out, "{}{start}{note}", told(fire.time, &zone))?;
        }
        let mut err = io::stderr();
        if schedule.is_empty() {
            writeln!(err, "`{}` has no schedule: it runs by hand only (`tintal trigger {0}`)", spec.name)?;
        } else if schedule.has_reboot() {
            writeln!(err, "`{}` fires once per start of the machine", spec.name)?;
        } else if fires.is_empty() {
            writeln!(err, "`{}` does not fire after {}", spec.name, told(after, &zone))?;
        }
        if !spec.enabled && !schedule.is_empty() {
            writeln!(err, "`{}` is disabled: it does not fire", spec.name)?;
        }
        if let (Some(pause), false) = (pause, schedule.is_empty()) {
            writeln!(
                err,
                "`{}` is paused {}; until `tintal resume {0}` it does not fire",
                spec.name,
                paused::words(pause)
            )?;
        }
        Ok(())
    }
}
