//! What people are shown of values that were given to a run: not the secrets of its job.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::time::timeout;

use super::{environment::Surroundings, mask::Masks};
use crate::manifest::{spec::Spec, userinfo::MASK};

/// How long the files of secrets may take. Who waits is a person who wants a table.
const SECRETS_MAX: Duration = Duration::from_secs(2);

/// What is not to be shown of the values of a job.
#[derive(Debug)]
pub enum Conceal {
    /// The secrets that its manifest names.
    Secrets(Masks),
    /// Everything: they are not known.
    All,
}

impl Conceal {
    /// Looks the secrets of a job up. While one of them is not there, any value could be it.
    pub async fn of(spec: &Spec) -> Self {
        match timeout(SECRETS_MAX, Surroundings::of(spec, &BTreeMap::new())).await {
            Ok(Ok(found)) => Self::Secrets(Masks::of(found.secrets.values())),
            _ => Self::All,
        }
    }

    /// A value as it may be shown.
    #[must_use]
    pub fn shown(&self, value: &Value) -> Value {
        let Self::Secrets(masks) = self else { return Value::from(MASK) };
        match value {
            Value::Array(items) => items.iter().map(|item| self.shown(item)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, value)| (masks.text(key), self.shown(value))).collect()
            }
            Value::String(text) => Value::from(masks.text(text)),
            other => {
                let text = other.to_string();
                let masked = masks.text(&text);
                if masked == text { other.clone() } else { Value::from(masked) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    #[rustfmt::skip]
    fn conceal_table() {
        let secrets = Conceal::Secrets(Masks::of(["hunter22".to_owned(), "31415926".to_owned()].iter()));
        let check = |value: Value, expected: Value| assert_eq!(secrets.shown(&value), expected, "{value}");
        check(json!("csv"),                           json!("csv"));
        check(json!("x hunter22"),                    json!("x ***"));
        check(json!(["a", {"hunter22": "hunter22"}]), json!(["a", {"***": "***"}]));
        check(json!(31_415_926),                      json!("***"));
        check(json!([2, true, null]),                 json!([2, true, null]));
        assert_eq!(Conceal::All.shown(&json!([1])), json!("***"));
    }
}
