//! `%` in a command, as cron takes it (`child_process` in `do_command.c`). Pure.

/// What cron gives to the shell, and what the shell's command reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) line: String,
    /// What it reads; none: nothing at all.
    pub(super) input: Option<String>,
    /// `\\` stood in the command: Debian's cron makes one backslash of it, cronie keeps both.
    pub(super) was_doubled: bool,
}

/// Takes the command of an entry apart at its first `%`. In the command `\%` is `%`, and `\\` is
/// `\`; in what it reads, `%` ends a line and `\%` is `%`.
pub(super) fn command(text: &str) -> Command {
    let mut line = String::with_capacity(text.len());
    let mut was_doubled = false;
    let mut is_escaped = false;
    let mut after = "";
    for (at, c) in text.char_indices() {
        if is_escaped {
            if matches!(c, '%' | '\\') {
                line.pop();
                was_doubled |= c == '\\';
            }
            is_escaped = false;
        } else if c == '%' {
            after = &text[at + 1..];
            break;
        } else {
            is_escaped = c == '\\';
        }
        line.push(c);
    }
    // A blank after a backslash is a part of the last word.
    let trimmed = line.trim_ascii_end().len();
    if !line[..trimmed].ends_with('\\') {
        line.truncate(trimmed);
    }
    Command { line, input: (!after.is_empty()).then(|| input(after)), was_doubled }
}

/// What the command reads. Its last line gets an end if it has none.
fn input(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    let mut is_escaped = false;
    let mut needs_end = false;
    for c in text.chars() {
        let c = match c {
            '%' if !is_escaped => '\n',
            '%' => '%',
            c => {
                if is_escaped {
                    out.push('\\');
                }
                c
            }
        };
        is_escaped = c == '\\';
        if !is_escaped {
            out.push(c);
            needs_end = c != '\n';
        }
    }
    if is_escaped {
        out.push('\\');
    }
    if needs_end {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is the line, then `|` and what it reads, if anything.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = command(text);
        let input = found.input.map(|input| format!("|{input}")).unwrap_or_default();
        assert_eq!(format!("{}{input}", found.line), expected, "{text}");
    }

    #[test]
    #[rustfmt::skip]
    fn percent_table() {
        check(r"cat",             "cat");
        check(r"cat  ",           "cat");
        check(r"echo \ ",         r"echo \ ");
        check(r"cat %",           "cat");
        check(r"cat%%",           "cat|\n");
        check(r"cat %a",          "cat|a\n");
        check(r"cat %a%",         "cat|a\n");
        check(r"cat %a%%",        "cat|a\n\n");
        check(r"cat %a%b",        "cat|a\nb\n");
        check(r"cat % a ",        "cat| a \n");
        check(r"date +\%F",       "date +%F");
        check(r"date +\%F%\%F",   "date +%F|%F\n");
        check(r"echo a\b",        r"echo a\b");
        check(r"echo a\\b",       r"echo a\b");
        check(r"echo \\%a",       "echo \\|a\n");
        check(r"echo \\\%a",      r"echo \%a");
        check(r"cat %a\b",        "cat|a\\b\n");
        check(r"cat %a\\b",       "cat|a\\\\b\n");
        // Nothing was written that is no newline, so cron adds none after a lone backslash.
        check(r"cat %\",          "cat|\\");
        check(r"cat %a\",         "cat|a\\\n");
        check(r"cat %a\\%b",      "cat|a\\%b\n");
    }
}
