//! Random edits, failed calls, lost replies and tampering, from fixed seeds.
//!
//! Always: no step on a tier that was not seen, none on a frozen job; no wanted or frozen job that
//! was held before a pass is held nowhere after it; no more leave than the guard lets through, and
//! none while it is not known what is asked for; a tree that has nothing in common with what is held
//! changes nothing. Once the trouble ends: two passes reach the desired
//! state and the third has nothing to do; a person is asked only where the guard rightly refuses.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};
use tintal::{
    backend::{
        Backend,
        fake::{Call, Fake},
    },
    engine::reconcile::{self, Pass},
    load::{Input, Loader},
    manifest::{
        characteristics::Tier,
        digest::Digest,
        file::{Content, ManifestFile},
        name::JobName,
        spec::Spec,
    },
    plan::{
        desired::desired,
        diff::{Desired, Placement, Rest, Scanned, Wanted},
        document::Verb,
        guard::{Allowance, PRUNE_FREE, PRUNE_SHARE},
    },
    tier::{LedgerKind, Queues, Tiers},
};

const SEEDS: u64 = 300;
const ROUNDS: usize = 20;

/// Enough for the guard to have something to hold back.
const JOBS: usize = 14;

/// A fake for each tier.
struct World {
    fakes: Vec<Arc<Fake>>,
    backends: Vec<Arc<dyn Backend>>,
}

impl World {
    fn new() -> Self {
        let fakes: Vec<Arc<Fake>> = Tier::ALL.into_iter().map(|tier| Arc::new(Fake::new(tier))).collect();
        let backends = fakes.iter().map(|fake| Arc::clone(fake) as Arc<dyn Backend>).collect();
        Self { fakes, backends }
    }

    fn placements(&self) -> BTreeMap<Placement, Digest> {
        let held = self.fakes.iter().flat_map(|fake| fake.held());
        held.map(|(placement, held)| (placement, held.actual)).collect()
    }

    fn jobs(&self) -> BTreeSet<JobName> {
        self.placements().into_keys().map(|placement| placement.job).collect()
    }

    /// Faults are scripted call by call: a tier that is down for the whole pass would hide a step on
    /// a tier that was not seen, since the step would fail as well.
    fn trouble(&self, rng: &mut SmallRng) {
        for fake in &self.fakes {
            fake.script(std::array::from_fn::<Call, 24, _>(|_| match rng.random_range(0..6) {
                0 => Call::Lost,
                1 => Call::ReplyLost,
                _ => Call::Answered,
            }));
        }
        let fake = &self.fakes[rng.random_range(0..3)];
        let placements: Vec<Placement> = fake.held().into_keys().collect();
        if !placements.is_empty() {
            let digest = Digest::from_bytes([u8::try_from(rng.next_u32() % 256).unwrap(); 32]);
            fake.tamper(&placements[rng.random_range(0..placements.len())], digest);
        }
    }

    fn end_of_trouble(&self) {
        self.fakes.iter().for_each(|fake| fake.script([]));
    }

    /// A pass, and what must hold of every one.
    async fn pass(&self, desired: &Desired, allowance: Allowance, at: &str) -> Pass {
        let before = self.jobs();
        let is_another = self.is_another(desired);
        let pass = reconcile::pass(desired, &self.backends, allowance).await;
        let after = self.jobs();

        for step in pass.done.iter().chain(pass.failed.iter().map(|(step, _)| step)) {
            let unseen = pass.unseen.iter().any(|error| error.tier() == step.placement.tier);
            assert!(!unseen, "{at}: {step}, unseen");
            assert!(!desired.frozen.contains(&step.placement.job), "{at}: {step}, frozen");
        }
        let left: BTreeSet<&JobName> = before.difference(&after).collect();
        let kept = |job: &&&JobName| desired.jobs.contains_key(job) || desired.frozen.contains(**job);
        assert_eq!(left.iter().find(kept), None, "{at}: wanted or frozen, and nowhere");
        let union = before.union(&after).count();
        let most = match allowance {
            _ if desired.scan.rest == Rest::Moving => 0,
            Allowance::UpTo(count) => count,
            Allowance::Guarded if !desired.obscured.is_empty() => 0,
            Allowance::Guarded => PRUNE_FREE.max(union / PRUNE_SHARE),
        };
        assert!(left.len() <= most, "{at}: {left:?} left, and at most {most} may");
        if is_another && allowance < Allowance::UpTo(before.len()) && pass.unseen.is_empty() {
            assert_eq!(before, after, "{at}: another tree was applied");
        }
        let emptied = !before.is_empty() && after.is_empty();
        assert!(!emptied || allowance != Allowance::Guarded, "{at}: nothing is left");
        pass
    }

