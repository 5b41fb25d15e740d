//! Where the servers are, and how we say who we are.

use std::{path::Path, str::FromStr as _};

use async_nats::{Auth, AuthError, ConnectOptions, ServerAddr};
use nkeys::KeyPair;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::fs;

use super::{super::broker::BrokerError, Login, Options, fault::refused};

/// The addresses of the servers.
pub(super) fn addresses(options: &Options) -> Result<Vec<ServerAddr>, BrokerError> {
    if options.servers.is_empty() {
        return Err(refused("no server is named"));
    }
    options.servers.iter().map(|server| address(server)).collect()
}

/// What is said of an address does not show it: a password may be in it.
fn address(server: &str) -> Result<ServerAddr, BrokerError> {
    let address = ServerAddr::from_str(server)
        .map_err(|error| refused(format!("the address of a server cannot be read: {error}")))?;
    if address.has_user_pass() || address.password().is_some() {
        return Err(refused("the address of a server has a user in it: write the login beside it"));
    }
    if !matches!(address.scheme(), "nats" | "tls") {
        return Err(refused(format!(
            "a server's address begins with nats:// or tls://, not {}://",
            address.scheme()
        )));
    }
    if address.host().is_empty() {
        return Err(refused("the address of a server has no host"));
    }
    Ok(address)
}

/// What the client is to say when it connects.
pub(super) fn connect_options(options: &Options) -> ConnectOptions {
    let settings = match &options.login {
        Login::None => ConnectOptions::new(),
        Login::Token(token) => ConnectOptions::with_token(exposed(token)),
        Login::Password { user, password } => {
            ConnectOptions::with_user_and_password(user.clone(), exposed(password))
        }
        Login::Nkey(seed) => ConnectOptions::with_nkey(exposed(seed)),
        Login::Credentials(path) => {
            let path = path.clone();
            // Read at every connection: such a file is often replaced before what is in it expires.
            ConnectOptions::with_auth_callback(move |nonce| {
                let path = path.clone();
                async move { credentials(&path, &nonce).await }
            })
        }
    };
    let tls = &options.tls;
    let mut settings = settings.require_tls(tls.required);
    if let Some(authority) = &tls.authority {
        settings = settings.add_root_certificates(authority.clone());
    }
    if let Some(identity) = &tls.identity {
        settings = settings.add_client_certificate(identity.certificate.clone(), identity.key.clone());
    }
    if tls.first { settings.tls_first() } else { settings }
}

fn exposed(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}

/// Answers the server's challenge with what is in a file of credentials.
async fn credentials(path: &Path, nonce: &[u8]) -> Result<Auth, AuthError> {
    let text = fs::read_to_string(path)
        .await
        .map_err(|error| AuthError::new(format!("{}: {error}", path.display())))?;
    let wrong = |what: &str| AuthError::new(format!("{}: {what}", path.display()));
    let jwt = block(&text, "USER JWT").ok_or_else(|| wrong("no user JWT in it"))?;
    let seed = block(&text, "USER NKEY SEED").ok_or_else(|| wrong("no user seed in it"))?;
    let keys = KeyPair::from_seed(seed).map_err(|_| wrong("its seed is none"))?;
    let signature = keys.sign(nonce).map_err(|_| wrong("its seed cannot sign"))?;
    let mut auth = Auth::new();
    auth.jwt = Some(jwt.to_owned());
    auth.signature = Some(signature);
    Ok(auth)
}

/// The line below the heading `-----BEGIN … name-----`.
fn block<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("-----BEGIN") && line.trim_end_matches('-').ends_with(name))?;
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn only_an_address_without_a_user_is_one() {
        let refusal = |server: &str| address(server).err().map(|error| error.to_string());
        assert_eq!(refusal("nats://host:4222"), None);
        assert_eq!(refusal("tls://[::1]:4222"), None);
        assert_eq!(refusal("host"), None);
        for wrong in ["nats://user:hush@host", "nats://hush@host", "ws://host", "http://host:80", "nats://", "nats://a b"] {
            let said = refusal(wrong).unwrap();
            assert!(!said.contains("hush"), "{wrong}: {said}");
        }
    }

    #[test]
    fn the_parts_of_a_credentials_file_are_found() {
        let text = "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n\n\
                    ****\n\n-----BEGIN USER NKEY SEED-----\r\nSUAX\r\n------END USER NKEY SEED------\n";
        assert_eq!(block(text, "USER JWT"), Some("a.b.c"));
        assert_eq!(block(text, "USER NKEY SEED"), Some("SUAX"));
        assert_eq!(block("-----BEGIN NATS USER JWT-----\n------END NATS USER JWT------", "USER JWT"), None);
        assert_eq!(block("", "USER JWT"), None);
    }
}
