//! `tintal import`: jobs from elsewhere.

mod target;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Exit, Failure, console, format::plural, said::Said};
use crate::{
    config::Settings,
    import::{self, Imported, ImportedJob, Kind, Names, Note},
    manifest::name::JobName,
};
use target::Target;

/// Most characters of a line that are shown under what is said about it.
const SHOWN_MAX: usize = 200;

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

/// Convert crontabs, and report what could not be converted
#[derive(Debug, Args)]
struct Crontab {
    /// The crontabs; `-` reads stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// They have a column with the user, as /etc/crontab and /etc/cron.d/* do
    #[arg(long)]
    system: bool,

    /// The machine's time zone, for lines without `CRON_TZ` [default: none, which is UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,

    /// Write one file for each job into this directory, all or none [default: print them]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    #[command(flatten)]
    said: Said,
}

/// A crontab with what came of it.
struct Source {
    shown: String,
    bytes: Vec<u8>,
    imported: Imported,
}

#[derive(Serialize)]
struct Report<'a> {
    v: u32,
    jobs: Vec<JobReport<'a>>,
    notes: Vec<NoteReport<'a>>,
}

#[derive(Serialize)]
struct JobReport<'a> {
    name: &'a str,
    /// The crontab and its line.
    file: &'a str,
    line: usize,
    /// What was written.
    path: Option<String>,
    manifest: &'a str,
}

#[derive(Serialize)]
struct NoteReport<'a> {
    file: &'a str,
    line: usize,
    text: &'a str,
    lost: bool,
}

impl Import {
    pub(super) fn run(self, settings: impl FnOnce() -> Result<Settings, Failure>) -> Result<Exit, Failure> {
        let From::Crontab(command) = self.from;
        command.run(&settings()?)
    }
}

impl Crontab {
    fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        if let Some(reason) = self.timezone.as_deref().and_then(import::wrong_zone) {
            return Err(format!("--timezone: {reason}").into());
        }
        let mut target = Target::read(self.out.as_deref(), settings)?;
        let mut sources = self.sources()?;
        let in_the_way = target.in_the_way(&jobs(&sources));
        let free: Vec<&ImportedJob> =
            jobs(&sources).into_iter().filter(|job| !in_the_way.contains_key(&job.name)).collect();
        let refused = target.refused(&free);
        refuse(&mut sources, &refused);
        let written = if in_the_way.is_empty() {
            target.write(&jobs(&sources))
        } else {
            Err(target::told(&in_the_way).into())
        };
        self.report(&sources, written.as_deref().unwrap_or_default())?;
        written?;
        let lost = sources.iter().flat_map(|source| &source.imported.notes).any(|note| note.is_lost);
        Ok(if lost { Exit::Found } else { Exit::Clean })
    }

    /// Reads and converts the files. Names are unique over all of them.
    fn sources(&self) -> Result<Vec<Source>, Failure> {
        let kind = if self.system { Kind::System } else { Kind::User };
        let read: Vec<(String, Vec<u8>)> =
            self.files.iter().map(|file| read(file)).collect::<Result<_, Failure>>()?;
        let mut names = Names::default();
        let convert = |(shown, bytes): (String, Vec<u8>)| {
            let crontab = import::Crontab { bytes: &bytes, kind, zone: self.timezone.as_deref() };
            let imported = import::crontab(crontab, &mut names);
            Source { shown, bytes, imported }
        };
        Ok(read.into_iter().map(convert).collect())
    }

    /// Says what came of it. `written` is empty, or has the files of all jobs in their order.
    fn report(&self, sources: &[Source], written: &[PathBuf]) -> Result<(), Failure> {
        if self.said.is_json() {
            return Ok(console::json(&json(sources, written))?);
        }
        let mut out = console::out();
        let jobs = jobs(sources);
        if self.out.is_none() {
            let documents: Vec<&str> = jobs.iter().map(|job| job.yaml.as_str()).collect();
            write!(out, "{}", documents.join("---\n"))?;
        }
        for path in written {
            writeln!(out, "{}", path.display())?;
        }
        out.flush()?;
        let mut err = std::io::stderr();
        for source in sources {
            for note in &source.imported.notes {
                let word = if note.is_lost { "not converted" } else { "note" };
                writeln!(err, "{}:{}: {word}: {}", source.shown, note.line, note.text)?;
                if note.is_lost {
                    writeln!(err, "    {}", line(&source.bytes, note.line))?;
                }
            }
        }
        let from = match sources {
            [source] => source.shown.clone(),
            _ => plural(sources.len(), "file"),
        };
        writeln!(err, "{} from {from}", plural(jobs.len(), "job"))?;
        Ok(())
    }
}

fn read(file: &Path) -> Result<(String, Vec<u8>), Failure> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(("stdin".to_owned(), bytes));
    }
    let shown = file.display().to_string();
    let bytes = fs::read(file).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    Ok((shown, bytes))
}

fn jobs(sources: &[Source]) -> Vec<&ImportedJob> {
    sources.iter().flat_map(|source| &source.imported.jobs).collect()
}

/// Takes the jobs out that could not be loaded, and says so at their lines.
fn refuse(sources: &mut [Source], refused: &BTreeMap<JobName, String>) {
    for Source { imported, .. } in sources {
        for job in &imported.jobs {
            if let Some(reason) = refused.get(&job.name) {
                imported.notes.push(Note::lost(job.line, reason.as_str()));
            }
        }
        imported.jobs.retain(|job| !refused.contains_key(&job.name));
        imported.notes.sort_by_key(|note| note.line);
    }
}

/// A line as it is shown under what is said about it.
fn line(bytes: &[u8], number: usize) -> String {
    let line = bytes.split(|byte| *byte == b'\n').nth(number - 1).unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let text: String = text.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}

fn json<'a>(sources: &'a [Source], written: &[PathBuf]) -> Report<'a> {
    let mut paths = written.iter();
    let jobs = sources.iter().flat_map(|source| source.imported.jobs.iter().map(|job| (&source.shown, job)));
    let notes =
        sources.iter().flat_map(|source| source.imported.notes.iter().map(|note| (&source.shown, note)));
    Report {
        v: 1,
        jobs: jobs
            .map(|(file, job)| JobReport {
                name: job.name.as_str(),
                file,
                line: job.line,
                path: paths.next().map(|path| path.display().to_string()),
                manifest: &job.yaml,
            })
            .collect(),
        notes: notes
            .map(|(file, note)| NoteReport { file, line: note.line, text: &note.text, lost: note.is_lost })
            .collect(),
    }
}
