//! The loader: keeps what it knows of unchanged files.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;

use super::{
    assemble::{Parts, assemble},
    claims::Claims,
    directory::{Directories, Directory, Flawed, Layer, Own, parent},
    document::{FileDocs, read},
    held::HeldSpecs,
    known::{Known, Match, Matches, ParsedFile, Voice, compare},
    memory::Memory,
    own,
    placing::Choices,
    suppress::{self, Used},
    tree::Tree,
};
use crate::{
    manifest::{
        code::Code,
        defaults::DEFAULTS_FILE,
        file::{Content, ManifestFile},
        name::JobName,
        parse::{Document, Parsed, Shapes, parse},
        problem::{Place, Problem, Severity, SourceText, Span, keep_first},
        spec::Spec,
        yaml::Node,
    },
    tier::Tiers,
};

/// Files below this many are not worth a thread of their own.
const FILES_PER_THREAD_MIN: usize = 64;

/// So many files are taken at once by one of the threads.
const FILES_PER_BATCH: usize = 32;

/// What there is to load.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The files, sorted by path.
    pub files: &'a [Arc<ManifestFile>],
    /// Files of defaults in the directories that the tree lies in, outermost first; their paths are
    /// what people see. None for a tree that stands by itself.
    pub above: &'a [Arc<ManifestFile>],
    /// Directories that could not be listed, with what the system said.
    pub unreadable: &'a [(String, String)],
    /// What people see in front of each path, as in `jobs.d/`.
    pub prefix: &'a str,
    /// For what has passed and what has not.
    pub now: Timestamp,
}

/// The loader of a tree.
#[derive(Debug)]
pub struct Loader {
    shapes: Shapes,
    choices: Choices,
    held: HeldSpecs,
    threads: usize,
    /// What is known of the files of manifests, in the order of paths.
    files: Vec<Known>,
    claims: Claims,
    memory: Memory,
    /// Over all defaults that held at the last load, and where.
    layers: [u8; 32],
    /// By the path that people see: those of the tree and those above it have different roots.
    defaults: HashMap<String, KnownDefaults>,
}

#[derive(Debug)]
struct KnownDefaults {
    content: [u8; 32],
    own: Own,
    problems: Vec<Problem>,
}

impl Loader {
    /// A loader that knows no file yet. `tiers` are the ones that can take jobs; at most `threads`
    /// read files at once.
    #[must_use]
    pub fn new(tiers: Tiers, threads: usize) -> Self {
        Self {
            shapes: Shapes::new(),
            choices: Choices::new(tiers),
            held: HeldSpecs::default(),
            threads: threads.max(1),
            files: Vec::new(),
            claims: Claims::default(),
            memory: Memory::default(),
            layers: [0; 32],
            defaults: HashMap::new(),
        }
    }

    /// Compiles the schema of manifests now, and not when the first one is read.
    pub fn prepare(&self) {
        LazyLock::force(&self.shapes.job);
    }

    /// Specs that are held already: a job of the next tree that has an equal one takes it, so that it is
    /// in memory once.
    pub fn hold(&self, specs: impl Iterator<Item = Arc<Spec>>) {
        self.held.extend(specs);
    }

    /// Learns what files held when they were last good, by path, from a loader that has seen them so.
    pub fn remember(&mut self, held: BTreeMap<String, BTreeSet<JobName>>) {
        self.memory.take_over(held);
    }

    /// The tiers that can take jobs.
    #[must_use]
    pub fn tiers(&self) -> &Tiers {
        &self.choices.tiers
    }

