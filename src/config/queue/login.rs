//! A name and a password for a queue system.

use crate::manifest::spec::SecretSource;

/// Who we are to the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub username: Option<String>,
    /// Where the password is looked up.
    pub password: Option<SecretSource>,
}
