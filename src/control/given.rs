//! The values that people gave to runs, as they may be shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join_all;

use super::view::RunsView;
use crate::{execute::conceal::Conceal, manifest::spec::Spec};

/// Takes the secrets of jobs out of the values that their runs were given; `spec_of` knows a job by its
/// name. Of one that it does not know, nobody knows the secrets either, and nothing is shown.
pub async fn conceal(view: &mut RunsView, spec_of: impl Fn(&str) -> Option<Arc<Spec>>) {
    let has_values = view.runs.iter().filter(|run| !run.params.is_empty());
    let jobs: BTreeSet<String> = has_values.map(|run| run.job.clone()).collect();
    // All at once: each may wait for a disk.
    let looked_up = join_all(jobs.into_iter().map(async |job| {
        let conceal = conceal_of(spec_of(&job)).await;
        (job, conceal)
    }));
    let known: BTreeMap<String, Option<Conceal>> = looked_up.await.into_iter().collect();
    for run in &mut view.runs {
        if let Some(Some(conceal)) = known.get(&run.job) {
            run.params.values_mut().for_each(|value| *value = conceal.shown(value));
        }
    }
}

/// What is not to be shown of the values of a job; none when there is nothing to hide.
pub(super) async fn conceal_of(spec: Option<Arc<Spec>>) -> Option<Conceal> {
    match spec {
        None => Some(Conceal::All),
        Some(spec) if spec.run.secrets.is_empty() => None,
        Some(spec) => Some(Conceal::of(&spec).await),
    }
}
