//! A real server over TCP and over memory, and clients of every kind.

pub(crate) mod http;
pub(crate) mod late;
pub(crate) mod log;
pub(crate) mod peer;

use bytes::{Buf, Bytes, BytesMut};
use crosspoint_hub::metrics::{ByLimit, ByProtocol, ByReason};
pub(crate) use crosspoint_hub::testing::Dice;
use crosspoint_hub::{Hub, HubOptions, Limit, Reason};
use crosspoint_net::memory::{self, Shape};
use crosspoint_net::server::{Server, ServerOptions, bind};
use crosspoint_net::stream::{Reader, Stream, Writer};
use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// Far longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for something that has to happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_elapsed) => panic!("did not happen: {what}"),
    }
}

/// Looks again and again until something is so. Other tasks run meanwhile.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(what, wait).await;
}

/// Sends as much as is taken, until nothing more is. Gives how much that was.
pub(crate) async fn cram(link: &Link, bytes: &[u8]) -> usize {
    let mut sent = 0;
    let mut refused = 0;
    while sent < bytes.len() && refused < 20 {
        let taken = link.try_send(&bytes[sent..]);
        sent += taken;
        refused = if taken == 0 { refused + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    sent
}

/// A server that listens on a free port and inside the program.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) hub: Arc<Hub>,
    pub(crate) address: SocketAddr,
    connector: memory::Connector,
}

/// A server with everything at its default.
pub(crate) fn serve() -> Served {
    serve_with(|_| {})
}

/// A server whose hub is set up by a closure.
pub(crate) fn serve_with(set: impl FnOnce(&mut HubOptions)) -> Served {
    let mut options = HubOptions::default();
    set(&mut options);
    serve_as(options, ServerOptions::default())
}

/// A server with everything to choose.
pub(crate) fn serve_as(options: HubOptions, server: ServerOptions) -> Served {
    let hub = Hub::new(options);
    let server = Server::new(hub.clone(), server);
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    server.listen(listener);
    let (connector, acceptor) = memory::listener();
    server.listen_memory(acceptor);
    Served { server, hub, address, connector }
}

impl Served {
    /// Connects over TCP.
    pub(crate) async fn tcp(&self) -> Link {
        let stream = TcpStream::connect(self.address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a fresh connection");
        Link::new(stream.into())
    }

    /// Connects over TCP from an address of this machine.
    pub(crate) async fn tcp_from(&self, address: Ipv4Addr) -> Link {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((address, 0).into()).expect("the whole loopback range is this machine");
        Link::new(socket.connect(self.address).await.expect("the server listens").into())
    }

    /// Connects over TCP with buffers as small as the system allows on both sides.
    pub(crate) async fn narrow(&self) -> Link {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(1).expect("before it connects");
        Link::new(socket.connect(self.address).await.expect("the server listens").into())
    }

    /// Connects inside the program.
    pub(crate) fn memory(&self) -> Link {
        self.shaped(Shape::default())
    }

    /// Connects inside the program, with a buffer of so many bytes towards the client.
    pub(crate) fn cramped(&self, bytes: usize) -> Link {
        self.slow(Shape { buffer_bytes_max: bytes, ..Shape::default() })
    }

    /// Connects inside the program, with everything to choose towards the client.
    pub(crate) fn slow(&self, back: Shape) -> Link {
        let end = self.connector.connect_shaped(Shape::default(), back);
        Link::new(end.expect("the server listens").into())
    }

    pub(crate) fn shaped(&self, shape: Shape) -> Link {
        Link::new(self.connector.connect(shape).expect("the server listens").into())
    }

    /// How often a limit was reached, by its label in the metrics.
    pub(crate) fn hits(&self, label: &str) -> u64 {
        let limit = Limit::ALL.iter().copied().find(|limit| limit.label() == label);
        let limit = limit.unwrap_or_else(|| panic!("there is no limit {label}"));
        self.hub.metrics.limit_hits.get_or_create(&ByLimit { limit }).get()
    }

    /// The value of a line of the metrics.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let text = self.hub.metrics.render().expect("text can be written");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a number"))
    }

    /// How many connections ended for a reason before they were sessions.
    pub(crate) fn refused(&self, reason: Reason) -> u64 {
        let refused = &self.hub.metrics.connections_refused;
        refused.get_or_create(&ByReason { reason: reason.word() }).get()
    }

    /// How many connections have begun TLS where it is not served.
    pub(crate) fn refused_tls(&self) -> u64 {
        let refused = &self.hub.metrics.connections_refused;
        refused.get_or_create(&ByReason::tls_not_served()).get()
    }

    /// How many sessions were closed for a reason.
    pub(crate) fn closed(&self, reason: Reason) -> u64 {
        self.hub.metrics.closed.get_or_create(&ByReason { reason: reason.word() }).get()
    }

    /// Waits until nobody is connected, and sees that nothing is left behind.
    pub(crate) async fn empty(&self) {
        let metrics = &self.hub.metrics;
        until("all connections end", || metrics.connections.get() == 0).await;
        assert_eq!(self.hub.sessions(), 0, "sessions");
        assert_eq!(self.hub.channels(), 0, "channels");
        assert_eq!(metrics.channels.get(), 0, "the gauge of channels");
        assert_eq!(metrics.members.get(), 0, "the gauge of members");
        for protocol in ["native", "peote"] {
            let sessions = metrics.sessions.get_or_create(&ByProtocol { protocol }).get();
            assert_eq!(sessions, 0, "the gauge of {protocol} sessions");
        }
    }
}

/// One end of a connection, byte by byte.
#[derive(Debug)]
pub(crate) struct Link {
    reader: Reader,
    writer: Writer,
    /// What has arrived and was not looked at yet.
    pub(crate) input: BytesMut,
}

impl Link {
    pub(crate) fn new(stream: Stream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader, writer, input: BytesMut::new() }
    }

    /// Writes all of it. Whether the other side is there to hear it is not asked.
    pub(crate) async fn send(&self, bytes: &[u8]) {
        let _ = self.sends(bytes).await;
    }

    /// As [`Link::send`]; gives whether the other side was there.
    pub(crate) async fn sends(&self, bytes: &[u8]) -> bool {
        within("writing", self.writer.write_all(bytes)).await.is_ok()
    }

    /// Writes each byte by itself, and lets the server look at each.
    pub(crate) async fn trickle(&self, bytes: &[u8]) {
        for byte in bytes {
            self.send(std::slice::from_ref(byte)).await;
            tokio::task::yield_now().await;
        }
    }

    /// Writes without waiting; gives how much was taken.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> usize {
        self.writer.try_write_vectored(&[std::io::IoSlice::new(bytes)]).unwrap_or(0)
    }

    /// Says that nothing more will be written.
    pub(crate) fn finish(&self) {
        self.writer.shutdown();
    }

    /// Loses the connection: what is under way is gone, and the other side notices at once.
    pub(crate) fn abort(self) {
        match &self.writer {
            Writer::Memory(writer) => writer.abort(),
            Writer::Tcp(writer) => {
                let socket = socket2::SockRef::from(AsRef::<TcpStream>::as_ref(writer));
                socket.set_linger(Some(Duration::ZERO)).expect("an open socket");
            }
            _ => unreachable!("links of tests that are lost are of TCP or memory"),
        }
    }

    /// Reads what is there; `false` at the end of the stream or when it is lost.
    pub(crate) async fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let count = poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut bytes);
            let result = ready!(self.reader.poll_read(cx, &mut buffer));
            std::task::Poll::Ready(result.map_or(0, |()| buffer.filled().len()))
        });
        let count = count.await;
        self.input.extend_from_slice(&bytes[..count]);
        count > 0
    }

    /// Takes so many bytes.
    pub(crate) async fn take(&mut self, count: usize) -> Bytes {
        while self.input.len() < count {
            if !within("bytes", self.fill()).await {
                panic!("{count} bytes were expected, the end came after {:02x?}", &self.input[..]);
            }
        }
        self.input.copy_to_bytes(count)
    }

    /// Expects exactly these bytes.
    #[track_caller]
    pub(crate) fn expect<'a>(&'a mut self, bytes: &'a [u8]) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let taken = self.take(bytes.len()).await;
            assert_eq!(taken, bytes, "{place}: {taken:02x?} instead of {bytes:02x?}");
        }
    }

    /// Reads to the end of the stream, and gives what came before.
    pub(crate) async fn rest(&mut self) -> Bytes {
        while within("the end of the stream", self.fill()).await {}
        self.input.split().freeze()
    }
}
