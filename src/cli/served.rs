//! What the daemon of the settings says, and whether it is the one that is meant.

use std::{fs, path::Path};

use super::{Failure, console::block_on};
use crate::{
    config::{Settings, settings::Origin},
    control::{
        client,
        view::{SourceView, StatusView},
    },
};

/// What the daemon says; none when there is none.
pub(super) fn ask(settings: &Settings) -> Result<Option<StatusView>, Failure> {
    Ok(block_on(client::ask(&settings.state, "/v1/status"))??)
}

/// Refuses a directory that a flag or a variable names and that is not the one of the daemon: what the
/// daemon says and does is about its own.
pub(super) fn must_be_served(settings: &Settings) -> Result<(), Failure> {
    let given = matches!(settings.origins.get("jobs"), Some((_, Origin::Flag(_) | Origin::Environment(_))));
    if !given {
        return Ok(());
    }
    let source: Option<SourceView> = block_on(client::ask(&settings.state, "/v1/source"))??;
    let Some(root) = source.and_then(|source| source.root) else { return Ok(()) };
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if real(&settings.jobs) == real(Path::new(&root)) {
        return Ok(());
    }
    let (jobs, state) = (settings.jobs.display(), settings.state.display());
    Err(format!(
        "the daemon on `{state}` serves `{root}`, and not `{jobs}`, which `--jobs` or `TINTAL_JOBS` names; leave \
         it out, or name the state directory of the daemon that you mean with `--state`"
    )
    .into())
}
