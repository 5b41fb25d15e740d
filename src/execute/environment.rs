//! What child processes see: a clean environment, what the manifest gives, secrets looked up.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
};

use rustix::fs::OFlags;
use tokio::task::spawn_blocking;

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
    /// Looks the secrets of a job up. Files are read on a thread of their own, since a disk may
    /// hang; how long that may take is up to the caller.
    pub(super) async fn of(spec: &Spec, base: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut secrets = BTreeMap::new();
        for (name, source) in &spec.run.secrets {
            let value = match source {
                SecretSource::Env(variable) => variable_of(name, variable)?,
                SecretSource::File(path) => {
                    let (name, path) = (name.clone(), path.clone());
                    let read = spawn_blocking(move || content(&name, &path)).await;
                    read.map_err(|error| format!("the secret could not be read: {error}"))??
                }
            };
            secrets.insert(name.clone(), value);
        }
        Ok(Self { env: spec.run.env.clone(), secrets, base: base.clone() })
    }
}

/// The value of a variable of the daemon. What goes wrong names the reference, never a value.
fn variable_of(name: &str, variable: &str) -> Result<String, String> {
    env::var(variable).map_err(|_| {
        format!("the secret `{name}` is not there: the daemon's environment has no variable `{variable}`")
    })
}

/// The value in a file. What goes wrong names the reference, never a value.
fn content(name: &str, path: &str) -> Result<String, String> {
    let missing = |reason: &str| format!("the secret `{name}` is not there: `{path}` {reason}");
    let unreadable = |error: io::Error| missing(&format!("cannot be read: {error}"));
    // Opened so, a pipe that nobody writes to is not waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(missing("is not a regular file"));
    }
    let mut bytes = Vec::new();
    // The size that a file claims says little: one of `/proc` has none.
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(missing(&format!("has more than {SECRET_BYTES_MAX} bytes")));
    }
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
