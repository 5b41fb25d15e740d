//! TLS towards a queue system, in the same words for each.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS towards the server. There, also when empty (`tls: {}`): TLS is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFile {
    /// File of certificates, in PEM, that vouch for the server, relative to this file. Default: those that
    /// the system trusts.
    #[schemars(length(min = 1, max = 4096))]
    pub ca: Option<String>,
    /// File with our certificate, in PEM, for a server that asks for one; with `key`.
    #[schemars(length(min = 1, max = 4096))]
    pub cert: Option<String>,
    /// File with the private key of `cert`, in PEM.
    #[schemars(length(min = 1, max = 4096))]
    pub key: Option<String>,
}

/// TLS towards the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates that vouch for the server; none: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, for a server that asks for one.
    pub identity: Option<TlsIdentity>,
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// File of the certificate.
    pub cert: PathBuf,
    /// File of its private key.
    pub key: PathBuf,
}
