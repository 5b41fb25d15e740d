//! `tintal dlq list` and `show`.

use std::io::{self, Write};

use clap::Args;
use url::form_urlencoded::Serializer;

use super::{Which, id};
use crate::{
    cli::{
        Exit, Failure,
        console::{self, block_on},
        format::one_line,
        offline,
        said::Said,
        table,
    },
    config::Settings,
    control::{
        client,
        letters::view::{LetterDetailView, LetterFilter, LetterView, LettersView},
    },
    ledger::LetterState,
};

/// Characters of a reason that the table shows; `show` has all.
const REASON_CHARS_MAX: usize = 60;

/// Those that somebody is to see to still.
const OPEN: [LetterState; 4] =
    [LetterState::Pending, LetterState::Retrying, LetterState::Held, LetterState::Exhausted];

/// List dead letters, those that were given up last first
///
/// Without --is all but the resolved ones are listed.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,

    /// List this many at most
    #[arg(long, short = 'n', alias = "limit", default_value_t = 20, value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,

    #[command(flatten)]
    said: Said,
}

/// Show a dead letter with its message, and how to go on
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its id, or the beginning of it
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    said: Said,
}

impl List {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let count = self.count as usize;
        // One more tells whether there are more.
        let filter = LetterFilter { limit: Some(count + 1), ..self.which.filter(&OPEN) };
        let (mut view, is_daemon) = letters(settings, &filter)?;
        let has_more = view.letters.len() > count;
        view.letters.truncate(count);
        if !is_daemon {
            writeln!(io::stderr(), "{}", offline::note(settings))?;
        }
        if self.said.is_json() {
            console::json(&view)?;
            return Ok(Exit::Clean);
        }
        table::print(
            ["given up", "job", "state", "times", "category", "why", "backend", "id"],
            view.letters.iter().map(row),
        )?;
        if has_more {
            writeln!(io::stderr(), "there are more; `-n COUNT` lists them")?;
        }
        Ok(Exit::Clean)
    }
}

/// The letters of a filter, as the daemon says, or as the ledger does when there is none; and whether there
/// is one.
fn letters(settings: &Settings, filter: &LetterFilter) -> Result<(LettersView, bool), Failure> {
    let path = format!("/v1/letters?{}", query(filter));
    match block_on(client::ask(&settings.state, &path))?? {
        Some(view) => Ok((view, true)),
        None => Ok((offline::letters(settings, filter)?, false)),
    }
}

fn query(filter: &LetterFilter) -> String {
    let mut query = Serializer::new(String::new());
    let before = filter.before.map(|before| before.to_string());
    let limit = filter.limit.map(|limit| limit.to_string());
    let pairs = [
        ("state", &filter.state),
        ("job", &filter.job),
        ("category", &filter.category),
        ("backend", &filter.backend),
        ("before", &before),
        ("limit", &limit),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

fn row(letter: &LetterView) -> [String; 8] {
    let state = if letter.waits { format!("{}, waits its turn", letter.state) } else { letter.state.clone() };
    [
        letter.at.to_string(),
        letter.job.clone().unwrap_or_else(|| "-".to_owned()),
        state,
        letter.times.to_string(),
        letter.category.clone(),
        short(&letter.reason),
        letter.backend.clone(),
        letter.id.clone(),
    ]
}

/// A reason in one line of a table.
fn short(reason: &str) -> String {
    let line = one_line(reason);
    match line.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.into_owned(),
    }
}

impl Show {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let path = format!("/v1/letters/{}", id(&self.id)?);
        let view: LetterDetailView = match block_on(client::ask(&settings.state, &path))?? {
            Some(view) => view,
            None => {
                writeln!(io::stderr(), "{}", offline::note(settings))?;
                offline::letter(settings, &self.id)?
            }
        };
        if self.said.is_json() {
            console::json(&view)?;
        } else {
            say(&view, &mut console::out())?;
        }
        Ok(Exit::Clean)
    }
}

/// One letter, for people.
fn say(view: &LetterDetailView, out: &mut dyn Write) -> Result<(), Failure> {
    let letter = &view.letter;
    writeln!(out, "letter    {}", letter.id)?;
    let given_up = if letter.times == 1 { "once".to_owned() } else { format!("{} times", letter.times) };
    writeln!(out, "state     {}, since {}; given up {given_up}", letter.state, letter.changed_at)?;
    match (&letter.job, letter.fire_time) {
        (Some(job), Some(fire)) => writeln!(out, "job       {job}, of {fire}")?,
        (Some(job), None) => writeln!(out, "job       {job}")?,
        (None, _) => writeln!(out, "job       not known")?,
    }
    writeln!(out, "why       {} ({})", one_line(&letter.reason), letter.category)?;
    if letter.first_at == letter.at {
        writeln!(out, "when      {}", letter.at)?;
    } else {
        writeln!(out, "when      {}, and first {}", letter.at, letter.first_at)?;
    }
    writeln!(out, "attempts  {}", letter.attempts)?;
    writeln!(out, "queue     {} on {}", letter.queue, letter.backend)?;
    if let Some(note) = &letter.note {
        writeln!(out, "note      {}", one_line(note))?;
    }
    for (index, line) in ways(view).iter().enumerate() {
        writeln!(out, "{}{line}", if index == 0 { "go on     " } else { "          " })?;
    }
    match (&view.message, &view.text) {
        (Some(message), _) => {
            writeln!(out, "message")?;
            let pretty = serde_json::to_string_pretty(message)?;
            pretty.lines().try_for_each(|line| writeln!(out, "  {}", one_line(line)))?;
        }
        (None, Some(text)) if !text.is_empty() => {
            writeln!(out, "message   no JSON")?;
            text.lines().try_for_each(|line| writeln!(out, "  {}", one_line(line)))?;
        }
        _ => writeln!(out, "message   none was kept")?,
    }
    Ok(())
}

/// How a person can go on with a letter.
fn ways(view: &LetterDetailView) -> Vec<String> {
    let letter = &view.letter;
    let id = &letter.id;
    if letter.state == LetterState::Resolved.as_str() {
        return vec!["nothing is left to do".to_owned()];
    }
    if letter.waits {
        return vec!["it waits for its turn to be tried again: other runs of its job go on".to_owned()];
    }
    if letter.state == LetterState::Retrying.as_str() {
        return vec![format!("it is being tried again; `tintal logs {id}` shows what it prints")];
    }
    let resolve = format!("`tintal dlq resolve {id}` says that it is done with");
    match view.can_replay {
        Some(true) => vec![
            format!("`tintal logs {id}` shows what it printed"),
            format!("`tintal dlq replay {id}` makes one more attempt, of the job as it is now"),
            resolve,
        ],
        Some(false) => {
            let why = view.why_not.as_deref().map(one_line).unwrap_or_default();
            vec![format!("it cannot be tried again: {why}"), resolve]
        }
        None => {
            vec!["start the daemon with `tintal serve`: it tries letters again, and resolves them".to_owned()]
        }
    }
}
