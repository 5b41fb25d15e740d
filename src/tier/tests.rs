//! The whole matrix, every pin, and what must hold of any choice.

use super::{
    matrix::row,
    queues::{BackendKind, Queues},
    *,
};
use crate::manifest::characteristics::{Complexity, Durability, Frequency, Infrastructure, Tier, Visibility};

const MATRIX: &str = include_str!("../../tests/classification_matrix.csv");

fn all() -> Tiers {
    Tiers { configured: Tier::ALL.to_vec(), ledger: LedgerKind::File, queues: Queues::default() }
}

#[test]
fn the_72_combinations_are_those_of_the_matrix() {
    let rows: Vec<String> = Traits::every().map(|traits| row(&traits).join(",")).collect();
    let expected: Vec<&str> = MATRIX.lines().skip(1).collect();
    assert_eq!(rows, expected);
    let count = |tier: &str| rows.iter().filter(|row| row.split(',').nth(5) == Some(tier)).count();
    assert_eq!((count("in-process"), count("queue"), count("workflow")), (9, 15, 48));
}

#[test]
fn the_tables_hold_every_rule_and_every_warning() {
    let rules: Vec<&str> =
        std::iter::once(rules::PIN.id).chain(RULES.map(|rule| rule.id)).map(RuleId::as_str).collect();
    assert_eq!(rules, ["R0", "R1", "R2", "R3", "R4", "R5", "R6"]);
    let warnings: Vec<&str> =
        rules::CAUTIONS.iter().map(|caution| caution.id).chain([rules::CLASH.id]).collect();
    assert_eq!(warnings, ["W1", "W2", "W3", "W4", "W5", "W6"]);
}

/// A job of ours whose messages would go to a backend that all reach.
fn plain(traits: Traits) -> Asked {
    Asked { traits, pin: None, run_by: RunBy::Us, backend: BackendKind::RedisStreams }
}

/// Each of the two kinds of job with each of the two kinds of backend.
fn every_kind(traits: Traits) -> impl Iterator<Item = Asked> {
    [RunBy::Us, RunBy::Consumer].into_iter().flat_map(move |run_by| {
        let backends = [BackendKind::Embedded, BackendKind::RedisStreams];
        backends.into_iter().map(move |backend| Asked { run_by, backend, ..plain(traits) })
    })
}

/// Every set of configured tiers with either ledger.
fn every_setting() -> impl Iterator<Item = Tiers> {
    (0_u8..8).flat_map(|set| {
        let configured = Tier::ALL.into_iter().zip(0..).filter(move |(_, bit)| set & (1 << bit) != 0);
        let configured: Vec<Tier> = configured.map(|(tier, _)| tier).collect();
        [LedgerKind::File, LedgerKind::Memory].map(|ledger| Tiers {
            configured: configured.clone(),
            ledger,
            queues: Queues::default(),
        })
    })
}

/// Why a tier cannot take a job, said once more in other words than the code's.
fn expected_hindrance(tier: Tier, asked: &Asked, tiers: &Tiers) -> Option<Hindrance> {
    let traits = &asked.traits;
    let embedded = asked.backend == BackendKind::Embedded;
    let volatile = tiers.ledger == LedgerKind::Memory && traits.durability == Durability::Persistent;
    match tier {
        _ if !tiers.configured.contains(&tier) => Some(Hindrance::NotConfigured),
        Tier::InProcess | Tier::Workflow if asked.run_by == RunBy::Consumer => Some(Hindrance::NoConsumer),
        Tier::Queue if embedded && asked.run_by == RunBy::Consumer => Some(Hindrance::BackendNotShared),
        Tier::Queue if embedded && traits.infrastructure == Infrastructure::Distributed => {
            Some(Hindrance::BackendNotReached)
        }
        Tier::Queue if embedded && volatile => Some(Hindrance::NotDurable),
        Tier::InProcess if traits.infrastructure == Infrastructure::Distributed => {
            Some(Hindrance::NotDistributed)
        }
        Tier::InProcess if volatile => Some(Hindrance::NotDurable),
        _ => None,
    }
}

/// All 72 combinations with no pin and with each, under every setting: a pin wins or is refused and is
/// never replaced, and the answer is about the tier that the job goes to.
#[test]
fn every_job_with_every_pin_gets_its_tier_or_a_reason() {
    for tiers in every_setting() {
        for asked in Traits::every().flat_map(every_kind) {
            for pin in std::iter::once(None).chain(Tier::ALL.map(Some)) {
                let asked = Asked { pin, ..asked };
                let shown = format!("{asked:?}, {tiers:?}");
                match classify(&asked, &tiers) {
                    Ok(classified) => {
                        assert_eq!(expected_hindrance(classified.tier, &asked, &tiers), None, "{shown}");
                        assert_eq!(classified.pinned, pin.is_some(), "{shown}");
                        assert_eq!(pin.is_some(), classified.rule == RuleId::R0, "{shown}");
                        assert!(pin.is_none_or(|pin| pin == classified.tier), "{shown}");
                        says_all(&classified.considered, Some(classified.tier), &shown);
                    }
                    Err(refusal) => {
                        match &refusal.kind {
                            RefusalKind::Pin { tier, hindrance } => {
                                assert_eq!(pin, Some(*tier), "{shown}");
                                let expected = expected_hindrance(*tier, &asked, &tiers);
                                assert_eq!(expected, Some(*hindrance), "{shown}");
                            }
                            RefusalKind::NoTier { hindrances } => {
                                assert_eq!((pin, hindrances.len()), (None, Tier::ALL.len()), "{shown}");
                            }
                        }
                        says_all(&refusal.considered, None, &shown);
                    }
                }
            }
        }
    }
}

