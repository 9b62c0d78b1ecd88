//! Listeners: sockets, and the tasks that accept their connections.

use super::Server;
use crate::memory;
use crate::outlet::now;
use crate::panics::counted;
use crate::stream::Stream;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

/// Connections that the system keeps ready to be accepted.
const BACKLOG: i32 = 4096;

/// When a connection over which nothing is said is probed, so that one whose other side has
/// vanished without a word is noticed in two minutes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// Pause after the system could give no connection, most often for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens a listening socket. One at `[::]` takes IPv4 too.
///
/// # Errors
/// The system's, most often that the address is in use or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    listener(address, false)
}

/// As [`bind`], but at `[::]` for IPv6 alone, so that another socket can have IPv4 at the same port.
///
/// # Errors
/// As [`bind`].
pub fn bind_v6_only(address: SocketAddr) -> io::Result<TcpListener> {
    listener(address, true)
}

fn listener(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Opens a listening socket of the file system. Processes that may write to the file may connect, which these
/// permissions decide, such as 0o660, with the group of this process or the one of this number. They hold before
/// anybody can connect. A file that an earlier listener has left is taken away.
///
/// # Errors
/// The system's; [`io::ErrorKind::AddrInUse`] if something else has the path, or somebody listens there.
#[cfg(unix)]
pub fn bind_unix(path: &Path, mode: u32, group: Option<u32>) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    let address = socket2::SockAddr::unix(path).map_err(|error| {
        let length = path.as_os_str().len();
        io::Error::new(error.kind(), format!("{error}, about 100 bytes, and this one has {length}"))
    })?;
    if let Ok(there) = std::fs::symlink_metadata(path) {
        let in_use = |why| io::Error::new(io::ErrorKind::AddrInUse, why);
        if !there.file_type().is_socket() {
            return Err(in_use("there is a file that is no socket"));
        }
        if !is_left(&address)? || FileId::of(path)? != FileId::from(&there) {
            return Err(in_use("another program has a socket there"));
        }
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    // Nobody can connect before the socket listens.
    let opened = permit(path, mode, group).and_then(|()| socket.listen(BACKLOG));
    opened.and_then(|()| UnixListener::from_std(socket.into())).inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

#[cfg(unix)]
fn permit(path: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt, lchown};
    if group.is_some() {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("it cannot be given to its group: {error}"))
        };
        lchown(path, None, group).map_err(named)?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Whether nobody listens on a socket. One that listens and is busy is in use.
#[cfg(unix)]
fn is_left(address: &socket2::SockAddr) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // What listens may take nobody.
    socket.set_nonblocking(true)?;
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    Ok(socket.connect(address).is_err_and(refused))
}

/// Which file a path leads to, to find it again. Two files never have the same at a time.
#[cfg(unix)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
    /// When it was made, as numbers of files are used again. Nothing is written to a socket later, and a change of
    /// its permissions is no writing.
    made: (i64, i64),
}

#[cfg(unix)]
impl FileId {
    /// The file at a path, which is not followed if it is a link.
    ///
    /// # Errors
    /// The system's, most often that there is none.
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&std::fs::symlink_metadata(path)?))
    }
}

#[cfg(unix)]
impl From<&std::fs::Metadata> for FileId {
    fn from(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let (device, inode) = (metadata.dev(), metadata.ino());
        Self { device, inode, made: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// A listening socket of any transport of the system.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket. Limits for each address do not hold for its connections.
    #[cfg(unix)]
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let socket = SockRef::from(&stream);
                // A connection that is gone already cannot be set up, and ends at its first read.
                let _ = socket.set_tcp_nodelay(true);
                let _ = socket.set_tcp_keepalive(&KEEPALIVE);
                Ok(stream.into())
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(listener.accept().await?.0.into()),
        }
    }
}

impl Server {
    /// Accepts connections of a listener, in a task of its own.
    pub fn listen(&self, listener: impl Into<Listener>) {
        self.listen_with(listener.into(), Self::accept);
    }

    /// As [`listen`](Self::listen), but serves no connections without TLS.
    pub fn listen_tls(&self, listener: impl Into<Listener>) {
        self.listen_with(listener.into(), Self::accept_tls);
    }

    /// Accepts connections of a listener to which `/metrics`, `/health` and `/ready` are answered and nothing else
    /// is served, in a task of its own.
    #[cfg(feature = "http")]
    pub fn listen_for_metrics(&self, listener: impl Into<Listener>) {
        self.listen_with(listener.into(), Self::accept_for_metrics);
    }

    fn listen_with(&self, listener: Listener, accept: fn(&Self, Stream)) {
        self.look_after_hub();
        let server = self.clone();
        self.spawn(async move {
            // A panic ends one turn of the loop, and not the listener.
            while counted(&server.hub().metrics, server.accept_all(&listener, accept))
                .await
                .is_none()
            {
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        });
    }

    /// Accepts connections until the server stops.
    async fn accept_all(&self, listener: &Listener, accept: fn(&Self, Stream)) {
        loop {
            let accepted = tokio::select! {
                () = self.0.runner.parting.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(stream) => accept(self, stream),
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    self.hub().metrics.accepts_failed.inc();
                    if let Some(unsaid) = self.0.runner.logs.accepts.line(now()) {
                        tracing::warn!(%error, unsaid, "no connection could be accepted; raise the limit of open files");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts connections from inside the program, in a task of its own.
    pub fn listen_memory(&self, mut acceptor: memory::Acceptor) {
        self.look_after_hub();
        let server = self.clone();
        self.spawn(async move {
            let server = &server;
            let mut accept_all = async || {
                loop {
                    tokio::select! {
                        () = server.0.runner.parting.stop.cancelled() => return,
                        accepted = acceptor.accept() => match accepted {
                            Some(end) => server.accept(end.into()),
                            None => return,
                        },
                    }
                }
            };
            while counted(&server.hub().metrics, accept_all()).await.is_none() {}
        });
    }
}

/// Whether it is about a connection that went before it was accepted, and says nothing of the next.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused
    )
}
