//! `tintal schema`: the JSON Schemas of what people write.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{Exit, Failure, console, exit_codes};
use crate::{
    backend::queue::envelope::Envelope,
    config::file::SettingsFile,
    manifest::{pages, reference, schema},
    tier::matrix,
};

/// Print a JSON Schema, or write all of them
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Schema to print
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
    /// A message of the queue tier
    Envelope,
}

/// What stands above the fields of a manifest.
const MANIFEST: &str =
    "One YAML document asks for one job. A file may hold several documents (`---`); then each has a
`name`. Files end in `.yaml` or `.yml`; subdirectories are read, hidden files are not. Unknown keys are
errors. Values may hold templates (`{{ fire_time.date }}`); they see `job`, `fire_time`, `run_id`,
`attempt`, `params`, in a step the `steps` that it needs, and in `http` the `secrets`.

`_defaults.yaml` gives defaults to the jobs in and under its directory; the nearest file wins, and what
the job says wins over all. `tintal explain JOB` shows where each value comes from.

Editors check and complete with a first line such as
`# yaml-language-server: $schema=../schemas/job.schema.json`.";

/// What stands above the settings.
const SETTINGS: &str =
    "Settings come from `tintal.yaml` in the working directory (or the file that `--config` or
`TINTAL_CONFIG` names), then from the environment, then from flags; the later wins. A variable is
`TINTAL_` and the key in capitals, with two underscores between levels: `TINTAL_LOG__FORMAT=json` is
`log.format`. Unknown keys and variables are errors, and so is a value that is not UTF-8 text.
Where a setting takes text, a variable or flag is that text, quotes and `#` included.
`tintal config` shows each value and where it comes from. Secrets are references: a variable or a file
that is read when it is needed, never a value, nor a password in a URL.

Three kinds of variables are no settings: `TINTAL_CONFIG`, those that runs see (`TINTAL_JOB`,
`TINTAL_RUN_ID`, `TINTAL_FIRE_TIME`, `TINTAL_ATTEMPT`, `TINTAL_STEP`), and those that Kubernetes sets
beside a Service whose name is `tintal` or begins with `tintal-` (`TINTAL_SERVICE_HOST=10.0.0.1`,
`TINTAL_PORT=tcp://10.0.0.1:80`). The last are known by the form of both name and value.

```yaml settings
jobs: jobs.d
state: .tintal
ledger: file
log:
  format: text
  level: info
history:
  keep_last: 1000
  max_age: 30d
queue:
  backend: main
  backends:
    main:
      redis-streams:
        url: redis://redis.example.com:6379
        password: {env: REDIS_PASSWORD}
```

The kinds of backends are in [examples/queues](../examples/queues), each with all of its options, and what
each promises is in [the decision matrix](decision-matrix.md#backends-of-the-queue-tier). A variable may
give one option of a backend, as `TINTAL_QUEUE__BACKENDS__MAIN__NATS__REPLICAS=3` does, or in YAML all of
them: `TINTAL_QUEUE__BACKENDS='{main: {redis-streams: {}}}'`.

Paths in the file are relative to the file; those of variables and flags to the working directory.";

/// Every generated file, relative to the root of the repository, with its content.
#[must_use]
pub fn generated() -> Vec<(&'static str, String)> {
    let settings = schema::generate::<SettingsFile>("settings");
    let pretty = |schema: Value| format!("{schema:#}\n");
    vec![
        ("schemas/job.schema.json", pretty(schema::job())),
        ("schemas/defaults.schema.json", pretty(schema::defaults())),
        ("schemas/settings.schema.json", pretty(schema::generate::<SettingsFile>("settings"))),
        ("schemas/envelope.schema.json", pretty(schema::generate::<Envelope>("envelope"))),
        ("docs/decision-matrix.md", matrix::markdown()),
        ("docs/diagnostics.md", pages::markdown()),
        ("docs/manifest.md", reference::markdown(&schema::job(), "Fields of a manifest", MANIFEST)),
        ("docs/exit-codes.md", exit_codes::markdown()),
        ("docs/configuration.md", reference::markdown(&settings, "Settings", SETTINGS)),
    ]
}

impl Schema {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Some(root) = &self.write else {
            let schema = match self.which {
                Which::Job => schema::job(),
                Which::Defaults => schema::defaults(),
                Which::Settings => schema::generate::<SettingsFile>("settings"),
                Which::Envelope => schema::generate::<Envelope>("envelope"),
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
