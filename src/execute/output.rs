//! The output of one attempt: one file that keeps the beginning and the end.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing::warn;

use super::attempt::{Echo, OutputSize};

/// Most bytes of the end that are kept, held in memory until the attempt is over.
const TAIL_BYTES_MAX: u64 = 1024 * 1024;

/// The output of one attempt. The beginning is written as it comes, so that it can be followed;
/// past the limit the end is kept, and added when the attempt is over.
#[derive(Debug)]
pub(super) struct Output {
    state: Mutex<State>,
    echo: Option<Echo>,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    file: Option<File>,
    /// Whether the file could not be written: the attempt goes on without it.
    failed: bool,
    /// Who wrote the line that is not ended yet.
    open: Option<String>,
    head_left: u64,
    tail: VecDeque<u8>,
    tail_max: usize,
    seen: u64,
    kept: u64,
}

impl Output {
    /// An output that keeps `bytes_max` bytes. The file is made with the first byte.
    pub(super) fn new(path: PathBuf, bytes_max: u64, echo: Option<Echo>) -> Self {
        let tail = (bytes_max / 2).min(TAIL_BYTES_MAX);
        let state = State {
            path,
            file: None,
            failed: false,
            open: None,
            head_left: bytes_max - tail,
            tail: VecDeque::new(),
            tail_max: usize::try_from(tail).unwrap_or(usize::MAX),
            seen: 0,
            kept: 0,
        };
        Self { state: Mutex::new(state), echo }
    }

    /// Adds bytes of a writer whose lines begin with `prefix`.
    ///
    /// A line may come in parts. When another writer comes between them, the line is ended, and
    /// goes on in a line of its own.
    pub(super) fn write(&self, prefix: &str, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.lock();
        let mut shown = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if state.open.as_deref() != Some(prefix) {
                shown.extend(state.end_line());
                shown.extend(prefix.as_bytes());
            }
            shown.extend(line);
            state.open = if line.ends_with(b"\n") { None } else { Some(prefix.to_owned()) };
        }
        self.show(&mut state, &shown);
    }

    /// Adds a line of our own.
    pub(super) fn say(&self, prefix: &str, line: &str) {
        let mut state = self.lock();
        let mut shown = state.end_line().to_vec();
        shown.extend(format!("{prefix}tintal: {line}\n").into_bytes());
        self.show(&mut state, &shown);
    }

    fn show(&self, state: &mut State, bytes: &[u8]) {
        // In the lock, so that listeners see the order of the file.
        if let Some(Echo(echo)) = &self.echo {
            echo(bytes);
        }
        state.add(bytes);
    }

    /// Ends the file.
    pub(super) fn finish(&self) -> OutputSize {
        let mut state = self.lock();
        let tail: Vec<u8> = state.tail.drain(..).collect();
        let cut = state.seen - state.kept - tail.len() as u64;
        if cut > 0 {
            state.put(format!("\n[tintal: {cut} bytes cut out here]\n").as_bytes());
        }
        state.put(&tail);
        state.kept += tail.len() as u64;
        OutputSize { seen: state.seen, kept: state.kept }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What ends the line that somebody began.
    fn end_line(&mut self) -> &'static [u8] {
        if self.open.take().is_some() { b"\n" } else { b"" }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        let head = usize::try_from(self.head_left).unwrap_or(usize::MAX).min(bytes.len());
        let (head, rest) = bytes.split_at(head);
        if !head.is_empty() {
            self.put(head);
            self.head_left -= head.len() as u64;
            self.kept += head.len() as u64;
        }
        let rest = &rest[rest.len().saturating_sub(self.tail_max)..];
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(self.tail_max);
        self.tail.drain(..over);
    }

    fn put(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.failed {
            return;
        }
        if let Err(error) = self.try_put(bytes) {
            // A full disk must not stop the job; its output is what is lost.
            self.failed = true;
            warn!(path = %self.path.display(), %error, "the output cannot be kept");
        }
    }

    fn try_put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                if let Some(parent) = self.path.parent() {
                    fs::create_dir_all(parent)?;
                }
                let file = OpenOptions::new()
                    .create(true)
                    .truncate(true)
                    .write(true)
                    .mode(0o600)
                    .open(&self.path)?;
                self.file.insert(file)
            }
        };
        file.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes_max: u64, chunks: &[&str], expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ab/out.log");
        let output = Output::new(path.clone(), bytes_max, None);
        chunks.iter().for_each(|chunk| output.write("", chunk.as_bytes()));
        let size = output.finish();
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
        assert_eq!(size.seen, chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>());
        assert!(size.kept <= bytes_max, "{size:?}");
    }

    #[test]
    fn head_and_tail_table() {
        check(8, &["abc"], "abc");
        check(8, &["abcdefgh"], "abcdefgh");
        check(8, &["abcd", "efgh"], "abcdefgh");
        check(8, &["abcdefghi"], "abcd\n[tintal: 1 bytes cut out here]\nfghi");
        check(8, &["ab", "cdef", "ghijklm", "nop"], "abcd\n[tintal: 8 bytes cut out here]\nmnop");
    }

    /// Each word is written by whoever stands before it; `!` is a line of our own.
    #[track_caller]
    fn check_writers(words: &[(&str, &str)], expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.log");
        let output = Output::new(path.clone(), 1024, None);
        for (writer, text) in words {
            match writer.strip_prefix('!') {
                Some(prefix) => output.say(prefix, text),
                None => output.write(writer, text.as_bytes()),
            }
        }
        output.finish();
        assert_eq!(fs::read_to_string(path).unwrap(), expected, "{words:?}");
    }

    #[test]
    fn a_prefix_stands_where_a_line_begins() {
        check_writers(&[("a | ", "abc"), ("a | ", "def\n")], "a | abcdef\n");
        check_writers(&[("a | ", "1\n2"), ("a | ", "\n3\n")], "a | 1\na | 2\na | 3\n");
        check_writers(&[("a | ", "abc"), ("b | ", "x\n"), ("a | ", "def\n")], "a | abc\nb | x\na | def\n");
        check_writers(&[("a | ", "abc"), ("!a | ", "timed out")], "a | abc\na | tintal: timed out\n");
        check_writers(&[("", "abc"), ("!", "timed out")], "abc\ntintal: timed out\n");
    }

    #[test]
    fn without_output_there_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.log");
        assert_eq!(Output::new(path.clone(), 8, None).finish(), OutputSize::default());
        assert!(!path.exists());
    }
}
