//! `cloud-tasks`: Google Cloud Tasks.

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::options::Options;
use crate::manifest::{code::Code, text::DurationText};

/// The address that a worker listens on when nobody says.
const LISTEN: &str = "127.0.0.1:8720";

/// How a URL may begin.
const SCHEMES: [&str; 2] = ["https", "http"];

/// Google Cloud Tasks. It pushes: a worker listens, and the service sends each message to `target_url`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudTasksFile {
    /// Id of the project.
    #[schemars(length(min = 1, max = 255), extend("examples" = ["shop-prod"]))]
    pub project: String,
    /// Where the queues are.
    #[schemars(length(min = 1, max = 63), extend("examples" = ["europe-west3"]))]
    pub location: String,
    /// Where the service reaches the worker: `https://…`.
    #[schemars(length(min = 1, max = 2048), extend("examples" = ["https://worker.example.com/tasks"]))]
    pub target_url: String,
    /// File with the key of a service account, relative to this file. Default: what the machine is given
    /// by Google Cloud.
    #[schemars(length(min = 1, max = 4096))]
    pub credentials: Option<String>,
    /// The service account whose tokens come with the messages; the worker takes no message without.
    #[schemars(length(min = 1, max = 255), extend("examples" = ["tintal@shop-prod.iam.gserviceaccount.com"]))]
    pub service_account: Option<String>,
    /// Whom the tokens are for. Default: `target_url`.
    #[schemars(length(min = 1, max = 2048))]
    pub audience: Option<String>,
    /// The address that a worker listens on. Default: `127.0.0.1:8720`.
    #[schemars(length(min = 1, max = 255))]
    pub listen: Option<String>,
    /// Where the service reaches the daemon with results: `https://…`. Default: results go nowhere.
    #[schemars(length(min = 1, max = 2048))]
    pub results_url: Option<String>,
    /// An emulator to use in place of the service: `HOST:PORT`, or a URL.
    #[schemars(length(min = 1, max = 2048), extend("examples" = ["127.0.0.1:8123"]))]
    pub emulator: Option<String>,
    /// How long a run may take before its message is sent again; it cannot be extended: `15s` to `30m`.
    /// Default: `10m`.
    pub claim: Option<DurationText>,
    /// The queue that results go back on. Default: `tintal-results`.
    #[schemars(length(min = 3, max = 40), regex(pattern = r"^[a-z][a-z0-9-]*[a-z0-9]$"))]
    pub results: Option<String>,
}

/// The options of Cloud Tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudTasksSettings {
    /// Id of the project.
    pub project: String,
    /// Where the queues are.
    pub location: String,
    /// Where the service reaches the worker.
    pub target_url: String,
    /// File with the key of a service account; none: what the machine is given.
    pub credentials: Option<PathBuf>,
    /// The service account whose tokens come with the messages.
    pub service_account: Option<String>,
    /// Whom the tokens are for; none: `target_url`.
    pub audience: Option<String>,
    /// The address that a worker listens on.
    pub listen: SocketAddr,
    /// Where the service reaches the daemon with results.
    pub results_url: Option<String>,
    /// An emulator to use in place of the service.
    pub emulator: Option<String>,
}

/// Reads them; none when something in them cannot be used.
pub(super) fn read(options: &mut Options<'_, '_>) -> Option<CloudTasksSettings> {
    let project = options.required("project");
    let location = options.required("location");
    let target_url: Option<String> = options.required("target_url");
    let target = target_url.as_ref().and_then(|url| options.url("target_url", url, &SCHEMES));
    let credentials = options.path("credentials");
    let service_account = options.optional("service_account");
    let audience = options.optional("audience");
    let listen = listen(options);
    let results_url: Option<String> = options.optional("results_url");
    if let Some(url) = &results_url {
        options.url("results_url", url, &SCHEMES)?;
    }
    let emulator = options.emulator();
    target?;
    Some(CloudTasksSettings {
        project: project?,
        location: location?,
        target_url: target_url?,
        credentials,
        service_account,
        audience,
        listen: listen?,
        results_url,
        emulator: emulator?,
    })
}

fn listen(options: &mut Options<'_, '_>) -> Option<SocketAddr> {
    let text: String = options.value("listen", LISTEN.to_owned())?;
    let address = text.parse().ok();
    if address.is_none() {
        let message = format!("`{text}` is not an address to listen on");
        let help = "write an IP address and a port, as in `127.0.0.1:8720` or `[::]:8720`";
        options.fault("listen", Code::Url, message, "not an address", help);
    }
    address
}