    /// Whether nothing that is held is asked for, under whatever name, and it is more than one job.
    fn is_another(&self, desired: &Desired) -> bool {
        let jobs = self.jobs();
        let nameless = |spec: &Spec| {
            let name = JobName::parse("any").unwrap();
            Digest::of(&Spec { name, ..spec.clone() })
        };
        let asked: BTreeSet<Digest> = desired.jobs.values().map(|wanted| nameless(&wanted.spec)).collect();
        let held = self.fakes.iter().flat_map(|fake| fake.held()).filter_map(|(_, held)| held.spec);
        jobs.len() > 1
            && !desired.jobs.is_empty()
            && desired.obscured.is_empty()
            && !jobs.iter().any(|job| desired.jobs.contains_key(job) || desired.frozen.contains(job))
            && !held.into_iter().any(|spec| asked.contains(&nameless(&spec)))
    }

    /// The trouble is over, and the tree can be read: what the daemon does until it rests.
    async fn settle(&self, desired: &Desired, at: &str) {
        self.end_of_trouble();
        let held = self.jobs();
        let stays = |job: &&JobName| desired.jobs.contains_key(job) || desired.frozen.contains(*job);
        let leaving = held.iter().filter(|job| !stays(job)).count();
        let union = held.iter().chain(desired.jobs.keys()).collect::<BTreeSet<_>>().len();
        let is_another = self.is_another(desired);
        let is_refused =
            is_another || leaving > PRUNE_FREE.max(union / PRUNE_SHARE) || (leaving > 0 && leaving == union);

        let first = self.pass(desired, Allowance::Guarded, at).await;
        let held_back = |change| first.held_back.iter().filter(|held| held.change == change).count();
        assert_eq!(held_back(Verb::Prune), if is_refused { leaving } else { 0 }, "{at}");
        // Beside those of another tree, only what is held under another name waits.
        let waiting = if is_another { desired.jobs.len()..=desired.jobs.len() } else { 0..=leaving };
        assert!(waiting.contains(&held_back(Verb::Put)), "{at}: {:?}", first.held_back);
        assert!(is_refused || first.held_back.is_empty(), "{at}");
        if is_refused {
            self.pass(desired, Allowance::UpTo(leaving), at).await;
        }
        self.pass(desired, Allowance::Guarded, at).await;
        let third = self.pass(desired, Allowance::Guarded, at).await;
        assert!(third.is_converged(), "{at}: the third pass still does {:?}", third.done);

        let wanted: BTreeMap<Placement, Digest> = desired
            .jobs
            .iter()
            .map(|(job, wanted)| (Placement { job: job.clone(), tier: wanted.tier }, wanted.digest))
            .collect();
        let mut held = self.placements();
        held.retain(|placement, _| !desired.frozen.contains(&placement.job));
        assert_eq!(held, wanted, "{at}");
    }
}

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

fn wanted(name: &str, version: u32, tier: Tier) -> (JobName, Wanted) {
    let spec = spec(name, version);
    let wanted = Wanted { tier, digest: Digest::of(&spec), spec, file: "jobs.yaml".into(), document: 0 };
    (JobName::parse(name).unwrap(), wanted)
}

fn edit(desired: &mut Desired, rng: &mut SmallRng) {
    if rng.random_range(0..8) == 0 {
        // A clean-up, or a disk that is gone.
        let few = desired.jobs.iter().filter(|_| rng.random_range(0..4) == 0);
        desired.jobs = few.map(|(name, wanted)| (name.clone(), wanted.clone())).collect();
        desired.frozen.clear();
    }
    for _ in 0..rng.random_range(0..6) {
        let name = format!("job-{}", rng.random_range(0..JOBS));
        let job = JobName::parse(&name).unwrap();
        desired.jobs.remove(&job);
        desired.frozen.remove(&job);
        match rng.random_range(0..6) {
            0 => {}
            // A manifest that breaks: no longer wanted as it is, and frozen.
            1 => drop(desired.frozen.insert(job)),
            _ => {
                let tier = Tier::ALL[rng.random_range(0..3)];
                desired.jobs.extend([wanted(&name, rng.random_range(0..3), tier)]);
            }
        }
    }
    desired.obscured = if rng.random_range(0..5) == 0 { vec!["dark.yaml".to_owned()] } else { Vec::new() };
    desired.scan.rest = if rng.random_range(0..8) == 0 { Rest::Moving } else { Rest::Settled };
}

