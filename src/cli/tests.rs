//! The wording of the help, and its completeness.

use super::{command, exit_codes};

/// Every command with the words that lead to it.
fn commands(command: &clap::Command, path: &str, out: &mut Vec<(String, clap::Command)>) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let path = format!("{path} {}", sub.get_name()).trim_start().to_owned();
        commands(sub, &path, out);
        out.push((path, sub.clone()));
    }
}

fn all() -> Vec<(String, clap::Command)> {
    let mut out = Vec::new();
    commands(&command(), "", &mut out);
    out
}

/// What is wrong with a line of help, if something is.
fn flaw(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("is empty"),
        text if text.ends_with('.') => Some("ends with a full stop"),
        text if text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.starts_with("github") => {
            Some("begins with a small letter")
        }
        text if ["`GitHub`", "`GitLab`", "`JUnit`"].iter().any(|name| text.contains(name)) => {
            Some("quotes the name of a product")
        }
        text if text.contains("(s)") => Some("leaves the number open"),
        _ => None,
    }
}

#[test]
fn every_line_of_help_reads_like_the_others() {
    let mut wrong = Vec::new();
    let mut check = |place: String, text: Option<&clap::builder::StyledStr>| {
        let text = text.map(ToString::to_string).unwrap_or_default();
        wrong.extend(flaw(&text).map(|flaw| format!("{place} {flaw}: {text}")));
    };
    for (path, command) in all() {
        check(path.clone(), command.get_about());
        for argument in command.get_arguments() {
            let place = format!("{path} {}", argument.get_id());
            check(place.clone(), argument.get_help());
            for value in argument.get_possible_values() {
                // Shells and their like need no words.
                if value.get_help().is_some() {
                    check(format!("{place} {}", value.get_name()), value.get_help());
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn commands_say_what_to_do() {
    let verbs = [
        "Apply", "Cancel", "Check", "Convert", "Drop", "Explain", "Keep", "Let", "List", "Mark", "Print",
        "Run", "Show", "Start", "Stop", "Turn", "Write",
    ];
    for (path, command) in all() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let first = about.split(' ').next().unwrap_or_default();
        assert!(verbs.contains(&first), "{path}: {about}");
    }
}

#[test]
fn values_have_names_that_say_what_they_are() {
    for (path, command) in all() {
        for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            for name in argument.get_value_names().into_iter().flatten() {
                assert!(!name.contains('_'), "{path}: {name}");
            }
        }
    }
}

#[test]
fn every_command_tells_its_exit_codes_in_its_help() {
    let leaves = all().into_iter().filter(|(_, command)| !command.has_subcommands());
    let mut told: Vec<String> = leaves
        .map(|(path, command)| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert_eq!(help.matches("Exit codes: 0 ").count(), 1, "{path}: {help}");
            path
        })
        .collect();
    let mut known: Vec<&str> = exit_codes::ALL.iter().map(|codes| codes.command).collect();
    told.sort();
    known.sort_unstable();
    assert_eq!(told, known);
}

#[test]
fn flags_that_a_command_ignores_are_not_in_its_help() {
    for (name, flags) in super::WITHOUT {
        let mut command = command();
        command.build();
        let help = command.find_subcommand_mut(name).unwrap().render_long_help().to_string();
        for flag in flags {
            assert!(!help.contains(&format!("--{flag} ")), "{name}: {help}");
        }
    }
}
