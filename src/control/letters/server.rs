//! The daemon's end of what people do with dead letters.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/letters?state=&job=&category=&backend=&before=&limit=` | `LettersView`: those that are all of this |
//! | `GET /v1/letters/{id}` | `LetterDetailView` |
//! | `POST /v1/letters/{id}/replay` | `LetterChangeView` |
//! | `POST /v1/letters/{id}/resolve` | `LetterChangeView` |
//! | `POST /v1/letters/replay` | `LetterChangesView`: of those that are all of a `LetterFilter`, oldest first |
//! | `POST /v1/letters/purge` | `PurgedView` |
//!
//! An id may be given by its beginning, when no other letter's begins so.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{StreamExt as _, stream};
use uuid::Uuid;

use super::{
    message::{self, Shown},
    view::{
        LetterChangeView, LetterChangesView, LetterDetailView, LetterFilter, LetterView, LettersView,
        PurgeRequest, PurgedView, ResolveRequest, named,
    },
};
use crate::{
    control::{
        server::{broken, refuse},
        view::VERSION,
    },
    engine::{
        clock,
        daemon::Daemon,
        replay::{LetterError, Replayed},
    },
    execute::causes::with_causes,
    ledger::{LedgerError, Letter, LetterQuery, LetterRow},
};

/// Letters that are taken at once: enough to fill a group commit of the ledger.
const AT_ONCE: usize = 64;

/// The requests.
pub(in crate::control) fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/v1/letters", get(list))
        .route("/v1/letters/replay", post(replay_many))
        .route("/v1/letters/purge", post(purge))
        .route("/v1/letters/{id}", get(show))
        .route("/v1/letters/{id}/replay", post(replay))
        .route("/v1/letters/{id}/resolve", post(resolve))
}

async fn list(State(daemon): State<Arc<Daemon>>, Query(filter): Query<LetterFilter>) -> Response {
    let query = match filter.query(clock::now()) {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    match daemon.ledger().letters(query).await {
        Ok(rows) => {
            let letters = rows.iter().map(|row| view(&daemon, row)).collect();
            Json(LettersView { v: VERSION, letters }).into_response()
        }
        Err(error) => broken(&error),
    }
}

fn view(daemon: &Daemon, row: &LetterRow) -> LetterView {
    let waits = row.job.as_ref().is_some_and(|job| daemon.letters().waits(job, row.id));
    LetterView { waits, ..LetterView::of(row) }
}

async fn show(State(daemon): State<Arc<Daemon>>, Path(id): Path<String>) -> Response {
    let id = match find(&daemon, &id).await {
        Ok(id) => id,
        Err(response) => return *response,
    };
    let letter = match daemon.ledger().letter(id, clock::now()).await {
        Ok(Some(letter)) => letter,
        Ok(None) => return error(&LetterError::NoSuchLetter(id)),
        Err(error) => return broken(&error),
    };
    match detail(&daemon, &letter).await {
        Ok(detail) => Json(detail).into_response(),
        Err(error) => broken(&error),
    }
}

async fn detail(daemon: &Daemon, letter: &Letter) -> Result<LetterDetailView, LedgerError> {
    let why_not = daemon.why_no_replay(letter).await?;
    let job = letter.row.job.as_ref().and_then(|job| daemon.jobs().job(job));
    let shown = message::shown(letter, job.map(|job| Arc::clone(&job.spec))).await;
    let (message, text) = match shown {
        Shown::Json(message) => (Some(message), None),
        Shown::Text(text) => (None, Some(text)),
    };
    Ok(LetterDetailView {
        v: VERSION,
        letter: view(daemon, &letter.row),
        can_replay: Some(why_not.is_none()),
        why_not: why_not.as_ref().map(|error| with_causes(error)),
        message,
        text,
    })
}

/// The letter that a text names.
async fn find(daemon: &Daemon, text: &str) -> Result<Uuid, Box<Response>> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let all = daemon.ledger().letters(LetterQuery::all(clock::now())).await;
    let all = all.map_err(|error| Box::new(broken(&error)))?;
    named(text, all.into_iter().map(|row| row.id))
        .map_err(|error| Box::new(refuse(StatusCode::NOT_FOUND, error)))
}

