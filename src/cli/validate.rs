//! `tintal validate`: all problems of all files.

use std::{
    env,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    Exit, Failure,
    format::{self, Findings},
    tree::{self, View},
};
use crate::{
    config::{Settings, file::SETTINGS_FILE, settings::Origin},
    manifest::{
        code::Code,
        problem::{Problem, Severity},
    },
};

/// Most other places that are shown of a problem: broken defaults concern every job under them.
const RELATED_MAX: usize = 5;

/// Check manifests: all problems of all files in one run
#[derive(Debug, Args)]
pub(super) struct Validate {
    /// Files and directories; `-` reads stdin [default: the directory of manifests]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,

    /// Print JSON: the same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Where stdin's text belongs, for its name and the defaults that hold there
    #[arg(long, value_name = "FILE")]
    stdin_filename: Option<PathBuf>,

    /// Let warnings be errors
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    #[value(help = "github in GitHub Actions, else text")]
    Auto,
    /// For people, with the lines in question
    Text,
    /// One line each
    Concise,
    /// One document
    Json,
    /// SARIF 2.1.0
    Sarif,
    #[value(help = "Workflow commands of GitHub Actions")]
    Github,
    #[value(help = "A code quality report of GitLab")]
    Gitlab,
    #[value(help = "The XML of JUnit")]
    Junit,
}

impl Validate {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        self.usage()?;
        let mut findings = self.findings(settings)?;
        findings.problems.iter_mut().for_each(|problem| problem.shorten(RELATED_MAX));
        if findings.files == 0 && findings.problems.is_empty() {
            let places: Vec<String> = self.paths.iter().map(|path| format!("`{}`", path.display())).collect();
            let place =
                if places.is_empty() { format!("`{}`", settings.jobs.display()) } else { places.join(", ") };
            return Err(format!(
                "there is no manifest in {place}; manifests end in `.yaml` or `.yml`, and `tintal init` writes some"
            )
            .into());
        }
        if self.strict {
            for problem in &mut findings.problems {
                problem.severity = Severity::Error;
            }
        }
        self.write(&findings)?;
        let found = findings.problems.iter().any(|problem| problem.severity == Severity::Error);
        let untold = findings.untold || findings.files == 0;
        Ok(match (untold, found) {
            (true, _) => Exit::Trouble,
            (false, true) => Exit::Found,
            (false, false) => Exit::Clean,
        })
    }

    /// What the arguments cannot mean together.
    fn usage(&self) -> Result<(), Failure> {
        let stdins = self.paths.iter().filter(|path| is_stdin(path)).count();
        match (&self.stdin_filename, stdins) {
            (_, 2..) => Err("stdin can be read once: give `-` once".into()),
            (Some(_), 0) => Err("`--stdin-filename` is about stdin: add `-` to the paths".into()),
            (Some(path), _) if path.is_dir() || path.file_name().is_none() => {
                let path = path.display();
                Err(format!("`--stdin-filename` names a file, and `{path}` is a directory").into())
            }
            _ => Ok(()),
        }
    }

    fn findings(&self, settings: &Settings) -> Result<Findings, Failure> {
        if self.paths.is_empty() {
            return Ok(whole(tree::load(settings)?));
        }
        let mut all = Findings::default();
        let mut alone = Vec::new();
        let mut shown = Vec::new();
        let mut given = None;
        let mut inside = Vec::new();
        let mut replaced = None;
        for path in &self.paths {
            let stdin = if is_stdin(path) { Some(read_stdin()?) } else { None };
            let path = stdin.as_ref().map_or_else(|| tree::governed(path), |_| self.stdin_path().to_owned());
            let path = path.as_path();
            let is_there = if stdin.is_some() { settings.jobs.is_dir() } else { path.exists() };
            let relative = tree::relative(path, &settings.jobs).filter(|_| is_there);
            match (relative, stdin) {
                (Some(relative), stdin) => {
                    replaced = stdin.map(|text| tree::file_of(&relative, text)).or(replaced);
                    inside.push(relative);
                }
                (None, Some(text)) => {
                    shown.push(path.display().to_string());
                    given = Some(tree::file_of(&path.display().to_string(), text));
                }
                (None, None) if path.is_dir() => {
                    all.add(whole(tree::load_with(settings, path, None)?));
                }
                (None, None) if is_settings(path, settings) => {
                    let path = path.display();
                    return Err(format!(
                        "`{path}` holds settings, and is no manifest; `tintal config` checks it"
                    )
                    .into());
                }
                (None, None) => {
                    shown.push(path.display().to_string());
                    alone.push(path.to_owned());
                }
            }
        }
        if !inside.is_empty() {
            // The whole tree is loaded: defaults and names are matters of all of it.
            let view = tree::load_with(settings, &settings.jobs, replaced)?;
            all.add(within(view, &inside));
        }
        if !shown.is_empty() {
            all.add(only(tree::load_files(settings, &alone, given), &shown));
        }
        all.sort();
        Ok(all)
    }

    /// The file that stdin stands for.
    fn stdin_path(&self) -> &Path {
        self.stdin_filename.as_deref().unwrap_or(Path::new("stdin.yaml"))
    }

    fn write(&self, findings: &Findings) -> Result<(), Failure> {
        let format = match if self.json { Format::Json } else { self.format } {
            Format::Auto if env::var_os("GITHUB_ACTIONS").is_some_and(|set| set == "true") => Format::Github,
            Format::Auto => Format::Text,
            other => other,
        };
        let look = format::text::Look::detect();
        let text = match format {
            Format::Auto | Format::Text => format::text::render(&findings.problems, look),
            Format::Concise => format::concise::render(findings),
            Format::Json => format::json::render(findings),
            Format::Sarif => format::sarif::render(findings),
            Format::Github => format::github::render(findings),
            Format::Gitlab => format::gitlab::render(findings),
            Format::Junit => format::junit::render(findings),
        };
        std::io::stdout().write_all(text.as_bytes())?;
        writeln!(std::io::stderr(), "{}", findings.summary())?;
        Ok(())
    }
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text)?;
    Ok(text)
}

