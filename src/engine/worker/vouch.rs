//! What vouches for a message: a key that signed it, or the worker's own copy of the manifests. A command
//! that neither vouches for is never run.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    backend::queue::{envelope::Envelope, signature::Vouched},
    manifest::{digest::Digest, name::JobName, spec::Spec},
    schedule::told::{self, Answers},
};

/// Between two readings of the manifests for a job that is not known as it is asked for: a checkout takes
/// a while to follow, and the disk is not read for every message.
const READ_EVERY: Duration = Duration::from_secs(5);

/// Reads the worker's own manifests: each job with its digest.
pub type ReadJobs = dyn Fn() -> Jobs + Send + Sync;

/// Jobs as manifests ask for them.
pub type Jobs = BTreeMap<JobName, (Digest, Arc<Spec>)>;

/// What vouches for messages.
pub enum Vouch {
    /// They come out of this process's own ledger, which nobody else writes.
    Own,
    /// A key that is known, or the worker's own manifests.
    Outside {
        /// The worker's own manifests, if it has any.
        checkout: Option<Checkout>,
    },
}

/// The worker's own manifests.
pub struct Checkout {
    read: Box<ReadJobs>,
    known: Mutex<Known>,
}

struct Known {
    jobs: Jobs,
    read_at: Instant,
}

/// An attempt that is vouched for.
#[derive(Debug, Clone)]
pub struct Task {
    /// What an attempt is made of.
    pub spec: Arc<Spec>,
    /// The zone that templates tell the fire time in.
    pub timezone: String,
}

/// Why a message is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// It is for another program.
    ForOthers,
    /// Nobody vouches for it, and nobody will.
    Never(String),
    /// The worker's manifests may be behind the daemon's.
    NotYet(String),
}

impl fmt::Debug for Vouch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vouch")
    }
}

impl Checkout {
    /// The manifests that `read` gives, read now.
    #[must_use]
    pub fn new(read: Box<ReadJobs>) -> Self {
        let known = Mutex::new(Known { jobs: read(), read_at: Instant::now() });
        Self { read, known }
    }

    /// The job, if its manifest asks for it as it was when it had this digest.
    fn find(&self, job: &JobName, digest: Digest) -> Result<Arc<Spec>, Doubt> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = known.jobs.get(job).is_some_and(|(found, _)| *found == digest);
        if !is_known && known.read_at.elapsed() >= READ_EVERY {
            *known = Known { jobs: (self.read)(), read_at: Instant::now() };
        }
        match known.jobs.get(job) {
            Some((found, spec)) if *found == digest => Ok(Arc::clone(spec)),
            Some(_) => Err(Doubt::NotYet(format!("the manifest of `{job}` here asks for something else"))),
            None => Err(Doubt::NotYet(format!("there is no manifest of `{job}` here"))),
        }
    }
}

impl Vouch {
    /// What is to be run, if somebody vouches for it.
    ///
    /// # Errors
    ///
    /// As [`Doubt`] says.
    pub fn check(&self, envelope: &Envelope, vouched: Vouched) -> Result<Task, Doubt> {
        let Some(work) = &envelope.action else { return Err(Doubt::ForOthers) };
        let timezone = work.timezone.clone();
        match (self, vouched) {
            (Self::Own, _) | (_, Vouched::Signed) => {
                Ok(Task { spec: work.clone().into_spec(envelope.job.clone()), timezone })
            }
            (Self::Outside { checkout: None }, Vouched::Unsigned) => Err(Doubt::Never(
                "nobody vouches for it: it is not signed, and this worker has no manifests (`--jobs`)"
                    .to_owned(),
            )),
            (Self::Outside { checkout: Some(checkout) }, Vouched::Unsigned) => {
                let spec = checkout.find(&envelope.job, envelope.digest)?;
                // Of the message, which anybody may have written, only what names the run is taken.
                if work.params != spec.params {
                    return Err(Doubt::Never(
                        "it has parameters of its own and is not signed; share a key for runs with parameters"
                            .to_owned(),
                    ));
                }
                let answers = Answers::Instant;
                let zone = told::zone(&spec.name, &spec.schedule, envelope.fire_time, answers).to_owned();
                Ok(Task { spec, timezone: zone })
            }
        }
    }
}
