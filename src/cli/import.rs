//! `tintal import`: jobs from elsewhere.

use std::{fs, io::Write as _, path::PathBuf};

use clap::{Args, Subcommand};

use super::{Exit, Failure, console};
use crate::import::{Kind, crontab};

/// Turn what other schedulers have into manifests
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Crontab(Crontab),
}

/// Convert a crontab, and report what could not be converted
#[derive(Debug, Args)]
struct Crontab {
    /// The crontab
    file: PathBuf,

    /// It has a column with the user, as /etc/crontab and /etc/cron.d do
    #[arg(long)]
    system: bool,

    /// Write one file for each job into this directory, instead of stdout
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Import {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let From::Crontab(command) = self.from;
        command.run()
    }
}

impl Crontab {
    fn run(self) -> Result<Exit, Failure> {
        let shown = self.file.display();
        let text =
            fs::read_to_string(&self.file).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
        let kind = if self.system { Kind::System } else { Kind::User };
        let imported = crontab(&text, kind);
        match &self.out {
            None => {
                let documents: Vec<&str> = imported.jobs.iter().map(|job| job.yaml.as_str()).collect();
                write!(console::out(), "{}", documents.join("---\n"))?;
            }
            Some(directory) => {
                fs::create_dir_all(directory)?;
                for job in &imported.jobs {
                    let path = directory.join(format!("{}.yaml", job.name));
                    let mut file = fs::OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .open(&path)
                        .map_err(|error| format!("`{}` cannot be written: {error}", path.display()))?;
                    file.write_all(job.yaml.as_bytes())?;
                    writeln!(console::out(), "{}", path.display())?;
                }
            }
        }
        let mut err = std::io::stderr();
        for note in &imported.notes {
            let word = if note.is_lost { "not converted" } else { "note" };
            writeln!(err, "{shown}:{}: {word}: {}", note.line, note.text)?;
        }
        writeln!(err, "{} from {shown}", super::format::plural(imported.jobs.len(), "job"))?;
        let lost = imported.notes.iter().any(|note| note.is_lost);
        Ok(if lost { Exit::Found } else { Exit::Clean })
    }
}
