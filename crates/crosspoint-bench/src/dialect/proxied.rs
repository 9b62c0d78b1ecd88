//! A proxy for TCP connections, such as HAProxy: bytes go in at one side and come out at the
//! other.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::windowed::Windowed;
use super::{
    Dialect, FILL, Fanout, FanoutShape, IdleState, Relay, STREAM_CHUNK, StreamEnds, StreamShape,
    fresh_name,
};
use crate::BenchError;
use crate::connection::Connection;
use crate::net::Link;
use crate::transport::Options;
use crate::unframe::Framing;

/// A proxy that hands connections on to a listener of this process.
#[derive(Debug)]
pub struct Proxied {
    address: SocketAddr,
    behind: TcpListener,
}

const NAME: &str = "proxied";

/// How long a connection may take to come out of the proxy.
const PATIENCE: Duration = Duration::from_secs(20);

impl Proxied {
    /// Connects to the proxy at `address`, which connects to `behind`.
    pub fn new(address: SocketAddr, behind: TcpListener) -> Proxied {
        Proxied { address, behind }
    }

    /// The connection that begins with these bytes. Others came of earlier knocks at the proxy.
    fn accept(&self, token: &[u8]) -> std::io::Result<TcpStream> {
        SockRef::from(&self.behind).set_read_timeout(Some(PATIENCE))?;
        loop {
            let (mut stream, _) = self.behind.accept()?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut begin = vec![0; token.len()];
            if stream.read_exact(&mut begin).is_ok() && begin == token {
                stream.set_read_timeout(None)?;
                return Ok(stream);
            }
        }
    }
}

impl Dialect for Proxied {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open_stream(&self, shape: &StreamShape) -> Result<StreamEnds, BenchError> {
        let mut near = Link::connect(NAME, &self.address.into(), Options::default())?;
        let token = fresh_name();
        near.send("connecting", token.as_bytes())?;
        let receiver = self
            .accept(token.as_bytes())
            .map_err(BenchError::system("waiting for the connection behind the proxy"))?;
        Ok(StreamEnds {
            sender: near.ready()?,
            chunk: vec![FILL; STREAM_CHUNK],
            chunk_bytes: STREAM_CHUNK,
            window: shape.window as usize,
            credits: None,
            receiver: receiver.into(),
            intake: Box::new(Windowed::without_credit(Framing::Raw)),
            keep: None,
        })
    }

    fn open_fanout(&self, _shape: &FanoutShape) -> Result<Fanout, BenchError> {
        Err(BenchError::Unsupported { dialect: NAME, workload: "fanout" })
    }

    fn open_relay(&self, _payload: usize) -> Result<Relay, BenchError> {
        Err(BenchError::Unsupported { dialect: NAME, workload: "relay" })
    }

    fn open_idle(
        &self,
        _state: IdleState,
        _count: usize,
        _opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<Connection>, BenchError> {
        Err(BenchError::Unsupported { dialect: NAME, workload: "idle" })
    }
}
