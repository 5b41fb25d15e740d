//! Jobs from elsewhere, as manifests. Pure: text in, text out.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    manifest::{
        name::{JobName, NAME_LEN_MAX},
        schedule::{DayMatch, DstOverlap, Gap},
        spec::{CronSpec, ScheduleSpec, TriggerSpec},
        template::{is_template, shell_quoted},
    },
    schedule::Schedule,
};

/// Which kind of crontab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person's own.
    User,
    /// The system's: the sixth column names the user.
    System,
}

/// What came of a crontab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// In the order of the file.
    pub jobs: Vec<ImportedJob>,
    /// What a person must know.
    pub notes: Vec<Note>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedJob {
    /// Its name.
    pub name: JobName,
    /// Its manifest.
    pub yaml: String,
}

/// Something to know about a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Counted from 1.
    pub line: usize,
    /// Whether something of it is not in the manifest.
    pub is_lost: bool,
    /// What.
    pub text: String,
}

/// What holds for the lines that follow.
#[derive(Debug, Clone, Default)]
struct Settings {
    env: BTreeMap<String, String>,
    shell: Option<String>,
    timezone: Option<String>,
    home: Option<String>,
}

/// One entry of a crontab.
struct Entry<'a> {
    schedule: String,
    user: Option<&'a str>,
    command: &'a str,
}

/// Converts a crontab. What cannot be converted is a note, never left out in silence.
#[must_use]
pub fn crontab(text: &str, kind: Kind) -> Imported {
    let mut imported = Imported::default();
    let mut settings = Settings::default();
    let mut comment: Vec<&str> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.trim();
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim());
        } else if line.is_empty() {
            comment.clear();
        } else if let Some((name, value)) = variable(line) {
            set(&mut settings, name, value, number, &mut imported.notes);
            comment.clear();
        } else {
            match entry(line, kind) {
                Ok(entry) => add(&entry, &settings, &comment.join(" "), number, &mut imported),
                Err(text) => imported.notes.push(Note { line: number, is_lost: true, text }),
            }
            comment.clear();
        }
    }
    imported
}

/// `NAME = value`, with quotes taken away.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let quoted = name.trim_matches(['"', '\'']);
    let is_name = !quoted.is_empty()
        && !quoted.starts_with(|c: char| c.is_ascii_digit())
        && quoted.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let value = value.trim();
    let inner = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    is_name.then_some((quoted, inner.unwrap_or(value)))
}

