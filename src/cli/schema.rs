//! `tintal schema`: the JSON Schemas of what people write.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{Exit, Failure, console};
use crate::{
    config::file::SettingsFile,
    manifest::{pages, schema},
    tier::matrix,
};

/// Print a JSON Schema, or write all of them
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Which one
    #[arg(value_enum, default_value_t = Which::Job)]
    which: Which,

    /// Write all of them, and the documents made from the same sources, under this directory
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// A manifest
    Job,
    /// `_defaults.yaml`
    Defaults,
    /// `tintal.yaml`
    Settings,
}

/// Every generated file, relative to the root of the repository, with its content.
#[must_use]
pub fn generated() -> Vec<(&'static str, String)> {
    let pretty = |schema: Value| format!("{schema:#}\n");
    vec![
        ("schemas/job.schema.json", pretty(schema::job())),
        ("schemas/defaults.schema.json", pretty(schema::defaults())),
        ("schemas/settings.schema.json", pretty(schema::generate::<SettingsFile>("settings"))),
        ("docs/decision-matrix.md", matrix::markdown()),
        ("docs/diagnostics.md", pages::markdown()),
    ]
}

impl Schema {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Some(root) = &self.write else {
            let schema = match self.which {
                Which::Job => schema::job(),
                Which::Defaults => schema::defaults(),
                Which::Settings => schema::generate::<SettingsFile>("settings"),
            };
            console::json(&schema)?;
            return Ok(Exit::Clean);
        };
        for (path, content) in generated() {
            let path = root.join(path);
            let written = path
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(&path, content));
            written.map_err(|error| format!("`{}` cannot be written: {error}", path.display()))?;
            writeln!(console::out(), "{}", path.display())?;
        }
        Ok(Exit::Clean)
    }
}
