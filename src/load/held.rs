//! Specs that are held already, so that a job that is asked for as it is held has one spec, and not two.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::manifest::{name::JobName, spec::Spec};

/// By name; each until it is taken.
#[derive(Debug, Default)]
pub(super) struct HeldSpecs(Mutex<HashMap<JobName, Arc<Spec>>>);

impl HeldSpecs {
    /// Adds specs.
    pub(super) fn extend(&self, specs: impl Iterator<Item = Arc<Spec>>) {
        self.specs().extend(specs.map(|spec| (spec.name.clone(), spec)));
    }

    /// The held one, when it is equal.
    pub(super) fn share(&self, spec: Spec) -> Arc<Spec> {
        let held = self.specs().remove(&spec.name);
        held.filter(|held| **held == spec).unwrap_or_else(|| Arc::new(spec))
    }

    /// Lets go of those that nobody took.
    pub(super) fn clear(&self) {
        *self.specs() = HashMap::new();
    }

    fn specs(&self) -> MutexGuard<'_, HashMap<JobName, Arc<Spec>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, enabled: bool) -> Spec {
        serde_json::from_value(serde_json::json!({
            "name": name, "enabled": enabled, "run": {"action": {"builtin": "noop"}},
            "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
            "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s",
                       "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
        }))
        .unwrap()
    }

    #[test]
    fn a_spec_that_is_held_is_taken_once_and_only_by_an_equal_one() {
        let held: Vec<Arc<Spec>> = ["a", "b"].map(|name| Arc::new(spec(name, true))).to_vec();
        let specs = HeldSpecs::default();
        specs.extend(held.iter().cloned());
        assert!(Arc::ptr_eq(&specs.share(spec("a", true)), &held[0]));
        assert!(!Arc::ptr_eq(&specs.share(spec("a", true)), &held[0]));
        assert_eq!(*specs.share(spec("b", false)), spec("b", false));
    }
}