    /// The compiled schemas.
    pub(super) fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// Loads a tree. The same files give the same tree, whatever was loaded before, but for one thing:
    /// a file that is mistaken also stands for the jobs that it held when it was last good, so that
    /// they are broken and not gone.
    ///
    /// Files that are the very ones of the last load, and silent, cost next to nothing.
    #[must_use]
    pub fn load(&mut self, input: &Input<'_>) -> Tree {
        let mut tree = Tree { files: input.files.len(), ..Tree::default() };
        let Matches { manifests, defaults, gone } = compare(input.files, std::mem::take(&mut self.files));
        let above: Vec<&Arc<ManifestFile>> = input.above.iter().collect();
        let above: Vec<Own> =
            self.load_defaults(&above, "", &mut tree).into_iter().map(|(_, own)| own).collect();
        let own: BTreeMap<String, Own> =
            self.load_defaults(&defaults, input.prefix, &mut tree).into_iter().collect();
        self.forget_defaults(&defaults, input);
        let read = self.read_anew(&manifests, Directories::new(&own, &above), input.prefix);
        self.held.clear();
        tree.parsed += read.len();
        self.take_in(manifests, read);
        for gone in gone {
            self.claims.remove(&gone.read.docs);
            self.memory.forget(&gone.file.path);
        }
        let heard: Vec<(&ManifestFile, &FileDocs)> = self
            .files
            .iter()
            .filter(|known| known.voice == Voice::Heard)
            .map(|known| (&*known.file, &known.read.docs))
            .collect();
        // What a file above the tree suppresses may be found in a part of it that is not loaded.
        let layers = own.values().filter_map(|own| own.as_ref().ok());
        tree.problems.extend(unused_ignores(layers, &heard));
        let parts = Parts { files: &self.files, heard: &heard, claims: &self.claims };
        assemble(&parts, &mut self.memory, input, &mut tree);
        tree
    }