/// Whether a file is the one with the settings, by its name or since they were read from it.
fn is_settings(path: &Path, settings: &Settings) -> bool {
    let is_it =
        |origin: &Origin| matches!(origin, Origin::File { path: read, .. } if Path::new(read) == path);
    path.file_name().is_some_and(|name| name == SETTINGS_FILE)
        || settings.origins.values().any(|(_, origin)| is_it(origin))
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What was found in a whole tree.
fn whole(view: View) -> Findings {
    let View { mut tree, files, loader, .. } = view;
    let jobs = std::mem::take(&mut tree.jobs);
    let findings = Findings { jobs: jobs.len(), ..Findings::of(tree) };
    // The process ends soon: to give ten thousand jobs back one by one is a tenth of its time.
    std::mem::forget((jobs, files, loader));
    findings
}

/// What concerns paths in the tree.
fn within(view: View, paths: &[String]) -> Findings {
    // Who changes defaults wants to know what becomes of the jobs under them.
    let governed = |path| tree::directory_of_defaults(path).unwrap_or(path);
    let wanted: Vec<&Path> = paths.iter().map(|path| governed(Path::new(path))).collect();
    let inside = |path: &str| wanted.iter().any(|wanted| Path::new(path).starts_with(wanted));
    let files = view.files.iter().filter(|file| inside(&file.path)).count();
    let jobs = view.tree.jobs.values().filter(|job| inside(&job.origin.path)).count();
    let prefix = view.prefix;
    let concerns = |shown: &str| shown.strip_prefix(&prefix).is_some_and(inside);
    let problems: Vec<Problem> = view
        .tree
        .problems
        .into_iter()
        .filter(|problem| {
            // Defaults that break a job, and the other half of a pair, concern it too.
            concerns(&problem.primary.place.source.path)
                || problem.related.iter().any(|label| concerns(&label.place.source.path))
        })
        .collect();
    let named = |shown: &str| shown.strip_prefix(&prefix).is_some_and(|path| paths.iter().any(|p| p == path));
    let untold = unread(&problems, named);
    Findings { files, jobs, problems, untold }
}

/// Whether a file or directory that was named cannot be read.
fn unread(problems: &[Problem], named: impl Fn(&str) -> bool) -> bool {
    problems
        .iter()
        .any(|problem| problem.code == Code::Unreadable && named(&problem.primary.place.source.path))
}

fn only(view: View, shown: &[String]) -> Findings {
    let named = |path: &str| shown.iter().any(|shown| shown == path);
    let jobs = view.tree.jobs.values().filter(|job| named(&job.origin.path)).count();
    let untold = unread(&view.tree.problems, named);
    Findings { files: shown.len(), jobs, problems: view.tree.problems, untold }
}
