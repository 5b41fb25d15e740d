//! The whole matrix, every pin, and what must hold of any choice.

use super::{matrix::row, *};
use crate::manifest::characteristics::{Infrastructure, Tier};

const MATRIX: &str = include_str!("../../tests/classification_matrix.csv");

fn all() -> Tiers {
    Tiers { configured: Tier::ALL.to_vec(), ledger: LedgerKind::File }
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
fn a_pin_wins_or_is_refused_and_is_never_replaced() {
    for traits in Traits::every() {
        for pin in Tier::ALL {
            for ledger in [LedgerKind::File, LedgerKind::Memory] {
                let result = classify(&traits, Some(pin), &Tiers { ledger, ..all() });
                let distributed = traits.infrastructure == Infrastructure::Distributed;
                let volatile = ledger == LedgerKind::Memory && Trait::Persistent.holds(&traits);
                let expected = match pin {
                    Tier::InProcess if distributed => Err(Hindrance::NotDistributed),
                    Tier::InProcess if volatile => Err(Hindrance::NotDurable),
                    _ => Ok((pin, RuleId::R0, true)),
                };
                let came = match result {
                    Ok(classified) => Ok((classified.tier, classified.rule, classified.pinned)),
                    Err(Refusal::Pin { hindrance, .. }) => Err(hindrance),
                    Err(refusal) => panic!("{traits:?}: {refusal:?}"),
                };
                assert_eq!(came, expected, "{traits:?} {pin}");
            }
        }
    }
}

#[test]
fn a_pin_to_a_tier_that_is_not_configured_is_refused() {
    let only = Tiers { configured: vec![Tier::InProcess], ..all() };
    for traits in Traits::every() {
        let Err(Refusal::Pin { tier, hindrance, .. }) = classify(&traits, Some(Tier::Queue), &only) else {
            panic!("{traits:?}");
        };
        assert_eq!((tier, hindrance), (Tier::Queue, Hindrance::NotConfigured));
    }
}

/// Asking for more at the same frequency never leads to a lighter tier.
#[test]
fn the_choice_is_monotone() {
    let tier = |traits: &Traits| classify(traits, None, &all()).map(|classified| classified.tier).ok();
    for less in Traits::every() {
        for more in Traits::every() {
            let grows = less.frequency == more.frequency
                && less.visibility <= more.visibility
                && less.complexity <= more.complexity
                && less.durability <= more.durability
                && less.infrastructure <= more.infrastructure;
            assert!(!grows || tier(&less) <= tier(&more), "{less:?} {more:?}");
        }
    }
}

/// Whatever is configured: a job gets a tier that is, and that can do what it needs, or the answer
/// says of every tier why not.
#[test]
fn the_choice_is_total_and_explains_itself() {
    for set in 0_u8..8 {
        let configured: Vec<Tier> = Tier::ALL
            .into_iter()
            .zip(0..)
            .filter(|(_, bit)| set & (1 << bit) != 0)
            .map(|(tier, _)| tier)
            .collect();
        for ledger in [LedgerKind::File, LedgerKind::Memory] {
            let tiers = Tiers { configured: configured.clone(), ledger };
            for traits in Traits::every() {
                match classify(&traits, None, &tiers) {
                    Ok(classified) => {
                        assert!(configured.contains(&classified.tier));
                        assert!(
                            classified.tier != Tier::InProcess || !Trait::Distributed.holds(&traits),
                            "{traits:?}"
                        );
                        let chosen: Vec<Tier> = classified
                            .considered
                            .iter()
                            .filter(|each| each.verdict == Verdict::Chosen)
                            .map(|each| each.tier)
                            .collect();
                        assert_eq!(chosen, [classified.tier]);
                        assert!(classified.considered.iter().all(|each| !each.why.is_empty()));
                    }
                    Err(Refusal::NoTier { hindrances }) => assert_eq!(hindrances.len(), Tier::ALL.len()),
                    Err(refusal) => panic!("{refusal:?}"),
                }
            }
        }
    }
}

#[test]
fn on_a_fresh_machine_in_process_stands_in() {
    let only = Tiers { configured: vec![Tier::InProcess], ..all() };
    for traits in Traits::every().filter(|traits| traits.infrastructure == Infrastructure::Local) {
        let tier = classify(&traits, None, &only).map(|classified| classified.tier);
        assert_eq!(tier, Ok(Tier::InProcess), "{traits:?}");
    }
}
