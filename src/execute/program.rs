//! Where a program is.
//!
//! We look it up ourselves: with a search by `exec` in a changed `PATH`, std leaves the
//! `posix_spawn` path, and a fork of a large daemon is slow.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The file of a program, absolute.
pub(super) fn find(name: &str, path: &str, directory: &Path) -> Result<PathBuf, String> {
    if name.contains('/') {
        let file = directory.join(name);
        return match state(&file) {
            State::Program => Ok(file),
            State::NotExecutable => Err(format!("`{name}` is not executable; `chmod +x` makes it so")),
            State::Missing => Err(format!("there is no program `{name}`")),
        };
    }
    let mut not_executable = None;
    for part in path.split(':').filter(|part| !part.is_empty()) {
        let file = directory.join(part).join(name);
        match state(&file) {
            State::Program => return Ok(file),
            State::NotExecutable => not_executable = Some(file),
            State::Missing => {}
        }
    }
    Err(match not_executable {
        Some(file) => format!("`{}` is not executable; `chmod +x` makes it so", file.display()),
        None => format!("there is no program `{name}` in the PATH ({path})"),
    })
}

enum State {
    Program,
    NotExecutable,
    Missing,
}

fn state(file: &Path) -> State {
    match fs::metadata(file) {
        Ok(metadata) if !metadata.is_file() => State::Missing,
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => State::NotExecutable,
        Ok(_) => State::Program,
        Err(_) => State::Missing,
    }
}
