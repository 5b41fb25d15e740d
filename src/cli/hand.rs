//! `tintal trigger`, `pause`, `resume`, `cancel`: what people do by hand, through the daemon.

use std::{collections::BTreeMap, io::Write as _};

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::{
    Exit, Failure,
    console::{self, block_on},
    logs,
    said::Said,
};
use crate::{
    config::Settings,
    control::{
        client::Client,
        view::{ChangeView, PauseRequest, RunsView, TriggerRequest, TriggerView},
    },
    manifest::name::JobName,
};

/// Start a run of a job now
#[derive(Debug, Args)]
pub(super) struct Trigger {
    /// The job
    job: String,

    /// A value in place of the manifest's; may be given again
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE")]
    params: Vec<String>,

    /// Follow the run's output, and exit as the run ended
    #[arg(long, short = 'f', conflicts_with_all = ["json", "format"])]
    follow: bool,

    #[command(flatten)]
    said: Said,
}

/// Keep a job from firing, until `resume`
#[derive(Debug, Args)]
pub(super) struct Pause {
    /// The job
    job: String,

    /// Reason, for those who wonder later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Let a paused job fire again
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The job
    job: String,
}

/// Stop what runs: SIGTERM, grace, SIGKILL; no further attempt
#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// A job (all its runs), or the id of a run
    target: String,
}

/// Reads `NAME=VALUE`. The values are text: whoever has the manifest reads them as its types.
pub(super) fn params(given: &[String]) -> Result<BTreeMap<String, Value>, Failure> {
    let pairs = given.iter().map(|text| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), Value::from(value))),
        None => Err(format!("`{text}` is not a parameter; write `--param NAME=VALUE`").into()),
    });
    pairs.collect()
}

fn post(settings: &Settings, path: &str, body: &impl Serialize) -> Result<Exit, Failure> {
    let client = block_on(Client::of(&settings.state))??;
    let change: ChangeView = block_on(client.post(path, body))??;
    writeln!(console::out(), "{}", change.message)?;
    Ok(Exit::Clean)
}

impl Trigger {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let job = JobName::parse(&self.job)?;
        let client = block_on(Client::of(&settings.state))??;
        let request = TriggerRequest { params: params(&self.params)? };
        let answer: TriggerView = block_on(client.post(&format!("/v1/jobs/{job}/trigger"), &request))??;
        if self.said.is_json() {
            console::json(&answer)?;
            return Ok(Exit::Clean);
        }
        if !self.follow {
            writeln!(console::out(), "{}", answer.run_id)?;
            return Ok(Exit::Clean);
        }
        writeln!(std::io::stderr(), "run {}", answer.run_id)?;
        let succeeded = logs::follow(&client, &answer.run_id, logs::From::First, &mut std::io::stdout())?;
        Ok(if succeeded { Exit::Clean } else { Exit::Found })
    }
}

impl Pause {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let job = JobName::parse(&self.job)?;
        post(settings, &format!("/v1/jobs/{job}/pause"), &PauseRequest { reason: self.reason })
    }
}

impl Resume {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let job = JobName::parse(&self.job)?;
        post(settings, &format!("/v1/jobs/{job}/resume"), &Value::Null)
    }
}

impl Cancel {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        if self.target.parse::<uuid::Uuid>().is_ok() {
            return post(settings, &format!("/v1/runs/{}/cancel", self.target), &Value::Null);
        }
        let job = JobName::parse(&self.target)?;
        post(settings, &format!("/v1/jobs/{job}/cancel"), &Value::Null)
    }
}

/// The newest run with this id, as the daemon knows it.
pub(super) fn run_of(client: &Client, id: &str) -> Result<RunsView, Failure> {
    Ok(block_on(client.get(&format!("/v1/runs/{id}")))??)
}
