//! Which job has which name: those that the files hold in good order.
//!
//! Kept from load to load, so that to read one file anew costs no look at the jobs of the others.

use std::{collections::BTreeMap, sync::Arc};

use super::{document::FileDocs, tree::Loaded};
use crate::manifest::{name::JobName, roster::Roster};

/// The jobs of all files, by name.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Those whose name no other has.
    single: Roster<Arc<Loaded>>,
    /// The others, in the order of the places where they are written; at least two of a name.
    doubles: BTreeMap<JobName, Vec<Arc<Loaded>>>,
}

impl Claims {
    /// The jobs whose name no other job has.
    pub(super) fn single(&self) -> &Roster<Arc<Loaded>> {
        &self.single
    }

    /// The names that several jobs have.
    pub(super) fn contested(&self) -> impl Iterator<Item = &JobName> {
        self.doubles.keys()
    }

    /// The jobs of a name, in the order of the places where they are written.
    pub(super) fn of(&self, name: &JobName) -> &[Arc<Loaded>] {
        match self.doubles.get(name) {
            Some(jobs) => jobs,
            None => self.single.get(name).map(std::slice::from_ref).unwrap_or_default(),
        }
    }

    /// Takes in the jobs of a file.
    pub(super) fn add(&mut self, docs: &FileDocs) {
        for job in jobs(docs) {
            let name = &job.spec.name;
            let Some(doubles) = self.doubles.get_mut(name) else {
                if let Some(other) = self.single.insert(name.clone(), Arc::clone(job)) {
                    self.single.remove(name);
                    let mut both = vec![other, Arc::clone(job)];
                    both.sort_by(|a, b| place(a).cmp(&place(b)));
                    self.doubles.insert(name.clone(), both);
                }
                continue;
            };
            let at = doubles.partition_point(|other| place(other) < place(job));
            doubles.insert(at, Arc::clone(job));
        }
    }

    /// Drops the jobs of a file that is gone, or is read anew.
    pub(super) fn remove(&mut self, docs: &FileDocs) {
        for job in jobs(docs) {
            let name = &job.spec.name;
            let Some(doubles) = self.doubles.get_mut(name) else {
                self.single.remove(name);
                continue;
            };
            doubles.retain(|other| !Arc::ptr_eq(other, job));
            if let [last] = doubles.as_slice() {
                self.single.insert(name.clone(), Arc::clone(last));
                self.doubles.remove(name);
            }
        }
    }
}

fn jobs(docs: &FileDocs) -> impl Iterator<Item = &Arc<Loaded>> {
    docs.docs.iter().filter_map(|doc| doc.job.as_ref())
}

/// Where a job is written: places compare as the files and documents do.
fn place(job: &Loaded) -> (&str, u32) {
    (&job.origin.path, job.origin.document)
}
