//! What `log.level` may say: a level, or a list of `target=level`. Pure; `layers` calls it.
//!
//! `EnvFilter` takes a misspelt level for the name of a target, and then logs nothing at all.

use crate::manifest::nearest::nearest;

/// The levels, quietest first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A part of `log.level` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    /// What is wrong: lower case, no full stop.
    pub(super) message: String,
    /// The way out.
    pub(super) help: String,
}

/// What is wrong with a value of `log.level`, if something is: the first part that cannot be used.
pub(super) fn flaw(text: &str) -> Option<Flaw> {
    text.split(',').map(str::trim).find_map(|part| match part.split('=').collect::<Vec<_>>()[..] {
        [""] => Some(unreadable("there is an empty part in `log.level`".to_owned())),
        [level] => wrong_level(level),
        [target, level] => {
            let is_target = !target.is_empty() && target.bytes().all(is_of_target);
            if is_target { wrong_level(level) } else { Some(unreadable(format!("`{part}` names no target"))) }
        }
        _ => Some(unreadable(format!("`{part}` has more than one `=`"))),
    })
}

fn is_of_target(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-' | b'.')
}

fn unreadable(message: String) -> Flaw {
    Flaw { message, help: "write a level, or a list as in `warn,tintal::engine=debug`".to_owned() }
}

fn wrong_level(level: &str) -> Option<Flaw> {
    let given = level.to_ascii_lowercase();
    if LEVELS.contains(&given.as_str()) {
        return None;
    }
    // `warning` begins with the level; a slip of the keys is close to it.
    let begun = LEVELS.into_iter().find(|known| given.starts_with(known));
    let help = match begun.or_else(|| nearest(&given, LEVELS)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("the levels are `{}`; a target stands before a `=`", LEVELS.join("`, `")),
    };
    Some(Flaw { message: format!("`{level}` is no level of the log"), help })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = flaw(text).map_or_else(String::new, |flaw| format!("{} | {}", flaw.message, flaw.help));
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    #[rustfmt::skip]
    fn flaw_table() {
        check("info",                      "");
        check("OFF",                       "");
        check("warn, tintal::engine=debug","");
        check("loud",                      "`loud` is no level of the log | the levels are `off`, `error`, `warn`, `info`, `debug`, `trace`; a target stands before a `=`");
        check("inof",                      "`inof` is no level of the log | did you mean `info`?");
        check("warning",                   "`warning` is no level of the log | did you mean `warn`?");
        check("warn,tintal=debgu",         "`debgu` is no level of the log | did you mean `debug`?");
        check("tintal=",                   "`` is no level of the log | the levels are `off`, `error`, `warn`, `info`, `debug`, `trace`; a target stands before a `=`");
        check("a=b=c",                     "`a=b=c` has more than one `=` | write a level, or a list as in `warn,tintal::engine=debug`");
        check("=info",                     "`=info` names no target | write a level, or a list as in `warn,tintal::engine=debug`");
        check("info,",                     "there is an empty part in `log.level` | write a level, or a list as in `warn,tintal::engine=debug`");
    }
}
