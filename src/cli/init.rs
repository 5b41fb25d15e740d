//! `tintal init`: a working tree to begin with.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Exit, Failure, console, schema::generated, settings};
use crate::config::{FileWanted, Flags, Settings, file::SETTINGS_FILE};

const HELLO: &str = "description: Say hello once a minute
schedule:
  cron: \"* * * * *\"
run:
  command: [echo, \"hello, it is {{ fire_time }}\"]
policy:
  timeout: 10s
";

const DISK: &str = "description: Fail when the disk of the working directory is nearly full
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

/// Write a working tree: settings, manifests, and schemas for editors
#[derive(Debug, Args)]
#[command(
    after_help = "What is there already is kept. `--config` says where the settings go instead, `--jobs` and \
                  `--state` what they say."
)]
pub(super) struct Init {
    /// Directory to write into [default: the working directory]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// What to write, and where.
#[derive(Debug)]
struct Scaffold {
    /// The file of settings.
    config: PathBuf,
    /// The directory that it is in, with the schemas and `.gitignore`.
    root: PathBuf,
    settings: Settings,
}

impl Init {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let had = flags.values.clone();
        let scaffold = self.scaffold(flags)?;
        let is_new = !scaffold.config.exists();
        let files = scaffold.files();
        let ignore = scaffold.ignore();
        let all = files.iter().map(|(path, _)| path).chain(ignore.as_ref().map(|(path, _)| path));
        // Nothing is written when not all can be.
        let mut in_the_way: Vec<String> = all.filter_map(|path| obstacle(path)).collect();
        // One file may be in the way of several.
        in_the_way.dedup();
        if !in_the_way.is_empty() {
            return Err(format!("nothing was written: {}", in_the_way.join("; ")).into());
        }
        let mut out = console::out();
        for (path, content) in files {
            let word = if write_new(&path, &content).map_err(|error| unwritable(&path, &error))? {
                "wrote"
            } else {
                "kept "
            };
            writeln!(out, "{word} {}", path.display())?;
        }
        if let Some((path, line)) = ignore {
            let word = add_line(&path, &line).map_err(|error| unwritable(&path, &error))?;
            writeln!(out, "{word} {}", path.display())?;
        }
        let mut command = "tintal".to_owned();
        if scaffold.config != Path::new(SETTINGS_FILE) {
            command = format!("{command} --config {}", shell_word(&scaffold.config.to_string_lossy()));
        }
        if !is_new {
            // The file that was kept does not say it.
            for (_, flag, value) in &had {
                command = format!("{command} {flag} {}", shell_word(&value.to_string_lossy()));
            }
        }
        writeln!(io::stderr(), "next: `{command} validate`, then `{command} serve`")?;
        Ok(Exit::Clean)
    }

    fn scaffold(self, mut flags: Flags) -> Result<Scaffold, Failure> {
        let named = match (&flags.file, env::var_os("TINTAL_CONFIG")) {
            (FileWanted::Named(path), _) => Some(path.clone()),
            // A directory on the command line says more than the environment.
            (_, Some(path)) if self.directory.is_none() => Some(PathBuf::from(path)),
            _ => None,
        };
        let config = match (named, self.directory) {
            (Some(_), Some(_)) => {
                return Err("give either a directory or `--config`: both say where the settings go".into());
            }
            (Some(config), None) => config,
            (None, directory) => directory.unwrap_or_default().join(SETTINGS_FILE),
        };
        if config.as_os_str().is_empty() {
            return Err("`--config`, or `TINTAL_CONFIG`, names no file: it is empty".into());
        }
        let root = config.parent().map(Path::to_owned).unwrap_or_default();
        flags.file = if config.exists() {
            FileWanted::Named(config.clone())
        } else {
            FileWanted::ToCome(root.clone())
        };
        Ok(Scaffold { settings: settings(&flags)?, config, root })
    }
}

impl Scaffold {
    fn files(&self) -> Vec<(PathBuf, String)> {
        let modeline = |from: &Path, schema: &str| {
            let schema = self.root.join("schemas").join(schema);
            format!("# yaml-language-server: $schema={}\n", relative(from, &schema))
        };
        let settings = format!(
            "{}# Settings of Tintal. Every key may be left out; `tintal config` shows what holds.\njobs: {}\nstate: {}\n",
            modeline(&self.root, "settings.schema.json"),
            yaml_word(&self.beside(&self.settings.jobs)),
            yaml_word(&self.beside(&self.settings.state)),
        );
        let job = modeline(&self.settings.jobs, "job.schema.json");
        let mut files = vec![
            (self.config.clone(), settings),
            (self.settings.jobs.join("hello.yaml"), format!("{job}{HELLO}")),
            (self.settings.jobs.join("disk-space.yaml"), format!("{job}{DISK}")),
        ];
        let schemas = generated().into_iter().filter(|(path, _)| path.starts_with("schemas/"));
        files.extend(schemas.map(|(path, content)| (self.root.join(path), content)));
        files
    }

    /// A path as the file of settings says it: relative to itself where it can.
    fn beside(&self, path: &Path) -> String {
        let (path, root) = (absolute(path), absolute(&self.root));
        path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned()
    }

    /// What git is not to see: the state directory, when it lies in the tree.
    fn ignore(&self) -> Option<(PathBuf, String)> {
        let state = self.beside(&self.settings.state);
        Path::new(&state).is_relative().then(|| (self.root.join(".gitignore"), format!("{state}/")))
    }
}

fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A path as seen from a directory.
fn relative(from: &Path, to: &Path) -> String {
    let (from, to) = (absolute(from), absolute(to));
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Path::new("..").to_owned());
    let down = to.components().skip(shared).map(|part| PathBuf::from(part.as_os_str()));
    up.chain(down).collect::<PathBuf>().to_string_lossy().into_owned()
}

/// Quotes what YAML would not read as the text that it is.
fn yaml_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if text.starts_with(|c: char| c.is_alphabetic() || c == '/' || c == '.') && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

/// Quotes what a shell would not read as one word.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    format!("`{}` cannot be written: {error}", path.display()).into()
}

/// What is where a file, or a directory above it, would be.
fn obstacle(path: &Path) -> Option<String> {
    if path.is_dir() {
        return Some(format!("`{}` is a directory", path.display()));
    }
    path.ancestors()
        .skip(1)
        .filter(|parent| !parent.as_os_str().is_empty())
        .find(|parent| parent.symlink_metadata().is_ok() && !parent.is_dir())
        .map(|parent| format!("`{}` is not a directory", parent.display()))
}

/// Writes a file that is not there yet; `false` when it is.
fn write_new(path: &Path, content: &str) -> io::Result<bool> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            let written = file.write_all(content.as_bytes());
            if written.is_err() {
                // Half a file would be kept by the next `init`. The first error is the one to tell.
                let _ = fs::remove_file(path);
            }
            written.map(|()| true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sees to it that `.gitignore` has a line; gives the word for what was done.
fn add_line(path: &Path, line: &str) -> io::Result<&'static str> {
    let addition = format!("# What the daemon of Tintal remembers.\n{line}\n");
    if write_new(path, &addition)? {
        return Ok("wrote");
    }
    let text = fs::read_to_string(path)?;
    let plain = |line: &str| line.trim().trim_matches('/').to_owned();
    if text.lines().any(|there| plain(there) == plain(line)) {
        return Ok("kept ");
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    fs::OpenOptions::new().append(true).open(path)?.write_all(format!("{gap}{addition}").as_bytes())?;
    Ok("added to")
}
