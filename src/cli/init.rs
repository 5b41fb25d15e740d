//! `tintal init`: a working tree to begin with.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Exit, Failure, console, schema::generated};

const SETTINGS: &str = "# yaml-language-server: $schema=schemas/settings.schema.json
# Settings of Tintal. Every key may be left out; `tintal config` shows what holds.
jobs: jobs.d
state: .tintal
";

const HELLO: &str = "# yaml-language-server: $schema=../schemas/job.schema.json
description: Say hello once a minute
schedule:
  cron: \"* * * * *\"
run:
  command: [echo, \"hello, it is {{ fire_time }}\"]
policy:
  timeout: 10s
";

const DISK: &str = "# yaml-language-server: $schema=../schemas/job.schema.json
description: Fail when the disk of the working directory is nearly full
schedule:
  every: 5m
params:
  percent_max: 90
run:
  shell: |
    used=$(df --output=pcent . | tail -n 1 | tr -dc 0-9)
    echo \"$used % used\"
    [ \"$used\" -lt {{ params.percent_max }} ]
policy:
  timeout: 30s
";

const IGNORE: &str = "# What the daemon remembers.
.tintal/
";

/// Write a working tree: settings, manifests, and schemas for editors
#[derive(Debug, Args)]
pub(super) struct Init {
    /// Where
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
}

impl Init {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut files = vec![
            ("tintal.yaml", SETTINGS.to_owned()),
            ("jobs.d/hello.yaml", HELLO.to_owned()),
            ("jobs.d/disk-space.yaml", DISK.to_owned()),
            (".gitignore", IGNORE.to_owned()),
        ];
        files.extend(generated().into_iter().filter(|(path, _)| path.starts_with("schemas/")));
        let mut out = console::out();
        for (path, content) in files {
            let target = self.directory.join(path);
            let word = match write_new(&target, &content) {
                Ok(true) => "wrote",
                Ok(false) => "kept ",
                Err(error) => return Err(format!("`{}` cannot be written: {error}", target.display()).into()),
            };
            writeln!(out, "{word} {}", target.display())?;
        }
        writeln!(std::io::stderr(), "next: `tintal validate`, then `tintal serve`")?;
        Ok(Exit::Clean)
    }
}

/// Writes a file that is not there yet; `false` when it is.
fn write_new(path: &Path, content: &str) -> io::Result<bool> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(content.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