/// Of every tier it is said what came of it, and of one what the rules choose.
#[track_caller]
fn says_all(considered: &[Considered], chosen: Option<Tier>, shown: &str) {
    assert_eq!(considered.iter().map(|each| each.tier).collect::<Vec<_>>(), Tier::ALL, "{shown}");
    let said: Vec<Tier> =
        considered.iter().filter(|each| each.verdict == Verdict::Chosen).map(|each| each.tier).collect();
    assert_eq!(said, chosen.into_iter().collect::<Vec<_>>(), "{shown}");
    assert!(considered.iter().all(|each| !each.why.is_empty()), "{shown}");
    let by_rules = considered.iter().filter(|each| each.why.contains(") chooses it")).count();
    let stands_in = considered.iter().any(|each| each.why.contains("stands in"));
    assert!(by_rules == 1 || stands_in && by_rules == 0, "{shown}: {considered:?}");
}

/// Asking for more at the same frequency never leads to a lighter tier, whatever is configured. To be
/// refused counts as heavier than every tier.
#[test]
fn the_choice_is_monotone() {
    for tiers in every_setting() {
        let weigh = |asked: &Asked| {
            classify(asked, &tiers).map_or((true, None), |classified| (false, Some(classified.tier)))
        };
        let weight = |traits: &Traits| every_kind(*traits).map(|asked| weigh(&asked)).collect::<Vec<_>>();
        for less in Traits::every() {
            for more in Traits::every() {
                let grows = less.frequency == more.frequency
                    && less.visibility <= more.visibility
                    && less.complexity <= more.complexity
                    && less.durability <= more.durability
                    && less.infrastructure <= more.infrastructure;
                let is_lighter = || weight(&less).iter().zip(weight(&more)).any(|(less, more)| *less > more);
                assert!(!grows || !is_lighter(), "{less:?} {more:?} {tiers:?}");
            }
        }
    }
}

/// `traits` are the words that differ from a simple, internal, ephemeral and local job at low
/// frequency; `tiers` the configured ones. The answer is `tier: warnings`.
#[track_caller]
fn warns(traits: &str, pin: Option<Tier>, tiers: &[Tier], expected: &str) {
    let has = |word: &str| traits.split(' ').any(|other| other == word);
    let job = Traits {
        frequency: if has("high") { Frequency::High } else { Frequency::Low },
        visibility: if has("user-facing") { Visibility::UserFacing } else { Visibility::Internal },
        complexity: match () {
            () if has("dag") => Complexity::Dag,
            () if has("complex") => Complexity::Complex,
            () => Complexity::Simple,
        },
        durability: if has("persistent") { Durability::Persistent } else { Durability::Ephemeral },
        infrastructure: if has("distributed") { Infrastructure::Distributed } else { Infrastructure::Local },
    };
    let tiers = Tiers { configured: tiers.to_vec(), ledger: LedgerKind::File, queues: Queues::default() };
    let classified = classify(&Asked { pin, ..plain(job) }, &tiers).unwrap();
    let ids: Vec<&str> = classified.warnings.iter().map(|warning| warning.id).collect();
    assert_eq!(format!("{}: {}", classified.tier, ids.join(" ")), expected, "{traits}, {pin:?}, {tiers:?}");
}

#[test]
#[rustfmt::skip]
fn a_warning_is_about_the_tier_that_the_job_is_on() {
    use Tier::{InProcess, Queue, Workflow};
    let all = &Tier::ALL;
    //    traits                    pin              configured      tier: warnings
    // As the rules choose.
    warns("high user-facing",       None,            all,            "workflow: W1");
    warns("high distributed",       None,            all,            "queue: W2");
    warns("high dag distributed",   None,            all,            "queue: W2 W3");
    warns("high persistent",        None,            all,            "in-process: W4");
    warns("high dag",               None,            all,            "in-process: W5");
    // Where something stands in.
    warns("dag",                    None,            &[InProcess],   "in-process: W5");
    warns("complex persistent",     None,            &[InProcess],   "in-process: W4 W5");
    warns("persistent",             None,            &[InProcess],   "in-process: W4");
    warns("persistent",             None,            &[Workflow],    "workflow: ");
    warns("high user-facing",       None,            &[InProcess],   "in-process: W1");
    warns("high user-facing dag",   None,            &[Queue],       "queue: W1 W2 W3");
    warns("high dag",               None,            &[Queue],       "queue: W2 W3");
    warns("high distributed",       None,            &[Workflow],    "workflow: ");
    // As the manifest pins.
    warns("high dag",               Some(Workflow),  all,            "workflow: ");
    warns("dag persistent",         Some(InProcess), all,            "in-process: W4 W5");
    warns("high",                   Some(Queue),     all,            "queue: W2");
    warns("high user-facing",       Some(InProcess), all,            "in-process: W1");
}

