//! The output of an attempt, as it comes.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    time::sleep,
};

use crate::{backend::drive::output_file, engine::daemon::Daemon, ledger::AttemptRow, run::RunId};

/// Bytes of one chunk.
const CHUNK_BYTES: usize = 64 * 1024;

/// How often a file that may grow is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How far to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To what is there now.
    EndOfFile,
    /// Until the attempt is over; one that has not begun is waited for while the run goes on.
    AttemptEnds,
}

struct State {
    daemon: Arc<Daemon>,
    path: PathBuf,
    run: RunId,
    attempt: u32,
    offset: u64,
    /// Whether the attempt was seen to be over: what is in the file now is all.
    over: bool,
}

/// The output of an attempt. An attempt without a file has none.
pub fn output(
    daemon: Arc<Daemon>,
    run: RunId,
    attempt: u32,
    until: Until,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
    let path = daemon.parts().output.join(output_file(run, attempt));
    let state = State { daemon, path, run, attempt, offset: 0, over: until == Until::EndOfFile };
    stream::unfold(state, |mut state| async move {
        let chunk = state.next().await?;
        if let Ok(chunk) = &chunk {
            state.offset += chunk.len() as u64;
        }
        Some((chunk, state))
    })
}

impl State {
    async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        loop {
            match self.read().await {
                Ok(chunk) if !chunk.is_empty() => return Some(Ok(chunk)),
                Ok(_) if self.over => return None,
                Ok(_) => {
                    // Looked at before the file is read once more, so that its end is not missed.
                    match self.is_over().await {
                        Ok(over) => self.over = over,
                        Err(error) => return Some(Err(error)),
                    }
                    if !self.over {
                        sleep(LOOK).await;
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    async fn is_over(&self) -> io::Result<bool> {
        if !self.daemon.running().holds(self.run) {
            return Ok(true);
        }
        let row = self.daemon.ledger().run(self.run).await.map_err(io::Error::other)?;
        let attempts = row.map(|row| row.attempts).unwrap_or_default();
        let is_behind = |attempt: &AttemptRow| {
            attempt.n > self.attempt || attempt.n == self.attempt && attempt.ended_at.is_some()
        };
        Ok(attempts.iter().any(is_behind))
    }

    async fn read(&self) -> io::Result<Vec<u8>> {
        let mut file = match File::open(&self.path).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(io::SeekFrom::Start(self.offset)).await?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let count = file.read(&mut chunk).await?;
        chunk.truncate(count);
        Ok(chunk)
    }
}
