//! The listener that Cloud Tasks pushes to. It serves all queues that are received from.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, State},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CONTENT_LENGTH},
    },
    routing::post,
};
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use super::{
    desk::{Desk, Held},
    task::{DELIVERIES, ID},
    verifier::Verifier,
};
use crate::backend::queue::broker::{BrokerError, MESSAGE_ID_LEN_MAX};

/// Connections at once: Cloud Tasks pushes a thousand tasks of a queue at a time by default.
const CONNECTIONS_MAX: usize = 2_048;

/// How long the head of a request may take, and a connection may be idle.
const HEAD_MAX: Duration = Duration::from_secs(60);

/// How long the body of a request may take: a mebibyte through a thin line.
const BODY_MAX: Duration = Duration::from_secs(30);

/// Most bytes of a body: more than the largest task has.
const BODY_BYTES_MAX: usize = 2 << 20;

/// How long the listener pauses when it cannot accept a connection: there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest name of a task that Cloud Tasks allows.
const TASK_NAME_LEN_MAX: usize = 500;

/// The listener.
#[derive(Debug)]
pub(super) struct Listener {
    address: SocketAddr,
    door: Arc<Door>,
    running: Mutex<Option<JoinHandle<()>>>,
}

/// What a request passes.
#[derive(Debug)]
struct Door {
    verifier: Option<Verifier>,
    desk: Arc<Desk>,
}

impl Listener {
    pub(super) fn new(address: SocketAddr, verifier: Option<Verifier>, desk: Arc<Desk>) -> Self {
        Self { address, door: Arc::new(Door { verifier, desk }), running: Mutex::default() }
    }

    /// Listens, if it does not yet.
    pub(super) fn open(&self) -> Result<(), BrokerError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(|task| !task.is_finished()) {
            return Ok(());
        }
        let listener = std::net::TcpListener::bind(self.address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        let listener = listener.map_err(|error| BrokerError::Refused {
            reason: format!("cannot listen for Cloud Tasks on {}: {error}", self.address),
        })?;
        info!(address = %self.address, "listening for Cloud Tasks");
        let push = Router::new().route("/v1/tasks/{queue}", post(push));
        *running = Some(tokio::spawn(serve(listener, push.with_state(Arc::clone(&self.door)))));
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = running.take() {
            // With it go its connections, and Cloud Tasks pushes again what they held.
            task.abort();
        }
    }
}

async fn serve(listener: TcpListener, router: Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let place = Arc::clone(&room).acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept a connection of Cloud Tasks");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small, and somebody waits for them.
        let _ = stream.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
            if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                debug!(%error, "a connection of Cloud Tasks broke");
            }
            drop(place);
        });
    }
}

/// Takes a push, and answers when the message is settled.
async fn push(
    State(door): State<Arc<Door>>,
    Path(queue): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, StatusCode> {
    let since = Instant::now();
    let desk = &*door.desk;
    if let Some(verifier) = &door.verifier {
        verifier.check(headers.get(AUTHORIZATION)).await?;
    }
    let line = desk.line_of(&queue).ok_or(StatusCode::NOT_FOUND)?;
    let held = held(&headers).ok_or(StatusCode::BAD_REQUEST)?;
    if desk.is_left(&held.task) {
        return Err(StatusCode::NOT_FOUND);
    }
    let room = line.room().ok_or(StatusCode::TOO_MANY_REQUESTS)?;
    let body = read(&headers, body).await?;
    let (place, mut answered) = desk.enter(&line, Held { body, ..held }, room);
    // What nobody receives for a while is for another worker: little of its claim would be left.
    let answer = match timeout(desk.claim / 4, &mut answered).await {
        Ok(answer) => answer,
        Err(_) if place.withdraw() => return Err(StatusCode::SERVICE_UNAVAILABLE),
        Err(_) => {
            let over = timeout_at(since + desk.claim, answered).await;
            over.map_err(|_| StatusCode::GATEWAY_TIMEOUT)?
        }
    };
    // Nobody answers any more when the adapter is gone.
    answer.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// What the headers of a push say; none when it is no push of Cloud Tasks. A page in a browser cannot
/// send these.
fn held(headers: &HeaderMap) -> Option<Held> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name).and_then(|text| text.parse::<u32>().ok());
    let task = text("x-cloudtasks-taskname").filter(|name| (1..=TASK_NAME_LEN_MAX).contains(&name.len()))?;
    let before = number(DELIVERIES).unwrap_or(0);
    let retries = number("x-cloudtasks-taskretrycount").unwrap_or(0);
    Some(Held {
        task: task.to_owned(),
        id: text(ID).filter(|id| id.len() <= MESSAGE_ID_LEN_MAX).map(str::to_owned),
        deliveries: before.saturating_add(retries).saturating_add(1),
        body: Bytes::new(),
    })
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, StatusCode> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let read = timeout(BODY_MAX, to_bytes(body, BODY_BYTES_MAX)).await;
    read.map_err(|_| StatusCode::REQUEST_TIMEOUT)?.map_err(|_| StatusCode::BAD_REQUEST)
}
