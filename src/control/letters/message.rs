//! The message of a dead letter, as it may be shown.

use std::sync::Arc;

use serde_json::Value;

use crate::{control::given::conceal_of, execute::conceal::Conceal, ledger::Letter, manifest::spec::Spec};

/// Where a message holds the values that its run was given.
const GIVEN: [&str; 2] = ["/action/params", "/context"];

/// A message as it may be shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// It is JSON.
    Json(Value),
    /// It is not.
    Text(String),
}

/// The message of a letter without the secrets of its job. Of a job that is not known, nobody knows the
/// secrets either, and no value that its run was given is shown.
pub async fn shown(letter: &Letter, spec: Option<Arc<Spec>>) -> Shown {
    let conceal = conceal_of(spec).await;
    match serde_json::from_slice::<Value>(&letter.body) {
        Ok(mut message) => {
            match &conceal {
                None => {}
                Some(Conceal::All) => {
                    for at in GIVEN {
                        let given = message.pointer_mut(at).and_then(Value::as_object_mut);
                        given.into_iter().flat_map(serde_json::Map::values_mut).for_each(|value| {
                            *value = Conceal::All.shown(value);
                        });
                    }
                }
                Some(secrets) => message = secrets.shown(&message),
            }
            Shown::Json(message)
        }
        Err(_) => Shown::Text(String::from_utf8_lossy(&letter.body).into_owned()),
    }
}
