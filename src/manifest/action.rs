//! What a job executes, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{policy::Retry, queue::Message, spec::SecretSource, text::DurationText};

/// Most steps of one job: a DAG of this size can still be read and drawn.
pub const STEPS_MAX: usize = 256;

/// What the first item of a command is.
fn program() -> Value {
    json!({"type": "string", "maxLength": 131_072, "pattern": r"\S"})
}

/// What the job executes: exactly one action, and its surroundings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["command"]}, {"required": ["shell"]}, {"required": ["http"]},
    {"required": ["steps"]}, {"required": ["builtin"]}, {"required": ["message"]}
]))]
pub struct Run {
    /// A program and its arguments. No shell is involved.
    #[schemars(length(min = 1, max = 1024), inner(length(max = 131_072)), extend("prefixItems" = [program()], "examples" = [["python3", "report.py"]]))]
    pub command: Option<Vec<String>>,
    /// A line for `sh -c`. A value that a template fills in is quoted as one word, and stands where one
    /// can.
    #[schemars(length(min = 1, max = 131_072), extend("examples" = ["pg_dump app | zstd > app.zst"]))]
    pub shell: Option<String>,
    /// One HTTP request.
    pub http: Option<Http>,
    /// Several actions that depend on each other. Independent ones run at once.
    #[schemars(length(min = 1, max = 256))]
    pub steps: Option<Vec<Step>>,
    /// A task that is built in.
    pub builtin: Option<Builtin>,
    /// A message for a consumer that is not ours, on the queue tier.
    pub message: Option<Message>,
    /// Working directory of child processes. Default: the daemon's.
    #[schemars(length(min = 1, max = 4096))]
    pub cwd: Option<String>,
    /// Environment variables of child processes.
    #[schemars(extend("maxProperties" = 256, "propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}))]
    pub env: Option<BTreeMap<String, String>>,
    /// Environment variables whose values are looked up when the job runs. A reference, never a
    /// value; masked in logs, in the API and in errors.
    #[schemars(extend("maxProperties" = 64, "propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}))]
    pub secrets: Option<BTreeMap<String, SecretRef>>,
}

/// One HTTP request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Request method. Default: `GET`.
    pub method: Option<Method>,
    /// Where to: `http://` or `https://`.
    #[schemars(length(min = 1, max = 8192), extend("examples" = ["https://example.com/health"]))]
    pub url: String,
    /// Unix socket to connect to instead of the URL's host.
    #[schemars(length(min = 1, max = 4096))]
    pub unix_socket: Option<String>,
    /// Request headers.
    #[schemars(extend("maxProperties" = 64, "propertyNames" = {"pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}))]
    pub headers: Option<BTreeMap<String, String>>,
    /// Request body. Text is sent as it is, anything else as JSON.
    pub body: Option<Value>,
    /// What counts as success. Default: any status from 200 to 299.
    pub expect: Option<HttpExpect>,
}

/// An HTTP request method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
    /// `OPTIONS`.
    Options,
}

/// What counts as success of an HTTP request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpExpect {
    /// Status codes. Default: any from 200 to 299. A redirect is followed, unless its status is named.
    #[schemars(length(min = 1, max = 64), inner(range(min = 100, max = 599)))]
    pub status: Option<Vec<u16>>,
    /// A text that the response body must hold; may hold templates.
    #[schemars(length(min = 1, max = 4096))]
    pub body_contains: Option<String>,
}

/// One step of a DAG: exactly one of `command`, `shell` and `http`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["command"]}, {"required": ["shell"]}, {"required": ["http"]}]))]
pub struct Step {
    /// Name of the step, unique in the job.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub id: String,
    /// Steps that must succeed first.
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)))]
    pub needs: Option<Vec<String>>,
    /// A program and its arguments. No shell is involved.
    #[schemars(length(min = 1, max = 1024), inner(length(max = 131_072)), extend("prefixItems" = [program()]))]
    pub command: Option<Vec<String>>,
    /// A line for `sh -c`. A value that a template fills in is quoted as one word, and stands where one
    /// can.
    #[schemars(length(min = 1, max = 131_072))]
    pub shell: Option<String>,
    /// One HTTP request.
    pub http: Option<Http>,
    /// Longest time for one attempt of this step. Default: none of its own.
    pub timeout: Option<DurationText>,
    /// When and how often the step alone is tried again. Default: once only.
    pub retry: Option<Retry>,
}

/// A task that is built in: a mapping with the task's name as its only key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Builtin {
    /// Does nothing. For measuring, and for trying out a schedule.
    pub noop: Option<Noop>,
}

/// The task that does nothing has no options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Noop {}

/// Where the value of a secret is looked up: exactly one of `env` and `file`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["env"]}, {"required": ["file"]}]))]
pub struct SecretRef {
    /// Name of a variable in the daemon's environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub env: Option<String>,
    /// Path of a file; one trailing newline is dropped. It is relative to the working directory of the
    /// daemon, and in the settings to their file. Templates are not filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub file: Option<String>,
}

impl SecretRef {
    /// Where the value is looked up.
    ///
    /// # Errors
    ///
    /// Why the file is none, in a few words.
    pub fn source(&self) -> Result<SecretSource, &'static str> {
        if let Some(variable) = &self.env {
            return Ok(SecretSource::Env(variable.clone()));
        }
        // The shape sees to it that it is one of the two.
        let file = self.file.clone().unwrap_or_default();
        if file.ends_with('/') {
            Err("it names a directory")
        } else if file.contains(['\0', '\n']) {
            Err("it holds a character that no path has")
        } else if file.contains("{{") {
            Err("templates are not filled in here")
        } else {
            Ok(SecretSource::File(file))
        }
    }
}
