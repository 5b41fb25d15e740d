//! Which variables of the environment are settings. Pure: `layers` hands them in.

use std::{
    ffi::{OsStr, OsString},
    net::IpAddr,
};

/// What variables of ours begin with.
pub(super) const PREFIX: &str = "TINTAL_";

/// The variable that names the file of settings.
pub(super) const CONFIG: &str = "TINTAL_CONFIG";

/// Variables that runs see; they are no settings.
const OF_RUNS: [&str; 5] =
    ["TINTAL_JOB", "TINTAL_RUN_ID", "TINTAL_FIRE_TIME", "TINTAL_ATTEMPT", "TINTAL_STEP"];

/// The variables that are meant as settings, with the file that one of them may name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Variables {
    /// The value of `TINTAL_CONFIG`.
    pub(super) config: Option<OsString>,
    /// Name and value of the others, by name. A name that is no text has its bad bytes replaced.
    pub(super) settings: Vec<(String, OsString)>,
}

impl Variables {
    /// Takes the variables of ours out of an environment.
    pub(super) fn of(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut variables = Self::default();
        for (name, value) in environment {
            let name = name.to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            if name == CONFIG {
                variables.config = Some(value);
            } else if !OF_RUNS.contains(&name.as_str()) && !is_of_kubernetes(rest, &value) {
                variables.settings.push((name, value));
            }
        }
        variables.settings.sort();
        variables
    }
}

/// The parts of the key that a variable stands for: `TINTAL_LOG__LEVEL` is `log.level`.
pub(super) fn key(variable: &str) -> Vec<String> {
    variable.trim_start_matches(PREFIX).split("__").map(str::to_ascii_lowercase).collect()
}

/// The variable of a key: `log.level` is that of `TINTAL_LOG__LEVEL`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Whether a variable is one that Kubernetes sets in every pod beside a Service whose name is
/// `tintal` or begins with `tintal-`. Name and value must both be of the documented form, so that a
/// misspelt setting is not taken for one.
fn is_of_kubernetes(rest: &str, value: &OsStr) -> bool {
    let Some(value) = value.to_str() else { return false };
    let is_port = value.parse::<u16>().is_ok();
    // `WEB_SERVICE_HOST` belongs to the Service `tintal-web`.
    let parts: Vec<&str> = rest.split('_').collect();
    let from = |word: &str| parts.iter().rposition(|part| *part == word).map(|at| &parts[at..]);
    let is_protocol = |word: &str| matches!(word, "TCP" | "UDP" | "SCTP");
    let is_address = |value: &str| {
        ["tcp://", "udp://", "sctp://"].iter().any(|scheme| {
            value.strip_prefix(scheme).and_then(|rest| rest.rsplit_once(':')).is_some_and(|(host, port)| {
                port.parse::<u16>().is_ok() && host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            })
        })
    };
    match from("SERVICE") {
        Some(["SERVICE", "HOST"]) => return value.parse::<IpAddr>().is_ok(),
        Some(["SERVICE", "PORT", ..]) => return is_port,
        _ => {}
    }
    let number = |word: &str| word.parse::<u16>().is_ok();
    match parts[..] {
        [.., "PORT", n, protocol] if number(n) && is_protocol(protocol) => is_address(value),
        [.., "PORT", n, protocol, "PROTO"] if number(n) && is_protocol(protocol) => {
            value.eq_ignore_ascii_case(protocol)
        }
        [.., "PORT", n, protocol, "PORT"] if number(n) && is_protocol(protocol) => value == n,
        [.., "PORT", n, protocol, "ADDR"] if number(n) && is_protocol(protocol) => {
            value.parse::<IpAddr>().is_ok()
        }
        [.., "PORT"] => is_address(value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that are left of `NAME=VALUE` words.
    #[track_caller]
    fn check(given: &str, left: &str) {
        let environment = given.split(' ').filter_map(|word| word.split_once('='));
        let variables = Variables::of(environment.map(|(name, value)| (name.into(), value.into())));
        let names: Vec<String> = variables.settings.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.join(" "), left, "{given}");
    }

    #[test]
    #[rustfmt::skip]
    fn variables_that_kubernetes_sets_are_no_settings() {
        check("TINTAL_SERVICE_HOST=10.0.0.1 TINTAL_SERVICE_PORT=80 TINTAL_SERVICE_PORT_HTTP=80", "");
        check("TINTAL_PORT=tcp://10.0.0.1:80 TINTAL_PORT_80_TCP=tcp://10.0.0.1:80",              "");
        check("TINTAL_PORT_80_TCP_PROTO=tcp TINTAL_PORT_80_TCP_PORT=80 TINTAL_PORT_80_TCP_ADDR=10.0.0.1", "");
        check("TINTAL_PORT=udp://[fd00::1]:53 TINTAL_SERVICE_HOST=fd00::1",                      "");
        check("TINTAL_WEB_SERVICE_HOST=10.0.0.1 TINTAL_WEB_PORT=tcp://10.0.0.1:80",              "");
        // The form of both name and value is needed.
        check("TINTAL_PORT=80",                      "TINTAL_PORT");
        check("TINTAL_PORT=tcp://shop:80",           "TINTAL_PORT");
        check("TINTAL_SERVICE_HOST=shop",            "TINTAL_SERVICE_HOST");
        check("TINTAL_STATE=tcp://10.0.0.1:80",      "TINTAL_STATE");
        check("TINTAL_PORT_HTTP_TCP=tcp://10.0.0.1:80", "TINTAL_PORT_HTTP_TCP");
    }

    #[test]
    #[rustfmt::skip]
    fn settings_are_what_has_the_prefix_and_is_not_of_a_run() {
        check("TINTAL_STATE=a TINTAL_LOG__LEVEL=info", "TINTAL_LOG__LEVEL TINTAL_STATE");
        check("TINTAL_JOB=a TINTAL_ATTEMPT=1 tintal_state=a STATE=a TINTAL_CONFIG=a", "");
    }

    #[test]
    fn keys_and_variables_are_one_to_one() {
        assert_eq!(key("TINTAL_LOG__LEVEL"), ["log", "level"]);
        assert_eq!(variable("log.level"), "TINTAL_LOG__LEVEL");
    }
}
