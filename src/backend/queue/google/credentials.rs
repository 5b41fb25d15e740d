//! Who asks Google: a service account's key, a person's credentials, the machine's own account, or
//! nobody.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{Span, Timestamp};
use ring::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::super::broker::BrokerError;

/// Name of the metadata server of Compute Engine, GKE and Cloud Run.
pub const METADATA_HOST: &str = "metadata.google.internal";

/// What our tokens are good for. The roles of the account say what it may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Where a person's refresh token is exchanged when the file does not say so.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// Our clock may be ahead of Google's by this.
const SKEW_SECS: i64 = 10;

/// How long a token that we sign is good for, in seconds: Google's limit.
pub(super) const SIGNED_SECS: i64 = 3_600;

/// Who asks. An option of the adapters; which one it is, is decided by who reads the settings.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Nobody: for emulators.
    Anonymous,
    /// A file as `GOOGLE_APPLICATION_CREDENTIALS` names it: the key of a service account, or what
    /// `gcloud auth application-default login` writes. It is read again with each new token.
    File(PathBuf),
    /// What such a file says.
    Text(SecretString),
    /// The account of the machine, pod or service that this runs on, as the metadata server tells.
    Metadata {
        /// The server's name or address; usually [`METADATA_HOST`].
        host: String,
    },
}

/// What a credentials file says, as far as it is needed.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key: Option<SecretText>,
    private_key_id: Option<String>,
    client_id: Option<String>,
    client_secret: Option<SecretText>,
    refresh_token: Option<SecretText>,
    token_uri: Option<String>,
    quota_project_id: Option<String>,
}

/// A secret in a file.
#[derive(Deserialize)]
#[serde(from = "String")]
struct SecretText(SecretString);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// Who a credentials file is about.
#[derive(Debug)]
pub(super) enum Identity {
    /// A service account. Its tokens are signed here, and nobody is asked for them.
    ServiceAccount(ServiceAccount),
    /// A person.
    Person(Person),
}

/// A person's credentials.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) client_id: String,
    pub(super) client_secret: SecretString,
    pub(super) refresh_token: SecretString,
    pub(super) token_uri: String,
    /// The project that requests count for: a person has none.
    pub(super) quota_project: Option<String>,
}

/// A service account's key.
pub(super) struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: KeyPair,
}

impl std::fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccount").field("email", &self.email).finish_non_exhaustive()
    }
}

/// Reads what a credentials file says; `place` is how it is named in what goes wrong.
pub(super) fn parse(text: &[u8], place: &str) -> Result<Identity, BrokerError> {
    let refused = |why: String| BrokerError::Refused { reason: format!("{place} {why}") };
    // What serde says of a wrong value may hold the value.
    let written: Written = serde_json::from_slice(text)
        .map_err(|error| refused(format!("is no credentials file (line {})", error.line())))?;
    let missing = |field: &str| refused(format!("has no `{field}`"));
    match written.kind.as_str() {
        "service_account" => {
            let key = written.private_key.ok_or_else(|| missing("private_key"))?;
            Ok(Identity::ServiceAccount(ServiceAccount {
                email: written.client_email.ok_or_else(|| missing("client_email"))?,
                key_id: written.private_key_id,
                key: key_pair(&key.0)
                    .ok_or_else(|| refused("has a `private_key` that is no RSA key in PKCS #8".to_owned()))?,
            }))
        }
        "authorized_user" => Ok(Identity::Person(Person {
            client_id: written.client_id.ok_or_else(|| missing("client_id"))?,
            client_secret: written.client_secret.ok_or_else(|| missing("client_secret"))?.0,
            refresh_token: written.refresh_token.ok_or_else(|| missing("refresh_token"))?.0,
            token_uri: written.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned()),
            quota_project: written.quota_project_id,
        })),
        other => Err(refused(format!(
            "is of the type `{other}`; `service_account` and `authorized_user` can be used, or the metadata server"
        ))),
    }
}

fn key_pair(pem: &SecretString) -> Option<KeyPair> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose_secret().as_bytes()).ok()?;
    KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()
}

impl ServiceAccount {
    /// A token that the account signs for itself (AIP-4111), good for [`SIGNED_SECS`]; none when it
    /// cannot be signed.
    pub(super) fn signed_token(&self, now: Timestamp) -> Option<SecretString> {
        let issued = now.checked_sub(Span::new().seconds(SKEW_SECS)).ok()?.as_second();
        let claims = json!({
            "iss": self.email,
            "sub": self.email,
            "scope": SCOPE,
            "iat": issued,
            "exp": issued + SIGNED_SECS,
        });
        sign(&self.key, self.key_id.as_deref(), &claims).map(Into::into)
    }
}

/// A JSON web token with these claims, signed with RS256.
pub(super) fn sign(key: &KeyPair, key_id: Option<&str>, claims: &serde_json::Value) -> Option<String> {
    let header = match key_id {
        Some(id) => json!({ "alg": "RS256", "typ": "JWT", "kid": id }),
        None => json!({ "alg": "RS256", "typ": "JWT" }),
    };
    let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let text = format!("{}.{}", encode(&header), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).ok()?;
    Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