    /// Reads the files that are new or have changed, or whose defaults have; in their order.
    fn read_anew(
        &mut self,
        manifests: &[Match<'_>],
        mut directories: Directories<'_>,
        prefix: &str,
    ) -> Vec<(Arc<ManifestFile>, Box<ParsedFile>)> {
        let layers = directories.hash();
        let same_layers = std::mem::replace(&mut self.layers, layers) == layers;
        let wanted: Vec<(&Arc<ManifestFile>, Arc<Directory>)> = manifests
            .iter()
            .filter(|one| !(same_layers && one.is_untouched()))
            .map(|one| (one, directories.at(parent(&one.file.path))))
            .filter(|(one, directory)| !one.holds_in(directory))
            .map(|(one, directory)| (one.file, directory))
            .collect();
        self.read_all(&wanted, prefix)
    }

    /// Takes in what was read anew, and keeps what is known of the other files.
    fn take_in(&mut self, manifests: Vec<Match<'_>>, read: Vec<(Arc<ManifestFile>, Box<ParsedFile>)>) {
        let mut read = read.into_iter().peekable();
        self.files.reserve_exact(manifests.len());
        for Match { file, before } in manifests {
            match (read.next_if(|(other, _)| Arc::ptr_eq(other, file)), before) {
                (Some((file, read)), before) => {
                    let before = before.as_ref().map(|before| &before.read.docs);
                    self.memory.turn(&file.path, before, &read.docs);
                    before.into_iter().for_each(|docs| self.claims.remove(docs));
                    self.claims.add(&read.docs);
                    self.files.push(Known::new(file, read));
                }
                (None, Some(before)) => self.files.push(Known { file: Arc::clone(file), ..before }),
                (None, None) => unreachable!("what is not known is read"),
            }
        }
    }

    /// Reads files, on several threads when there are many; in their order.
    fn read_all(
        &self,
        wanted: &[(&Arc<ManifestFile>, Arc<Directory>)],
        prefix: &str,
    ) -> Vec<(Arc<ManifestFile>, Box<ParsedFile>)> {
        let threads = self.threads.min(wanted.len() / FILES_PER_THREAD_MIN).max(1);
        let next = AtomicUsize::new(0);
        // Each takes what comes next, so that one that is slowed down does not hold up the others.
        let work = || {
            let batches = std::iter::from_fn(|| {
                let first = next.fetch_add(FILES_PER_BATCH, Ordering::Relaxed);
                let batch = wanted.get(first..)?.iter().take(FILES_PER_BATCH);
                let read: Vec<_> =
                    batch.map(|(file, directory)| self.read(file, directory, prefix)).collect();
                (!read.is_empty()).then_some((first, read))
            });
            batches.collect::<Vec<_>>()
        };
        let mut batches = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut batches = work();
            for other in others {
                match other.join() {
                    Ok(read) => batches.extend(read),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            batches
        });
        batches.sort_unstable_by_key(|(first, _)| *first);
        batches.into_iter().flat_map(|(_, read)| read).collect()
    }

    fn read(
        &self,
        file: &Arc<ManifestFile>,
        directory: &Directory,
        prefix: &str,
    ) -> (Arc<ManifestFile>, Box<ParsedFile>) {
        let path = &file.path;
        let docs = match &file.content {
            Content::Text(text) => {
                read(path, &source(prefix, path, text), directory, &self.shapes, &self.choices, &self.held)
            }
            other => FileDocs {
                problems: vec![unusable(prefix, path, other)],
                obscured: true,
                ..FileDocs::default()
            },
        };
        (Arc::clone(file), Box::new(ParsedFile { directory: directory.hash, docs }))
    }

    /// The defaults in a file, parsed anew if need be.
    fn defaults_of(&mut self, file: &ManifestFile, prefix: &str, tree: &mut Tree) -> Own {
        let path = format!("{prefix}{}", file.path);
        let known = self
            .defaults
            .get(&path)
            .filter(|known| matches!(file.content, Content::Text(_)) && known.content == file.content_hash);
        let known = match known {
            Some(known) => known,
            None => {
                tree.parsed += 1;
                let known = read_defaults(file, prefix, &self.shapes);
                self.defaults.entry(path).insert_entry(known).into_mut()
            }
        };
        tree.problems.extend(known.problems.iter().cloned());
        known.own.clone()
    }

    /// Each directory's own defaults, in the order of the files.
    fn load_defaults(
        &mut self,
        files: &[&Arc<ManifestFile>],
        prefix: &str,
        tree: &mut Tree,
    ) -> Vec<(String, Own)> {
        let mut all: Vec<(String, Own)> = Vec::new();
        for file in files {
            let own = self.defaults_of(file, prefix, tree);
            let directory = parent(&file.path);
            // Of one directory they stand side by side.
            match all.last_mut().filter(|(last, _)| last == directory) {
                None => all.push((directory.to_owned(), own)),
                Some((_, first)) => {
                    let error = second_defaults(file, prefix);
                    tree.problems.push(error.clone());
                    *first = flawed(vec![error]);
                }
            }
        }
        all
    }

    /// Drops what is known of files of defaults that are gone.
    fn forget_defaults(&mut self, defaults: &[&Arc<ManifestFile>], input: &Input<'_>) {
        if self.defaults.len() > defaults.len() + input.above.len() {
            let own = defaults.iter().map(|file| format!("{}{}", input.prefix, file.path));
            let there: HashSet<String> =
                own.chain(input.above.iter().map(|file| file.path.to_string())).collect();
            self.defaults.retain(|path, _| there.contains(path));
        }
    }
}

/// Suppressions in defaults that no job made use of.
fn unused_ignores<'l>(
    layers: impl Iterator<Item = &'l Arc<Layer>>,
    docs: &[(&ManifestFile, &FileDocs)],
) -> Vec<Problem> {
    let mut used: BTreeMap<&str, Used> = BTreeMap::new();
    for (path, some) in docs.iter().flat_map(|(_, docs)| &docs.used) {
        used.entry(path).or_default().extend(some);
    }
    let none = Used::new();
    layers
        .flat_map(|layer| layer.ignores.unused(used.get(layer.source.path.as_str()).unwrap_or(&none)))
        .collect()
}

pub(super) fn source(prefix: &str, path: &str, text: &str) -> Arc<SourceText> {
    Arc::new(SourceText::new(format!("{prefix}{path}"), text))
}

pub(super) fn text_of(file: &ManifestFile) -> Arc<str> {
    match &file.content {
        Content::Text(text) => Arc::clone(text),
        _ => "".into(),
    }
}

