//! The version that a job goes on with while its manifest cannot be used.

use std::sync::Arc;

use super::{Failure, plan::live};
use crate::{
    config::Settings,
    manifest::{digest::Digest, name::JobName, spec::Spec},
};

/// A version that was applied.
#[derive(Debug, Clone)]
pub(super) struct LastGood {
    /// The job as it was then.
    pub(super) spec: Arc<Spec>,
    /// The digest of it.
    pub(super) digest: Digest,
}

/// What was applied last of a job, as the daemon says, or as the ledger says when there is none; none
/// of a job that was never live.
pub(super) fn last_good(settings: &Settings, name: &JobName) -> Result<Option<LastGood>, Failure> {
    let held = live(settings)?.placements.into_iter().find(|(placement, _)| placement.job == *name);
    Ok(held.and_then(|(_, held)| Some(LastGood { spec: held.spec?, digest: held.applied })))
}
