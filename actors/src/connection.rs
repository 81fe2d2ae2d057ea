//! How a node reaches its peer: a network that makes connections. In a process that is TCP; a test gives another one.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::timeout;

/// Something of a network that is waited for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Makes connections to the peer.
pub trait Network: Send + Sync + 'static {
    /// The Master's door, opened anew by each incarnation of the link's actor; none: this node has no door. What knocks
    /// meanwhile waits: a refused connection proves the process dead.
    fn door(&self) -> io::Result<Option<Box<dyn Door>>>;

    /// The addresses of that host.
    fn addresses<'a>(&'a self, host: &'a str, port: u16) -> Pending<'a, Vec<SocketAddr>>;

    /// A connection to that address.
    fn connect(&self, to: SocketAddr) -> Pending<'_, Connection>;
}

/// Connects to a host. Each address that its name has gets its time: one that is silent must not hide the next. "Refused"
/// means: by all of them.
pub async fn reach(network: &dyn Network, host: &str, port: u16, limit: Duration) -> io::Result<Connection> {
    let silent = || io::Error::new(ErrorKind::TimedOut, format!("no answer within {} ms", limit.as_millis()));
    let addresses = timeout(limit, network.addresses(host, port)).await.map_err(|_| silent())??;
    let mut problem: Option<io::Error> = None;
    for address in addresses {
        let error = match timeout(limit, network.connect(address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => silent(),
        };
        if problem.as_ref().is_none_or(|before| before.kind() == ErrorKind::ConnectionRefused) {
            problem = Some(error);
        }
    }
    Err(problem.unwrap_or_else(|| io::Error::new(ErrorKind::NotFound, "the name has no address")))
}

/// Where connections come in.
pub trait Door: Send {
    /// The next one.
    fn accept(&mut self) -> Pending<'_, Connection>;
}

/// An open connection, belonging to the runtime that made it.
pub struct Connection {
    stream: Stream,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
}

enum Stream {
    Tcp(TcpStream),
    Other(Box<dyn ByteStream>),
}

/// What a connection is made of, if it is not TCP.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A connection on its way from one thread to another.
pub struct Detached {
    stream: Unregistered,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
}

enum Unregistered {
    Tcp(std::net::TcpStream),
    Other(Box<dyn ByteStream>),
}

/// The reading side of a connection.
pub(crate) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
/// The writing side.
pub(crate) type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

impl Connection {
    /// A connection that is not TCP, between these two addresses.
    pub fn of(stream: Box<dyn ByteStream>, local: SocketAddr, remote: SocketAddr) -> Self {
        Self { stream: Stream::Other(stream), local: Some(local), remote: Some(remote) }
    }

    fn of_tcp(stream: TcpStream, remote: Option<SocketAddr>) -> Self {
        // Heartbeats are small and must not wait for more.
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().ok();
        Self { stream: Stream::Tcp(stream), local, remote }
    }

    /// This node's address on it.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The other side's address.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Lets go of the present runtime.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        let stream = match self.stream {
            Stream::Tcp(stream) => Unregistered::Tcp(stream.into_std()?),
            Stream::Other(stream) => Unregistered::Other(stream),
        };
        Ok(Detached { stream, local: self.local, remote: self.remote })
    }

    pub(crate) fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self.stream {
            Stream::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (Box::new(read), Box::new(write))
            }
            Stream::Other(stream) => {
                let (read, write) = tokio::io::split(stream);
                (Box::new(read), Box::new(write))
            }
        }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut dyn ByteStream> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream),
            Stream::Other(stream) => Pin::new(&mut **stream),
        }
    }
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        let remote = stream.peer_addr().ok();
        Self::of_tcp(stream, remote)
    }
}

impl Detached {
    /// Goes on in the present runtime.
    pub(crate) fn attach(self) -> io::Result<Connection> {
        let stream = match self.stream {
            Unregistered::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Unregistered::Other(stream) => Stream::Other(stream),
        };
        Ok(Connection { stream, local: self.local, remote: self.remote })
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("local", &self.local).field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Detached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detached").field("local", &self.local).field("remote", &self.remote).finish_non_exhaustive()
    }
}

/// The network of this machine.
pub struct Tcp {
    /// The Master's. It lives as long as the process: a refused connection proves the process dead.
    listener: Option<std::net::TcpListener>,
}

impl Tcp {
    /// `listener`: the Master's, not blocking.
    pub fn new(listener: Option<std::net::TcpListener>) -> Arc<Self> {
        Arc::new(Self { listener })
    }
}

impl Network for Tcp {
    fn door(&self) -> io::Result<Option<Box<dyn Door>>> {
        let Some(listener) = &self.listener else { return Ok(None) };
        Ok(Some(Box::new(TcpListener::from_std(listener.try_clone()?)?)))
    }

    fn addresses<'a>(&'a self, host: &'a str, port: u16) -> Pending<'a, Vec<SocketAddr>> {
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }

    fn connect(&self, to: SocketAddr) -> Pending<'_, Connection> {
        Box::pin(async move { TcpStream::connect(to).await.map(Connection::from) })
    }
}

impl Door for TcpListener {
    fn accept(&mut self) -> Pending<'_, Connection> {
        Box::pin(
            async move { TcpListener::accept(self).await.map(|(stream, from)| Connection::of_tcp(stream, Some(from))) },
        )
    }
}
