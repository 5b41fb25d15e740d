//! Names for jobs that have none. Pure.

use std::collections::{BTreeSet, HashMap};

use crate::manifest::name::{JobName, NAME_LEN_MAX};

/// Room for a dash and a number after a name.
const NUMBER_LEN: usize = 11;

/// Words of a command that say nothing about what it does.
const SKIPPED: [&str; 16] = [
    "cd", "test", "[", "nice", "ionice", "flock", "exec", "sudo", "env", "&&", "||", "sh", "bash", "-c",
    "command", "-v",
];

/// The names that are given away.
#[derive(Debug, Clone, Default)]
pub struct Names {
    taken: BTreeSet<JobName>,
    /// The last number that was tried for a name. It is only looked up, never walked.
    last: HashMap<String, u32>,
}

impl Names {
    /// A name for a command, which nobody else gets.
    pub(super) fn give(&mut self, command: &str) -> JobName {
        let base = JobName::parse(&slug(command)).map_or_else(|_| "job".to_owned(), |name| name.to_string());
        let last = self.last.entry(base.clone()).or_insert(0);
        loop {
            *last += 1;
            let name = if *last == 1 { base.clone() } else { format!("{base}-{last}") };
            if let Ok(name) = JobName::parse(&name)
                && self.taken.insert(name.clone())
            {
                return name;
            }
        }
    }
}

/// A name from the first word of a command that says something.
fn slug(command: &str) -> String {
    let is_assignment = |word: &&str| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    let word = command
        .split_whitespace()
        .filter(|word| !is_assignment(word))
        .find(|word| {
            let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
            !SKIPPED.contains(word) && !is_number && !word.starts_with('-') && *word != "/"
        })
        .unwrap_or("job");
    let last = word.rsplit('/').find(|part| !part.is_empty()).unwrap_or("job");
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| if stem.is_empty() { last } else { stem });
    let plain: String = stem
        .chars()
        .take(NAME_LEN_MAX - NUMBER_LEN)
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    plain.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_first_word_that_says_something() {
        let long = format!("/opt/{}---x", "a".repeat(NAME_LEN_MAX - NUMBER_LEN));
        for (command, expected) in [
            ("/opt/backup.sh --all", "backup"),
            ("cd / && run-parts /etc/cron.hourly", "run-parts"),
            ("A=1 B=2 nice -n 10 /usr/bin/Find", "find"),
            ("nice 10", "job"),
            ("[ -x /usr/lib/php/sessionclean ] && exec it", "sessionclean"),
            ("$HOME/bin/daily.job", "daily"),
            ("\"é\"", "job"),
            ("{ true; }", "job"),
            (&long, &"a".repeat(NAME_LEN_MAX - NUMBER_LEN)),
        ] {
            assert_eq!(Names::default().give(command).as_str(), expected, "{command}");
        }
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut names = Names::default();
        let given: Vec<String> =
            ["a", "a-2", "a", "a", "a-2"].iter().map(|command| names.give(command).to_string()).collect();
        assert_eq!(given, ["a", "a-2", "a-3", "a-4", "a-2-2"]);
    }

    #[test]
    fn many_jobs_with_one_command_each_get_a_name_at_once() {
        // A search from the first number for each would take minutes.
        let mut names = Names::default();
        let last = (0..20_000).map(|_| names.give("/opt/backup.sh")).last();
        assert_eq!(last.map(String::from).as_deref(), Some("backup-20000"));
    }
}
