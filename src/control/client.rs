//! The command line's end of the control socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};

use super::{socket::Address, view::ErrorView};
use crate::engine::lock;

/// How long a socket is waited for that a daemon is about to make: longer than it takes to see that it
/// was taken away.
const SOCKET_MAX: Duration = Duration::from_secs(6);

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Why the daemon gave no answer, or not the one that was asked for.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No daemon listens on the socket.
    #[error("no daemon is running on `{}`; start one with `tintal serve`", .state.display())]
    NotRunning {
        /// The state directory.
        state: PathBuf,
    },
    /// A process has the state directory, and there is no socket to ask it by.
    #[error("no control socket answers in `{}`, though the process {pid} uses it: it starts or ends, or its socket was taken away. A daemon makes it anew within seconds, so ask again; if that does not help, stop the process (`kill {pid}`) and start `tintal serve`", .state.display())]
    NoSocket {
        /// The state directory.
        state: PathBuf,
        /// The process.
        pid: u32,
    },
    /// Who asks may not look, or the path leads nowhere: there may be a daemon.
    #[error("whether a daemon is running on `{}` cannot be told", .state.display())]
    Unseen {
        /// The state directory.
        state: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The daemon read the request and said no.
    #[error("{0}")]
    Refused(String),
    /// The daemon ended, or was ended, before it had answered.
    #[error("the daemon on `{}` ended before it had answered: whether it did what was asked is not known; `tintal status` tells whether one runs", .state.display())]
    Gone {
        /// The state directory.
        state: PathBuf,
    },
    /// The connection broke, or the answer made no sense.
    #[error("the daemon on `{}` did not answer", .state.display())]
    Broken {
        /// The state directory.
        state: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the daemon said could not be passed on.
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
}

/// Asks the daemon of `state` for a document; `None` when no daemon runs.
///
/// # Errors
///
/// As [`ClientError`] says.
pub async fn ask<T: DeserializeOwned>(state: &Path, path: &str) -> Result<Option<T>, ClientError> {
    let answer = match Client::of(state).await {
        Ok(client) => client.get(path).await,
        Err(error) => Err(error),
    };
    if_running(answer)
}

/// Sends the daemon of `state` a document, and reads the answer; `None` when no daemon runs.
///
/// # Errors
///
/// As [`ClientError`] says.
pub async fn tell<T: DeserializeOwned>(
    state: &Path,
    path: &str,
    body: &impl Serialize,
) -> Result<Option<T>, ClientError> {
    let answer = match Client::of(state).await {
        Ok(client) => client.post(path, body).await,
        Err(error) => Err(error),
    };
    if_running(answer)
}

fn if_running<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(document) => Ok(Some(document)),
        Err(ClientError::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A connection to the daemon of a state directory.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    state: PathBuf,
    _address: Address,
}

impl Client {
    /// Finds the daemon of `state`. Nothing is sent yet. While a process has the directory and makes no
    /// socket, it is waited for, since a daemon is about to.
    ///
    /// # Errors
    ///
    /// When nobody listens, or that cannot be told.
    pub async fn of(state: &Path) -> Result<Self, ClientError> {
        let found = timeout(SOCKET_MAX, async {
            loop {
                let error = match Self::listening(state).await {
                    Ok(address) => return Ok(address),
                    Err(error) => no_way(state, error),
                };
                match (&error, lock::holder(state)) {
                    (ClientError::NotRunning { .. }, Some(_)) => sleep(LOOK).await,
                    _ => return Err(error),
                }
            }
        });
        let address = match (found.await, lock::holder(state)) {
            (Ok(found), _) => found?,
            (Err(_), Some(pid)) => return Err(ClientError::NoSocket { state: state.to_owned(), pid }),
            (Err(_), None) => return Err(ClientError::NotRunning { state: state.to_owned() }),
        };
        crate::execute::install_crypto();
        let http = reqwest::Client::builder()
            .unix_socket(address.path())
            .build()
            .map_err(|error| broken(state, error))?;
        Ok(Self { http, state: state.to_owned(), _address: address })
    }

    /// The address of a socket on which somebody listens.
    async fn listening(state: &Path) -> io::Result<Address> {
        let address = Address::of(state)?;
        UnixStream::connect(address.path()).await?;
        Ok(address)
    }

    /// Asks for a document.
    ///
    /// # Errors
    ///
    /// As [`ClientError`] says.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self.send(self.http.get(url(path))).await?;
        response.json().await.map_err(|error| cut(&self.state, error))
    }

    /// Sends a document and reads the answer.
    ///
    /// # Errors
    ///
    /// As [`ClientError`] says.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let response = self.send(self.http.post(url(path)).json(body)).await?;
        response.json().await.map_err(|error| cut(&self.state, error))
    }

    /// Copies the bytes of an answer as they come.
    ///
    /// # Errors
    ///
    /// As [`ClientError`] says.
    pub async fn copy(&self, path: &str, out: &mut dyn io::Write) -> Result<(), ClientError> {
        let mut response = self.send(self.http.get(url(path))).await?;
        while let Some(chunk) = response.chunk().await.map_err(|error| cut(&self.state, error))? {
            out.write_all(&chunk).and_then(|()| out.flush()).map_err(ClientError::Output)?;
        }
        Ok(())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                return Err(no_way(&self.state, io_error(&error).unwrap_or(io::ErrorKind::NotFound.into())));
            }
            Err(error) => return Err(cut(&self.state, error)),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let said = response.json::<ErrorView>().await.map(|view| view.error);
        Err(ClientError::Refused(said.unwrap_or_else(|_| format!("the daemon answered {status}"))))
    }
}

