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
use crate::{config::Settings, manifest::problem::Severity};

/// Most other places that are shown of a problem: broken defaults concern every job under them.
const RELATED_MAX: usize = 5;

/// Check manifests: all problems of all files in one run
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 no errors, 1 errors, 2 it could not be told")]
pub(super) struct Validate {
    /// Files and directories; `-` reads stdin [default: the directory of manifests]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,

    /// Where stdin's text belongs, for its name and the defaults that hold there
    #[arg(long, value_name = "FILE")]
    stdin_filename: Option<PathBuf>,

    /// Let warnings count as errors
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// `github` in `GitHub` Actions, else `text`
    Auto,
    /// For people, with the lines in question
    Text,
    /// One line each
    Concise,
    /// One document
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// Workflow commands of `GitHub` Actions
    Github,
    /// A code quality report of `GitLab`
    Gitlab,
    /// The XML of `JUnit`
    Junit,
}

impl Validate {
    pub(super) fn run(self, settings: &Settings) -> Result<Exit, Failure> {
        let mut findings = self.findings(settings)?;
        findings.problems.iter_mut().for_each(|problem| problem.shorten(RELATED_MAX));
        if findings.files == 0 {
            let places: Vec<String> = self.paths.iter().map(|path| format!("`{}`", path.display())).collect();
            let place =
                if places.is_empty() { format!("`{}`", settings.jobs.display()) } else { places.join(", ") };
            return Err(format!(
                "there is no manifest in {place}; manifests end in `.yaml` or `.yml`, and `tintal init` writes some"
            )
            .into());
        }
        self.write(&findings)?;
        let counts = |severity| severity == Severity::Error || self.strict;
        let found = findings.problems.iter().any(|problem| counts(problem.severity));
        Ok(if found { Exit::Found } else { Exit::Clean })
    }

    fn findings(&self, settings: &Settings) -> Result<Findings, Failure> {
        if self.paths.is_empty() {
            return Ok(Findings::of(tree::load(settings)?.tree));
        }
        let mut all = Findings::default();
        let mut alone = Vec::new();
        let mut inside = Vec::new();
        for path in &self.paths {
            let path = &tree::governed(path);
            if path.as_os_str() == "-" {
                all.add(self.stdin(settings)?);
            } else if let Some(relative) = tree::relative(path, &settings.jobs).filter(|_| path.exists()) {
                inside.push(relative);
            } else if path.is_dir() {
                all.add(Findings::of(tree::load_with(settings, path, None)?.tree));
            } else {
                alone.push(path.clone());
            }
        }
        if !inside.is_empty() {
            // The whole tree is loaded: defaults and names are matters of all of it.
            let view = tree::load(settings)?;
            all.add(within(view, &inside));
        }
        if !alone.is_empty() {
            let shown: Vec<String> = alone.iter().map(|path| path.display().to_string()).collect();
            all.add(only(tree::load_files(settings, &alone, None), &shown));
        }
        all.sort();
        Ok(all)
    }

    fn stdin(&self, settings: &Settings) -> Result<Findings, Failure> {
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text)?;
        let path = self.stdin_filename.clone().unwrap_or_else(|| PathBuf::from("stdin.yaml"));
        if let Some(relative) = tree::relative(&path, &settings.jobs).filter(|_| settings.jobs.is_dir()) {
            let view = tree::load_with(settings, &settings.jobs, Some(tree::file_of(&relative, text)))?;
            return Ok(within(view, &[relative]));
        }
        let shown = path.display().to_string();
        Ok(only(tree::load_files(settings, &[], Some(tree::file_of(&shown, text))), &[shown]))
    }

    fn write(&self, findings: &Findings) -> Result<(), Failure> {
        let format = match self.format {
            Format::Auto if env::var_os("GITHUB_ACTIONS").is_some_and(|set| set == "true") => Format::Github,
            Format::Auto => Format::Text,
            other => other,
        };
        let look = format::text::Look::detect();
        let text = match format {
            Format::Auto | Format::Text => {
                findings.problems.iter().map(|problem| format::text::render(problem, look)).collect()
            }
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
    let problems = view
        .tree
        .problems
        .into_iter()
        .filter(|problem| {
            // Defaults that break a job, and the other half of a pair, concern it too.
            concerns(&problem.primary.place.source.path)
                || problem.related.iter().any(|label| concerns(&label.place.source.path))
        })
        .collect();
    Findings { files, jobs, problems }
}

fn only(view: View, shown: &[String]) -> Findings {
    let named = |path: &str| shown.iter().any(|shown| shown == path);
    let jobs = view.tree.jobs.values().filter(|job| named(&job.origin.path)).count();
    Findings { files: shown.len(), jobs, problems: view.tree.problems }
}
