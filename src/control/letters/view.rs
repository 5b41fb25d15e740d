//! The JSON of dead letters.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    ledger::{LetterQuery, LetterRow, LetterState},
    manifest::name::JobName,
    run::Category,
};

/// `dlq list`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LettersView {
    /// [`VERSION`](crate::control::view::VERSION).
    pub v: u32,
    /// Those that were given up last first.
    pub letters: Vec<LetterView>,
}

/// A dead letter without its message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LetterView {
    /// Its id: the run's; of a message that is no run, a hash of it.
    pub id: String,
    /// The job; absent when the message does not say.
    pub job: Option<String>,
    /// Its fire time.
    pub fire_time: Option<Timestamp>,
    /// The backend that it came over, or was to go over.
    pub backend: String,
    /// The queue there.
    pub queue: String,
    /// `pending`, `retrying`, `held`, `exhausted` or `resolved`.
    pub state: String,
    /// Whether it waits for its turn to be tried again.
    #[serde(default)]
    pub waits: bool,
    /// While it is being tried again: until when it is left to that.
    pub lease_until: Option<Timestamp>,
    /// Why, in one word.
    pub category: String,
    /// Why, for a person.
    pub reason: String,
    /// Attempts that were made; of a message that no worker ran, how often it was handed out.
    pub attempts: u32,
    /// How often it was given up.
    pub times: u32,
    /// When it was first given up.
    pub first_at: Timestamp,
    /// When it was last given up.
    pub at: Timestamp,
    /// When its state changed last.
    pub changed_at: Timestamp,
    /// What was said of it last.
    pub note: Option<String>,
    /// Bytes of its message.
    pub size: u64,
}

/// `dlq show`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LetterDetailView {
    /// [`VERSION`](crate::control::view::VERSION).
    pub v: u32,
    /// All but its message.
    pub letter: LetterView,
    /// Whether the daemon can try it again; absent when none runs.
    pub can_replay: Option<bool>,
    /// Why it is not tried again, when it cannot be.
    pub why_not: Option<String>,
    /// The message, without the secrets of its job, when it is JSON.
    pub message: Option<Value>,
    /// The message, when it is not.
    pub text: Option<String>,
}

/// Which letters are meant: those that are all of this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LetterFilter {
    /// States, with commas between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// A job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// A category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// A backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Given up before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// So many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What a person asks for with `dlq resolve`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// Why, for those who wonder later.
    #[serde(default)]
    pub note: Option<String>,
}

/// What a person asks for with `dlq purge`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeRequest {
    /// Which.
    #[serde(default)]
    pub filter: LetterFilter,
    /// That all are meant, when the filter is empty.
    #[serde(default)]
    pub all: bool,
}

/// What became of letters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LetterChangesView {
    /// [`VERSION`](crate::control::view::VERSION).
    pub v: u32,
    /// In the order in which they were asked for.
    pub letters: Vec<LetterChangeView>,
}

/// What became of one letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LetterChangeView {
    /// Its id.
    pub id: String,
    /// Whether it was done.
    pub done: bool,
    /// One line for people: what was done, or why it was not.
    pub message: String,
}

/// What `dlq purge` did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PurgedView {
    /// [`VERSION`](crate::control::view::VERSION).
    pub v: u32,
    /// How many are gone.
    pub purged: u64,
}

impl LetterView {
    /// As the ledger keeps it.
    #[must_use]
    pub fn of(row: &LetterRow) -> Self {
        Self {
            id: row.id.to_string(),
            job: row.job.as_ref().map(ToString::to_string),
            fire_time: row.fire_time,
            backend: row.backend.to_string(),
            queue: row.queue.to_string(),
            state: row.state.as_str().to_owned(),
            waits: false,
            lease_until: row.lease_until,
            category: row.category.as_str().to_owned(),
            reason: row.reason.clone(),
            attempts: row.attempts,
            times: row.times,
            first_at: row.first_at,
            at: row.at,
            changed_at: row.changed_at,
            note: row.note.clone(),
            size: row.size,
        }
    }
}

