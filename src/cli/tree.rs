//! Loads the tree for commands that look at it.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use super::{Failure, console::block_on};
use crate::{
    config::{Settings, file::SETTINGS_FILE},
    control::{
        client::{self, ClientError},
        view::FilesView,
    },
    engine::clock,
    load::{Input, Loaded, Loader, Tree},
    manifest::{
        characteristics::Tier,
        code::Code,
        defaults::{DEFAULTS_FILE, DEFAULTS_FILE_SHORT},
        file::{Content, ManifestFile},
        name::JobName,
        nearest::nearest,
        problem::Problem,
    },
    source::{
        given::read_paths,
        scan::{ScanError, Scanner},
    },
    tier::Tiers,
};

/// Names of files that hold defaults.
const DEFAULTS_FILES: [&str; 2] = [DEFAULTS_FILE, DEFAULTS_FILE_SHORT];

/// What a directory holds that no tree reaches out of.
const ROOT_MARKS: [&str; 2] = [SETTINGS_FILE, ".git"];

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
    let configured = vec![Tier::InProcess, Tier::Queue];
    Tiers { configured, ledger: settings.ledger, queues: settings.queue.queues() }
}

/// A loader with as many threads as the machine has cores.
pub(super) fn loader(settings: &Settings) -> Loader {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Loader::new(tiers(settings), threads)
}

/// What people see in front of paths of a tree. One that is a file is called after itself, in the
/// directory that it lies in.
pub(super) fn prefix(root: &Path) -> String {
    let directory = if root.is_file() { root.parent().unwrap_or(Path::new("")) } else { root };
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
    load_by(loader(settings), settings, root, replaced)
}

/// Loads the tree of the settings as the daemon does that runs, which knows what files held before they
/// were mistaken.
pub(super) fn load_as_daemon(settings: &Settings) -> Result<View, Failure> {
    let mut loader = loader(settings);
    let known: Option<FilesView> = match block_on(client::ask(&settings.state, "/v1/files"))? {
        // A daemon of a version before does not tell.
        Err(ClientError::Refused(_)) => None,
        known => known?,
    };
    if let Some(FilesView { root, files, .. }) = known
        && fs::canonicalize(root).ok() == fs::canonicalize(&settings.jobs).ok()
    {
        loader.remember(files);
    }
    load_by(loader, settings, &settings.jobs, None)
}

fn load_by(
    mut loader: Loader,
    settings: &Settings,
    root: &Path,
    replaced: Option<ManifestFile>,
) -> Result<View, Failure> {
    let now = clock::now();
    // The schema is compiled while the tree is read: here, where memory is quicker to come by.
    let scan = thread::scope(|scope| {
        let scan = scope.spawn(|| Scanner::new(root.to_owned()).scan(now));
        loader.prepare();
        scan.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let (tree_hash, refused) = (scan.tree_hash, scan.refused(root));
    let mut files = Arc::unwrap_or_clone(scan.files);
    if let Some(file) = replaced {
        files.retain(|other| other.path != file.path);
        files.push(Arc::new(file));
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    let prefix = prefix(root);
    let unreadable: Vec<(String, String)> =
        scan.unreadable.into_iter().map(|one| (one.path, one.reason)).collect();
    // What the daemon serves stands by itself; another directory may be a part of a tree.
    let above = if root == settings.jobs { Vec::new() } else { above(&root.join("..")) };
    let above = read_files(&above);
    let input = Input { files: &files, above: &above, unreadable: &unreadable, prefix: &prefix, now };
    let tree = loader.load(&input);
    Ok(View { tree, files, loader, prefix, tree_hash, refused })
}

/// Loads single files outside of the tree, each with the defaults that hold for it; what is wrong
/// with other files is left out.
pub(super) fn load_files(settings: &Settings, paths: &[PathBuf], given: Option<ManifestFile>) -> View {
    let mut files = read_files(paths);
    files.extend(given.map(Arc::new));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut alike: BTreeMap<Vec<PathBuf>, Vec<Arc<ManifestFile>>> = BTreeMap::new();
    for file in &files {
        let directory = Path::new(&*file.path).parent().unwrap_or(Path::new(""));
        alike.entry(above(directory)).or_default().push(Arc::clone(file));
    }
    let mut loader = loader(settings);
    let mut all = Tree::default();
    for (above, files) in alike {
        let above = read_files(&above);
        let input = Input { files: &files, above: &above, unreadable: &[], prefix: "", now: clock::now() };
        let tree = loader.load(&input);
        let concerns = |path: &str| files.iter().any(|file| *file.path == *path);
        // Of the jobs under defaults none need be here that needs what they suppress.
        let is_unknown = |problem: &Problem| {
            let path = Path::new(&problem.primary.place.source.path);
            problem.code == Code::UnusedIgnore && directory_of_defaults(path).is_some()
        };
        let problems = tree.problems.into_iter().filter(|problem| !is_unknown(problem));
        all.problems.extend(problems.filter(|problem| {
            concerns(&problem.primary.place.source.path)
                || problem.related.iter().any(|label| concerns(&label.place.source.path))
        }));
        all.jobs.extend(tree.jobs.iter().map(|(name, job)| (name.clone(), Arc::clone(job))));
        all.broken.extend(tree.broken);
        all.files += tree.files;
    }
    View { tree: all, files, loader, prefix: String::new(), tree_hash: [0; 32], refused: None }
}

/// What a path is about: a file of defaults that is there governs its directory, anything else
/// itself.
pub(super) fn governed(path: &Path) -> PathBuf {
    match directory_of_defaults(path).filter(|_| path.exists()) {
        Some(directory) if directory.as_os_str().is_empty() => PathBuf::from("."),
        Some(directory) => directory.to_owned(),
        None => path.to_owned(),
    }
}

/// The directory that a file of defaults is for; none for any other file.
pub(super) fn directory_of_defaults(path: &Path) -> Option<&Path> {
    let name = path.file_name()?.to_str()?;
    DEFAULTS_FILES.contains(&name).then(|| path.parent()).flatten()
}

/// The files of defaults in a directory and those that it lies in, outermost first. A directory with
/// settings or a repository in it is the last one that is looked into.
fn above(directory: &Path) -> Vec<PathBuf> {
    let given = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let Ok(absolute) = fs::canonicalize(given) else { return Vec::new() };
    let here = env::current_dir().and_then(fs::canonicalize).ok().filter(|_| given.is_relative());
    let mut found: Vec<Vec<PathBuf>> = Vec::new();
    for directory in absolute.ancestors() {
        let shown = here.as_ref().and_then(|here| directory.strip_prefix(here).ok()).unwrap_or(directory);
        let files = DEFAULTS_FILES.iter().map(|name| shown.join(name));
        found.push(files.filter(|path| path.symlink_metadata().is_ok()).collect());
        if ROOT_MARKS.iter().any(|mark| directory.join(mark).exists()) {
            break;
        }
    }
    found.into_iter().rev().flatten().collect()
}

/// Reads files by name; what is not there is a file that cannot be read.
fn read_files(paths: &[PathBuf]) -> Vec<Arc<ManifestFile>> {
    let given = read_paths(paths);
    let missing = given.unreadable.into_iter().map(|one| {
        let content_hash = *blake3::hash(one.reason.as_bytes()).as_bytes();
        Arc::new(ManifestFile {
            path: one.path.into(),
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
    ManifestFile { path: path.into(), content_hash, content: Content::of_bytes(text) }
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
        let hint = match nearest(job.as_str(), self.tree.jobs.keys().map(JobName::as_str)) {
            Some(near) => format!("; did you mean `{near}`?"),
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
