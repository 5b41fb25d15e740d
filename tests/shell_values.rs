//! Values that templates fill into lines for a shell, run by the shells of this machine.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{FileFailurePersistence, RngSeed},
};
use serde_json::Value;
use tintal::manifest::{
    name::JobName,
    template::{
        Kind, Values,
        check::{Scope, check_line},
        render,
    },
};

/// Shells that are there; `sh` always is.
fn shells() -> Vec<&'static str> {
    let is_there = |shell: &&str| {
        Command::new(shell)
            .args(["-c", ":"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    ["sh", "bash", "dash"].into_iter().filter(is_there).collect()
}

/// The line with the value in it; none when it is refused.
fn line(template: &str, value: &str) -> Option<String> {
    let params = BTreeMap::from([("v".to_owned(), Value::from(value))]);
    let labels = BTreeMap::new();
    let scope = Scope { params: &params, labels: &labels, steps: &[], secrets: &[], open: &[] };
    if !check_line(template, &scope).is_empty() {
        return None;
    }
    let values = Values {
        job: JobName::parse("a").unwrap(),
        labels: BTreeMap::new(),
        fire_time: "2026-01-01T00:00:00Z".parse().unwrap(),
        timezone: "UTC".to_owned(),
        run_id: String::new(),
        attempt: 1,
        params: params.clone(),
        steps: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    Some(render(template, Kind::Shell, &values).unwrap().into_owned())
}

fn printed(shell: &str, line: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(shell)
        .args(["-c", line])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lines that print the value between `<` and `>`, in each place where a word can stand.
const PRINTING: &[&str] = &[
    "printf '<%s>' {{ params.v }}",
    "printf '<%s>' {{params.v}}; : # it's",
    "# it's\nprintf '<%s>' {{ params.v }}",
    "printf '<%s>' \"$(printf '%s.' {{ params.v }} \"it's\")\" | sed '$s/\\.it.s\\.>$/>/'",
    "x={{ params.v }}; printf '<%s>' \"$x\"",
    "cat <<E >/dev/null\nit's $(echo \"')\")\nE\nprintf '<%s>' {{ params.v }}",
    "x='\"'; y=\"'\"; printf '<%s>' {{ params.v }}",
    "f() { printf '<%s>' \"$1\"; }; f {{ params.v }}",
    "x=ab; : ${#x} ${x%'#'} $((1 + (2))) `:` $#; printf '<%s>' {{ params.v }}",
    "{% if attempt > 1 %}: '{{ params.v | safe }}'{% else %}printf '<%s>'{% endif %} {{ params.v }}",
    "{% for x in [params.v] %}printf '<%s>' {{ x }}{% endfor %}",
    "case {{ params.v }} in {{ params.v }}) printf '<%s>' {{ params.v }};; esac",
    "printf '<%s>' \\\n {{ params.v }}",
];

/// Parts of lines, as good as any.
const PARTS: &[&str] = &[
    "{{ params.v }}",
    "{{ params.v }}",
    "{{ params.v }}",
    "'",
    "\"",
    "`",
    "$(",
    ")",
    "(",
    "${x:-",
    "${x%",
    "}",
    "$((",
    "))",
    "#",
    " ",
    "\n",
    "\\",
    "$",
    "<<E",
    "<<'E'",
    "<<-E",
    "\nE\n",
    "echo ",
    "a",
    ";",
    " case ",
    " in ",
    ";;",
    " esac",
    "$'",
    "$\"",
    "\"$x\"",
    "$#",
    "|",
    "&&",
    "<",
    "<<<",
    "{ ",
    "x=",
    "&",
    ">&2",
    "\\'",
    "\t",
    "!",
    "=(",
    "+=(",
    "[[ ",
    " ]]",
    "if ",
    " then ",
    " fi",
    "function a ",
    "@(",
    "for a in ",
    "; do ",
    "; done",
    "time ",
];

/// Values that say so when a part of them is run.
const TRAPS: &[&str] = &[
    "echo PW$((1+1))N",
    "'; echo PW$((1+1))N; '",
    "\"; echo PW$((1+1))N; \"",
    "\necho PW$((1+1))N\n",
    "$(echo PW$((1+1))N)",
    "`echo PW$((1+1))N`",
    "\nE\necho PW$((1+1))N\n",
    "}; echo PW$((1+1))N;",
    ")); echo PW$((1+1))N;",
    "); echo PW$((1+1))N;",
];

fn config(cases: u32) -> ProptestConfig {
    // The seeds of failures are rows of the tests, not files.
    let failure_persistence: Option<Box<dyn proptest::test_runner::FailurePersistence>> =
        Some(Box::new(FileFailurePersistence::Off));
    // More of them on request, and then others.
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let rng_seed = if wanted.is_some() { RngSeed::Random } else { RngSeed::Fixed(58) };
    let cases = wanted.unwrap_or(cases);
    ProptestConfig {
        cases,
        rng_seed,
        failure_persistence,
        max_global_rejects: 1_000_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(64))]

    /// Whatever the value is, a line that is taken prints just that.
    #[test]
    fn a_value_is_one_word(value in "[^\0]{0,12}|['\"`$\\\\\n #;(){}&|<>*?~=!]{0,12}", at in 0..PRINTING.len()) {
        let template = PRINTING[at];
        let line = line(template, &value).expect(template);
        for shell in shells() {
            prop_assert_eq!(printed(shell, &line), format!("<{}>", value), "{}: {}", shell, line);
        }
    }

    /// Whatever the line is, no part of the value is run.
    #[test]
    fn a_value_is_never_run(parts in prop_oneof![vec(select(PARTS), 1..6), vec(select(PARTS), 1..14)], trap in select(TRAPS)) {
        let template = parts.concat();
        prop_assume!(template.contains("params.v"));
        if let Some(line) = line(&template, trap) {
            for shell in shells() {
                prop_assert!(!printed(shell, &line).contains("PW2N"), "{}: {}", shell, line);
            }
        }
    }
}

#[test]
fn every_line_that_prints_is_taken() {
    for template in PRINTING {
        assert!(line(template, "a'b").is_some(), "{template}");
    }
    assert_eq!(line("echo 'Report: {{ params.v }}'", "x"), None);
    assert_eq!(line("echo \"Report: {{ params.v }}\"", "x"), None);
}
