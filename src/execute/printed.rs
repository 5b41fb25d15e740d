//! What a program prints, as it comes: by one pipe for all of it, or by one for each stream.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::fs::fstat;
use tokio::net::unix::pipe;

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// What bytes were printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// stdout, or a pipe that takes both.
    Out,
    /// stderr, where it has a pipe of its own.
    Err,
}

/// Whether stdout can be told from stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Streams {
    /// Both come by one pipe, in the order in which they were printed.
    Together,
    /// Each has its own. What comes at nearly the same time on both may change places.
    Apart,
}

/// The reading ends of what a program prints to.
#[derive(Debug)]
pub(super) struct Printed {
    out: Option<pipe::Receiver>,
    err: Option<pipe::Receiver>,
    buffer: Vec<u8>,
    /// What the kernel knows the pipes by.
    pub(super) inodes: Vec<u64>,
}

/// The ends that the program gets.
#[derive(Debug)]
pub(super) struct Writers {
    pub(super) out: io::PipeWriter,
    pub(super) err: io::PipeWriter,
}

impl Printed {
    /// Makes the pipes.
    pub(super) fn new(streams: Streams) -> io::Result<(Self, Writers)> {
        let (out, out_writer) = io::pipe()?;
        let (err, err_writer) = match streams {
            Streams::Together => (None, out_writer.try_clone()?),
            Streams::Apart => {
                let (err, writer) = io::pipe()?;
                (Some(err), writer)
            }
        };
        let readers = [Some(out), err].map(|reader| reader.map(OwnedFd::from));
        let mut inodes = Vec::new();
        for reader in readers.iter().flatten() {
            inodes.push(fstat(reader.as_fd())?.st_ino);
        }
        let [out, err] = readers.map(|reader| reader.map(pipe::Receiver::from_owned_fd).transpose());
        let printed = Self { out: out?, err: err?, buffer: vec![0; READ_BYTES], inodes };
        Ok((printed, Writers { out: out_writer, err: err_writer }))
    }

    /// Waits for more; none when nobody can print any more. Nothing is lost when it is not waited for
    /// to the end.
    pub(super) async fn read(&mut self) -> Option<(Stream, &[u8])> {
        let (stream, count) = loop {
            let stream = tokio::select! {
                () = ready(self.out.as_ref()), if self.out.is_some() => Stream::Out,
                () = ready(self.err.as_ref()), if self.err.is_some() => Stream::Err,
                else => return None,
            };
            let pipe = match stream {
                Stream::Out => &mut self.out,
                Stream::Err => &mut self.err,
            };
            let Some(open) = pipe else { continue };
            match open.try_read(&mut self.buffer) {
                Ok(count) if count > 0 => break (stream, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => *pipe = None,
            }
        };
        Some((stream, &self.buffer[..count]))
    }
}

/// Waits until a pipe can be read; for one that is closed, for ever.
async fn ready(pipe: Option<&pipe::Receiver>) {
    match pipe {
        // What is wrong with it is seen when it is read.
        Some(pipe) => drop(pipe.readable().await),
        None => std::future::pending().await,
    }
}
