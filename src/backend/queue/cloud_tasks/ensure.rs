//! Makes a queue, looks after the queues that are used, and counts their tasks.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{CloudTasksBroker, Options, WINDOW, task::retry_config};
use crate::backend::queue::{
    broker::{BrokerError, Depth, Health, QueueName},
    google::api::{Failure, REQUEST_MAX},
};

/// Tasks of a page: Cloud Tasks' limit.
const PAGE: usize = 1_000;

/// Pages of tasks that are counted; then there are many, and how many does not matter.
const PAGES_MAX: usize = 10;

/// A queue, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Queue {
    state: String,
    http_target: Redirection,
}

/// What a queue changes in its tasks.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Redirection {
    uri_override: Option<Value>,
    http_method: Option<String>,
}

/// A page of tasks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    tasks: Vec<Listed>,
    #[serde(default)]
    next_page_token: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    schedule_time: Option<Timestamp>,
}

impl CloudTasksBroker {
    /// Makes a queue, if it is not there.
    pub(super) async fn make(&self, queue: &QueueName) -> Result<(), BrokerError> {
        match self.look_at(queue).await {
            Err(failure) if failure.is_missing() => {}
            Err(failure) => return Err(failure.into()),
            Ok(found) => {
                if let Some(reason) = found.misfit(queue) {
                    return Err(BrokerError::Refused { reason });
                }
                self.desk.know(queue);
                return Ok(());
            }
        }
        let body = json!({ "name": self.queue(queue), "retryConfig": retry_config() }).to_string();
        let path = format!("/v2/{}/queues", self.location());
        match self.api.ask(Method::POST, &path, body, REQUEST_MAX).await {
            Err(failure) if !failure.is_there() => return Err(failure.into()),
            _ => self.desk.made(queue),
        }
        Ok(())
    }

    async fn look_at(&self, queue: &QueueName) -> Result<Queue, Failure> {
        self.api.ask_for(Method::GET, &format!("/v2/{}", self.queue(queue)), "").await
    }

    /// Whether Cloud Tasks answers, and the queues that are used go on.
    pub(super) async fn looked_after(&self) -> Result<Health, BrokerError> {
        let queues = self.desk.known();
        if queues.is_empty() {
            let path = format!("/v2/{}/queues?pageSize=1", self.location());
            let _: IgnoredAny = self.api.ask_for(Method::GET, &path, "").await?;
        }
        let looks = stream::iter(queues).map(|queue| async move {
            let found = self.look_at(&queue).await?;
            found.trouble(&queue).map_or(Ok(()), |reason| Err(BrokerError::Busy { reason }))
        });
        let () = looks.buffered(WINDOW).try_collect().await?;
        let Options { project, location, endpoint, .. } = &self.options;
        Ok(Health { server: format!("Cloud Tasks v2 at {endpoint}, project {project}, {location}") })
    }

    /// Counts tasks. Those that were pushed and have no answer yet are not told from those that wait.
    pub(super) async fn counted(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        let (now, name) = ((self.now)(), self.queue(queue));
        let (mut ready, mut delayed, mut token) = (0, 0, String::new());
        for _ in 0..PAGES_MAX {
            let path = format!("/v2/{name}/tasks?pageSize={PAGE}&pageToken={token}");
            let page: Page = self.api.ask_for(Method::GET, &path, "").await?;
            let late = page.tasks.iter().filter(|task| task.schedule_time.is_some_and(|at| at > now)).count();
            ready += page.tasks.len() - late;
            delayed += late;
            if page.next_page_token.is_empty() {
                break;
            }
            token = url::form_urlencoded::byte_serialize(page.next_page_token.as_bytes()).collect();
        }
        Ok(Depth { ready: ready as u64, claimed: None, delayed: Some(delayed as u64) })
    }
}

impl Queue {
    /// Why the queue will not do, and the way out.
    pub(super) fn misfit(&self, queue: &QueueName) -> Option<String> {
        let Redirection { uri_override, http_method } = &self.http_target;
        let is_post =
            http_method.as_deref().is_none_or(|method| matches!(method, "POST" | "HTTP_METHOD_UNSPECIFIED"));
        (uri_override.is_some() || !is_post).then(|| {
            format!(
                "the queue `{queue}` sends its tasks elsewhere (`httpTarget`): take that off it, or take another \
                 name for the queue"
            )
        })
    }

    /// Why the queue does not go on.
    pub(super) fn trouble(&self, queue: &QueueName) -> Option<String> {
        match self.state.as_str() {
            "PAUSED" => Some(format!(
                "the queue `{queue}` is paused; resume it with `gcloud tasks queues resume {queue}`"
            )),
            "DISABLED" => Some(format!("the queue `{queue}` is disabled by its `queue.yaml`")),
            _ => None,
        }
    }
}