fn url(path: &str) -> String {
    format!("http://localhost{path}")
}

fn broken(state: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
    ClientError::Broken { state: state.to_owned(), source: source.into() }
}

/// Why an answer did not come, or not all of it: whoever was to give it has gone. One that came as a
/// whole and is no JSON is another matter.
fn cut(state: &Path, error: reqwest::Error) -> ClientError {
    let is_answer = causes(&error).any(<dyn std::error::Error>::is::<serde_json::Error>);
    if is_answer || !(error.is_request() || error.is_body() || error.is_decode()) {
        return broken(state, error);
    }
    ClientError::Gone { state: state.to_owned() }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}

/// Why there is no way to the daemon: nobody is there when there is no socket, or nobody listens on it.
fn no_way(state: &Path, source: io::Error) -> ClientError {
    let state = state.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning { state },
        _ => ClientError::Unseen { state, source },
    }
}

/// The error of the system under another one.
fn io_error(error: &reqwest::Error) -> Option<io::Error> {
    let cause = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>())?;
    Some(cause.raw_os_error().map_or(cause.kind().into(), io::Error::from_raw_os_error))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixListener,
    };

    use super::*;

    #[test]
    fn only_where_nobody_listens_is_no_daemon() {
        for (kind, is_running) in [
            (io::ErrorKind::NotFound, Some(false)),
            (io::ErrorKind::ConnectionRefused, Some(false)),
            (io::ErrorKind::PermissionDenied, None),
            (io::ErrorKind::NotADirectory, None),
        ] {
            let told = match no_way(Path::new("state"), kind.into()) {
                ClientError::NotRunning { .. } => Some(false),
                _ => None,
            };
            assert_eq!(told, is_running, "{kind}");
        }
    }
    /// A socket that takes a request, answers with `answer`, and is closed.
    #[track_caller]
    fn asked(answer: &'static str) -> ClientError {
        let state = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = UnixListener::bind(Address::of(state.path()).unwrap().path()).unwrap();
            let client = Client::of(state.path()).await.unwrap();
            let _ = listener.accept().await.unwrap();
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            let (answer, ()) = tokio::join!(client.get::<serde_json::Value>("/v1/status"), serve);
            answer.unwrap_err()
        })
    }

    #[test]
    fn a_daemon_that_ends_before_it_has_answered_is_told_in_words() {
        let begun = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{\"v\"";
        for answer in ["", "HTTP/1.1 200 OK\r\n", begun] {
            let error = asked(answer);
            assert!(matches!(error, ClientError::Gone { .. }), "{answer}: {error:?}");
            let said = crate::execute::causes::with_causes(&error);
            assert!(said.ends_with("`tintal status` tells whether one runs"), "{said}");
        }
        let error = asked("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{no}");
        assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    }
}
