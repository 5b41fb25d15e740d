//! Random edits, failed calls and tampering, from fixed seeds.
//!
//! Always: no step on a tier that was not seen, no step on a frozen job, no wanted job that was
//! held before a pass and is held nowhere after it. Once the trouble ends: two passes reach the
//! desired state and the third has nothing to do.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};
use tintal::{
    backend::{Backend, fake::Fake},
    engine::reconcile,
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    plan::{
        diff::{Desired, Placement, Wanted},
        guard::Allowance,
    },
};

const SEEDS: u64 = 300;
const ROUNDS: usize = 20;

fn spec(name: &str, version: u32) -> Arc<Spec> {
    let spec = serde_json::json!({
        "name": name, "description": version.to_string(), "enabled": true,
        "run": {"action": {"command": ["true"]}},
        "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
        "policy": {
            "overlap": "skip", "max_running": 1, "kill_grace": "10s",
            "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1s", "jitter": 0.0, "on": []}
        }
    });
    Arc::new(serde_json::from_value(spec).unwrap())
}

fn edit(desired: &mut Desired, rng: &mut SmallRng) {
    for _ in 0..rng.random_range(0..4) {
        let name = ["a", "b", "c", "d", "e", "f"][rng.random_range(0..6)];
        let job = JobName::parse(name).unwrap();
        match rng.random_range(0..5) {
            0 => {
                desired.jobs.remove(&job);
                desired.frozen.remove(&job);
            }
            1 => {
                // A manifest that breaks: no longer wanted as it is, and frozen.
                desired.jobs.remove(&job);
                desired.frozen.insert(job);
            }
            _ => {
                let spec = spec(name, rng.random_range(0..3));
                let tier = Tier::ALL[rng.random_range(0..3)];
                desired.frozen.remove(&job);
                desired.jobs.insert(job, Wanted { tier, digest: Digest::of(&spec), spec });
            }
        }
    }
}

fn held_jobs(fakes: &[Arc<Fake>]) -> BTreeSet<JobName> {
    fakes.iter().flat_map(|fake| fake.held().into_keys()).map(|placement| placement.job).collect()
}

fn tamper(fakes: &[Arc<Fake>], rng: &mut SmallRng) {
    let fake = &fakes[rng.random_range(0..3)];
    let placements: Vec<Placement> = fake.held().into_keys().collect();
    if !placements.is_empty() {
        let placement = &placements[rng.random_range(0..placements.len())];
        fake.tamper(placement, Digest::from_bytes([u8::try_from(rng.next_u32() % 256).unwrap(); 32]));
    }
}

#[tokio::test]
async fn passes_are_safe_under_trouble_and_converge_after_it() {
    for seed in 0..SEEDS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let fakes: Vec<Arc<Fake>> = Tier::ALL.into_iter().map(|tier| Arc::new(Fake::new(tier))).collect();
        let backends: Vec<Arc<dyn Backend>> =
            fakes.iter().map(|fake| Arc::clone(fake) as Arc<dyn Backend>).collect();
        let mut desired = Desired::default();

        for round in 0..ROUNDS {
            edit(&mut desired, &mut rng);
            tamper(&fakes, &mut rng);
            let before = held_jobs(&fakes);
            // Faults are scripted call by call: a tier that is down for the whole pass would hide
            // a step on a tier that was not seen, since the step would fail as well.
            for fake in &fakes {
                fake.fail(std::array::from_fn::<bool, 8, _>(|_| rng.random_range(0..3) == 0));
            }
            let pass = reconcile::pass(&desired, &backends, Allowance::Guarded).await;

            let at = format!("seed {seed}, round {round}");
            for step in pass.done.iter().chain(pass.failed.iter().map(|(step, _)| step)) {
                let unseen = pass.unseen.iter().any(|error| error.tier() == step.placement.tier);
                assert!(!unseen, "{at}: {step}, unseen");
                assert!(!desired.frozen.contains(&step.placement.job), "{at}: {step}, frozen");
            }
            let after = held_jobs(&fakes);
            let kept = |job: &&JobName| desired.jobs.contains_key(*job) || desired.frozen.contains(*job);
            let lost = before.iter().filter(kept).find(|job| !after.contains(*job));
            assert_eq!(lost, None, "{at}: wanted or frozen, and nowhere");
        }

        for fake in &fakes {
            fake.fail([]);
        }
        for _ in 0..2 {
            reconcile::pass(&desired, &backends, Allowance::UpTo(usize::MAX)).await;
        }
        let third = reconcile::pass(&desired, &backends, Allowance::Guarded).await;
        assert!(third.is_converged(), "seed {seed}: the third pass still does {:?}", third.done);
        let held: BTreeMap<Placement, Digest> = fakes
            .iter()
            .flat_map(|fake| fake.held())
            .map(|(placement, held)| (placement, held.actual))
            .collect();
        for (job, wanted) in &desired.jobs {
            let placement = Placement { job: job.clone(), tier: wanted.tier };
            assert_eq!(held.get(&placement), Some(&wanted.digest), "seed {seed}: {job} is not as wanted");
        }
    }
}

#[tokio::test]
async fn a_failed_step_does_not_stop_the_others() {
    let fake = Arc::new(Fake::new(Tier::InProcess));
    let backends: Vec<Arc<dyn Backend>> = vec![Arc::clone(&fake) as Arc<dyn Backend>];
    let mut desired = Desired::default();
    for name in ["a", "b", "c"] {
        let spec = spec(name, 1);
        let wanted = Wanted { tier: Tier::InProcess, digest: Digest::of(&spec), spec };
        desired.jobs.insert(JobName::parse(name).unwrap(), wanted);
    }
    // The first call is `observe`; of the three puts the first fails.
    fake.fail([false, true, false, false]);
    let pass = reconcile::pass(&desired, &backends, Allowance::Guarded).await;
    assert_eq!((pass.done.len(), pass.failed.len()), (2, 1));
}

/// The guard lets the rename of the only job through because of the put; when that fails, the old
/// job is all there is.
#[tokio::test]
async fn a_put_that_fails_does_not_cost_the_only_job() {
    let fake = Arc::new(Fake::new(Tier::InProcess));
    let backends: Vec<Arc<dyn Backend>> = vec![Arc::clone(&fake) as Arc<dyn Backend>];
    let asks = |name: &str| {
        let spec = spec(name, 1);
        let wanted = Wanted { tier: Tier::InProcess, digest: Digest::of(&spec), spec };
        Desired { jobs: [(JobName::parse(name).unwrap(), wanted)].into(), ..Desired::default() }
    };
    reconcile::pass(&asks("old"), &backends, Allowance::Guarded).await;
    fake.fail([false, true]);
    let pass = reconcile::pass(&asks("new"), &backends, Allowance::Guarded).await;
    assert_eq!((pass.failed.len(), pass.held_back.len(), fake.held().len()), (1, 1, 1));
    let pass = reconcile::pass(&asks("new"), &backends, Allowance::Guarded).await;
    let done: Vec<String> = pass.done.iter().map(ToString::to_string).collect();
    assert_eq!(done, ["create new on in-process", "prune old on in-process"]);
}
