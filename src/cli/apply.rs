//! `tintal apply`: one pass.

use std::{io::Write as _, path::Path};

use clap::Args;

use super::{
    Exit, Failure,
    console::{self, block_on},
    format::plural,
    tree,
};
use crate::{
    config::Settings,
    control::{
        client::{Client, ClientError},
        render,
        view::{PassView, ReconcileRequest},
    },
    engine::{follow::Follow, start},
    source::watch::{Wanted, Watcher},
};

/// Apply the manifests: one pass, then exit
#[derive(Debug, Args)]
pub(super) struct Apply {
    /// Let the pass prune this many jobs, past the guard
    #[arg(long, value_name = "COUNT")]
    allow_prune: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Apply {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let view = match self.by_daemon(&settings.state)? {
            Some(view) => view,
            None => self.alone(settings)?,
        };
        if let Some(failure) = &view.failure {
            return Err(failure.clone().into());
        }
        if self.json {
            console::json(&view)?;
        } else {
            let mut out = console::out();
            for step in &view.done {
                writeln!(out, "{step}")?;
            }
            for step in &view.failed {
                writeln!(out, "failed: {step}")?;
            }
            for held in &view.held_back {
                writeln!(out, "not pruned: {}: {}", held.job, held.reason)?;
            }
            if view.done.is_empty() && view.failed.is_empty() && view.held_back.is_empty() {
                writeln!(out, "nothing to do")?;
            }
        }
        if view.errors > 0 {
            writeln!(
                std::io::stderr(),
                "{} in the manifests; those jobs stay as they are, and `tintal validate` lists them",
                plural(view.errors, "error")
            )?;
        }
        let clean = view.failed.is_empty() && view.held_back.is_empty() && view.errors == 0;
        Ok(if clean { Exit::Clean } else { Exit::Found })
    }

    /// Asks the daemon, if one runs.
    fn by_daemon(&self, state: &Path) -> Result<Option<PassView>, Failure> {
        let client = match Client::new(state) {
            Ok(client) => client,
            Err(ClientError::NotRunning { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let request = ReconcileRequest { allow_prune: self.allow_prune };
        match block_on(client.post("/v1/reconcile", &request))? {
            Ok(view) => Ok(Some(view)),
            Err(ClientError::NotRunning { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Does the pass in this process.
    fn alone(&self, settings: &Settings) -> Result<PassView, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let started = start::start(settings, tree::environment()).await?;
            let prefix = tree::prefix(&settings.jobs);
            let watcher = Watcher::start(settings.jobs.clone(), Wanted::Poll);
            let follow =
                Follow::new(std::sync::Arc::clone(&started.daemon), watcher, tree::loader(settings), prefix);
            let (stop, stopped) = tokio::sync::watch::channel(false);
            let (first, _) = tokio::sync::oneshot::channel();
            let daemon = std::sync::Arc::clone(&started.daemon);
            // The request is there before the loop's first round, so that it is that round.
            let ask = async {
                let reply = daemon.reconcile(self.allow_prune).await;
                let _ = stop.send(true);
                reply
            };
            let (reply, ()) = tokio::join!(ask, follow.run(started.requests, stopped, first));
            let reply = reply.ok_or_else(|| Failure::from("the pass did not come to its end"))?;
            Ok(render::pass(&reply))
        })
    }
}
