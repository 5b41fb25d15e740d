//! `tintal dlq replay`, `resolve` and `purge`, through the daemon.

use std::io::{self, Write as _};

use clap::Args;
use serde_json::Value;

use super::{Which, id};
use crate::{
    cli::{
        Exit, Failure,
        console::{self, block_on},
        format::plural,
        said::Said,
    },
    config::Settings,
    control::{
        client::{Client, ClientError},
        letters::view::{LetterChangeView, LetterChangesView, PurgeRequest, PurgedView, ResolveRequest},
        view::VERSION,
    },
    ledger::LetterState,
};

/// Run dead letters again: one more attempt of each run, of its job as it is now
///
/// With a filter and without --is those that are pending are meant; held and exhausted ones are to be
/// named.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Ids, or their beginnings
    #[arg(value_name = "ID", conflicts_with_all = ["states", "job", "category", "backend", "before"])]
    ids: Vec<String>,

    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    said: Said,
}

/// Mark dead letters as done with
#[derive(Debug, Args)]
pub(super) struct Resolve {
    /// Ids, or their beginnings
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,

    /// Why, for those who wonder later
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,

    #[command(flatten)]
    said: Said,
}

/// Drop dead letters for good
#[derive(Debug, Args)]
pub(super) struct Purge {
    #[command(flatten)]
    which: Which,

    /// Drop all of them, whatever their state; with --yes
    #[arg(long, requires = "yes", conflicts_with_all = ["states", "job", "category", "backend", "before"])]
    all: bool,

    /// Say that --all is meant
    #[arg(long, requires = "all")]
    yes: bool,

    #[command(flatten)]
    said: Said,
}

impl Replay {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        if self.ids.is_empty() && self.which.is_empty() {
            return Err("name the dead letters that are to be tried again, or a filter: `--is pending` is all that are pending".into());
        }
        let client = block_on(Client::of(&settings.state))??;
        if !self.ids.is_empty() {
            return each(&client, &self.ids, "replay", &Value::Null, self.said);
        }
        let filter = self.which.filter(&[LetterState::Pending]);
        let view: LetterChangesView = block_on(client.post("/v1/letters/replay", &filter))??;
        let exit = tell(&view, self.said)?;
        if view.letters.is_empty() {
            writeln!(io::stderr(), "no dead letter is all of this")?;
        }
        Ok(exit)
    }
}

impl Resolve {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let client = block_on(Client::of(&settings.state))??;
        each(&client, &self.ids, "resolve", &ResolveRequest { note: self.note }, self.said)
    }
}

/// Asks for the same with each letter. One that is refused does not keep the others from it.
fn each(
    client: &Client,
    ids: &[String],
    verb: &str,
    body: &impl serde::Serialize,
    said: Said,
) -> Result<Exit, Failure> {
    let ids = ids.iter().map(|text| id(text)).collect::<Result<Vec<_>, _>>()?;
    let mut letters = Vec::with_capacity(ids.len());
    let mut is_unknown = false;
    for id in ids {
        let path = format!("/v1/letters/{id}/{verb}");
        letters.push(match block_on(client.post::<LetterChangeView>(&path, body))? {
            Ok(change) => change,
            Err(ClientError::Refused(message)) => {
                is_unknown = true;
                LetterChangeView { id: id.to_owned(), done: false, message }
            }
            Err(error) => return Err(error.into()),
        });
    }
    let exit = tell(&LetterChangesView { v: VERSION, letters }, said)?;
    Ok(if is_unknown { Exit::Trouble } else { exit })
}

/// Says what became of letters: data is what was done.
fn tell(view: &LetterChangesView, said: Said) -> Result<Exit, Failure> {
    if said.is_json() {
        console::json(view)?;
    } else {
        for letter in &view.letters {
            if letter.done {
                writeln!(console::out(), "{}", letter.message)?;
            } else {
                writeln!(io::stderr(), "{}", letter.message)?;
            }
        }
    }
    let all = view.letters.iter().all(|letter| letter.done);
    Ok(if all { Exit::Clean } else { Exit::Found })
}

impl Purge {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        if self.which.is_empty() && !self.all {
            return Err("name a filter for the dead letters that are to go, as `--is resolved`; or all of them, by `--all --yes`".into());
        }
        let request = PurgeRequest { filter: self.which.filter(&[]), all: self.all };
        let client = block_on(Client::of(&settings.state))??;
        let view: PurgedView = block_on(client.post("/v1/letters/purge", &request))??;
        if self.said.is_json() {
            console::json(&view)?;
        } else {
            let count = usize::try_from(view.purged).unwrap_or(usize::MAX);
            writeln!(console::out(), "dropped {}", plural(count, "dead letter"))?;
        }
        Ok(Exit::Clean)
    }
}