/// F12, F33.
#[tokio::test]
async fn passes_are_safe_under_trouble_and_converge_after_it() {
    for seed in 0..SEEDS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let world = World::new();
        let mut desired = Desired::default();
        for round in 0..ROUNDS {
            edit(&mut desired, &mut rng);
            world.trouble(&mut rng);
            let allowance = match rng.random_range(0..10) {
                0 => Allowance::UpTo(rng.random_range(0..JOBS)),
                _ => Allowance::Guarded,
            };
            world.pass(&desired, allowance, &format!("seed {seed}, round {round}")).await;
        }
        desired.obscured.clear();
        desired.scan.rest = Rest::Settled;
        world.settle(&desired, &format!("seed {seed}, after the trouble")).await;
    }
}

/// The files of a tree: path, and what is in it.
type Files = BTreeMap<String, Content>;

fn valid(rng: &mut SmallRng) -> String {
    let schedule = ["every: 30s", "every: 1h", "cron: \"0 3 * * *\"", "cron: \"*/5 * * * *\""];
    let traits =
        ["{}", "{infrastructure: distributed}", "{visibility: user-facing}", "{durability: persistent}"];
    format!(
        "schedule: {{{}}}\nrun: {{command: [echo, v{}]}}\ncharacteristics: {}\n",
        schedule[rng.random_range(0..schedule.len())],
        rng.random_range(0..3),
        traits[rng.random_range(0..traits.len())],
    )
}

fn edit_files(files: &mut Files, rng: &mut SmallRng) {
    let text = |text: &str| Content::Text(text.into());
    if rng.random_range(0..10) == 0 {
        files.retain(|_, _| rng.random_range(0..4) == 0);
    }
    for _ in 0..rng.random_range(0..5) {
        let path = format!("job-{}.yaml", rng.random_range(0..JOBS));
        let content = match rng.random_range(0..12) {
            0 | 1 => {
                files.remove(&path);
                continue;
            }
            2 => text("schedule: {every: 1s\n"),
            3 => text("schedule: {cron: \"0 25 * * *\"}\nrun: {command: [x]}\n"),
            4 => text("run: {comand: [x]}\n"),
            5 => Content::NotText { offset: 0, encoding: None },
            6 => Content::Unreadable { reason: "permission denied".to_owned() },
            _ => Content::Text(valid(rng).into()),
        };
        files.insert(path, content);
    }
    match rng.random_range(0..8) {
        0 => drop(files.insert("_defaults.yaml".to_owned(), text("kind: defaults\nlabels: {team: a}\n"))),
        1 => drop(files.insert("_defaults.yaml".to_owned(), text("kind: defaults\nlables: {}\n"))),
        2 => drop(files.remove("_defaults.yaml")),
        _ => {}
    }
}

fn load(loader: &mut Loader, files: &Files, rest: Rest) -> Desired {
    let hash = |content: &Content| *blake3::hash(format!("{content:?}").as_bytes()).as_bytes();
    let files: Vec<Arc<ManifestFile>> = files
        .iter()
        .map(|(path, content)| {
            let content_hash = hash(content);
            Arc::new(ManifestFile { path: path.as_str().into(), content_hash, content: content.clone() })
        })
        .collect();
    let now: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
    let tree = loader.load(&Input { files: &files, above: &[], unreadable: &[], prefix: "", now });
    desired(&tree, Scanned { tree: [0; 32], rest })
}

fn loader() -> Loader {
    Loader::new(
        Tiers { configured: Tier::ALL.to_vec(), ledger: LedgerKind::File, queues: Queues::default() },
        1,
    )
}

