//! The way to a server: its socket, TLS on it, and what a server says of itself before anything else.

use std::{
    fs, io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_rs::{Tokio, TokioRuntime, traits::Reactor};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use lapin::{
    protocol::{AMQPClass, connection, parse_class},
    tcp::{AsyncTcpStream, RustlsConnector, RustlsConnectorConfig},
    types::{AMQPValue, FieldTable},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::time::timeout;

use super::Tls;

/// Longest time until a server takes a connection, before the next one is tried.
const SOCKET_MAX: Duration = Duration::from_secs(3);

/// What begins a connection.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// Most bytes of what a server says of itself: some hundreds are usual.
const HELLO_MAX: usize = 64 * 1_024;

/// A connection, encrypted or not.
pub(super) type Stream = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Its name or number.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
}

/// A second hand on a socket, by which a connection is ended that nobody answers on.
#[derive(Debug, Default)]
pub(super) struct Hand(Mutex<Option<TcpStream>>);

impl Hand {
    /// Takes hold of a socket. The one before is ended.
    fn hold(&self, socket: &impl AsFd) -> io::Result<()> {
        let socket = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        end(self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(socket));
        Ok(())
    }

    /// Ends the connection.
    pub(super) fn let_go(&self) {
        end(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn end(socket: Option<TcpStream>) {
    if let Some(socket) = socket {
        // One that is ended already is no trouble.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Connects to the first server that takes it, from the one at `first` on.
pub(super) async fn open(
    nodes: &[Node],
    first: usize,
    tls: Option<&Tls>,
    hand: &Hand,
    runtime: &TokioRuntime,
) -> io::Result<Stream> {
    let connector = tls.map(connector).transpose()?;
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no server is named");
    for node in nodes.iter().cycle().skip(first).take(nodes.len()) {
        let opening = open_one(node, connector.as_ref(), hand, runtime);
        last = match timeout(SOCKET_MAX, opening).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => io::Error::new(error.kind(), format!("{}:{}: {error}", node.host, node.port)),
            Err(_) => {
                let reason = format!("{}:{} did not answer within {SOCKET_MAX:?}", node.host, node.port);
                io::Error::new(io::ErrorKind::TimedOut, reason)
            }
        };
    }
    Err(last)
}

async fn open_one(
    node: &Node,
    connector: Option<&RustlsConnector>,
    hand: &Hand,
    runtime: &TokioRuntime,
) -> io::Result<Stream> {
    let addresses = runtime.to_socket_addrs((node.host.clone(), node.port));
    let stream = AsyncTcpStream::connect(runtime, addresses).await?;
    if let AsyncTcpStream::Plain(socket) = &stream {
        hand.hold(socket.get_ref())?;
    }
    match connector {
        Some(connector) => stream.into_rustls(connector, &node.host).await,
        None => Ok(stream),
    }
}

/// Whom we believe, and who we are. The files are read at each connection, as certificates are renewed.
fn connector(tls: &Tls) -> io::Result<RustlsConnector> {
    let config = match &tls.authority {
        Some(path) => RustlsConnectorConfig::default().with_parsable_certificates(certificates(path)?),
        None => RustlsConnectorConfig::new_with_native_certs()?,
    };
    match &tls.identity {
        Some(identity) => {
            let chain = certificates(&identity.certificate)?;
            let key = read(&identity.key)?;
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| unusable(&identity.key, error))?;
            config.connector_with_single_cert(chain, key)
        }
        None => config.connector_with_no_client_auth(),
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(unusable(path, "no certificate in it")),
        found => found.map_err(|error| unusable(path, error)),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {error}", path.display()))
}

/// Kind and version of a server. It tells them to whoever begins a connection, and the client does not
/// pass them on; so one is begun, and not gone on with.
pub(super) async fn ask_version(mut stream: Stream) -> io::Result<String> {
    stream.write_all(PROTOCOL_HEADER).await?;
    stream.flush().await?;
    // Type, channel, and size of a frame.
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let [_, _, _, size @ ..] = head;
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
    if size > HELLO_MAX {
        return Err(no_amqp());
    }
    let mut hello = vec![0; size];
    stream.read_exact(&mut hello).await?;
    match parse_class(hello.as_slice()) {
        Ok((_, AMQPClass::Connection(connection::AMQPMethod::Start(start)))) => {
            Ok(version_in(&start.server_properties))
        }
        _ => Err(no_amqp()),
    }
}

fn no_amqp() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "what answers there does not speak AMQP 0-9-1")
}

fn version_in(properties: &FieldTable) -> String {
    let word = |name: &str| match properties.inner().get(name) {
        Some(AMQPValue::LongString(word)) => word.to_string(),
        _ => String::new(),
    };
    format!("{} {}", word("product"), word("version")).trim().to_owned()
}
