//! What is wrong with the meaning of a file of defaults, whatever jobs make of it.

use std::sync::Arc;

use super::{
    fault::{Fault, Written},
    fill::{ScheduleForm, fill},
    meaning::{self, Given},
    queue, templates,
};
use crate::manifest::{
    code::Code,
    defaults::Defaults,
    job::Manifest,
    name::JobName,
    problem::{Problem, Severity, SourceText},
    yaml::Node,
};

/// A job that takes everything over.
const STAND_IN: &str = r#"{"schedule": {"cron": "@daily"}, "run": {"command": ["true"]}}"#;

/// The errors of a file of defaults that no job can mend but by saying otherwise: a zone that does
/// not exist, a duration of zero.
pub(super) fn check(defaults: &Defaults, node: &Node, source: &Arc<SourceText>) -> Vec<Problem> {
    let (Ok(manifest), Ok(name)) = (serde_json::from_str::<Manifest>(STAND_IN), JobName::parse("job")) else {
        return Vec::new();
    };
    let (spec, mut faults) = fill(&name, &manifest, defaults, ScheduleForm::Mapping);
    queue::expiry(defaults.queue.as_ref().and_then(|queue| queue.expire_after.as_ref()), &mut faults);
    templates::check(&spec, templates::ALL, &mut faults);
    let given = Given { manifest: &manifest, defaults, form: ScheduleForm::Mapping };
    meaning::check(&spec, &given, &mut faults);
    let written = Written { source, node, layers: &[] };
    faults
        .into_iter()
        .filter(|fault| stands_alone(fault) && node.at(&fault.pointer).is_some())
        .map(|fault| written.problem(fault, None))
        .collect()
}

/// Whether a fault does not depend on what jobs say.
fn stands_alone(fault: &Fault) -> bool {
    fault.code.severity() == Severity::Error && !matches!(fault.code, Code::FrequencyClash)
}