/// F6, F12, F15.
#[tokio::test]
async fn trees_of_manifests_keep_their_jobs_under_trouble_and_converge_after_it() {
    for seed in 0..SEEDS / 3 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (world, mut files, mut reader) = (World::new(), Files::new(), loader());
        for round in 0..ROUNDS {
            let at = format!("seed {seed}, round {round}");
            edit_files(&mut files, &mut rng);
            world.trouble(&mut rng);
            let before = world.jobs();
            let rest = if rng.random_range(0..8) == 0 { Rest::Moving } else { Rest::Settled };
            world.pass(&load(&mut reader, &files, rest), Allowance::Guarded, &at).await;
            // Whatever is in its file: as long as that is there, the job is.
            let after = world.jobs();
            let lost =
                before.iter().find(|job| files.contains_key(&format!("{job}.yaml")) && !after.contains(*job));
            assert_eq!(lost, None, "{at}: its file is there, and it is not");
        }
        for content in
            files.iter_mut().filter(|(path, _)| path.starts_with("job")).map(|(_, content)| content)
        {
            *content = Content::Text(valid(&mut rng).into());
        }
        files.remove("_defaults.yaml");
        let at = format!("seed {seed}, after the trouble");
        let wanted = load(&mut reader, &files, Rest::Settled);
        assert_eq!(wanted.jobs.len(), files.len(), "{at}");
        world.settle(&wanted, &at).await;
        // A loader that knows nothing, as after a restart, asks for the same.
        let again = world.pass(&load(&mut loader(), &files, Rest::Settled), Allowance::Guarded, &at).await;
        assert!(again.is_converged(), "{at}: {:?}", again.done);
    }
}

#[tokio::test]
async fn a_failed_step_does_not_stop_the_others() {
    let fake = Arc::new(Fake::new(Tier::InProcess));
    let backends: Vec<Arc<dyn Backend>> = vec![Arc::clone(&fake) as Arc<dyn Backend>];
    let jobs = ["a", "b", "c"].map(|name| wanted(name, 1, Tier::InProcess));
    let desired = Desired { jobs: jobs.into_iter().collect(), ..Desired::default() };
    // The first call is `observe`; of the three puts the first fails.
    fake.script([Call::Answered, Call::Lost]);
    let pass = reconcile::pass(&desired, &backends, Allowance::Guarded).await;
    assert_eq!((pass.done.len(), pass.failed.len()), (2, 1));
}

#[tokio::test]
async fn what_is_left_undone_is_told_job_by_job() {
    let fakes = [Tier::InProcess, Tier::Queue].map(|tier| Arc::new(Fake::new(tier)));
    let backends: Vec<Arc<dyn Backend>> = fakes.clone().into_iter().map(|fake| fake as _).collect();
    let jobs =
        [wanted("a", 1, Tier::InProcess), wanted("b", 1, Tier::InProcess), wanted("away", 1, Tier::Queue)];
    let desired = Desired { jobs: jobs.into_iter().collect(), ..Desired::default() };
    let undone = |pass: &Pass| {
        let names = pass.undone(&desired);
        names.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    fakes[0].script([Call::Answered, Call::Answered, Call::Lost]);
    fakes[1].script([Call::Lost]);
    let pass = reconcile::pass(&desired, &backends, Allowance::Guarded).await;
    assert_eq!((undone(&pass), pass.is_unfinished()), (vec!["away".to_owned(), "b".to_owned()], true));
    let pass = reconcile::pass(&desired, &backends, Allowance::Guarded).await;
    assert_eq!((undone(&pass), pass.is_unfinished()), (Vec::new(), false));
    // What waits for a person is not done either.
    let other =
        Desired { jobs: [wanted("other", 2, Tier::InProcess)].into_iter().collect(), ..Desired::default() };
    let pass = reconcile::pass(&other, &backends, Allowance::Guarded).await;
    assert_eq!((undone(&pass), pass.is_unfinished()), (vec!["other".to_owned()], false));
}

/// The guard lets the rename of the only job through because of the put; when that fails, the old
/// job is all there is.
#[tokio::test]
async fn a_put_that_fails_does_not_cost_the_only_job() {
    let fake = Arc::new(Fake::new(Tier::InProcess));
    let backends: Vec<Arc<dyn Backend>> = vec![Arc::clone(&fake) as Arc<dyn Backend>];
    let asks = |name: &str| Desired {
        jobs: [wanted(name, 1, Tier::InProcess)].into_iter().collect(),
        ..Desired::default()
    };
    reconcile::pass(&asks("old"), &backends, Allowance::Guarded).await;
    fake.script([Call::Answered, Call::Lost]);
    let pass = reconcile::pass(&asks("new"), &backends, Allowance::Guarded).await;
    assert_eq!((pass.failed.len(), pass.held_back.len(), fake.held().len()), (1, 1, 1));
    let pass = reconcile::pass(&asks("new"), &backends, Allowance::Guarded).await;
    let done: Vec<String> = pass.done.iter().map(ToString::to_string).collect();
    assert_eq!(done, ["create new on in-process", "prune old on in-process"]);
}
