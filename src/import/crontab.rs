//! A crontab to manifests: the walk over its lines. Pure.

use std::collections::BTreeSet;

use super::{
    comment::Comment,
    entry::{Entry, entry},
    line::{Line, lines},
    names::Names,
    percent::{Command, command},
    settings::Settings,
    variable::variable,
    when::{When, when, zone_fault},
    writing::{Job, manifest},
};
use crate::manifest::name::JobName;

/// Which kind of crontab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person's own.
    User,
    /// The system's: the sixth column names the user.
    System,
}

/// A crontab with what it does not say itself.
#[derive(Debug, Clone, Copy)]
pub struct Crontab<'a> {
    /// The file. What is not UTF-8 is told where it matters.
    pub bytes: &'a [u8],
    /// Whether it has a column with the user.
    pub kind: Kind,
    /// The zone of the machine, for entries that have no `CRON_TZ`.
    pub zone: Option<&'a str>,
}

/// What came of a crontab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// In the order of the file.
    pub jobs: Vec<ImportedJob>,
    /// What a person must know, in the order of the file.
    pub notes: Vec<Note>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedJob {
    /// Its name.
    pub name: JobName,
    /// The line of its entry, counted from 1.
    pub line: usize,
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

impl Note {
    /// Something that the manifest does otherwise than cron.
    pub(super) fn told(line: usize, text: impl Into<String>) -> Self {
        Self { line, is_lost: false, text: text.into() }
    }

    /// Something that is not in the manifest.
    #[must_use]
    pub fn lost(line: usize, text: impl Into<String>) -> Self {
        Self { line, is_lost: true, text: text.into() }
    }
}

/// What is said once, not at every line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Once {
    Utc,
    Tz,
    CronTz,
    Home,
    Root,
    Column,
}

struct Walk<'a> {
    crontab: Crontab<'a>,
    names: &'a mut Names,
    settings: Settings,
    said: BTreeSet<Once>,
    imported: Imported,
}

/// Converts a crontab. What cannot be converted is a note, never left out in silence.
pub fn crontab(crontab: Crontab<'_>, names: &mut Names) -> Imported {
    let mut walk = Walk {
        crontab,
        names,
        settings: Settings::default(),
        said: BTreeSet::new(),
        imported: Imported::default(),
    };
    let mut comment = Comment::default();
    for line in lines(crontab.bytes) {
        if line.text.starts_with('#') {
            comment.push(&line.text, line.number);
            continue;
        }
        walk.line(&line, &comment);
        comment.clear();
    }
    let mut imported = walk.imported;
    // What is said once may point at an earlier line.
    imported.notes.sort_by_key(|note| note.line);
    imported
}

/// Why this cannot be the zone of the machine.
#[must_use]
pub fn wrong_zone(zone: &str) -> Option<String> {
    zone_fault(zone)
}