impl LetterFilter {
    /// Whether it leaves no letter out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { limit: self.limit, ..Self::default() }
    }

    /// What the ledger is asked.
    ///
    /// # Errors
    ///
    /// When something is no state, no category or no name of a job: what is wrong, in a line.
    pub fn query(&self, now: Timestamp) -> Result<LetterQuery, String> {
        let words = self.state.iter().flat_map(|words| words.split(',')).map(str::trim);
        let state = |word: &str| {
            let found = LetterState::ALL.into_iter().find(|state| state.as_str() == word);
            found.ok_or_else(|| unknown("state", word, &LetterState::ALL.map(LetterState::as_str)))
        };
        let category = |word: &String| {
            let found = Category::ALL.into_iter().find(|category| category.as_str() == *word);
            found.ok_or_else(|| unknown("category", word, &Category::ALL.map(Category::as_str)))
        };
        let job = self.job.as_deref().map(JobName::parse).transpose();
        Ok(LetterQuery {
            states: words.map(state).collect::<Result<_, _>>()?,
            job: job.map_err(|error| error.to_string())?,
            category: self.category.as_ref().map(category).transpose()?,
            backend: self.backend.as_deref().map(Into::into),
            before: self.before,
            limit: self.limit.unwrap_or(usize::MAX),
            now,
        })
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    format!("`{word}` is no {what} of a dead letter; there are {}", known.join(", "))
}

/// The letter that a text names: by its id, or the beginning of it that no other has.
///
/// # Errors
///
/// When it names none, or several: what is wrong, in a line.
pub fn named(text: &str, known: impl IntoIterator<Item = Uuid>) -> Result<Uuid, String> {
    let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
    let start = plain(text);
    if start.is_empty() || !start.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("`{text}` is not the id of a dead letter, nor the beginning of one"));
    }
    let found: Vec<Uuid> =
        known.into_iter().filter(|id| id.simple().to_string().starts_with(&start)).collect();
    match found.as_slice() {
        [id] => Ok(*id),
        [] => Err(format!("there is no dead letter `{text}`")),
        several => {
            let mut said = format!("`{text}` begins the ids of {} dead letters:", several.len());
            for id in several.iter().take(NAMED_MAX) {
                let _ = write!(said, " {id}");
            }
            Err(said)
        }
    }
}

/// Letters that are named when several are meant.
const NAMED_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids of the letters that there are, then what is asked for.
    #[test]
    #[rustfmt::skip]
    fn name_table() {
        let ids = ["6f1d9c3a-52b7-5e0b-9d1e-3a8c47f2b6d5", "6f1d9c3a-0000-5e0b-9d1e-3a8c47f2b6d5", "abc00000-0000-5e0b-9d1e-3a8c47f2b6d5"];
        let check = |text: &str, expected: Result<usize, &str>| {
            let found = named(text, ids.iter().map(|id| id.parse().unwrap()));
            let expected = expected.map(|index| ids[index].parse::<Uuid>().unwrap());
            match (found, expected) {
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (found, expected) => assert_eq!(found.ok(), expected.ok(), "{text}"),
            }
        };
        check("a",                                    Ok(2));
        check("ABC0",                                 Ok(2));
        check("6f1d9c3a-5",                           Ok(0));
        check("6f1d9c3a0",                            Ok(1));
        check("6f1d9c3a-52b7-5e0b-9d1e-3a8c47f2b6d5", Ok(0));
        check("6f1",                                  Err("begins the ids of 2 dead letters: 6f1d9c3a-52b7"));
        check("7",                                    Err("there is no dead letter `7`"));
        check("",                                     Err("is not the id of a dead letter"));
        check("report",                               Err("is not the id of a dead letter"));
    }

    #[test]
    fn a_filter_that_means_nothing_is_told() {
        let filter = |text: &str| serde_json::from_str::<LetterFilter>(text).unwrap();
        let error = |text: &str| filter(text).query(Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(
            error(r#"{"state": "pending,dead"}"#),
            "`dead` is no state of a dead letter; there are pending, retrying, held, exhausted, resolved"
        );
        assert!(
            error(r#"{"category": "bad"}"#).starts_with("`bad` is no category of a dead letter; there are")
        );
        let query = filter(r#"{"state": "held, exhausted"}"#).query(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(query.states, [LetterState::Held, LetterState::Exhausted]);
        assert!(filter(r#"{"limit": 3}"#).is_empty() && !filter(r#"{"state": "held"}"#).is_empty());
    }
}
