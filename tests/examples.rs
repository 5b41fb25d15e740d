//! Every example, and what this repository runs itself, holds and comes to rest.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
    thread,
};

use common::{Tree, wait_for};
use serde_json::Value;
use tintal::{
    config::file::SettingsFile,
    manifest::{
        schema,
        yaml::{Limits, compose},
    },
    tier::queues::PROMISES,
};

fn examples() -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all: Vec<_> = fs::read_dir(root.join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // Those of queues come with settings, and are looked at by themselves.
        .filter(|path| path.is_dir() && !path.ends_with("queues"))
        .collect();
    all.push(root.join("jobs.d"));
    all.sort();
    assert!(all.len() > 8, "{all:?}");
    all
}

#[test]
fn every_example_is_valid_has_a_readme_and_is_applied_once() {
    for directory in examples() {
        let tree = Tree::new();
        let jobs = directory.to_str().unwrap();
        let ran = tree.run(&["--jobs", jobs, "validate", "--format", "concise"]);
        assert_eq!(ran.code, Some(0), "{jobs}: {}", ran.stdout);
        assert!(!ran.stdout.contains(" error "), "{jobs}: {}", ran.stdout);
        let readme = directory.join("README.md");
        assert!(directory.ends_with("jobs.d") || !fs::read_to_string(&readme).unwrap().trim().is_empty());
        assert_eq!(tree.run(&["--jobs", jobs, "plan", "--exit-code"]).code, Some(1), "{jobs}");
        tree.ok(&["--jobs", jobs, "apply"]);
        assert_eq!(tree.ok(&["--jobs", jobs, "plan", "--exit-code"]), "nothing to do\n", "{jobs}");
    }
}

/// The examples of queues, each with the kind of backend that it is called after.
fn queues() -> Vec<(String, std::path::PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/queues");
    let directories =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut all: Vec<_> =
        directories.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path)).collect();
    all.sort();
    all
}

#[test]
fn there_is_a_valid_example_of_every_kind_of_backend() {
    let kinds: BTreeSet<&str> = PROMISES.iter().map(|promise| promise.kind.as_str()).collect();
    let examples = queues();
    assert_eq!(examples.iter().map(|(kind, _)| kind.as_str()).collect::<BTreeSet<_>>(), kinds);
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/queues/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    for (kind, directory) in examples {
        assert!(readme.contains(&format!("[{kind}]({kind})")), "{kind}");
        let tree = Tree::new();
        copy(&directory, tree.root(), &[]);
        let ran = tree.run(&["validate", "--strict", "--format", "concise"]);
        assert_eq!((ran.code, ran.stdout.contains("TIN")), (Some(0), false), "{kind}: {}", ran.stdout);
        let report = tree.json(&["explain", "report", "--json"]);
        assert_eq!((&report["tier"], &report["queue"]["kind"]), (&"queue".into(), &kind.as_str().into()));
        let plan = tree.json(&["plan", "--format", "json"]);
        assert!(!plan["steps"].as_array().unwrap().is_empty(), "{kind}");
    }
}

/// Another backend in the settings is a change of every job that names none.
#[test]
fn the_default_backend_of_the_settings_is_in_the_plan() {
    let tree = Tree::with(&[("jobs.d/a.yaml", "tier: queue\nrun: {command: [a]}\n")]);
    let digest = |tree: &Tree| tree.json(&["explain", "a", "--json"])["digest"].clone();
    let before = digest(&tree);
    tree.write("tintal.yaml", "queue: {backend: r, backends: {r: {redis-streams: {}}}}\n");
    let explained = tree.json(&["explain", "a", "--json"]);
    assert_ne!(before, explained["digest"]);
    assert_eq!(explained["spec"]["queue"]["backend"], "r");
    assert_eq!(explained["provenance"]["/queue/backend"], "the settings");
}

#[test]
fn the_jobs_of_this_repository_do_something_useful() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.d");
    let tree = Tree::new();
    let jobs = jobs.to_str().unwrap();
    for job in ["disk-space", "machine-report", "scratch-cleanup"] {
        tree.ok(&["--jobs", jobs, "run", job]);
    }
    let _daemon = tree.serve(&["--jobs", jobs]);
    // It may be due at this very moment by itself, and one at a time goes on.
    wait_for("the daemon asks itself", || {
        let ran = tree.run(&["--jobs", jobs, "trigger", "daemon-health", "--follow"]);
        let is_busy = ran.stderr.contains("is running already");
        assert!(is_busy || ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
        (!is_busy).then_some(())
    });
}

/// A `df` as of a machine with an image of snap: it is full by nature.
#[test]
fn images_that_can_only_be_read_are_no_full_disks() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.d");
    let tree = Tree::new();
    let snap = "case \"$*\" in *'-x squashfs'*) ;; *) echo '/dev/loop0 64 64 0 100% /snap/core/1';; esac";
    for (used, code) in [("55", 0), ("95", 1)] {
        let df = format!(
            "#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity Mounted on'\n{snap}\necho '/dev/vda 100 {used} 0 {used}% /'\n"
        );
        tree.write("bin/df", &df);
        fs::set_permissions(tree.path("bin/df"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", tree.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = tree.command(&["--jobs", jobs.to_str().unwrap(), "run", "disk-space"]);
        let ran = common::Ran::of(command.env("PATH", path).output().unwrap());
        assert_eq!(ran.code, Some(code), "{}", ran.shown());
        assert!(ran.stdout.contains(&format!("/: {used}%")), "{}", ran.shown());
    }
}

/// Answers one request as the services of the examples do.
fn answer(stream: impl Read + Write) {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while stream.read_line(&mut line).unwrap() > 0 && line != "\r\n" {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    stream.read_exact(&mut vec![0; length]).unwrap();
    let body = r#"{"status":"ok","rows":1}"#;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.get_mut().write_all(format!("{head}{body}").as_bytes()).unwrap();
}

/// Copies manifests, with stand-ins for what is elsewhere.
fn copy(from: &Path, to: &Path, stand_ins: &[(&str, String)]) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target, stand_ins);
        } else {
            let text = fs::read_to_string(entry.path()).unwrap();
            let text = stand_ins.iter().fold(text, |text, (there, here)| text.replace(there, here));
            fs::write(target, text).unwrap();
        }
    }
}

