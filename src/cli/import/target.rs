//! Where imported jobs go: checks that all of them can be there, and writes all of them or none.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::super::{Failure, tree};
use crate::{
    config::Settings,
    engine::clock,
    import::ImportedJob,
    load::{Input, Loader, Tree},
    manifest::{file::ManifestFile, name::JobName, problem::Severity},
    source::scan::Scanner,
};

/// Most of what is in the way that is said in one message.
const SHOWN_MAX: usize = 5;

/// A directory, with the tree that it belongs to.
pub(super) struct Target {
    /// None: the jobs are printed.
    out: Option<PathBuf>,
    /// What people see in front of the paths of the tree.
    prefix: String,
    /// The directory, relative to the root of the tree.
    within: PathBuf,
    /// What is in the tree.
    files: Vec<Arc<ManifestFile>>,
    loader: Loader,
}

impl Target {
    /// Reads the tree that the directory belongs to: that of the settings, if it lies in it.
    pub(super) fn read(out: Option<&Path>, settings: &Settings) -> Result<Self, Failure> {
        let (root, within) = match out.map(|out| (out, place_in(out, &settings.jobs))) {
            None => (None, PathBuf::new()),
            Some((_, Some(within))) => (Some(settings.jobs.as_path()), within),
            Some((out, None)) => (Some(out), PathBuf::new()),
        };
        let files = match root.filter(|root| root.exists()) {
            Some(root) => Arc::unwrap_or_clone(Scanner::new(root.to_owned()).scan(clock::now())?.files),
            None => Vec::new(),
        };
        Ok(Self {
            out: out.map(Path::to_owned),
            prefix: root.map(tree::prefix).unwrap_or_default(),
            within,
            files,
            loader: tree::loader(settings),
        })
    }

    /// What keeps jobs from being written: their files are there, or their names are held.
    pub(super) fn in_the_way(&mut self, jobs: &[&ImportedJob]) -> BTreeMap<JobName, String> {
        if self.out.is_none() {
            return BTreeMap::new();
        }
        let files = self.files.clone();
        let tree = self.load(&files);
        let held = |name: &JobName| match tree.jobs.get(name) {
            Some(loaded) => Some(format!("`{}{}` has a job `{name}`", self.prefix, loaded.origin.path)),
            None => tree.broken.contains(name).then(|| format!("there is a job `{name}`")),
        };
        let reason = |name: &JobName| match self.path(name) {
            Some(path) if path.symlink_metadata().is_ok() => {
                Some(format!("`{}` is there already", path.display()))
            }
            _ => held(name),
        };
        jobs.iter().filter_map(|job| Some((job.name.clone(), reason(&job.name)?))).collect()
    }

    /// The jobs that could not be used where they go, with the reason.
    pub(super) fn refused(&mut self, jobs: &[&ImportedJob]) -> BTreeMap<JobName, String> {
        let path = |name: &JobName| self.within.join(file_name(name)).to_string_lossy().into_owned();
        let new: BTreeMap<String, &ImportedJob> = jobs.iter().map(|job| (path(&job.name), *job)).collect();
        let mut files: Vec<_> =
            self.files.iter().filter(|file| !new.contains_key(&*file.path)).cloned().collect();
        let texts = new.iter().map(|(path, job)| tree::file_of(path, job.yaml.clone().into_bytes()));
        files.extend(texts.map(Arc::new));
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let tree = self.load(&files);
        new.into_iter()
            .filter(|(_, job)| !tree.jobs.contains_key(&job.name))
            .map(|(path, job)| (job.name.clone(), self.reason(&tree, &job.name, &path)))
            .collect()
    }

    /// Writes the jobs, all or none; gives their files.
    pub(super) fn write(&self, jobs: &[&ImportedJob]) -> Result<Vec<PathBuf>, Failure> {
        let Some(out) = &self.out else { return Ok(Vec::new()) };
        fs::create_dir_all(out).map_err(|error| format!("`{}` cannot be made: {error}", out.display()))?;
        let mut written = Vec::with_capacity(jobs.len());
        for job in jobs {
            let path = out.join(file_name(&job.name));
            if let Err(error) = create(&path, job.yaml.as_bytes(), &mut written) {
                for path in &written {
                    // What stays behind is in the message below, as what was written.
                    let _ = fs::remove_file(path);
                }
                let text = format!("`{}` cannot be written, so nothing was: {error}", path.display());
                return Err(text.into());
            }
        }
        Ok(written)
    }

    /// The file of a job; none when it is printed.
    fn path(&self, name: &JobName) -> Option<PathBuf> {
        Some(self.out.as_ref()?.join(file_name(name)))
    }

    fn load(&mut self, files: &[Arc<ManifestFile>]) -> Tree {
        self.loader.load(&Input {
            files,
            above: &[],
            unreadable: &[],
            prefix: &self.prefix,
            now: clock::now(),
        })
    }

    fn reason(&self, tree: &Tree, name: &JobName, path: &str) -> String {
        let shown = format!("{}{path}", self.prefix);
        tree.problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .find(|problem| problem.job.as_ref() == Some(name) || problem.primary.place.source.path == shown)
            .map_or_else(
                || "a manifest for it cannot be used".to_owned(),
                |problem| format!("a manifest for it cannot be used: {}", problem.message),
            )
    }
}

/// What is in the way, in one message.
pub(super) fn told(in_the_way: &BTreeMap<JobName, String>) -> String {
    let mut text = in_the_way.values().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join("; ");
    if let Some(more) = in_the_way.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        text = format!("{text}; and {more} more");
    }
    format!("the jobs cannot be written, so nothing was: {text}")
}

fn file_name(name: &JobName) -> String {
    format!("{name}.yaml")
}

fn create(path: &Path, text: &[u8], written: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    written.push(path.to_owned());
    file.write_all(text)
}

/// Where a directory, which need not be there yet, lies in another.
fn place_in(directory: &Path, root: &Path) -> Option<PathBuf> {
    let real = |path: &Path| {
        let path = std::path::absolute(path).ok()?;
        path.ancestors().find_map(|ancestor| {
            let rest = path.strip_prefix(ancestor).ok()?;
            Some(fs::canonicalize(ancestor).ok()?.join(rest))
        })
    };
    real(directory)?.strip_prefix(real(root)?).ok().map(Path::to_owned)
}
