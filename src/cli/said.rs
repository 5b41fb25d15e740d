//! Text or JSON: the flags of all commands that say what they found.

use clap::{Args, ValueEnum};

/// How a command says it.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Said {
    /// How to say it
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,

    /// Print JSON: the same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// One document
    Json,
}

impl Said {
    /// Whether one document of JSON is asked for.
    pub(super) fn is_json(self) -> bool {
        self.json || self.format == Form::Json
    }
}
