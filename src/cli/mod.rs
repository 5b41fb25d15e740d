//! The command line: one file a command. Data goes to stdout, the rest to stderr.
//!
//! Exit codes mean one thing everywhere: 0 clean, 1 found something, 2 could not tell.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::{self, Flags, Settings};

mod apply;
mod completions;
mod config_show;
mod console;
mod explain;
mod failure;
mod format;
mod hand;
mod import;
mod init;
mod list;
mod logs;
mod next;
mod plan;
mod run;
mod runs;
mod schema;
mod serve;
mod table;
mod tree;
mod validate;

pub use failure::{Exit, Failure};
pub use schema::generated;

/// Run jobs that YAML manifests ask for
#[derive(Debug, Parser)]
#[command(name = "tintal", version, max_term_width = 100, propagate_version = true)]
struct Cli {
    /// Settings to read [default: tintal.yaml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
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
    Run(run::Run),
    Trigger(hand::Trigger),
    Pause(hand::Pause),
    Resume(hand::Resume),
    Cancel(hand::Cancel),
    Status(list::Status),
    List(list::List),
    Next(next::Next),
    Runs(runs::Runs),
    Logs(logs::Logs),
    Init(init::Init),
    Import(import::Import),
    Schema(schema::Schema),
    Config(config_show::ConfigShow),
    Completions(completions::Completions),
}

/// Reads the arguments, does as they say, and gives the exit code.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Trouble } else { Exit::Clean };
            // Nobody is left to be told of a closed terminal.
            let _ = error.print();
            return code.into();
        }
    };
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

impl Cli {
    fn run(self) -> Result<Exit, Failure> {
        let mut flags = Flags { config: self.config.clone(), values: Vec::new() };
        for (key, flag, value) in [("jobs", "--jobs", &self.jobs), ("state", "--state", &self.state)] {
            if let Some(value) = value {
                flags.values.push((key, flag, value.to_string_lossy().into_owned()));
            }
        }
        match self.command {
            Command::Completions(command) => command.run(),
            Command::Schema(command) => command.run(),
            Command::Init(command) => command.run(),
            Command::Import(command) => command.run(|| settings(&flags)),
            Command::Serve(command) => {
                flags.values.extend(command.flags());
                serve::Serve::run(&settings(&flags)?)
            }
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
            Command::Config(command) => command.run(&settings(&flags)?),
        }
    }
}

fn settings(flags: &Flags) -> Result<Settings, Failure> {
    config::load(flags, std::env::vars_os()).map_err(|error| Failure::Settings(error.problems))
}
