//! The end of an attempt's output, on its way from a worker to the daemon.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use tokio::task::spawn_blocking;

use super::report::TAIL_MAX;

/// Writes what came of an output into a file, and says in it how much is left out. On a thread for such
/// work: a slow disk must not hold up other reports.
///
/// # Errors
///
/// When the file cannot be written.
pub async fn keep(path: PathBuf, tail: String, bytes_seen: u64) -> io::Result<()> {
    let written = spawn_blocking(move || {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let left_out = bytes_seen.saturating_sub(tail.len() as u64);
        let head = if left_out == 0 {
            String::new()
        } else {
            format!("[tintal] {left_out} bytes of output stayed on the worker; its end follows\n")
        };
        fs::write(path, head + &tail)
    });
    written.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Reads the end of an output; none when there is no file. What is no text of it is replaced.
pub async fn read(path: PathBuf) -> String {
    let read = spawn_blocking(move || last_bytes(&path));
    let bytes = read.await.map_err(io::Error::other).and_then(|read| read);
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

fn last_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_MAX as u64)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_MAX as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
