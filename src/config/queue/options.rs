//! The options of one backend, as its kind reads them.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use super::{
    login::Login,
    tls::{TlsIdentity, TlsSettings},
};
use crate::{
    config::merge::{Found, Merge},
    manifest::{
        action::SecretRef,
        code::Code,
        problem::{Place, Problem},
        spec::SecretSource,
        text::format_duration,
        userinfo::without_password,
    },
};

/// Shortest claim: below it, a claim is over before its extension has gone over the network.
pub(super) const CLAIM_MIN: Duration = Duration::from_secs(1);

/// Longest claim: so long a dead worker's message would wait.
pub(super) const CLAIM_MAX: Duration = Duration::from_secs(12 * 3600);

/// Longest time for which a message is known again by its id: what knows it is kept as long.
pub(super) const DEDUPE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The options of one backend. What is wrong with one goes into the problems.
pub(super) struct Options<'m, 'l> {
    merge: &'m mut Merge<'l>,
    /// Where they stand: `queue.backends.NAME.KIND`.
    at: String,
}

/// Why a reference to a secret leads nowhere, and the way out.
pub(super) struct Unusable {
    pub(super) reason: &'static str,
    pub(super) help: &'static str,
}

/// Where a secret is looked up, with the directory that a path is relative to.
pub(super) fn looked_up(reference: &SecretRef, base: &Path) -> Result<SecretSource, Unusable> {
    match reference.source() {
        Ok(SecretSource::File(path)) => Ok(SecretSource::File(base.join(path).display().to_string())),
        Ok(SecretSource::Env(variable)) if variable.starts_with("TINTAL_") => Err(Unusable {
            reason: "variables that begin with `TINTAL_` are settings",
            help: "give the variable another name",
        }),
        Ok(source) => Ok(source),
        Err(reason) => {
            Err(Unusable { reason, help: "write the path of a file that holds the value and nothing else" })
        }
    }
}

