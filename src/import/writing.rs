//! An entry with its surroundings as the text of a manifest. Pure.

use std::fmt::Write as _;

use super::{
    literal::literal,
    percent::Command,
    scalar::{quoted, scalar},
    settings::Settings,
    when::When,
};
use crate::manifest::{name::JobName, text::format_duration};

/// Gives a command its input, in `sh`. The words after it are the shell, the command and the input:
/// so no text has to be quoted inside another, and every shell gets its command as cron gives it.
const WITH_INPUT: &str = r#"printf %s "$2" | "$0" -c "$1""#;

/// All that a manifest says of an entry.
pub(super) struct Job<'a> {
    pub(super) name: &'a JobName,
    pub(super) description: Option<String>,
    pub(super) when: &'a When,
    /// The zone of the schedule, when it is known.
    pub(super) zone: Option<&'a str>,
    pub(super) command: &'a Command,
    pub(super) settings: &'a Settings,
}

/// The manifest.
pub(super) fn manifest(job: &Job<'_>) -> String {
    let mut out = format!("name: {}\n", scalar(job.name.as_str()));
    if let Some(description) = &job.description {
        let _ = writeln!(out, "description: {}", scalar(description));
    }
    out.push_str("schedule:\n");
    for line in job.when.lines(job.zone) {
        let _ = writeln!(out, "  {line}");
    }
    if let (When::Cron { .. }, Some(delay)) = (job.when, job.settings.delay) {
        let _ = writeln!(out, "  jitter: {}", format_duration(delay));
    }
    out.push_str("run:\n");
    out.push_str(&action(job.command, job.settings));
    if let Some(home) = &job.settings.home {
        let _ = writeln!(out, "  cwd: {}", value(home));
    }
    let seen = job.settings.seen_by(&job.command.line);
    if !seen.is_empty() {
        out.push_str("  env:\n");
        for (name, text) in seen {
            let _ = writeln!(out, "    {name}: {}", value(text));
        }
    }
    out
}

fn action(command: &Command, settings: &Settings) -> String {
    let shell = settings.shell.as_deref();
    let line = value(&command.line);
    match (&command.input, shell) {
        (None, None) if settings.finds_sh() => format!("  shell: {line}\n"),
        (None, shell) => format!("  command: [{}, -c, {line}]\n", value(shell.unwrap_or("/bin/sh"))),
        (Some(input), shell) => {
            let words = [value(shell.unwrap_or("/bin/sh")), line, value(input)];
            format!(
                "  # The last word is what the command reads, as what follows `%` in the crontab.\n  \
                 command:\n    - /bin/sh\n    - -c\n    - {}\n    - {}\n",
                quoted(WITH_INPUT),
                words.join("\n    - ")
            )
        }
    }
}

/// A text as a value of the manifest.
fn value(text: &str) -> String {
    quoted(&literal(text))
}