fn set(settings: &mut Settings, name: &str, value: &str, line: usize, notes: &mut Vec<Note>) {
    match name {
        "MAILTO" | "MAILFROM" => {
            if !value.is_empty() {
                let text = format!("{name}={value}: no mail is sent; `tintal logs` shows what a run printed");
                notes.push(Note { line, is_lost: true, text });
            }
        }
        "CRON_TZ" | "TZ" => {
            settings.timezone = Some(value.to_owned()).filter(|zone| !zone.is_empty());
            if name == "TZ" {
                settings.env.insert(name.to_owned(), value.to_owned());
            }
        }
        "SHELL" => {
            settings.shell = Some(value.to_owned()).filter(|shell| shell != "/bin/sh" && shell != "sh");
        }
        "HOME" => settings.home = Some(value.to_owned()),
        "RANDOM_DELAY" | "START_HOURS_RANGE" | "LOGNAME" | "USER" => {
            notes.push(Note {
                line,
                is_lost: true,
                text: format!("`{name}` has no counterpart; write `jitter` or leave it out"),
            });
        }
        _ => {
            settings.env.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn entry(line: &str, kind: Kind) -> Result<Entry<'_>, String> {
    let (schedule, rest) = if line.starts_with('@') {
        let (word, rest) = line.split_once([' ', '\t']).ok_or("there is no command")?;
        (word.to_owned(), rest.trim_start())
    } else {
        let mut rest = line;
        let mut fields = Vec::new();
        for _ in 0..5 {
            let (field, after) =
                rest.split_once([' ', '\t']).ok_or("there are fewer than five fields and a command")?;
            fields.push(field);
            rest = after.trim_start();
        }
        (fields.join(" "), rest)
    };
    let (user, command) = match kind {
        Kind::User => (None, rest),
        Kind::System => {
            let (user, command) =
                rest.split_once([' ', '\t']).ok_or("there is no column with the user, or no command")?;
            (Some(user), command.trim_start())
        }
    };
    if command.is_empty() {
        return Err("there is no command".to_owned());
    }
    Ok(Entry { schedule, user, command })
}

fn add(entry: &Entry<'_>, settings: &Settings, comment: &str, line: usize, imported: &mut Imported) {
    // A user may be followed by a group, and by a class on BSD.
    if let Some(user) = entry.user {
        let text = format!("the column says `{user}`; the job runs as the user of the daemon");
        imported.notes.push(Note { line, is_lost: user != "root", text });
    }
    let name = unique(&slug(entry.command), imported);
    let timezone = settings.timezone.clone().unwrap_or_else(|| "UTC".to_owned());
    let cron = CronSpec {
        expression: entry.schedule.clone(),
        timezone,
        gap: Gap::default(),
        overlap: DstOverlap::default(),
        day_match: DayMatch::Any,
    };
    let spec = ScheduleSpec { trigger: TriggerSpec::Cron(cron), jitter: None, start: None, end: None };
    let on_either_day = match Schedule::compile(&name, &[spec]) {
        Ok(schedule) => schedule.fires_on_either_day(0),
        Err(errors) => {
            let messages: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            let text = format!("`{}`: {}", entry.schedule, messages.join("; "));
            imported.notes.push(Note { line, is_lost: true, text });
            return;
        }
    };
    if settings.timezone.is_none() && !is_reboot(entry) && imported.jobs.is_empty() {
        let text =
            "cron follows the machine's time zone; the jobs say `UTC` until you write another `timezone`";
        imported.notes.push(Note { line, is_lost: false, text: text.to_owned() });
    }
    let yaml = manifest(&name, entry, settings, comment, on_either_day);
    imported.jobs.push(ImportedJob { name, yaml });
}

fn manifest(
    name: &JobName,
    entry: &Entry<'_>,
    settings: &Settings,
    comment: &str,
    on_either_day: bool,
) -> String {
    let mut out = format!("name: {}\n", scalar(name.as_str()));
    if !comment.is_empty() {
        let _ = writeln!(out, "description: {}", scalar(comment));
    }
    let _ = writeln!(out, "schedule:\n  cron: {}", quoted(&entry.schedule));
    if let Some(timezone) = settings.timezone.as_ref().filter(|_| !is_reboot(entry)) {
        let _ = writeln!(out, "  timezone: {}", scalar(timezone));
    }
    if on_either_day {
        out.push_str("  day_match: any\n");
    }
    let line = shell_line(entry.command);
    let line = if is_template(&line) { format!("{{% raw %}}{line}{{% endraw %}}") } else { line };
    match &settings.shell {
        None => drop(writeln!(out, "run:\n  shell: {}", quoted(&line))),
        Some(shell) => drop(writeln!(out, "run:\n  command: [{}, -c, {}]", quoted(shell), quoted(&line))),
    }
    if let Some(home) = &settings.home {
        let _ = writeln!(out, "  cwd: {}", quoted(home));
    }
    if !settings.env.is_empty() {
        out.push_str("  env:\n");
        for (name, value) in &settings.env {
            let _ = writeln!(out, "    {name}: {}", quoted(value));
        }
    }
    out
}

/// Whether the clock, and so the zone, has nothing to do with it.
fn is_reboot(entry: &Entry<'_>) -> bool {
    entry.schedule.starts_with("@reboot")
}

/// The command as the shell gets it: `\%` is a `%`, and the first `%` alone ends the command and
/// begins what it reads, in which each further one is the end of a line.
fn shell_line(command: &str) -> String {
    let mut parts = vec![String::new()];
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'%') => {
                chars.next();
                parts.iter_mut().last().unwrap_or(&mut String::new()).push('%');
            }
            '%' => parts.push(String::new()),
            c => parts.iter_mut().last().unwrap_or(&mut String::new()).push(c),
        }
    }
    let (command, input) = parts.split_at(1);
    let command = command.concat();
    if input.is_empty() {
        return command;
    }
    let lines: Vec<String> = input.iter().map(|line| shell_quoted(line)).collect();
    format!("printf '%s\\n' {} | {{ {}; }}", lines.join(" "), command.trim_end().trim_end_matches(';'))
}

/// A name from the first word of a command that says something.
fn slug(command: &str) -> String {
    let is_assignment = |word: &&str| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    let skipped = [
        "cd", "test", "[", "nice", "ionice", "flock", "exec", "sudo", "env", "&&", "||", "sh", "bash", "-c",
        "command", "-v",
    ];
    let word = command
        .split_whitespace()
        .filter(|word| !is_assignment(word))
        .find(|word| {
            !skipped.contains(word) && !word.starts_with('-') && !word.starts_with('/')
                || word.starts_with('/') && word.len() > 1
        })
        .unwrap_or("job");
    let last = word.rsplit('/').find(|part| !part.is_empty()).unwrap_or("job");
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| if stem.is_empty() { last } else { stem });
    let plain: String = stem
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    let trimmed = plain.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    // Room for a number after it.
    trimmed.chars().take(NAME_LEN_MAX - 6).collect()
}