fn second_defaults(file: &ManifestFile, prefix: &str) -> Problem {
    let place = Place { source: source(prefix, &file.path, &text_of(file)), span: Span::default() };
    Problem::new(Code::DuplicateName, place, "the directory has two files of defaults")
        .label("the second one")
        .help(format!("keep `{DEFAULTS_FILE}`, and move what this one says into it"))
}

fn read_defaults(file: &ManifestFile, prefix: &str, shapes: &Shapes) -> KnownDefaults {
    let Content::Text(text) = &file.content else {
        let problems = vec![unusable(prefix, &file.path, &file.content)];
        let own = flawed(problems.clone());
        return KnownDefaults { content: file.content_hash, own, problems };
    };
    let source = source(prefix, &file.path, text);
    let (mut parsed, mut problems) = parse(&source, shapes);
    let nodes: Vec<&Node> = parsed.iter().map(|one| &one.node).collect();
    let ignores = suppress::read(&nodes, &source, &mut problems);
    keep_first(&mut problems);
    let own = match (parsed.pop(), parsed.is_empty()) {
        (Some(Parsed { document: Ok(Document::Defaults(defaults)), node, .. }), true) => {
            problems.extend(own::check(&defaults, &node, &source));
            let hash = hash_of_layer(&source, &file.content_hash);
            Ok(Arc::new(Layer { source, node, defaults: *defaults, ignores, hash }))
        }
        _ => flawed(problems.iter().filter(|one| one.severity == Severity::Error).cloned().collect()),
    };
    KnownDefaults { content: file.content_hash, own, problems }
}

fn hash_of_layer(source: &SourceText, content: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(content);
    hasher.update(source.path.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Defaults that cannot be used, for these reasons.
fn flawed(errors: Vec<Problem>) -> Own {
    debug_assert!(!errors.is_empty(), "defaults that cannot be used have an error");
    let mut hasher = blake3::Hasher::new();
    for error in &errors {
        hasher.update(error.primary.place.source.path.as_bytes());
        hasher.update(error.message.as_bytes());
        hasher.update(error.primary.place.source.text.as_bytes());
    }
    Err(Arc::new(Flawed { hash: *hasher.finalize().as_bytes(), errors }))
}

/// What is wrong with a file that has no text.
fn unusable(prefix: &str, path: &str, content: &Content) -> Problem {
    let place = Place { source: source(prefix, path, ""), span: Span::default() };
    match content {
        Content::TooLarge { bytes, bytes_max } => Problem::new(
            Code::Limit,
            place,
            format!("the file has {bytes} bytes; at most {bytes_max} are read"),
        )
        .label("this file")
        .help("split it into several files, or move it out of the tree"),
        Content::NotText { encoding: Some(encoding), .. } => {
            let encoding = encoding.as_str();
            let name = path.rsplit('/').next().unwrap_or(path);
            Problem::new(Code::NotText, place, format!("the file looks like {encoding}, and is to be UTF-8"))
                .label("this file")
                .help(format!("save it as UTF-8, or convert it: `iconv -f {encoding} -t UTF-8 {name}`"))
        }
        Content::NotText { offset, encoding: None } => {
            Problem::new(Code::NotText, place, format!("byte {offset} of the file is not UTF-8"))
                .label("this file")
                .help("save it as UTF-8; a file that is no manifest belongs elsewhere")
        }
        Content::Unreadable { reason } => {
            let (what, way_out) = reason_and_way_out(reason);
            Problem::new(Code::Unreadable, place, format!("the file cannot be read: {what}"))
                .label("this file")
                .help(way_out)
        }
        Content::Text(_) => unreachable!("a text is parsed"),
    }
}

/// What the system said of a file, and the way out.
pub(super) fn reason_and_way_out(reason: &str) -> (&str, String) {
    match reason.split_once(": ") {
        Some((what, way_out)) => (what, format!("{way_out}, or take it out of the tree")),
        None => (reason, "let a file stand there that can be read, or take it out of the tree".to_owned()),
    }
}