impl Walk<'_> {
    fn line(&mut self, line: &Line<'_>, comment: &Comment) {
        let text = line.text.as_ref();
        if text.trim_ascii_end().is_empty() {
            return;
        }
        if line.is_damaged {
            let text = "a byte that is not UTF-8 became `\u{fffd}`; write in the manifest what is meant";
            self.imported.notes.push(Note::lost(line.number, text));
        }
        if let Some(variable) = variable(text) {
            let note = self.settings.set(&variable, line.number);
            self.imported.notes.extend(note);
            if variable.name == "CRON_TZ" {
                self.zone_changed(line.number);
            }
            return;
        }
        let added = entry(text, self.crontab.kind).and_then(|entry| self.add(&entry, line.number, comment));
        if let Err(reason) = added {
            self.imported.notes.push(Note::lost(line.number, reason));
        }
    }

    /// A new stretch of lines: what was said of the zone of the one before is said again.
    fn zone_changed(&mut self, line: usize) {
        self.said.remove(&Once::Utc);
        self.said.remove(&Once::Tz);
        if self.settings.zone.is_some() {
            self.once(
                Once::CronTz,
                line,
                "`CRON_TZ` decides the schedule, as in cronie; Debian's cron takes no notice of it",
            );
        }
    }

    fn add(&mut self, entry: &Entry<'_>, line: usize, comment: &Comment) -> Result<(), String> {
        let command = command(entry.command);
        if command.line.is_empty() {
            return Err("there is no command before the `%`".to_owned());
        }
        let zone = self.settings.zone.as_deref().or(self.crontab.zone).map(str::to_owned);
        // The start of the machine has no zone.
        let read_in = zone.as_deref().filter(|_| entry.when != "@reboot").unwrap_or("UTC");
        let (when, note) = when(&entry.when, read_in)?;
        let name = self.names.give(&command.line);
        self.imported.notes.extend(note.map(|text| Note::told(line, text)));
        self.tell(entry, &when, &command, line);
        let yaml = manifest(&Job {
            name: &name,
            description: comment.description(),
            when: &when,
            zone: zone.as_deref(),
            command: &command,
            settings: &self.settings,
        });
        self.imported.jobs.push(ImportedJob { name, line, yaml });
        Ok(())
    }

    /// Says what the manifest does otherwise than cron.
    fn tell(&mut self, entry: &Entry<'_>, when: &When, command: &Command, line: usize) {
        match entry.user {
            None if command.line.starts_with("root ") => {
                self.once(
                    Once::Column,
                    line,
                    "the command begins with `root`; with `--system` that is the column of a system crontab",
                );
            }
            None => {}
            Some("root") => {
                self.once(Once::Root, line, "the column says `root`; the jobs run as the user of the daemon");
            }
            Some(user) => {
                let text = format!("the column says `{user}`; the job runs as the user of the daemon");
                self.imported.notes.push(Note::lost(line, text));
            }
        }
        if let (When::Cron { .. }, None) = (when, &self.settings.zone) {
            if self.crontab.zone.is_none() {
                self.once(
                    Once::Utc,
                    line,
                    "cron follows the machine's time zone; from here on the jobs say none, which is `UTC`: `--timezone ZONE` states it",
                );
            }
            if let Some(line) = self.settings.tz_line {
                self.once(
                    Once::Tz,
                    line,
                    "`TZ` is seen by the commands only, as in cron; it does not move the schedule",
                );
            }
        }
        if command.was_doubled {
            let text = "`\\\\` in the command became `\\`, as in Debian's cron; cronie keeps both";
            self.imported.notes.push(Note::told(line, text));
        }
        if self.settings.home.is_none() {
            self.once(
                Once::Home,
                line,
                "cron starts commands in the home directory of the user; without `HOME` the jobs start where the daemon was started, until they say `cwd`",
            );
        }
    }

    fn once(&mut self, what: Once, line: usize, text: &str) {
        if self.said.insert(what) {
            self.imported.notes.push(Note::told(line, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};

    use super::*;

    fn import(text: &str, kind: Kind) -> Imported {
        crontab(Crontab { bytes: text.as_bytes(), kind, zone: None }, &mut Names::default())
    }

    /// The notes, with `!` at those that say what is lost.
    fn notes(imported: &Imported) -> String {
        imported.notes.iter().fold(String::new(), |mut out, note| {
            let _ = writeln!(out, "{}{}: {}", note.line, if note.is_lost { "!" } else { "" }, note.text);
            out
        })
    }

    fn manifests(imported: &Imported) -> String {
        imported.jobs.iter().map(|job| format!("{}---\n", job.yaml)).collect()
    }

    #[expect(clippy::needless_pass_by_value, reason = "rows of a table read better so")]
    fn check(text: &str, kind: Kind, expected: Expect) {
        let imported = import(text, kind);
        expected.assert_eq(&format!("{}{}", manifests(&imported), notes(&imported)));
    }

    #[test]
    fn a_line_keeps_its_comment_and_the_settings_above_it() {
        check(
            "PATH=/usr/bin:/bin
HOME=/srv/app
CRON_TZ=Europe/Berlin
# nightly dump
30 2 * * * /opt/backup.sh --all

*/5 * * * 1-5 curl -s http://localhost/ping > /dev/null
",
            Kind::User,
            expect![[r#"
            name: backup
            description: nightly dump
            schedule:
              cron: "30 2 * * *"
              timezone: Europe/Berlin
            run:
              shell: "/opt/backup.sh --all"
              cwd: "/srv/app"
              env:
                HOME: "/srv/app"
                PATH: "/usr/bin:/bin"
            ---
            name: curl
            schedule:
              cron: "*/5 * * * 1-5"
              timezone: Europe/Berlin
            run:
              shell: "curl -s http://localhost/ping > /dev/null"
              cwd: "/srv/app"
              env:
                HOME: "/srv/app"
                PATH: "/usr/bin:/bin"
            ---
            3: `CRON_TZ` decides the schedule, as in cronie; Debian's cron takes no notice of it
        "#]],
        );
    }

    #[test]
    fn a_start_of_the_machine_has_no_zone() {
        check(
            "HOME=/srv/app\nCRON_TZ=Europe/Berlin\n@reboot /opt/warm-up\n",
            Kind::User,
            expect![[r#"
            name: warm-up
            schedule:
              cron: "@reboot"
            run:
              shell: "/opt/warm-up"
              cwd: "/srv/app"
              env:
                HOME: "/srv/app"
            ---
            2: `CRON_TZ` decides the schedule, as in cronie; Debian's cron takes no notice of it
        "#]],
        );
    }

    #[test]
    fn what_follows_a_percent_sign_is_what_the_command_reads() {
        check(
            "HOME=/srv/app\nMAILTO=ops@example.com\n0 0 1 * 1 mail -s report $MAILTO%first line%second \\% line\n",
            Kind::User,
            expect![[r#"
                name: mail
                schedule:
                  cron: "0 0 1 * 1"
                  day_match: any
                run:
                  # The last word is what the command reads, as what follows `%` in the crontab.
                  command:
                    - /bin/sh
                    - -c
                    - "printf %s \"$2\" | \"$0\" -c \"$1\""
                    - "/bin/sh"
                    - "mail -s report $MAILTO"
                    - "first line\nsecond % line\n"
                  cwd: "/srv/app"
                  env:
                    HOME: "/srv/app"
                    MAILTO: "ops@example.com"
                ---
                2!: MAILTO=ops@example.com: no mail is sent; `tintal logs` shows what a run printed
                3: cron follows the machine's time zone; from here on the jobs say none, which is `UTC`: `--timezone ZONE` states it
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
            2: the column says `root`; the jobs run as the user of the daemon
            2: cron follows the machine's time zone; from here on the jobs say none, which is `UTC`: `--timezone ZONE` states it
            2: cron starts commands in the home directory of the user; without `HOME` the jobs start where the daemon was started, until they say `cwd`
            3!: the column says `www-data`; the job runs as the user of the daemon
            4!: `61 * * * *`: in the minute field, `61` is not between 0 and 59
            5!: there are fewer than five fields and a command
        "#]],
        );
    }

    #[test]
    fn where_the_zone_falls_to_utc_is_told_once_a_stretch() {
        let text = "\
HOME=/
@reboot up
@every 5m ping
0 1 * * * one
0 2 * * * two
CRON_TZ=Europe/Berlin
0 3 * * * three
CRON_TZ=
0 4 * * * four
0 5 * * * five
";
        let imported = import(text, Kind::User);
        let lines: Vec<usize> = imported
            .notes
            .iter()
            .filter(|note| note.text.contains("--timezone"))
            .map(|note| note.line)
            .collect();
        assert_eq!(lines, [4, 9], "{}", notes(&imported));
    }

    #[test]
    fn a_stated_zone_holds_where_the_crontab_says_none() {
        let text = "HOME=/\n@reboot up\n0 1 * * * one\nCRON_TZ=:Asia/Tokyo\n0 2 * * * two\nCRON_TZ=\n0 3 * * * three\n";
        let stated = Crontab { bytes: text.as_bytes(), kind: Kind::User, zone: Some("America/New_York") };
        let imported = crontab(stated, &mut Names::default());
        let zones: Vec<Option<&str>> = imported
            .jobs
            .iter()
            .map(|job| job.yaml.lines().find_map(|line| line.strip_prefix("  timezone: ")))
            .collect();
        assert_eq!(zones, [None, Some("America/New_York"), Some("Asia/Tokyo"), Some("America/New_York")]);
        assert!(!notes(&imported).contains("--timezone"), "{}", notes(&imported));
    }

    #[test]
    fn tz_reaches_the_command_and_not_the_schedule() {
        for zone in ["Asia/Tokyo", ":Europe/Berlin", "CET-1CEST"] {
            let text = format!("HOME=/\nTZ={zone}\n0 1 * * * a\nCRON_TZ=Europe/Paris\n0 2 * * * b\n");
            let imported = import(&text, Kind::User);
            let yaml = manifests(&imported);
            assert_eq!(yaml.matches(&format!("    TZ: \"{zone}\"")).count(), 2, "{yaml}");
            assert_eq!(yaml.matches("timezone: ").count(), 1, "{yaml}");
            assert!(
                notes(&imported).contains("2: `TZ` is seen by the commands only"),
                "{}",
                notes(&imported)
            );
        }
        let both = import("HOME=/\nCRON_TZ=Europe/Paris\nTZ=Asia/Tokyo\n0 2 * * * b\n", Kind::User);
        assert!(
            manifests(&both).contains("timezone: \"Europe/Paris\"")
                || manifests(&both).contains("timezone: Europe/Paris")
        );
        assert!(!notes(&both).contains("`TZ`"), "{}", notes(&both));
    }

    #[test]
    fn home_is_directory_and_variable_and_its_absence_is_told_once() {
        let yaml = manifests(&import("HOME=/srv/app\n0 1 * * * a\n", Kind::User));
        assert!(
            yaml.contains("  cwd: \"/srv/app\"\n") && yaml.contains("    HOME: \"/srv/app\"\n"),
            "{yaml}"
        );
        let empty = manifests(&import("HOME=\n0 1 * * * a\n", Kind::User));
        assert!(!empty.contains("cwd") && empty.contains("    HOME: \"\"\n"), "{empty}");
        let without = notes(&import("0 1 * * * a\n0 2 * * * b\n", Kind::User));
        assert_eq!(without.matches("home directory").count(), 1, "{without}");
    }

    #[test]
    fn what_is_no_template_in_a_crontab_is_none_in_the_manifest() {
        let yaml = manifests(&import(
            "SHELL=/bin/{{ x }}\nHOME=/srv/{% y\nFOO={{ z }}\n0 1 * * * echo {\\%- endraw -\\%}\n",
            Kind::User,
        ));
        for expected in [
            "\"{% raw %}/bin/{{ x }}{% endraw %}\"",
            "cwd: \"{% raw %}/srv/{% y{% endraw %}\"",
            "FOO: \"{% raw %}{{ z }}{% endraw %}\"",
            r#"echo {{ \"{\" | safe }}%- endraw -%}"#,
        ] {
            assert!(yaml.contains(expected), "{expected} in {yaml}");
        }
    }

    #[test]
    fn variables_that_no_manifest_can_hold_are_told_and_the_jobs_are_kept() {
        let imported =
            import("\"MY VAR\" = x\nTINTAL_X=1\n1A=b\nRANDOM_DELAY=soon\n0 1 * * * true\n", Kind::User);
        let lost: Vec<usize> =
            imported.notes.iter().filter(|note| note.is_lost).map(|note| note.line).collect();
        assert_eq!((lost, imported.jobs.len()), (vec![1, 2, 3, 4], 1), "{}", notes(&imported));
    }

    #[test]
    fn variables_of_cron_itself_have_counterparts() {
        let text = "HOME=/\nRANDOM_DELAY=45\nLOGNAME=a\nUSER=b\nSTART_HOURS_RANGE=3-22\n0 1 * * * echo $RANDOM_DELAY\n@reboot up\n";
        let imported = import(text, Kind::User);
        let yaml = manifests(&imported);
        assert_eq!(yaml.matches("  jitter: 45m\n").count(), 1, "{yaml}");
        assert_eq!(yaml.matches("    USER: \"b\"\n").count(), 2, "{yaml}");
        assert_eq!(yaml.matches("    RANDOM_DELAY: \"45\"\n").count(), 1, "{yaml}");
        assert!(!yaml.contains("LOGNAME"), "{yaml}");
        assert!(imported.notes.iter().all(|note| !note.is_lost), "{}", notes(&imported));
    }

    #[test]
    fn a_shell_that_the_path_does_not_find_is_named_in_full() {
        let yaml = manifests(&import("PATH=/opt/bin\n0 1 * * * true\n", Kind::User));
        assert!(yaml.contains("command: [\"/bin/sh\", -c, \"true\"]"), "{yaml}");
    }

    #[test]
    fn a_byte_that_is_not_utf_8_concerns_its_own_line() {
        let bytes = b"\xef\xbb\xbf0 1 * * * one\n# caf\xe9\n0 2 * * * two\n0 3 * * * echo caf\xe9\n";
        let imported = crontab(Crontab { bytes, kind: Kind::User, zone: Some("UTC") }, &mut Names::default());
        let names: Vec<&str> = imported.jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names, ["one", "two", "echo"]);
        let lost: Vec<usize> =
            imported.notes.iter().filter(|note| note.is_lost).map(|note| note.line).collect();
        assert_eq!(lost, [4], "{}", notes(&imported));
    }

    #[test]
    fn the_header_of_an_untouched_crontab_describes_no_job() {
        let header = "\
# Edit this file to introduce tasks to be run by cron.
#
# Each task to run has to be defined through a single line
#
# For example, you can run a backup of all your user accounts
# at 5 a.m every week with:
# 0 5 * * 1 tar -zcf /var/backups/home.tgz /home/
#
# For more information see the manual pages of crontab(5) and cron(8)
#
# m h  dom mon dow   command
";
        for (above, expected) in [
            (header.to_owned(), None),
            (format!("{header}# nightly dump\n"), None),
            (format!("{header}\n# nightly dump\n"), Some("nightly dump")),
            ("# nightly dump\n\n".to_owned(), None),
            ("A=b\n#30 6 * * * /opt/old\n".to_owned(), None),
        ] {
            let imported = import(&format!("{above}30 2 * * * /opt/new\n"), Kind::User);
            let yaml = manifests(&imported);
            let description = yaml.lines().find_map(|line| line.strip_prefix("description: "));
            assert_eq!(description, expected, "{above}");
        }
    }

    #[test]
    fn a_user_crontab_with_a_column_is_told() {
        let imported = import("0 1 * * * root true\n0 2 * * * root true\n", Kind::User);
        assert_eq!(notes(&imported).matches("--system").count(), 1, "{}", notes(&imported));
    }
}
