//! Loads the tree for commands that look at it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Failure;
use crate::{
    config::Settings,
    engine::clock,
    load::{Input, Loaded, Loader, Tree},
    manifest::{
        characteristics::Tier,
        file::{Content, ManifestFile},
        name::JobName,
    },
    source::{
        given::read_paths,
        scan::{ScanError, Scanner},
    },
    tier::Tiers,
};

/// A tree with the files that it was loaded from.
#[derive(Debug)]
pub(super) struct View {
    pub(super) tree: Tree,
    pub(super) files: Vec<Arc<ManifestFile>>,
    pub(super) loader: Loader,
    pub(super) prefix: String,
    /// Digest of the tree as it was found.
    pub(super) tree_hash: [u8; 32],
    /// Why nothing may be planned from it.
    pub(super) refused: Option<ScanError>,
}

/// The tiers that can take jobs in this version.
pub(super) fn tiers(settings: &Settings) -> Tiers {
    Tiers { configured: vec![Tier::InProcess], ledger: settings.ledger }
}

/// A loader with as many threads as the machine has cores.
pub(super) fn loader(settings: &Settings) -> Loader {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Loader::new(tiers(settings), threads)
}

/// What people see in front of paths of a directory.
pub(super) fn prefix(directory: &Path) -> String {
    let text = directory.display().to_string();
    let text = text.strip_prefix("./").unwrap_or(&text);
    if text.is_empty() || text == "." {
        return String::new();
    }
    if text.ends_with('/') { text.to_owned() } else { format!("{text}/") }
}

/// Loads the tree of the settings.
pub(super) fn load(settings: &Settings) -> Result<View, Failure> {
    load_with(settings, &settings.jobs, None)
}

/// Loads a tree; with `replaced`, one of its files (relative to the root) has another content.
pub(super) fn load_with(
    settings: &Settings,
    root: &Path,
    replaced: Option<ManifestFile>,
) -> Result<View, Failure> {
    let now = clock::now();
    let scan = Scanner::new(root.to_owned()).scan(now)?;
    let (tree_hash, refused) = (scan.tree_hash, scan.refused(root));
    let mut files = scan.files;
    if let Some(file) = replaced {
        files.retain(|other| other.path != file.path);
        files.push(Arc::new(file));
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    let prefix = prefix(root);
    let mut loader = loader(settings);
    let unreadable: Vec<(String, String)> =
        scan.unreadable.into_iter().map(|one| (one.path, one.reason)).collect();
    let tree = loader.load(&Input { files: &files, unreadable: &unreadable, prefix: &prefix, now });
    Ok(View { tree, files, loader, prefix, tree_hash, refused })
}

/// Loads single files outside of the tree, each with the defaults of its own directory.
pub(super) fn load_files(settings: &Settings, paths: &[PathBuf], given: Option<ManifestFile>) -> View {
    let mut files = read_files(paths);
    files.extend(given.map(Arc::new));
    let mut defaults: Vec<PathBuf> = files
        .iter()
        .map(|file| Path::new(&file.path).with_file_name("_defaults.yaml"))
        .filter(|path| path.is_file() && files.iter().all(|file| Path::new(&file.path) != *path))
        .collect();
    defaults.sort();
    defaults.dedup();
    files.extend(read_files(&defaults));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut loader = loader(settings);
    let tree = loader.load(&Input { files: &files, unreadable: &[], prefix: "", now: clock::now() });
    View { tree, files, loader, prefix: String::new(), tree_hash: [0; 32], refused: None }
}

/// Reads files by name; what is not there is a file that cannot be read.
fn read_files(paths: &[PathBuf]) -> Vec<Arc<ManifestFile>> {
    let given = read_paths(paths);
    let missing = given.unreadable.into_iter().map(|one| {
        let content_hash = *blake3::hash(one.reason.as_bytes()).as_bytes();
        Arc::new(ManifestFile {
            path: one.path,
            content_hash,
            content: Content::Unreadable { reason: one.reason },
        })
    });
    let mut files: Vec<_> = given.files.into_iter().chain(missing).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// A text as a file.
pub(super) fn file_of(path: &str, text: Vec<u8>) -> ManifestFile {
    let content_hash = *blake3::hash(&text).as_bytes();
    let content = match String::from_utf8(text) {
        Ok(text) => Content::Text(text.into()),
        Err(error) => Content::NotText { offset: error.utf8_error().valid_up_to() },
    };
    ManifestFile { path: path.to_owned(), content_hash, content }
}

/// The path of a file relative to a directory, if it lies in it.
pub(super) fn relative(path: &Path, root: &Path) -> Option<String> {
    let absolute = |path: &Path| {
        fs::canonicalize(path)
            .or_else(|_| {
                // It need not be there: the directory that it would be in is.
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")))?;
                Ok::<_, std::io::Error>(path.file_name().map_or(parent.clone(), |name| parent.join(name)))
            })
            .ok()
    };
    let (path, root) = (absolute(path)?, absolute(root)?);
    Some(path.strip_prefix(root).ok()?.to_string_lossy().into_owned())
}

impl View {
    /// The job with this name, or an error that says why not and what is near.
    pub(super) fn job(&self, name: &str) -> Result<&Arc<Loaded>, Failure> {
        let job = JobName::parse(name)?;
        if let Some(loaded) = self.tree.jobs.get(&job) {
            return Ok(loaded);
        }
        if self.tree.broken.contains(&job) {
            return Err(format!("the manifest of `{job}` cannot be used; `tintal validate` says why").into());
        }
        let nearest = self
            .tree
            .jobs
            .keys()
            .map(|other| (strsim::damerau_levenshtein(other.as_str(), job.as_str()), other))
            .filter(|(distance, _)| *distance <= 3)
            .min();
        let hint = match nearest {
            Some((_, near)) => format!("; did you mean `{near}`?"),
            None => "; `tintal list` shows the jobs".to_owned(),
        };
        Err(format!("there is no job `{job}`{hint}").into())
    }
}

/// The variables of our own environment that are text.
pub(super) fn environment() -> Vec<(String, String)> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
