//! What the exit codes of each command mean: in its help, and in `docs/exit-codes.md`.

use std::fmt::Write as _;

/// The exit codes of one command.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExitCodes {
    /// The command, as in `import crontab`.
    pub(super) command: &'static str,
    /// 0.
    clean: &'static str,
    /// 1, where there is such an end.
    found: Option<&'static str>,
    /// 2, beside usage and settings, which are 2 everywhere.
    trouble: &'static str,
    /// Above 2, where there is such an end.
    other: Option<&'static str>,
}

const fn codes(
    command: &'static str,
    clean: &'static str,
    found: Option<&'static str>,
    trouble: &'static str,
) -> ExitCodes {
    ExitCodes { command, clean, found, trouble, other: None }
}

/// Every command, in the order of the help.
pub(super) const ALL: &[ExitCodes] = &[
    codes(
        "validate",
        "no errors",
        Some("errors; with --strict also warnings"),
        "nothing to check, unreadable, or no manifest but the settings",
    ),
    codes(
        "explain",
        "it is explained",
        Some("the manifest of the job has mistakes, which are shown"),
        "no such job or code, or the tree cannot be read",
    ),
    codes(
        "plan",
        "the plan is shown",
        Some("with --exit-code: there is something to do"),
        "the tree or what is live cannot be read",
    ),
    codes(
        "apply",
        "all is as the manifests say",
        Some("a step failed or was held back, or a manifest cannot be used"),
        "the tree, what is live or the plan cannot be read, the plan is of another state, or the daemon serves another directory",
    ),
    codes(
        "serve",
        "a signal ended it",
        None,
        "it could not be started, its state directory was taken away, a part of it broke, or runs are left behind",
    ),
    codes(
        "worker",
        "a signal ended it",
        None,
        "nothing vouches for what it would run, or a queue, a key or its state directory cannot be used",
    ),
    ExitCodes {
        command: "run",
        clean: "the run succeeded",
        found: Some("the run failed"),
        trouble: "no such job, or it cannot be used",
        other: Some("128+N signal N stopped it"),
    },
    codes(
        "trigger",
        "the run was started; with --follow: it succeeded",
        Some("with --follow: the run failed"),
        "no daemon, or it refused",
    ),
    codes("pause", "the job is paused", None, "no daemon, or no such job"),
    codes("resume", "the job is not paused", None, "no daemon, or no such job"),
    codes("cancel", "what ran is being stopped", None, "no daemon, or no such job or run"),
    codes(
        "status",
        "a daemon runs and all is well",
        Some("no daemon, or something needs attention"),
        "the tree or the state directory cannot be read, or the daemon does not answer or serves another directory",
    ),
    codes(
        "list",
        "the jobs are shown",
        None,
        "the tree or the state directory cannot be read, or the daemon does not answer or serves another directory",
    ),
    codes(
        "next",
        "the fire times are shown",
        Some("those of the last good version are, as the manifest cannot be used"),
        "no such job, or it cannot be used and was never live",
    ),
    codes("runs", "the runs are shown", None, "no such job, or the ledger cannot be read"),
    codes(
        "logs",
        "the output is shown; with --follow: the run succeeded",
        Some("with --follow: the run failed"),
        "no such job or run, or it has not run",
    ),
    codes("dlq list", "the dead letters are shown", None, "the ledger cannot be read"),
    codes("dlq show", "it is shown", None, "no such dead letter, or the ledger cannot be read"),
    codes(
        "dlq replay",
        "all that were meant are tried again, or wait for their turn",
        Some("one of them is not, and it is said why"),
        "no daemon, or no such dead letter",
    ),
    codes("dlq resolve", "they are resolved", None, "no daemon, or no such dead letter"),
    codes("dlq purge", "they are gone", None, "no daemon, or neither a filter nor `--all --yes`"),
    codes("init", "the tree is there", None, "it could not be written"),
    codes(
        "import crontab",
        "all was converted",
        Some("something was not"),
        "unreadable, or the manifests cannot be written",
    ),
    codes("schema", "it is printed or written", None, "it could not be written"),
    codes("config", "the settings are shown", None, "the settings cannot be used"),
    codes("completions", "they are printed", None, "they could not be written"),
];

impl ExitCodes {
    /// One line for the help.
    pub(super) fn line(&self) -> String {
        let mut line = format!("Exit codes: 0 {}", self.clean);
        if let Some(found) = self.found {
            let _ = write!(line, ", 1 {found}");
        }
        let _ = write!(line, ", 2 {}", self.trouble);
        if let Some(other) = self.other {
            let _ = write!(line, ", {other}");
        }
        line
    }
}

/// `docs/exit-codes.md`.
pub(super) fn markdown() -> String {
    let mut out = "<!-- Generated by `tintal schema --write`; a test compares it. -->
# Exit codes

They mean one thing everywhere: 0 clean, 1 found something (findings, differences, a failed run), 2 could
not tell. Wrong arguments, settings that cannot be used and output that cannot be written are 2 with every
command; a reader that closes its end early is no failure.

| command | 0 | 1 | 2 | other |
|---|---|---|---|---|
"
    .to_owned();
    for one in ALL {
        let _ = writeln!(
            out,
            "| `tintal {}` | {} | {} | {} | {} |",
            one.command,
            one.clean,
            one.found.unwrap_or_default(),
            one.trouble,
            one.other.unwrap_or_default()
        );
    }
    out
}
