//! The command line: one file a command. Data goes to stdout, the rest to stderr.
//!
//! Exit codes mean one thing everywhere: 0 clean, 1 found something, 2 could not tell.

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{self, FileWanted, Flags, Settings};

mod apply;
mod attention;
mod completions;
mod config_show;
mod console;
mod dlq;
mod exit_codes;
mod explain;
mod failure;
mod format;
mod group;
mod hand;
mod import;
mod init;
mod last_good;
mod list;
mod logs;
mod next;
mod offline;
mod paused;
mod plan;
mod run;
mod runs;
mod said;
mod schema;
mod serve;
mod served;
mod signals;
mod status;
mod table;
mod tiers;
mod tree;
mod validate;
mod worker;

pub use failure::{Exit, Failure};
pub use schema::generated;

/// Run jobs that YAML manifests ask for
#[derive(Debug, Parser)]
#[command(name = "tintal", version, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "Settings to read [default: $TINTAL_CONFIG, else tintal.yaml if it is there]"
    )]
    config: Option<PathBuf>,

    /// Directory of manifests [default: jobs.d]
    #[arg(long, global = true, value_name = "DIR")]
    jobs: Option<PathBuf>,

    /// Directory for what the daemon remembers [default: .tintal]
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Validate(validate::Validate),
    Explain(explain::Explain),
    Plan(plan::PlanCommand),
    Apply(apply::Apply),
    Serve(serve::Serve),
    Worker(worker::Worker),
    Run(run::Run),
    Trigger(hand::Trigger),
    Pause(hand::Pause),
    Resume(hand::Resume),
    Cancel(hand::Cancel),
    Status(status::Status),
    List(list::List),
    Next(next::Next),
    Runs(runs::Runs),
    Logs(logs::Logs),
    Dlq(dlq::Dlq),
    Init(init::Init),
    Import(import::Import),
    Schema(schema::Schema),
    Config(config_show::ConfigShow),
    Completions(completions::Completions),
}

/// Global flags that a command has no use for: they are not in its help.
const WITHOUT: [(&str, &[&str]); 8] = [
    ("completions", &["config", "jobs", "state"]),
    ("schema", &["config", "jobs", "state"]),
    ("import", &["config", "jobs", "state"]),
    ("trigger", &["jobs"]),
    ("pause", &["jobs"]),
    ("resume", &["jobs"]),
    ("cancel", &["jobs"]),
    ("dlq", &["jobs"]),
];

/// The command line as clap knows it.
fn command() -> clap::Command {
    let mut command = Cli::command();
    let hidden = |command: &clap::Command, flag: &str| {
        command.get_arguments().find(|global| global.get_id() == flag).map(|global| global.clone().hide(true))
    };
    for (name, flags) in WITHOUT {
        // A command that has the flag itself is not handed the global one.
        let flags: Vec<_> = flags.iter().filter_map(|flag| hidden(&command, flag)).collect();
        command = command.mut_subcommand(name, |sub| sub.args(flags));
    }
    for codes in exit_codes::ALL {
        command = at(command, codes.command, &|sub| {
            let more = sub.get_after_help().map(|help| format!("{help}\n\n")).unwrap_or_default();
            sub.after_help(format!("{more}{}", codes.line()))
        });
    }
    command
}

/// Changes the command that words such as `import crontab` lead to.
fn at(command: clap::Command, path: &str, change: &dyn Fn(clap::Command) -> clap::Command) -> clap::Command {
    match path.split_once(' ') {
        Some((first, rest)) => command.mut_subcommand(first, |sub| at(sub, rest, change)),
        None => command.mut_subcommand(path, change),
    }
}

/// Reads the arguments, does as they say, and gives the exit code.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = command().try_get_matches_from(arguments).and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return told(&error),
    };
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

/// Prints what clap has to say: help, the version, or what is wrong with the arguments.
fn told(error: &clap::Error) -> ExitCode {
    let code = if error.use_stderr() { Exit::Trouble } else { Exit::Clean };
    match error.print() {
        Ok(()) => code.into(),
        // Nobody is left to be told of a closed terminal.
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => code.into(),
        Err(cause) => Failure::from(cause).report(),
    }
}

impl Cli {
    fn run(self) -> Result<Exit, Failure> {
        let file = self.config.clone().map_or(FileWanted::Usual, FileWanted::Named);
        let mut flags = Flags { file, values: Vec::new() };
        for (key, flag, value) in [("jobs", "--jobs", &self.jobs), ("state", "--state", &self.state)] {
            if let Some(value) = value {
                flags.values.push((key, flag, value.clone().into_os_string()));
            }
        }
        match self.command {
            Command::Completions(command) => command.run(),
            Command::Schema(command) => command.run(),
            Command::Init(command) => command.run(flags),
            Command::Import(command) => command.run(|| settings(&flags)),
            Command::Serve(command) => {
                flags.values.extend(command.flags());
                serve::Serve::run(&settings(&flags)?)
            }
            Command::Worker(command) => command.run(&settings(&flags)?, self.jobs.as_ref()),
            Command::Validate(command) => command.run(&settings(&flags)?),
            Command::Explain(command) => command.run(|| settings(&flags)),
            Command::Plan(command) => command.run(&settings(&flags)?),
            Command::Apply(command) => command.run(&settings(&flags)?),
            Command::Run(command) => command.run(&settings(&flags)?),
            Command::Trigger(command) => command.run(&settings(&flags)?),
            Command::Pause(command) => command.run(&settings(&flags)?),
            Command::Resume(command) => command.run(&settings(&flags)?),
            Command::Cancel(command) => command.run(&settings(&flags)?),
            Command::Status(command) => command.run(&settings(&flags)?),
            Command::List(command) => command.run(&settings(&flags)?),
            Command::Next(command) => command.run(&settings(&flags)?),
            Command::Runs(command) => command.run(&settings(&flags)?),
            Command::Logs(command) => command.run(&settings(&flags)?),
            Command::Dlq(command) => command.run(&settings(&flags)?),
            Command::Config(command) => command.run(&settings(&flags)?),
        }
    }
}

fn settings(flags: &Flags) -> Result<Settings, Failure> {
    config::load(flags, std::env::vars_os()).map_err(|error| Failure::Settings(error.problems))
}

#[cfg(test)]
mod tests;
