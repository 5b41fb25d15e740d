//! `tintal config`: each setting, and where it comes from.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{Exit, Failure, console, said::Said, table};
use crate::config::Settings;

/// Show each setting and where it comes from
#[derive(Debug, Args)]
#[command(name = "config")]
pub(super) struct ConfigShow {
    #[command(flatten)]
    said: Said,
}

impl ConfigShow {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        if self.said.is_json() {
            let values: Map<_, _> = settings
                .origins
                .iter()
                .map(|(key, (value, origin))| {
                    (key.clone(), json!({"value": value, "origin": origin.to_string()}))
                })
                .collect();
            console::json(&json!({"v": 1, "settings": values}))?;
            return Ok(Exit::Clean);
        }
        let rows = settings
            .origins
            .iter()
            .map(|(key, (value, origin))| [key.clone(), shown(value), origin.to_string()]);
        table::print(["setting", "value", "from"], rows)?;
        Ok(Exit::Clean)
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