impl<'m, 'l> Options<'m, 'l> {
    pub(super) fn new(merge: &'m mut Merge<'l>, at: String) -> Self {
        Self { merge, at }
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.at)
    }

    fn find(&self, key: &str) -> Option<Found<'l>> {
        self.merge.find(&self.key(key))
    }

    /// Where an option stands; where it is not given, its backend.
    fn place(&self, key: &str) -> Option<Place> {
        let found = self.find(key).map(|found| found.place());
        found.or_else(|| Some(self.merge.find(&self.at)?.key_place()))
    }

    /// Tells what is wrong with an option.
    pub(super) fn fault(&mut self, key: &str, code: Code, message: String, label: &str, help: &str) {
        let pointer = format!("/{}", self.key(key).replace('.', "/"));
        if let Some(place) = self.place(key) {
            let problem = Problem::new(code, place, message).label(label).help(help).pointer(pointer);
            self.merge.problems.push(problem);
        }
    }

    /// Whether an option is given.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// An option that may be left out.
    pub(super) fn optional<T: DeserializeOwned + Serialize>(&mut self, key: &str) -> Option<T> {
        self.merge.optional(&self.key(key))
    }

    /// An option with a default.
    pub(super) fn value<T: DeserializeOwned + Serialize>(&mut self, key: &str, default: T) -> Option<T> {
        self.merge.value(&self.key(key), default)
    }

    /// An option that must be there.
    pub(super) fn required<T: DeserializeOwned + Serialize>(&mut self, key: &str) -> Option<T> {
        if self.is_given(key) {
            return self.optional(key);
        }
        let kind = self.at.rsplit('.').next().unwrap_or_default();
        let message = format!("`{kind}` lacks `{key}`");
        let (label, help) = (format!("no `{key}` in here"), format!("add `{key}: ...` under it"));
        self.fault(key, Code::MissingField, message, &label, &help);
        None
    }

    /// A length of time within bounds.
    pub(super) fn duration(
        &mut self,
        key: &str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let duration = self.merge.duration(&self.key(key), default)?;
        if !bounds.contains(&duration) {
            let [least, most] = [bounds.start(), bounds.end()].map(|bound| format_duration(*bound));
            let message = format!("`{key}` is a duration from {least} to {most}");
            let label = if duration < *bounds.start() { "too short" } else { "too long" };
            let help = format!("write a duration from `{least}` to `{most}`");
            self.fault(key, Code::Duration, message, label, &help);
            return None;
        }
        Some(duration)
    }

    /// A path: one in the file is relative to the file.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        let base = self.find(key)?.base().to_owned();
        let text: String = self.optional(key)?;
        Some(base.join(text))
    }

    /// Where a secret is looked up; the path of a file is relative to the file of the settings.
    pub(super) fn secret(&mut self, key: &str) -> Option<SecretSource> {
        let base = self.find(key)?.base().to_owned();
        let reference: SecretRef = self.optional(key)?;
        match looked_up(&reference, &base) {
            Ok(source) => Some(source),
            Err(Unusable { reason, help }) => {
                let message = format!("`{key}` cannot be looked up: {reason}");
                self.fault(key, Code::Secret, message, "of no use", help);
                None
            }
        }
    }

    /// A name and a password.
    pub(super) fn login(&mut self) -> Login {
        Login { username: self.optional("username"), password: self.secret("password") }
    }

    /// TLS, when it is on.
    pub(super) fn tls(&mut self) -> Option<TlsSettings> {
        if !self.is_given("tls") {
            return None;
        }
        let ca = self.path("tls.ca");
        let identity = match (self.path("tls.cert"), self.path("tls.key")) {
            (Some(cert), Some(key)) => Some(TlsIdentity { cert, key }),
            (None, None) => None,
            (cert, _) => {
                let (given, lacking) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
                let message = format!("`{given}` has no effect without `{lacking}`");
                let help = format!("add `{lacking}: ...`, or leave `{given}` out");
                self.fault(&format!("tls.{given}"), Code::OptionsClash, message, "alone", &help);
                None
            }
        };
        Some(TlsSettings { ca, identity })
    }

    /// Looks at a URL that an option holds: its scheme, and that there is no password in it.
    pub(super) fn url(&mut self, key: &str, text: &str, schemes: &[&str]) -> Option<Url> {
        let shown = without_password(text).into_owned();
        let forms: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
        let url = match Url::parse(text) {
            Ok(url) if schemes.contains(&url.scheme()) => url,
            other => {
                let reason = match other {
                    Err(error) if forms.iter().any(|form| text.starts_with(form)) => error.to_string(),
                    _ => format!("it does not begin with `{}`", forms.join("` or `")),
                };
                let message = format!("`{shown}` cannot be used: {reason}");
                let help = format!("write a whole URL, as in `{}host`", forms[0]);
                self.fault(key, Code::Url, message, "not such a URL", &help);
                return None;
            }
        };
        if url.password().is_some() {
            let message = format!("`{}` holds a password", key.rsplit('.').next().unwrap_or(key));
            let help = "name a variable or a file that holds it: `password: {env: VARIABLE}`; in the URL the user's name may stay";
            let hidden = self.place(key).map(|place| place.span);
            self.fault(key, Code::Secret, message, "a password in here", help);
            if let Some(last) = self.merge.problems.last_mut() {
                last.hidden = hidden;
            }
            return None;
        }
        if url.host_str().is_none_or(str::is_empty) && !url.scheme().ends_with("unix") {
            let message = format!("`{shown}` cannot be used: it has no host");
            self.fault(key, Code::Url, message, "no host", &format!("write `{}host`", forms[0]));
            return None;
        }
        Some(url)
    }

    /// The same of each item of a list.
    pub(super) fn urls(&mut self, key: &str, texts: &[String], schemes: &[&str]) -> Option<Vec<Url>> {
        let urls = texts.iter().enumerate().map(|(at, text)| self.url(&format!("{key}.{at}"), text, schemes));
        // All of them are looked at.
        let urls: Vec<Option<Url>> = urls.collect();
        urls.into_iter().collect()
    }

    /// An emulator in place of a service: `HOST:PORT` or a URL. None when it cannot be used.
    #[expect(clippy::option_option, reason = "whether it can be used, and whether it is there")]
    pub(super) fn emulator(&mut self) -> Option<Option<String>> {
        let Some(text) = self.optional::<String>("emulator") else { return Some(None) };
        if text.contains("://") {
            self.url("emulator", &text, &["http", "https"])?;
        } else {
            self.host_port("emulator", &text)?;
        }
        Some(Some(text))
    }

    /// An address of the form `HOST:PORT`.
    pub(super) fn host_port(&mut self, key: &str, text: &str) -> Option<()> {
        let is_good = text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(['/', '@', ' ']) && port.parse::<u16>().is_ok()
        });
        if !is_good {
            let message = format!("`{}` is not of the form `HOST:PORT`", without_password(text));
            let help = "write a name or an address and a port, as in `kafka.example.com:9092`";
            self.fault(key, Code::Url, message, "not such an address", help);
        }
        is_good.then_some(())
    }
}
