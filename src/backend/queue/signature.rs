//! Signatures of messages: HMAC-SHA-256 (RFC 2104) over the canonical JSON of a message without its
//! member `signature`.
//!
//! Several keys are accepted and one signs, so that keys change without a message being refused: first
//! every worker is given the new key beside the old one, then the daemon signs with it, then the old one
//! goes.

use std::fmt;

use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::canonical::canonical;

/// How a message that was signed by us begins: the signature comes first, so that the rest need not be
/// put into its canonical form again.
const HEAD: &str = r#"{"signature":{"#;

/// The member of a message that vouches for it.
const MEMBER: &str = "signature";

/// Keys that vouch for messages. The first signs.
pub struct Keyring {
    keys: Vec<Key>,
}

/// A key with its name.
pub struct Key {
    id: String,
    key: hmac::Key,
}

/// What a message says of who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    /// The name of the key.
    key: String,
    /// 64 hexadecimal digits.
    mac: String,
}

/// What vouches for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    /// A key that is known signed it as it is.
    Signed,
    /// It has no signature.
    Unsigned,
}

/// Why a message is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// It is no JSON object, or its signature is none.
    #[error("it has no signature that can be read")]
    Unreadable,
    /// It was signed by a key that is not known here.
    #[error("it is signed by the key `{key}`, which is not known here")]
    UnknownKey {
        /// Its name.
        key: String,
    },
    /// It was signed, and is not as it was signed.
    #[error("its signature by the key `{key}` does not match what it says")]
    Mismatch {
        /// The name of the key.
        key: String,
    },
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl Key {
    /// A key of this name, with the bytes of a secret text.
    #[must_use]
    pub fn new(id: String, secret: &SecretString) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
        Self { id, key }
    }
}

impl Keyring {
    /// A keyring; the first of its keys signs. Without one nothing is signed.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self { keys }
    }

    /// Whether there is no key: nothing is signed, and no signature is believed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The message as it is sent: canonical JSON, signed when there is a key. `message` is an object
    /// without a signature.
    #[must_use]
    pub fn sign(&self, message: &Value) -> String {
        let text = canonical(message);
        let Some(Key { id, key }) = self.keys.first() else { return text };
        let mac = hex(hmac::sign(key, text.as_bytes()).as_ref());
        let signature = canonical(&serde_json::json!({"key": id, "mac": mac}));
        // The rest of an object that has members.
        format!(r#"{{"{MEMBER}":{signature},{}"#, text.get(1..).unwrap_or_default())
    }

    /// What a message says, and whether it is signed. Only what was signed is read of it.
    ///
    /// # Errors
    ///
    /// When it is no JSON object, or is signed and the signature is not to be believed.
    pub fn read(&self, body: &str) -> Result<(Value, Vouched), SignatureError> {
        let unreadable = |_| SignatureError::Unreadable;
        if let Some((signature, text)) = split(body) {
            self.verify(&signature, &text)?;
            return Ok((serde_json::from_str(&text).map_err(unreadable)?, Vouched::Signed));
        }
        let mut value: Value = serde_json::from_str(body).map_err(unreadable)?;
        let Some(object) = value.as_object_mut() else { return Err(SignatureError::Unreadable) };
        let Some(signature) = object.shift_remove(MEMBER) else { return Ok((value, Vouched::Unsigned)) };
        let signature: Signature = serde_json::from_value(signature).map_err(unreadable)?;
        self.verify(&signature, &canonical(&value))?;
        Ok((value, Vouched::Signed))
    }

    fn verify(&self, signature: &Signature, text: &str) -> Result<(), SignatureError> {
        let Some(Key { key, .. }) = self.keys.iter().find(|key| key.id == signature.key) else {
            return Err(SignatureError::UnknownKey { key: signature.key.clone() });
        };
        let mismatch = || SignatureError::Mismatch { key: signature.key.clone() };
        let mac = unhex(&signature.mac).ok_or_else(mismatch)?;
        hmac::verify(key, text.as_bytes(), &mac).map_err(|_| mismatch())
    }
}

/// The signature and the rest of a message whose signature comes first, as we send it.
fn split(body: &str) -> Option<(Signature, String)> {
    let rest = body.strip_prefix(HEAD)?;
    let (members, rest) = rest.split_once("},")?;
    let signature = serde_json::from_str(&format!("{{{members}}}")).ok()?;
    Some((signature, format!("{{{rest}")))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 0xf)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    text.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(keys: &[(&str, &str)]) -> Keyring {
        let key = |(id, secret): &(&str, &str)| Key::new((*id).to_owned(), &(*secret).to_owned().into());
        Keyring::new(keys.iter().map(key).collect())
    }

    fn message() -> Value {
        serde_json::json!({"v": 1, "job": "report", "context": {"b": 1, "a": "é"}})
    }

    #[test]
    fn what_is_signed_is_believed_by_who_knows_the_key() {
        let body = keyring(&[("k1", "secret")]).sign(&message());
        let read = keyring(&[("k2", "other"), ("k1", "secret")]).read(&body);
        assert_eq!(read, Ok((message(), Vouched::Signed)));
    }

    /// As Python makes it: `json.dumps(message, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`,
    /// `hmac.new(b"secret", …, "sha256").hexdigest()`; the signature stands where it likes.
    #[test]
    fn a_message_that_another_program_signed_is_believed() {
        let text = canonical(&message());
        let mac = hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), text.as_bytes()).as_ref());
        let mut other = message();
        other["signature"] = serde_json::json!({"key": "k1", "mac": mac});
        let body = serde_json::to_string_pretty(&other).unwrap();
        assert_eq!(keyring(&[("k1", "secret")]).read(&body), Ok((message(), Vouched::Signed)));
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_code_is_that_of_the_standard() {
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"Jefe"), b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(mac.as_ref()), expected);
        assert_eq!(unhex(expected).as_deref(), Some(mac.as_ref()));
    }

    #[test]
    fn what_was_changed_or_signed_by_others_is_not_believed() {
        let keys = keyring(&[("k1", "secret")]);
        let body = keys.sign(&message());
        let mismatch = Err(SignatureError::Mismatch { key: "k1".to_owned() });
        assert_eq!(keys.read(&body.replace("report", "reboot")), mismatch);
        assert_eq!(keyring(&[("k1", "other")]).read(&body), mismatch);
        let unknown = Err(SignatureError::UnknownKey { key: "k1".to_owned() });
        assert_eq!(keyring(&[("k2", "secret")]).read(&body), unknown);
        assert_eq!(keyring(&[]).read(&body), unknown);
        assert_eq!(keys.read(&body.replace("\"mac\":\"", "\"mac\":\"0")), mismatch);
        assert_eq!(keys.read("[1]"), Err(SignatureError::Unreadable));
        assert_eq!(keys.read(r#"{"signature":{"key":"k1"},"v":1}"#), Err(SignatureError::Unreadable));
    }

    /// A second member of the name, after the one that was cut out, would be another message.
    #[test]
    fn a_message_with_two_signatures_is_not_believed() {
        let keys = keyring(&[("k1", "secret")]);
        let body = keys.sign(&message());
        let twice = body.replacen(r#","v":1"#, r#","signature":{"key":"k1","mac":"00"},"v":1"#, 1);
        assert!(keys.read(&twice).is_err(), "{twice}");
    }

    #[test]
    fn what_is_not_signed_is_said_to_be_so() {
        let body = keyring(&[]).sign(&message());
        assert_eq!(keyring(&[("k1", "secret")]).read(&body), Ok((message(), Vouched::Unsigned)));
    }
}
