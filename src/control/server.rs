//! The daemon's end of the control socket.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process answers |
//! | `GET /readyz` | 200 once the first pass is done, until the daemon stops |
//! | `GET /healthz` | `HealthView`: 200 when the daemon is ready, its ledger can be written, the manifests can be read and have no errors, no step failed, no removal is held back, every queue system that jobs use answers, and there is room for dead letters; else 503 |
//! | `GET /v1/status` | `StatusView` |
//! | `GET /v1/source` | `SourceView`: of the status, what there is to know of the manifests |
//! | `GET /v1/placements` | `PlacementsView`: what the tiers hold |
//! | `GET /v1/files` | `FilesView`: what the files held when they were last good |
//! | `GET /v1/runs?job=&backend=&worker=&limit=&before=` | `RunsView`: of one job, backend or worker, so many at most, decided for a fire time before that |
//! | `GET /v1/runs/{run}` | `RunsView` of one run |
//! | `GET /v1/runs/{run}/attempts/{n}/log?follow=` | the output; with `follow=true` as it comes, until the attempt is over |
//! | `POST /v1/jobs/{job}/trigger` | `TriggerView` |
//! | `POST /v1/jobs/{job}/pause`, `/resume`, `/cancel` | `ChangeView` |
//! | `POST /v1/runs/{run}/cancel` | `ChangeView` |
//! | `POST /v1/reconcile` | `PassView` |
//! | `/v1/letters…` | as in `letters::server` |

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;

use super::view::{
    ChangeView, ErrorView, FilesView, HealthView, PassView, PauseRequest, PlacementsView, ReconcileRequest,
    RunsView, StatusView, TriggerRequest, TriggerView, VERSION,
};
use super::{follow, letters, render, socket::Lasting};
use crate::{
    engine::{
        daemon::Daemon,
        hand::{HandError, Handled},
        reconcile::{self, Order},
    },
    execute::causes::with_causes,
    ledger::RunQuery,
    manifest::name::JobName,
    plan::guard::Allowance,
    run::RunId,
};

/// Most bytes of a request: a plan of a hundred thousand steps. Only the daemon's own user can
/// send one.
const REQUEST_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Runs that one answer gives when the request names no limit.
const RUNS_DEFAULT: usize = 50;

/// Most runs that one answer gives.
pub const RUNS_MAX: u32 = 10_000;

/// Most bytes of a refusal that is not ours.
const REFUSAL_BYTES_MAX: usize = 4096;

/// Serves the control socket until `stop` says so.
///
/// # Errors
///
/// When the socket breaks.
pub async fn serve(
    daemon: Arc<Daemon>,
    listener: Lasting,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/healthz", get(health))
        .route("/v1/status", get(status))
        .route("/v1/source", get(source))
        .route("/v1/placements", get(placements))
        .route("/v1/files", get(files))
        .route("/v1/runs", get(runs))
        .route("/v1/runs/{run}", get(run))
        .route("/v1/runs/{run}/attempts/{n}/log", get(log))
        .route("/v1/runs/{run}/cancel", post(cancel_run))
        .route("/v1/jobs/{job}/trigger", post(trigger))
        .route("/v1/jobs/{job}/pause", post(pause))
        .route("/v1/jobs/{job}/resume", post(resume))
        .route("/v1/jobs/{job}/cancel", post(cancel_job))
        .route("/v1/reconcile", post(make_pass))
        .merge(letters::server::routes())
        .fallback(async || refuse(StatusCode::NOT_FOUND, "the control socket has no such path"))
        .layer(middleware::map_response(refuse_in_words))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(daemon);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await
}

pub(super) fn refuse(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(ErrorView { v: VERSION, error: error.into() })).into_response()
}

/// Gives what was refused before it came to us (a query or a body that cannot be read, another method)
/// the shape of every other refusal.
async fn refuse_in_words(response: Response) -> Response {
    let status = response.status();
    let is_ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let body = to_bytes(response.into_body(), REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&body).trim().to_owned();
    let reason = status.canonical_reason().unwrap_or("refused");
    let mut response = refuse(status, if said.is_empty() { reason.to_lowercase() } else { said });
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

pub(super) fn broken(error: &dyn std::error::Error) -> Response {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, with_causes(error))
}

fn job_name(text: &str) -> Result<JobName, Box<Response>> {
    JobName::parse(text).map_err(|error| Box::new(refuse(StatusCode::BAD_REQUEST, error.to_string())))
}

fn run_id(text: &str) -> Result<RunId, Box<Response>> {
    let not_an_id = |_| Box::new(refuse(StatusCode::BAD_REQUEST, format!("`{text}` is not the id of a run")));
    text.parse().map(RunId).map_err(not_an_id)
}

async fn ready(State(daemon): State<Arc<Daemon>>) -> Response {
    if daemon.is_ready() {
        "ready\n".into_response()
    } else {
        refuse(StatusCode::SERVICE_UNAVAILABLE, "the first pass is not done, or the daemon stops")
    }
}

async fn health(State(daemon): State<Arc<Daemon>>) -> Response {
    let health: HealthView = render::health(&daemon);
    let status = if health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

async fn source(State(daemon): State<Arc<Daemon>>) -> Response {
    Json(render::source_of(&daemon)).into_response()
}

async fn status(State(daemon): State<Arc<Daemon>>) -> Response {
    match render::status(&daemon).await {
        Ok(view) => Json::<StatusView>(view).into_response(),
        Err(error) => broken(&error),
    }
}

async fn placements(State(daemon): State<Arc<Daemon>>) -> Json<PlacementsView> {
    let (live, _) = reconcile::observe(&daemon.backends()).await;
    Json(render::placements(&live))
}

async fn files(State(daemon): State<Arc<Daemon>>) -> Response {
    match render::files(&daemon) {
        Ok(view) => Json::<FilesView>(view).into_response(),
        Err(error) => broken(&error),
    }
}

/// What `GET /v1/runs` may ask for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunsRequest {
    job: Option<String>,
    backend: Option<String>,
    worker: Option<String>,
    limit: Option<usize>,
    before: Option<Timestamp>,
}