#[test]
fn every_job_of_every_example_runs() {
    let services = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", services.local_addr().unwrap());
    thread::spawn(move || services.incoming().for_each(|stream| answer(stream.unwrap())));
    for directory in examples().into_iter().filter(|directory| !directory.ends_with("jobs.d")) {
        let tree = Tree::new();
        let here = |path: &str| tree.path(path).to_str().unwrap().to_owned();
        let stand_ins = [
            ("https://shop.example.com", address.clone()),
            ("https://example.com", address.clone()),
            ("/run/shop/http.sock", here("http.sock")),
            ("/run/secrets", here("secrets")),
            ("/srv/import", here("import")),
            ("/backup", here("backup")),
        ];
        copy(&directory, &tree.path("jobs.d"), &stand_ins);
        let socket = UnixListener::bind(tree.path("http.sock")).unwrap();
        thread::spawn(move || socket.incoming().for_each(|stream| answer(stream.unwrap())));
        tree.write("secrets/pgpassword", "hunter2\n");
        tree.write("secrets/example", "hunter2\n");
        fs::create_dir(tree.path("backup")).unwrap();
        for (program, line) in
            [("import/import.sh", "echo imported"), ("bin/pg_dump", "echo dump"), ("bin/zstd", "cat")]
        {
            tree.write(program, &format!("#!/bin/sh\n{line}\n"));
            fs::set_permissions(tree.path(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}", here("bin"), std::env::var("PATH").unwrap());
        let list = tree.json(&["list", "--json"]);
        let jobs = list["jobs"].as_array().unwrap();
        assert!(!jobs.is_empty(), "{}", directory.display());
        for job in jobs.iter().map(|job| job["job"].as_str().unwrap()) {
            let mut command = tree.command(&["run", job, "--no-retry"]);
            command
                .env("PATH", &path)
                .env("BACKUP_DATABASE_URL", "postgres://db")
                .env("EXAMPLE_TOKEN", "t0ken-value");
            let output = command.output().unwrap();
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(
                output.status.success() && !said.contains("hunter2"),
                "{}: {job}: {said}",
                directory.display()
            );
        }
    }
}

/// The fields of a schema, as pointers without the places of lists and maps; with a value, only
/// those that it uses.
fn fields(root: &Value, schema: &Value, value: Option<&Value>, path: &str, out: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return fields(root, root.pointer(&reference[1..]).unwrap(), value, path, out);
    }
    for branch in ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| schema[*word].as_array()).flatten() {
        fields(root, branch, value, path, out);
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let below = value.map(|value| value.get(name));
        if below != Some(None) {
            let path = format!("{path}/{name}");
            fields(root, inner, below.flatten(), &path, out);
            out.insert(path);
        }
    }
    for (word, inner) in ["items", "additionalProperties"].map(|word| (word, &schema[word])) {
        let values: Vec<Option<&Value>> = match (word, value) {
            _ if !inner.is_object() => Vec::new(),
            (_, None) => vec![None],
            ("items", Some(value)) => value.as_array().into_iter().flatten().map(Some).collect(),
            (_, Some(value)) => {
                value.as_object().into_iter().flatten().map(|(_, value)| Some(value)).collect()
            }
        };
        values.into_iter().for_each(|value| fields(root, inner, value, path, out));
    }
}

/// The fields that the documents of a file use.
fn use_of(file: &Path, schema: &Value, used: &mut BTreeSet<String>) {
    let composed = compose(&fs::read_to_string(file).unwrap(), &Limits::default());
    for document in composed.documents {
        fields(schema, schema, Some(&document.root.to_json()), "", used);
    }
}

#[test]
fn the_examples_of_queues_have_every_setting_of_theirs() {
    let schema = schema::generate::<SettingsFile>("settings");
    let (mut all, mut used) = (BTreeSet::new(), BTreeSet::new());
    fields(&schema, &schema, None, "", &mut all);
    // References and TLS are the same everywhere.
    let is_shared =
        |field: &String| field.contains("/tls/") || field.ends_with("/env") || field.ends_with("/file");
    all.retain(|field| field.starts_with("/queue") && !is_shared(field));
    for (_, directory) in queues() {
        use_of(&directory.join("tintal.yaml"), &schema, &mut used);
    }
    assert!(all.len() > 60, "{all:?}");
    assert_eq!(all.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_example_of_every_field_has_every_field() {
    let schema = schema::job();
    let (mut all, mut used) = (BTreeSet::new(), BTreeSet::new());
    fields(&schema, &schema, None, "", &mut all);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/every-field/every-field.yaml");
    // A `message` needs a backend of the settings.
    let message =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/queues/redis-streams/jobs.d/sync.yaml");
    for file in [file, message] {
        use_of(&file, &schema, &mut used);
    }
    assert!(all.len() > 60, "{all:?}");
    assert_eq!(all.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new());
}
