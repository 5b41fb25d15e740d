//! Options of a cron entry that change nothing for its expression.
//!
//! Pure. `load` warns of those that a manifest gives, so that nothing is read and ignored.

use super::{
    expression::{Expression, Parsed},
    zone::Zone,
};
use crate::manifest::{name::JobName, schedule::DayMatch, spec::CronSpec};

/// An option of a cron entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CronOption {
    /// `timezone`.
    TimeZone,
    /// `dst`.
    Dst,
    /// `day_match`.
    DayMatch,
}

impl CronOption {
    /// Its key in a manifest.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::TimeZone => "timezone",
            Self::Dst => "dst",
            Self::DayMatch => "day_match",
        }
    }
}

/// Each of the options that changes nothing, with the reason: what is so, in a few words. Empty when
/// the expression cannot be read.
#[must_use]
pub fn without_effect(job: &JobName, cron: &CronSpec, options: &[CronOption]) -> Vec<(CronOption, String)> {
    let is_nickname = cron.expression.trim_start().starts_with('@');
    if !is_nickname && options.iter().all(|option| *option == CronOption::TimeZone) {
        // Whatever the fields say, they are read in a zone.
        return Vec::new();
    }
    let mut found = all_without_effect(job, cron);
    found.retain(|(option, _)| options.contains(option));
    found
}

fn all_without_effect(job: &JobName, cron: &CronSpec) -> Vec<(CronOption, String)> {
    let expression = match Expression::parse(&cron.expression, job) {
        Ok(Parsed::Times(expression)) => expression,
        Ok(Parsed::Reboot) => {
            let all = [CronOption::TimeZone, CronOption::Dst, CronOption::DayMatch];
            return all.map(|option| (option, "`@reboot` does not go by the clock".to_owned())).into();
        }
        Err(_) => return Vec::new(),
    };
    let dst = dst_without_effect(&expression, &cron.timezone).map(|why| (CronOption::Dst, why));
    let days = days_without_effect(&expression, cron.day_match).map(|why| (CronOption::DayMatch, why));
    dst.into_iter().chain(days).collect()
}

fn dst_without_effect(expression: &Expression, timezone: &str) -> Option<String> {
    if !expression.has_fixed_hours() {
        return Some("the expression matches every hour, so it runs on elapsed time".to_owned());
    }
    let zone = Zone::named(timezone).ok()?;
    zone.never_changes().then(|| format!("the clock of {timezone} never changes"))
}

fn days_without_effect(expression: &Expression, days: DayMatch) -> Option<String> {
    match (expression.day.is_star(), expression.weekday.is_star()) {
        (true, true) => Some("no day field is set".to_owned()),
        (true, false) | (false, true) => Some("only one day field is set".to_owned()),
        (false, false) if days == DayMatch::Any && (expression.day.star || expression.weekday.star) => {
            Some("a day field that begins with `*` makes both count, as in cron".to_owned())
        }
        (false, false) => None,
    }
}
