//! No hub: what the sockets of this machine can do at best. A fan-out is written straight into
//! the sockets of the receivers; a conversation or a stream passes through threads that copy bytes
//! from socket to socket, so that it takes as many hops as through a hub. The bytes are those that a
//! member would get over the joint protocol.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use super::joint::{check_payload, to_member};
use super::windowed::Windowed;
use super::{
    Dialect, End, FILL, Fanout, FanoutShape, IdleState, Message, Relay, STREAM_CHUNK, StreamEnds,
    StreamShape,
};
use crate::BenchError;
use crate::connection::Connection;
use crate::net::Link;
use crate::transport::Options;
use crate::unframe::Framing;

/// Sockets without a server between them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bare;

const NAME: &str = "bare";

/// What the copying threads read at once.
const COPY_BYTES: usize = 64 * 1024;

impl Dialect for Bare {
    fn name(&self) -> &'static str {
        NAME
    }

    fn has_server(&self) -> bool {
        false
    }

    fn open_fanout(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        check_payload(shape.payload)?;
        let (listener, address) = listen()?;
        let mut sources = Vec::with_capacity(shape.receivers);
        let mut receivers = Vec::with_capacity(shape.receivers);
        for index in 0..shape.receivers {
            let (near, far) = pair(&listener, address, shape.options(index))?;
            receivers.push(near);
            sources.push(far.into());
        }
        let bytes = to_member(shape.payload);
        Ok(Fanout {
            sources,
            answered: false,
            receivers,
            delivery_bytes: Some(bytes.len()),
            message: Message { payloads: vec![bytes.len() - shape.payload], bytes },
            framing: Framing::Joint,
        })
    }

    fn open_relay(&self, payload: usize) -> Result<Relay, BenchError> {
        check_payload(payload)?;
        let (listener, address) = listen()?;
        let (requester, from_requester) = pair(&listener, address, Options::default())?;
        let (responder, from_responder) = pair(&listener, address, Options::default())?;
        let relay = [
            (duplicate(&from_requester)?, duplicate(&from_responder)?),
            (from_responder, from_requester),
        ]
        .map(|(from, to)| thread::spawn(move || copy(from, to)));
        let end =
            |write| End { write, read: None, message: to_member(payload), framing: Framing::Joint };
        Ok(Relay {
            requester: end(requester),
            responder: end(responder),
            keep: Some(Box::new(Copiers(relay.into()))),
        })
    }

    fn open_stream(&self, shape: &StreamShape) -> Result<StreamEnds, BenchError> {
        let (listener, address) = listen()?;
        let (sender, from_sender) = pair(&listener, address, Options::default())?;
        let tiny = Options { tiny_buffer: shape.tiny, ..Options::default() };
        let (receiver, to_receiver) = pair(&listener, address, tiny)?;
        let copier = thread::spawn(move || copy(from_sender, to_receiver));
        Ok(StreamEnds {
            sender,
            chunk: vec![FILL; STREAM_CHUNK],
            chunk_bytes: STREAM_CHUNK,
            window: shape.window as usize,
            credits: None,
            receiver,
            intake: Box::new(Windowed::without_credit(Framing::Raw)),
            keep: Some(Box::new(Copiers(vec![copier]))),
        })
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

/// The threads in the middle; they end when its ends are closed.
struct Copiers(Vec<JoinHandle<()>>);

impl Drop for Copiers {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            // A panic in a copier has been printed already and shows as an ended conversation.
            let _ = thread.join();
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; COPY_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Both may be closed already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

fn listen() -> Result<(TcpListener, SocketAddr), BenchError> {
    let open = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    open().map_err(BenchError::system("listening on a loopback port"))
}

/// The near and the far end of a new connection.
fn pair(
    listener: &TcpListener,
    address: SocketAddr,
    options: Options,
) -> Result<(Connection, TcpStream), BenchError> {
    let near = Link::connect(NAME, &address.into(), options)?.ready()?;
    let accept = || {
        let (far, _) = listener.accept()?;
        far.set_nodelay(true)?;
        Ok(far)
    };
    let far = accept().map_err(BenchError::system("accepting a loopback connection"))?;
    Ok((near, far))
}

/// Another handle for the same connection.
fn duplicate(stream: &TcpStream) -> Result<TcpStream, BenchError> {
    stream.try_clone().map_err(BenchError::system("duplicating a socket"))
}
