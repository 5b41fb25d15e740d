//! The loader: keeps what it knows of unchanged files.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    directory::{Directories, Directory, Flawed, Layer, Own, parent},
    document::{Doc, FileDocs, Naming, read},
    memory::Memory,
    own,
    placing::Choices,
    suppress::{self, Used},
    tree::Tree,
};
use crate::{
    manifest::{
        code::Code,
        defaults::{DEFAULTS_FILE, DEFAULTS_FILE_SHORT},
        file::{Content, ManifestFile},
        name::JobName,
        parse::{Document, Parsed, Shapes, parse},
        problem::{Place, Problem, Severity, SourceText, Span, keep_first},
        yaml::Node,
    },
    tier::Tiers,
};

/// Files below this many are not worth a thread of their own.
const FILES_PER_THREAD_MIN: usize = 64;

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
    threads: usize,
    files: HashMap<String, Known>,
    memory: Memory,
    defaults: HashMap<String, KnownDefaults>,
}

#[derive(Debug)]
struct Known {
    /// The hash of the text; none when there was no text.
    content: Option<[u8; 32]>,
    directory: [u8; 32],
    docs: FileDocs,
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
            threads: threads.max(1),
            files: HashMap::new(),
            memory: Memory::default(),
            defaults: HashMap::new(),
        }
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

    /// Loads a tree. The same files give the same tree, whatever was loaded before.
    #[must_use]
    pub fn load(&mut self, input: &Input<'_>) -> Tree {
        let mut tree = Tree { files: input.files.len(), ..Tree::default() };
        let (defaults, manifests): (Vec<_>, Vec<_>) =
            input.files.iter().partition(|file| is_defaults(&file.path));
        let above: Vec<&Arc<ManifestFile>> = input.above.iter().collect();
        let above: Vec<Own> =
            self.load_defaults(&above, "", &mut tree).into_iter().map(|(_, own)| own).collect();
        let own: BTreeMap<String, Own> =
            self.load_defaults(&defaults, input.prefix, &mut tree).into_iter().collect();
        let mut directories = Directories::new(&own, &above);
        let wanted: Vec<(&Arc<ManifestFile>, Directory)> = manifests
            .iter()
            .map(|file| (*file, directories.at(parent(&file.path)).clone()))
            .filter(|(file, directory)| !self.knows(file, directory))
            .collect();
        tree.parsed += wanted.len();
        for ((file, directory), docs) in wanted.iter().zip(self.read_all(&wanted, input.prefix)) {
            let content = matches!(file.content, Content::Text(_)).then_some(file.content_hash);
            let known = Known { content, directory: directory.hash, docs };
            self.files.insert(file.path.clone(), known);
        }
        self.forget(input);
        let layers = above.iter().chain(own.values()).filter_map(|own| own.as_ref().ok());
        tree.problems.extend(self.unused_ignores(layers));
        self.assemble(&manifests, input, &mut tree);
        tree
    }

    fn knows(&self, file: &ManifestFile, directory: &Directory) -> bool {
        self.files.get(&file.path).is_some_and(|known| {
            matches!(file.content, Content::Text(_))
                && known.content == Some(file.content_hash)
                && known.directory == directory.hash
        })
    }

    /// Reads files, on several threads when there are many.
    fn read_all(&self, wanted: &[(&Arc<ManifestFile>, Directory)], prefix: &str) -> Vec<FileDocs> {
        let read = |(file, directory): &(&Arc<ManifestFile>, Directory)| match &file.content {
            Content::Text(text) => {
                let source = source(prefix, &file.path, text);
                read(&file.path, &source, directory, &self.shapes, &self.choices)
            }
            other => FileDocs {
                problems: vec![unusable(prefix, &file.path, other)],
                obscured: true,
                ..FileDocs::default()
            },
        };
        let threads = self.threads.min(wanted.len() / FILES_PER_THREAD_MIN).max(1);
        if threads == 1 {
            return wanted.iter().map(read).collect();
        }
        let share = wanted.len().div_ceil(threads);
        std::thread::scope(|scope| {
            let workers: Vec<_> = wanted
                .chunks(share)
                .map(|chunk| scope.spawn(move || chunk.iter().map(read).collect::<Vec<_>>()))
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| match worker.join() {
                    Ok(docs) => docs,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        })
    }

    /// The defaults in a file, parsed anew if need be.
    fn defaults_of(&mut self, file: &ManifestFile, prefix: &str, tree: &mut Tree) -> Own {
        let known = self
            .defaults
            .get(&file.path)
            .filter(|known| matches!(file.content, Content::Text(_)) && known.content == file.content_hash);
        let known = match known {
            Some(known) => known,
            None => {
                tree.parsed += 1;
                let known = read_defaults(file, prefix, &self.shapes);
                self.defaults.entry(file.path.clone()).insert_entry(known).into_mut()
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

    /// Suppressions in defaults that no job made use of.
    fn unused_ignores<'l>(&self, layers: impl Iterator<Item = &'l Arc<Layer>>) -> Vec<Problem> {
        let mut used: HashMap<&str, Used> = HashMap::new();
        for (path, some) in self.files.values().flat_map(|known| &known.docs.used) {
            used.entry(path).or_default().extend(some);
        }
        let none = Used::new();
        layers
            .flat_map(|layer| layer.ignores.unused(used.get(layer.source.path.as_str()).unwrap_or(&none)))
            .collect()
    }

    /// Drops what is known of files that are gone.
    fn forget(&mut self, input: &Input<'_>) {
        let files = || input.files.iter().chain(input.above);
        if self.files.len() + self.defaults.len() > files().count() {
            let there: HashSet<&str> = files().map(|file| file.path.as_str()).collect();
            self.memory.retain(&there);
            self.files.retain(|path, _| there.contains(path.as_str()));
            self.defaults.retain(|path, _| there.contains(path.as_str()));
        }
    }

    /// Puts the files together: names are unique in the whole tree.
    fn assemble(&mut self, manifests: &[&Arc<ManifestFile>], input: &Input<'_>, tree: &mut Tree) {
        let mut named: BTreeMap<&JobName, Vec<(&Arc<ManifestFile>, &Doc)>> = BTreeMap::new();
        for file in manifests {
            let Some(known) = self.files.get(&file.path) else { continue };
            tree.problems.extend(known.docs.problems.iter().cloned());
            if known.docs.obscured || (known.docs.is_mistaken() && self.memory.of(&file.path).is_none()) {
                tree.obscured.push(format!("{}{}", input.prefix, file.path));
            }
            let stands_for = self.memory.of(&file.path);
            for doc in &known.docs.docs {
                if doc.job.is_none() && doc.naming == Naming::File && stands_for.is_some() {
                    // Its own name is what may be mistaken: it stands for what it was.
                    continue;
                }
                let passed = doc.past.iter().filter(|(time, _)| *time <= input.now);
                tree.problems.extend(passed.map(|(_, problem)| problem.clone()));
                if let Some(name) = &doc.name {
                    named.entry(name).or_default().push((file, doc));
                }
            }
        }
        let mut sources = Sources { prefix: input.prefix, known: BTreeMap::new() };
        let mut doubles: BTreeMap<&str, Vec<Problem>> = BTreeMap::new();
        for (name, docs) in named {
            match docs.as_slice() {
                [(_, Doc { job: Some(job), .. })] => {
                    tree.jobs.insert(name.clone(), Arc::clone(job));
                }
                [(_, doc)] => {
                    tree.broken.insert(name.clone());
                    if let Some(refused) = &doc.refused {
                        tree.refused.insert(name.clone(), Arc::clone(refused));
                    }
                }
                [first, others @ ..] => {
                    tree.broken.insert(name.clone());
                    for other in others {
                        let of_file = doubles.entry(&other.0.path).or_default();
                        of_file.push(duplicate(name, first, other, &mut sources));
                    }
                }
                [] => {}
            }
        }
        for file in manifests {
            if let Some(known) = self.files.get(&file.path) {
                self.memory.learn(&file.path, &known.docs, tree);
            }
        }
        for mut of_file in doubles.into_values() {
            keep_first(&mut of_file);
            tree.problems.append(&mut of_file);
        }
        unreadable(input, tree);
        tree.obscured.sort();
        sort(&mut tree.problems);
    }
}

/// Tells of the directories that could not be listed.
fn unreadable(input: &Input<'_>, tree: &mut Tree) {
    for (path, reason) in input.unreadable {
        let place = Place { source: source(input.prefix, path, ""), span: Span::default() };
        let (what, way_out) = reason_and_way_out(reason);
        tree.problems.push(
            Problem::new(Code::Unreadable, place, format!("the directory cannot be read: {what}"))
                .label("this directory")
                .help(way_out),
        );
        tree.obscured.push(format!("{}{path}", input.prefix));
    }
}

/// Sorts problems by place, and makes one of those that say the same of the same place: of a value
/// that several jobs take over.
fn sort(problems: &mut Vec<Problem>) {
    let key = |problem: &Problem| {
        let place = &problem.primary.place;
        (place.source.path.clone(), place.span, problem.code, problem.message.clone())
    };
    problems.sort_by_cached_key(key);
    let mut merged: Vec<Problem> = Vec::with_capacity(problems.len());
    for problem in problems.drain(..) {
        match merged.last_mut().filter(|last| is_same(last, &problem)) {
            Some(last) => last.merge(problem),
            None => merged.push(problem),
        }
    }
    *problems = merged;
}

fn is_same(a: &Problem, b: &Problem) -> bool {
    a.code == b.code
        && a.message == b.message
        && a.primary.place.span == b.primary.place.span
        && a.primary.place.source.path == b.primary.place.source.path
}

fn is_defaults(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == DEFAULTS_FILE || name == DEFAULTS_FILE_SHORT
}

fn source(prefix: &str, path: &str, text: &str) -> Arc<SourceText> {
    Arc::new(SourceText::new(format!("{prefix}{path}"), text))
}

fn text_of(file: &ManifestFile) -> Arc<str> {
    match &file.content {
        Content::Text(text) => Arc::clone(text),
        _ => "".into(),
    }
}

/// The texts of files that problems of the tree point into, one for all of a file's problems.
struct Sources<'a> {
    prefix: &'a str,
    known: BTreeMap<&'a str, Arc<SourceText>>,
}

impl<'a> Sources<'a> {
    fn of(&mut self, file: &'a ManifestFile) -> Arc<SourceText> {
        let known = self.known.entry(&file.path);
        Arc::clone(known.or_insert_with(|| source(self.prefix, &file.path, &text_of(file))))
    }
}

fn duplicate<'a>(
    name: &JobName,
    (first_file, first): &(&'a Arc<ManifestFile>, &Doc),
    (file, doc): &(&'a Arc<ManifestFile>, &Doc),
    sources: &mut Sources<'a>,
) -> Problem {
    let (here, there) = (sources.of(file), sources.of(first_file));
    let mut problem = Problem::new(
        Code::DuplicateName,
        Place { source: here, span: doc.origin.name },
        format!("there is already a job `{name}`"),
    )
    .label("given again")
    .related(Place { source: there, span: first.origin.name }, "first given here")
    .help("give one of them another name; until then neither is changed");
    problem.job = Some(name.clone());
    problem
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
            Ok(Arc::new(Layer { source, node, defaults: *defaults, ignores, hash: file.content_hash }))
        }
        _ => flawed(problems.iter().filter(|one| one.severity == Severity::Error).cloned().collect()),
    };
    KnownDefaults { content: file.content_hash, own, problems }
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
        Content::NotText { offset } => {
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
fn reason_and_way_out(reason: &str) -> (&str, String) {
    match reason.split_once(": ") {
        Some((what, way_out)) => (what, format!("{way_out}, or take it out of the tree")),
        None => (reason, "let a file stand there that can be read, or take it out of the tree".to_owned()),
    }
}