fn unique(slug: &str, imported: &Imported) -> JobName {
    let taken = |name: &JobName| imported.jobs.iter().any(|job| job.name == *name);
    let base = JobName::parse(slug).map_or_else(|_| "job".to_owned(), |name| name.to_string());
    std::iter::once(base.clone())
        .chain((2..=imported.jobs.len() + 2).map(|number| format!("{base}-{number}")))
        .filter_map(|name| JobName::parse(&name).ok())
        .find(|name| !taken(name))
        .unwrap_or_else(|| unreachable!("there are more numbers than jobs"))
}

/// A text as a YAML scalar: plain where that is safe.
#[must_use]
pub fn scalar(text: &str) -> String {
    let plain_byte = |byte: u8| byte.is_ascii_alphanumeric() || b" _./-".contains(&byte);
    let begins = text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    let word = text.to_ascii_lowercase();
    let means_something =
        matches!(word.as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if begins && !means_something && text.bytes().all(plain_byte) && !text.ends_with(' ') {
        return text.to_owned();
    }
    quoted(text)
}

/// A text in double quotes: what JSON writes, YAML reads.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "rows of a table read better so")]
    fn check(text: &str, kind: Kind, expected: Expect) {
        let imported = crontab(text, kind);
        let mut out = String::new();
        for job in &imported.jobs {
            out.push_str(&job.yaml);
            out.push_str("---\n");
        }
        for note in &imported.notes {
            let _ = writeln!(out, "{}{}: {}", note.line, if note.is_lost { "!" } else { "" }, note.text);
        }
        expected.assert_eq(&out);
    }

    #[test]
    fn a_user_crontab() {
        let text = "\
MAILTO=ops@example.com
PATH=/usr/bin:/bin
CRON_TZ=Europe/Berlin
# nightly dump
30 2 * * * /opt/backup.sh --all
*/5 * * * 1-5 curl -s http://localhost/ping > /dev/null
@reboot /opt/warm-up
0 0 1 * 1 mail -s report ops%first line%second \\% line
";
        check(
            text,
            Kind::User,
            expect![[r#"
            name: backup
            description: nightly dump
            schedule:
              cron: "30 2 * * *"
              timezone: Europe/Berlin
            run:
              shell: "/opt/backup.sh --all"
              env:
                PATH: "/usr/bin:/bin"
            ---
            name: curl
            schedule:
              cron: "*/5 * * * 1-5"
              timezone: Europe/Berlin
            run:
              shell: "curl -s http://localhost/ping > /dev/null"
              env:
                PATH: "/usr/bin:/bin"
            ---
            name: warm-up
            schedule:
              cron: "@reboot"
            run:
              shell: "/opt/warm-up"
              env:
                PATH: "/usr/bin:/bin"
            ---
            name: mail
            schedule:
              cron: "0 0 1 * 1"
              timezone: Europe/Berlin
              day_match: any
            run:
              shell: "printf '%s\\n' 'first line' 'second % line' | { mail -s report ops; }"
              env:
                PATH: "/usr/bin:/bin"
            ---
            1!: MAILTO=ops@example.com: no mail is sent; `tintal logs` shows what a run printed
        "#]],
        );
    }

    #[test]
    fn a_system_crontab_and_lines_that_make_no_sense() {
        let text = "\
SHELL=/bin/bash
17 * * * * root cd / && run-parts /etc/cron.hourly
5 4 * * sun www-data echo {{ name }}
61 * * * * root true
* * * *
";
        check(
            text,
            Kind::System,
            expect![[r#"
            name: run-parts
            schedule:
              cron: "17 * * * *"
            run:
              command: ["/bin/bash", -c, "cd / && run-parts /etc/cron.hourly"]
            ---
            name: echo
            schedule:
              cron: "5 4 * * sun"
            run:
              command: ["/bin/bash", -c, "{% raw %}echo {{ name }}{% endraw %}"]
            ---
            2: the column says `root`; the job runs as the user of the daemon
            2: cron follows the machine's time zone; the jobs say `UTC` until you write another `timezone`
            3!: the column says `www-data`; the job runs as the user of the daemon
            4: the column says `root`; the job runs as the user of the daemon
            4!: `61 * * * *`: in the minute field, `61` is not between 0 and 59
            5!: there are fewer than five fields and a command
        "#]],
        );
    }

    #[test]
    fn scalars_are_read_back_as_text() {
        for text in ["a", "a b", "yes", "1", "", "a: b", "- x", "ä", "x ", "{{ a }}", "#"] {
            let yaml = scalar(text);
            let node = crate::manifest::yaml::compose(&yaml, &crate::manifest::yaml::Limits::default());
            assert_eq!(node.documents[0].root.as_text(), Some(text), "{yaml}");
        }
    }
}
