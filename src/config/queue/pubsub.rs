//! `pubsub`: Google Pub/Sub.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::options::Options;
use crate::manifest::text::DurationText;

/// Google Pub/Sub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PubsubFile {
    /// Id of the project.
    #[schemars(length(min = 1, max = 255), extend("examples" = ["shop-prod"]))]
    pub project: String,
    /// File with the key of a service account, relative to this file. Default: what the machine is given
    /// by Google Cloud.
    #[schemars(length(min = 1, max = 4096))]
    pub credentials: Option<String>,
    /// An emulator to use in place of the service: `HOST:PORT`, or a URL.
    #[schemars(length(min = 1, max = 2048), extend("examples" = ["127.0.0.1:8085"]))]
    pub emulator: Option<String>,
    /// Whether messages of one job come in the order they were sent in. Default: `true`.
    pub ordering: Option<bool>,
    /// How long a claim on a message holds that nobody extends: then another worker takes it; `10s` to
    /// `10m`. Default: `30s`.
    pub claim: Option<DurationText>,
    /// The queue that results go back on. Default: `tintal-results`.
    #[schemars(length(min = 3, max = 40), regex(pattern = r"^[a-z][a-z0-9-]*[a-z0-9]$"))]
    pub results: Option<String>,
}

/// The options of Pub/Sub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubsubSettings {
    /// Id of the project.
    pub project: String,
    /// File with the key of a service account; none: what the machine is given.
    pub credentials: Option<PathBuf>,
    /// An emulator to use in place of the service.
    pub emulator: Option<String>,
    /// Whether messages of one job come in the order they were sent in.
    pub ordering: bool,
}

/// Reads them; none when something in them cannot be used.
pub(super) fn read(options: &mut Options<'_, '_>) -> Option<PubsubSettings> {
    let project = options.required("project");
    let credentials = options.path("credentials");
    let emulator = options.emulator();
    let ordering = options.value("ordering", true)?;
    Some(PubsubSettings { project: project?, credentials, emulator: emulator?, ordering })
}