async fn runs(State(daemon): State<Arc<Daemon>>, Query(request): Query<RunsRequest>) -> Response {
    let job = match request.job.as_deref().map(job_name).transpose() {
        Ok(job) => job,
        Err(response) => return *response,
    };
    let limit = request.limit.unwrap_or(RUNS_DEFAULT);
    if limit > RUNS_MAX as usize {
        let text = format!("`limit` is at most {RUNS_MAX}; `before` with a fire time gives older runs");
        return refuse(StatusCode::BAD_REQUEST, text);
    }
    let RunsRequest { backend, worker, before, .. } = request;
    let query = RunQuery { job, before, backend, worker, limit };
    match daemon.ledger().runs(query).await {
        Ok(rows) => Json(render::runs_of(&daemon, &rows).await).into_response(),
        Err(error) => broken(&error),
    }
}

async fn run(State(daemon): State<Arc<Daemon>>, Path(run): Path<String>) -> Response {
    let id = match run_id(&run) {
        Ok(id) => id,
        Err(response) => return *response,
    };
    match daemon.ledger().run(id).await {
        Ok(Some(row)) => Json::<RunsView>(render::runs_of(&daemon, &[row]).await).into_response(),
        Ok(None) => refuse(StatusCode::NOT_FOUND, format!("there is no run `{run}`")),
        Err(error) => broken(&error),
    }
}

/// What a request for output may ask for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogRequest {
    #[serde(default)]
    follow: bool,
}

async fn log(
    State(daemon): State<Arc<Daemon>>,
    Path((run, attempt)): Path<(String, u32)>,
    Query(request): Query<LogRequest>,
) -> Response {
    let id = match run_id(&run) {
        Ok(id) => id,
        Err(response) => return *response,
    };
    match daemon.ledger().run(id).await {
        Ok(Some(_)) => {}
        Ok(None) => return refuse(StatusCode::NOT_FOUND, format!("there is no run `{run}`")),
        Err(error) => return broken(&error),
    }
    let follow = if request.follow { follow::Until::AttemptEnds } else { follow::Until::EndOfFile };
    Body::from_stream(follow::output(daemon, id, attempt, follow)).into_response()
}

async fn trigger(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
    Json(request): Json<TriggerRequest>,
) -> Response {
    let job = match job_name(&job) {
        Ok(job) => job,
        Err(response) => return *response,
    };
    match daemon.trigger(&job, request.params).await {
        Ok(id) => Json(TriggerView { v: VERSION, run_id: id.to_string() }).into_response(),
        Err(error) => hand_error(&error),
    }
}

async fn pause(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
    Json(request): Json<PauseRequest>,
) -> Response {
    match job_name(&job) {
        Ok(job) => changed(daemon.pause(&job, request.reason).await),
        Err(response) => *response,
    }
}

async fn resume(State(daemon): State<Arc<Daemon>>, Path(job): Path<String>) -> Response {
    match job_name(&job) {
        Ok(job) => changed(daemon.resume(&job).await),
        Err(response) => *response,
    }
}

async fn cancel_job(State(daemon): State<Arc<Daemon>>, Path(job): Path<String>) -> Response {
    match job_name(&job) {
        Ok(job) => changed(daemon.cancel_job(&job).await),
        Err(response) => *response,
    }
}

async fn cancel_run(State(daemon): State<Arc<Daemon>>, Path(run): Path<String>) -> Response {
    match run_id(&run) {
        Ok(id) => changed(daemon.cancel_run(id).await),
        Err(response) => *response,
    }
}

fn changed(result: Result<Handled, HandError>) -> Response {
    match result {
        Ok(handled) => Json(ChangeView { v: VERSION, changed: handled.changed, message: handled.message })
            .into_response(),
        Err(error) => hand_error(&error),
    }
}

fn hand_error(error: &HandError) -> Response {
    match error {
        HandError::NoSuchJob { .. } | HandError::NoSuchRun { .. } => {
            refuse(StatusCode::NOT_FOUND, error.to_string())
        }
        HandError::Busy { .. } | HandError::Stopping => refuse(StatusCode::CONFLICT, error.to_string()),
        HandError::Param { source, .. } => refuse(StatusCode::BAD_REQUEST, format!("{error}: {source}")),
        HandError::Ledger(_) => broken(error),
    }
}

async fn make_pass(State(daemon): State<Arc<Daemon>>, Json(request): Json<ReconcileRequest>) -> Response {
    let order = match (request.plan, request.allow_prune) {
        (Some(plan), None) => Order::Plan(plan),
        (None, allowed) => Order::Follow(allowed.map_or(Allowance::Guarded, Allowance::UpTo)),
        (Some(_), Some(_)) => {
            return refuse(StatusCode::BAD_REQUEST, "a plan lists its prunes; it takes no `allow_prune`");
        }
    };
    match daemon.reconcile(order).await {
        Some(report) => Json::<PassView>(render::pass(&report)).into_response(),
        None => refuse(StatusCode::CONFLICT, "the daemon is stopping"),
    }
}
