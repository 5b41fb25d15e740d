//! What a worker answers to who looks at it over HTTP: whether it is well, and what it has done.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process answers |
//! | `GET /readyz` | 200 until the worker stops |
//! | `GET /healthz` | JSON: each queue with what is wrong with it; 503 when one cannot be reached |
//! | `GET /metrics` | counters in the text form of Prometheus |

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::engine::worker::{
    crew::{Crew, Post},
    source::Shared,
};

/// What is looked at.
#[derive(Debug)]
pub struct Looks {
    shared: Arc<Shared>,
    posts: Vec<Post>,
    draining: AtomicBool,
}

/// `GET /healthz`.
#[derive(Debug, Serialize)]
struct WorkerHealth {
    v: u32,
    worker: String,
    healthy: bool,
    draining: bool,
    running: usize,
    queues: Vec<QueueHealth>,
}

/// One queue.
#[derive(Debug, Serialize)]
struct QueueHealth {
    backend: String,
    queue: String,
    claimed: usize,
    failure: Option<String>,
}

impl Looks {
    /// Those of a worker whose queues do not grow in number any more.
    #[must_use]
    pub fn new(crew: &Crew) -> Self {
        Self { shared: Arc::clone(crew.shared()), posts: crew.posts(), draining: AtomicBool::new(false) }
    }

    /// The worker stops.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    fn health(&self) -> WorkerHealth {
        let queue = |post: &Post| QueueHealth {
            backend: post.backend.to_string(),
            queue: post.queue.to_string(),
            claimed: post.desk.claims.len(),
            failure: post.desk.health().failure,
        };
        let queues: Vec<QueueHealth> = self.posts.iter().map(queue).collect();
        WorkerHealth {
            v: 1,
            worker: self.shared.name.to_string(),
            healthy: queues.iter().all(|queue| queue.failure.is_none()),
            draining: self.draining.load(Ordering::Acquire),
            running: self.shared.stops.len(),
            queues,
        }
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        for (name, count) in self.shared.counts.all() {
            // Writing to a text does not fail.
            let _ = writeln!(text, "# TYPE tintal_worker_{name} counter\ntintal_worker_{name}_total {count}");
        }
        let _ = writeln!(
            text,
            "# TYPE tintal_worker_running gauge\ntintal_worker_running {}",
            self.shared.stops.len()
        );
        let _ = writeln!(text, "# TYPE tintal_worker_claimed gauge");
        for post in &self.posts {
            let (backend, queue) = (&post.backend, &post.queue);
            let claimed = post.desk.claims.len();
            let _ =
                writeln!(text, "tintal_worker_claimed{{backend=\"{backend}\",queue=\"{queue}\"}} {claimed}");
        }
        text.push_str("# EOF\n");
        text
    }
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, looks: Arc<Looks>) {
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .with_state(looks);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "health and metrics are not served any more");
    }
}

async fn ready(State(looks): State<Arc<Looks>>) -> Response {
    if looks.draining.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
    } else {
        "ready\n".into_response()
    }
}

async fn health(State(looks): State<Arc<Looks>>) -> Response {
    let health = looks.health();
    let status = if health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

async fn metrics(State(looks): State<Arc<Looks>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], looks.metrics()).into_response()
}
