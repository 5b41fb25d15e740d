//! That a person paused a job, in words and for those commands that know jobs from their manifests only.

use std::io::{self, Write as _};

use super::{Failure, format::one_line, offline, served::ask};
use crate::{
    config::Settings, control::view::PauseView, execute::causes::with_causes, manifest::name::JobName,
};

/// Since when, and why if that is known.
pub(super) fn words(pause: &PauseView) -> String {
    let reason = pause.reason.as_deref().map(|reason| format!(": {}", one_line(reason))).unwrap_or_default();
    format!("since {}{reason}", pause.since)
}

/// Why and since when a job is paused, as the daemon says, or as the ledger says when there is none.
/// What the manifest tells is not held back when neither can be asked: that is said on stderr.
pub(super) fn of(settings: &Settings, name: &JobName) -> Result<Option<PauseView>, Failure> {
    match look(settings, name) {
        Ok(pause) => Ok(pause),
        Err(Failure::Error(error)) => {
            let why = with_causes(error.as_ref());
            writeln!(io::stderr(), "whether `{name}` is paused cannot be told: {why}")?;
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

fn look(settings: &Settings, name: &JobName) -> Result<Option<PauseView>, Failure> {
    match ask(settings)? {
        Some(view) => {
            Ok(view.jobs.into_iter().find(|job| job.job == name.as_str()).and_then(|job| job.pause))
        }
        None => offline::pause_of(settings, name),
    }
}
