//! The values that people gave to runs, as they may be shown.

use std::{collections::BTreeMap, sync::Arc};

use super::view::RunsView;
use crate::{execute::conceal::Conceal, manifest::spec::Spec};

/// Takes the secrets of jobs out of the values that their runs were given; `spec_of` knows a job by its
/// name, and none of one that is gone.
pub async fn conceal(view: &mut RunsView, spec_of: impl Fn(&str) -> Option<Arc<Spec>>) {
    let mut known: BTreeMap<String, Option<Conceal>> = BTreeMap::new();
    for run in view.runs.iter_mut().filter(|run| !run.params.is_empty()) {
        if !known.contains_key(&run.job) {
            let spec = spec_of(&run.job).filter(|spec| !spec.run.secrets.is_empty());
            let conceal = match spec {
                Some(spec) => Some(Conceal::of(&spec).await),
                None => None,
            };
            known.insert(run.job.clone(), conceal);
        }
        if let Some(Some(conceal)) = known.get(&run.job) {
            run.params.values_mut().for_each(|value| *value = conceal.shown(value));
        }
    }
}
