//! An entry of a crontab: when, as whom, what. Pure.

use super::crontab::Kind;

/// One entry of a crontab.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// Five fields with a blank between them, a name such as `@daily`, or `@every` with an interval.
    pub(super) when: String,
    /// The column of a system crontab.
    pub(super) user: Option<&'a str>,
    /// The rest of the line, with its `%`.
    pub(super) command: &'a str,
}

/// Reads a line that is neither a comment nor a variable.
pub(super) fn entry(line: &str, kind: Kind) -> Result<Entry<'_>, String> {
    // For cronie, a dash before the entry keeps it out of the system's log.
    let line = match line.strip_prefix('-') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '*' | '@')) => rest,
        _ => line,
    };
    let (when, rest) = if line.starts_with('@') { named(line)? } else { fields(line)? };
    let (user, command) = match kind {
        Kind::User => (None, rest),
        Kind::System => {
            let (user, command) = word(rest).ok_or("there is no column with the user, or no command")?;
            (Some(user), command)
        }
    };
    if command.is_empty() {
        return Err("there is no command".to_owned());
    }
    if user.is_none() && command.starts_with('*') {
        return Err("there is a field too many: cron takes no command that begins with `*`".to_owned());
    }
    Ok(Entry { when, user, command })
}

fn named(line: &str) -> Result<(String, &str), String> {
    let (name, rest) = word(line).ok_or("there is no command")?;
    if name != "@every" {
        return Ok((name.to_owned(), rest));
    }
    let (interval, rest) = word(rest).ok_or("there is no interval after `@every`, or no command")?;
    Ok((format!("{name} {interval}"), rest))
}

fn fields(line: &str) -> Result<(String, &str), String> {
    let mut fields = Vec::with_capacity(5);
    let mut rest = line;
    while fields.len() < 5 {
        let (field, after) = word(rest).ok_or_else(|| match line.split_once('=') {
            Some((name, _)) if !name.trim().contains([' ', '\t']) => {
                format!("it sets no variable, as cron reads it: look at the quotes after `{}=`", name.trim())
            }
            _ => "there are fewer than five fields and a command".to_owned(),
        })?;
        fields.push(field);
        rest = after;
    }
    Ok((fields.join(" "), rest))
}

/// The first word, and what follows it and its blanks.
fn word(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once([' ', '\t'])?;
    Some((word, rest.trim_start_matches([' ', '\t'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is `when|user|command`, or `!` and what is wrong.
    #[track_caller]
    fn check(line: &str, kind: Kind, expected: &str) {
        let found = match entry(line, kind) {
            Ok(entry) => format!("{}|{}|{}", entry.when, entry.user.unwrap_or(""), entry.command),
            Err(reason) => format!("!{reason}"),
        };
        assert!(found.starts_with(expected), "{line}: {found}");
    }

    #[test]
    #[rustfmt::skip]
    fn entries_table() {
        use Kind::{System, User};
        check("0 2\t*  * * run  it ",       User,   "0 2 * * *||run  it ");
        check("0 2 * * * root run it",      System, "0 2 * * *|root|run it");
        check("@daily run it",              User,   "@daily||run it");
        check("@daily root run it",         System, "@daily|root|run it");
        check("@every 5m run it",           User,   "@every 5m||run it");
        check("@every 5m root run it",      System, "@every 5m|root|run it");
        check("-*/5 * * * * root run",      System, "*/5 * * * *|root|run");
        check("0 2 * *",                    User,   "!there are fewer than five");
        check("0 2 * * * ",                 User,   "!there is no command");
        check("0 2 * * * * run",            User,   "!there is a field too many");
        check("0 2 * * * run",              System, "!there is no column");
        check("@daily",                     User,   "!there is no command");
        check("A=\"b\" c",                  User,   "!it sets no variable");
    }
}
