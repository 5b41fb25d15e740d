//! `tintal dlq`: the runs and messages that were given up, and what people do with them.

mod change;
mod look;

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use jiff::Timestamp;

use self::{
    change::{Purge, Replay, Resolve},
    look::{List, Show},
};
use super::{Exit, Failure};
use crate::{
    config::Settings, control::letters::view::LetterFilter, engine::clock, ledger::LetterState,
    manifest::text::parse_duration, run::Category,
};

/// Show dead letters, have them tried again, or let them go
#[derive(Debug, Args)]
pub(super) struct Dlq {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    List(List),
    Show(Show),
    Replay(Replay),
    Resolve(Resolve),
    Purge(Purge),
}

/// Which letters are meant: those that are all of this.
#[derive(Debug, Clone, Args)]
struct Which {
    /// That are in one of these states; may be given again
    #[arg(long = "is", value_name = "STATE", value_delimiter = ',',
        value_parser = PossibleValuesParser::new(LetterState::ALL.map(LetterState::as_str)))]
    states: Vec<String>,

    /// Of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,

    /// Given up for a reason of this kind
    #[arg(long, value_name = "CATEGORY",
        value_parser = PossibleValuesParser::new(Category::ALL.map(Category::as_str)))]
    category: Option<String>,

    /// That came over this backend, or were to go over it
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,

    /// Given up before this: a time, or how long ago, as in `7d`
    #[arg(long, value_name = "TIME", value_parser = before)]
    before: Option<Timestamp>,
}

/// Reads a time, or how long ago it was.
fn before(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = parse_duration(text).map_err(|_| {
        "neither a time such as `2026-03-01T00:00:00Z` nor a duration such as `7d`".to_owned()
    })?;
    clock::now().checked_sub(ago).map_err(|error| error.to_string())
}

impl Which {
    /// As it is sent; `states` are those that are meant when none is named.
    fn filter(self, states: &[LetterState]) -> LetterFilter {
        let mut named = self.states;
        if named.is_empty() {
            named = states.iter().map(|state| state.as_str().to_owned()).collect();
        }
        let (job, category, backend, before) = (self.job, self.category, self.backend, self.before);
        let state = (!named.is_empty()).then(|| named.join(","));
        LetterFilter { state, job, category, backend, before, limit: None }
    }

    fn is_empty(&self) -> bool {
        self.states.is_empty()
            && self.job.is_none()
            && self.category.is_none()
            && self.backend.is_none()
            && self.before.is_none()
    }
}

impl Dlq {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        match self.what {
            What::List(command) => command.run(settings),
            What::Show(command) => command.run(settings),
            What::Replay(command) => command.run(settings),
            What::Resolve(command) => command.run(settings),
            What::Purge(command) => command.run(settings),
        }
    }
}

/// The beginning of an id, which goes into a path.
fn id(text: &str) -> Result<&str, Failure> {
    let is_id = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_id {
        Ok(text)
    } else {
        Err(format!("`{text}` is not the id of a dead letter, nor the beginning of one").into())
    }
}
