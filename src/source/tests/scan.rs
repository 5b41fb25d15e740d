//! What a scan shows, case by case.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::tree::{Tree, later, run, shown};
use crate::{
    manifest::{file::Content, yaml::limits::BYTES_MAX},
    source::{
        content::{self, Reading},
        listing::{self, Limits},
        places::Places,
        scan::Scanner,
    },
};

/// Asserts what a scan of the tree shows: files, then directories that could not be listed.
#[track_caller]
fn check(tree: &Tree, expected: &[&str]) {
    let scan = tree.scan().unwrap();
    let mut seen = shown(&scan.files);
    seen.extend(scan.unreadable.iter().map(|dir| format!("[{}] {}", dir.path, dir.reason)));
    assert_eq!(seen, expected);
}

#[track_caller]
fn check_error(tree: &Tree, root: &str, expected: &str) {
    let path = tree.path(root);
    let error = Scanner::new(path.clone()).scan(later()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read manifests from `{}`: {expected}", path.display()));
}

fn fifo(tree: &Tree, path: &str) {
    mknodat(CWD, tree.path(path), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
}

#[test]
fn manifests_are_read_in_the_order_of_paths() {
    let tree = Tree::with(&[("b.yml", "2"), ("a/z.yaml", "1"), ("a/b/c/d.yaml", "0"), ("a.yaml", "3")]);
    check(&tree, &["a.yaml=3", "a/b/c/d.yaml=0", "a/z.yaml=1", "b.yml=2"]);
}

#[test]
fn hidden_and_temporary_files_are_not_read() {
    let tree = Tree::with(&[
        ("a.yaml", "1"),
        (".b.yaml", "2"),
        ("a.yaml~", "3"),
        ("#a.yaml#", "4"),
        (".a.yaml.swp", "5"),
        ("4913", "6"),
        (".git/c.yaml", "7"),
        ("..2026/d.yaml", "8"),
        ("README.md", "9"),
        ("old~/e.yaml", "10"),
        ("lost+found/f.yaml", "11"),
    ]);
    check(&tree, &["a.yaml=1"]);
}

#[test]
fn links_to_files_and_directories_are_followed() {
    let tree = Tree::with(&[("../one", "1"), ("../team/a.yaml", "2"), ("../team/sub/b.yaml", "3")]);
    tree.link("../one", "one.yaml");
    tree.link("../team", "team");
    tree.link("../team/a.yaml", "not-by-name");
    check(&tree, &["one.yaml=1", "team/a.yaml=2", "team/sub/b.yaml=3"]);
}

#[test]
fn a_link_back_to_the_root_ends_the_walk() {
    let tree = Tree::with(&[("a.yaml", "1"), ("team/b.yaml", "2")]);
    tree.link("..", "team/up");
    tree.link(".", "self");
    check(&tree, &["a.yaml=1", "team/b.yaml=2"]);
}

/// F6: each kind of broken file has its diagnostic, and the others are read.
#[test]
fn what_cannot_be_read_has_its_reason_and_hides_nothing_else() {
    let tree = Tree::with(&[("good.yaml", "1")]);
    tree.link("gone", "dangling.yaml");
    tree.link("loop.yaml", "loop.yaml");
    tree.write("dir.yaml/inside.yaml", "2");
    fifo(&tree, "fifo.yaml");
    tree.link("fifo.yaml", "to-fifo.yaml");
    tree.link("/dev/null", "null.yaml");
    tree.link("dir.yaml", "to-dir.yaml");
    tree.write("zz-binary.yaml", b"a: \x80\xff");
    check(
        &tree,
        &[
            "dangling.yaml: it is a symbolic link to `gone`, which does not exist",
            "dir.yaml: it is a directory with the name of a manifest",
            "fifo.yaml: it is a FIFO, not a file",
            "good.yaml=1",
            "loop.yaml: its symbolic links lead round in a circle",
            "null.yaml: it is a device, not a file",
            "to-dir.yaml: it is a directory with the name of a manifest",
            "to-fifo.yaml: it is a FIFO, not a file",
            "zz-binary.yaml: not text at 3",
        ],
    );
}

#[test]
fn odd_texts_come_as_they_are() {
    let tree = Tree::with(&[("bom.yaml", "\u{feff}a: 1"), ("crlf.yaml", "a: 1\r\n"), ("empty.yaml", "")]);
    tree.write("nul.yaml", "a\0b");
    check(&tree, &["bom.yaml=\u{feff}a: 1", "crlf.yaml=a: 1\r\n", "empty.yaml=", "nul.yaml=a\0b"]);
}

#[test]
fn a_large_file_is_told_by_its_size_and_not_read() {
    let tree = Tree::with(&[("a.yaml", "1")]);
    File::create(tree.path("big.yaml")).unwrap().set_len(50 << 20).unwrap();
    tree.write("fits.yaml", vec![b'a'; BYTES_MAX]);
    tree.write("over.yaml", vec![b'a'; BYTES_MAX + 1]);
    let scan = tree.scan().unwrap();
    assert_eq!(scan.read, 2);
    assert_eq!(scan.files[1].content, Content::TooLarge { bytes: 50 << 20, bytes_max: BYTES_MAX as u64 });
    assert!(matches!(&scan.files[2].content, Content::Text(text) if text.len() == BYTES_MAX));
    let over = BYTES_MAX as u64 + 1;
    assert_eq!(scan.files[3].content, Content::TooLarge { bytes: over, bytes_max: BYTES_MAX as u64 });
}

#[test]
fn a_name_that_is_not_utf8_is_told() {
    let tree = Tree::with(&[("a.yaml", "1")]);
    fs::write(tree.root().join(OsStr::from_bytes(b"b\xff.yaml")), "2").unwrap();
    fs::create_dir(tree.root().join(OsStr::from_bytes(b"c\xff"))).unwrap();
    check(
        &tree,
        &[
            "a.yaml=1",
            "b\u{fffd}.yaml: its name is not UTF-8: rename it",
            "[c\u{fffd}] its name is not UTF-8: rename it",
        ],
    );
}

/// F12: what may have been a directory full of jobs is unknown, not empty.
#[test]
fn a_directory_that_cannot_be_listed_is_told() {
    let tree = Tree::with(&[("a.yaml", "1")]);
    tree.link("../gone", "team");
    tree.link("round", "round");
    check(
        &tree,
        &[
            "a.yaml=1",
            "[round] its symbolic links lead round in a circle",
            "[team] it is a symbolic link to `../gone`, which does not exist",
        ],
    );
    assert_eq!(tree.scan().unwrap().refused(&tree.root()), None);
    // The owner of the machine may follow every link but one that is too long for the system.
    tree.link("d".repeat(300), "long");
    let refused = tree.scan().unwrap().refused(&tree.root()).unwrap();
    assert_eq!(refused.reason, "`long` in it cannot be listed: its path is too long for this system");
}

#[test]
fn a_tree_that_is_too_deep_or_too_large_is_told() {
    let tree = Tree::with(&[("a.yaml", "1"), ("b.yaml", "1"), ("c.txt", "1")]);
    tree.write(&format!("{}deep.yaml", "d/".repeat(64)), "2");
    tree.write(&format!("{}deeper.yaml", "d/".repeat(65)), "3");
    let scan = tree.scan().unwrap();
    assert_eq!(scan.files.len(), 3);
    assert_eq!(scan.unreadable.len(), 1);
    assert_eq!(scan.unreadable[0].path, vec!["d"; 65].join("/"));
    assert_eq!(scan.unreadable[0].reason, "it is nested more than 64 directories deep");

    let within = |files, entries| {
        let limits = Limits { files, entries };
        listing::list_within(&tree.root(), &mut Places::default(), limits)
            .map(|listing| listing.entries.len())
            .map_err(|error| error.reason)
    };
    assert_eq!(within(3, 100), Ok(3));
    let reason =
        |what: &str| Err(format!("there are more than {what} in it; name a directory of manifests only"));
    assert_eq!(within(2, 100), reason("2 manifests"));
    assert_eq!(within(3, 10), reason("10 entries"));
}

#[test]
fn a_root_that_cannot_be_read_is_an_error_with_the_way_out() {
    let tree = Tree::with(&[("a.yaml", "1")]);
    fifo(&tree, "fifo");
    tree.link("gone", "dangling");
    tree.link("round", "round");
    check_error(
        &tree,
        "../gone",
        "there is no such directory; `tintal init` makes one, `--jobs` names another",
    );
    check_error(
        &tree,
        "a.yaml/x",
        "there is no such directory; `tintal init` makes one, `--jobs` names another",
    );
    check_error(&tree, "fifo", "it is a FIFO, not a file");
    check_error(&tree, "round", "its symbolic links lead round in a circle");
    check_error(
        &tree,
        "dangling",
        "it is a symbolic link to something that does not exist; point it to a directory",
    );
}

#[test]
fn a_root_that_is_a_file_is_read_whatever_its_name() {
    let tree = Tree::with(&[("job.json", "1"), ("b.yaml", "2")]);
    tree.link("job.json", "link");
    for name in ["job.json", "link"] {
        let scan = Scanner::new(tree.path(name)).scan(later()).unwrap();
        assert_eq!(shown(&scan.files), [format!("{name}=1")]);
    }
}

#[test]
fn unchanged_files_are_not_read_again() {
    let tree = Tree::with(&[("a.yaml", "1"), ("b/c.yaml", "2")]);
    let mut scanner = Scanner::new(tree.root());
    let first = scanner.scan(later()).unwrap();
    let second = scanner.scan(later()).unwrap();
    assert_eq!((first.read, second.read), (2, 0));
    assert_eq!((first.tree_hash, first.files), (second.tree_hash, second.files));

    tree.write("a.yaml", "3");
    let third = scanner.scan(later()).unwrap();
    assert_eq!((third.read, shown(&third.files)), (1, vec!["a.yaml=3".to_owned(), "b/c.yaml=2".to_owned()]));
    assert_ne!(first.tree_hash, third.tree_hash);
}

#[test]
fn a_file_changed_just_before_the_scan_is_read_again() {
    let tree = Tree::with(&[("a.yaml", "1")]);
    let changed = fs::metadata(tree.path("a.yaml")).unwrap();
    let changed = {
        use std::os::unix::fs::MetadataExt;
        Timestamp::new(changed.ctime(), i32::try_from(changed.ctime_nsec()).unwrap()).unwrap()
    };
    let mut scanner = Scanner::new(tree.root());
    let mut reads = |millis: i64| {
        let now = Timestamp::from_nanosecond(changed.as_nanosecond() + i128::from(millis) * 1_000_000);
        scanner.scan(now.unwrap()).unwrap().read
    };
    assert_eq!([reads(0), reads(40), reads(60), reads(60)], [1, 1, 1, 0]);
}

/// `touch -r` and `cp -p` set the time of the last write, not that of the last change.
#[test]
fn a_change_that_keeps_size_and_time_is_seen() {
    let tree = Tree::with(&[("a.yaml", "1")]);
    let mut scanner = Scanner::new(tree.root());
    let first = scanner.scan(later()).unwrap();
    tree.sh("touch -r a.yaml ../stamp; printf 2 > a.yaml; touch -r ../stamp a.yaml");
    let second = scanner.scan(later()).unwrap();
    assert_eq!(shown(&second.files), ["a.yaml=2"]);
    assert_ne!(first.tree_hash, second.tree_hash);
}

#[test]
fn equal_content_in_other_files_is_the_same_tree() {
    let tree = Tree::with(&[("a.yaml", "1"), ("../same/a.yaml", "1"), ("../other/a.yaml", "2")]);
    let hash = |root: &str| Scanner::new(tree.path(root)).scan(later()).unwrap().tree_hash;
    assert_eq!(hash("../same"), hash("../jobs.d"));
    assert_ne!(hash("../other"), hash("../jobs.d"));
    let before = hash("../jobs.d");
    tree.sh("cp -p a.yaml ../new; mv ../new a.yaml; chmod 600 a.yaml; touch a.yaml; touch notes.txt");
    assert_eq!(hash("../jobs.d"), before);
}

#[test]
fn everything_that_matters_is_in_the_hash() {
    let tree = Tree::with(&[("a.yaml", "")]);
    let mut seen = vec![tree.scan().unwrap().tree_hash];
    let mut step = |script: &str| {
        tree.sh(script);
        let hash = tree.scan().unwrap().tree_hash;
        assert!(!seen.contains(&hash), "{script}");
        seen.push(hash);
    };
    step("mv a.yaml b.yaml");
    step("rm b.yaml; ln -s gone b.yaml");
    step("rm b.yaml; ln -s other b.yaml");
    step("rm b.yaml; truncate -s 50M b.yaml");
    step("truncate -s 51M b.yaml");
    step("rm b.yaml; printf '\\377' > b.yaml");
    step("rm b.yaml");
    step("ln -s gone dir");
    step("mv dir dir2");
}

#[test]
fn a_file_that_vanishes_while_it_is_read_is_not_there() {
    let tree = Tree::with(&[("a.yaml", "1")]);
    assert!(matches!(content::read(&tree.path("gone.yaml")), Reading::Gone));
    assert!(matches!(content::read(&tree.path("a.yaml/x")), Reading::Gone));
}

/// Between the listing and the opening a file may become something else.
#[test]
fn opening_what_is_not_a_file_any_more_does_not_block() {
    let tree = Tree::new();
    fifo(&tree, "fifo");
    for (path, expected) in
        [("fifo", "it is a FIFO, not a file"), ("", "it is a directory with the name of a manifest")]
    {
        let Reading::Read { content: Content::Unreadable { reason }, .. } = content::read(&tree.path(path))
        else {
            panic!("{path:?} was read");
        };
        assert_eq!(reason, expected);
    }
}

/// For root a mode is no obstacle, so the scan shows the text then; what a refusal says is in
/// `reason`.
#[test]
fn a_file_without_permission_shows_what_opening_it_gives() {
    let tree = Tree::with(&[("a.yaml", "1"), ("b.yaml", "2")]);
    fs::set_permissions(tree.path("a.yaml"), fs::Permissions::from_mode(0o000)).unwrap();
    let expected = match fs::read(tree.path("a.yaml")) {
        Ok(_) => "a.yaml=1",
        Err(_) => "a.yaml: permission denied: let the user that tintal runs as read it",
    };
    check(&tree, &[expected, "b.yaml=2"]);
}

/// F10, F12: `cp -a` and `rsync` keep the times of modification; what is being copied is not at rest.
#[test]
fn a_tree_is_still_since_its_newest_change_whatever_its_files_say_of_themselves() {
    let tree = Tree::with(&[("a.yaml", "1"), ("deep/b.yaml", "2")]);
    let copied = File::options().write(true).open(tree.path("a.yaml")).unwrap();
    copied.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let changed = copied.metadata().unwrap();
    let changed = Timestamp::new(changed.ctime(), i32::try_from(changed.ctime_nsec()).unwrap()).unwrap();

    let mut scanner = Scanner::new(tree.root());
    let mut still = |secs: i64| scanner.scan(changed + SignedDuration::from_secs(secs)).unwrap().still;
    assert_eq!(still(0), Some(Duration::ZERO));
    assert_eq!(still(7), Some(Duration::from_secs(7)));
    assert_eq!(still(-1), None, "by a clock that was set back");
}

#[test]
fn nobody_knows_whether_a_tree_is_still_that_cannot_be_looked_at_everywhere() {
    let tree = Tree::with(&[("a.yaml", "1")]);
    let mut scanner = Scanner::new(tree.root());
    assert_ne!(scanner.scan(later()).unwrap().still, None);
    symlink("nowhere", tree.path("b.yaml")).unwrap();
    assert_eq!(scanner.scan(later()).unwrap().still, None);
    fs::remove_file(tree.path("b.yaml")).unwrap();
    symlink("/proc/version", tree.path("elsewhere")).unwrap();
    assert_eq!(scanner.scan(later()).unwrap().still, None, "another file system has a clock of its own");
}

#[test]
fn a_checkout_under_way_is_seen() {
    let tree = Tree::with(&[("a.yaml", "1"), ("../jobs.d/team/b.yaml", "2")]);
    let busy = |root: &str| Scanner::new(tree.path(root)).scan(later()).unwrap().git_busy;
    assert!(!busy(""));
    run(std::process::Command::new("git").args(["init", "-q"]).arg(tree.path("../")));
    assert!(!busy(""));
    tree.write("../.git/index.lock", "");
    assert!(busy(""));
    assert!(busy("team"));
    assert!(busy("team/b.yaml"));
    fs::remove_file(tree.path("../.git/index.lock")).unwrap();
    assert!(!busy(""));

    tree.write("team/.git/index.lock", "");
    assert!(busy(""), "a repository in the tree");
    fs::remove_dir_all(tree.path("team/.git")).unwrap();
    tree.write("../elsewhere/index.lock", "");
    tree.write("team/.git", "gitdir: ../../elsewhere\n");
    assert!(busy(""), "a linked work tree in the tree");
}

#[test]
fn the_places_of_a_tree_hold_its_directories_and_the_ways_to_it() {
    let tree = Tree::with(&[("team/a.yaml", "1"), ("../store/one", "1")]);
    tree.link("../store/one", "one.yaml");
    symlink(tree.root(), tree.path("../current")).unwrap();
    let mut scanner = Scanner::new(tree.path("../current"));
    scanner.scan(later()).unwrap();
    let real = tree.root().canonicalize().unwrap();
    let places = scanner.places();
    let directories: Vec<_> = places.directories.keys().cloned().collect();
    assert_eq!(directories, [real.clone(), real.join("team")]);
    let beside = real.parent().unwrap();
    for entry in [
        beside.to_owned(),
        beside.join("current"),
        real.clone(),
        real.join("one.yaml"),
        beside.join("store"),
        beside.join("store/one"),
    ] {
        assert!(places.entries.contains(&entry), "{}", entry.display());
    }
    assert!(places.ways().contains(beside.join("store").as_path()));
}
