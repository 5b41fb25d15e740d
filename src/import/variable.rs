//! `NAME = value`, as cron reads it (`load_env` in env.c). Pure.

/// A variable of a crontab.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variable<'a> {
    /// Whatever stands before the `=`: cron takes any text.
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

/// The variable that a line sets; none when it is no such line.
///
/// Name and value may be quoted; a value without quotes goes to the end of the line, comments
/// included. Debian's cron does not take an empty value without quotes; it is taken here.
pub(super) fn variable(line: &str) -> Option<Variable<'_>> {
    let (name, rest) = match quoted(line)? {
        Part::Quoted(name, rest) => (name, rest),
        Part::Plain(_) => {
            let end = line.find(|c: char| c == '=' || c.is_ascii_whitespace())?;
            (&line[..end], &line[end..])
        }
    };
    let value = rest.trim_ascii_start().strip_prefix('=')?.trim_ascii_start();
    let value = match quoted(value)? {
        Part::Quoted(value, rest) if rest.trim_ascii().is_empty() => value,
        Part::Quoted(..) => return None,
        Part::Plain(value) => value.trim_ascii_end(),
    };
    (!name.is_empty() && !name.contains('=')).then_some(Variable { name, value })
}

enum Part<'a> {
    /// What stands in quotes, and what follows them.
    Quoted(&'a str, &'a str),
    /// There are none.
    Plain(&'a str),
}

/// The quoted text at the beginning; none when the quote does not end.
fn quoted(text: &str) -> Option<Part<'_>> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return Some(Part::Plain(text));
    };
    text[1..].split_once(quote).map(|(inner, rest)| Part::Quoted(inner, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is `name|value`.
    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        let found = variable(line).map(|variable| format!("{}|{}", variable.name, variable.value));
        assert_eq!(found.as_deref(), expected, "{line}");
    }

    #[test]
    #[rustfmt::skip]
    fn variables_table() {
        check("A=b",                 Some("A|b"));
        check("A = b c # d ",        Some("A|b c # d"));
        check("A=\" b \" ",          Some("A| b "));
        check("A='b=c'",             Some("A|b=c"));
        check("A=b=c",               Some("A|b=c"));
        check("A=",                  Some("A|"));
        check("A=\"\"",              Some("A|"));
        check("\"A B\" = c",         Some("A B|c"));
        check("'A'=c",               Some("A|c"));
        check("1X=c",                Some("1X|c"));
        check("A=\"b\" c",           None);
        check("A=\"b",               None);
        check("A",                   None);
        check("=b",                  None);
        check("* * * * * A=b c",     None);
        check("@reboot A=b c",       None);
        check("0 0 * * * a = b",     None);
    }
}
