//! What child processes see: a clean environment, what the manifest gives, secrets looked up.

use std::{collections::BTreeMap, env, fs};

use crate::manifest::spec::{SecretSource, Spec};

/// Variables of the daemon that children see: what programs cannot do without, and nothing that
/// could hold a secret.
const PASSED: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"];

/// Where programs are looked for when the daemon has no `PATH`.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Largest file of a secret, in bytes: a key or a certificate, not a disk image.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What an attempt works with.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// Variables with templates in them, not filled in yet.
    pub(super) env: BTreeMap<String, String>,
    /// Secrets by variable.
    pub(super) secrets: BTreeMap<String, String>,
    /// Variables that every child sees.
    pub(super) base: BTreeMap<String, String>,
}

/// The variables of the daemon that children see.
pub(super) fn base(environment: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut base: BTreeMap<String, String> =
        environment.into_iter().filter(|(name, _)| PASSED.contains(&name.as_str())).collect();
    base.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    base
}

impl Surroundings {
    /// Looks the secrets of a job up.
    pub(super) fn of(spec: &Spec, base: &BTreeMap<String, String>) -> Result<Self, String> {
        let secrets =
            spec.run.secrets.iter().map(|(name, source)| Ok((name.clone(), look_up(name, source)?)));
        Ok(Self {
            env: spec.run.env.clone(),
            secrets: secrets.collect::<Result<_, String>>()?,
            base: base.clone(),
        })
    }
}

/// The value of a secret. What goes wrong names the reference, never a value.
fn look_up(name: &str, source: &SecretSource) -> Result<String, String> {
    match source {
        SecretSource::Env(variable) => env::var(variable).map_err(|_| {
            format!("the secret `{name}` is not there: the daemon's environment has no variable `{variable}`")
        }),
        SecretSource::File(path) => {
            let missing = |reason: &str| format!("the secret `{name}` is not there: `{path}` {reason}");
            let metadata =
                fs::metadata(path).map_err(|error| missing(&format!("cannot be read: {error}")))?;
            if metadata.len() > SECRET_BYTES_MAX {
                return Err(missing(&format!("has more than {SECRET_BYTES_MAX} bytes")));
            }
            let bytes = fs::read(path).map_err(|error| missing(&format!("cannot be read: {error}")))?;
            let mut text = String::from_utf8(bytes).map_err(|_| missing("is not text"))?;
            if text.ends_with('\n') {
                text.pop();
                if text.ends_with('\r') {
                    text.pop();
                }
            }
            if text.contains('\0') {
                return Err(missing("holds a zero byte"));
            }
            Ok(text)
        }
    }
}
