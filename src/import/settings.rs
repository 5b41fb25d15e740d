//! What the variables of a crontab say about the entries under them. Pure.

use std::{collections::BTreeMap, time::Duration};

use super::{crontab::Note, variable::Variable};

/// What holds for the entries that follow.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// What commands see.
    pub(super) env: BTreeMap<String, String>,
    /// What commands see too, and what means something to cron itself.
    pub(super) own: BTreeMap<String, String>,
    pub(super) shell: Option<String>,
    /// `CRON_TZ`: the zone of the schedule.
    pub(super) zone: Option<String>,
    /// The line of `TZ`, which commands see.
    pub(super) tz_line: Option<usize>,
    pub(super) home: Option<String>,
    /// Starts are delayed by up to this.
    pub(super) delay: Option<Duration>,
}

impl Settings {
    /// Takes a variable in; gives what there is to know about it.
    pub(super) fn set(&mut self, variable: &Variable<'_>, line: usize) -> Option<Note> {
        let Variable { name, value } = *variable;
        let lost = |text: String| Some(Note::lost(line, text));
        if !is_name(name) {
            return lost(format!("no variable can have the name `{name}`: write letters, digits and `_`"));
        }
        if name.starts_with("TINTAL_") {
            return lost(format!("`{name}`: names that begin with `TINTAL_` are taken"));
        }
        if value.contains('\0') {
            return lost(format!("the value of `{name}` holds a zero byte"));
        }
        self.take(name, value, line)
    }

    fn take(&mut self, name: &str, value: &str, line: usize) -> Option<Note> {
        let lost = |text: String| Some(Note::lost(line, text));
        let given = Some(value.to_owned()).filter(|value| !value.is_empty());
        let mut is_own = true;
        let mut found = None;
        match name {
            "MAILTO" | "MAILFROM" if given.is_some() => {
                let text = format!("{name}={value}: no mail is sent; `tintal logs` shows what a run printed");
                found = lost(text);
            }
            "MAILTO" | "MAILFROM" => {}
            "CRON_TZ" => {
                let zone = value.strip_prefix(':').unwrap_or(value);
                self.zone = Some(zone.to_owned()).filter(|zone| !zone.is_empty());
            }
            "SHELL" => self.shell = given.filter(|shell| shell != "/bin/sh"),
            "LOGNAME" => {
                return Some(Note::told(line, "cron sets `LOGNAME` itself, whatever the crontab says"));
            }
            "RANDOM_DELAY" => match value.parse::<u32>() {
                Ok(minutes) => {
                    self.delay = Some(Duration::from_secs(60 * u64::from(minutes))).filter(|d| !d.is_zero());
                }
                Err(_) => found = lost(format!("`RANDOM_DELAY={value}` is not a number of minutes")),
            },
            "HOME" => {
                self.home = given;
                is_own = false;
            }
            "TZ" => {
                self.tz_line = Some(line);
                is_own = false;
            }
            "START_HOURS_RANGE" => {
                let text = "`START_HOURS_RANGE` means something to anacron only; here commands see it";
                found = Some(Note::told(line, text));
                is_own = false;
            }
            _ => is_own = false,
        }
        let variables = if is_own { &mut self.own } else { &mut self.env };
        variables.insert(name.to_owned(), value.to_owned());
        found
    }

    /// The variables that a command sees: those that cron itself reads only when it names them.
    pub(super) fn seen_by<'s>(&'s self, command: &str) -> BTreeMap<&'s str, &'s str> {
        let named = self.own.iter().filter(|(name, _)| command.contains(name.as_str()));
        self.env.iter().chain(named).map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Whether the shell of cron, `/bin/sh`, is found by its name.
    pub(super) fn finds_sh(&self) -> bool {
        self.env
            .get("PATH")
            .is_none_or(|path| path.split(':').any(|part| matches!(part, "/bin" | "/usr/bin")))
    }
}

/// Whether a manifest can give a variable this name.
fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