async fn replay(State(daemon): State<Arc<Daemon>>, Path(id): Path<String>) -> Response {
    match find(&daemon, &id).await {
        Ok(id) => match daemon.replay(id).await {
            Ok(replayed) => Json(replayed_view(id, replayed)).into_response(),
            Err(error @ (LetterError::NoSuchLetter(_) | LetterError::Stopping | LetterError::Ledger(_))) => {
                self::error(&error)
            }
            Err(error) => Json(refused_view(id, &error)).into_response(),
        },
        Err(response) => *response,
    }
}

/// That a letter is left as it is.
fn refused_view(id: Uuid, error: &LetterError) -> LetterChangeView {
    let ways = if let LetterError::NoRun(_) = error {
        "; `tintal dlq resolve` and `purge` are its ways out"
    } else {
        ""
    };
    let message = format!("{id} is not tried again: {}{ways}", with_causes(error));
    LetterChangeView { id: id.to_string(), done: false, message }
}

fn replayed_view(id: Uuid, replayed: Replayed) -> LetterChangeView {
    let message = match replayed {
        Replayed::Begun { attempt } => format!("{id} is tried again, as attempt {attempt} of its run"),
        Replayed::Waits { max } => {
            format!("{id} waits for its turn: the overlap policy of its job allows {max} at once")
        }
    };
    LetterChangeView { id: id.to_string(), done: true, message }
}

async fn replay_many(State(daemon): State<Arc<Daemon>>, Json(filter): Json<LetterFilter>) -> Response {
    if filter.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "a filter says which dead letters are to be tried again");
    }
    let query = match filter.query(clock::now()) {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    let mut rows = match daemon.ledger().letters(query).await {
        Ok(rows) => rows,
        Err(error) => return broken(&error),
    };
    rows.sort_by_key(|row| (row.fire_time, row.at));
    let daemon = &daemon;
    let replayed = stream::iter(rows)
        .map(async |row| match daemon.replay(row.id).await {
            Ok(replayed) => replayed_view(row.id, replayed),
            Err(error) => refused_view(row.id, &error),
        })
        .buffered(AT_ONCE);
    Json(LetterChangesView { v: VERSION, letters: replayed.collect().await }).into_response()
}

async fn resolve(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
    Json(request): Json<ResolveRequest>,
) -> Response {
    match find(&daemon, &id).await {
        Ok(id) => match daemon.resolve(id, request.note).await {
            Ok(handled) => {
                let message = handled.message;
                Json(LetterChangeView { id: id.to_string(), done: true, message }).into_response()
            }
            Err(error) => self::error(&error),
        },
        Err(response) => *response,
    }
}

async fn purge(State(daemon): State<Arc<Daemon>>, Json(request): Json<PurgeRequest>) -> Response {
    if request.filter.is_empty() && !request.all {
        return refuse(
            StatusCode::BAD_REQUEST,
            "a filter says which dead letters are to go, or `all` that all are",
        );
    }
    let query = match request.filter.query(clock::now()) {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    match daemon.purge(query).await {
        Ok(purged) => Json(PurgedView { v: VERSION, purged }).into_response(),
        Err(error) => broken(&error),
    }
}

fn error(error: &LetterError) -> Response {
    match error {
        LetterError::NoSuchLetter(_) => refuse(StatusCode::NOT_FOUND, error.to_string()),
        LetterError::Resolved | LetterError::Retrying | LetterError::NoRun(_) | LetterError::Stopping => {
            refuse(StatusCode::CONFLICT, error.to_string())
        }
        LetterError::Ledger(_) => broken(error),
    }
}
