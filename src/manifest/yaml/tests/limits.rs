//! What is too much, and what is much and takes no time.

use crate::manifest::yaml::{Limits, NodeValue, compose, limits::FAULTS_MAX};

/// Nine levels of nine aliases: 387 million nodes when written out.
fn billion_laughs() -> String {
    let level = |level: usize| {
        let below = if level == 0 { "x".to_owned() } else { format!("*a{}", level - 1) };
        format!("a{level}: &a{level} [{}]\n", vec![below; 9].join(","))
    };
    (0..9).map(level).collect::<Vec<_>>().concat()
}

#[test]
fn each_limit_is_named_and_costs_little_to_hit() {
    // Written out, each of them would take minutes or fill the memory.
    let faults = |text: &str| {
        let composed = compose(text, &Limits::default());
        let fault = &composed.faults[0];
        format!("{} {}", fault.code, fault.message)
    };
    assert_eq!(faults(&billion_laughs()), "TIN002 more than 100000 values in one file, aliases written out");
    assert_eq!(faults(&"[".repeat(100_000)), "TIN002 nested more than 64 levels deep");
    assert_eq!(faults(&"a: {".repeat(100_000)), "TIN002 nested more than 64 levels deep");
    assert_eq!(faults(&"- ".repeat(100_000)), "TIN002 nested more than 64 levels deep");
    let aliases = format!("a: &a 1\nb: [{}]\n", vec!["*a"; 1001].join(", "));
    assert_eq!(faults(&aliases), "TIN002 more than 1000 aliases in one file");
    let large = "a".repeat((1 << 20) + 1);
    assert_eq!(faults(&large), "TIN002 the file has 1048577 bytes; at most 1048576 are read");
}

#[test]
fn keys_by_the_thousand_are_read_in_linear_time() {
    let keys = |count: usize| (0..count).map(|n| format!("k{n}: {n}\n")).collect::<Vec<_>>().concat();
    let root = compose(&keys(20_000), &Limits::default()).documents.remove(0).root;
    assert!(matches!(&root.value, NodeValue::Map(entries) if entries.len() == 20_000));
    let twice = compose(&(keys(20_000) + &keys(20_000)), &Limits::default());
    assert_eq!(twice.faults.len(), FAULTS_MAX + 1);
}