#[test]
fn what_the_rules_would_choose_is_said_of_a_pinned_job() {
    let only = Tiers { configured: vec![Tier::InProcess], ..all() };
    let why = |traits: &Traits, pin: Tier, tiers: &Tiers, of: usize| {
        let considered = match classify(&Asked { pin: Some(pin), ..plain(*traits) }, tiers) {
            Ok(classified) => classified.considered,
            Err(refusal) => refusal.considered,
        };
        format!("{}, {}", considered[of].verdict.as_str(), considered[of].why)
    };
    let simple = Traits {
        frequency: Frequency::Low,
        visibility: Visibility::Internal,
        complexity: Complexity::Simple,
        durability: Durability::Ephemeral,
        infrastructure: Infrastructure::Local,
    };
    let shown = Traits { visibility: Visibility::UserFacing, ..simple };
    for (traits, pin, tiers, of, expected) in [
        (
            &shown,
            Tier::InProcess,
            &only,
            2,
            "passed over, R1 (user-facing) chooses it, but the manifest pins another",
        ),
        (&shown, Tier::InProcess, &only, 0, "chosen, the manifest pins it"),
        (
            &simple,
            Tier::InProcess,
            &only,
            0,
            "chosen, the manifest pins it, and R6 (everything else) chooses it too",
        ),
        (
            &simple,
            Tier::Queue,
            &only,
            0,
            "passed over, R6 (everything else) chooses it, but the manifest pins another",
        ),
        (&simple, Tier::Queue, &only, 1, "passed over, the manifest pins it, but it is not configured"),
    ] {
        assert_eq!(why(traits, pin, tiers, of), expected, "{pin}");
    }
}

#[test]
fn on_a_fresh_machine_in_process_stands_in() {
    let only = Tiers { configured: vec![Tier::InProcess], ..all() };
    for traits in Traits::every().filter(|traits| traits.infrastructure == Infrastructure::Local) {
        let tier = classify(&plain(traits), &only).map(|classified| classified.tier);
        assert_eq!(tier, Ok(Tier::InProcess), "{traits:?}");
    }
}

#[test]
fn a_message_goes_to_a_queue_that_others_reach() {
    let asked = |backend, pin| Asked {
        pin,
        run_by: RunBy::Consumer,
        backend,
        ..plain(Traits::every().last().unwrap())
    };
    let shown = |asked: &Asked| match classify(asked, &all()) {
        Ok(classified) => format!("{} by {}: {}", classified.tier, classified.rule, classified.why),
        Err(Refusal { kind: RefusalKind::Pin { hindrance, .. }, .. }) => hindrance.as_str().to_owned(),
        Err(Refusal { kind: RefusalKind::NoTier { hindrances }, .. }) => {
            hindrances.iter().map(|(_, hindrance)| hindrance.as_str()).collect::<Vec<_>>().join("; ")
        }
    };
    let alone = "cannot hand a `message` to its consumer: it does not reach the `embedded` backend";
    let none = "cannot hand a `message` to its consumer";
    for (backend, pin, expected) in [
        (
            BackendKind::Nats,
            None,
            "queue by RM: the action is a `message`: only a queue has a consumer for it".to_owned(),
        ),
        (BackendKind::Nats, Some(Tier::Queue), "queue by R0: the manifest pins it; explicit wins".to_owned()),
        (BackendKind::Nats, Some(Tier::InProcess), none.to_owned()),
        (BackendKind::Nats, Some(Tier::Workflow), none.to_owned()),
        (BackendKind::Embedded, Some(Tier::Queue), alone.to_owned()),
        (BackendKind::Embedded, None, format!("{none}; {alone}; {none}")),
    ] {
        assert_eq!(shown(&asked(backend, pin)), expected, "{backend}, {pin:?}");
    }
}

#[test]
fn a_fire_falls_back_to_the_next_lighter_tier_that_can_take_it() {
    let every = |tier, of: fn(&mut Traits)| {
        let mut traits = Traits::every().next().unwrap();
        of(&mut traits);
        every_kind(traits).map(|asked| lighter(tier, &asked, &all())).collect::<Vec<_>>()
    };
    // Ours on `embedded` and on Redis, then a message on either.
    let (in_process, queue) = (Some(Tier::InProcess), Some(Tier::Queue));
    assert_eq!(every(Tier::Queue, |_| {}), [in_process, in_process, None, None]);
    assert_eq!(every(Tier::Workflow, |_| {}), [queue, queue, None, queue]);
    let distributed = |traits: &mut Traits| traits.infrastructure = Infrastructure::Distributed;
    assert_eq!(every(Tier::Queue, distributed), [None, None, None, None]);
    assert_eq!(every(Tier::Workflow, distributed), [None, queue, None, queue]);
    assert_eq!(every(Tier::InProcess, |_| {}), [None; 4]);
}
